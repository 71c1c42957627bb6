//! What images say of themselves, read once.

use super::*;

#[tokio::test]
async fn an_index_names_its_manifests_and_an_image_is_no_index() {
    let bench = Bench::open();
    let digest = bench.registry.push_index("team/app", "3.0.0", &[("amd64", Image::new("a")), ("arm64", Image::new("b"))]).unwrap();
    let read = |digest: String| {
        let bench = &bench;
        async move { bench.client.index(&bench.repository, &digest.parse().unwrap(), &bench.access()).await }
    };
    let manifests = ["amd64", "arm64"].map(|architecture| {
        let content = if architecture == "amd64" { "a" } else { "b" };
        Image::new(content).architecture(architecture).build().digest().parse().unwrap()
    });
    let expected = ImageIndex { digest: digest.parse().unwrap(), manifests: manifests.into() };
    assert_eq!(read(digest).await.unwrap(), Some(expected));
    assert_eq!(read(bench.registry.digest_of("team/app", "1.0.0").unwrap()).await.unwrap(), None);
    assert_eq!(read(format!("sha256:{}", "0".repeat(64))).await.unwrap(), None);
}

#[tokio::test]
async fn the_attestations_in_an_index_are_left_out() {
    let [image, attestation] = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    let body = format!(
        r#"{{"schemaVersion":2,"manifests":[
            {{"digest":"{image}","platform":{{"os":"linux","architecture":"amd64"}}}},
            {{"digest":"{attestation}","platform":{{"os":"unknown","architecture":"unknown"}}}}]}}"#
    );
    let digest = sha256(&body);
    let (_server, client, repository) =
        scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], &body)).await;
    let index = client.index(&repository, &digest, &Access::Anonymous).await.unwrap().unwrap();
    assert_eq!(index.manifests, [image.parse().unwrap()]);
}

#[tokio::test]
async fn an_index_that_is_not_the_one_asked_for_is_refused() {
    let body = r#"{"schemaVersion":2,"manifests":[]}"#;
    let (_server, client, repository) =
        scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], body)).await;
    let digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let index = client.index(&repository, &digest, &Access::Anonymous).await;
    assert!(is_malformed(&index, "not the one that its digest names"), "{index:?}");
}

#[tokio::test]
async fn the_build_time_is_that_of_the_configuration_and_is_read_once() {
    let bench = Bench::open();
    let image = |architecture: &str, created: &str| Image::new(created).architecture(architecture).created(created);
    let images = [("amd64", image("amd64", "2026-02-03T04:05:06Z")), ("arm64", image("arm64", "2026-02-03T04:06:00Z"))];
    let index = bench.registry.push_index("team/app", "3.0.0", &images).unwrap();
    let vague = bench.registry.push_image("team/app", "vague", &Image::new("vague").created("yesterday")).unwrap();
    for (digest, expected, requests) in [(&index, Some("2026-02-03T04:05:06Z"), 3), (&vague, None, 2)] {
        bench.registry.clear_requests();
        for _ in 0..3 {
            let built = bench.client.built(&bench.repository, &digest.parse().unwrap(), &bench.access()).await.unwrap();
            assert_eq!(built, expected.map(|time| time.parse().unwrap()));
        }
        assert_eq!(bench.asked("/team/app/"), requests, "{digest}");
    }
}

async fn platforms(bench: &Bench, digest: &str) -> Result<String, RegistryError> {
    let read = bench.client.platforms(&bench.repository, &digest.parse().unwrap(), &bench.access()).await?;
    Ok(read.map_or_else(|| "does not say".to_owned(), |platforms| platforms.to_string()))
}

#[tokio::test]
async fn an_index_says_for_which_platforms_it_is_and_an_image_in_its_configuration_each_read_once() {
    let bench = Bench::open();
    let images = ["amd64", "arm64"].map(|architecture| (architecture, Image::new(architecture).architecture(architecture)));
    let index = bench.registry.push_index("team/app", "3.0.0", &images).unwrap();
    let alone = bench.registry.push_image("team/app", "4.0.0", &Image::new("b").architecture("aarch64")).unwrap();
    let vague = bench.registry.push_image("team/app", "vague", &Image::new("c").architecture("")).unwrap();
    for (digest, expected, requests) in
        [(&index, "linux/amd64 and linux/arm64", 1), (&alone, "linux/arm64", 2), (&vague, "does not say", 2)]
    {
        bench.registry.clear_requests();
        for _ in 0..3 {
            assert_eq!(platforms(&bench, digest).await.unwrap(), expected);
        }
        assert_eq!(bench.asked("/team/app/"), requests, "{digest}");
    }
    bench.registry.fail_next(Matcher::of(Operation::Blob), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let other = bench.registry.push_image("team/app", "5.0.0", &Image::new("d")).unwrap();
    assert!(matches!(platforms(&bench, &other).await, Err(RegistryError::Unreachable { .. })));
    let missing = platforms(&bench, &format!("sha256:{}", "0".repeat(64))).await;
    assert!(is_malformed(&missing, "no manifest"), "{missing:?}");
    assert_eq!(platforms(&bench, &other).await.unwrap(), "linux/amd64", "an error is not remembered");
}

#[tokio::test]
async fn the_annotations_of_an_index_win_then_those_of_its_image_then_labels_each_read_once() {
    let key = |name: &str| format!("org.opencontainers.image.{name}");
    let image = Image::new("a").label(key("source"), "https://github.com/acme/web").label(key("revision"), "of the label").build();
    let annotated = |body: &[u8], annotations: &[(&str, &str)]| {
        let mut manifest: serde_json::Value = serde_json::from_slice(body).unwrap();
        manifest["annotations"] =
            annotations.iter().map(|(name, value)| (key(name), (*value).into())).collect::<serde_json::Map<_, _>>().into();
        manifest.to_string()
    };
    let manifest = annotated(&image.manifest, &[("revision", "of the manifest"), ("version", "of the manifest")]);
    let index = annotated(&embedded::index(&[("amd64", manifest.clone().into())]), &[("version", "of the index"), ("created", "no\nw")]);
    let digest = sha256(&index);
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, of_index) = (Arc::clone(&asked), digest.to_string());
    let (_server, client, repository) = scripted(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        let line = request.lines().next().unwrap_or_default();
        if line.contains("/blobs/") {
            answer("200 OK", &["Content-Type: application/octet-stream"], std::str::from_utf8(&image.config).unwrap())
        } else if line.contains(&of_index) {
            answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], &index)
        } else {
            answer("200 OK", &["Content-Type: application/vnd.oci.image.manifest.v1+json"], &manifest)
        }
    })
    .await;
    for _ in 0..2 {
        let labels = client.labels(&repository, &digest, &Access::Anonymous).await.unwrap();
        assert_eq!(labels.source.as_deref(), Some("https://github.com/acme/web"));
        assert_eq!((labels.revision.as_deref(), labels.version.as_deref()), (Some("of the manifest"), Some("of the index")));
        assert_eq!(labels.created, None);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn attestations_and_variants_do_not_count_and_a_part_that_does_not_say_leaves_all_unknown() {
    let entry = |digit: &str, platform: &str| format!(r#"{{"digest":"sha256:{}"{platform}}}"#, digit.repeat(64));
    let of = |os: &str, architecture: &str| format!(r#","platform":{{"os":"{os}","architecture":"{architecture}","variant":"v8"}}"#);
    let said = [entry("1", &of("linux", "arm64")), entry("2", &of("windows", "amd64")), entry("3", &of("unknown", "unknown"))];
    let unsaid = [entry("1", &of("linux", "arm64")), entry("2", "")];
    for (entries, expected) in [(said.join(","), Some("linux/arm64 and windows/amd64")), (unsaid.join(","), None), (String::new(), None)] {
        let body = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        let digest = sha256(&body);
        let (_server, client, repository) =
            scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], &body)).await;
        let read = client.platforms(&repository, &digest, &Access::Anonymous).await.unwrap();
        assert_eq!(read.map(|platforms| platforms.to_string()).as_deref(), expected);
    }
}

/// What one registry does not have says nothing of the image, which another may have.
#[tokio::test]
async fn what_is_missing_is_not_remembered_as_saying_nothing() {
    let bench = Bench::open();
    let digest: Digest =
        bench.registry.push_image("team/app", "3.0.0", &Image::new("a").created("2026-02-03T04:05:06Z")).unwrap().parse().unwrap();
    let built = async || bench.client.built(&bench.repository, &digest, &bench.access()).await;
    for (operation, part) in [(Operation::Manifest, "no manifest"), (Operation::Blob, "no image configuration")] {
        bench.registry.fail_next(Matcher::of(operation), Fault::status(StatusCode::NOT_FOUND));
        let missing = built().await;
        assert!(is_malformed(&missing, part), "{missing:?}");
    }
    assert_eq!(built().await, Ok(Some("2026-02-03T04:05:06Z".parse().unwrap())));
}

#[tokio::test]
async fn the_annotation_of_a_manifest_says_when_it_was_built() {
    let body = r#"{"schemaVersion":2,"manifests":[],"annotations":{"org.opencontainers.image.created":"2026-02-03T04:05:06+02:00"}}"#;
    let (_server, client, repository) =
        scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], body)).await;
    let built = client.built(&repository, &sha256(body), &Access::Anonymous).await;
    assert_eq!(built, Ok(Some("2026-02-03T02:05:06Z".parse().unwrap())));
    let other = client.built(&repository, &sha256("another"), &Access::Anonymous).await;
    assert!(is_malformed(&other, "not the one that its digest names"), "{other:?}");
}

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
const MANIFEST_DIGEST: &str = "sha256:0b63c2f0ba32e7ee4ac5f7c6ac5ee9a5a2fcdf4b0f5e1bd1b9b6f5d1a2c3d4e5";

fn sha256(content: &str) -> Digest {
    use sha2::{Digest as _, Sha256};
    format!("sha256:{}", hex::encode(Sha256::digest(content))).parse().unwrap()
}

#[tokio::test]
async fn without_a_digest_in_the_headers_the_manifest_itself_is_hashed() {
    const TYPE: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";
    let tag: Tag = "1.0.0".parse().unwrap();
    for status_of_head in ["200 OK", "405 Method Not Allowed", "501 Not Implemented"] {
        let (_server, client, repository) = scripted(move |head| {
            let is_head = head.starts_with("HEAD");
            let digest = format!("Docker-Content-Digest: {}", if is_head { "nonsense" } else { MANIFEST_DIGEST });
            if is_head { answer(status_of_head, &[TYPE, &digest], "") } else { answer("200 OK", &[TYPE, &digest], MANIFEST) }
        })
        .await;
        assert_eq!(client.digest(&repository, &tag, &Access::Anonymous).await, Ok(Some(sha256(MANIFEST))));
    }
}

#[tokio::test]
async fn what_is_no_manifest_has_no_digest() {
    let tag: Tag = "1.0.0".parse().unwrap();
    for (content_type, body) in [
        ("text/html", "<!doctype html>"),
        ("application/vnd.oci.image.manifest.v1+json", "<!doctype html>"),
        ("application/vnd.oci.image.manifest.v1+json", r#"{"schemaVersion":1}"#),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion":1}"#),
    ] {
        let header = format!("Content-Type: {content_type}");
        let (_server, client, repository) = scripted(move |_| answer("200 OK", &[&header], body)).await;
        let digest = client.digest(&repository, &tag, &Access::Anonymous).await;
        assert!(matches!(digest, Err(RegistryError::Malformed { .. })), "{content_type} {body}: {digest:?}");
    }
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use http::StatusCode;
use http::header::{ETAG, LINK, RETRY_AFTER, WWW_AUTHENTICATE};
use oci_distribution::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_distribution::manifest::OciImageManifest;
use oci_distribution::secrets::RegistryAuth;
use oci_distribution::{Client, Reference};
use serde_json::Value;

use super::*;

const ALL_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

fn registry() -> EmbeddedRegistry {
    EmbeddedRegistry::start(Access::Anonymous).unwrap()
}

fn bearer() -> Access {
    Access::Bearer { login: Login::new("robot", "s3cret"), anonymous_pull: false, token_life: Duration::from_mins(1) }
}

fn http_client() -> reqwest::Client {
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy();
    client.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn get(registry: &EmbeddedRegistry, path: &str) -> reqwest::Response {
    let url = format!("http://{}{path}", registry.address());
    let request = http_client().get(url).header("Accept", ALL_TYPES);
    request.send().await.unwrap()
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn oci_client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    Client::try_from(config).unwrap()
}

async fn push_and_pull_with_oci_client(registry: &EmbeddedRegistry, auth: &RegistryAuth) {
    let image: Reference = format!("{}/team/app:1.0.0", registry.address()).parse().unwrap();
    let layers = [ImageLayer::oci_v1_gzip(b"layer".to_vec(), None)];
    let config = Config::oci_v1(b"{}".to_vec(), None);
    let manifest = OciImageManifest::build(&layers, &config, None);
    let client = oci_client();
    client.push(&image, &layers, config, auth, Some(manifest)).await.unwrap();
    let digest = client.fetch_manifest_digest(&image, auth).await.unwrap();
    assert_eq!(registry.digest_of("team/app", "1.0.0"), Some(digest));
    let accepted = vec![OCI_LAYER];
    let pulled = client.pull(&image, auth, accepted).await.unwrap();
    assert_eq!(&pulled.layers[0].data[..], b"layer");
}

#[tokio::test]
async fn oci_client_pushes_and_pulls() {
    push_and_pull_with_oci_client(&registry(), &RegistryAuth::Anonymous).await;
}

#[tokio::test]
async fn oci_client_logs_in_with_basic_and_with_tokens() {
    let login = Login::new("robot", "s3cret");
    let auth = RegistryAuth::Basic("robot".to_owned(), "s3cret".to_owned());
    for access in [Access::Basic(login), bearer()] {
        let registry = EmbeddedRegistry::start(access).unwrap();
        push_and_pull_with_oci_client(&registry, &auth).await;
    }
}

#[tokio::test]
async fn an_image_pushed_directly_is_pulled_by_tag_and_by_digest() {
    let registry = registry();
    let image = Image::new("1.0.0").label("key", "value");
    let digest = registry.push_image("team/app", "1.0.0", &image).unwrap();
    let auth = RegistryAuth::Anonymous;
    for reference in [":1.0.0".to_owned(), format!("@{digest}")] {
        let reference: Reference = format!("{}/team/app{reference}", registry.address()).parse().unwrap();
        let (manifest, found, config) = oci_client().pull_manifest_and_config(&reference, &auth).await.unwrap();
        assert_eq!(found, digest);
        assert_eq!(manifest.layers.len(), 1);
        assert!(config.contains(r#""Labels":{"key":"value"}"#), "{config}");
    }
}

#[tokio::test]
async fn an_index_names_one_manifest_for_each_platform() {
    let registry = registry();
    let images = [("amd64", Image::new("1")), ("arm64", Image::new("1"))];
    let digest = registry.push_index("app", "1", &images).unwrap();
    let response = get(&registry, "/v2/app/manifests/1").await;
    assert_eq!(response.headers()["docker-content-digest"], *digest);
    assert_eq!(response.headers()["content-type"], OCI_INDEX);
    let index = json_of(response).await;
    assert_eq!(index["manifests"][1]["platform"]["architecture"], "arm64");
    let inner = index["manifests"][1]["digest"].as_str().unwrap();
    let response = get(&registry, &format!("/v2/app/manifests/{inner}")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn tags_come_in_pages_with_a_link_until_the_last() {
    let registry = registry();
    let digest = registry.push_image("app", "b", &Image::new("1")).unwrap();
    for tag in ["d", "a", "c", "e"] {
        registry.retag("app", tag, &digest).unwrap();
    }
    let mut path = "/v2/app/tags/list?n=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let response = get(&registry, &path).await;
        let link = response.headers().get(LINK).cloned();
        pages.push(json_of(response).await["tags"].to_string());
        let Some(link) = link else { break };
        let link = link.to_str().unwrap().to_owned();
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(pages, [r#"["a","b"]"#, r#"["c","d"]"#, r#"["e"]"#]);
    let none = json_of(get(&registry, "/v2/app/tags/list?n=0").await).await;
    assert_eq!(none["tags"].to_string(), "[]");
}

#[tokio::test]
async fn a_known_entity_tag_is_answered_without_the_manifest() {
    let registry = registry();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    let first = get(&registry, "/v2/app/manifests/1").await;
    let url = format!("http://{}/v2/app/manifests/1", registry.address());
    let again = http_client().head(url).header("Accept", ALL_TYPES).header("If-None-Match", &first.headers()[ETAG]);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn errors_have_the_codes_of_the_specification() {
    let registry = registry();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    for (path, status, code) in [
        ("/v2/app/manifests/2", 404, "MANIFEST_UNKNOWN"),
        ("/v2/other/manifests/1", 404, "NAME_UNKNOWN"),
        ("/v2/other/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/APP/tags/list", 400, "NAME_INVALID"),
        ("/v2/app/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/app/blobs/sha256:00", 404, "BLOB_UNKNOWN"),
        ("/v2/app/blobs/uploads/7", 404, "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let response = get(&registry, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(json_of(response).await["errors"][0]["code"], code, "{path}");
    }
}

#[tokio::test]
async fn a_manifest_is_served_only_where_its_type_is_accepted() {
    let registry = registry();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    let url = format!("http://{}/v2/app/manifests/1", registry.address());
    let docker_only = "application/vnd.docker.distribution.manifest.v2+json";
    let request = http_client().get(url).header("Accept", docker_only);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_manifest_that_names_an_absent_blob_is_refused() {
    let registry = registry();
    let parts = Image::new("1").build();
    let url = format!("http://{}/v2/app/manifests/1", registry.address());
    let request = http_client().put(url).header("Content-Type", OCI_MANIFEST);
    let response = request.body(parts.manifest).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let code = json_of(response).await["errors"][0]["code"].to_string();
    assert_eq!(code, "\"MANIFEST_BLOB_UNKNOWN\"");
}

#[tokio::test]
async fn a_chunk_out_of_order_is_refused_and_the_upload_goes_on() {
    let registry = registry();
    let client = http_client();
    let base = format!("http://{}", registry.address());
    let begun = client.post(format!("{base}/v2/app/blobs/uploads/"));
    let begun = begun.send().await.unwrap();
    let place = format!("{base}{}", begun.headers()["location"].to_str().unwrap());
    let chunk = |range: &'static str, body: &'static str| {
        let request = client.patch(&place).header("Content-Range", range);
        async move { request.body(body).send().await.unwrap().status() }
    };
    assert_eq!(chunk("0-2", "abc").await, StatusCode::ACCEPTED);
    assert_eq!(chunk("5-6", "xx").await, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(chunk("3-4", "de").await, StatusCode::ACCEPTED);
    let end = format!("{place}?digest={}", grammar::digest(b"abcde"));
    let end = client.put(end).send().await.unwrap();
    assert_eq!(end.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn deleting_a_digest_takes_its_tags_and_deleting_a_tag_takes_only_that() {
    let registry = registry();
    let digest = registry.push_image("app", "1", &Image::new("1")).unwrap();
    registry.retag("app", "2", &digest).unwrap();
    registry.retag("app", "3", &digest).unwrap();
    registry.delete_tag("app", "3").unwrap();
    assert_eq!(registry.digest_of("app", "3"), None);
    assert_eq!(registry.digest_of("app", "2"), Some(digest.clone()));
    let url = format!("http://{}/v2/app/manifests/{digest}", registry.address());
    let deleted = http_client().delete(url).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    assert_eq!(registry.digest_of("app", "1"), None);
    assert_eq!(registry.digest_of("app", "2"), None);
}

#[tokio::test]
async fn a_challenge_names_realm_service_and_scope() {
    let registry = EmbeddedRegistry::start(bearer()).unwrap();
    let response = get(&registry, "/v2/team/app/tags/list").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let expected =
        format!("Bearer realm=\"http://{}/token\",service=\"skeg-embedded\",scope=\"repository:team/app:pull\"", registry.address());
    assert_eq!(response.headers()[WWW_AUTHENTICATE], *expected);
}

async fn token(registry: &EmbeddedRegistry, scope: &str, password: &str) -> reqwest::Response {
    let url = format!("http://{}/token?scope={scope}", registry.address());
    let request = http_client().get(url).basic_auth("robot", Some(password));
    request.send().await.unwrap()
}

async fn list_with(registry: &EmbeddedRegistry, name: &str, token: &str) -> reqwest::Response {
    let url = format!("http://{}/v2/{name}/tags/list", registry.address());
    let request = http_client().get(url).bearer_auth(token);
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_token_opens_its_own_repository_until_it_is_revoked() {
    let registry = EmbeddedRegistry::start(bearer()).unwrap();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    let wrong = token(&registry, "repository:app:pull", "wrong").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let given = json_of(token(&registry, "repository:app:pull", "s3cret").await).await;
    let given = given["token"].as_str().unwrap();
    assert_eq!(list_with(&registry, "app", given).await.status(), StatusCode::OK);
    let other = list_with(&registry, "other", given).await;
    let challenge = other.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.ends_with("error=\"insufficient_scope\""), "{challenge}");
    registry.fail_next(Matcher::of(Operation::Tags), Fault::RevokeTokens);
    let revoked = list_with(&registry, "app", given).await;
    let challenge = revoked.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.ends_with("error=\"invalid_token\""), "{challenge}");
}

/// A registry with one tag, and the answer to its list under this fault.
async fn list_under(fault: Fault) -> Result<reqwest::Response, reqwest::Error> {
    let registry = registry();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    registry.fail_next(Matcher::of(Operation::Tags).in_repository("app"), fault);
    let url = format!("http://{}/v2/app/tags/list", registry.address());
    let response = http_client().get(url).send().await?;
    let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    // Read while the registry is still there.
    let whole = reqwest::Response::from(http::Response::new(body)).bytes().await?;
    Ok(http::Response::from_parts(parts, whole).into())
}

#[tokio::test]
async fn a_status_fault_carries_its_retry_after() {
    let response = list_under(Fault::too_many_requests(7)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[RETRY_AFTER], "7");
}

#[tokio::test]
async fn faults_alter_what_is_sent() {
    let html = list_under(Fault::Html).await.unwrap();
    assert_eq!(html.status(), StatusCode::OK);
    assert!(html.text().await.unwrap().starts_with("<!doctype html>"));

    let link = list_under(Fault::ForeignLink("http://other.test/".to_owned())).await;
    assert_eq!(link.unwrap().headers()[LINK], "<http://other.test/>; rel=\"next\"");

    let extra = Fault::ExtraTags(vec!["$(x)".to_owned(), "a\nb".to_owned()]);
    let list = json_of(list_under(extra).await.unwrap()).await;
    assert_eq!(list["tags"].to_string(), r#"["1","$(x)","a\nb"]"#);

    let slow = list_under(Fault::SlowBody(Duration::from_micros(10))).await.unwrap();
    assert_eq!(json_of(slow).await["tags"][0], "1");

    let bomb = Fault::GzipBomb { decoded_bytes: 5 << 20 };
    let bomb = list_under(bomb).await.unwrap();
    assert_eq!(bomb.bytes().await.unwrap().len(), 5 << 20);
}

#[tokio::test]
async fn faults_cut_the_connection() {
    let cut = list_under(Fault::TruncatedBody(5)).await.unwrap_err();
    assert!(cut.is_body() || cut.is_decode(), "{cut:?}");
    let closed = list_under(Fault::CloseConnection).await.unwrap_err();
    assert!(closed.is_request(), "{closed:?}");
}

#[tokio::test]
async fn a_fault_passes_over_and_repeats_as_asked() {
    let registry = registry();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    let unavailable = Fault::status(StatusCode::SERVICE_UNAVAILABLE);
    let matcher = Matcher::of(Operation::Tags).after(1).times(2);
    registry.fail_next(matcher, unavailable);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(get(&registry, "/v2/app/tags/list").await.status().as_u16());
    }
    assert_eq!(answers, [200, 503, 503, 200]);
}

#[tokio::test]
async fn requests_are_logged_without_their_credentials() {
    let registry = registry();
    let url = format!("http://{}/v2/?a=b", registry.address());
    let request = http_client().get(url).basic_auth("robot", Some("s3cret"));
    request.header("User-Agent", "test/1").send().await.unwrap();
    let seen = registry.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(*registry.request_count().borrow(), 1);
    assert_eq!(
        seen[0],
        Seen {
            method: "GET".to_owned(),
            path: "/v2/".to_owned(),
            query: "a=b".to_owned(),
            has_authorization: true,
            user_agent: "test/1".to_owned(),
        }
    );
}

#[tokio::test]
async fn a_dropped_registry_closes_its_port_and_its_connections() {
    let registry = registry();
    registry.push_image("app", "1", &Image::new("1")).unwrap();
    let slow = Fault::SlowBody(Duration::from_hours(1));
    registry.fail_next(Matcher::any(), slow);
    let address = registry.address();
    let held = get(&registry, "/v2/app/tags/list").await;
    drop(registry);
    assert!(held.bytes().await.is_err(), "the open answer ended well");
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err(), "the port still answers");
}

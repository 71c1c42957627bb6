//! `skeg edit`: images in a folder of manifests are set without a byte too many.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser as _;
use skeg::cli::edit::Edit;
use skeg::core::image::ImageRef;
use skeg::core::manifest::{self, Image};

const WEB: &str = "--image ghcr.io/acme/web --tag 1.4.2";

/// A command line with nothing but this subcommand.
#[derive(clap::Parser)]
#[command(no_binary_name = true)]
struct CommandLine {
    #[command(flatten)]
    edit: Edit,
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    code: u8,
    out: String,
    err: String,
}

fn run(folder: &Path, arguments: &str) -> Run {
    let dir = ["--dir", folder.to_str().unwrap()];
    let edit = CommandLine::try_parse_from(dir.into_iter().chain(arguments.split_whitespace())).unwrap().edit;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = edit.run(&mut out, &mut err).unwrap();
    Run { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read(folder: &tempfile::TempDir, path: &str) -> String {
    String::from_utf8(fs::read(folder.path().join(path)).unwrap()).unwrap()
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    spec:\n      containers:\n        - name: app\n          image: {image}\n"
    )
}

fn fixture(set: &str, name: &str, side: &str) -> String {
    let path = format!("{}/tests/fixtures/{set}/{name}.{side}.yaml", env!("CARGO_MANIFEST_DIR"));
    String::from_utf8(fs::read(&path).unwrap()).unwrap()
}

/// Runs the commands one after the other on the `before` of a pair; the outcome is its `after`, and repeating them changes nothing.
#[track_caller]
fn check_pair(set: &str, name: &str, commands: &[&str]) {
    let folder = folder(&[("manifest.yaml", &fixture(set, name, "before"))]);
    for arguments in commands {
        let done = run(folder.path(), &format!("{arguments} --write"));
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{name}");
    }
    assert_eq!(read(&folder, "manifest.yaml"), fixture(set, name, "after"), "{name}");
    for arguments in commands {
        let again = run(folder.path(), &format!("{arguments} --write"));
        assert!(again.code == 0 && again.out.starts_with("already so: manifest.yaml: "), "{name}: {again:?}");
    }
    assert_eq!(read(&folder, "manifest.yaml"), fixture(set, name, "after"), "{name}");
}

#[test]
fn flux_setter_pairs_come_out_byte_for_byte() {
    let api = "--image registry.example.com:5000/team/api --tag v2.10.0 --digest sha256:3b5d1c0e9a7f42688d1e6c5a4b3f2019e8d7c6b5a4938271605f4e3d2c1b0a99";
    // The sidecar has the same repository and no marker: its two neighbours are named one by one.
    let migrate = format!("{WEB} --workload shop/Deployment/web:migrate");
    let web = format!("{WEB} --workload shop/Deployment/web:web");
    check_pair("setters", "01-deployment-full-image", &[&migrate, &web]);
    check_pair("setters", "05-multi-document", &[WEB, api]);
    check_pair("setters", "12-formatting-preserved-byte-for-byte", &[WEB]);
}

#[test]
fn plain_manifest_pairs_come_out_byte_for_byte() {
    let arguments = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/edit/arguments.txt")).unwrap();
    let cases: Vec<(&str, &str)> = arguments.lines().map(|line| line.split_once(": ").unwrap()).collect();
    assert!(cases.len() >= 20);
    for (name, arguments) in cases {
        check_pair("edit", name, &[arguments]);
    }
}

#[test]
fn without_write_the_diff_is_shown_and_no_file_changes() {
    let before = deployment("web", "ghcr.io/acme/web:1.4.0");
    let folder = folder(&[("apps/web.yaml", &before)]);
    let shown = run(folder.path(), WEB);
    assert_eq!(
        shown.out,
        "--- a/apps/web.yaml\n+++ b/apps/web.yaml\n@@ -6,4 +6,4 @@\n     spec:\n       containers:\n         - name: app\n-          image: ghcr.io/acme/web:1.4.0\n+          image: ghcr.io/acme/web:1.4.2\n"
    );
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    assert_eq!(read(&folder, "apps/web.yaml"), before);
}

#[test]
fn every_file_of_the_folder_is_looked_at() {
    let old = deployment("web", "ghcr.io/acme/web:1.4.0");
    let folder = folder(&[("a.yaml", &old), ("deep/er/b.yml", &old), ("c.json", &old), (".git/d.yaml", &old)]);
    assert_eq!(run(folder.path(), &format!("{WEB} --write")).code, 0);
    let new = deployment("web", "ghcr.io/acme/web:1.4.2");
    for (path, text) in [("a.yaml", &new), ("deep/er/b.yml", &new), ("c.json", &old), (".git/d.yaml", &old)] {
        assert_eq!(&read(&folder, path), text, "{path}");
    }
}

#[test]
fn a_place_that_is_not_there_is_not_done_and_says_why() {
    let folder = folder(&[("web.yaml", &deployment("web", "ghcr.io/acme/web:1.4.0")), ("wrong.yaml", "a:\n\t- image")]);
    let none = run(folder.path(), "--image ghcr.io/acme/other --tag 1");
    assert_eq!((none.code, none.out.as_str()), (1, ""));
    let problem = "passed over: wrong.yaml: line 2, column 2: tabs disallowed within this context (block indentation)\n";
    let looked = format!("looked at 1 files below {} that declare images\n", folder.path().display());
    assert_eq!(none.err, format!("{problem}error: no image of ghcr.io/acme/other is declared: {looked}"));
    let elsewhere = run(folder.path(), &format!("{WEB} --workload shop/Deployment/api:app"));
    assert_eq!(elsewhere.err, format!("{problem}error: no image of ghcr.io/acme/web is declared in shop/Deployment/api:app: {looked}"));
}

#[test]
fn one_image_that_cannot_be_set_leaves_every_file_as_it_is() {
    let old = deployment("web", "ghcr.io/acme/web:1.4.0");
    let fixed = deployment("api", "&i ghcr.io/acme/web:1.4.0") + "          env: [{name: A, value: *i}]\n";
    let folder = folder(&[("a.yaml", &old), ("b.yaml", &fixed)]);
    let refused = run(folder.path(), &format!("{WEB} --write"));
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert_eq!(
        refused.err,
        "error: b.yaml: Deployment/api app: line 9: an alias repeats what is written here, so another place would change too\n"
    );
    assert_eq!(read(&folder, "a.yaml"), old);
}

#[test]
fn a_template_is_told_only_to_who_names_it() {
    let folder =
        folder(&[("web.yaml", &deployment("web", "ghcr.io/acme/web:1.4.0")), ("t.yaml", &deployment("t", "'{{ .Values.image }}'"))]);
    assert_eq!(run(folder.path(), WEB).code, 0);
    let named = run(folder.path(), &format!("{WEB} --workload shop/Deployment/t:app"));
    assert_eq!((named.code, named.err.as_str()), (1, "error: t.yaml: Deployment/t app: line 9: the image is a template\n"));
}

#[test]
fn a_workload_without_a_namespace_in_two_files_is_ambiguous() {
    let old = deployment("web", "ghcr.io/acme/web:1.4.0");
    let folder = folder(&[("a.yaml", &old), ("b.yaml", &old)]);
    let twice = run(folder.path(), &format!("{WEB} --workload shop/Deployment/web --write"));
    assert_eq!((twice.code, twice.err.as_str()), (1, "error: several places declare Deployment/web app: a.yaml, b.yaml\n"));
    assert_eq!(read(&folder, "a.yaml"), old);
}

#[test]
fn links_are_not_followed_and_permissions_stay() {
    let old = deployment("web", "ghcr.io/acme/web:1.4.0");
    let outside = folder(&[("web.yaml", &old), ("more/web.yaml", &old)]);
    let inside = folder(&[("web.yaml", &old)]);
    std::os::unix::fs::symlink(outside.path().join("web.yaml"), inside.path().join("link.yaml")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("more"), inside.path().join("more")).unwrap();
    fs::set_permissions(inside.path().join("web.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(run(inside.path(), &format!("{WEB} --write")).code, 0);
    assert_eq!(read(&outside, "web.yaml"), old);
    assert_eq!(read(&outside, "more/web.yaml"), old);
    assert_eq!(fs::metadata(inside.path().join("web.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(inside.path()).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn a_wrong_question_is_wrong_usage() {
    let folder = folder(&[]);
    let marker = run(folder.path(), "--marker apps:web --tag 1");
    assert_eq!(marker.code, 2);
    assert_eq!(marker.err, "error: --marker is not available yet: name the images with --image, and --workload to narrow them\n");
    assert_eq!(run(&folder.path().join("absent"), WEB).code, 2);
    for arguments in [
        "--image ghcr.io/acme/web",
        "--tag 1",
        "--image ghcr.io/UPPER --tag 1",
        "--image ghcr.io/acme/web --tag .1",
        "--image ghcr.io/acme/web --tag 1 --digest sha256:1",
        "--image ghcr.io/acme/web --tag 1 --workload web",
        "--image ghcr.io/acme/web --tag 1 --workload a/b/c:",
    ] {
        let parsed = CommandLine::try_parse_from(["--dir", "."].into_iter().chain(arguments.split_whitespace()));
        assert_eq!(parsed.err().map(|error| error.exit_code()), Some(2), "{arguments}");
    }
}

/// Seeded: the same texts each time. Enough to visit every construct of the samples many times, in seconds of a debug build.
const MUTATIONS: usize = 3_000;

/// Whatever is done to a manifest, reading it ends in an answer, and setting its images changes nothing but their bytes.
#[test]
fn mutilated_manifests_are_read_or_refused_and_never_changed_elsewhere() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/edit");
    let mut samples: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "yaml").collect();
    samples.sort();
    let samples: Vec<Vec<u8>> = samples.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut edited = 0;
    for _ in 0..MUTATIONS {
        let mut bytes = samples[random.usize(..samples.len())].clone();
        for _ in 0..random.usize(1..6) {
            mutilate(&mut bytes, &samples, &mut random);
        }
        edited += usize::from(check_splice(&bytes));
    }
    assert!(edited > MUTATIONS / 20, "only {edited} of the mutilated manifests could still be edited");
}

fn mutilate(bytes: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut fastrand::Rng) {
    const SIGNS: &[u8] = b"\t\n\r #&*-:,.?!|>'\"{}[]%@~<=0aZ\xef\xbb\xbf\xff\0";
    let at = random.usize(..=bytes.len());
    match random.u8(..5) {
        0 => bytes.insert(at, SIGNS[random.usize(..SIGNS.len())]),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 if at < bytes.len() => bytes[at] = SIGNS[random.usize(..SIGNS.len())],
        3 => bytes.truncate(at.max(40)),
        _ => {
            let other = &samples[random.usize(..samples.len())];
            let start = random.usize(..other.len());
            let end = (start + random.usize(..60)).min(other.len());
            bytes.splice(at..at, other[start..end].iter().copied());
        }
    }
}

/// Whether the images of `bytes` could be set.
fn check_splice(bytes: &[u8]) -> bool {
    let Ok(text) = manifest::text(bytes) else { return false };
    let editor = manifest::editor_for("a.yaml").unwrap();
    let Ok(declared) = editor.declarations(text) else { return false };
    let new: ImageRef = "registry.example/new:9".parse().unwrap();
    let spans = declared.iter().enumerate().filter_map(|(at, declared)| match &declared.image {
        Image::Text { span, .. } => Some((at, span.clone())),
        Image::Fixed { .. } => None,
    });
    let spans: Vec<_> = spans.collect();
    let changes: Vec<_> = spans.iter().map(|(at, _)| (*at, new.clone())).collect();
    let Ok(edited) = manifest::set_images(editor, text, &declared, &changes) else { return false };
    // The text around the images, piece by piece, is found again in the same order with nothing between but an image.
    let mut ends = spans.iter().map(|(_, span)| span.clone()).collect::<Vec<_>>();
    ends.sort_by_key(|span| span.start);
    let mut rest = edited.as_str();
    let mut from = 0;
    for span in ends {
        rest = rest.strip_prefix(&text[from..span.start]).expect("what stands before an image stays");
        let image = ["registry.example/new:9", "'registry.example/new:9'", "\"registry.example/new:9\""];
        rest = image.iter().find_map(|image| rest.strip_prefix(image)).expect("the image is written in one of three ways");
        from = span.end;
    }
    assert_eq!(rest, &text[from..], "what stands after the last image stays");
    !changes.is_empty()
}

//! Deliveries of registries and CI systems, documented and recorded ones, are read as their senders mean them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::{Value, json};
use skeg::cli::webhook_decode::WebhookDecode;

/// A command line with nothing but this subcommand.
#[derive(clap::Parser)]
#[command(no_binary_name = true)]
struct CommandLine {
    #[command(flatten)]
    decode: WebhookDecode,
}

/// The fixtures' prefixes and the sources they are of.
const SOURCES: [(&str, &str); 2] = [("keel.", "native"), ("distribution", "registry")];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What `skeg webhook decode -o json` makes of a file: exit code, standard output, standard error.
fn decode(body: &Path) -> (u8, String, String) {
    let name = body.file_name().unwrap().to_str().unwrap();
    let (_, source) = SOURCES.into_iter().find(|(prefix, _)| name.starts_with(prefix)).unwrap();
    let headers = body.with_extension("headers");
    let arguments = ["--source", source, "-o", "json", "--headers", headers.to_str().unwrap(), body.to_str().unwrap()];
    let decode = CommandLine::try_parse_from(arguments).unwrap().decode;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = decode.run(&mut std::io::empty(), &mut out, &mut err).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[track_caller]
fn check_hints(body: &Path, expected: &[Value]) {
    let (code, out, err) = decode(body);
    assert_eq!((code, err.as_str()), (0, ""), "{}", body.display());
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed["hints"], json!(expected), "{}", body.display());
    assert_eq!(printed["reply"], Value::Null);
    // Nothing is passed over in silence.
    assert_eq!(printed["ignored"].as_array().unwrap().is_empty(), !expected.is_empty(), "{}", body.display());
}

#[track_caller]
fn check_rejected(body: &Path) {
    let (code, out, err) = decode(body);
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{}: {err}", body.display());
}

fn bodies(folder: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let bodies = files.filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    bodies.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn documented_deliveries_lead_to_what_their_table_says() {
    let folder = folder("webhooks");
    let table = std::fs::read_to_string(folder.join("expected.csv")).unwrap();
    let mut tried = BTreeSet::new();
    for line in table.lines().skip(1) {
        let [file, _, outcome, _, image, tag, digest, reason, ..] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("not a row: {line}");
        };
        let body = folder.join(file);
        match outcome {
            "update" => {
                let digest = (!digest.is_empty()).then_some(digest);
                check_hints(&body, &[json!({"repository": image, "tag": tag, "digest": digest})]);
            }
            "ignored" => check_hints(&body, &[]),
            // The content is good; it is the credential that is missing, and that is not looked at here.
            "reject" if reason.starts_with("401") => assert_eq!(decode(&body).0, 0, "{file}"),
            "reject" => check_rejected(&body),
            other => panic!("{file}: {other}"),
        }
        tried.insert(file.to_owned());
    }
    assert_eq!(tried, bodies(&folder), "every file has its row");
}

#[test]
fn recorded_deliveries_lead_to_the_tags_that_were_pushed() {
    let folder = folder("webhooks-captured");
    let pushed = [("push", "1.0.0"), ("push-docker-v2s2", "1.3.0"), ("push-index", "1.2.0"), ("push-retag-same-digest", "latest")];
    for name in bodies(&folder) {
        let body = folder.join(&name);
        let delivery: Value = serde_json::from_slice(&std::fs::read(&body).unwrap()).unwrap();
        let digest = &delivery["events"][0]["target"]["digest"];
        let done = name.strip_prefix("distribution-2.8.2.").and_then(|name| name.strip_suffix(".json")).unwrap();
        let expected = pushed.iter().filter(|(what, _)| *what == done);
        let expected: Vec<Value> =
            expected.map(|(_, tag)| json!({"repository": "127.0.0.1:5001/team/app", "tag": tag, "digest": digest})).collect();
        check_hints(&body, &expected);
    }
    assert_eq!(bodies(&folder).len(), 9);
}

#[test]
fn a_delivery_of_another_source_is_not_guessed_at() {
    let body = folder("webhooks").join("keel.native.json");
    let arguments = ["--source", "registry", body.to_str().unwrap()];
    let decode = CommandLine::try_parse_from(arguments).unwrap().decode;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(decode.run(&mut std::io::empty(), &mut out, &mut err).unwrap(), 1);
    assert!(out.is_empty());
    assert_eq!(String::from_utf8(err).unwrap(), "error: not a delivery of the source registry: the body has no list of events\n");
}

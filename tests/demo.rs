//! `skeg demo`, run as a program: both stories, with nothing else running.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// What the demo promises.
const STORIES_MAX: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_demo_tells_both_stories_as_json_and_ends_well() {
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
    // Behind a proxy, as in many an office: nothing of the demo is to go there, and the login is nobody's to see.
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://user:canary-7f3a@127.0.0.1:9");
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = command.args(["demo", "--once", "-o", "json"]).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(STORIES_MAX, output).await.expect("it ends in time").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(![&output.stdout, &output.stderr].into_iter().any(|text| String::from_utf8_lossy(text).contains("canary")));

    let lines: Vec<Value> = std::str::from_utf8(&output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(line["event"].is_string() && line["at"].is_string() && line.get("update").is_some(), "{line}");
    }
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    let good = ["admitted", "asked", "answered", "granted", "applying", "patched", "healthy", "closed", "commit"];
    let broken = ["admitted", "asked", "answered", "granted", "applying", "patched", "rollout-failed", "closed", "restored"];
    let told = [&["started", "answering", "pushed"][..], &good, &["pushed"], &broken, &["finished"]].concat();
    assert_eq!(events, told);
    for name in ["registry", "clusterApi", "gitRemote", "webhooks", "api"] {
        assert!(lines[0][name].as_str().is_some_and(|address| address.contains("127.0.0.1:")), "{name}: {}", lines[0]);
    }
    let diff = lines.iter().find_map(|line| line["diff"].as_str()).expect("the commit is shown");
    assert!(diff.contains("\n-") && diff.contains("\n+") && diff.contains("shop/web:1.0.1"), "{diff}");
    let finished = lines.last().unwrap();
    assert_eq!((&finished["ok"], &finished["error"]), (&Value::Bool(true), &Value::Null));
    assert!(finished["seconds"].as_f64().unwrap() <= begun.elapsed().as_secs_f64());
}

/// A person who has seen enough.
#[tokio::test]
async fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
        command.args(["demo", "-o", "json"]).env("TMPDIR", folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next_line().await.unwrap().expect("it begins").contains("\"pushed\"") {}
        assert_ne!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it keeps its files there");
        let kill = format!("kill -{signal} {}", child.id().unwrap());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let mut last = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            last = line;
        }
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!((&last["event"], &last["ok"], &last["error"]), (&"finished".into(), &false.into(), &"stopped before the end".into()));
        assert_eq!(child.wait().await.unwrap().code(), Some(1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "SIG{signal} left something behind");
    }
}

//! What the directories of the crate may reach for, kept true by reading the sources.

use std::path::{Path, PathBuf};

fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!files.is_empty(), "{directory} holds sources");
    files
}

#[track_caller]
fn check(directory: &str, forbidden: &[&str]) {
    for (path, text) in sources(directory) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            for word in forbidden {
                assert!(!line.contains(word), "{}: `{word}` in code line {}: {line}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn the_core_reaches_for_nothing_outside_itself() {
    let crates = ["tokio", "kube::", "k8s_openapi", "reqwest", "warp::", "tracing::", "gix::"];
    let layers = ["crate::ports", "crate::adapters", "crate::flow", "crate::http", "crate::config", "crate::sources", "crate::cli"];
    let effects = ["async fn", ".await", "Timestamp::now", "SystemTime", "Instant::now", "std::fs", "std::env", "std::net::Tcp"];
    check("src/core", &[crates.as_slice(), &layers, &effects].concat());
}

#[test]
fn the_flow_owns_no_time_and_no_tasks() {
    check(
        "src/flow",
        &["tokio::time", "tokio::spawn", "Timestamp::now", "SystemTime", "Instant::now", "kube::", "reqwest", "gix::", "warp::"],
    );
}

#[test]
fn ports_hold_no_implementation_and_know_no_library_of_the_outside() {
    check("src/ports", &["kube::", "reqwest", "warp::", "gix::", "crate::adapters", "crate::flow", "tokio::"]);
}

#[test]
fn only_the_wiring_and_the_command_line_name_concrete_adapters() {
    for directory in ["src/flow", "src/http", "src/sources", "src/config"] {
        check(directory, &["crate::adapters::cluster", "crate::adapters::registry", "crate::adapters::git", "crate::adapters::journal"]);
    }
}

#[test]
fn the_map_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    let mut named = 0;
    for word in map.split('`').skip(1).step_by(2) {
        let is_path = ["src/", "tests/", "docs/", "benches/"].iter().any(|start| word.starts_with(start))
            || word == "Cargo.toml"
            || word == "config.example.toml";
        if is_path && !word.contains(['*', '<', ' ']) {
            assert!(root.join(word).exists(), "docs/ARCHITECTURE.md names {word}, which does not exist");
            named += 1;
        }
    }
    assert!(named > 40, "the map names the files of the tree, {named} found");
}

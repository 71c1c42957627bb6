#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use http::StatusCode;

use super::*;

const PERSON: &str = "Pat Person <pat@example.com>";

/// A remote `config.git` with one file, in a directory that lives as long.
fn remote(login: Option<Login>) -> (tempfile::TempDir, GitRemote) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.git");
    let files = [("app.yaml", b"image: app:1.0.0\n".as_slice())];
    let repository = BareRepository::create(path, files).unwrap();
    (directory, GitRemote::serve(repository, login).unwrap())
}

/// The real `git`, as a client somewhere in `directory`.
fn client(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args(["-c", "user.name=skeg", "-c", "user.email=skeg@example.com"])
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let output = client(directory, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(directory: &Path, arguments: &[&str]) -> String {
    let output = client(directory, arguments);
    assert!(!output.status.success(), "git {arguments:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Clones, and commits one change in the clone, which is left unpushed in `clone`.
fn clone_with_a_commit(directory: &Path, url: &str) -> std::path::PathBuf {
    succeeds(directory, &["clone", "--quiet", "--depth=1", url, "clone"]);
    let clone = directory.join("clone");
    std::fs::write(clone.join("app.yaml"), "image: app:1.0.1\n").unwrap();
    succeeds(&clone, &["commit", "--quiet", "--all", "--message=Update app"]);
    clone
}

fn subjects(remote: &GitRemote) -> Vec<String> {
    let log = remote.repository().log().unwrap();
    log.into_iter().map(|commit| commit.subject).collect()
}

#[test]
fn a_shallow_clone_pushes_in_every_protocol_version() {
    for version in ["0", "1", "2"] {
        let (directory, remote) = remote(None);
        remote.repository().commit("more.yaml", b"x\n", PERSON, "Add more").unwrap();
        let setting = format!("protocol.version={version}");
        let clone = ["-c", &setting, "clone", "--quiet", "--depth=1", &remote.url(), "clone"];
        succeeds(directory.path(), &clone);
        let clone = directory.path().join("clone");
        assert_eq!(succeeds(&clone, &["rev-list", "--count", "HEAD"]), "1\n");
        std::fs::write(clone.join("app.yaml"), "image: app:1.0.1\n").unwrap();
        succeeds(&clone, &["commit", "--quiet", "--all", "--message=Update app"]);
        succeeds(&clone, &["-c", &setting, "push", "--quiet"]);
        assert_eq!(subjects(&remote), ["Update app", "Add more", "Begin"]);
        assert_eq!(remote.repository().show("app.yaml").unwrap(), b"image: app:1.0.1\n");
    }
}

#[test]
fn a_deep_fetch_follows_commits_made_on_the_remote() {
    let (directory, remote) = remote(None);
    let clone = clone_with_a_commit(directory.path(), &remote.url());
    for number in 0..40 {
        let text = number.to_string();
        remote.repository().commit("n", text.as_bytes(), PERSON, "Count").unwrap();
    }
    succeeds(&clone, &["fetch", "--quiet", "--unshallow"]);
    assert_eq!(succeeds(&clone, &["rev-list", "--count", "origin/main"]), "41\n");
}

#[test]
fn a_partial_clone_fetches_blobs_when_they_are_wanted() {
    let (directory, remote) = remote(None);
    let url = remote.url();
    succeeds(directory.path(), &["clone", "--quiet", "--bare", "--filter=blob:none", &url, "bare"]);
    let bare = directory.path().join("bare");
    let shown = succeeds(&bare, &["cat-file", "blob", "main:app.yaml"]);
    assert_eq!(shown, "image: app:1.0.0\n");
}

#[test]
fn a_push_of_megabytes_streams_through() {
    let (directory, remote) = remote(None);
    let clone = clone_with_a_commit(directory.path(), &remote.url());
    // More than http.postBuffer, so that git sends it in chunks after a probe; random, so that it does not shrink.
    let big: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(3 << 20).collect();
    std::fs::write(clone.join("big"), &big).unwrap();
    succeeds(&clone, &["add", "big"]);
    succeeds(&clone, &["commit", "--quiet", "--message=Add a big file"]);
    succeeds(&clone, &["push", "--quiet"]);
    assert!(remote.repository().show("big").unwrap() == big, "the bytes differ");
}

#[tokio::test]
async fn a_gzipped_request_is_understood() {
    let (_directory, remote) = remote(None);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let want = format!("want {}\n", remote.repository().tip().unwrap());
    let request = format!("{:04x}{want}00000009done\n", want.len() + 4);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(request.as_bytes()).unwrap();
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}/git-upload-pack", remote.url()))
        .header("Content-Type", "application/x-git-upload-pack-request")
        .header("Content-Encoding", "gzip")
        .body(gzip.finish().unwrap());
    let response = response.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-git-upload-pack-result");
    let pack = response.bytes().await.unwrap();
    assert!(pack.starts_with(b"0008NAK\nPACK"), "{pack:?}");
}

#[test]
fn only_the_login_gets_in_and_it_can_be_changed() {
    let (directory, remote) = remote(Some(Login::new("robot", "s3cret")));
    let with = |login: &str| remote.url().replace("http://", &format!("http://{login}@"));
    let refs = |login: &str| client(directory.path(), &["ls-remote", &with(login)]);
    assert!(fails(directory.path(), &["ls-remote", &remote.url()]).contains("could not read Username"));
    assert!(!refs("robot:wrong").status.success());
    assert!(refs("robot:s3cret").status.success());
    remote.set_login(Some(Login::new("robot", "rotated")));
    assert!(!refs("robot:s3cret").status.success());
    assert!(refs("robot:rotated").status.success());
}

#[test]
fn another_path_is_not_found() {
    let (directory, remote) = remote(None);
    let other = remote.url().replace("config.git", "other.git");
    let error = fails(directory.path(), &["ls-remote", &other]);
    assert!(error.contains("not found"), "{error}");
}

#[test]
fn a_persons_push_in_between_makes_the_push_fail() {
    for moment in [GitRequest::PushRefs, GitRequest::Push] {
        let (directory, remote) = remote(None);
        let clone = clone_with_a_commit(directory.path(), &remote.url());
        remote.before_next(moment, |repository| {
            repository.commit("more.yaml", b"x\n", PERSON, "Get in between").unwrap();
        });
        let error = fails(&clone, &["push"]);
        assert!(error.contains("rejected"), "{error}");
        assert_eq!(subjects(&remote), ["Get in between", "Begin"]);
    }
}

#[test]
fn a_hook_refuses_the_next_push_with_its_text_and_lets_the_second_pass() {
    let (directory, remote) = remote(None);
    let clone = clone_with_a_commit(directory.path(), &remote.url());
    let refusal = GitFault::HookRefusal("main is \u{1b}[31mclosed\non Fridays".to_owned());
    remote.fail_next(GitRequest::Push, refusal);
    let error = fails(&clone, &["push"]);
    assert!(error.contains("remote: on Fridays"), "{error}");
    assert!(error.contains("pre-receive hook declined"), "{error}");
    succeeds(&clone, &["push", "--quiet"]);
    assert_eq!(subjects(&remote), ["Update app", "Begin"]);
}

#[test]
fn a_lost_answer_leaves_the_push_done_and_a_closed_connection_does_not() {
    let check = |fault: GitFault, expected: &[&str]| {
        let (directory, remote) = remote(None);
        let clone = clone_with_a_commit(directory.path(), &remote.url());
        remote.fail_next(GitRequest::Push, fault);
        fails(&clone, &["push"]);
        assert_eq!(subjects(&remote), expected);
    };
    check(GitFault::LoseAnswer, &["Update app", "Begin"]);
    check(GitFault::CloseConnection, &["Begin"]);
    check(GitFault::Status(StatusCode::SERVICE_UNAVAILABLE), &["Begin"]);
}

#[test]
fn commits_of_people_are_told_with_author_message_and_difference() {
    let (_directory, remote) = remote(None);
    let message = "Pin app\n\nBecause.\n\nReviewed-by: Kim";
    let repository = remote.repository();
    let id = repository.commit("app.yaml", b"image: app:0.9\n", PERSON, message).unwrap();
    let newest = &repository.log().unwrap()[0];
    assert_eq!(
        *newest,
        Commit {
            id: id.clone(),
            subject: "Pin app".to_owned(),
            body: "Because.\n\nReviewed-by: Kim".to_owned(),
            author: PERSON.to_owned(),
        }
    );
    assert_eq!(repository.tip().unwrap(), id);
    let diff = repository.diff(&id).unwrap();
    assert!(diff.ends_with("@@ -1 +1 @@\n-image: app:1.0.0\n+image: app:0.9\n"), "{diff}");
}

#[test]
fn paths_of_any_spelling_are_kept_and_deleted() {
    let (_directory, remote) = remote(None);
    let repository = remote.repository();
    let odd = "a \"b\"\\c\nd/é.yaml";
    let changes = [Change::File(odd, b"1"), Change::Link("link", "/etc/passwd"), Change::Delete("app.yaml")];
    repository.commit_changes(&changes, PERSON, "Change").unwrap();
    assert_eq!(repository.show(odd).unwrap(), b"1");
    assert_eq!(repository.show("link").unwrap(), b"/etc/passwd");
    assert!(matches!(repository.show("app.yaml"), Err(GitError::NotFound(_))));
    assert!(matches!(repository.diff("--output=x"), Err(GitError::NotFound(_))));
}

#[test]
fn the_machines_git_configuration_is_not_read() {
    let (directory, remote) = remote(None);
    let hostile = "[core]\n\tfsmonitor = /bin/false\n[receive]\n\tdenyDeletes = nonsense\n[init]\n\tdefaultBranch = odd\n";
    // HOME of the served repository's git; the global file is switched off, so that this one is not looked at.
    std::fs::write(remote.repository().directory().join(".gitconfig"), hostile).unwrap();
    let clone = clone_with_a_commit(directory.path(), &remote.url());
    succeeds(&clone, &["push", "--quiet"]);
}

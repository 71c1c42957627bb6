//! What must not happen, whatever a repository, a server or a setting says.

use super::*;

/// GI-05.
#[tokio::test]
async fn symbolic_links_are_never_followed() {
    let fixture = Fixture::new(&[("real/web.yaml", manifest("web", "ghcr.io/acme/web:0.9").as_bytes())]);
    let outside = fixture.folder.path().join("outside.yaml");
    std::fs::write(&outside, manifest("web", OLD)).unwrap();
    let manifest_as_target = manifest("web", OLD);
    let links = [
        Change::Link("target.yaml", &manifest_as_target),
        Change::Link("web.yaml", outside.to_str().unwrap()),
        Change::Link("passwd.yaml", "/etc/passwd"),
        Change::Link("apps", fixture.folder.path().to_str().unwrap()),
        Change::Delete("real/web.yaml"),
    ];
    fixture.repository().commit_changes(&links, PERSON, "Links").unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, GitOutcome::NotDeclared);
    let inside = |path: &str| GitEdit { place: GitPlace { remote: "fleet".into(), path: Some(path.into()) }, ..edit("web") };
    for path in ["web.yaml", "apps", "apps/outside.yaml", "../outside.yaml", "/etc/passwd"] {
        assert_eq!(fixture.write_one(inside(path)).await, GitOutcome::NotDeclared, "{path}");
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), manifest("web", OLD));
}

#[tokio::test]
async fn the_mirror_is_shallow_and_has_no_work_tree() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    for number in 0..100 {
        fixture.repository().commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Old").unwrap();
    }
    let old = GitEdit { since: Timestamp::now() + SignedDuration::from_hours(2), ..edit("web") };
    fixture.write_one(old).await;
    let mirror = mirror_of(&fixture);
    assert_eq!(git(&mirror, &["rev-list", "--count", "refs/skeg/tip"]), "32");
    assert!(!mirror.join("web.yaml").exists() && git(&mirror, &["config", "core.bare"]) == "true");
}

/// GI-04, as far as one run goes: a rotated password is used at once, and a wrong one is told as such.
#[tokio::test]
async fn a_rotated_password_is_used_at_the_next_run() {
    let password = Arc::new(Mutex::new("old".to_owned()));
    let source: SecretSource = {
        let password = Arc::clone(&password);
        Arc::new(move || Ok(password.lock().unwrap().clone()))
    };
    let login = Login::new("git", "old");
    let fixture = Fixture::with(&[("web.yaml", manifest("web", OLD).as_bytes())], Some(login), |settings| settings.password = Some(source));
    assert_eq!(fixture.remotes.check("fleet").await, Ok(()));
    fixture.remote.set_login(Some(Login::new("git", "new")));
    let error = fixture.write(&[edit("web")]).await.unwrap_err();
    assert!(matches!(error, GitError::Unauthorized { .. }), "{error}");
    *password.lock().unwrap() = "new".to_owned();
    assert!(matches!(fixture.write_one(edit("web")).await, GitOutcome::Recorded(_)));
}

/// SE-01 for this port: the canary is on no command line while git runs, in no file of the mirror, no error and no log line.
#[tokio::test]
async fn a_password_is_nowhere_but_in_the_request() {
    const CANARY: &str = "canary-6f1d2c";
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer({
        let log = Arc::clone(&log);
        move || Shared(Arc::clone(&log))
    });
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let login = Login::new("robot", CANARY);
    let fixture = Fixture::with(&[("web.yaml", manifest("web", OLD).as_bytes())], Some(login), |settings| {
        settings.username = Some("robot".into());
        settings.password = Some(Arc::new(|| Ok(CANARY.to_owned())));
    });
    let command_lines = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&command_lines);
    fixture.remote.before_next(GitRequest::Push, move |_| seen.lock().unwrap().push_str(&all_command_lines()));
    fixture.write_one(edit("web")).await;
    fixture.remote.set_login(Some(Login::new("robot", "another")));
    let refused = fixture.write(&[edit("web")]).await.unwrap_err();
    let encoded = "cm9ib3Q6Y2FuYXJ5LTZmMWQyYw==";

    let command_lines = command_lines.lock().unwrap().clone();
    assert!(command_lines.contains("push"), "git was running: {command_lines}");
    let files = git(
        Path::new("/"),
        &["-C", fixture.folder.path().join("mirrors").to_str().unwrap(), "grep", "--no-index", "-l", "-F", "-e", CANARY, "-e", encoded],
    );
    assert_eq!(files, "");
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    for text in [command_lines, refused.to_string(), format!("{refused:?}"), log] {
        assert!(!text.contains(CANARY) && !text.contains(encoded), "{text}");
    }
}

/// Credentials go to the address they are for: a redirect is an error that says so, and the other server hears nothing.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let target = other.remote.url();
    let answering = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let (mut stream, _) = server.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        let mut path = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap().trim_start_matches("/moved.git").to_owned();
            }
            line.clear();
        }
        write!(stream, "HTTP/1.1 301 Moved\r\nLocation: {target}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    let mut settings = settings(&format!("http://{address}/moved.git"));
    settings.password = Some(Arc::new(|| Ok("canary".to_owned())));
    let folder = tempfile::tempdir().unwrap();
    let remotes = GitRemotes::new(vec![settings], folder.path(), &(Arc::new(SystemClock) as Arc<dyn Clock>)).unwrap();
    let error = remotes.write_back("fleet", &[edit("web")]).await.unwrap_err();
    answering.join().unwrap();
    assert!(matches!(&error, GitError::Broken { detail, .. } if detail.contains("the server has moved the repository")), "{error}");
    assert_eq!(other.remote.requests(), []);
}

/// GI-17.
#[tokio::test]
async fn an_address_or_branch_that_reads_as_an_option_or_another_transport_is_refused_at_load() {
    let refuse = |change: &dyn Fn(&mut skeg::adapters::git::GitRemote)| {
        let mut settings = settings("https://git.example.com/fleet.git");
        change(&mut settings);
        GitRemotes::new(vec![settings], Path::new("/nonexistent"), &(Arc::new(SystemClock) as Arc<dyn Clock>)).err().unwrap().to_string()
    };
    let scheme = "[[git]] fleet: url: only https:// and ssh:// are spoken, and http:// with insecure = true";
    assert_eq!(refuse(&|settings: &mut skeg::adapters::git::GitRemote| settings.url = "ext::sh".into()), scheme);
    assert_eq!(refuse(&|settings: &mut skeg::adapters::git::GitRemote| settings.url = "file:///etc".into()), scheme);
    let form = "[[git]] fleet: url: not an address of the form https://host/path, ssh://user@host/path or user@host:path";
    for url in ["--upload-pack=touch", "-oProxyCommand=x@host:path", "git@-oProxyCommand=x:path", "ssh://git@%2doProxyCommand=x/path"] {
        assert_eq!(refuse(&|settings: &mut skeg::adapters::git::GitRemote| settings.url = url.into()), form, "{url}");
    }
    assert_eq!(
        refuse(&|settings: &mut skeg::adapters::git::GitRemote| settings.branch = "--force".into()),
        "[[git]] fleet: branch: not a name of a branch (git-check-ref-format)"
    );
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The command lines of all processes, as every user of the machine may read them.
fn all_command_lines() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
    processes.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

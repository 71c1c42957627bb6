//! Git over SSH, against a real `sshd`: two files say who asks and who is asked, and nothing else counts.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use skeg::adapters::clock::SystemClock;
use skeg::adapters::git::{GitAuthor, GitRemote, GitRemotes, SshFiles};
use skeg::core::directives::GitPlace;
use skeg::core::update::UpdateId;
use skeg::core::workload::{WorkloadId, WorkloadKind};
use skeg::ports::clock::Clock;
use skeg::ports::git::{Git as _, GitEdit, GitError, GitImage, GitOutcome};

use crate::support::agent::{Agent, MovedClock, PERSON, Setup, Workload, text};
use crate::support::git_ssh::{KeyPair, SshGit, known_host, set_mode};

const OLD: &str = "ghcr.io/acme/web:1.0.0";
const NEW: &str = "ghcr.io/acme/web:1.0.1";
/// The longest that a program may take to be seen, or to be gone.
const SEEN_MAX: Duration = Duration::from_secs(30);
/// Between two looks at the processes of this machine, which tell nobody when they change.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  template:\n    spec:\n      containers:\n        - name: app\n          image: {image} # here\n"
    )
}

/// A server, skeg's side of it, and skeg's two files. Blanks and an apostrophe in a name are nothing special.
struct Fixture {
    server: SshGit,
    remotes: GitRemotes,
    key: KeyPair,
    known_hosts: PathBuf,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Option<Self> {
        let server = SshGit::start(&[("web.yaml", manifest(OLD).as_bytes())])?;
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("o'neil's files");
        std::fs::create_dir(&files).unwrap();
        let (key, known_hosts) = (KeyPair::create(files.join("my key")), files.join("known hosts"));
        std::fs::write(&known_hosts, server.known_host()).unwrap();
        server.admit(&key);
        let remotes = remotes(folder.path(), &server.url(), &key.file, &known_hosts);
        Some(Self { server, remotes, key, known_hosts, folder })
    }

    async fn write(&self) -> Result<GitOutcome, GitError> {
        self.remotes.write_back("fleet", &[edit()]).await.map(|mut outcomes| outcomes.remove(0))
    }

    async fn fails(&self) -> String {
        let error = self.write().await.unwrap_err();
        assert_eq!(self.subjects(), ["Begin"]);
        error.to_string()
    }

    fn subjects(&self) -> Vec<String> {
        self.server.repository().log().unwrap().into_iter().map(|commit| commit.subject).collect()
    }
}

fn remotes(folder: &Path, url: &str, key: &Path, known_hosts: &Path) -> GitRemotes {
    let remote = GitRemote {
        name: "fleet".into(),
        url: url.into(),
        insecure: false,
        branch: "main".into(),
        path: None,
        namespaces: vec!["shop".into()],
        username: None,
        password: None,
        ssh: Some(SshFiles { key: key.to_owned(), known_hosts: known_hosts.to_owned() }),
        author: GitAuthor { name: "skeg".into(), email: "skeg@example.com".into() },
        ca_file: None,
    };
    GitRemotes::new(vec![remote], &folder.join("mirrors"), &(Arc::new(SystemClock) as Arc<dyn Clock>)).unwrap()
}

fn edit() -> GitEdit {
    GitEdit {
        update: UpdateId { namespace: "shop".into(), name: "web-0123456789".into() },
        workload: WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() },
        since: Timestamp::now() - SignedDuration::from_mins(1),
        place: GitPlace { remote: "fleet".into(), path: None },
        images: vec![GitImage { container: "app".into(), init: false, from: OLD.into(), to: NEW.into() }],
        approved_by: Vec::new(),
        comparisons: Vec::new(),
        looks_only: false,
    }
}

#[tokio::test]
async fn an_image_is_committed_by_ssh() {
    let Some(fixture) = Fixture::new() else { return };
    assert_eq!(fixture.remotes.check("fleet").await, Ok(()));
    let outcome = fixture.write().await.unwrap();
    let tip = fixture.server.repository().tip().unwrap();
    assert!(matches!(&outcome, GitOutcome::Recorded(commit) if *commit.id == *tip), "{outcome:?}");
    assert_eq!(fixture.server.repository().show("web.yaml").unwrap(), manifest(NEW).as_bytes());
    let again = fixture.write().await.unwrap();
    assert!(matches!(&again, GitOutcome::Stands(commit) if *commit.id == *tip), "the commit is found again: {again:?}");
    assert_eq!(fixture.subjects(), ["Update web to 1.0.1", "Begin"]);
}

/// A server that does not prove to be the one that is meant hears nothing but a greeting, and its operator learns what to do.
#[tokio::test]
async fn a_server_without_the_right_host_key_is_not_spoken_to() {
    let Some(fixture) = Fixture::new() else { return };
    std::fs::write(&fixture.known_hosts, "").unwrap();
    let unknown = fixture.fails().await;
    let start = format!("fleet: the server is not trusted: No ED25519 host key is known for [{}]:", fixture.server.address().ip());
    assert!(unknown.starts_with(&start) && unknown.contains("to known_hosts_file"), "{unknown}");

    std::fs::write(&fixture.known_hosts, known_host(fixture.server.address(), &fixture.key)).unwrap();
    let changed = fixture.fails().await;
    assert!(changed.starts_with("fleet: the server is not trusted: Host key for ["), "{changed}");
    assert!(changed.contains("has changed") && changed.contains("mend known_hosts_file"), "{changed}");

    std::fs::write(&fixture.known_hosts, format!("@revoked {}", fixture.server.known_host())).unwrap();
    assert!(fixture.fails().await.contains("was revoked"));

    std::fs::remove_file(&fixture.known_hosts).unwrap();
    let gone = format!("fleet: not authorised: known_hosts_file {}: entity not found", fixture.known_hosts.display());
    assert_eq!(fixture.fails().await, gone);
    assert!(!fixture.known_hosts.exists(), "no key is ever written down at first sight");

    std::fs::write(&fixture.known_hosts, fixture.server.known_host()).unwrap();
    assert!(matches!(fixture.write().await, Ok(GitOutcome::Recorded(_))), "the file is read again at each try");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_with_what_to_do() {
    let Some(fixture) = Fixture::new() else { return };
    let key = std::fs::read(&fixture.key.file).unwrap();
    set_mode(&fixture.key.file, 0o644);
    let open = fixture.fails().await;
    assert!(open.starts_with("fleet: not authorised: Permissions 0644 for '"), "{open}");
    assert!(
        open.ends_with("are too open. Others may read ssh_key_file: chmod 600 it, or mount its Secret with defaultMode 0400"),
        "{open}"
    );
    set_mode(&fixture.key.file, 0o600);

    std::fs::write(&fixture.key.file, "no key\n").unwrap();
    assert!(fixture.fails().await.ends_with(": ssh_key_file must hold a private key"));
    std::fs::remove_file(&fixture.key.file).unwrap();
    let gone = format!("fleet: not authorised: ssh_key_file {}: entity not found", fixture.key.file.display());
    assert_eq!(fixture.fails().await, gone);

    std::fs::write(&fixture.key.file, key).unwrap();
    set_mode(&fixture.key.file, 0o600);
    fixture.server.admit(&KeyPair::create(fixture.folder.path().join("other")));
    let refused = fixture.fails().await;
    assert!(
        refused.contains("Permission denied (publickey). (the server does not take ssh_key_file: register its public key"),
        "{refused}"
    );
}

/// As kubelet does it: the file is a link into a folder that is itself a link, and that is replaced.
#[tokio::test]
async fn a_key_that_is_rotated_in_its_secret_is_used_at_the_next_try() {
    let Some(fixture) = Fixture::new() else { return };
    let secret = fixture.folder.path().join("secret");
    let version = |name: &str| {
        std::fs::create_dir_all(secret.join(name)).unwrap();
        let key = KeyPair::create(secret.join(name).join("key"));
        std::fs::write(secret.join(name).join("hosts"), fixture.server.known_host()).unwrap();
        symlink(name, secret.join("..next")).unwrap();
        std::fs::rename(secret.join("..next"), secret.join("..data")).unwrap();
        key
    };
    let old = version("..1");
    symlink("..data/key", secret.join("key")).unwrap();
    symlink("..data/hosts", secret.join("hosts")).unwrap();
    let remotes = remotes(fixture.folder.path(), &fixture.server.url(), &secret.join("key"), &secret.join("hosts"));
    fixture.server.admit(&old);
    assert_eq!(remotes.check("fleet").await, Ok(()));

    let new = KeyPair::create(fixture.folder.path().join("new"));
    fixture.server.admit(&new);
    assert!(matches!(remotes.check("fleet").await, Err(GitError::Unauthorized { .. })));
    fixture.server.admit(&version("..2"));
    assert!(matches!(remotes.write_back("fleet", &[edit()]).await.as_deref(), Ok([GitOutcome::Recorded(_)])));
}

/// GI-03: four kilobytes with control characters, from a real hook.
#[tokio::test]
async fn what_a_hook_says_is_told_cut_and_clean() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.server.hook("pre-receive", "printf 'frozen\\033[31m\\a until\\rMonday ' >&2; head -c 4096 /dev/zero | tr '\\0' x >&2; exit 1");
    let GitError::Refused { remote, detail } = fixture.write().await.unwrap_err() else { panic!("not refused") };
    assert_eq!(remote, "fleet");
    assert!(detail.starts_with("pre-receive hook declined: frozen [31m until Monday xxx"), "{detail}");
    assert!(detail.chars().count() <= 300 && !detail.contains(char::is_control), "{detail}");
    assert_eq!(fixture.subjects(), ["Begin"]);
}

/// GI-03, by a whole agent: the hook is asked a bounded number of times, the image runs on, and status says that Git does not show it. skeg's
/// clock goes on by a second whenever the update waits.
#[tokio::test]
async fn a_push_that_a_real_hook_refuses_each_time_ends_unrecorded_and_is_seen_in_status() {
    let Some(fixture) = Fixture::new() else { return };
    let tries = fixture.folder.path().join("tries");
    let says = "printf 'frozen\\033[31m\\a until\\rMonday ' >&2; head -c 4096 /dev/zero | tr '\\0' x >&2; exit 1";
    fixture.server.hook("pre-receive", &format!("echo once more >> '{}'; {says}", tries.display().to_string().replace('\'', "'\\''")));
    let clock: Arc<MovedClock> = Arc::default();
    let more = entry(&fixture, &fixture.server.url());
    let workload = Workload::new("web", "shop/web", "1.0.0").directive("git", "by-ssh");
    let setup = Setup { more: Box::leak(more.into_boxed_str()), ..Setup::of([workload.clone()]) };
    let agent = Agent::start_by(setup, clock.clone()).await;
    let declared = workload.manifest(&agent.stage.registry.address().to_string());
    fixture.server.repository().commit("apps/web.yaml", declared.as_bytes(), PERSON, "Declare web").unwrap();
    agent.push("shop/web", "1.0.1");
    let closed = async || {
        let update = agent.update_to("1.0.1").await?;
        if update["trouble"]["retryAt"].is_string() {
            clock.move_on(SignedDuration::from_secs(1));
        }
        (update["phase"] == "Unrecorded").then_some(update)
    };
    let end = agent.wait_for("the update is closed", closed).await;
    let told = text(&end, "/reason/message");
    assert!(told.contains("pre-receive hook declined: frozen [31m until Monday xxx"), "{told}");
    assert!(told.len() < 400 && !told.contains(char::is_control), "{told}");
    assert_eq!(std::fs::read_to_string(&tries).unwrap().lines().count(), 5);
    assert_eq!(fixture.subjects(), ["Declare web", "Begin"]);
    assert_eq!(agent.deployment_image("web"), agent.stage.image("shop/web", "1.0.1"), "what runs is not taken back");
    let status = agent.get("/v1/status").await;
    let remote = status["remotes"].as_array().unwrap().iter().find(|remote| remote["name"] == "by-ssh").unwrap();
    assert_eq!(remote["state"], "degraded", "{remote:#}");
    assert!(remote.to_string().contains("frozen [31m until Monday"), "{remote:#}");

    // A person has lifted the freeze.
    fixture.server.hook("pre-receive", "exit 0");
    agent.vote("1.0.1", "retry").await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((fixture.subjects().len(), agent.patches_done()), (3, 1));
}

#[tokio::test]
async fn a_repository_or_a_server_that_is_not_there_is_told_apart() {
    let Some(fixture) = Fixture::new() else { return };
    let at = |url: &str| remotes(&fixture.folder.path().join("others"), url, &fixture.key.file, &fixture.known_hosts);
    let missing = at(&fixture.server.url().replace("config.git", "other.git")).check("fleet").await;
    assert_eq!(missing.unwrap_err().to_string(), "fleet: ERROR: Repository not found.");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let elsewhere = fixture.server.url().replace(&fixture.server.address().to_string(), &nobody.to_string());
    let gone = at(&elsewhere).check("fleet").await.unwrap_err();
    assert!(matches!(&gone, GitError::Unreachable { detail, .. } if detail.contains("Connection refused")), "{gone}");
}

/// git starts ssh, and a server may keep a connection for ever: whoever gives up on git must not leave ssh behind.
#[tokio::test]
async fn no_ssh_is_left_behind_by_a_run_that_is_given_up() {
    let Some(fixture) = Fixture::new() else { return };
    let gate = fixture.folder.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    // Open for both sides, so that neither waits for the other.
    let mut held = std::fs::File::options().read(true).write(true).open(&gate).unwrap();
    fixture.server.hook("pre-receive", &format!("read -r _ < {}", gate.display()));
    let mine = fixture.folder.path().to_str().unwrap().to_owned();
    let runs = || processes().iter().any(|process| process.starts_with("ssh\0") && process.contains(&mine));
    {
        let mut push = std::pin::pin!(fixture.write());
        let pushes = || processes().iter().any(|process| process.contains("receive-pack") && process.contains(&mine));
        while !pushes() {
            let waited = tokio::time::timeout(LOOK_EVERY, &mut push).await;
            assert!(waited.is_err(), "it ended: {waited:?}");
        }
        assert!(runs());
    }
    let deadline = Instant::now() + SEEN_MAX;
    while runs() {
        assert!(Instant::now() < deadline, "ssh is still there");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    held.write_all(b"go\n").unwrap();
}

/// GI-04 for a key: the server takes another one now, and it is rotated in its file while the update waits.
#[tokio::test]
async fn an_update_is_recorded_by_ssh_within_a_minute_of_the_rotation_of_its_key() {
    let Some(fixture) = Fixture::new() else { return };
    let next = KeyPair::create(fixture.folder.path().join("next"));
    fixture.server.admit(&next);
    let more = entry(&fixture, &fixture.server.url());
    let workload = Workload::new("web", "shop/web", "1.0.0").directive("git", "by-ssh");
    let agent = Agent::start(Setup { more: Box::leak(more.into_boxed_str()), ..Setup::of([workload.clone()]) }).await;
    let declared = workload.manifest(&agent.stage.registry.address().to_string());
    fixture.server.repository().commit("apps/web.yaml", declared.as_bytes(), PERSON, "Declare web").unwrap();

    agent.push("shop/web", "1.0.1");
    let refused = async || {
        let update = agent.update_to("1.0.1").await?;
        text(&update, "/reason/message").contains("by-ssh: not authorised").then_some(update)
    };
    let update = agent.wait_for("the key is refused", refused).await;
    assert!(text(&update, "/reason/message").contains("the server does not take ssh_key_file"), "{update:#}");
    next.replace(&fixture.key);
    let rotated = Instant::now();
    agent.wait_for_phase("1.0.1", "Done").await;
    assert!(rotated.elapsed() < Duration::from_mins(1));
    assert_eq!(fixture.subjects(), ["Update web to 1.0.1", "Declare web", "Begin"]);
    let image = agent.stage.image("shop/web", "1.0.1");
    assert_eq!(
        fixture.server.repository().show("apps/web.yaml").unwrap(),
        declared.replace(&agent.stage.image("shop/web", "1.0.0"), &image).as_bytes()
    );
}

/// The `[[git]]` entry for a server behind this address.
fn entry(fixture: &Fixture, url: &str) -> String {
    let (key, known_hosts) = (fixture.key.file.display(), fixture.known_hosts.display());
    format!(
        "[[git]]\nname = \"by-ssh\"\nurl = \"{url}\"\nnamespaces = [\"*\"]\nssh_key_file = \"{key}\"\nknown_hosts_file = \"{known_hosts}\"\n"
    )
}

/// Passes connections on to a server and keeps the time of each.
async fn doorman(server: std::net::SocketAddr, clock: Arc<dyn Clock>) -> (std::net::SocketAddr, Arc<Mutex<Vec<Timestamp>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Timestamp>>>::default());
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            kept.lock().unwrap().push(clock.now());
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                // Either side may close at any time.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, seen)
}

/// GI-04, at a real sshd: the key is revoked while three updates are due, and another one is put into its file. skeg's clock goes on by a
/// second whenever all of them wait, so that a minute of it takes moments.
#[tokio::test]
async fn a_revoked_key_is_tried_seldom_and_its_successor_within_a_minute() {
    let Some(fixture) = Fixture::new() else { return };
    let next = KeyPair::create(fixture.folder.path().join("next"));
    fixture.server.admit(&next);
    let names = ["a", "b", "c"];
    let workloads = names.map(|name| Workload::new(name, &format!("shop/{name}"), "1.0.0").directive("git", "by-ssh"));
    // Where the server seems to be is known when skeg's clock exists, which the entry has to be written before.
    let clock: Arc<MovedClock> = Arc::default();
    let (address, seen) = doorman(fixture.server.address(), clock.clone()).await;
    std::fs::write(&fixture.known_hosts, fixture.server.known_host_at(address)).unwrap();
    let more = entry(&fixture, &SshGit::url_at(address));
    let setup = Setup { more: Box::leak(more.into_boxed_str()), ..Setup::of(workloads.clone()) };
    let agent = Agent::start_by(setup, clock.clone()).await;
    let host = agent.stage.registry.address().to_string();
    for workload in &workloads {
        let path = format!("apps/{}.yaml", workload.name);
        fixture.server.repository().commit(&path, workload.manifest(&host).as_bytes(), PERSON, "Declare it").unwrap();
        agent.push(&format!("shop/{}", workload.name), "1.0.1");
    }
    let tries = || seen.lock().unwrap().len();
    let goes_on = async || {
        let updates = agent.updates().await;
        let waits = |update: &&serde_json::Value| update["phase"] == "Recording" && update["trouble"]["retryAt"].is_string();
        if updates.iter().filter(waits).count() == names.len() {
            clock.move_on(SignedDuration::from_secs(1));
        }
    };
    agent
        .until("the key is tried five times", async || {
            goes_on().await;
            tries() >= 5
        })
        .await;
    let times = seen.lock().unwrap().clone();
    let pauses: Vec<SignedDuration> = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    // The first comes while the updates become due one after another.
    assert!(pauses.iter().skip(1).all(|pause| *pause >= SignedDuration::from_secs(10)), "more than six tries a minute: {pauses:?}");
    let update = agent.update_to("1.0.1").await.unwrap();
    assert!(text(&update, "/reason/message").contains("by-ssh: not authorised"), "{update:#}");

    next.replace(&fixture.key);
    let rotated = clock.now();
    agent
        .until("everything is committed", async || {
            goes_on().await;
            agent.updates().await.iter().all(|update| update["phase"] == "Done")
        })
        .await;
    let took = clock.now().duration_since(rotated);
    assert!(took < SignedDuration::from_mins(1), "{took}");
    assert_eq!(agent.patches_done(), names.len());
}

/// The command lines of all processes, words ended by NUL.
fn processes() -> Vec<String> {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
}

/// What surrounds skeg has no say: another ssh, an agent, a program that asks for passwords, settings of git.
#[tokio::test]
async fn nothing_around_skeg_decides_how_ssh_is_run() {
    let Some(fixture) = Fixture::new() else { return };
    let folder = fixture.folder.path();
    let touched = folder.join("touched");
    let touch = format!("touch {}", touched.display());
    std::fs::write(folder.join("gitconfig"), format!("[core]\n\tsshCommand = {touch}\n[url \"ext::{touch} \"]\n\tinsteadOf = ssh://\n"))
        .unwrap();
    let quoted = |path: &Path| format!("\"{}\"", path.display());
    let config = format!(
        "[server]\ncache_dir = \"cache\"\n[[git]]\nname = \"fleet\"\nurl = \"{}\"\nnamespaces = [\"*\"]\nssh_key_file = {}\nknown_hosts_file = {}\n",
        fixture.server.url(),
        quoted(&fixture.key.file),
        quoted(&fixture.known_hosts),
    );
    std::fs::write(folder.join("skeg.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
    for name in ["GIT_SSH_COMMAND", "GIT_SSH", "SSH_ASKPASS", "GIT_ASKPASS", "GIT_PROXY_COMMAND"] {
        command.env(name, &touch);
    }
    command.env("SSH_AUTH_SOCK", folder.join("agent")).env("GIT_CONFIG_GLOBAL", folder.join("gitconfig")).env("GIT_SSH_VARIANT", "plink");
    let tried = command.args(["check-config", "--connect", "--config"]).arg(folder.join("skeg.toml")).output().unwrap();
    let said = String::from_utf8(tried.stdout).unwrap() + &String::from_utf8_lossy(&tried.stderr);
    assert!(said.lines().any(|line| line.contains("fleet") && line.contains("answers, and has the branch")), "{said}");
    assert!(!touched.exists());
}

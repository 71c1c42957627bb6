//! One run of the `git` program: an argument vector and no shell, a deadline, bounded output, nothing of the machine's or a
//! person's configuration, and no way to ask anybody anything.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::core::address::LOOPBACK_HOSTS;

/// The oldest git whose behaviour is relied on: `GIT_CONFIG_COUNT` (2.31), `GIT_CONFIG_GLOBAL` (2.32), and 2.34 as the oldest
/// that a supported distribution ships (Ubuntu 22.04).
const VERSION_MIN: (u32, u32) = (2, 34);
/// What is kept of each output. A report of one pushed branch has three lines; a hook may add a few thousand bytes.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// `git --version` opens no file and no connection.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that moves fewer bytes a second than this …
const STALL_BYTES_PER_SECOND: u32 = 100;
/// … for this long ends by itself, also when git was killed and only its transport helper is left.
const STALL_SECONDS: u32 = 60;
/// Variables that are passed on: where programs are, and how this network and its certificates are to be used.
const PASSED_ON: [&str; 8] =
    ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// Settings of every run. Written here and not into the mirror, so that what a damaged mirror says does not count.
const SETTINGS: [(&str, &str); 12] = [
    // Programs that git would start, or ask.
    ("core.hooksPath", "/dev/null"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // Credentials go to the address they are for, and not to where it points.
    ("http.followRedirects", "false"),
    ("protocol.version", "2"),
    // One pack for each fetch: they are counted to know when a mirror has grown old.
    ("fetch.unpackLimit", "1"),
    ("fetch.recurseSubmodules", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.gpgSign", "false"),
    ("push.followTags", "false"),
];

/// The program, ready to run.
#[derive(Clone)]
pub(super) struct GitProgram {
    environment: Arc<[(OsString, OsString)]>,
}

/// One run.
pub(super) struct Run<'a> {
    /// Its arguments, without the repository.
    pub arguments: &'a [&'a str],
    /// The repository, by its absolute path; `None` for a run that needs none.
    pub git_dir: Option<&'a Path>,
    /// Settings of this run alone, and what of them must not be shown.
    pub access: &'a Access,
    /// When it is killed.
    pub deadline: Duration,
}

/// What a run needs to know about a remote, and must not tell.
#[derive(Default)]
pub(super) struct Access {
    /// Git settings, by key.
    pub settings: Vec<(String, String)>,
    /// Variables of git's environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// Texts that are `***` in every output.
    pub secrets: Vec<String>,
}

/// What a run left behind. The texts hold no secret; they are as wild as the server wants them to be.
pub(super) struct Finished {
    /// Whether it did what it was asked.
    pub succeeded: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A run that has not ended, with every program it started: `ssh` would stay for as long as the server keeps the connection.
struct Group(Option<Pid>);

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// It could not be started or waited for.
    #[error("cannot run git: {0}")]
    Io(#[from] io::Error),
    /// It was killed.
    #[error("git {command} did not finish within {} s", deadline.as_secs())]
    TimedOut {
        /// The subcommand.
        command: String,
        /// The time it had.
        deadline: Duration,
    },
}

/// Why the `git` program cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitProgramError {
    /// There is none, or it does not run.
    #[error("the git program is needed for write-back: {detail}")]
    Missing {
        /// What the system said.
        detail: String,
    },
    /// It is too old, or says no version.
    #[error("git {}.{} or newer is needed for write-back, this is {found}", VERSION_MIN.0, VERSION_MIN.1)]
    TooOld {
        /// What it says of itself.
        found: String,
    },
}

/// The version of the `git` program in `PATH`, major and minor, when it is new enough.
pub async fn git_version() -> Result<(u32, u32), GitProgramError> {
    let run = Run { arguments: &["--version"], git_dir: None, access: &Access::default(), deadline: VERSION_DEADLINE };
    let missing = |error: RunError| GitProgramError::Missing { detail: error.to_string() };
    let finished = GitProgram::new(Path::new("/nonexistent")).run(run).await.map_err(missing)?;
    read_version(&finished.stdout)
}

/// The hosts that are reached without a proxy: those of the surroundings, and this machine. The lower-case name goes before the other.
fn not_by_proxy() -> OsString {
    let theirs = ["no_proxy", "NO_PROXY"].into_iter().filter_map(std::env::var_os).find(|hosts| !hosts.is_empty());
    let mut hosts = theirs.unwrap_or_default();
    hosts.push(",");
    hosts.push(LOOPBACK_HOSTS);
    hosts
}

/// Reads `git version 2.39.5 (Apple Git-154)`.
fn read_version(text: &str) -> Result<(u32, u32), GitProgramError> {
    let number = text.trim().strip_prefix("git version ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let mut parts = number.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= VERSION_MIN => Ok((major, minor)),
        _ => Err(GitProgramError::TooOld { found: crate::core::one_line::one_line(text, 100) }),
    }
}

impl GitProgram {
    /// The program with `home`, an empty folder or none at all, as its home.
    pub fn new(home: &Path) -> Self {
        let fixed = [
            // Messages are told apart by their words.
            ("LC_ALL", OsString::from("C")),
            ("HOME", home.into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_ALLOW_PROTOCOL", "https:http".into()),
            ("GIT_NO_REPLACE_OBJECTS", "1".into()),
            ("GIT_HTTP_LOW_SPEED_LIMIT", STALL_BYTES_PER_SECOND.to_string().into()),
            ("GIT_HTTP_LOW_SPEED_TIME", STALL_SECONDS.to_string().into()),
        ];
        let passed_on = PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let all = fixed.into_iter().chain(passed_on).chain([("no_proxy", not_by_proxy())]);
        Self { environment: all.map(|(name, value)| (name.into(), value)).collect() }
    }

    /// Runs it to its end or its deadline. When this future is dropped, git is killed.
    pub async fn run(&self, run: Run<'_>) -> Result<Finished, RunError> {
        let mut child = self.command(&run).spawn()?;
        // Dropped before `child`: until that is waited for, nobody else can have its number.
        let mut group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let finish = async { tokio::join!(keep(stdout), keep(stderr), child.wait()) };
        let Ok((stdout, stderr, status)) = timeout(run.deadline, finish).await else {
            let command = run.arguments.first().copied().unwrap_or_default().to_owned();
            return Err(RunError::TimedOut { command, deadline: run.deadline });
        };
        group.has_ended();
        let text = |bytes: Vec<u8>| run.access.mask(&String::from_utf8_lossy(&bytes));
        Ok(Finished { succeeded: status?.success(), stdout: text(stdout), stderr: text(stderr) })
    }

    fn command(&self, run: &Run<'_>) -> Command {
        let mut command = Command::new("git");
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let own = run.access.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0;
        for (key, value) in SETTINGS.into_iter().chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command.envs(run.access.environment.iter().map(|(name, value)| (name, value)));
        if let Some(git_dir) = run.git_dir {
            command.arg("--git-dir").arg(git_dir);
        }
        // Not in the folder skeg was started in: a repository there would lend git its configuration.
        command.current_dir("/").args(run.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }
}

impl Group {
    /// The group that this child leads.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)))
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It fails where all of them have ended in this moment.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Reads a stream to its end and keeps its beginning: a child that nobody reads from would wait for ever.
async fn keep(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        // An error ends the stream; what was read until then is all there is to know.
        let _ = (&mut stream).take(OUTPUT_BYTES_MAX).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    kept
}

impl Access {
    fn mask(&self, text: &str) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_version(text: &str, version: Option<(u32, u32)>) {
        assert_eq!(read_version(text).ok(), version, "{text}");
    }

    #[test]
    fn versions_are_read_and_the_old_ones_refused() {
        check_version("git version 2.39.5\n", Some((2, 39)));
        check_version("git version 2.50.1 (Apple Git-155)\n", Some((2, 50)));
        check_version("git version 2.34.GIT\n", Some((2, 34)));
        check_version("git version 3.0.0\n", Some((3, 0)));
        check_version("git version 2.33.8\n", None);
        check_version("", None);
        check_version("busybox\n", None);
    }

    #[tokio::test]
    async fn the_program_here_is_new_enough() {
        assert!(git_version().await.unwrap() >= VERSION_MIN);
    }

    fn git(arguments: &'static [&'static str], access: &Access) -> impl Future<Output = Result<Finished, RunError>> {
        let program = GitProgram::new(Path::new("/nonexistent"));
        async move { program.run(Run { arguments, git_dir: None, access, deadline: VERSION_DEADLINE }).await }
    }

    #[tokio::test]
    async fn only_the_settings_given_here_count_and_secrets_are_masked() {
        let access =
            Access { settings: vec![("skeg.test".into(), "canary and more".into())], secrets: vec!["canary".into()], ..Access::default() };
        let shown = git(&["config", "--list", "--show-scope"], &access).await.unwrap();
        assert!(shown.succeeded, "{}", shown.stderr);
        assert!(shown.stdout.lines().all(|line| line.starts_with("command\t")), "{}", shown.stdout);
        assert!(shown.stdout.contains("skeg.test=*** and more"), "{}", shown.stdout);
    }

    #[tokio::test]
    async fn other_transports_are_refused_by_git_itself() {
        for url in ["file:///tmp", "/tmp", "ext::true", "ssh://127.0.0.1/a"] {
            let finished = git(Box::leak(Box::new(["ls-remote", "--", url])), &Access::default()).await.unwrap();
            assert!(!finished.succeeded && finished.stderr.contains("not allowed"), "{url}: {}", finished.stderr);
        }
    }

    #[tokio::test]
    async fn a_run_that_does_not_end_is_killed_at_its_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/silent", listener.local_addr().unwrap());
        let run =
            Run { arguments: &["ls-remote", "--", &url], git_dir: None, access: &Access::default(), deadline: Duration::from_millis(300) };
        let error = GitProgram::new(Path::new("/nonexistent")).run(run).await.err().unwrap();
        assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
    }
}

//! The `skeg` program as a container has it: started from a file, killed and stopped from outside.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// From the start to its first lines. A moment, on a machine that is not busy.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// From SIGTERM to the end: what is promised, and a machine's delay.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// A running daemon. It is killed when this is dropped.
pub struct Daemon {
    child: Child,
    /// Host and port of the API.
    pub private: String,
    /// Host and port of the receivers.
    pub public: String,
    log: Lines,
    audit: Lines,
    told: tokio::task::JoinHandle<()>,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Daemon {
    /// Starts `skeg run` with this file, in which the log must be JSON, and waits until it listens.
    pub async fn start(config: &Path) -> Self {
        Self::start_with(config, &[]).await
    }

    /// The same with these variables in its environment.
    pub async fn start_with(config: &Path, variables: &[(&str, &str)]) -> Self {
        match Self::begin(config, variables, STARTED_WITHIN).await {
            Ok(daemon) => daemon,
            Err(log) => panic!("skeg did not start: {log:#?}"),
        }
    }

    /// The same for one that is killed when it does not listen in time.
    #[allow(dead_code, reason = "one test binary uses it, the other does not")]
    pub async fn start_within(config: &Path, limit: Duration) -> Option<Self> {
        Self::begin(config, &[], limit).await.ok()
    }

    /// Starts it; if it does not listen in time it is killed, and this is what it has said.
    async fn begin(config: &Path, variables: &[(&str, &str)], limit: Duration) -> Result<Self, Vec<String>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
        command
            .args(["run", "--config"])
            .arg(config)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let (audit, told) = collect(child.stdout.take().unwrap(), |_| {});
        let (tell, mut started) = tokio::sync::mpsc::channel(1);
        let (log, _) = collect(child.stderr.take().unwrap(), move |line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            if line["message"] == "skeg has started" {
                let _ = tell.try_send(["private", "public"].map(|name| line[name].as_str().unwrap().to_owned()));
            }
        });
        let lines = || log.lock().unwrap().clone();
        match tokio::time::timeout(limit, started.recv()).await {
            Ok(Some([private, public])) => Ok(Self { child, private, public, log, audit, told }),
            Ok(None) => panic!("skeg ended before it had started: {:#?}", lines()),
            Err(_) => {
                // Waited for, so that the next one finds its ports free.
                let _ = child.kill().await;
                Err(lines())
            }
        }
    }

    /// Ends it where it stands, if it has not ended. Gives its whole audit log.
    pub async fn kill(mut self) -> Vec<Value> {
        self.child.kill().await.unwrap();
        (&mut self.told).await.unwrap();
        self.audit()
    }

    /// Asks it to end, as a Pod's deletion does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id().unwrap());
        assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Waits for the end that was asked for; how it ended, and how long that took from now.
    pub async fn ended(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let status = tokio::time::timeout(ENDED_WITHIN, self.child.wait()).await.expect("skeg does not end").unwrap();
        (status, begun.elapsed())
    }

    /// The audit log so far.
    pub fn audit(&self) -> Vec<Value> {
        self.audit.lock().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The operating log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// From here on `VmHWM` is the most memory since now (`proc_pid_clear_refs(5)`).
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id().unwrap()), "5").unwrap();
    }

    /// A figure of `/proc/PID/status` in bytes (`proc(5)`): `VmRSS` is the memory that is resident now, `VmHWM` the most there ever was.
    pub fn memory(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// Keeps the lines of a stream, and shows each to `look`.
fn collect(stream: impl AsyncRead + Unpin + Send + 'static, look: impl Fn(&str) + Send + 'static) -> (Lines, tokio::task::JoinHandle<()>) {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    let task = tokio::spawn(async move {
        let mut stream = BufReader::new(stream).lines();
        while let Ok(Some(line)) = stream.next_line().await {
            look(&line);
            kept.lock().unwrap().push(line);
        }
    });
    (lines, task)
}

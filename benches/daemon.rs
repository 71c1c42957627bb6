//! The program in a process of its own, at embedded far ends; built as for tests, with those far ends in it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::embedded::kube::{EmbeddedKube, Options};

/// The namespace of every workload.
pub const NAMESPACE: &str = "shop";
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time in which a daemon that has nothing to do comes to rest.
const REST: Duration = Duration::from_secs(3);

/// A cluster without controllers.
pub fn cluster() -> EmbeddedKube {
    let kube = EmbeddedKube::start(Options::default()).expect("a loopback port");
    for name in ["skeg", NAMESPACE] {
        kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).expect("a namespace");
    }
    kube
}

/// A Deployment as teams have it, with a policy or without one.
pub fn deployment(name: &str, image: &str, policy: Option<&str>) -> Value {
    let mut annotations = json!({"deployment.kubernetes.io/revision": "7", "example.com/team": "checkout"});
    if let Some(policy) = policy {
        annotations["skeg.dev/policy"] = policy.into();
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": image, "env": [{"name": "LOG", "value": "info"}]}]},
            },
        },
    })
}

/// A running `skeg run`. Dropping it kills it.
pub struct Daemon {
    child: Child,
    /// Time from its start until `/readyz` said yes.
    pub ready_after: Duration,
}

impl Daemon {
    /// Starts skeg at an API and, without TLS, at a registry, and waits until it is ready.
    pub fn start(folder: &Path, api: SocketAddr, registry: Option<SocketAddr>, poll: &str) -> Self {
        let private = free_address();
        let config = folder.join("skeg.toml");
        std::fs::write(folder.join("kubeconfig"), kubeconfig(api)).expect("a file");
        std::fs::write(&config, configuration(private, registry, poll)).expect("a file");
        let begun = Instant::now();
        let child =
            program().arg("run").arg("--config").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("skeg starts");
        while !is_ready(private) {
            assert!(begun.elapsed() < PATIENCE, "skeg does not get ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, ready_after: begun.elapsed() }
    }

    /// Stops it as a cluster does, and waits until it has ended.
    pub fn stop(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("an end");
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak(&self) -> f64 {
        peak(&self.child)
    }

    /// Resident memory in bytes, when the start is over.
    pub fn resident_at_rest(&self) -> f64 {
        std::thread::sleep(REST);
        resident(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, as built for this run.
pub fn program() -> Command {
    Command::new(executable())
}

/// Where the program is.
pub fn executable() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_skeg"))
}

/// Resident memory of a process in bytes.
pub fn resident(process: &Child) -> f64 {
    memory(process, "VmRSS:")
}

/// The most resident memory that a process ever had, in bytes.
pub fn peak(process: &Child) -> f64 {
    memory(process, "VmHWM:")
}

/// A line of `proc_pid_status(5)`.
fn memory(process: &Child, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a process has memory");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024.0
}

/// The address of a server's URL.
pub fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().expect("a loopback address")
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

fn is_ready(private: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(private) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: skeg\r\nConnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn kubeconfig(api: SocketAddr) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{api}")}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    })
    .to_string()
}

fn configuration(private: SocketAddr, registry: Option<SocketAddr>, poll: &str) -> String {
    let registry = registry.map(|host| format!("[[registry]]\nhost = \"{host}\"\ninsecure = true\n")).unwrap_or_default();
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
private_listen = "{private}"
cache_dir = "cache"

[cluster]
kubeconfig = "kubeconfig"

[poll]
interval = "{poll}"

{registry}
"#
    )
}

//! A real control plane on loopback, one for a whole run of the test binary: etcd, kube-apiserver, kube-controller-manager,
//! kube-scheduler, and kwok for the nodes.
//!
//! `tests/controlplane/run.sh` starts and ends them. It ends when the pipe to its standard input closes, so they go with this process
//! however it ends, killed included. Each test works in a namespace of its own, which is never cleaned away. Controllers bring
//! rollouts about only in namespaces that ask for them ([`super::nodes`]); elsewhere tests write status themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::kube_api::Server;

/// Makes the tests that need the real server fail, not be left out, where it cannot be had.
const REQUIRE: &str = "SKEG_TEST_REQUIRE";
/// From start to ready takes 4 s on two free cores; the rest is for machines that are slow or busy.
const READY_SECONDS_MAX: Duration = Duration::from_secs(90);
/// Between two looks at a server that is starting: it cannot be asked to say when it is ready.
const READY_POLL: Duration = Duration::from_millis(50);
/// What `tests/controlplane/build.sh` builds.
const PROGRAMS: [&str; 6] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "helm"];
/// A port that was free may be taken when the program binds it; thrice in a row is not chance.
const STARTS_MAX: usize = 3;

/// Lines of each program's log that a test shows when it fails.
#[cfg(feature = "embedded")]
const LAST_LINES: usize = 12;

/// Who asks. Each has a static token of this run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum User {
    /// In `system:masters`: may do everything.
    Admin,
    /// Named `skeg`: may do what a test's own role bindings say.
    Skeg,
    /// Named `nobody`: may do nothing but be known.
    Nobody,
}

impl User {
    const ALL: [(Self, &'static str, &'static str); 3] =
        [(Self::Admin, "admin", "system:masters"), (Self::Skeg, "skeg", ""), (Self::Nobody, "nobody", "")];
}

/// A running control plane.
pub struct ControlPlane {
    base_url: String,
    etcd_url: String,
    ca: Vec<u8>,
    tokens: BTreeMap<User, String>,
    directory: PathBuf,
    programs: PathBuf,
    orders: Mutex<Option<ChildStdin>>,
    supervisor: Child,
}

/// What `run.sh` is told on its standard input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Start the controllers, the scheduler and kwok.
    Controllers,
    /// End kube-apiserver, and what [`Self::Controllers`] started, as a crash of their machine does.
    StopApi,
    /// Start kube-apiserver again on its data.
    StartApi,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("{program} is not in {folder}; get it by running tests/controlplane/build.sh (needs Go)")]
    NotBuilt { program: &'static str, folder: PathBuf },
    #[error("the control plane did not start: {0}")]
    NotStarted(String),
}

/// The control plane of this run, started by whoever asks first; `None` where its programs are not installed.
///
/// Panics where it is required, or is there and does not start.
pub async fn shared() -> Option<&'static ControlPlane> {
    static SHARED: OnceCell<Result<ControlPlane, Unavailable>> = OnceCell::const_new();
    let found = SHARED.get_or_init(|| async {
        let found = ControlPlane::start_whole().await;
        if let Err(Unavailable::NotBuilt { .. }) = &found
            && !is_required()
        {
            // Past the capture of test output: who runs the tests should see what was not run.
            let _ = writeln!(
                std::io::stderr(),
                "\nleft out: tests on a real API server: {}",
                found.as_ref().err().map_or_else(String::new, ToString::to_string)
            );
        }
        found
    });
    match found.await {
        Ok(plane) => Some(plane),
        Err(Unavailable::NotBuilt { .. }) if !is_required() => None,
        Err(unavailable) => panic!("{unavailable}"),
    }
}

/// A second one, for one test at a time that does to the whole of it what others must not feel; `None` where its programs are not
/// installed, which the shared one says.
#[cfg(feature = "embedded")]
pub async fn own() -> Option<(&'static ControlPlane, tokio::sync::MutexGuard<'static, ()>)> {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    shared().await?;
    let turn = ONE_AT_A_TIME.lock().await;
    let plane = OWN.get_or_init(|| async { ControlPlane::start_whole().await.unwrap_or_else(|unavailable| panic!("{unavailable}")) }).await;
    Some((plane, turn))
}

fn is_required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

impl ControlPlane {
    /// Starts one of our own with controllers and a node.
    pub async fn start_whole() -> Result<Self, Unavailable> {
        let plane = Self::start().await?;
        super::nodes::prepare(&plane.server(User::Admin)).await;
        plane.order(Order::Controllers);
        Ok(plane)
    }

    /// Starts one of our own, without controllers, and waits until it is ready.
    pub async fn start() -> Result<Self, Unavailable> {
        let programs = programs()?;
        let mut trouble = String::new();
        for _ in 0..STARTS_MAX {
            match Self::start_once(&programs).await {
                Ok(plane) => return Ok(plane),
                Err(why) => {
                    let _ = writeln!(trouble, "{why}");
                }
            }
        }
        Err(Unavailable::NotStarted(trouble))
    }

    async fn start_once(programs: &Path) -> Result<Self, String> {
        let [api_port, etcd_port, peer_port] = free_ports();
        let directory = tempfile::Builder::new().prefix("skeg-controlplane.").tempdir().map_err(|error| error.to_string())?.keep();
        let tokens: BTreeMap<User, String> = User::ALL.iter().map(|(user, _, _)| (*user, format!("{:032x}", fastrand::u128(..)))).collect();
        std::fs::write(directory.join("tokens.csv"), token_file(&tokens)).map_err(|error| error.to_string())?;
        let mut supervisor = Command::new(scripts().join("run.sh"))
            .args([programs, &directory])
            .env("API_PORT", api_port.to_string())
            .env("ETCD_PORT", etcd_port.to_string())
            .env("ETCD_PEER_PORT", peer_port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("run.sh: {error}"))?;
        let orders = Mutex::new(supervisor.stdin.take());
        let mut plane = Self {
            base_url: format!("https://127.0.0.1:{api_port}"),
            etcd_url: format!("http://127.0.0.1:{etcd_port}"),
            ca: Vec::new(),
            tokens,
            directory,
            programs: programs.to_owned(),
            orders,
            supervisor,
        };
        plane.wait_until_ready().await?;
        Ok(plane)
    }

    /// The API as this user sees it.
    pub fn server(&self, user: User) -> Server {
        Server::new(&self.base_url, Some(&self.ca), Some(self.token(user)))
    }

    /// The user's bearer token.
    pub fn token(&self, user: User) -> &str {
        &self.tokens[&user]
    }

    /// A kubeconfig of the admin, for programs that take one.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// The text of a kubeconfig that says who one is by this token.
    #[cfg(feature = "embedded")]
    pub fn kubeconfig_with(&self, token: &str) -> String {
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "clusters": [{ "name": "test", "cluster": { "server": self.base_url, "certificate-authority": self.directory.join("ca.crt") } }],
            "users": [{ "name": "test", "user": { "token": token } }],
        });
        // JSON is YAML.
        kubeconfig.to_string()
    }

    /// The same for somebody who goes to the server by way of `base_url`.
    #[cfg(feature = "embedded")]
    pub fn kubeconfig_at(&self, base_url: &str, token: &str) -> String {
        self.kubeconfig_with(token).replace(&self.base_url, base_url)
    }

    /// The server's address: `https://127.0.0.1:PORT`.
    #[cfg(feature = "embedded")]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The authority that signs the server's certificate, in PEM.
    #[cfg(feature = "embedded")]
    pub fn ca(&self) -> &[u8] {
        &self.ca
    }

    /// One of the programs that came with the control plane.
    #[cfg(feature = "embedded")]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The audit log so far, a line of JSON for each stage of a request.
    #[cfg(feature = "embedded")]
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.directory.join("audit.log")).expect("the audit log")
    }

    /// The ends of the programs' logs.
    #[cfg(feature = "embedded")]
    pub fn last_words(&self) -> String {
        let mut words = String::new();
        for program in PROGRAMS {
            let Ok(log) = std::fs::read_to_string(self.directory.join(program).with_extension("log")) else { continue };
            let lines: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
            let _ = writeln!(words, "{program}:");
            words.extend(lines.into_iter().rev().flat_map(|line| [line, "\n"]));
        }
        words
    }

    /// Has `run.sh` do something. It is done a moment later, and nothing tells when.
    pub fn order(&self, order: Order) {
        let line = match order {
            Order::Controllers => "controllers\n",
            Order::StopApi => "stop-api\n",
            Order::StartApi => "start-api\n",
        };
        let mut orders = self.orders.lock().expect("no panic while an order is given");
        orders.as_mut().expect("it is open until the end").write_all(line.as_bytes()).expect("run.sh reads");
    }

    /// Makes etcd forget every version before `revision`, which is a `resourceVersion`.
    pub async fn compact(&self, revision: &str) {
        let etcd = Server::new(&self.etcd_url, None, None);
        let order = serde_json::json!({ "revision": revision, "physical": true });
        etcd.post("/v3/kv/compaction", &order).await.is(200);
    }

    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_SECONDS_MAX;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.supervisor.try_wait() {
                let mut said = String::new();
                if let Some(mut stderr) = self.supervisor.stderr.take() {
                    let _ = stderr.read_to_string(&mut said);
                }
                return Err(said);
            }
            if self.is_ready().await {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(format!("not ready after {} s", READY_SECONDS_MAX.as_secs()))
    }

    /// Whether the server answers its readiness check. The kubeconfig is the last file that `run.sh` writes.
    async fn is_ready(&mut self) -> bool {
        if self.ca.is_empty() {
            if !self.kubeconfig().exists() {
                return false;
            }
            self.ca = std::fs::read(self.directory.join("ca.crt")).unwrap_or_default();
        }
        let server = self.server(User::Admin);
        server.answers("/readyz").await
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The end of its input is the order to stop.
        self.orders = Mutex::new(None);
        let _ = self.supervisor.wait();
    }
}

/// The folder with the programs.
fn programs() -> Result<PathBuf, Unavailable> {
    let where_to = Command::new(scripts().join("build.sh")).arg("--where").output().expect("build.sh runs");
    let folder = PathBuf::from(String::from_utf8_lossy(&where_to.stdout).trim());
    match PROGRAMS.into_iter().find(|program| !folder.join(program).is_file()) {
        Some(program) => Err(Unavailable::NotBuilt { program, folder }),
        None => Ok(folder),
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controlplane")
}

/// The format of `--token-auth-file`: token, name, uid, groups.
fn token_file(tokens: &BTreeMap<User, String>) -> String {
    let lines = User::ALL.map(|(user, name, groups)| format!("{},{name},{name},\"{groups}\"\n", tokens[&user]));
    lines.concat()
}

/// Ports that were free a moment ago, all different because they are held until all are known.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

//! How a control plane is started or a cluster visited: by a script that ends when the pipe to its standard input closes, so that
//! everything goes with this process however it ends, killed included.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{ControlPlane, Kind, Order, User};
use crate::support::nodes;

/// From start to ready takes 4 s on two free cores; the rest is for machines that are slow or busy.
const READY_SECONDS_MAX: Duration = Duration::from_secs(90);
/// Between two looks at a server that is starting: it cannot be asked to say when it is ready.
const READY_POLL: Duration = Duration::from_millis(50);
/// What a control plane of our own is made of.
const PROGRAMS: [&str; 7] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok", "helm"];
/// What a visit to another cluster takes.
const PROGRAMS_OF_A_VISIT: [&str; 3] = ["kubectl", "kwok", "helm"];
/// A port that was free may be taken when the program binds it; thrice in a row is not chance.
const STARTS_MAX: usize = 3;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("{program} is not in {folder}; get it by running tests/controlplane/build.sh (needs Go)")]
    NotBuilt { program: &'static str, folder: PathBuf },
    #[error("the control plane did not start: {0}")]
    NotStarted(String),
}

impl ControlPlane {
    /// Starts one of our own with controllers and a node.
    pub async fn start_whole() -> Result<Self, Unavailable> {
        let plane = Self::start().await?;
        let admin = plane.server(User::Admin);
        nodes::let_controllers_look(&admin).await;
        nodes::prepare(&plane, &admin).await;
        plane.order(Order::Controllers);
        Ok(plane)
    }

    /// Visits the cluster that the environment names.
    pub async fn visit() -> Result<Self, Unavailable> {
        let programs = programs(&PROGRAMS_OF_A_VISIT)?;
        let plane = Self::visit_with(&programs).await.map_err(Unavailable::NotStarted)?;
        nodes::prepare(&plane, &plane.server(User::Admin)).await;
        plane.order(Order::Controllers);
        Ok(plane)
    }

    /// Starts one of our own, without controllers, and waits until it is ready.
    pub async fn start() -> Result<Self, Unavailable> {
        let programs = programs(&PROGRAMS)?;
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
        let directory = folder()?;
        let tokens: BTreeMap<User, String> = User::ALL.iter().map(|user| (*user, format!("{:032x}", fastrand::u128(..)))).collect();
        std::fs::write(directory.join("tokens.csv"), token_file(&tokens)).map_err(|error| error.to_string())?;
        let ports = [("API_PORT", api_port), ("ETCD_PORT", etcd_port), ("ETCD_PEER_PORT", peer_port)];
        let mut supervisor = run("run.sh", programs, &directory, &ports.map(|(name, port)| (name, port.to_string())))?;
        let orders = Mutex::new(supervisor.stdin.take());
        let kind = Kind::Own { etcd_url: format!("http://127.0.0.1:{etcd_port}") };
        let base_url = format!("https://127.0.0.1:{api_port}");
        let mut plane = Self { base_url, ca: Vec::new(), tokens, directory, programs: programs.to_owned(), kind, orders, supervisor };
        plane.wait_until_ready().await?;
        Ok(plane)
    }

    async fn visit_with(programs: &Path) -> Result<Self, String> {
        let directory = folder()?;
        let mut supervisor = run("visit.sh", programs, &directory, &[])?;
        let orders = Mutex::new(supervisor.stdin.take());
        let kind = Kind::Visited { run: String::new() };
        let (base_url, tokens) = (String::new(), BTreeMap::new());
        let mut plane = Self { base_url, ca: Vec::new(), tokens, directory, programs: programs.to_owned(), kind, orders, supervisor };
        plane.wait_until_ready().await?;
        Ok(plane)
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
            if self.is_ready().await? {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(format!("not ready after {} s", READY_SECONDS_MAX.as_secs()))
    }

    /// Whether the server answers its readiness check. The kubeconfig is the last file that the script writes.
    async fn is_ready(&mut self) -> Result<bool, String> {
        if self.ca.is_empty() {
            if !self.kubeconfig().exists() {
                return Ok(false);
            }
            self.ca = std::fs::read(self.directory.join("ca.crt")).unwrap_or_default();
            if let Kind::Visited { run } = &mut self.kind {
                let read = |name: &str| std::fs::read_to_string(self.directory.join(name)).map_err(|error| format!("{name}: {error}"));
                run.push_str(read("run")?.trim());
                read("server")?.trim().clone_into(&mut self.base_url);
                self.tokens = tokens_in(&read("tokens.csv")?);
            }
        }
        Ok(self.server(User::Admin).answers("/readyz").await)
    }
}

/// Starts a script of `tests/controlplane`, which takes orders on its standard input.
fn run(script: &str, programs: &Path, directory: &Path, environment: &[(&str, String)]) -> Result<Child, String> {
    Command::new(scripts().join(script))
        .args([programs, directory])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{script}: {error}"))
}

/// A new folder, which the script removes.
fn folder() -> Result<PathBuf, String> {
    let folder = tempfile::Builder::new().prefix("skeg-controlplane.").tempdir();
    folder.map(tempfile::TempDir::keep).map_err(|error| error.to_string())
}

/// The folder with the programs.
fn programs(needed: &[&'static str]) -> Result<PathBuf, Unavailable> {
    let where_to = Command::new(scripts().join("build.sh")).arg("--where").output().expect("build.sh runs");
    let folder = PathBuf::from(String::from_utf8_lossy(&where_to.stdout).trim());
    match needed.iter().find(|program| !folder.join(program).is_file()) {
        Some(program) => Err(Unavailable::NotBuilt { program, folder }),
        None => Ok(folder),
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controlplane")
}

/// The format of `--token-auth-file`: token, name, uid, groups.
fn token_file(tokens: &BTreeMap<User, String>) -> String {
    let lines = User::ALL.map(|user| format!("{},{name},{name},\"{}\"\n", tokens[&user], user.groups(), name = user.name()));
    lines.concat()
}

/// What `visit.sh` writes: token, name.
fn tokens_in(file: &str) -> BTreeMap<User, String> {
    let user = |name: &str| User::ALL.into_iter().find(|user| user.name() == name);
    file.lines().filter_map(|line| line.split_once(',')).filter_map(|(token, name)| Some((user(name)?, token.to_owned()))).collect()
}

/// Ports that were free a moment ago, all different because they are held until all are known.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

//! A real control plane, one for a whole run of the test binary.
//!
//! Usually it is our own on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok for the nodes, started and
//! ended by `tests/controlplane/run.sh`. Each test works in a namespace of its own, which is never cleaned away. Controllers bring
//! rollouts about only in namespaces that ask for them ([`super::nodes`]); elsewhere tests write status themselves.
//!
//! With `SKEG_TEST_KUBECONFIG` it is the cluster of that kubeconfig, which the run visits and leaves as it was
//! (`tests/controlplane/visit.sh`). Not every test may be run there: see [`Power`].

mod start;

use std::collections::BTreeMap;
#[cfg(feature = "embedded")]
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::kube_api::Server;
pub use start::Unavailable;

/// Makes the tests that need the real server fail, not be left out, where it cannot be had.
const REQUIRE: &str = "SKEG_TEST_REQUIRE";
/// Names the kubeconfig of a cluster to visit.
const VISIT: &str = "SKEG_TEST_KUBECONFIG";
/// Label of whatever a run puts into a cluster; its value is the run.
const RUN: &str = "skeg.dev/test-run";

/// Lines of each program's log that a test shows when it fails.
#[cfg(feature = "embedded")]
const LAST_LINES: usize = 12;

/// Who asks. Each has a bearer token of this run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum User {
    /// May do everything.
    Admin,
    /// Named `skeg`: may do what a test's own role bindings say.
    Skeg,
    /// Named `nobody`: may do nothing but be known.
    Nobody,
    /// Named `person`: an engineer, who may do in a test's namespaces what the test lets people do there ([`super::people`]).
    Person,
}

impl User {
    const ALL: [Self; 4] = [Self::Admin, Self::Skeg, Self::Nobody, Self::Person];

    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Skeg => "skeg",
            Self::Nobody => "nobody",
            Self::Person => "person",
        }
    }

    fn groups(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            Self::Skeg | Self::Nobody | Self::Person => "",
        }
    }
}

/// What a cluster that is only visited does not let a test do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// Make it forget old versions.
    Compact,
    /// Read what it was asked.
    Audit,
    /// Rely on no controller writing to a Deployment between two requests.
    Quiet,
    /// Put objects without a namespace there under fixed names, which somebody may use.
    ClusterWide,
}

impl Power {
    fn what(self) -> &'static str {
        match self {
            Self::Compact => "a server that may be made to forget",
            Self::Audit => "the server's audit log",
            Self::Quiet => "a namespace without controllers",
            Self::ClusterWide => "a cluster of its own",
        }
    }
}

/// A running control plane.
pub struct ControlPlane {
    base_url: String,
    ca: Vec<u8>,
    tokens: BTreeMap<User, String>,
    directory: PathBuf,
    programs: PathBuf,
    kind: Kind,
    orders: Mutex<Option<ChildStdin>>,
    supervisor: Child,
}

/// Whose it is.
enum Kind {
    Own { etcd_url: String },
    Visited { run: String },
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

/// The control plane of this run, started by whoever asks first; `None` where its programs are not installed.
///
/// Panics where it is required, or is there and does not start.
pub async fn shared() -> Option<&'static ControlPlane> {
    static SHARED: OnceCell<Result<ControlPlane, Unavailable>> = OnceCell::const_new();
    let found = SHARED.get_or_init(|| async {
        let found = match std::env::var_os(VISIT) {
            Some(_) => ControlPlane::visit().await,
            None => ControlPlane::start_whole().await,
        };
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

/// The same for a test that needs this power. Where it is not given, that is said and the test left out.
pub async fn shared_with(power: Power) -> Option<&'static ControlPlane> {
    let plane = shared().await?;
    if plane.gives(power) {
        return Some(plane);
    }
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "left out: needs {}: {}", power.what(), thread.name().unwrap_or("a test"));
    None
}

/// A second one, for one test at a time that does to the whole of it what others must not feel; `None` where its programs are not
/// installed, which the shared one says, and where the shared one is only visited, which is said here.
#[cfg(feature = "embedded")]
pub async fn own() -> Option<(&'static ControlPlane, tokio::sync::MutexGuard<'static, ()>)> {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    shared_with(Power::ClusterWide).await?;
    let turn = ONE_AT_A_TIME.lock().await;
    let plane = OWN.get_or_init(|| async { ControlPlane::start_whole().await.unwrap_or_else(|unavailable| panic!("{unavailable}")) }).await;
    Some((plane, turn))
}

fn is_required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

impl ControlPlane {
    /// The API as this user sees it.
    pub fn server(&self, user: User) -> Server {
        Server::new(&self.base_url, Some(&self.ca), Some(self.token(user)))
    }

    /// The user's bearer token.
    pub fn token(&self, user: User) -> &str {
        &self.tokens[&user]
    }

    /// The user as a role binding names it.
    pub fn subject(&self, user: User) -> Value {
        match &self.kind {
            Kind::Own { .. } => json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user.name() }),
            Kind::Visited { run } => json!({ "kind": "ServiceAccount", "namespace": run, "name": user.name() }),
        }
    }

    /// Whether a test may do this here.
    pub fn gives(&self, power: Power) -> bool {
        match (&self.kind, power) {
            (Kind::Own { .. }, _) => true,
            (Kind::Visited { .. }, Power::Compact | Power::Audit | Power::Quiet | Power::ClusterWide) => false,
        }
    }

    /// The labels of a namespace, and of anything that is in none. What has them is removed from a cluster that was only visited.
    pub fn labels(&self) -> Value {
        json!({ RUN: self.run() })
    }

    /// The run of the test binary, as part of names.
    pub fn run(&self) -> &str {
        match &self.kind {
            Kind::Own { .. } => "own",
            Kind::Visited { run } => run,
        }
    }

    /// Whether the controllers roll out in every namespace, not only in those that ask for it.
    pub fn rolls_out_everywhere(&self) -> bool {
        matches!(self.kind, Kind::Visited { .. })
    }

    /// A kubeconfig of the admin, for programs that take one.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// The text of a kubeconfig that says who one is by this token.
    #[cfg(feature = "embedded")]
    pub fn kubeconfig_with(&self, token: &str) -> String {
        let kubeconfig = json!({
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

    /// The audit log so far, a line of JSON for each stage of a request. Needs [`Power::Audit`].
    #[cfg(feature = "embedded")]
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.directory.join("audit.log")).expect("the audit log")
    }

    /// The ends of the programs' logs.
    #[cfg(feature = "embedded")]
    pub fn last_words(&self) -> String {
        let logs = std::fs::read_dir(&self.directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut words = String::new();
        for log in logs.filter(|path| path.extension().is_some_and(|extension| extension == "log") && !path.ends_with("audit.log")) {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
            let _ = writeln!(words, "{}:", log.display());
            words.extend(lines.into_iter().rev().flat_map(|line| [line, "\n"]));
        }
        words
    }

    /// Has the script that supervises it do something. It is done a moment later, and nothing tells when.
    pub fn order(&self, order: Order) {
        let line = match order {
            Order::Controllers => "controllers\n",
            Order::StopApi => "stop-api\n",
            Order::StartApi => "start-api\n",
        };
        let mut orders = self.orders.lock().expect("no panic while an order is given");
        orders.as_mut().expect("it is open until the end").write_all(line.as_bytes()).expect("the script reads");
    }

    /// Makes etcd forget every version before `revision`, which is a `resourceVersion`. Needs [`Power::Compact`].
    pub async fn compact(&self, revision: &str) {
        let Kind::Own { etcd_url } = &self.kind else { panic!("not ours to compact") };
        let etcd = Server::new(etcd_url, None, None);
        let order = json!({ "revision": revision, "physical": true });
        etcd.post("/v3/kv/compaction", &order).await.is(200);
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The end of its input is the order to stop.
        self.orders = Mutex::new(None);
        let _ = self.supervisor.wait();
    }
}

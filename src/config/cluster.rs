//! `[cluster]`: which cluster, which part of it, and whether skeg acts in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::grant;
use super::load::Single;
use super::section::Section;
use crate::core::leadership::{LASTS_MAX, LASTS_MIN, Timing};

/// Where a pod finds the name of its own namespace. Source: Kubernetes, "Accessing the Kubernetes API from a Pod".
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The section `[cluster]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// Whether skeg acts or only observes. Default `"act"`.
    pub mode: Mode,
    /// The kubeconfig to use. Default: what kubectl takes (`KUBECONFIG`, `~/.kube/config`), or inside a pod its service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. Default: its current one.
    pub context: Option<Box<str>>,
    /// The namespaces to look at, sorted. Default `[]`: all of them.
    pub namespaces: Vec<Box<str>>,
    /// skeg's own namespace, where pauses and the lease are kept. Default: the pod's namespace, or `"skeg"` outside a cluster.
    pub namespace: Option<Box<str>>,
    /// The namespaces whose Secrets may be read to pull with, each by its name, sorted. Default `[]`: none.
    pub pull_secrets: Vec<Box<str>>,
    /// Whether nodes are watched, so that no image is chosen that lacks a platform its pods can land on. Default `"auto"`.
    pub platforms: Platforms,
    /// How long the lease of the leading replica lasts. Default `"15s"`.
    pub lease: Duration,
    /// The name of this replica, which no other running one has. Default: `POD_NAME` of the environment, else the machine's name.
    pub replica: Option<Box<str>>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            kubeconfig: None,
            context: None,
            namespaces: Vec::new(),
            namespace: None,
            pull_secrets: Vec::new(),
            platforms: Platforms::default(),
            lease: Timing::default().lasts(),
            replica: None,
        }
    }
}

/// Whether skeg acts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// It changes workloads and Git.
    #[default]
    Act,
    /// It decides, explains and reports, and writes nothing.
    Observe,
}

impl Mode {
    /// The word that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Observe => "observe",
        }
    }
}

/// Whether images are compared with the platforms that their pods can land on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Platforms {
    /// Where nodes may be read, or the workload names its platform.
    #[default]
    Auto,
    /// Nowhere; nodes are not asked for.
    Off,
}

impl Cluster {
    /// skeg's own namespace: as configured, else the pod's, else `skeg`.
    pub fn own_namespace(&self) -> Box<str> {
        self.namespace.clone().or_else(|| pod_namespace(Path::new(NAMESPACE_FILE))).unwrap_or_else(|| "skeg".into())
    }

    /// The name of this replica: as configured, else the pod's, else the machine's. It stays the same when skeg is started again.
    pub fn own_name(&self) -> Box<str> {
        let of_pod = || std::env::var("POD_NAME").ok().filter(|name| !name.is_empty()).map(Into::into);
        let of_machine = || rustix::system::uname().nodename().to_string_lossy().into();
        self.replica.clone().or_else(of_pod).unwrap_or_else(of_machine)
    }
}

fn pod_namespace(file: &Path) -> Option<Box<str>> {
    let text = std::fs::read_to_string(file).ok()?;
    grant::namespace(text.trim()).ok()
}

impl Single for Cluster {
    const NAME: &'static str = "cluster";

    fn read(section: &mut Section<'_, '_>) -> Self {
        let mut list = |key, advice| {
            let mut namespaces = section.list(key, advice, grant::namespace).unwrap_or_default();
            namespaces.sort();
            namespaces.dedup();
            namespaces
        };
        let namespaces = list("namespaces", "write [] for all namespaces");
        let pull_secrets = list("pull_secrets", "write the namespaces by name; [] is none of them");
        Self {
            mode: section.word("mode", &[("act", Mode::Act), ("observe", Mode::Observe)]).unwrap_or_default(),
            kubeconfig: section.path("kubeconfig"),
            context: section.text("context").map(Into::into),
            namespaces,
            namespace: section.parsed("namespace", "write one namespace", grant::namespace),
            pull_secrets,
            platforms: section.word("platforms", &[("auto", Platforms::Auto), ("off", Platforms::Off)]).unwrap_or_default(),
            lease: section.duration("lease", LASTS_MIN..=LASTS_MAX).unwrap_or(Timing::default().lasts()),
            replica: section.text("replica").map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_its_namespace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "delivery\n").unwrap();
        assert_eq!(pod_namespace(file.path()).as_deref(), Some("delivery"));
        std::fs::write(file.path(), "../etc").unwrap();
        assert_eq!(pod_namespace(file.path()), None);
        assert_eq!(pod_namespace(Path::new("/nowhere")), None);
    }
}

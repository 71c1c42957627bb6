//! What a workload costs in memory, managed and not.

use crate::daemon::{self, Daemon};
use crate::report::{Goal, Report};

const WORKLOADS: usize = 20_000;
/// Workloads share images; a repository of its own for each would measure repositories.
const REPOSITORIES: usize = 200;

pub fn measure(report: &mut Report) {
    let empty = resident(0, None);
    let texts = image(0).len() + name(0).len() + daemon::NAMESPACE.len() + UID_LENGTH + "web".len() + POLICY.len();
    let rows =
        [("managed", Some(POLICY), texts, "the texts it is known by", 1_024.0), ("not managed", None, 8, "a hash, to count it", 400.0)];
    for (what, policy, floor, floor_is, goal) in rows {
        let each = (resident(WORKLOADS, policy) - empty) / WORKLOADS as f64;
        report.add(format!("memory of a workload, {what}"), "bytes", each, (floor as f64, floor_is), Some(Goal::AtMost(goal)));
    }
}

const POLICY: &str = "semver:^1.2";
const UID_LENGTH: usize = 36;

/// Resident memory of a daemon at rest that sees this many workloads.
fn resident(workloads: usize, policy: Option<&str>) -> f64 {
    let kube = daemon::cluster();
    for at in 0..workloads {
        kube.apply(daemon::deployment(&name(at), &image(at), policy)).expect("a Deployment");
    }
    let folder = tempfile::tempdir().expect("a folder");
    Daemon::start(folder.path(), daemon::address(&kube.url()), None, "24h").resident_at_rest()
}

fn name(at: usize) -> String {
    format!("checkout-service-{at:05}")
}

/// An image of a host that nobody asks: polls are spread over the day, so hardly one falls into the measurement.
fn image(at: usize) -> String {
    format!("registry.invalid/shop/service-{:03}:1.2.3", at % REPOSITORIES)
}

//! What a workload costs in memory, managed and not.

use std::time::{Duration, Instant};

use skeg::embedded::registry::{Access, EmbeddedRegistry, Image};

use crate::daemon::{self, Daemon};
use crate::report::{Goal, Report};

const WORKLOADS: usize = 20_000;
/// Workloads share images; a repository of its own for each would measure repositories.
const REPOSITORIES: usize = 200;
/// Older tags of each.
const TAGS: usize = 20;
/// A registry's host and port, as long as any on a loopback address.
const ANY_HOST: &str = "127.0.0.1:40000";
/// The first looks are spread over some seconds.
const PATIENCE: Duration = Duration::from_mins(1);

pub fn measure(report: &mut Report) {
    let empty = resident(0, false);
    let texts = image(ANY_HOST, 0).len() + name(0).len() + daemon::NAMESPACE.len() + UID_LENGTH + "web".len() + policy(0).len();
    let rows = [("managed", true, texts, "the texts it is known by", 1_024.0), ("not managed", false, 8, "a hash, to count it", 400.0)];
    for (what, is_managed, floor, floor_is, goal) in rows {
        let each = (resident(WORKLOADS, is_managed) - empty) / WORKLOADS as f64;
        report.add(format!("memory of a workload, {what}"), "bytes", each, (floor as f64, floor_is), Some(Goal::AtMost(goal)));
    }
}

/// Teams do not all write the same, not even of one repository: no multiple divides the number of repositories.
const POLICIES: usize = 51;

fn policy(at: usize) -> String {
    format!("semver:>=1.2.{}", at % POLICIES)
}

const UID_LENGTH: usize = 36;

/// Resident memory of a daemon at rest that sees this many workloads, and has looked into their repositories once.
fn resident(workloads: usize, is_managed: bool) -> f64 {
    let registry = EmbeddedRegistry::start(Access::Anonymous).expect("a loopback port");
    for at in 0..REPOSITORIES {
        for tag in 0..TAGS {
            let image = Image::new(format!("{at} {tag}"));
            registry.push_image(&repository(at), &format!("1.1.{tag}"), &image).expect("a push");
        }
        registry.push_image(&repository(at), "1.2.3", &Image::new(format!("{at}"))).expect("a push");
    }
    let (kube, host) = (daemon::cluster(), registry.address().to_string());
    for at in 0..workloads {
        let policy = is_managed.then(|| policy(at));
        kube.apply(daemon::deployment(&name(at), &image(&host, at), policy.as_deref())).expect("a Deployment");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), daemon::address(&kube.url()), Some(registry.address()), "24h");
    let looked_into = if is_managed { REPOSITORIES } else { 0 };
    let begun = Instant::now();
    while listings(&registry) < looked_into {
        assert!(begun.elapsed() < PATIENCE, "the repositories are not looked into");
        std::thread::sleep(Duration::from_millis(100));
    }
    daemon.resident_at_rest()
}

/// How many repositories were listed so far.
fn listings(registry: &EmbeddedRegistry) -> usize {
    registry.requests().iter().filter(|seen| seen.path.ends_with("/tags/list")).count()
}

fn name(at: usize) -> String {
    format!("checkout-service-{at:05}")
}

fn image(host: &str, at: usize) -> String {
    format!("{host}/{}:1.2.3", repository(at % REPOSITORIES))
}

fn repository(at: usize) -> String {
    format!("shop/service-{at:03}")
}

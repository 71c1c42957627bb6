//! Requests while nothing changes.

use std::time::Duration;

use skeg::embedded::registry::{Access, EmbeddedRegistry, Image};

use crate::daemon::{self, Daemon};
use crate::proxy::CountingProxy;
use crate::report::{Goal, Report};

const REPOSITORIES: usize = 50;
const TAGS: usize = 20;
const CYCLES: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(2);

pub fn measure(report: &mut Report) {
    for workloads in [REPOSITORIES, REPOSITORIES * 20] {
        let (registry, api) = requests_per_cycle(workloads);
        let repositories = REPOSITORIES as f64;
        report.add(
            format!("registry requests per quiet cycle, {workloads} workloads"),
            "",
            registry,
            (repositories, "one listing for each repository"),
            Some(Goal::TimesFloor(1.02)),
        );
        report.add(format!("API requests per quiet cycle without the lease, {workloads} workloads"), "", api, (0.0, "none"), None);
    }
}

/// Requests to the registry and to the API server in one poll interval.
fn requests_per_cycle(workloads: usize) -> (f64, f64) {
    let registry = EmbeddedRegistry::start(Access::Anonymous).expect("a loopback port");
    let to_registry = CountingProxy::start(registry.address());
    for at in 0..REPOSITORIES {
        for tag in 0..TAGS {
            let image = Image::new(format!("{at} {tag}"));
            registry.push_image(&repository(at), &format!("1.0.{tag}"), &image).expect("a push");
        }
    }
    let kube = daemon::cluster();
    let to_api = CountingProxy::start(daemon::address(&kube.url()));
    let newest = TAGS - 1;
    for at in 0..workloads {
        let image = format!("{}/{}:1.0.{newest}", to_registry.address(), repository(at % REPOSITORIES));
        kube.apply(daemon::deployment(&format!("web-{at}"), &image, Some("patch"))).expect("a Deployment");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let _daemon = Daemon::start(folder.path(), to_api.address(), Some(to_registry.address()), "2s");
    // The first look at every repository is part of the start.
    std::thread::sleep(2 * INTERVAL);
    let before = (to_registry.count(), to_api.count());
    std::thread::sleep(CYCLES * INTERVAL);
    let per_cycle = |after: usize, before: usize| (after - before) as f64 / f64::from(CYCLES);
    (per_cycle(to_registry.count(), before.0), per_cycle(to_api.count(), before.1))
}

fn repository(at: usize) -> String {
    format!("shop/service-{at}")
}

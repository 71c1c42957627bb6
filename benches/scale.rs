//! Ten thousand workloads over two thousand repositories of a thousand tags each: a large cluster, with the settings that skeg has by itself but
//! for the poll interval, which is shorter so that a cycle does not take five minutes.
//!
//! Everything is at one registry host, whose default of four requests at once and a hundred a second holds. Requests are counted at a proxy
//! before each far end.

mod choices;
mod registry;

use std::time::{Duration, Instant};

use skeg::embedded::kube::EmbeddedKube;

use crate::daemon::{self, Daemon};
use crate::program::{self, MIB};
use crate::proxy::CountingProxy;
use crate::report::{Goal, Report};
use registry::Registry;

const REPOSITORIES: usize = 2_000;
const WORKLOADS: usize = 10_000;
/// No multiple divides the number of repositories, so that the workloads of one differ.
const POLICIES: usize = 51;
/// Time for each of a quiet cycle's repositories: a third of what the registry would be asked at most.
const INTERVAL: Duration = Duration::from_mins(1);
/// Quiet cycles that are counted.
const CYCLES: u32 = 2;
/// An interval in which a cycle at the round trip below cannot end: the next one begins at once, and there is always something to ask.
const ALWAYS: &str = "10s";
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// Requests at the same time that a registry gets by default.
const AT_ONCE: usize = skeg::adapters::registry::CONCURRENCY_DEFAULT;
/// Requests of each of the floor's clients.
const BY_HAND: usize = 100;
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(5);

pub fn measure(report: &mut Report) {
    choices::measure(report);
    let few = World::of(REPOSITORIES);
    quiet(report, &few);
    saturated(report, &few);
    drop(few);
    let many = World::of(WORKLOADS);
    let daemon = quiet(report, &many);
    let peak = daemon.peak() / MIB;
    let floor = (program::waiting() / MIB, "the same program waiting for input");
    report.add(format!("peak memory, {WORKLOADS} workloads"), "MiB", peak, floor, Some(Goal::AtMost(40.0)));
    daemon.stop();
    restart(report, &many);
}

/// A cluster whose every workload runs the newest tag of its repository.
struct World {
    workloads: usize,
    kube: EmbeddedKube,
    registry: Registry,
    to_registry: CountingProxy,
    folder: tempfile::TempDir,
}

impl World {
    fn of(workloads: usize) -> Self {
        let (kube, registry) = (daemon::cluster(), Registry::start());
        let to_registry = CountingProxy::start(registry.address());
        for at in 0..workloads {
            let image = format!("{}/{}:{}", to_registry.address(), repository(at % REPOSITORIES), registry::NEWEST);
            // Teams do not all write the same, not even of one repository.
            let policy = format!("semver:>=1.0.{}", at % POLICIES);
            kube.apply(daemon::deployment(&format!("checkout-service-{at:05}"), &image, Some(&policy))).expect("a Deployment");
        }
        Self { workloads, kube, registry, to_registry, folder: tempfile::tempdir().expect("a folder") }
    }

    fn start(&self, poll: &str) -> Daemon {
        Daemon::start(self.folder.path(), daemon::address(&self.kube.url()), Some(self.to_registry.address()), poll)
    }

    /// Waits until so many requests more were made of the registry; gives the time that took.
    fn wait_for(&self, requests: usize) -> Duration {
        let (begun, before) = (Instant::now(), self.to_registry.count());
        while self.to_registry.count() < before + requests {
            assert!(begun.elapsed() < PATIENCE, "{} of {requests} requests are made", self.to_registry.count() - before);
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }
}

/// Requests in a poll interval in which nothing changes.
fn quiet(report: &mut Report, world: &World) -> Daemon {
    let daemon = world.start(&format!("{}s", INTERVAL.as_secs()));
    // The first look at every repository is part of the start, and so is whatever follows from it.
    world.wait_for(REPOSITORIES);
    std::thread::sleep(INTERVAL / 4);
    let before = world.to_registry.count();
    std::thread::sleep(CYCLES * INTERVAL);
    let each = (world.to_registry.count() - before) as f64 / f64::from(CYCLES);
    let floor = (REPOSITORIES as f64, "one listing for each repository");
    report.add(format!("requests of a quiet cycle, {} workloads", world.workloads), "", each, floor, Some(Goal::TimesFloor(1.02)));
    daemon
}

/// The time of a cycle in which there is always something to ask, at a round trip as between continents.
fn saturated(report: &mut Report, world: &World) {
    world.registry.take(ROUND_TRIP);
    let by_hand = registry::by_hand(world.to_registry.address(), AT_ONCE, BY_HAND);
    let each = by_hand / u32::try_from(AT_ONCE * BY_HAND).expect("a small number");
    let daemon = world.start(ALWAYS);
    world.wait_for(REPOSITORIES);
    let cycle = world.wait_for(REPOSITORIES);
    let floor = (each * u32::try_from(REPOSITORIES).expect("a small number"), "as many requests by as many clients");
    report.add_time(format!("a cycle at {} ms", ROUND_TRIP.as_millis()), cycle, floor, Some(Goal::TimesFloor(1.15)));
    daemon.stop();
    world.registry.take(Duration::ZERO);
}

/// From the start, where everything has moved on meanwhile, to the first record of an update.
fn restart(report: &mut Report, world: &World) {
    world.registry.push();
    let to_api = CountingProxy::counting(daemon::address(&world.kube.url()), |request| {
        request.method == http::Method::POST && request.path.ends_with("/imageupdates")
    });
    let begun = Instant::now();
    let daemon = Daemon::start(world.folder.path(), to_api.address(), Some(world.to_registry.address()), "5m");
    while to_api.count() == 0 {
        assert!(begun.elapsed() < PATIENCE, "no update is recorded");
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    drop(daemon);
    let floor = (program::start_by_hand(&world.kube.url()), "a process and the same reads, one by one");
    report.add_time(format!("restart to first decision, {} workloads", world.workloads), took, floor, Some(Goal::AtMost(3_000.0)));
}

fn repository(at: usize) -> String {
    format!("shop/service-{at:04}")
}

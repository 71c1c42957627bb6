//! From a webhook to the patch, on an idle cluster.
//!
//! Measured twice: on a real API server, which is what an operator waits for, and on embedded far ends, which answer at once and so leave
//! only skeg's own time. Beside each stands the time of the three requests that skeg cannot do without, made by hand in turns with it.

/// Embedded far ends, in the same process as skeg.
mod embedded;
/// A real API server, with skeg as a program of its own.
mod real;

use std::time::Duration;

use crate::report::{Goal, Report, median};

/// Rounds, each of which measures both in turns; a machine that is busy for a while spoils a few of them.
const ROUNDS: usize = 5;
/// Updates of each in a round.
const UPDATES: usize = 6;
/// Between two updates, so that one does not disturb the next.
const PAUSE: Duration = Duration::from_millis(200);
/// What every workload runs at first, and what it is updated to.
const TAGS: [&str; 2] = ["1.0.0", "1.0.1"];

/// Where it is measured. Each update has a workload of its own.
trait Place {
    /// The time from a webhook for the workload of this name until its new image is there.
    async fn by_skeg(&mut self, name: &str) -> Duration;

    /// The time of the three requests for another workload of the same kind, one after another, until its new image is there.
    async fn by_hand(&mut self, name: &str) -> Duration;
}

pub fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match real::Real::raise(&names()).await {
            Ok(mut place) => {
                let floor_is = place.floor_is();
                let (skeg, floor) = medians("real API server", &mut place).await;
                report.add_time("webhook to patch, settle = 0", skeg, (floor, floor_is), Some(Goal::TimesFloor(1.3)));
            }
            Err(why) => eprintln!("  not measured on a real API server, to which the goal applies: {why}"),
        }
        let (skeg, floor) = medians("embedded far ends", &mut embedded::Embedded::raise(&names()).await).await;
        report.add_time("webhook to patch, far ends that answer at once", skeg, (floor, "HEAD, create, PATCH"), None);
    });
}

/// The workloads: one for connections to be made by, and one for each update.
fn names() -> Vec<String> {
    (0..=ROUNDS * UPDATES).map(|at| format!("web-{at}")).collect()
}

/// The workload by hand that goes with one of skeg's.
fn by_hand(name: &str) -> String {
    format!("by-hand-{name}")
}

/// skeg's time, and that of the three requests.
async fn medians(place_is: &str, place: &mut impl Place) -> (Duration, Duration) {
    let rounds = rounds(place).await;
    for (skeg, floor) in &rounds {
        let (skeg, floor) = (median(skeg.clone()), median(floor.clone()));
        eprintln!("  {place_is}, a round: {skeg:.2?}, {floor:.2?}, {:.2} times", skeg.as_secs_f64() / floor.as_secs_f64());
    }
    let (skeg, floor): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    (median(skeg.concat()), median(floor.concat()))
}

/// For each round skeg's times, and those of the three requests.
async fn rounds(place: &mut impl Place) -> Vec<(Vec<Duration>, Vec<Duration>)> {
    let names = names();
    let (first, measured) = names.split_first().expect("there is one");
    // Connections are made, and there is a record to copy.
    place.by_skeg(first).await;
    place.by_hand(first).await;
    let mut rounds = Vec::new();
    for (number, names) in measured.chunks(UPDATES).enumerate() {
        let (mut skeg, mut floor) = (Vec::new(), Vec::new());
        for name in names {
            // Each comes first in every other round.
            for turn in 0..2 {
                tokio::time::sleep(PAUSE).await;
                if (number + turn) % 2 == 0 {
                    skeg.push(place.by_skeg(name).await);
                } else {
                    floor.push(place.by_hand(name).await);
                }
            }
        }
        rounds.push((skeg, floor));
    }
    rounds
}

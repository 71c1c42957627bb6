//! What a listing of ten thousand tags costs when it is new, for one workload and for fifty, and when it is the last one again.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use skeg::core::candidate::candidates;
use skeg::core::directives::{self, Defaults};
use skeg::core::image::{Repository, Tag};
use skeg::core::policy::{Listing, Tags};
use skeg::core::workload::{Container, Workload, WorkloadId, WorkloadKind};
use skeg::flow::KeptListings;
use skeg::ports::registry::Access;

use crate::report::{Goal, Report, median};

const TAGS: usize = 10_000;
const WORKLOADS: usize = 50;
const RUNS: usize = 50;
const IMAGE: &str = "registry.example.com/shop/service:1.0.0";

pub fn measure(report: &mut Report) {
    let tags: Vec<Tag> = (0..TAGS).map(|at| format!("1.{}.{}", at / 100, at % 100).parse().expect("a tag")).collect();
    let workloads: Vec<_> = (0..WORKLOADS).map(|at| workload(at, "semver:>=1.0.0")).collect();
    let one = new(&tags, &workloads[..1]);
    let floor = timed(|| tags.iter().filter_map(|tag| semver::Version::parse(tag.as_str()).ok()).max());
    report.add_time(format!("a new listing of {TAGS} tags"), one, (floor, "every tag parsed by the semver crate"), Some(Goal::AtMost(2.0)));
    let of_all = (one, "the same for one");
    report.add_time(format!("the same for {WORKLOADS} workloads"), new(&tags, &workloads), of_all, Some(Goal::TimesFloor(1.1)));
    let differing: Vec<_> = (0..WORKLOADS).map(|at| workload(at, &format!("semver:>=1.{at}.0"))).collect();
    report.add_time(format!("{WORKLOADS} workloads with a policy each"), new(&tags, &differing), (one, "the same for one"), None);
    let read = timed(|| tags.iter().flat_map(|tag| tag.as_str().bytes()).map(u64::from).sum::<u64>());
    let same = same(&tags, &workloads[..1]);
    report.add_time(format!("an unchanged listing of {TAGS} tags"), same, (read, "every byte of it read"), Some(Goal::AtMost(0.05)));
}

/// From a listing that differs from the last one to what each of the workloads should run.
fn new(tags: &[Tag], workloads: &[Arc<Workload>]) -> Duration {
    let (repository, kept) = (repository(), KeptListings::new(Duration::from_mins(5)));
    // As many lists as runs: making one is not measured.
    let mut lists = vec![tags.to_vec(); RUNS];
    timed(|| {
        let tags = lists.pop().expect("a list for each run");
        let answers = kept.keep(&repository, &Access::Anonymous, workloads, &tags, Timestamp::now());
        let listing = Listing::Whole(Tags::from(tags).answering(answers));
        let choose = |workload: &Arc<Workload>| candidates(workload, &|_| Some(&listing)).len();
        assert_eq!(workloads.iter().map(choose).sum::<usize>(), workloads.len());
        listing
    })
}

/// A listing that is the last one again.
fn same(tags: &[Tag], workloads: &[Arc<Workload>]) -> Duration {
    let (repository, kept) = (repository(), KeptListings::new(Duration::from_mins(5)));
    kept.keep(&repository, &Access::Anonymous, workloads, tags, Timestamp::now());
    timed(|| kept.same(&repository, &Access::Anonymous, workloads, tags, Timestamp::now()).expect("it is the same"))
}

fn workload(at: usize, policy: &str) -> Arc<Workload> {
    let containers = vec![Container { name: "web".into(), image: IMAGE.into(), init: false }];
    let directives = directives::skeg::parse([("skeg.dev/policy", policy)], &containers, &Defaults::default()).transpose();
    let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: format!("service-{at}").into() };
    Arc::new(Workload::plain(id, format!("{at}").into(), containers, directives.expect("a policy")))
}

fn repository() -> Repository {
    "registry.example.com/shop/service".parse().expect("a repository")
}

/// The middle of the runs. What a run makes is dropped outside of it.
fn timed<T>(mut run: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        let made = black_box(run());
        let took = begun.elapsed();
        drop(made);
        took
    };
    median((0..RUNS).map(once).collect())
}

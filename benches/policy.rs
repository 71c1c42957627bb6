//! Choosing among ten thousand tags.

use std::hint::black_box;
use std::time::{Duration, Instant};

use skeg::core::image::{Pin, Tag};
use skeg::core::policy::{Policy, Selection, choose};

use crate::report::{Goal, Report, median};

const TAGS: usize = 10_000;
const RUNS: usize = 50;

pub fn measure(report: &mut Report) {
    let tags: Vec<Tag> = (0..TAGS).map(tag).collect();
    let current: Tag = "1.0.0".parse().expect("a tag");
    let floor = timed(|| newest_version(&tags));
    let took = |policy: &str, tags: &[Tag]| {
        let selection = Selection { pin: Pin::Digest, ..Selection::of(Policy::parse(policy).expect("a policy")) };
        timed(|| choose(&selection, Some(&current), tags).tag)
    };
    for policy in ["semver:>=1.0.0", "minor", "all", "glob:v*", r"regexp:^v?(?<order>\d+\.\d+\.\d+)$", "alphabetical:desc"] {
        let floor = (floor, "every tag parsed by the semver crate");
        report.add_time(format!("policy {policy} over {TAGS} tags"), took(policy, &tags), floor, Some(Goal::AtMost(2.0)));
    }
    let numbers: Vec<Tag> = (0..TAGS).map(|at| format!("{}", 1_600_000_000 + at * 7).parse().expect("a tag")).collect();
    let parsed = timed(|| numbers.iter().filter_map(|tag| tag.as_str().parse::<u64>().ok()).max());
    let floor = (parsed, "every tag parsed as an integer");
    report.add_time(format!("policy numerical over {TAGS} numbers"), took("numerical", &numbers), floor, Some(Goal::AtMost(2.0)));
    // Each of the greatest length of a tag, and a match of every expression until its last character.
    let long: Vec<Tag> = (0..TAGS).map(|at| format!("{}{at:05}", "a".repeat(123)).parse().expect("a tag")).collect();
    let read = timed(|| long.iter().flat_map(|tag| tag.as_str().bytes()).map(u64::from).sum::<u64>());
    for policy in ["regexp:(a+)+$", "regexp:(?<order>(a+)+)$"] {
        let floor = (read, "every byte read");
        report.add_time(format!("policy {policy} over {TAGS} long tags"), took(policy, &long), floor, Some(Goal::AtMost(50.0)));
    }
}

/// Tags as registries have them: releases with and without `v`, pre-releases, and one in ten that is no version.
fn tag(at: usize) -> Tag {
    let (major, minor, patch) = (1 + at % 3, at / 100, at % 100);
    let text = match at % 10 {
        0 => format!("sha-{at:07x}"),
        1 | 2 => format!("v{major}.{minor}.{patch}"),
        3 => format!("{major}.{minor}.{patch}-rc.{}", at % 7),
        _ => format!("{major}.{minor}.{patch}"),
    };
    text.parse().expect("a tag")
}

fn newest_version(tags: &[Tag]) -> Option<semver::Version> {
    tags.iter().filter_map(|tag| semver::Version::parse(tag.as_str().trim_start_matches('v')).ok()).max()
}

fn timed<T>(mut run: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        black_box(run());
        begun.elapsed()
    };
    median((0..RUNS).map(once).collect())
}

//! Keel's keys, and where Keel looks for each of them.

use std::collections::BTreeMap;

use super::{Origin, Place};
use crate::core::directives::DirectiveError;
use crate::core::nearest::{nearest, shown};

/// What Keel's keys begin with, and what they began with once.
pub const PREFIXES: [&str; 2] = ["keel.sh/", "keel.observer/"];

pub const POLICY: &str = "keel.sh/policy";
pub const POLICY_ALIAS: &str = "keel.observer/policy";
pub const MATCH_TAG: &str = "keel.sh/matchTag";
pub const MATCH_TAG_ALIAS: &str = "keel.sh/match-tag";
pub const MATCH_PRERELEASE: &str = "keel.sh/matchPreRelease";
pub const TRIGGER: &str = "keel.sh/trigger";
pub const POLL_SCHEDULE: &str = "keel.sh/pollSchedule";
pub const APPROVALS: &str = "keel.sh/approvals";
pub const APPROVAL_DEADLINE: &str = "keel.sh/approvalDeadline";
pub const IMAGE_PULL_SECRET: &str = "keel.sh/imagePullSecret";
pub const INIT_CONTAINERS: &str = "keel.sh/initContainers";
pub const IMAGE_VOLUMES: &str = "keel.sh/imageVolumes";
pub const MONITOR_CONTAINERS: &str = "keel.sh/monitorContainers";
pub const NOTIFY: &str = "keel.sh/notify";
pub const RELEASE_NOTES: &str = "keel.sh/releaseNotes";

/// Every key that Keel reads, and whether it reads annotations only, and whether in any case.
const READ: [(&str, bool, bool); 15] = [
    (POLICY, false, false),
    (POLICY_ALIAS, false, false),
    (MATCH_TAG, false, false),
    (MATCH_TAG_ALIAS, false, false),
    (MATCH_PRERELEASE, false, false),
    (TRIGGER, false, false),
    (POLL_SCHEDULE, true, false),
    (APPROVALS, false, false),
    (APPROVAL_DEADLINE, false, false),
    (IMAGE_PULL_SECRET, false, true),
    (INIT_CONTAINERS, false, true),
    (IMAGE_VOLUMES, false, true),
    (MONITOR_CONTAINERS, false, true),
    (NOTIFY, true, false),
    (RELEASE_NOTES, true, false),
];
/// Keys that Keel writes: they ask for nothing.
const WRITTEN: [&str; 2] = ["keel.sh/digest", "keel.sh/update-time"];

/// Whether Keel writes the key, and reads none such.
pub fn is_written(key: &str) -> bool {
    WRITTEN.contains(&key)
}

/// The labels and annotations of a workload.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub labels: &'a BTreeMap<String, String>,
    pub annotations: &'a BTreeMap<String, String>,
}

/// A value with the place where it was read.
pub struct Found<'a> {
    pub value: &'a str,
    pub origin: Origin,
}

impl<'a> Keys<'a> {
    fn map(&self, place: Place) -> &'a BTreeMap<String, String> {
        match place {
            Place::Label => self.labels,
            Place::Annotation => self.annotations,
        }
    }

    /// The key in one place.
    pub fn at(&self, place: Place, key: &str) -> Option<Found<'a>> {
        let (key, value) = self.map(place).get_key_value(key)?;
        Some(Found { value, origin: Origin { place, key: key.as_str().into() } })
    }

    /// The key in the first of the places that has it.
    pub fn first(&self, places: [Place; 2], key: &str) -> Option<Found<'a>> {
        places.into_iter().find_map(|place| self.at(place, key))
    }

    /// The key in any spelling of upper and lower case. Of several in one place Keel takes any; here it is the first in byte order.
    pub fn first_in_any_case(&self, places: [Place; 2], key: &str) -> Option<Found<'a>> {
        self.in_any_case(places, key).next()
    }

    /// Every such key, place by place.
    pub fn in_any_case(&self, places: [Place; 2], key: &str) -> impl Iterator<Item = Found<'a>> {
        let keys = *self;
        places.into_iter().flat_map(move |place| {
            let found = keys.map(place).iter().filter(move |(known, _)| known.eq_ignore_ascii_case(key));
            found.map(move |(key, value)| Found { value, origin: Origin { place, key: key.as_str().into() } })
        })
    }

    /// Tells of keys of Keel's that Keel passes over without a word.
    pub fn unread(&self) -> Vec<DirectiveError> {
        let mut told = Vec::new();
        for place in [Place::Annotation, Place::Label] {
            for key in self.map(place).keys().filter(|key| PREFIXES.iter().any(|prefix| key.starts_with(prefix))) {
                if let Some(problem) = passed_over(place, key) {
                    told.push(DirectiveError { key: shown(key).into(), problem: problem.into() });
                }
            }
        }
        told
    }
}

fn passed_over(place: Place, key: &str) -> Option<String> {
    let exact = READ.iter().find(|(known, ..)| *known == key);
    let known = exact.or_else(|| READ.iter().find(|(known, _, in_any_case)| *in_any_case && known.eq_ignore_ascii_case(key)));
    match known {
        Some((_, true, _)) if place == Place::Label => Some("Keel reads it as an annotation only, and this is a label".to_owned()),
        Some(_) => None,
        None if is_written(key) => None,
        None => Some(match nearest_key(key) {
            Some(nearest) => format!("Keel has no such key, did you mean {nearest}?"),
            None => "Keel has no such key".to_owned(),
        }),
    }
}

fn nearest_key(key: &str) -> Option<&'static str> {
    let lower = READ.map(|(known, ..)| known.to_ascii_lowercase());
    let meant = nearest(key, lower.iter().map(String::as_str))?;
    READ.iter().map(|(known, ..)| *known).find(|known| known.eq_ignore_ascii_case(meant))
}

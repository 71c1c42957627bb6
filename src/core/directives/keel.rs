//! What the keys of Keel on a workload ask for, as Keel itself reads them.
//!
//! Labels and annotations of the workload, never of its pod template. Which of the two wins differs from key to key, and is Keel's. Each
//! value says where it was read; what Keel passes over without a word is a warning. A value to explain;
//! what skeg makes of it when it acts on it is in `act.rs`.

mod act;
mod keys;
mod schedule;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::core::directives::{DirectiveError, PollTimes};
use crate::core::go_regexp::GoRegexp;
use crate::core::nearest::shown;
use crate::core::policy::keel::{KeelPolicy, NoPolicy, Options};
use keys::{Found, Keys};

pub use act::is_keel;
pub use keys::{PREFIXES, is_written};

/// Keel's default of `pollSchedule`, where its environment says nothing else.
const DEFAULT_SCHEDULE: Duration = Duration::from_mins(1);
/// Keel's default of `approvalDeadline`.
const DEFAULT_DEADLINE: Duration = Duration::from_hours(24);

const ANNOTATION_FIRST: [Place; 2] = [Place::Annotation, Place::Label];
const LABEL_FIRST: [Place; 2] = [Place::Label, Place::Annotation];

/// Where a key may stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// Among the labels.
    Label,
    /// Among the annotations.
    Annotation,
}

/// Where a value was read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// Label or annotation.
    pub place: Place,
    /// The key as it is written.
    pub key: Box<str>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Label => "label",
            Place::Annotation => "annotation",
        };
        write!(f, "{place} {}", self.key)
    }
}

/// A value and where it was read; without an origin it is Keel's default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said<T> {
    /// What holds.
    pub value: T,
    /// Where that was read.
    pub origin: Option<Origin>,
}

impl<T> Said<T> {
    fn default(value: T) -> Self {
        Self { value, origin: None }
    }
}

/// Everything that Keel would read from one workload.
#[derive(Clone, Debug)]
pub struct KeelDirectives {
    /// The policy as it is written.
    pub policy_text: Said<Box<str>>,
    /// The policy, or why Keel has none for this workload and ignores it.
    pub policy: Result<KeelPolicy, NoPolicy>,
    /// `matchTag`, from where the policy stands.
    pub match_tag: Said<bool>,
    /// `matchPreRelease`, from where the policy stands.
    pub match_prerelease: Said<bool>,
    /// Whether the registry is polled; webhooks are heard in any case.
    pub polls: Said<bool>,
    /// When it is polled.
    pub poll_schedule: Said<PollTimes>,
    /// Votes needed; `None` when it cannot be read, and then Keel updates nothing.
    pub approvals: Said<Option<u32>>,
    /// Time to vote.
    pub approval_deadline: Said<Duration>,
    /// The pull secret that is tried first.
    pub image_pull_secret: Option<Said<Box<str>>>,
    /// Whether init containers are updated too.
    pub init_containers: Said<bool>,
    /// Whether image volumes are updated too.
    pub image_volumes: Said<bool>,
    /// Which containers and image volumes are meant, by an expression in their names; all of them without one.
    pub monitor_containers: Option<(GoRegexp, Origin)>,
    /// The channels that are told.
    pub notify: Said<Vec<Box<str>>>,
    /// The address that is added to the message of success.
    pub release_notes: Option<Said<Box<str>>>,
    /// What Keel passes over without a word, and where skeg reads otherwise.
    pub warnings: Vec<DirectiveError>,
}

/// Reads Keel's keys; `None` when there is no policy among them, so that Keel does not know the workload. `zone` is that of the process.
pub fn parse(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>, zone: &TimeZone) -> Option<KeelDirectives> {
    let keys = Keys { labels, annotations };
    let policy =
        ANNOTATION_FIRST.into_iter().find_map(|place| keys.at(place, keys::POLICY).or_else(|| keys.at(place, keys::POLICY_ALIAS)))?;
    Some(Reader { keys, warnings: keys.unread() }.read(&policy, zone))
}

struct Reader<'a> {
    keys: Keys<'a>,
    warnings: Vec<DirectiveError>,
}

impl Reader<'_> {
    fn warn(&mut self, origin: &Origin, problem: impl Into<Box<str>>) {
        self.warnings.push(DirectiveError { key: shown(&origin.key).into(), problem: problem.into() });
    }

    fn read(mut self, policy: &Found<'_>, zone: &TimeZone) -> KeelDirectives {
        let beside = policy.origin.place;
        let match_tag = self.beside_policy(beside, &[keys::MATCH_TAG, keys::MATCH_TAG_ALIAS], false);
        let match_prerelease = self.beside_policy(beside, &[keys::MATCH_PRERELEASE], true);
        let options = Options { match_tag: match_tag.value, match_prerelease: match_prerelease.value };
        let read = KeelPolicy::parse(policy.value, options);
        if let Err(none) = &read
            && *none != NoPolicy::Off
        {
            self.warn(&policy.origin, format!("`{}`: {none}; Keel ignores the workload", shown(policy.value)));
        }
        KeelDirectives {
            policy_text: said(policy, policy.value.into()),
            policy: read,
            match_tag,
            match_prerelease,
            polls: self.polls(),
            poll_schedule: self.poll_schedule(zone),
            approvals: self.approvals(),
            approval_deadline: self.approval_deadline(),
            image_pull_secret: self.image_pull_secret(),
            init_containers: self.init_containers(),
            image_volumes: self.boolean_in_any_case(keys::IMAGE_VOLUMES),
            monitor_containers: self.monitor_containers(),
            notify: self.notify(),
            release_notes: self.keys.at(Place::Annotation, keys::RELEASE_NOTES).map(|found| said(&found, found.value.into())),
            warnings: self.warnings,
        }
    }

    /// A key that Keel reads only where the policy stands. The first of the spellings wins.
    fn beside_policy(&mut self, place: Place, spellings: &[&str], default: bool) -> Said<bool> {
        let elsewhere = match place {
            Place::Label => Place::Annotation,
            Place::Annotation => Place::Label,
        };
        let keys = self.keys;
        for found in spellings.iter().filter_map(|key| keys.at(elsewhere, key)) {
            self.warn(&found.origin, "Keel reads it only where the policy stands, label or annotation");
        }
        let Some(found) = spellings.iter().find_map(|key| self.keys.at(place, key)) else { return Said::default(default) };
        self.boolean(&found)
    }

    /// Exactly `true` is true.
    fn boolean(&mut self, found: &Found<'_>) -> Said<bool> {
        if !matches!(found.value, "true" | "false") {
            self.warn(&found.origin, format!("`{}` is not `true`, so it is off", shown(found.value)));
        }
        said(found, found.value == "true")
    }

    fn boolean_in_any_case(&mut self, key: &str) -> Said<bool> {
        match self.keys.first_in_any_case(LABEL_FIRST, key) {
            Some(found) => self.boolean(&found),
            None => Said::default(false),
        }
    }

    fn polls(&mut self) -> Said<bool> {
        let Some(found) = self.keys.first(ANNOTATION_FIRST, keys::TRIGGER) else { return Said::default(false) };
        if !matches!(found.value, "poll" | "default") {
            self.warn(&found.origin, format!("`{}` is not `poll`, so Keel does not poll", shown(found.value)));
        }
        said(&found, found.value == "poll")
    }

    fn poll_schedule(&mut self, zone: &TimeZone) -> Said<PollTimes> {
        let default = PollTimes::Every(DEFAULT_SCHEDULE);
        let Some(found) = self.keys.at(Place::Annotation, keys::POLL_SCHEDULE) else { return Said::default(default) };
        if found.value.is_empty() {
            self.warn(&found.origin, "is empty, which stops Keel; skeg takes the default");
            return Said::default(default);
        }
        match schedule::parse(found.value, zone) {
            Ok(times) => {
                if found.value.split_whitespace().count() == 5 {
                    self.warn(
                        &found.origin,
                        "has five fields, and Keel's begin with seconds: the first is the second and the second the minute",
                    );
                }
                said(&found, times)
            }
            Err(problem) => {
                self.warn(&found.origin, format!("{problem}; the default is taken"));
                Said::default(default)
            }
        }
    }

    fn approvals(&mut self) -> Said<Option<u32>> {
        let Some(found) = self.keys.first(LABEL_FIRST, keys::APPROVALS) else { return Said::default(Some(0)) };
        let votes = go_integer(found.value).and_then(|votes| u32::try_from(votes).ok());
        if votes.is_none() {
            self.warn(&found.origin, format!("`{}` is no number of votes, so nothing is updated", shown(found.value)));
        }
        said(&found, votes)
    }

    fn approval_deadline(&mut self) -> Said<Duration> {
        let Some(found) = self.keys.first(LABEL_FIRST, keys::APPROVAL_DEADLINE) else { return Said::default(DEFAULT_DEADLINE) };
        let hours = go_integer(found.value).and_then(|hours| u64::try_from(hours).ok());
        match hours.and_then(|hours| hours.checked_mul(3600)) {
            Some(0) => Said::default(DEFAULT_DEADLINE),
            Some(seconds) => said(&found, Duration::from_secs(seconds)),
            None => {
                self.warn(&found.origin, format!("`{}` is no number of hours, so it is 24", shown(found.value)));
                Said::default(DEFAULT_DEADLINE)
            }
        }
    }

    fn image_pull_secret(&self) -> Option<Said<Box<str>>> {
        let found = self.keys.first_in_any_case(LABEL_FIRST, keys::IMAGE_PULL_SECRET)?;
        (!found.value.is_empty()).then(|| said(&found, found.value.into()))
    }

    fn init_containers(&mut self) -> Said<bool> {
        let asked = self.boolean_in_any_case(keys::INIT_CONTAINERS);
        let is_applied = self.keys.at(Place::Annotation, keys::INIT_CONTAINERS).is_some_and(|found| found.value == "true");
        if let (true, false, Some(origin)) = (asked.value, is_applied, &asked.origin) {
            let problem = "Keel would poll init containers and never update them: there it reads only the annotation in this very spelling; skeg updates them";
            self.warnings.push(DirectiveError { key: shown(&origin.key).into(), problem: problem.into() });
        }
        asked
    }

    /// The first expression that can be read. For polls and updates Keel looks among the annotations first.
    fn monitor_containers(&mut self) -> Option<(GoRegexp, Origin)> {
        let keys = self.keys;
        for found in keys.in_any_case(ANNOTATION_FIRST, keys::MONITOR_CONTAINERS) {
            match GoRegexp::parse(found.value) {
                Ok(expression) => return Some((expression, found.origin)),
                Err(error) => self.warn(&found.origin, format!("`{}`: {error}; Keel passes it over", shown(found.value))),
            }
        }
        None
    }

    fn notify(&self) -> Said<Vec<Box<str>>> {
        let Some(found) = self.keys.at(Place::Annotation, keys::NOTIFY) else { return Said::default(Vec::new()) };
        said(&found, found.value.split(',').map(|channel| channel.trim().into()).collect())
    }
}

fn said<T>(found: &Found<'_>, value: T) -> Said<T> {
    Said { value, origin: Some(found.origin.clone()) }
}

/// An integer as Go's `Atoi` reads it: decimal digits with a sign or none.
fn go_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests;

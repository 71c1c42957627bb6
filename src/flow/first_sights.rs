//! The first sights of tags that wait for their age: what the looks have found in this term, and how much of it is durable.
//!
//! ```text
//! the first look that needs them ──► read the record ──► looks find sights and let go of them ──► one write for all, seconds later
//! ```
//!
//! What is not durable makes tags younger after a restart, never older; so nobody waits for a write, and without the record skeg goes on by
//! memory alone and says so. Where the record cannot be read for the moment, nothing is decided by age until it can.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::lock::Mutex as AsyncMutex;
use jiff::{SignedDuration, Timestamp};

use super::Ports;
use super::guard::{self, guarded};
use crate::core::failure::{Failure, FailureKind};
use crate::core::first_sight::{Moment, Record, Seen, Sight, fitting};
use crate::core::image::{Digest, Repository, Tag};
use crate::core::schedule::{after, backoff};
use crate::ports::first_seen::Kept;
use crate::ports::registry::Access;

/// How long a write waits for more of them: after a start every repository is looked at within minutes.
const WRITE_AFTER: Duration = Duration::from_secs(5);
/// The longest wait between two tries to write.
const WRITE_CAP: Duration = Duration::from_mins(1);
/// When a record that may not be read is asked for again: somebody may have mended the role.
const READ_AGAIN: Duration = Duration::from_mins(1);
/// When a record is asked for again that could not be read for the moment. Many looks may want it meanwhile.
const READ_ON: Duration = Duration::from_secs(2);
/// How long it is told that something in the record could not be read. It is gone from there by then.
const TOLD_FOR: Duration = Duration::from_hours(1);
/// How many unreadable entries are named.
const NAMED_MAX: usize = 3;

/// What is known of first sights.
#[derive(Default)]
pub struct FirstSights {
    state: Mutex<State>,
    /// Whoever reads the record; others wait for it.
    reading: AsyncMutex<()>,
}

/// What the looks at one repository with one access have found.
#[derive(Clone, Default)]
pub struct Looked {
    /// How many looks there were.
    pub looks: u64,
    /// Whether there was one at which all could be read: what it did not find is not needed.
    pub is_whole: bool,
    /// Each tag with its first sight, and the look that read last what it points at.
    pub tags: BTreeMap<Tag, (Sight, u64)>,
}

#[derive(Default)]
struct State {
    looked: BTreeMap<(Repository, Access), Looked>,
    /// What the record holds, or would if it had room for it.
    kept: BTreeMap<Repository, BTreeMap<Tag, Sight>>,
    /// What the record held when it was read, of repositories that were not looked at with every access since.
    inherited: BTreeMap<Repository, BTreeMap<Tag, Sight>>,
    access: RecordAccess,
    writing: Writing,
    trouble: Option<(Timestamp, Box<str>)>,
    unreadable: Option<(Timestamp, Box<str>)>,
    /// Sights that the record has no room for.
    left_out: usize,
}

/// Whether the record may be gone by.
#[derive(Default)]
enum RecordAccess {
    /// There is none: nothing is written in observe mode.
    #[default]
    None,
    /// It is not read yet; not before this, by the steady clock, and for this reason.
    Unread(Duration, Box<str>),
    /// It may not be read; it is tried again after this, by the steady clock.
    Refused(Duration),
    /// It is read.
    Open,
}

#[derive(Default)]
enum Writing {
    #[default]
    Idle,
    Due {
        at: Timestamp,
        tries: u32,
    },
    UnderWay {
        tries: u32,
    },
}

impl FirstSights {
    /// From now on the record is gone by, and kept.
    pub fn keep_durably(&self) {
        self.state().access = RecordAccess::Unread(Duration::ZERO, "not read yet".into());
    }

    /// Both clocks, now.
    pub fn moment(ports: &Ports) -> Moment {
        Moment { wall: ports.clock.now(), steady: ports.clock.steady() }
    }

    /// Reads the record, if it has not been read. An error is one that will pass: until then nothing is known of ages.
    pub async fn ready(&self, ports: &Ports) -> Result<(), Box<str>> {
        let _turn = self.reading.lock().await;
        let now = Self::moment(ports);
        match &self.state().access {
            RecordAccess::None | RecordAccess::Open => return Ok(()),
            RecordAccess::Refused(again) if now.steady < *again => return Ok(()),
            RecordAccess::Unread(again, why) if now.steady < *again => return Err(why.clone()),
            RecordAccess::Refused(_) | RecordAccess::Unread(..) => {}
        }
        let read = guarded(ports, "reading the first sights", ports.first_seen.load()).await;
        let read = read.map_or_else(|| Err(guard::failure()), |read| read.map_err(Failure::from));
        let now = Self::moment(ports);
        let Err(failure) = read.map(|kept| self.adopt(kept, now)) else { return Ok(()) };
        tracing::warn!(error = %failure.summary, "first sights not read");
        let why: Box<str> = format!("the first sights cannot be read: {}", failure.summary).into();
        let mut state = self.state();
        let since = state.trouble.as_ref().map_or(now.wall, |(since, _)| *since);
        state.trouble = Some((since, why.clone()));
        if matches!(failure.kind, FailureKind::Refused | FailureKind::Forbidden) {
            state.access = RecordAccess::Refused(now.steady + READ_AGAIN);
            return Ok(());
        }
        state.access = RecordAccess::Unread(now.steady + READ_ON, why.clone());
        Err(why)
    }

    /// Takes over what was kept. What has been seen meanwhile has the earlier of both sights.
    fn adopt(&self, Kept { record, unreadable }: Kept, now: Moment) {
        let mut state = self.state();
        (state.access, state.trouble) = (RecordAccess::Open, None);
        if !unreadable.is_empty() {
            let named: Vec<&str> = unreadable.iter().take(NAMED_MAX).map(|problem| &**problem).collect();
            let more = unreadable.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let told =
                format!("ConfigMap skeg-first-seen held what is no first sight, those tags are seen anew: {}{more}", named.join("; "));
            tracing::warn!("{told}");
            state.unreadable = Some((after(now.wall, TOLD_FOR), told.into()));
            // What is there is other than what is kept, whatever that comes to be.
            state.due(now.wall);
        }
        let sights = |seen: BTreeMap<Tag, Seen>| seen.into_iter().map(|(tag, seen)| (tag, Sight::recorded(&seen, now))).collect();
        state.kept = record.into_iter().map(|(repository, seen)| (repository, sights(seen))).collect();
        state.inherited = state.kept.clone();
        let State { looked, kept, .. } = &mut *state;
        for ((repository, _), looked) in looked {
            for (tag, (sight, _)) in &mut looked.tags {
                let earlier = kept.get(repository).and_then(|seen| seen.get(tag));
                if let Some(earlier) = earlier.filter(|earlier| earlier.digest() == sight.digest() && earlier.is_older_than(sight)) {
                    *sight = earlier.clone();
                }
            }
        }
    }

    /// What was found in a repository.
    pub fn of(&self, repository: &Repository, access: &Access) -> Looked {
        self.state().looked.get(&(repository.clone(), access.clone())).cloned().unwrap_or_default()
    }

    /// The first sight of a tag at a digest: what another access or the record knows, or this one.
    pub fn sight(&self, repository: &Repository, tag: &Tag, digest: &Digest, now: Moment) -> Sight {
        let state = self.state();
        let known = state.sights(repository, tag).find(|sight| sight.digest() == digest).cloned();
        known
            .or_else(|| state.kept.get(repository)?.get(tag).filter(|sight| sight.digest() == digest).cloned())
            .unwrap_or_else(|| Sight::first(digest.clone(), now))
    }

    /// How old a tag is at a digest; `None` where it was not looked for.
    pub fn age(&self, repository: &Repository, tag: &Tag, digest: &Digest, steady: Duration) -> Option<SignedDuration> {
        self.state().sights(repository, tag).find(|sight| sight.digest() == digest).map(|sight| sight.age(steady))
    }

    /// Takes over what a look has found.
    pub fn keep(&self, repository: &Repository, access: &Access, looked: Looked, now: Moment) {
        let mut state = self.state();
        // A tag that was moved meanwhile is not to become as old again by being moved back.
        if let Some(inherited) = state.inherited.get_mut(repository) {
            inherited.retain(|tag, sight| looked.tags.get(tag).is_none_or(|(found, _)| found.digest() == sight.digest()));
        }
        state.looked.insert((repository.clone(), access.clone()), looked);
        if state.is_behind(repository, now) {
            state.due(now.wall);
        }
    }

    /// Nobody who looks at a repository with this access asks for an age.
    pub fn forget(&self, repository: &Repository, access: &Access, now: Moment) {
        let is_known = {
            let state = self.state();
            state.kept.contains_key(repository) || state.looked.contains_key(&(repository.clone(), access.clone()))
        };
        if is_known {
            self.keep(repository, access, Looked { is_whole: true, ..Looked::default() }, now);
        }
    }

    /// Lets go of what only the record knows of a repository, once it was looked at with each of these accesses and all could be read.
    pub fn settle(&self, repository: &Repository, accesses: impl FnOnce() -> Vec<Access>, now: Moment) {
        if !self.state().inherited.contains_key(repository) {
            return;
        }
        let accesses = accesses();
        let mut state = self.state();
        let is_whole = |access| state.looked.get(&(repository.clone(), access)).is_some_and(|looked| looked.is_whole);
        if accesses.into_iter().all(is_whole) {
            state.inherited.remove(repository);
            if state.is_behind(repository, now) {
                state.due(now.wall);
            }
        }
    }

    /// When the record is to be written.
    pub fn deadline(&self) -> Option<Timestamp> {
        if let Writing::Due { at, .. } = self.state().writing { Some(at) } else { None }
    }

    /// Whether the record is to be written by `now`; then that is under way.
    pub fn begin(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let Writing::Due { at, tries } = state.writing else { return false };
        let is_due = at <= now;
        if is_due {
            state.writing = Writing::UnderWay { tries };
        }
        is_due
    }

    /// What is wrong with the record, for people.
    pub fn troubles(&self, now: Timestamp) -> Vec<String> {
        let state = self.state();
        let trouble = state
            .trouble
            .as_ref()
            .map(|(since, why)| format!("since {since:.0}: {why}; after a restart the tags that wait for min-age would be seen anew"));
        let unreadable = state.unreadable.as_ref().filter(|(until, _)| now < *until).map(|(_, told)| told.to_string());
        let left_out = (state.left_out > 0).then(|| {
            format!(
                "{} of the tags that wait for min-age have no room in the record: after a restart they would be seen anew",
                state.left_out
            )
        });
        trouble.into_iter().chain(unreadable).chain(left_out).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the record as it is to be.
pub async fn write(ports: &Ports) {
    let sights = &ports.sights;
    let now = FirstSights::moment(ports);
    let is_used = |repository: &Repository, access: Option<&Access>| {
        let using = ports.workloads.using(repository);
        let reaches = |access: &Access| using.iter().any(|workload| ports.registry.access(repository, &workload.puller()) == *access);
        access.map_or(!using.is_empty(), reaches)
    };
    let record = sights.state().record(is_used, now);
    let (fitting, left_out) = fitting(record.clone());
    let written = guarded(ports, "writing the first sights", ports.first_seen.save(&fitting)).await;
    let written = written.map_or_else(|| Err(guard::failure()), |written| written.map_err(Failure::from));
    sights.state().written(written.map(|()| record), left_out, FirstSights::moment(ports));
}

impl State {
    /// What was found in a repository, with each access.
    fn looks<'a>(&'a self, repository: &'a Repository) -> impl Iterator<Item = &'a Looked> {
        // The least access is the first one.
        let from = (repository.clone(), Access::Anonymous);
        self.looked.range(from..).take_while(move |((other, _), _)| other == repository).map(|(_, looked)| looked)
    }

    /// The sights of a tag that the looks have found, with whatever access.
    fn sights<'a>(&'a self, repository: &'a Repository, tag: &'a Tag) -> impl Iterator<Item = &'a Sight> {
        self.looks(repository).filter_map(move |looked| looked.tags.get(tag)).map(|(sight, _)| sight)
    }

    /// Whether what is kept of a repository is other than what is to be.
    fn is_behind(&self, repository: &Repository, now: Moment) -> bool {
        let kept = self.kept.get(repository);
        let kept: BTreeMap<_, _> = kept.into_iter().flatten().map(|(tag, sight)| (tag.clone(), sight.as_recorded())).collect();
        self.found(repository, now).is_some_and(|found| found != kept)
    }

    /// What the looks have found in a repository, with every access; `None` when there was none. Where they found a tag at two digests, what was
    /// seen later. Until every access had its look, what they did not find may be needed: what was recorded before stays.
    fn found(&self, repository: &Repository, now: Moment) -> Option<BTreeMap<Tag, Seen>> {
        let mut found: Option<BTreeMap<Tag, Seen>> = None;
        for looked in self.looks(repository) {
            let all = found.get_or_insert_default();
            for (tag, (sight, _)) in &looked.tags {
                let seen = sight.seen(now);
                if all.get(tag).is_none_or(|other| (other.at, &other.digest) < (seen.at, &seen.digest)) {
                    all.insert(tag.clone(), seen);
                }
            }
        }
        if let (Some(all), Some(inherited)) = (&mut found, self.inherited.get(repository)) {
            for (tag, sight) in inherited {
                all.entry(tag.clone()).or_insert_with(|| sight.seen(now));
            }
        }
        found
    }

    /// What is to be kept. What nobody uses any more is forgotten; what was not looked at since the start stays.
    fn record(&mut self, is_used: impl Fn(&Repository, Option<&Access>) -> bool, now: Moment) -> Record {
        self.looked.retain(|(repository, access), _| is_used(repository, Some(access)));
        self.kept.retain(|repository, _| is_used(repository, None));
        self.inherited.retain(|repository, _| is_used(repository, None));
        let mut record: Record = self.kept.iter().map(|(repository, sights)| (repository.clone(), recorded(sights, now))).collect();
        let looked: Vec<Repository> = self.looked.keys().map(|(repository, _)| repository.clone()).collect();
        for repository in looked {
            let found = self.found(&repository, now).unwrap_or_default();
            record.insert(repository, found);
        }
        record.retain(|_, seen| !seen.is_empty());
        record
    }

    fn due(&mut self, now: Timestamp) {
        if let (RecordAccess::Open, Writing::Idle) = (&self.access, &self.writing) {
            self.writing = Writing::Due { at: after(now, WRITE_AFTER), tries: 0 };
        }
    }

    fn written(&mut self, result: Result<Record, Failure>, left_out: usize, now: Moment) {
        let Writing::UnderWay { tries } = std::mem::take(&mut self.writing) else { return };
        match result {
            Ok(record) => {
                let sights = |seen: BTreeMap<Tag, Seen>| seen.into_iter().map(|(tag, seen)| (tag, Sight::recorded(&seen, now))).collect();
                self.kept = record.into_iter().map(|(repository, seen)| (repository, sights(seen))).collect();
                (self.trouble, self.left_out) = (None, left_out);
                // What the looks have found meanwhile, if it is not what was written.
                if self.looked.keys().any(|(repository, _)| self.is_behind(repository, now)) {
                    self.due(now.wall);
                }
            }
            Err(failure) => {
                tracing::warn!(error = %failure.summary, attempt = tries + 1, "first sights not written, are written again");
                let since = self.trouble.as_ref().map_or(now.wall, |(since, _)| *since);
                self.trouble = Some((since, format!("the first sights cannot be written: {}", failure.summary).into()));
                let tries = tries.saturating_add(1);
                self.writing = Writing::Due { at: backoff(now.wall, tries, WRITE_CAP, "first sights", failure.retry_after), tries };
            }
        }
    }
}

fn recorded(sights: &BTreeMap<Tag, Sight>, now: Moment) -> BTreeMap<Tag, Seen> {
    sights.iter().map(|(tag, sight)| (tag.clone(), sight.seen(now))).collect()
}

#[cfg(test)]
mod tests;

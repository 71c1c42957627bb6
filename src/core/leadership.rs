//! Who leads: one replica at a time, by a lease that it renews.
//!
//! What is known of the lease goes in with the time, and what to do next comes out. Times are [steady](crate::ports::clock::Clock::steady)
//! ones: no setting of a clock moves them. What another replica has written as a time is never compared with a clock of ours: a foreign
//! lease holds as long as its record goes on changing, and for its whole length after we last saw it change.
//!
//! ```text
//!  the leader      sends a renewal ───────────── may act ──────────────► two thirds ··· a margin ···
//!  the standby               sees it ──────────────── holds ─────────────────────────────────────► the whole length: takes it
//! ```
//!
//! So the leader has stopped before another begins, as long as two clocks agree on how long fifteen seconds are within a third. Each term
//! has a number of its own, the *epoch*, which goes into records and marks: what a stopped leader wakes up to send is told by it.

mod lease;
mod timing;

use std::time::Duration;

use jiff::Timestamp;

pub use lease::{KeptLease, LeaseRecord, LeaseVersion, Peer};
pub use timing::{LASTS_MAX, LASTS_MIN, Timing};

/// This replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Me {
    /// The name of its pod, or machine: the same after a restart, and no other running replica's.
    pub name: Box<str>,
    /// What no other process has, an earlier one of the same name included.
    pub process: Box<str>,
    /// Where others reach it.
    pub peer: Option<Peer>,
}

impl Me {
    /// The holder that this process writes.
    pub fn holder(&self) -> Box<str> {
        format!("{}_{}", self.name, self.process).into()
    }

    /// Whether the holder is this replica, in this process or an earlier one.
    fn was(&self, holder: &str) -> bool {
        holder.rsplit_once('_').is_some_and(|(name, _)| *name == *self.name)
    }
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Read the lease, and tell what it says by [`Leadership::saw`].
    Read,
    /// Write the lease over this version, or create it, and tell what came of it by [`Leadership::wrote`] or [`Leadership::failed`].
    Write {
        /// What it is to say.
        record: LeaseRecord,
        /// The version it replaces; `None` where there is no lease.
        replaces: Option<LeaseVersion>,
    },
    /// Nothing, until then or until something is told.
    Wait(Duration),
    /// The term is over: stop acting now, then tell it by [`Leadership::stepped_down`].
    StepDown(Over),
}

/// Why a term is over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Over {
    /// No renewal was taken in time.
    #[error("the lease could not be renewed in time")]
    NotRenewed,
    /// Another one holds the lease.
    #[error("the lease is held by {0}")]
    Taken(Box<str>),
    /// A newer term has written something.
    #[error("something was written in epoch {0}, which is newer")]
    Newer(u64),
}

/// Why the lease could not be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseFailure {
    /// It is not what it was: read it again.
    Moved,
    /// No answer, or one that does not help. Whether a write was carried out is not known.
    NoAnswer,
}

/// One replica's view of the lease.
#[derive(Clone, Debug)]
pub struct Leadership {
    me: Me,
    timing: Timing,
    seen: Option<Seen>,
    term: Option<Tenure>,
    /// The newest epoch that was met anywhere: the next term is newer.
    newest: u64,
    /// Whether nothing was seen yet: then a holder of our own name is an earlier process of this replica, and dead.
    is_fresh: bool,
    failures: u32,
    /// Whether the last write met another lease than was expected.
    has_moved: bool,
    not_before: Duration,
}

/// What was last seen while another one led, or nobody.
#[derive(Clone, Debug)]
struct Seen {
    lease: Option<KeptLease>,
    /// When it may be taken, if nothing else is seen until then.
    free_at: Duration,
    /// When something was last told, be it the same.
    told_at: Duration,
    /// Whether a write has shown that the lease is not this any more.
    is_old: bool,
}

/// A term of this replica.
#[derive(Clone, Debug)]
struct Tenure {
    epoch: u64,
    acquired: Timestamp,
    replaces: Replaces,
    renew_at: Duration,
    acts_until: Duration,
    over: Option<Over>,
}

/// What the next renewal is written over.
#[derive(Clone, Debug)]
enum Replaces {
    Version(LeaseVersion),
    Nothing,
    Unknown,
}

impl Leadership {
    /// A replica that knows nothing yet.
    pub fn new(me: Me, timing: Timing) -> Self {
        let (seen, term, failures) = (None, None, 0);
        Self { me, timing, seen, term, newest: 0, is_fresh: true, failures, has_moved: false, not_before: Duration::ZERO }
    }

    /// What to do now. `wall` is the time for people.
    pub fn next(&self, now: Duration, wall: Timestamp) -> Next {
        match &self.term {
            Some(term) => self.next_in_term(term, now, wall),
            None if now < self.not_before => Next::Wait(self.not_before),
            None => match &self.seen {
                None => Next::Read,
                Some(seen) if seen.is_old => Next::Read,
                Some(seen) if seen.free_at <= now => self.take(seen, wall),
                Some(seen) if seen.told_at + self.timing.silence_max() <= now => Next::Read,
                Some(seen) => Next::Wait(seen.free_at.min(seen.told_at + self.timing.silence_max())),
            },
        }
    }

    fn next_in_term(&self, term: &Tenure, now: Duration, wall: Timestamp) -> Next {
        if let Some(over) = &term.over {
            return Next::StepDown(over.clone());
        }
        if term.acts_until <= now {
            return Next::StepDown(Over::NotRenewed);
        }
        let due = term.renew_at.max(self.not_before);
        if now < due {
            return Next::Wait(due.min(term.acts_until));
        }
        let replaces = match &term.replaces {
            Replaces::Unknown => return Next::Read,
            Replaces::Nothing => None,
            Replaces::Version(version) => Some(version.clone()),
        };
        Next::Write { record: self.record(term.epoch, term.acquired, wall), replaces }
    }

    fn take(&self, seen: &Seen, wall: Timestamp) -> Next {
        let last = seen.lease.as_ref().map_or(0, |lease| lease.record.transitions);
        let epoch = last.max(self.newest).saturating_add(1);
        Next::Write { record: self.record(epoch, wall, wall), replaces: seen.lease.as_ref().map(|lease| lease.version.clone()) }
    }

    fn record(&self, epoch: u64, acquired: Timestamp, renewed: Timestamp) -> LeaseRecord {
        let Me { peer, .. } = self.me;
        LeaseRecord { holder: Some(self.me.holder()), peer, transitions: epoch, lasts: self.timing.lasts(), acquired, renewed }
    }

    /// The lease was read, or a watch has told of it; `None` when there is none.
    pub fn saw(&mut self, lease: Option<KeptLease>, now: Duration) {
        self.not_before = now;
        let is_mine = |record: &LeaseRecord, epoch: u64| record.holder == Some(self.me.holder()) && record.transitions == epoch;
        if let Some(term) = &mut self.term {
            match lease {
                None => term.replaces = Replaces::Nothing,
                Some(lease) if is_mine(&lease.record, term.epoch) => term.replaces = Replaces::Version(lease.version),
                Some(lease) => term.over = Some(Over::Taken(lease.record.holder.unwrap_or_else(|| "nobody".into()))),
            }
            term.renew_at = now;
            return;
        }
        self.failures = 0;
        self.newest = self.newest.max(lease.as_ref().map_or(0, |lease| lease.record.transitions));
        let free_at = match &self.seen {
            Some(seen) if version(seen.lease.as_ref()) == version(lease.as_ref()) => seen.free_at,
            _ => self.free_at(lease.as_ref(), now),
        };
        self.is_fresh = false;
        self.seen = Some(Seen { lease, free_at, told_at: now, is_old: false });
    }

    /// When a lease that was seen to change now may be taken.
    fn free_at(&self, lease: Option<&KeptLease>, now: Duration) -> Duration {
        let held_by = |lease: &KeptLease| lease.record.holder.clone().map(|holder| (holder, lease.record.lasts));
        let (holder, lasts) = match lease.map(held_by) {
            Some(None) => return now,
            Some(Some(held)) => held,
            // Somebody has deleted it, and whoever held it does not know that yet.
            None => match self.seen.as_ref().and_then(|seen| seen.lease.as_ref()).and_then(held_by) {
                Some(held) => held,
                None => return now,
            },
        };
        // Ours without a term: a write that was not answered, or a term that we have ended ourselves.
        if holder == self.me.holder() || (self.is_fresh && self.me.was(&holder)) {
            return now;
        }
        now + if lasts.is_zero() { self.timing.lasts() } else { lasts.min(LASTS_MAX) }
    }

    /// The lease was written as [`Next::Write`] asked, by a call that was sent at `sent`.
    pub fn wrote(&mut self, record: &LeaseRecord, version: LeaseVersion, sent: Duration) {
        (self.failures, self.has_moved) = (0, false);
        self.not_before = sent;
        let (renew_at, acts_until) = (sent + self.timing.renewed_every(), sent + self.timing.acts_for());
        let replaces = Replaces::Version(version);
        if let Some(term) = &mut self.term {
            // An answer that comes late must not take back what a later one has brought.
            term.acts_until = term.acts_until.max(acts_until);
            (term.replaces, term.renew_at) = (replaces, renew_at);
        } else {
            self.newest = self.newest.max(record.transitions);
            self.seen = None;
            let (epoch, acquired) = (record.transitions, record.acquired);
            self.term = Some(Tenure { epoch, acquired, replaces, renew_at, acts_until, over: None });
        }
    }

    /// A call failed.
    pub fn failed(&mut self, failure: LeaseFailure, now: Duration) {
        match failure {
            // The first time nothing is wrong with the API server; whoever loses again and again goes slower.
            LeaseFailure::Moved if !self.has_moved => self.not_before = now,
            // A write that was carried out all the same shows at the next one, which is refused then.
            LeaseFailure::Moved | LeaseFailure::NoAnswer => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = now + self.timing.pause(self.failures);
            }
        }
        self.has_moved = failure == LeaseFailure::Moved;
        if self.has_moved {
            match (&mut self.term, &mut self.seen) {
                (Some(term), _) => term.replaces = Replaces::Unknown,
                (None, Some(seen)) => seen.is_old = true,
                (None, None) => {}
            }
        }
    }

    /// A record of a newer epoch was met: this term is over, and the next one is newer than that.
    pub fn met(&mut self, epoch: u64) {
        self.newest = self.newest.max(epoch);
        if let Some(term) = &mut self.term
            && term.epoch < epoch
        {
            term.over = Some(Over::Newer(epoch));
        }
    }

    /// Something was not done because the time of the term had passed: it is over, however soon a renewal is taken.
    pub fn lapsed(&mut self) {
        if let Some(term) = &mut self.term {
            term.over.get_or_insert(Over::NotRenewed);
        }
    }

    /// Something makes us doubt that the lease is still ours: it is renewed now.
    pub fn doubted(&mut self, now: Duration) {
        if let Some(term) = &mut self.term {
            term.renew_at = now;
        }
    }

    /// Nothing of the term acts any more.
    pub fn stepped_down(&mut self) {
        self.term = None;
        self.seen = None;
    }

    /// Ends the term for good. What is to be written so that another replica need not wait; `None` where that would not help.
    pub fn resign(&mut self, wall: Timestamp) -> Option<(LeaseRecord, LeaseVersion)> {
        let term = self.term.take()?;
        let Replaces::Version(version) = term.replaces else { return None };
        let record = LeaseRecord { holder: None, peer: None, ..self.record(term.epoch, term.acquired, wall) };
        term.over.is_none().then_some((record, version))
    }

    /// The epoch of our term, and until when we may act.
    pub fn term(&self) -> Option<(u64, Duration)> {
        self.term.as_ref().map(|term| (term.epoch, term.acts_until))
    }

    /// Who leads, as far as that is known and is not us.
    pub fn leader(&self, now: Duration) -> Option<&LeaseRecord> {
        let seen = self.seen.as_ref().filter(|seen| now < seen.free_at)?;
        let record = seen.lease.as_ref().map(|lease| &lease.record)?;
        record.holder.as_ref().filter(|holder| **holder != self.me.holder()).map(|_| record)
    }
}

fn version(lease: Option<&KeptLease>) -> Option<&LeaseVersion> {
    lease.map(|lease| &lease.version)
}

#[cfg(test)]
mod tests;

//! Whether skeg is ready, readable at any moment without waiting.
//!
//! Ready is one who can decide and make it durable, or who knows who can. Each may fail for a while without anybody being the worse for it,
//! so only what lasts longer than [`GONE_AFTER`] counts; the process lives on meanwhile and is ready again by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::core::schedule::after;
use crate::ports::cluster::Gone;

/// How long the watches or the journal may fail before skeg is not ready. An API server that is replaced is away for less, and a registry
/// whose delivery is turned away meanwhile would have been heard in vain.
pub const GONE_AFTER: Duration = Duration::from_mins(1);

const NO_LEADER: &str = "no leader is known yet";

/// Ready, or why not.
pub struct Health(Mutex<State>);

struct State {
    /// What the start still waits for.
    start: Option<String>,
    journal: Option<Gone>,
    leader: Option<Gone>,
}

impl Default for Health {
    /// Not ready: nothing is known yet.
    fn default() -> Self {
        Self(Mutex::new(State { start: Some(NO_LEADER.to_owned()), journal: None, leader: None }))
    }
}

impl Health {
    /// Everything needed is there.
    pub fn ready(&self) {
        self.state().start = None;
    }

    /// Something needed is not there.
    pub fn not_ready(&self, why: String) {
        self.state().start = Some(why);
    }

    /// This replica leads: what it knows of the records is told by [`ready`](Self::ready) and [`not_ready`](Self::not_ready).
    pub fn leads(&self) {
        self.state().leader = None;
    }

    /// Another replica leads, and that is all this one needs.
    pub fn follows(&self) {
        let mut state = self.state();
        (state.start, state.leader, state.journal) = (None, None, None);
    }

    /// Nobody is known to lead.
    pub fn vacant(&self, now: Timestamp) {
        let mut state = self.state();
        state.journal = None;
        state.leader.get_or_insert_with(|| Gone { since: now, why: format!("there is no leader since {now:.0}") });
    }

    /// The lease cannot be read or written.
    pub fn lease_fails(&self, why: &str) {
        let mut state = self.state();
        if let Some(start) = &mut state.start {
            *start = format!("{NO_LEADER}: {why}");
        }
        if let Some(leader) = &mut state.leader {
            leader.why = format!("there is no leader since {:.0}: {why}", leader.since);
        }
    }

    /// A record cannot be written.
    pub fn journal_fails(&self, now: Timestamp, why: &str) {
        let mut state = self.state();
        let since = state.journal.as_ref().map_or(now, |gone| gone.since);
        state.journal = Some(Gone { since, why: format!("records cannot be written since {since:.0}: {why}") });
    }

    /// A record was written.
    pub fn journal_works(&self) {
        self.state().journal = None;
    }

    /// Why skeg is not ready; `None` when it is. `watches` is what is wrong with following the cluster.
    pub fn trouble(&self, watches: Option<Gone>, now: Timestamp) -> Option<String> {
        let state = self.state();
        let gone = state.journal.iter().chain(&state.leader).cloned().chain(watches).find(|gone| after(gone.since, GONE_AFTER) <= now);
        state.start.clone().or(gone.map(|gone| gone.why))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    #[test]
    fn a_journal_that_fails_for_long_is_not_ready_until_it_works() {
        let health = Health::default();
        assert!(health.trouble(None, at(0)).is_some(), "nothing is known yet");
        health.ready();
        for second in [10, 40, 69] {
            health.journal_fails(at(second), "no space left");
            assert_eq!(health.trouble(None, at(second)), None);
        }
        let why = health.trouble(None, at(70)).unwrap();
        assert!(why.contains("1970-01-01T00:00:10Z") && why.contains("no space left"), "{why}");
        health.journal_works();
        assert_eq!(health.trouble(None, at(70)), None);
        health.journal_fails(at(71), "no space left");
        assert_eq!(health.trouble(None, at(72)), None, "a new failure begins anew");
    }

    #[test]
    fn a_standby_is_ready_while_it_knows_who_leads() {
        let health = Health::default();
        health.vacant(at(1));
        health.lease_fails("leases are forbidden");
        assert_eq!(health.trouble(None, at(2)).as_deref(), Some("no leader is known yet: leases are forbidden"));
        health.follows();
        assert_eq!(health.trouble(None, at(3)), None);
        health.vacant(at(10));
        health.vacant(at(20));
        assert_eq!(health.trouble(None, at(69)), None, "the next leader comes within the length of the lease");
        health.lease_fails("leases are forbidden");
        let why = health.trouble(None, at(70)).unwrap();
        assert!(why.contains("since 1970-01-01T00:00:10Z") && why.contains("forbidden"), "{why}");
        health.leads();
        assert_eq!(health.trouble(None, at(71)), None);
    }

    #[test]
    fn watches_that_fail_for_long_are_not_ready() {
        let health = Health::default();
        health.ready();
        let gone = Gone { since: at(10), why: "Deployments of shop are not followed".into() };
        assert_eq!(health.trouble(Some(gone.clone()), at(69)), None);
        assert_eq!(health.trouble(Some(gone.clone()), at(70)), Some(gone.why));
    }
}

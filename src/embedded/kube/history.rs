//! The bounded history of changes from which watches are fed.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

/// Changes kept for watches. A watch that follows reads every change within milliseconds, so this bounds how far one may fall
/// behind, or stay away, before it is told to list again (410). 2,048 changes are more than the demo makes in an hour, and a few
/// megabytes, for the objects are shared with the store.
pub const CHANGES_KEPT_MAX: usize = 2_048;

/// One write to one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// Revision of the store after the write; also the resource version of `object`.
    pub revision: u64,
    /// The part of the storage the object is in (`group/plural`).
    pub resource: Arc<str>,
    /// The object before; `None` if the write created it.
    pub before: Option<Arc<Value>>,
    /// The object after. For a removal the last state, with the removal's resource version.
    pub object: Arc<Value>,
    /// Whether the write removed the object.
    pub removed: bool,
}

/// The asked-for changes are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The oldest revision from which a watch can go on.
    pub oldest: u64,
}

/// The last changes, oldest first.
#[derive(Debug, Default)]
pub struct History {
    changes: VecDeque<Change>,
    /// Everything up to and including this revision is not kept any more.
    forgotten: u64,
    /// Watches may not start before this revision. Open ones read on, as they do from the real server's watch cache.
    compacted: u64,
}

impl History {
    /// Adds a change; the oldest one is forgotten when there are too many.
    pub fn push(&mut self, change: Change) {
        if self.changes.len() == CHANGES_KEPT_MAX
            && let Some(oldest) = self.changes.pop_front()
        {
            self.forgotten = oldest.revision;
        }
        self.changes.push_back(change);
    }

    /// Whether a watch may start after `revision`.
    pub fn check_start(&self, revision: u64) -> Result<(), Compacted> {
        let oldest = self.forgotten.max(self.compacted);
        if revision < oldest { Err(Compacted { oldest }) } else { Ok(()) }
    }

    /// At most `limit` changes after `revision`, oldest first.
    pub fn after(&self, revision: u64, limit: usize) -> Result<Vec<Change>, Compacted> {
        if revision < self.forgotten {
            return Err(Compacted { oldest: self.forgotten });
        }
        let start = self.changes.partition_point(|change| change.revision <= revision);
        Ok(self.changes.iter().skip(start).take(limit).cloned().collect())
    }

    /// No watch may start before `revision` from now on.
    pub fn compact(&mut self, revision: u64) {
        self.compacted = revision;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;

    fn change(revision: u64) -> Change {
        Change { revision, resource: "/pods".into(), before: None, object: Arc::new(Value::Null), removed: false }
    }

    fn revisions(changes: &[Change]) -> Vec<u64> {
        changes.iter().map(|change| change.revision).collect()
    }

    #[test]
    fn changes_after_a_revision_come_oldest_first_and_bounded() {
        let mut history = History::default();
        (1..=5).for_each(|revision| history.push(change(revision)));
        assert_eq!(revisions(&history.after(2, 2).unwrap()), [3, 4]);
        assert_eq!(revisions(&history.after(5, 2).unwrap()), [0_u64; 0]);
    }

    #[test]
    fn what_no_longer_fits_is_answered_as_compacted() {
        let mut history = History::default();
        let last = CHANGES_KEPT_MAX as u64 + 3;
        (1..=last).for_each(|revision| history.push(change(revision)));
        assert_eq!(history.after(2, 1).unwrap_err(), Compacted { oldest: 3 });
        assert_eq!(history.after(3, usize::MAX).unwrap().len(), CHANGES_KEPT_MAX);
    }

    #[test]
    fn after_compaction_no_watch_starts_earlier_but_open_ones_read_on() {
        let mut history = History::default();
        (1..=5).for_each(|revision| history.push(change(revision)));
        history.compact(3);
        assert_eq!(history.check_start(2).unwrap_err(), Compacted { oldest: 3 });
        history.check_start(3).unwrap();
        assert_eq!(revisions(&history.after(2, 9).unwrap()), [3, 4, 5]);
    }
}

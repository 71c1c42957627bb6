//! The times of a lease.

use std::time::Duration;

/// The longest length that a lease is believed to have. A record that somebody wrote by hand must not keep everyone waiting for days.
pub const LASTS_MAX: Duration = Duration::from_hours(1);
/// The shortest length: the record counts whole seconds.
pub const LASTS_MIN: Duration = Duration::from_secs(1);

/// The times of a lease, all of them shares of its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    pub(super) lasts: Duration,
}

impl Default for Timing {
    /// The lease lasts 15 s, is renewed every 5 s, and its holder acts for 10 s after it has sent a renewal.
    fn default() -> Self {
        Self { lasts: Duration::from_secs(15) }
    }
}

impl Timing {
    /// The times of a lease of this length, within [`LASTS_MIN`] and [`LASTS_MAX`].
    pub fn lasting(lasts: Duration) -> Self {
        Self { lasts: lasts.clamp(LASTS_MIN, LASTS_MAX) }
    }

    /// How long another replica waits after it has last seen the lease change.
    pub fn lasts(self) -> Duration {
        self.lasts
    }

    /// How often the leader renews it: two renewals may fail before the leader has to stop.
    pub fn renewed_every(self) -> Duration {
        self.lasts / 3
    }

    /// How long the leader may act after it has *sent* a renewal that was taken.
    pub fn acts_for(self) -> Duration {
        self.lasts * 2 / 3
    }

    /// How long one call about the lease may take. A call that hangs must leave time for another one before the leader has to stop.
    pub fn call_lasts(self) -> Duration {
        self.lasts / 8
    }

    /// The wait after so many calls in a row have failed: short at first, because a term may hang on it, and at most what passes between two
    /// renewals.
    pub(super) fn pause(self, failures: u32) -> Duration {
        let first = self.lasts / 30;
        first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.renewed_every())
    }

    /// After how long without news the lease is read, where a watch should have told of a renewal.
    pub(super) fn silence_max(self) -> Duration {
        self.lasts / 2
    }
}

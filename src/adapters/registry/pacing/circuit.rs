//! A host that answers nothing of use is asked by one request at a time, with rests between, until it answers again.

use std::time::Duration;

use jiff::Timestamp;

use crate::core::schedule::backoff;

/// Failures in a row after which a host counts as down. Fewer are one bad repository, or a connection that broke.
const OPENS_AFTER: u32 = 5;
/// The longest rest between two tries. Short enough that a host which is back is found at the next poll, and no burden on one that is not.
const REST_MAX: Duration = Duration::from_secs(10);

/// How a host has answered last.
pub(super) struct Circuit {
    failures: u32,
    rests_until: Timestamp,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { failures: 0, rests_until: Timestamp::MIN }
    }
}

impl Circuit {
    /// Whether only one request at a time may go; then it may not before this.
    pub fn open_until(&self) -> Option<Timestamp> {
        (self.failures >= OPENS_AFTER).then_some(self.rests_until)
    }

    /// The host answered.
    pub fn served(&mut self) {
        self.failures = 0;
    }

    /// It did not, or with trouble of its own. Hosts that fail together are not tried together: the rest goes by the name.
    pub fn failed(&mut self, host: &str, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let tries = self.failures.saturating_sub(OPENS_AFTER).saturating_add(1);
        self.rests_until = backoff(now, tries, REST_MAX, host, None);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_one_answer() {
        let now = Timestamp::UNIX_EPOCH;
        let mut circuit = Circuit::default();
        for _ in 1..OPENS_AFTER {
            circuit.failed("a.test", now);
            assert_eq!(circuit.open_until(), None);
        }
        circuit.failed("a.test", now);
        assert!(circuit.open_until().unwrap() <= now + SignedDuration::from_secs(1));
        (0..20).for_each(|_| circuit.failed("a.test", now));
        let rest = circuit.open_until().unwrap().duration_since(now);
        assert!(rest > SignedDuration::from_secs(4) && rest <= SignedDuration::from_secs(10), "{rest}");
        circuit.served();
        assert_eq!(circuit.open_until(), None);
    }
}

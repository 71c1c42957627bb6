//! When to try again, as a value.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The wait before the second try; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// When to try again after `tries` failures: exponential up to `cap`, with full jitter, and not before `retry_after` has passed.
///
/// The jitter is drawn from `seed` and `tries`, so that many updates that fail together come back apart, and a replay comes back alike.
pub fn backoff(now: Timestamp, tries: u32, cap: Duration, seed: &str, retry_after: Option<Duration>) -> Timestamp {
    let ceiling = FIRST.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1).min(16)).unwrap_or(1)).min(cap);
    let wait = ceiling.mul_f64(fraction(seed, tries)).max(retry_after.unwrap_or_default());
    after(now, wait)
}

/// `now` and `wait` later; the end of time when that is too far to tell.
pub fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// A number from a half to one that `seed` and `round` decide. The lower half is left out: a retry at once helps nobody.
fn fraction(seed: &str, round: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(seed.as_bytes());
    hash.update(round.to_be_bytes());
    let first = hash.finalize().first().copied().unwrap_or_default();
    0.5 + f64::from(first) / 512.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_stay_there() {
        let now = Timestamp::UNIX_EPOCH;
        let cap = Duration::from_secs(15);
        for tries in 1..100 {
            let wait = backoff(now, tries, cap, "web", None).duration_since(now);
            assert!(wait <= jiff::SignedDuration::from_secs(15), "{tries}");
            assert!(wait >= jiff::SignedDuration::from_millis(if tries >= 5 { 7_500 } else { 500 }), "{tries}");
        }
    }

    #[test]
    fn the_other_side_is_left_alone_for_as_long_as_it_asks() {
        let now = Timestamp::UNIX_EPOCH;
        let next = backoff(now, 1, Duration::from_secs(15), "web", Some(Duration::from_secs(70)));
        assert_eq!(next, now + jiff::SignedDuration::from_secs(70));
    }

    #[test]
    fn a_wait_past_the_end_of_time_ends_there() {
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
    }
}

//! So many requests a second, and a second's worth of them at once after a rest.

use std::time::Duration;

/// How much unused time counts: a page walk after a rest goes at full speed.
const BURST: Duration = Duration::from_secs(1);

/// When the next request may go, as the generic cell rate algorithm has it: one moment is all there is to keep.
#[derive(Default)]
pub(super) struct Bucket {
    next: Duration,
}

impl Bucket {
    /// The moment, by the steady clock, at which a request may go that is made now.
    pub fn take(&mut self, now: Duration, a_second: u32) -> Duration {
        let moment = self.next.max(now.saturating_sub(BURST));
        self.next = moment + Duration::from_secs(1) / a_second.max(1);
        moment.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = Bucket::default();
        let now = Duration::from_secs(100);
        let moments: Vec<Duration> = (0..30).map(|_| bucket.take(now, 10)).collect();
        assert!(moments.iter().take(11).all(|moment| *moment == now));
        assert_eq!(moments.last(), Some(&(now + Duration::from_millis(1_900))));
        let later = now + Duration::from_mins(1);
        assert_eq!(bucket.take(later, 10), later);
    }
}

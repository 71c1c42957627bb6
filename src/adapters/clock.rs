//! The system's clock.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::ports::clock::Clock;

/// The longest sleep in one piece. Waking up after it costs nothing and takes up a clock that was set meanwhile.
const NAP: Duration = Duration::from_mins(1);

/// The wall clock. A deadline is compared with it anew after each nap, so setting the clock moves deadlines along.
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let left = deadline.duration_since(self.now());
            if left <= jiff::SignedDuration::ZERO {
                return;
            }
            tokio::time::sleep(left.unsigned_abs().min(NAP)).await;
        }
    }

    fn steady(&self) -> Duration {
        // Unlike the monotonic clock this one goes on while the machine is suspended, as the leases of other machines do.
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let now = clock_gettime(clock);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
    }

    async fn sleep_until_steady(&self, moment: Duration) {
        loop {
            let left = moment.saturating_sub(self.steady());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_steady_clock_goes_on_and_can_be_waited_for() {
        let begun = SystemClock.steady();
        SystemClock.sleep_until_steady(begun + Duration::from_millis(20)).await;
        assert!(SystemClock.steady() >= begun + Duration::from_millis(20));
        SystemClock.sleep_until_steady(Duration::ZERO).await;
    }
}

//! The system's clock.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

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
}

//! A clock that tests move by hand.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::core::schedule::after;
use crate::ports::clock::Clock;

/// Stands still until it is moved.
pub(super) struct HandClock(watch::Sender<Timestamp>);

impl Default for HandClock {
    fn default() -> Self {
        Self(watch::Sender::new("2026-01-01T00:00:00Z".parse().unwrap()))
    }
}

impl HandClock {
    /// Moves it, and wakes who waited for that.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut moved = self.0.subscribe();
        moved.wait_for(|now| *now >= deadline).await.unwrap();
    }

    fn steady(&self) -> Duration {
        self.now().duration_since(Timestamp::UNIX_EPOCH).unsigned_abs()
    }

    async fn sleep_until_steady(&self, moment: Duration) {
        self.sleep_until(after(Timestamp::UNIX_EPOCH, moment)).await;
    }
}

//! A clock that a test moves.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use skeg::adapters::clock::SystemClock;
use skeg::ports::clock::Clock;
use tokio::sync::watch;

/// The machine's clock, ahead by what it was moved. Nobody can move the steady one.
pub struct MovedClock(watch::Sender<SignedDuration>);

impl Default for MovedClock {
    fn default() -> Self {
        Self(watch::Sender::new(SignedDuration::ZERO))
    }
}

impl MovedClock {
    /// Moves it on. Whoever sleeps past that time wakes up.
    pub fn move_on(&self, by: SignedDuration) {
        self.0.send_modify(|ahead| *ahead += by);
    }
}

#[async_trait]
impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + *self.0.borrow()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut moved = self.0.subscribe();
        loop {
            let left = deadline.duration_since(self.now());
            if !left.is_positive() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.unsigned_abs()) => {}
                Ok(()) = moved.changed() => {}
            }
        }
    }

    fn steady(&self) -> Duration {
        SystemClock.steady()
    }

    async fn sleep_until_steady(&self, moment: Duration) {
        SystemClock.sleep_until_steady(moment).await;
    }
}

//! Time.

use async_trait::async_trait;
use jiff::Timestamp;

/// A clock.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits until `deadline` has passed.
    async fn sleep_until(&self, deadline: Timestamp);
}

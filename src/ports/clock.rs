//! Time, by two clocks: the wall's, which people read and anybody may set, and a steady one, which nobody can.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// A clock.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, as a person's watch has it. It may jump, also backwards.
    fn now(&self) -> Timestamp;

    /// Waits until `deadline` has passed.
    async fn sleep_until(&self, deadline: Timestamp);

    /// How long ago some moment of the past is that stays the same while the process runs. It never goes backwards, and goes on while the
    /// process or the machine is stopped.
    fn steady(&self) -> Duration;

    /// Waits until [`steady`](Self::steady) has come to `moment`.
    async fn sleep_until_steady(&self, moment: Duration);
}

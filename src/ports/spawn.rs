//! Running an effect beside the engine.

use futures::future::BoxFuture;

/// Runs effects. Each is owned by the one who spawns it: dropping the spawner ends them.
pub trait Spawn: Send + Sync {
    /// Runs `effect` to its end beside the caller.
    fn spawn(&self, effect: BoxFuture<'static, ()>);
}

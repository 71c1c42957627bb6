//! Tasks of the runtime, owned: when the owner goes, they end.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::task::JoinSet;

use crate::ports::spawn::Spawn;

/// Runs each effect as a task of its own.
#[derive(Default)]
pub struct Tasks {
    running: Mutex<JoinSet<()>>,
}

impl Spawn for Tasks {
    fn spawn(&self, effect: BoxFuture<'static, ()>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Tasks that have ended are taken out here, so the set holds no more than what runs.
        while running.try_join_next().is_some() {}
        running.spawn(effect);
    }
}

//! The terminal in place of chat: requests go to the story, which shows them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::core::failure::Failure;
use crate::core::provenance::Provenance;
use crate::core::update::{Prompt, Update, UpdateId};
use crate::ports::approver::Approver;

/// Passes each request on once.
pub struct Terminal {
    requests: mpsc::Sender<Update>,
    asked: Mutex<HashSet<UpdateId>>,
}

impl Terminal {
    /// A terminal whose requests arrive at the other end of the channel.
    pub fn new(requests: mpsc::Sender<Update>) -> Self {
        Self { requests, asked: Mutex::default() }
    }
}

#[async_trait]
impl Approver for Terminal {
    fn channel(&self) -> &'static str {
        "terminal"
    }

    /// The story tells every vote and every end by itself.
    async fn show(&self, update: &Update, _: &[Provenance]) -> Result<Option<Prompt>, Failure> {
        let is_new = self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(update.id.clone());
        if is_new && self.requests.send(update.clone()).await.is_err() {
            return Err(Failure::transient("the demo has ended"));
        }
        Ok(None)
    }
}

//! Showing requests to people, and what became of them.
//!
//! What is shown is a state, not a sequence of messages: one task at a time shows one update, takes up the newest state before each try,
//! and states that came and went while a chat was away are never sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Ports, provenance};
use crate::core::schedule::backoff;
use crate::core::update::{Prompt, Update, UpdateId};

/// The longest wait between two tries: after a chat comes back, people are asked within this time.
const BACKOFF_CAP: Duration = Duration::from_mins(1);
/// Tries to show how an update ended: about an hour at the cap, and again after a restart. An open one is tried as long as it is open,
/// which its own deadline bounds.
const TRIES_AT_END_MAX: u32 = 64;

/// The updates that are being shown.
#[derive(Default)]
pub struct Prompts(Mutex<BTreeMap<UpdateId, Shown>>);

/// One update, and how far its showing is.
struct Shown {
    /// The newest state of it.
    update: Update,
    /// Where it can be seen, as soon as that is known here; the record follows.
    prompt: Option<Prompt>,
    /// Whether a task shows it.
    is_busy: bool,
    /// Whether the newest state is still to be shown.
    is_behind: bool,
}

impl Prompts {
    /// Takes up the newest state; to be called in the order of the states. Whether a task is to be started that shows it: otherwise the
    /// one that runs takes it up.
    pub fn take_up(&self, update: &Update) -> bool {
        let mut all = self.all();
        let earlier = all.remove(&update.id);
        let (prompt, was_busy) = earlier.map_or((None, false), |shown| (shown.prompt, shown.is_busy));
        all.insert(update.id.clone(), Shown { update: update.clone(), prompt, is_busy: true, is_behind: true });
        !was_busy
    }

    /// The newest state, to be shown now.
    fn newest(&self, id: &UpdateId) -> Option<Update> {
        let mut all = self.all();
        let shown = all.get_mut(id)?;
        shown.is_behind = false;
        let prompt = shown.prompt.clone().or_else(|| shown.update.prompt.clone());
        Some(Update { prompt, ..shown.update.clone() })
    }

    /// Notes where an update can be seen. Whether the task goes on, because a newer state came meanwhile; with news for the record it ends,
    /// and the engine asks again for what has happened.
    fn shown(&self, id: &UpdateId, prompt: Option<&Prompt>, is_news: bool) -> bool {
        let mut all = self.all();
        let Some(shown) = all.get_mut(id) else { return false };
        shown.prompt = prompt.cloned();
        let goes_on = shown.is_behind && !is_news;
        if !goes_on {
            end(&mut all, id);
        }
        goes_on
    }

    /// The task of the update is over, however it ended.
    pub fn end(&self, id: &UpdateId) {
        end(&mut self.all(), id);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<UpdateId, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the record does not tell yet is kept, so that a state that comes meanwhile finds the message.
fn end(all: &mut BTreeMap<UpdateId, Shown>, id: &UpdateId) {
    let Some(shown) = all.get_mut(id) else { return };
    shown.is_busy = false;
    if shown.prompt.is_none() || shown.prompt == shown.update.prompt || !shown.update.is_open() {
        all.remove(id);
    }
}

/// Shows the update as it stands, again while that fails. Gives where it can be seen now, if that is not recorded yet.
pub async fn show(ports: &Ports, id: &UpdateId) -> Option<Prompt> {
    let mut tries = 0;
    loop {
        let update = ports.prompts.newest(id)?;
        let provenance = if ports.approver.shows_provenance() { provenance::of(ports, &update).await } else { Vec::new() };
        let shown = ports.approver.show(&update, &provenance).await;
        ports.metrics.noticed(ports.approver.channel(), shown.is_ok());
        match shown {
            Ok(prompt) => {
                let is_news = prompt.is_some() && prompt != update.prompt;
                if !ports.prompts.shown(id, prompt.as_ref(), is_news) {
                    return prompt.filter(|_| is_news);
                }
                tries = 0;
            }
            Err(failure) => {
                tries += 1;
                if !update.is_open() && tries >= TRIES_AT_END_MAX {
                    tracing::warn!(update.id = %id, error = %failure.summary, "people could not be shown how it ended");
                    ports.prompts.end(id);
                    return None;
                }
                tracing::warn!(update.id = %id, attempt = tries, error = %failure.summary, "people could not be told, will be told again");
                let next = backoff(ports.clock.now(), tries, BACKOFF_CAP, &id.name, failure.retry_after);
                ports.clock.sleep_until(next).await;
            }
        }
    }
}

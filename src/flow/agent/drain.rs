//! The end of an agent: what is under way is finished or recorded, within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::Agent;
use crate::core::schedule::after;
use crate::core::update::UpdateId;
use crate::flow::message::Message;

/// How long a stopping agent waits for what is under way. Kubernetes gives thirty seconds; PRODUCT promises ten.
const DRAIN: Duration = Duration::from_secs(9);
/// How often a stopping agent looks whether everything has ended, when nothing tells it.
const DRAIN_STEP: Duration = Duration::from_millis(50);
/// Updates that are named in an error; a stop of a large release must not fill the log with them.
const TOLD_MAX: usize = 10;

/// skeg has stopped before everything that was decided could be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("stopped with unrecorded {}: the API server did not take it in time; the next start goes on from what is recorded", told(updates))]
pub struct NotRecorded {
    /// The updates whose records are behind; none when only pauses are.
    updates: Vec<UpdateId>,
}

fn told(updates: &[UpdateId]) -> String {
    let names: Vec<String> = updates.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    match updates.len() {
        0 => "pauses".to_owned(),
        more if more > TOLD_MAX => format!("updates {} and {} more", names.join(", "), more - TOLD_MAX),
        _ => format!("updates {}", names.join(", ")),
    }
}

impl Agent {
    /// Lets patches, commits and records that are under way end, and records their outcomes, also what could not be written at first. Hints
    /// and deadlines wait for the next start.
    pub(super) async fn drain(mut self) -> Result<(), NotRecorded> {
        self.is_stopping = true;
        let ports = Arc::clone(&self.ports);
        self.write_first_sights(Timestamp::MAX);
        let until = after(ports.clock.now(), DRAIN);
        while self.is_under_way() || !self.inbox.is_empty() || !self.engine.is_durable() {
            tokio::select! { biased;
                Some(envelope) = self.inbox.recv() => self.take(envelope, ports.clock.now()),
                () = ports.clock.sleep_until(after(ports.clock.now(), DRAIN_STEP)) => self.handle(Message::Tick),
            }
            if ports.clock.now() >= until || !ports.term.may_act() {
                break;
            }
        }
        if !self.engine.is_durable() {
            return Err(NotRecorded { updates: self.engine.not_durable().cloned().collect() });
        }
        if self.is_under_way() {
            tracing::warn!("stopped with work under way; it is resumed at the next start");
        } else {
            tracing::info!("everything under way is finished and recorded");
        }
        Ok(())
    }

    fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0
    }
}

/// Counts something that a stop waits for, as long as it lives.
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(super) fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

//! People are asked once. A second message for an update is right only when nobody could know of the first: its post was given up before it
//! arrived, its answer never came, or a person deleted it; and where the network carried out the one post twice, which no client can know of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use skeg::core::update::UpdateId;

use super::Promise;
use super::past::Past;
use crate::history::{Fact, Process, Told};

/// The messages of each update.
#[derive(Default)]
pub struct AskedOnce {
    posted: BTreeMap<UpdateId, Vec<Message>>,
}

struct Message {
    number: u64,
    by: Process,
    sent: Timestamp,
    request: u64,
    /// When its answer came.
    answered: Option<Timestamp>,
}

impl Promise for AskedOnce {
    fn words(&self) -> &'static str {
        "people are asked once"
    }

    fn see(&mut self, told: &Told, _: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::Posted { update, message, sent, by, request, .. } => {
                let earlier = self.posted.entry(update.clone()).or_default();
                // Whoever looks into the channel finds what is there. The look is a request of its own right before the post.
                let known = earlier.iter().find(|one| one.answered.is_some_and(|answered| answered <= *sent));
                if let Some(known) = known {
                    return Err(format!("{} was posted again as {message}, and message {} was answered", update.name, known.number));
                }
                earlier.push(Message { number: *message, by: *by, sent: *sent, request: *request, answered: None });
            }
            Fact::PostAnswered { message } => {
                let Some(all) = self.posted.values_mut().find(|all| all.iter().any(|one| one.number == *message)) else { return Ok(()) };
                let Some(one) = all.iter_mut().find(|one| one.number == *message) else { return Ok(()) };
                one.answered = Some(told.at);
                let (by, sent, request) = (one.by, one.sent, one.request);
                // Whoever waits for the answer to a post sends no other.
                if let Some(other) =
                    all.iter().find(|other| other.request != request && other.by == by && other.sent >= sent && other.sent < told.at)
                {
                    return Err(format!("messages {message} and {} of one update were posted by {by} side by side", other.number));
                }
            }
            Fact::MessageDeleted { update, message } => {
                self.posted.entry(update.clone()).or_default().retain(|one| one.number != *message);
            }
            _ => {}
        }
        Ok(())
    }
}

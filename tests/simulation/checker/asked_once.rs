//! People are asked once. A second message for an update is right only when nobody could know of the first: its post was given up before it
//! arrived, its answer never came, or a person deleted it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use skeg::core::update::UpdateId;

use super::Promise;
use super::past::Past;
use crate::history::{Fact, Told};

/// The messages of each update.
#[derive(Default)]
pub struct AskedOnce {
    posted: BTreeMap<UpdateId, Vec<Message>>,
}

struct Message {
    number: u64,
    /// When it was in the channel.
    at: Timestamp,
    /// When its answer came.
    answered: Option<Timestamp>,
}

impl Promise for AskedOnce {
    fn words(&self) -> &'static str {
        "people are asked once"
    }

    fn see(&mut self, told: &Told, _: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::Posted { update, message, sent, .. } => {
                let earlier = self.posted.entry(update.clone()).or_default();
                // Whoever looks into the channel finds what is there. The look is a request of its own right before the post.
                let known = earlier.iter().find(|one| one.answered.is_some_and(|answered| answered <= *sent));
                if let Some(known) = known {
                    return Err(format!("{} was posted again as {message}, and message {} was answered", update.name, known.number));
                }
                earlier.push(Message { number: *message, at: told.at, answered: None });
            }
            Fact::PostAnswered { message } => {
                for one in self.posted.values_mut().flatten().filter(|one| one.number == *message && one.at <= told.at) {
                    one.answered = Some(told.at);
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

//! The chat: requests that are posted, looked for and edited, and the buttons on them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use skeg::core::failure::Failure;
use skeg::core::provenance::Provenance;
use skeg::core::update::{Phase, Prompt, Update, UpdateId};
use skeg::ports::approver::Approver;

use super::World;
use super::network::{Does, Link, NoAnswer, Sent};
use super::weather::Far;
use crate::history::Fact;

/// The channel that requests are in.
pub const CHANNEL: &str = "C1";

/// Every message by its number.
#[derive(Default)]
pub struct Messages(pub BTreeMap<u64, Message>);

/// A request.
#[derive(Clone, Debug)]
pub struct Message {
    /// Which update it is about.
    pub update: UpdateId,
    /// What a click on it is for.
    pub content: Box<str>,
    /// Whether it has buttons.
    pub asks: bool,
}

impl World {
    fn post(&mut self, message: Message, sent: Sent) -> u64 {
        let number = self.number();
        let (update, content) = (message.update.clone(), message.content.clone());
        self.chat.0.insert(number, message);
        self.tell(Fact::Posted { update, message: number, by: sent.process, sent: sent.at, request: sent.request, content });
        number
    }

    fn edit(&mut self, number: u64, message: Message) -> bool {
        let Some(before) = self.chat.0.get_mut(&number) else { return false };
        let told = Fact::Edited { update: message.update.clone(), message: number, asks: message.asks };
        *before = message;
        self.tell(told);
        true
    }
}

#[async_trait]
impl Approver for Link {
    fn channel(&self) -> &'static str {
        "chat"
    }

    /// As Slack's adapter does it: the known message, or else the one found by the update's name, is edited; else one is posted while it
    /// asks.
    async fn show(&self, update: &Update, _: &[Provenance]) -> Result<Option<Prompt>, Failure> {
        let message = Message { update: update.id.clone(), content: update.content().into(), asks: asks(update) };
        let ended = !update.is_open();
        if let Some(known) = &update.prompt
            && (self.edit(known, &message).await? || !message.asks)
        {
            return Ok(Some(Prompt { ended, ..known.clone() }));
        }
        if let Some(found) = self.find(&update.id).await?
            && (self.edit(&found, &message).await? || !message.asks)
        {
            return Ok(Some(Prompt { ended, ..found }));
        }
        if !message.asks {
            return Ok(None);
        }
        let what = format!("posting {}", update.id.name);
        let asked = self.ask(Far::Chat, (Does::Write, &what), move |world, sent| world.post(message, sent));
        let number = asked.await.map_err(silent)?;
        self.world.lock().tell(Fact::PostAnswered { message: number });
        Ok(Some(prompt(number)))
    }
}

impl Link {
    async fn edit(&self, prompt: &Prompt, message: &Message) -> Result<bool, Failure> {
        let number: u64 = prompt.message.parse().unwrap_or_default();
        let (edited, what) = (message.clone(), format!("editing the message of {}", message.update.name));
        self.ask(Far::Chat, (Does::Write, &what), move |world, _| world.edit(number, edited)).await.map_err(silent)
    }

    async fn find(&self, update: &UpdateId) -> Result<Option<Prompt>, Failure> {
        let wanted = update.clone();
        let asked = self.ask(Far::Chat, (Does::Read, "looking for a message"), move |world, _| {
            world.chat.0.iter().find(|(_, message)| message.update == wanted).map(|(number, _)| *number)
        });
        Ok(asked.await.map_err(silent)?.map(prompt))
    }
}

fn prompt(number: u64) -> Prompt {
    Prompt { channel: CHANNEL.into(), message: number.to_string().into(), ended: false }
}

fn silent(error: NoAnswer) -> Failure {
    match error {
        NoAnswer::Silent => Failure::transient("the chat does not answer"),
        NoAnswer::Busy(retry_after) => Failure { retry_after, ..Failure::transient("the chat asks to slow down") },
    }
}

fn asks(update: &Update) -> bool {
    matches!(&update.phase, Phase::Held(held) if held.asked.is_some() && held.granted.is_none())
}

//! The way of ballots to the engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::future::{Either, select};
use jiff::Timestamp;

use super::agent::Mailbox;
use super::commands::{Command, CommandRefused};
use super::message::Message;
use crate::core::hold::voter::Ballot;
use crate::core::schedule::after;
use crate::core::update::{Update, UpdateId};
use crate::ports::approver::{NotCast, Votes};
use crate::ports::clock::Clock;
use crate::telemetry;

/// How long a vote may take to become durable before its voter is told to look again. The vote itself stays.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The ballot box of a running agent.
pub struct BallotBox {
    /// The way to the agent.
    pub mailbox: Mailbox,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Votes for BallotBox {
    async fn cast(&self, id: UpdateId, ballot: Ballot) -> Result<Update, NotCast> {
        let (tell, answer) = oneshot::channel();
        let (at, on, voter) = (self.clock.now(), id.clone(), ballot.voter.name().to_string());
        let reply = Box::new(move |result: Result<Update, CommandRefused>| {
            if let Err(refused) = &result {
                audit(at, &on, &voter, refused);
            }
            drop(tell.send(result));
        });
        if !self.mailbox.send(Message::Command(Command::Vote { id, ballot, reply })).await {
            return Err(stopping());
        }
        let patience = self.clock.sleep_until(after(self.clock.now(), ANSWER_MAX));
        match select(answer, patience).await {
            Either::Left((Ok(result), _)) => result.map_err(|refused| refusal(&refused)),
            Either::Left((Err(_), _)) => Err(stopping()),
            Either::Right(_) => Err(NotCast::NotDurable("taken, but not recorded yet: the API server does not answer".to_owned())),
        }
    }
}

/// Writes down a refusal that the engine has no update for to write it down with.
fn audit(at: Timestamp, on: &UpdateId, voter: &str, refused: &CommandRefused) {
    match refused {
        CommandRefused::NotNow(_) | CommandRefused::Observing | CommandRefused::NotFound(_) | CommandRefused::Unfit(_) => {
            telemetry::audit_unheard(at, on, &format!("{voter}: {refused}"));
        }
        // The engine has written it down; or the click is not acknowledged and comes again.
        CommandRefused::Vote(_) | CommandRefused::NotRecorded(_) => {}
    }
}

fn stopping() -> NotCast {
    NotCast::NotDurable("skeg is stopping".to_owned())
}

fn refusal(refused: &CommandRefused) -> NotCast {
    match refused {
        CommandRefused::NotRecorded(_) => NotCast::NotDurable(refused.to_string()),
        CommandRefused::NotNow(_)
        | CommandRefused::Observing
        | CommandRefused::NotFound(_)
        | CommandRefused::Vote(_)
        | CommandRefused::Unfit(_) => NotCast::Refused(refused.to_string()),
    }
}

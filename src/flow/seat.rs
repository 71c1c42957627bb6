//! Who leads, for everyone in this process who has something for the leader.

use jiff::Timestamp;
use tokio::sync::watch;

use super::agent::Mailbox;
use super::engine::Engine;
use super::message::Message;
use crate::core::leadership::Peer;

/// Who leads.
#[derive(Clone)]
pub enum Standing {
    /// This replica.
    Leads {
        /// The way to the agent.
        mailbox: Mailbox,
        /// Its name in the lease, with the epoch of its term; `None` where no lease is needed.
        holder: Option<(Box<str>, u64)>,
    },
    /// Another replica.
    Follows {
        /// Its name.
        leader: Box<str>,
        /// Where it is reached, if it says so.
        peer: Option<Peer>,
        /// The epoch of its term.
        epoch: u64,
    },
    /// Nobody, as far as is known.
    Vacant,
}

impl Standing {
    /// Whether it is the same leader in the same term.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vacant, Self::Vacant) => true,
            (Self::Leads { holder, .. }, Self::Leads { holder: other, .. }) => holder == other,
            (Self::Follows { leader, peer, epoch }, Self::Follows { leader: other, peer: at, epoch: of_other }) => {
                (leader, peer, epoch) == (other, at, of_other)
            }
            (Self::Vacant | Self::Leads { .. } | Self::Follows { .. }, _) => false,
        }
    }
}

/// Tells who leads, at any moment.
#[derive(Clone)]
pub struct Seat(watch::Receiver<Standing>);

impl Seat {
    /// A seat that nobody has yet, and the way to fill it.
    pub fn vacant() -> (watch::Sender<Standing>, Self) {
        let (sender, receiver) = watch::channel(Standing::Vacant);
        (sender, Self(receiver))
    }

    /// A seat that one agent has for good.
    pub fn taken(mailbox: Mailbox) -> Self {
        Self(watch::channel(Standing::Leads { mailbox, holder: None }).1)
    }

    /// Who leads now.
    pub fn standing(&self) -> Standing {
        self.0.borrow().clone()
    }

    /// Waits until somebody leads; who does.
    pub async fn filled(&self) -> Standing {
        let mut seat = self.0.clone();
        loop {
            let standing = seat.borrow_and_update().clone();
            if !matches!(standing, Standing::Vacant) {
                return standing;
            }
            if seat.changed().await.is_err() {
                return futures::future::pending().await;
            }
        }
    }

    /// The way to the agent, when this replica leads.
    pub fn mailbox(&self) -> Option<Mailbox> {
        match &*self.0.borrow() {
            Standing::Leads { mailbox, .. } => Some(mailbox.clone()),
            Standing::Follows { .. } | Standing::Vacant => None,
        }
    }

    /// Sends a message to the agent; `false` when there is none here.
    pub async fn send(&self, message: Message) -> bool {
        match self.mailbox() {
            Some(mailbox) => mailbox.send(message).await,
            None => false,
        }
    }

    /// Looks at the engine; `None` when there is none here.
    pub async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Engine, Timestamp) -> T + Send + 'static) -> Option<T> {
        self.mailbox()?.read(look).await
    }
}

//! What registries and CI systems post when an image was pushed: one body format for each source, read into hints.
//!
//! A body is a claim and never a fact. What comes out of it names a repository to look at; existence, tag and digest are read from
//! the registry before anything is decided. Who may post, how long a body may be and what is answered is the HTTP side's business;
//! the table here says which credentials a source's senders are able to present.

mod image;
mod json;
mod native;
mod registry;
mod seen;

use http::HeaderMap;
use serde_json::Value;

use super::Hint;
use crate::core::image::{Digest, Repository, Tag};

pub use json::JsonError;
pub use seen::SeenDeliveries;

/// Every source, in the order people are told of them. A further one is a file of its name and a line here.
pub static SOURCES: [&dyn WebhookSource; 2] = [&native::Native, &registry::Notifications];

/// The source called `name` in `/v1/webhooks/{source}`.
pub fn source(name: &str) -> Option<&'static dyn WebhookSource> {
    SOURCES.into_iter().find(|source| source.name() == name)
}

/// One body format.
pub trait WebhookSource: Send + Sync {
    /// Its name in paths, configuration and metrics.
    fn name(&self) -> &'static str;

    /// The credentials that its senders are able to present.
    fn credentials(&self) -> &'static [CredentialKind];

    /// Reads one delivery, which has been authenticated and is of bounded length. What the sender tells that is of no interest here is
    /// ignored with a reason, as an error would make it try again; an error means that the body is not of this source.
    fn parse(&self, headers: &HeaderMap, body: &[u8], settings: &Settings) -> Result<Delivery, Rejected>;
}

/// How a sender can show who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialKind {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
    /// `Authorization: Basic …` (RFC 7617).
    Basic,
}

/// What a receiver's configuration says about its deliveries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// The registry, host and optional port, of deliveries that do not say it themselves.
    pub registry: Option<Box<str>>,
}

/// What one delivery said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delivery {
    /// The images that were pushed, in the sender's order.
    pub hints: Vec<Hinted>,
    /// Why its other events are of no interest.
    pub ignored: Vec<Ignored>,
    /// What a handshake is to be answered with.
    pub reply: Option<Value>,
}

/// An image that the sender says was pushed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hinted {
    /// Where it was pushed to.
    pub repository: Repository,
    /// The tag it was pushed under.
    pub tag: Tag,
    /// Its digest, where the sender gives a valid one.
    pub digest: Option<Digest>,
    /// The sender's id of the event, by which a repeated delivery is known.
    pub event_id: Option<Box<str>>,
}

/// An event that leads to no hint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ignored {
    /// Why.
    pub reason: &'static str,
}

/// Why a body is not of the source it was posted to. The message repeats nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No JSON that is accepted.
    #[error("the body {0}")]
    Json(#[from] JsonError),
    /// JSON that says something else.
    #[error("{0}")]
    Content(&'static str),
}

impl From<Hinted> for Hint {
    fn from(hinted: Hinted) -> Self {
        Self::pushed(hinted.repository, hinted.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_names_of_their_own_and_a_way_to_be_guarded() {
        for source in SOURCES {
            let namesakes = SOURCES.iter().filter(|other| other.name() == source.name()).count();
            assert_eq!(namesakes, 1, "{}", source.name());
            assert!(!source.credentials().is_empty(), "{}", source.name());
        }
        assert!(source("registry").is_some());
        assert!(source("nothing").is_none());
    }

    #[test]
    fn the_configuration_knows_the_same_sources() {
        for source in SOURCES {
            let text = format!("[[webhook]]\nsource = \"{}\"\ninsecure = true\n", source.name());
            let config = crate::config::parse("skeg.toml".as_ref(), &text);
            assert!(config.is_ok(), "{}: {config:?}", source.name());
        }
    }
}

//! The HTTP side of skeg: webhooks and probes on one listener; the API, metrics and probes on the other.
//!
//! What is here reads requests, checks who sends them and writes answers. What they ask for is carried out behind [`desk::Desk`].

pub mod desk;
pub mod view;

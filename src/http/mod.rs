//! The HTTP side of skeg: webhooks and probes on one listener; the API, metrics and probes on the other.
//!
//! What is here reads requests, checks who sends them and writes answers. What they ask for is carried out behind [`desk::Desk`].

mod answer;
mod auth;
pub mod desk;
mod listener;
mod orders;
mod peer;
mod private;
mod probes;
mod request;
mod route;
pub mod view;
mod waiting;
mod webhooks;

pub use answer::ErrorView;
pub use listener::Listener;
pub use peer::Peers;
pub use private::Private;
pub use route::is_name;
pub use webhooks::{Queue, Webhooks};

//! The probes that both listeners serve: `/healthz` says the process answers, `/readyz` that it can do its work.

use http::StatusCode;

use super::answer::{Answer, text};
use super::desk::Readiness;

/// The process answers: that is all.
pub fn health() -> Answer {
    text(StatusCode::OK, "ok")
}

/// Whether skeg is ready, and if not, why.
pub fn ready(readiness: &Readiness) -> Answer {
    match readiness {
        Readiness::Ready => text(StatusCode::OK, "ready"),
        Readiness::NotReady { why } => text(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

//! Panics, caught: one fails what it happened in and nothing else.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

use super::Ports;
use crate::core::failure::{Failure, FailureKind};

/// What people are told of a panic. What it says is in the log only: it may quote anything.
pub const INTERNAL: &str = "an internal error, see the log of skeg";

/// Runs `work` to its end; `None` when it panicked, which is told and counted here. What was half done stays so, and is to be tried again.
pub async fn guarded<T>(ports: &Ports, doing: &str, work: impl Future<Output = T>) -> Option<T> {
    let end = AssertUnwindSafe(work).catch_unwind().await;
    end.map_err(|panic| {
        tracing::error!(doing, error = %said(&*panic), "an internal error");
        ports.metrics.panicked();
    })
    .ok()
}

/// The failure that a panic comes out as.
pub fn failure() -> Failure {
    Failure { kind: FailureKind::Panicked, summary: INTERNAL.into(), retry_after: None }
}

/// What a panic says.
pub fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

//! From a signal to an orderly end.
//!
//! The first SIGTERM or SIGINT cancels the token: listeners stop accepting, sources stop giving hints, and what is in flight has
//! [`DRAIN_LIMIT`] to end or to be recorded. A second signal does not wait. SIGHUP, which would end a program that does not know it, is told
//! to have no effect.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long work in flight may take to end. Kubernetes kills after 30 s by default; a patch or a push takes a few seconds at most, and
/// whatever is cut off is resumed from its record at the next start.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A token that is cancelled by the first SIGTERM or SIGINT.
pub fn on_signal() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("received SIGHUP: the configuration is read at the start only, restart skeg to read it anew");
        }
    });
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping: received {name}");
        cancelled.cancel();
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopped at once: received {name} again");
        std::process::exit(1);
    });
    Ok(stop)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

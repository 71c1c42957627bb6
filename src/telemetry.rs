//! The log on standard error, and the audit on standard output.
//!
//! The log is for the person who operates skeg: text or JSON, filtered. The audit is one JSON object a line with everything that happened
//! to an update and every order a person gave; it has its own target, is never filtered, and outlives the records in the cluster.

use jiff::Timestamp;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, Telemetry};
use crate::core::update::{Change, Entry, Event, Update, UpdateId};

/// The target of audit events.
const AUDIT: &str = "audit";

/// Whether the audit is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audit {
    /// To standard output.
    Written,
    /// Not at all: standard output is used for something else.
    Off,
}

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read. The configuration checks it before.
    #[error("telemetry.filter")]
    Filter(#[from] ParseError),
    /// It runs already.
    #[error("logging was started before")]
    Started(#[from] TryInitError),
}

/// Starts logging for the whole process. To be called once.
pub fn start(settings: &Telemetry, audit: Audit) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(&settings.filter)?.and(filter_fn(is_for_the_log));
    let log = match settings.log {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).with_filter(filter).boxed(),
    };
    let audit = (audit == Audit::Written).then(|| audit_layer(std::io::stdout));
    Registry::default().with(log).with(audit).try_init()?;
    Ok(())
}

/// Only the fields of an audit event: time, level and target of the log would say nothing about it.
fn audit_layer<S, W>(to: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    lines.without_time().with_level(false).with_target(false).with_writer(to).with_filter(filter_fn(is_audit))
}

fn is_audit(metadata: &Metadata<'_>) -> bool {
    metadata.target() == AUDIT
}

/// Libraries that repeat what is secret. The Kubernetes client's own warnings hold whole answers of the API server, with the environment of
/// every workload in them; the WebSocket library traces every frame, and Slack's carry addresses that anybody may post to. Whatever goes
/// wrong in them is told where it is handled.
const NEVER_LOGGED: [&str; 3] = ["kube_client", "kube_runtime", "tungstenite"];

/// Everything but the audit, and but what some libraries say by themselves. No filter lets that through.
fn is_for_the_log(metadata: &Metadata<'_>) -> bool {
    !is_audit(metadata) && !NEVER_LOGGED.iter().any(|library| metadata.target().starts_with(library))
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// Writes down what happened to an update.
pub fn audit_update(update: &Update, entry: &Entry) {
    let changes: Vec<String> = update.spec.changes.iter().map(change).collect();
    tracing::info!(
        target: AUDIT,
        at = %entry.at,
        event = &*entry.event,
        detail = &*entry.detail,
        update.id = %update.id,
        update.phase = update.phase.as_str(),
        update.attempt = update.spec.attempt,
        update.trigger = update.spec.trigger.as_str(),
        workload = %update.spec.workload,
        changes = changes.join("; "),
    );
}

fn change(change: &Change) -> String {
    format!("{}: {} to {} ({})", change.container, change.from, change.to, change.digest)
}

/// Writes down a vote that was refused without a look at the update: there is none of this name, or nobody knows yet.
pub fn audit_unheard(at: Timestamp, update: &UpdateId, detail: &str) {
    tracing::info!(target: AUDIT, at = %at, event = Event::VoteRefused.as_str(), detail, update.id = %update);
}

/// Writes down an order that a person gave and what came of it: `done`, or why it was refused.
pub fn audit_order(at: Timestamp, caller: &str, order: &str, on: &str, outcome: &str) {
    tracing::info!(target: AUDIT, at = %at, event = "order", caller, order, on, outcome);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written to a log.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_libraries_repeat_of_secrets_is_never_logged() {
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer().with_writer(move || writer.clone()).with_filter(filter_fn(is_for_the_log));
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            tracing::warn!(target: "kube_client::client", "{{\"env\": \"canary\"}}");
            tracing::error!(target: "kube_runtime::watcher", "canary");
            tracing::trace!(target: "tungstenite::protocol", "canary");
            tracing::info!("ours");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("ours") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn an_order_is_one_json_object() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = Registry::default().with(audit_layer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            audit_order(Timestamp::UNIX_EPOCH, "user:ann", "approve", "shop/web-0123456789", "done");
            tracing::info!("not for the audit");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        let expected = serde_json::json!({
            "at": "1970-01-01T00:00:00Z", "event": "order", "caller": "user:ann", "order": "approve", "on": "shop/web-0123456789", "outcome": "done",
        });
        assert_eq!(line, expected);
    }
}

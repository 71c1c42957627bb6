//! What happened: to the audit log, to what is counted, and to whoever listens in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Ports;
use super::engine::Engine;
use super::message::AuditLine;
use crate::core::failure::{Failure, FailureKind};
use crate::core::notice;
use crate::core::schedule::backoff;
use crate::core::update::{Entry, Event, Outcome, Phase, Update};
use crate::ports::events::Told;
use crate::telemetry;

/// Tries to write one Event: with the waits between them they last through a restart of the API server, about a minute.
const TELLS_MAX: u32 = 7;
/// The longest wait between two of them.
const TELL_BACKOFF_CAP: Duration = Duration::from_secs(30);

/// Writes the line, counts it and passes it on.
pub fn write(ports: &Ports, line: AuditLine) {
    let entry = Entry { at: line.at, event: line.event.as_str().into(), detail: line.detail.clone() };
    telemetry::audit_update(&line.update, &entry);
    count(ports, &line);
    // Nobody has to listen.
    let _ = ports.happened.send(Arc::new(line));
}

/// What people are told on the workload.
pub fn told(line: &AuditLine) -> Option<Told> {
    let notice = notice::of(&line.update, line.event)?;
    Some(Told {
        workload: line.update.spec.workload.clone(),
        uid: line.update.spec.uid.clone(),
        warning: notice.warning,
        reason: notice.reason.into(),
        message: notice.message,
    })
}

/// Tells people on the workload, again after a while when that failed and may pass: nobody says it a second time. `tried` is called after
/// the first try.
pub async fn tell(ports: &Ports, told: &Told, tried: impl FnOnce()) {
    let mut tried = Some(tried);
    for tries in 1..=TELLS_MAX {
        let outcome = ports.events.tell(told).await;
        ports.metrics.noticed("events", outcome.is_ok());
        if let Some(tried) = tried.take() {
            tried();
        }
        let Err(error) = outcome else { return };
        let failure = Failure::from(error);
        if tries == TELLS_MAX || failure.kind != FailureKind::Transient {
            tracing::warn!(workload = %told.workload, error = %failure.summary, "event not written");
            return;
        }
        let again = backoff(ports.clock.now(), tries, TELL_BACKOFF_CAP, &told.uid, failure.retry_after);
        ports.clock.sleep_until(again).await;
    }
}

fn count(ports: &Ports, line: &AuditLine) {
    if let Some((phase, spent)) = line.left {
        ports.metrics.left_phase(phase, spent.unsigned_abs());
    }
    let age = line.at.duration_since(line.update.created).unsigned_abs();
    match (line.event, &line.update.phase) {
        (Event::Closed, Phase::Closed(closed)) => {
            ports.metrics.closed(closed.outcome, line.update.spec.trigger);
            // Where nothing is written back, an update that became healthy is done with that.
            if closed.outcome == Outcome::Done && line.left.is_some_and(|(phase, _)| phase == "Verifying") {
                ports.metrics.lead_time(age);
            }
            if closed.outcome == Outcome::RolledBack
                && let Some((_, spent)) = line.left
            {
                ports.metrics.restored(spent.unsigned_abs());
            }
        }
        (Event::Healthy, _) => ports.metrics.lead_time(age),
        _ => {}
    }
}

/// Brings the gauges up to date. Everything is counted for them, so that is not done at every move.
pub fn gauge(ports: &Ports, engine: &Engine) {
    gauge_updates(ports, engine);
    gauge_workloads(ports, engine);
}

/// Open updates by phase, and those that wait for votes.
fn gauge_updates(ports: &Ports, engine: &Engine) {
    let mut open: BTreeMap<&'static str, usize> = BTreeMap::new();
    for update in engine.updates().filter(|update| update.is_open()) {
        *open.entry(update.phase.as_str()).or_default() += 1;
    }
    ports.metrics.set_open(open);
    ports.metrics.set_approvals_waiting(engine.updates().filter(|update| waits_for_votes(update)).count());
}

/// By namespace: workloads with wrong directives, and tags that qualify and do not run.
fn gauge_workloads(ports: &Ports, engine: &Engine) {
    let (mut wrong, mut behind): (BTreeMap<Box<str>, usize>, BTreeMap<Box<str>, usize>) = Default::default();
    for workload in ports.workloads.all() {
        if workload.directives.is_err() {
            *wrong.entry(workload.id.namespace.clone()).or_default() += 1;
        } else {
            *behind.entry(workload.id.namespace.clone()).or_default() += engine.tags_behind(&workload);
        }
    }
    ports.metrics.set_directive_errors(wrong.iter().map(|(namespace, count)| (&**namespace, *count)));
    ports.metrics.set_tags_behind(behind.iter().map(|(namespace, count)| (&**namespace, *count)));
}

/// Whoever does not lead counts nothing: two replicas would show everything twice.
pub fn forget_gauges(ports: &Ports) {
    ports.metrics.set_leader(false);
    ports.metrics.set_open(BTreeMap::new());
    ports.metrics.set_approvals_waiting(0);
    ports.metrics.set_directive_errors([]);
    ports.metrics.set_tags_behind([]);
}

fn waits_for_votes(update: &Update) -> bool {
    matches!(&update.phase, Phase::Held(held) if held.asked.is_some() && held.granted.is_none())
}

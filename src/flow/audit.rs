//! What happened: to the audit log, to what is counted, and to whoever listens in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Ports;
use super::engine::{AuditLine, Engine};
use crate::core::notice;
use crate::core::update::{Entry, Event, Outcome, Phase, Update};
use crate::ports::events::Told;
use crate::telemetry;

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

/// Brings the gauges of updates up to date: open ones by phase, those that wait for votes.
pub fn gauge_updates(ports: &Ports, engine: &Engine) {
    let mut open: BTreeMap<&'static str, usize> = BTreeMap::new();
    for update in engine.updates().filter(|update| update.is_open()) {
        *open.entry(update.phase.as_str()).or_default() += 1;
    }
    ports.metrics.set_open(open);
    ports.metrics.set_approvals_waiting(engine.updates().filter(|update| waits_for_votes(update)).count());
}

/// Brings the gauges of workloads up to date, by namespace: wrong directives, and tags that qualify and do not run.
pub fn gauge_workloads(ports: &Ports, engine: &Engine) {
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

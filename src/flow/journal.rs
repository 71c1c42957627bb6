//! Writing records, and reading them at the start.

use std::time::Duration;

use super::Ports;
use super::guard::{self, guarded};
use super::message::Written;
use crate::core::failure::{Failure, FailureKind};
use crate::core::pause::{Change, Pause};
use crate::core::schedule::{after, backoff};
use crate::core::update::{Update, UpdateId};
use crate::ports::cluster::ClusterError;
use crate::ports::journal::{Kept, Records, Unreadable, Version};

/// The longest wait between two tries to read the records at the start.
const BACKOFF_CAP: Duration = Duration::from_secs(15);
/// How long a request may be under way: an API server ends it after a minute unless it is told otherwise, and there may be proxies before it.
const LATE_MAX: Duration = Duration::from_mins(3);
/// Readings of one write. A record that somebody keeps editing is written at the next try.
const READINGS_MAX: u32 = 3;

/// Writes the record of an update: a new one without a version, else over that version.
///
/// Only skeg writes records, and its memory is what counts: a record that somebody edited is written over, one that somebody deleted is
/// written anew. Another leader's memory counts more: one that an earlier leader has written late, because it was stopped with that ready to
/// leave, is taken as it is found, and one of a newer leader ends the term. A new record's name may be taken by an attempt that is not in memory; then nothing is written. Nor is anything written over
/// a record that cannot be read: another skeg may have written it, and what it holds back would be forgotten.
pub async fn write(ports: &Ports, update: &Update, version: Option<Version>) -> Written {
    let written = guarded(ports, "writing a record", try_write(ports, update, version)).await;
    let result = written.map_or_else(|| Err(guard::failure()), |written| written.map_err(Failure::from));
    note(ports, result.as_ref().err());
    result.unwrap_or_else(|failure| {
        tracing::warn!(update.id = %update.id, error = %failure.summary, "record not written, is tried again as long as it matters");
        Written::Failed(failure)
    })
}

/// Notes for readiness whether what is decided can be made durable. What is refused is refused for one object; its update tells that.
fn note(ports: &Ports, failure: Option<&Failure>) {
    match failure {
        None => ports.health.journal_works(),
        Some(failure) if failure.kind == FailureKind::Transient => ports.health.journal_fails(ports.clock.now(), &failure.summary),
        Some(_) => {}
    }
}

async fn try_write(ports: &Ports, update: &Update, version: Option<Version>) -> Result<Written, ClusterError> {
    let mut version = version;
    for _ in 0..READINGS_MAX {
        let result = match &version {
            None => ports.journal.create(update).await,
            Some(version) => ports.journal.replace(update, version).await,
        };
        match result {
            Ok(version) => return Ok(Written::Done(version)),
            Err(ClusterError::Exists { .. }) => match found(ports, &update.id).await? {
                Some(Ok(kept)) if is_ours(&kept, update) => version = Some(kept.version),
                Some(Ok(kept)) => return Ok(Written::Taken(Box::new(kept))),
                Some(Err(unreadable)) => return Ok(Written::Unreadable(unreadable)),
                None => version = None,
            },
            Err(ClusterError::Conflict { .. }) if version.is_some() => {
                version = match found(ports, &update.id).await?.transpose() {
                    Ok(Some(kept)) if kept.update.epoch < ports.term.epoch() => return Ok(Written::Taken(Box::new(kept))),
                    Ok(kept) => kept.map(|kept| kept.version),
                    Err(unreadable) => return Ok(Written::Unreadable(unreadable)),
                };
                tracing::warn!(update.id = %update.id, "record was edited by somebody else and is written over");
            }
            Err(ClusterError::NotFound { .. }) if version.is_some() => {
                tracing::warn!(update.id = %update.id, "record was deleted by somebody else and is written anew");
                version = None;
            }
            Err(error) => return Err(error),
        }
    }
    Err(ClusterError::kept_writing(&update.id))
}

/// The record that is there. One of a newer epoch ends the term.
async fn found(ports: &Ports, id: &UpdateId) -> Result<Option<Result<Kept, Unreadable>>, ClusterError> {
    let found = ports.journal.get(id).await?;
    match &found {
        Some(Ok(kept)) if ports.term.meets_record(kept.update.epoch) => {
            Err(ClusterError::Conflict { object: id.to_string(), detail: format!("it is of epoch {}, which is newer", kept.update.epoch) })
        }
        _ => Ok(found),
    }
}

/// Whether the record is an earlier, unanswered write of the same update and not another attempt's.
fn is_ours(kept: &Kept, update: &Update) -> bool {
    kept.update.spec == update.spec && kept.update.created == update.created
}

/// Reads a record that could not be read once more; `None` when the API server does not tell.
pub async fn read_again(ports: &Ports, id: &UpdateId) -> Option<Option<Result<Kept, Unreadable>>> {
    let read = guarded(ports, "reading a record", ports.journal.get(id)).await?;
    read.inspect_err(|error| tracing::warn!(update.id = %id, error = %error, "record not read again")).ok()
}

/// Removes a record that is not needed any more. A failure is told and forgotten: the next start finds the record again.
pub async fn remove(ports: &Ports, id: &UpdateId) {
    if let Err(error) = ports.journal.remove(id).await {
        tracing::warn!(update.id = %id, error = %error, "old record not removed");
    }
}

/// Makes a change in the pauses kept, and gives what is kept now.
pub async fn save_pauses(ports: &Ports, change: &Change) -> Result<Vec<Pause>, Failure> {
    let saved = guarded(ports, "writing the pauses", ports.pauses.save(change)).await;
    let result = saved.map_or_else(|| Err(guard::failure()), |saved| saved.map_err(Failure::from));
    note(ports, result.as_ref().err());
    if let Err(failure) = &result {
        tracing::warn!(error = %failure.summary, "pauses not written");
    }
    result
}

/// Reads every record and the pauses, again until it works; the trouble meanwhile is what readiness tells.
pub async fn load(ports: &Ports) -> (Records, Vec<Pause>) {
    let mut tries = 0;
    loop {
        let trouble = match guarded(ports, "reading the records", try_load(ports)).await {
            Some(Ok(loaded)) => return loaded,
            Some(Err(error)) => start_trouble(&error),
            None => format!("the records cannot be read: {}", guard::INTERNAL),
        };
        tries += 1;
        tracing::warn!(error = trouble, attempt = tries, "records cannot be read, will be read again");
        ports.health.not_ready(trouble);
        ports.clock.sleep_until(backoff(ports.clock.now(), tries, BACKOFF_CAP, "load", None)).await;
    }
}

/// Reads the open records once more, some minutes after the start: what a skeg that is no more had sent may have come through since.
pub async fn load_late(ports: &Ports) -> Vec<Kept> {
    loop {
        ports.clock.sleep_until(after(ports.clock.now(), LATE_MAX)).await;
        if let Some(Ok(records)) = guarded(ports, "reading the records", ports.journal.load()).await {
            return records.kept;
        }
    }
}

fn start_trouble(error: &ClusterError) -> String {
    match error {
        ClusterError::NotFound { .. } => {
            "the ImageUpdate resource is not installed: run `skeg crd | kubectl apply -f -`; it is looked for again by itself".to_owned()
        }
        error => format!("the records cannot be read: {error}"),
    }
}

/// Open and binding ones first, by label: they decide what happens now. The closed rest is history and counts attempts.
async fn try_load(ports: &Ports) -> Result<(Records, Vec<Pause>), ClusterError> {
    let mut records = ports.journal.load().await?;
    let rest = ports.journal.all().await?;
    let is_new = |kept: &Kept| !records.kept.iter().any(|known| known.update.id == kept.update.id);
    let new: Vec<Kept> = rest.kept.into_iter().filter(is_new).collect();
    records.kept.extend(new);
    for unreadable in &rest.unreadable {
        tracing::error!(update.id = %unreadable.id, problem = unreadable.problem, "record cannot be read and is left alone");
    }
    records.unreadable = rest.unreadable;
    Ok((records, ports.pauses.load().await?))
}

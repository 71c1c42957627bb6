//! Setting images, and putting them back.

use super::Ports;
use crate::core::failure::{Failure, FailureKind};
use crate::core::patch::{Weighed, weigh, weigh_restore};
use crate::core::update::{Applied, Drift, Mark, Phase, Restored, Rollout, Update};
use crate::core::workload::WorkloadId;
use crate::ports::cluster::{ClusterError, ImagePatch, Reading};
use crate::ports::registry::RegistryError;

/// Readings of one try. Whoever loses this often to other writers waits for the next try.
const READINGS_MAX: u32 = 5;

/// Sets the new images if the workload is still what the update started from and the tags are still what people approved.
///
/// What the workload shows goes first: a patch that was made before a crash is followed, whatever has become of the tag since.
pub async fn apply(ports: &Ports, update: &Update) -> Applied {
    let outcome = set(ports, update).await.unwrap_or_else(Applied::Failed);
    settled(ports, update, outcome).await
}

async fn set(ports: &Ports, update: &Update) -> Result<Applied, Failure> {
    let (mut looked, mut last) = (glance(ports, update).await, None);
    for _ in 0..READINGS_MAX {
        let (on, images) = match looked? {
            Looked::Settled(applied) => return Ok(applied),
            Looked::Ready { on, images } => (on, images),
        };
        if let Some(end) = confirm(ports, update).await? {
            return Ok(end);
        }
        let mark = Mark { update: update.id.name.clone(), epoch: ports.term.epoch(), restored: Vec::new() };
        match ports.cluster.patch(&ImagePatch { on, images, mark }).await {
            Ok(admitted) => return Ok(shown(&admitted, update)),
            Err(ClusterError::NotFound { .. }) => return Ok(Applied::Drifted(Drift::Gone)),
            Err(conflict @ ClusterError::Conflict { .. }) => last = Some(conflict),
            Err(error) => return Err(error.into()),
        }
        looked = look(ports, update).await;
    }
    Err(last.unwrap_or_else(|| ClusterError::kept_writing(&update.spec.workload)).into())
}

/// Tells whether an earlier try of the update has set the images, and sets nothing: a pause is on.
pub async fn look_only(ports: &Ports, update: &Update) -> Applied {
    let outcome = match look(ports, update).await {
        Ok(Looked::Settled(applied)) => applied,
        Ok(Looked::Ready { .. }) => Applied::Paused,
        Err(error) => Applied::Failed(error.into()),
    };
    settled(ports, update, outcome).await
}

/// An update that is not patched now stays so: what an earlier leader may have under way must not come through later. Where it has come
/// through before that was made sure, that is the outcome.
async fn settled(ports: &Ports, update: &Update, outcome: Applied) -> Applied {
    match outcome {
        Applied::Patched { .. } | Applied::Failed(Failure { kind: FailureKind::Transient | FailureKind::Panicked, .. }) => outcome,
        Applied::TagMoved { .. }
        | Applied::TagGone { .. }
        | Applied::Drifted(_)
        | Applied::Paused
        | Applied::Barred(_)
        | Applied::Failed(Failure { kind: FailureKind::Refused | FailureKind::Forbidden, .. }) => match take_over(ports, update).await {
            Ok(false) => outcome,
            Ok(true) => match look(ports, update).await {
                Ok(Looked::Settled(patched @ Applied::Patched { .. })) => patched,
                Ok(Looked::Settled(_) | Looked::Ready { .. }) => outcome,
                Err(error) => Applied::Failed(error.into()),
            },
            Err(error) => Applied::Failed(error.into()),
        },
    }
}

/// Makes sure that no patch of an earlier leader comes through from now on; whether that took a write.
///
/// That one may have been stopped with its patch ready to leave, and may go on any time later. The patch tests the mark that was read, or the
/// version where there is none; so the mark is written anew, in this epoch and otherwise as it is. A patch of our own does the same.
async fn take_over(ports: &Ports, update: &Update) -> Result<bool, ClusterError> {
    let epoch = ports.term.epoch();
    if update.epoch >= epoch {
        return Ok(false);
    }
    let is_settled = |mark: &Mark| match update.phase {
        // The earlier leader's patch has been made, and there was only one.
        Phase::Applying(_) if mark.update == update.id.name => true,
        _ => mark.epoch >= epoch,
    };
    for _ in 0..READINGS_MAX {
        // Of a workload that is made anew the uid tells.
        let Some(on) = read(ports, update).await?.filter(|on| on.uid == update.spec.uid) else { return Ok(false) };
        let mark = on.mark.as_deref().and_then(Mark::parse);
        if mark.as_ref().is_some_and(is_settled) {
            return Ok(false);
        }
        tracing::info!(workload = %on.id, epoch, "taken over from an earlier leader");
        match ports.cluster.patch(&ImagePatch { on, images: Vec::new(), mark: Mark::taken_over(mark, epoch) }).await {
            Ok(_) => return Ok(true),
            Err(ClusterError::NotFound { .. }) => return Ok(false),
            Err(ClusterError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ClusterError::kept_writing(&update.spec.workload))
}

/// The workload as the API server has it. One that a newer leader has marked is left alone until the lease is seen to be ours.
async fn read(ports: &Ports, update: &Update) -> Result<Option<Reading>, ClusterError> {
    let reading = ports.cluster.read(&update.spec.workload).await?;
    let mark = reading.as_ref().and_then(|reading| reading.mark.as_deref()).and_then(Mark::parse);
    match mark.filter(|mark| ports.term.meets_mark(mark.epoch)) {
        None => Ok(reading),
        Some(mark) => {
            let detail = format!("its mark is of epoch {}, which is newer than {}", mark.epoch, ports.term.epoch());
            Err(ClusterError::Conflict { object: update.spec.workload.to_string(), detail })
        }
    }
}

/// What applying would meet.
enum Looked {
    /// There is nothing to set.
    Settled(Applied),
    /// These images are to be set on what was read.
    Ready { on: Reading, images: Vec<(Box<str>, Box<str>)> },
}

/// Looks at what the watch shows, and asks the API server only where that is not what the update expects. The watch may be late: a patch on
/// it tests everything that matters, so that costs one refused patch.
async fn glance(ports: &Ports, update: &Update) -> Result<Looked, ClusterError> {
    if let Some(on) = ports.workloads.reading(&update.spec.workload)
        && let Weighed::Ready { images } = weigh(Some(&on), &update.spec, &update.id)
    {
        return Ok(Looked::Ready { on, images });
    }
    look(ports, update).await
}

async fn look(ports: &Ports, update: &Update) -> Result<Looked, ClusterError> {
    let reading = read(ports, update).await?;
    Ok(match (weigh(reading.as_ref(), &update.spec, &update.id), reading) {
        (Weighed::AlreadySet { applied }, _) => Looked::Settled(Applied::Patched { applied }),
        (Weighed::Drifted(drift), _) => Looked::Settled(Applied::Drifted(drift)),
        (Weighed::Ready { .. }, None) => Looked::Settled(Applied::Drifted(Drift::Gone)),
        (Weighed::Ready { images }, Some(on)) => Looked::Ready { on, images },
    })
}

/// An approval is for one digest: a tag that has moved or gone ends the update. It is read again, unless nobody was asked and it was read
/// just now.
async fn confirm(ports: &Ports, update: &Update) -> Result<Option<Applied>, RegistryError> {
    for change in &update.spec.changes {
        let access = ports.access(&change.repository, &update.spec.workload).await;
        let is_unasked = update.spec.rules.approvals == 0;
        let recent = || ports.recent.get(&change.repository, &change.tag, &access, ports.clock.now());
        let digest = match is_unasked.then(recent).flatten() {
            Some(digest) => Some(digest),
            None => ports.registry.digest(&change.repository, &change.tag, &access).await?,
        };
        match digest {
            Some(digest) if digest == change.digest => {}
            Some(now) => return Ok(Some(Applied::TagMoved { tag: change.tag.clone(), now })),
            None => return Ok(Some(Applied::TagGone { tag: change.tag.clone() })),
        }
    }
    Ok(None)
}

/// What admission made of the patch is what is expected from now on.
fn shown(admitted: &Reading, update: &Update) -> Applied {
    match admitted.images(&update.spec) {
        Ok(applied) => Applied::Patched { applied },
        Err(container) => {
            Applied::Drifted(Drift::ImageMoved { found: format!("nothing: there is no container {container} any more").into() })
        }
    }
}

/// Writes over the mark that names this update, so that it holds nothing back any more. The images stay.
pub async fn take_off_mark(ports: &Ports, workload: &WorkloadId, update: &str) -> Result<(), Failure> {
    let mut last = None;
    for _ in 0..READINGS_MAX {
        let Some(on) = ports.cluster.read(workload).await? else { return Ok(()) };
        let Some(mark) = on.mark.as_deref().and_then(Mark::parse).filter(|mark| *mark.update == *update) else { return Ok(()) };
        match ports.cluster.patch(&ImagePatch { on, images: Vec::new(), mark: mark.lifted() }).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => return Ok(()),
            Err(conflict @ ClusterError::Conflict { .. }) => last = Some(conflict),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.unwrap_or_else(|| ClusterError::kept_writing(workload)).into())
}

/// Puts back what the update replaced, if the workload still shows what the update applied.
pub async fn restore(ports: &Ports, update: &Update, rollout: &Rollout) -> Restored {
    match put_back(ports, update, rollout).await {
        Ok(restored) => restored,
        Err(error) => Restored::Failed(Failure::from(error)),
    }
}

async fn put_back(ports: &Ports, update: &Update, rollout: &Rollout) -> Result<Restored, ClusterError> {
    let mut last = None;
    for _ in 0..READINGS_MAX {
        let reading = read(ports, update).await?;
        let images = match weigh_restore(reading.as_ref(), &update.spec, &update.id, &rollout.applied) {
            Weighed::Ready { images } => images,
            Weighed::AlreadySet { .. } => return Ok(Restored::Back),
            // Once more: what an earlier leader had under way may have come through before.
            Weighed::Drifted(_) if take_over(ports, update).await? => continue,
            Weighed::Drifted(drift) => return Ok(Restored::Drifted(drift)),
        };
        let Some(on) = reading else { return Ok(Restored::Drifted(Drift::Gone)) };
        let restored = update.spec.changes.iter().map(|change| change.digest.clone()).collect();
        let mark = Mark { update: update.id.name.clone(), epoch: ports.term.epoch(), restored };
        match ports.cluster.patch(&ImagePatch { on, images, mark }).await {
            Ok(_) => return Ok(Restored::Back),
            Err(ClusterError::NotFound { .. }) => return Ok(Restored::Drifted(Drift::Gone)),
            Err(conflict @ ClusterError::Conflict { .. }) => last = Some(conflict),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| ClusterError::kept_writing(&update.spec.workload)))
}

//! Setting images, and putting them back.

use super::Ports;
use crate::core::failure::Failure;
use crate::core::patch::{Weighed, weigh, weigh_restore};
use crate::core::update::{Applied, Change, Drift, Mark, Restored, Rollout, Update};
use crate::ports::cluster::{ClusterError, ImagePatch, Reading};
use crate::ports::registry::RegistryError;

/// Readings of one try. Whoever loses this often to other writers waits for the next try.
const READINGS_MAX: u32 = 5;

/// Reads the digests once more and sets the new images if the workload is still what the update started from.
pub async fn apply(ports: &Ports, update: &Update) -> Applied {
    for change in &update.spec.changes {
        match confirm(ports, update, change).await {
            Ok(None) => {}
            Ok(Some(end)) => return end,
            Err(error) => return Applied::Failed(error.into()),
        }
    }
    match set(ports, update).await {
        Ok(applied) => applied,
        Err(error) => Applied::Failed(error.into()),
    }
}

/// An approval is for one digest: a tag that has moved or gone ends the update.
async fn confirm(ports: &Ports, update: &Update, change: &Change) -> Result<Option<Applied>, RegistryError> {
    let access = ports.registry.access(&change.repository, &update.spec.workload.namespace);
    let found = ports.registry.digest(&change.repository, &change.tag, &access).await?;
    Ok(match found {
        Some(digest) if digest == change.digest => None,
        Some(now) => Some(Applied::TagMoved { tag: change.tag.clone(), now }),
        None => Some(Applied::TagGone { tag: change.tag.clone() }),
    })
}

async fn set(ports: &Ports, update: &Update) -> Result<Applied, ClusterError> {
    let mut last = None;
    for _ in 0..READINGS_MAX {
        let reading = ports.cluster.read(&update.spec.workload).await?;
        let images = match weigh(reading.as_ref(), &update.spec, &update.id) {
            Weighed::Ready { images } => images,
            Weighed::AlreadySet { applied } => return Ok(Applied::Patched { applied }),
            Weighed::Drifted(drift) => return Ok(Applied::Drifted(drift)),
        };
        let Some(on) = reading else { return Ok(Applied::Drifted(Drift::Gone)) };
        let mark = Mark { update: update.id.name.clone(), epoch: update.epoch, restored: Vec::new() };
        match ports.cluster.patch(&ImagePatch { on, images, mark }).await {
            Ok(admitted) => return Ok(shown(&admitted, update)),
            Err(ClusterError::NotFound { .. }) => return Ok(Applied::Drifted(Drift::Gone)),
            Err(conflict @ ClusterError::Conflict { .. }) => last = Some(conflict),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(ClusterError::Conflict { object: update.spec.workload.to_string(), detail: "others kept writing".to_owned() }))
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
        let reading = ports.cluster.read(&update.spec.workload).await?;
        let images = match weigh_restore(reading.as_ref(), &update.spec, &update.id, &rollout.applied) {
            Weighed::Ready { images } => images,
            Weighed::AlreadySet { .. } => return Ok(Restored::Back),
            Weighed::Drifted(drift) => return Ok(Restored::Drifted(drift)),
        };
        let Some(on) = reading else { return Ok(Restored::Drifted(Drift::Gone)) };
        let restored = update.spec.changes.iter().map(|change| change.digest.clone()).collect();
        let mark = Mark { update: update.id.name.clone(), epoch: update.epoch, restored };
        match ports.cluster.patch(&ImagePatch { on, images, mark }).await {
            Ok(_) => return Ok(Restored::Back),
            Err(ClusterError::NotFound { .. }) => return Ok(Restored::Drifted(Drift::Gone)),
            Err(conflict @ ClusterError::Conflict { .. }) => last = Some(conflict),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(ClusterError::Conflict { object: update.spec.workload.to_string(), detail: "others kept writing".to_owned() }))
}

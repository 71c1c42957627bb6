//! Which hints are read together.
//!
//! All changes due for a workload in one settle window are one update, so repositories that share a workload are read and decided
//! together: when one hint is due, the waiting hints of such repositories are taken along, and the polls that are due in the window.

use crate::core::image::{ImageRef, Repository};
use crate::ports::cluster::Workloads;
use crate::sources::Hint;

/// Hints that are read together. A workload has few repositories; more than this are read apart, at worst as two updates.
const BATCH_MAX: usize = 32;

/// Puts the due hints into batches, and takes along what `early` gives for their neighbours.
pub fn gather(due: Vec<Hint>, mut early: impl FnMut(&Repository) -> Option<Hint>, workloads: &dyn Workloads) -> Vec<Vec<Hint>> {
    let mut left = due;
    let mut batches = Vec::new();
    while let Some(first) = left.pop() {
        let mut batch = vec![first];
        let mut at = 0;
        while let Some(hint) = batch.get(at).filter(|_| batch.len() < BATCH_MAX) {
            for neighbour in neighbours(&hint.repository, workloads) {
                if batch.len() >= BATCH_MAX {
                    break;
                }
                if batch.iter().any(|hint| hint.repository == neighbour) {
                    continue;
                }
                let found = left.iter().position(|hint| hint.repository == neighbour).map(|place| left.swap_remove(place));
                batch.extend(found.or_else(|| early(&neighbour)));
            }
            at += 1;
        }
        batches.push(batch);
    }
    batches
}

/// The other repositories of the workloads that use this one.
fn neighbours(repository: &Repository, workloads: &dyn Workloads) -> Vec<Repository> {
    let using = workloads.using(repository);
    let texts = using.iter().flat_map(|workload| &workload.containers).map(|container| &container.image);
    let images = texts.filter_map(|text| text.parse::<ImageRef>().ok());
    let mut others: Vec<Repository> = images.map(|image| image.repository().clone()).collect();
    others.sort();
    others.dedup();
    others.retain(|other| other != repository);
    others
}

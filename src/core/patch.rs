//! What a patch would meet: whether a workload, as it was read last, still is what an update may change.
//!
//! Applying and restoring have the same three answers. *Ready*: the images are there that are to be replaced. *Already set*: an earlier
//! try of the same update did it, and only its answer was lost. *Drifted*: somebody else was there, and people win.
//!
//! ```text
//!                        the mark names this update    it names another one, or there is none
//! images show `from`     a person put them back        ready to apply
//! images show `to`       applied already               a person set them
//! anything else          a person set them             a person set them
//! ```
//!
//! The mark tells an own write from a person's, because it is written in the same patch as the images. The patch then tests what was read
//! here, so that nothing can come in between.

use crate::core::image::{Digest, ImageRef, Repository, Tag};
use crate::core::update::{Change, Drift, Mark, Spec, UpdateId};
use crate::core::workload::{Container, WorkloadId};

/// A workload as it was read last, as far as a patch is concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Which one.
    pub id: WorkloadId,
    /// Its uid.
    pub uid: Box<str>,
    /// Its resource version.
    pub resource_version: Box<str>,
    /// Its generation: it grows with every change but those of the status, and never comes back.
    pub generation: i64,
    /// Its containers and init containers, each group in its order.
    pub containers: Vec<Container>,
    /// skeg's mark on it, unparsed; a foreign text is kept as it is so that it can be tested for.
    pub mark: Option<Box<str>>,
    /// Whether it has any annotations: a patch cannot add to a map that is not there.
    pub has_annotations: bool,
}

/// What a patch would meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Weighed {
    /// Everything is as the update expects it; these are the images to set.
    Ready {
        /// Container name and new image text, in the order of the update's changes.
        images: Vec<(Box<str>, Box<str>)>,
    },
    /// An earlier try of the same update has set the images.
    AlreadySet {
        /// Each changed container's image text as it is now, in the order of the update's changes.
        applied: Vec<Box<str>>,
    },
    /// The workload is not what the update expects.
    Drifted(Drift),
}

/// How far the mark says that an update has come on the workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// It was applied last.
    Applied,
    /// It was applied last, and put back.
    Restored,
    /// It was not applied, or another one after it.
    Elsewhere,
}

/// Weighs applying the update: from each change's `from` to its `to`. `reading` is `None` when there is no such workload.
pub fn weigh(reading: Option<&Reading>, spec: &Spec, id: &UpdateId) -> Weighed {
    let (step, found) = match look(reading, spec, id) {
        Ok(looked) => looked,
        Err(drift) => return Weighed::Drifted(drift),
    };
    let pairs = || spec.changes.iter().zip(&found);
    match step {
        Step::Applied => match pairs().find(|(change, image)| ***image == *change.from || !is_new(image, change)) {
            Some((_, image)) => moved(image),
            None => Weighed::AlreadySet { applied: found },
        },
        Step::Elsewhere => match pairs().find(|(change, image)| ***image != *change.from) {
            Some((_, image)) => moved(image),
            None => ready(spec, |change| &change.to),
        },
        // It is over: whatever the images are now, this update must not set them again.
        Step::Restored => moved_first(&found),
    }
}

/// Weighs putting the images back that the update replaced: from `applied`, in the order of the changes, to each change's `from`.
///
/// Only an image that the update itself set, under its own mark, is put back. Without the mark somebody has written the object anew, and
/// what it shows is theirs, the same image included.
pub fn weigh_restore(reading: Option<&Reading>, spec: &Spec, id: &UpdateId, applied: &[Box<str>]) -> Weighed {
    let (step, found) = match look(reading, spec, id) {
        Ok(looked) => looked,
        Err(drift) => return Weighed::Drifted(drift),
    };
    match step {
        Step::Applied if found == applied => ready(spec, |change| &change.from),
        Step::Restored => match spec.changes.iter().zip(&found).find(|(change, image)| !is_old(image, change)) {
            Some((_, image)) => moved(image),
            None => Weighed::AlreadySet { applied: found },
        },
        Step::Applied => match found.iter().zip(applied).find(|(image, applied)| image != applied) {
            Some((image, _)) => moved(image),
            None => moved_first(&found),
        },
        Step::Elsewhere => moved_first(&found),
    }
}

impl Reading {
    /// The images of the containers that the update changes, in the order of its changes; the name of the container that is not there.
    pub fn images(&self, spec: &Spec) -> Result<Vec<Box<str>>, Box<str>> {
        let image = |change: &Change| {
            let container = self.containers.iter().find(|container| container.name == change.container && container.init == change.init);
            container.map(|container| container.image.clone()).ok_or_else(|| change.container.clone())
        };
        spec.changes.iter().map(image).collect()
    }

    fn step(&self, id: &UpdateId) -> Step {
        match self.mark.as_deref().and_then(Mark::parse) {
            Some(mark) if mark.update == id.name && mark.restored.is_empty() => Step::Applied,
            Some(mark) if mark.update == id.name => Step::Restored,
            _ => Step::Elsewhere,
        }
    }
}

/// What the mark says of the update, and the images of its containers.
fn look(reading: Option<&Reading>, spec: &Spec, id: &UpdateId) -> Result<(Step, Vec<Box<str>>), Drift> {
    let reading = reading.filter(|reading| reading.uid == spec.uid).ok_or(Drift::Gone)?;
    let lost = |container| Drift::ImageMoved { found: format!("nothing: there is no container {container} any more").into() };
    Ok((reading.step(id), reading.images(spec).map_err(lost)?))
}

fn ready(spec: &Spec, new: impl Fn(&Change) -> &Box<str>) -> Weighed {
    Weighed::Ready { images: spec.changes.iter().map(|change| (change.container.clone(), new(change).clone())).collect() }
}

fn moved(image: &str) -> Weighed {
    Weighed::Drifted(Drift::ImageMoved { found: image.into() })
}

fn moved_first(images: &[Box<str>]) -> Weighed {
    moved(images.first().map_or("nothing", |image| image))
}

/// Whether `image` is what the change sets, or what an admission webhook may have made of it.
fn is_new(image: &str, change: &Change) -> bool {
    *image == *change.to || is_rewriting(image, &change.repository, Some(&change.tag), Some(&change.digest))
}

/// Whether `image` is what the change replaced, or what an admission webhook may have made of it when it was put back.
fn is_old(image: &str, change: &Change) -> bool {
    let from = change.from.parse::<ImageRef>().ok();
    *image == *change.from || from.is_some_and(|from| is_rewriting(image, &change.repository, from.effective_tag().as_ref(), from.digest()))
}

/// Admission webhooks point images at a mirror, and add a digest or take it away. What they leave is the digest, or the tag with the last
/// part of the name.
fn is_rewriting(image: &str, repository: &Repository, tag: Option<&Tag>, digest: Option<&Digest>) -> bool {
    let Ok(image) = image.parse::<ImageRef>() else {
        return false;
    };
    if let (Some(found), Some(digest)) = (image.digest(), digest) {
        return found == digest;
    }
    let last_part = |repository: &Repository| repository.path().rsplit('/').next().map(str::to_owned);
    tag.is_some() && image.effective_tag().as_ref() == tag && last_part(image.repository()) == last_part(repository)
}

#[cfg(test)]
mod tests;

//! Whether the pods run the digests that were approved.
//!
//! The node's word for what it runs is `imageID`, and that word has many forms (kubernetes/kubernetes#108689, #115199):
//!
//! | form | what it says |
//! | --- | --- |
//! | `ghcr.io/acme/web@sha256:…` | a digest the image was pulled by: for a multi-platform image the index's with containerd, often the platform manifest's with CRI-O and Docker |
//! | `docker-pullable://ghcr.io/acme/web@sha256:…` | the same, from Docker |
//! | `sha256:…`, `docker://sha256:…` | the configuration's digest: nothing that a registry's tag could point at, so nothing to compare |
//! | empty | not pulled yet |
//!
//! An image that is known on the node by several digests shows one of them, not always the one it was last pulled by. Therefore:
//!
//! 1. A container whose own image text carries an approved digest runs it: the node pulls by content address, and whatever name it
//!    reports for the content is only a name. A differing `imageID` is no difference.
//! 2. A container that was given a tag is compared. Approved are the digest the update was admitted with, the manifests that digest
//!    is an index of, and an index all of whose manifests are among them (the same image, packed again).
//! 3. Anything else that is a digest is a difference, and a difference is a failure: the tag moved between the last look and the
//!    pull, or the node kept an old image of that name (`imagePullPolicy: IfNotPresent`).

use super::{ContainerFacts, ImageIndex, PodFacts};
use crate::core::image::{Digest, ImageRef};
use crate::core::update::Change;

/// The digest that a changed container of the pod runs instead of the approved one, as a sentence.
pub(super) fn foreign_digest(pod: &PodFacts, changes: &[Change], indexes: &[ImageIndex]) -> Option<Box<str>> {
    changes.iter().find_map(|change| {
        let container = pod.containers.iter().find(|container| container.name == change.container)?;
        let found = running(container).filter(|found| !is_approved(container, found, &change.digest, indexes))?;
        Some(format!("{found} in container {} of pod {}", container.name, pod.name).into())
    })
}

/// The digest in the text of an image, when one is written there.
pub(super) fn written(image: &str) -> Option<Digest> {
    image.parse::<ImageRef>().ok()?.digest().cloned()
}

/// The manifest digest in the container's `imageID`, when it shows one.
fn running(container: &ContainerFacts) -> Option<Digest> {
    let (_, digest) = container.image_id.rsplit_once('@')?;
    digest.parse().ok()
}

fn is_approved(container: &ContainerFacts, found: &Digest, approved: &Digest, indexes: &[ImageIndex]) -> bool {
    if found == approved || written(&container.image).as_ref() == Some(approved) {
        return true;
    }
    let manifests_of = |digest: &Digest| indexes.iter().find(|index| index.digest == *digest).map_or(&[][..], |index| &index.manifests);
    let of_approved = manifests_of(approved);
    let of_found = manifests_of(found);
    let belongs = |digest: &Digest| digest == approved || of_approved.contains(digest);
    belongs(found) || (!of_found.is_empty() && of_found.iter().all(belongs))
}

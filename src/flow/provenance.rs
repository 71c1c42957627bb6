//! Where the images of an update come from, for the people who are shown it.
//!
//! Nothing waits for it for long, and nothing depends on it: what cannot be read now is not shown. What was read is known by its digest, so a message
//! that is edited later, also after a restart, shows the same.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join_all, select};

use super::Ports;
use super::guard::guarded;
use crate::core::image::{Digest, ImageRef};
use crate::core::provenance::{Labels, Provenance};
use crate::core::update::{Change, Update};
use crate::ports::registry::Access;

/// How long people are not shown a request for the sake of this. The registry has just answered about the same image.
const READ_WITHIN: Duration = Duration::from_secs(3);
/// Changes of which it is read; more are not shown either.
const CHANGES_MAX: usize = 8;

/// What the images say, by container; nothing where they say nothing, or cannot be read now.
pub async fn of(ports: &Ports, update: &Update) -> Vec<Provenance> {
    let reading = async {
        let changes = update.spec.changes.iter().take(CHANGES_MAX);
        join_all(changes.map(|change| of_change(ports, update, change))).await
    };
    let reading = pin!(guarded(ports, "reading where images come from", reading));
    let deadline = ports.clock.sleep_until_steady(ports.clock.steady() + READ_WITHIN);
    match select(reading, deadline).await {
        Either::Left((Some(read), _)) => read.into_iter().filter(|one| !one.to.is_empty()).collect(),
        Either::Left((None, _)) | Either::Right(_) => Vec::new(),
    }
}

/// Where people see what changed, each address once, if anything is to be written to Git.
pub async fn comparisons(ports: &Ports, update: &Update) -> Vec<Box<str>> {
    if update.spec.rules.write_back.is_empty() {
        return Vec::new();
    }
    let mut addresses: Vec<Box<str>> = of(ports, update).await.iter().filter_map(|one| Some(one.comparison()?.url)).collect();
    addresses.dedup();
    addresses
}

async fn of_change(ports: &Ports, update: &Update, change: &Change) -> Provenance {
    let access = ports.access(&change.repository, &update.spec.workload).await;
    let to = labels(ports, change, &access, Some(change.digest.clone())).await;
    // Without an origin of the new image there is nothing to compare.
    let replaced = if to.is_empty() { None } else { replaced(ports, change, &access).await };
    Provenance { container: change.container.clone(), from: labels(ports, change, &access, replaced).await, to }
}

async fn labels(ports: &Ports, change: &Change, access: &Access, digest: Option<Digest>) -> Labels {
    let Some(digest) = digest else { return Labels::default() };
    ports.registry.labels(&change.repository, &digest, access).await.unwrap_or_else(|error| {
        tracing::debug!(error = %error, image.repository = %change.repository, image.digest = %digest, "where an image comes from cannot be read");
        Labels::default()
    })
}

/// The digest of the image that is replaced: as it is written, else what its tag points at, if that is not the new image's own tag.
async fn replaced(ports: &Ports, change: &Change, access: &Access) -> Option<Digest> {
    let from: ImageRef = change.from.parse().ok()?;
    if let Some(digest) = from.digest() {
        return Some(digest.clone());
    }
    let tag = from.effective_tag().filter(|tag| *tag != change.tag)?;
    ports.registry.digest(&change.repository, &tag, access).await.ok().flatten()
}

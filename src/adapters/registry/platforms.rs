//! Reads for which platforms an image is.
//!
//! Source: OCI image specification 1.1, "Image Index" (`platform` of each entry) and "Image Configuration" (`os`, `architecture`). An index says it
//! itself, which costs one request; of an image that stands alone the configuration does, which costs two. Docker Hub counts the first as a pull.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::RegistryClient;
use super::built::{self, KEPT_MAX, configuration, manifest};
use super::by_digest::ByDigest;
use super::manifests::Entry;
use super::request::Target;
use crate::core::image::Digest;
use crate::core::interned::Interned;
use crate::core::platform::{Platform, Platforms};
use crate::ports::registry::RegistryError;

/// What was read. Nearly all images are for one of a few sets of platforms.
pub(super) struct Known {
    by_digest: ByDigest<Option<Arc<Platforms>>>,
    sets: Mutex<Interned<Platforms>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { by_digest: ByDigest::new(KEPT_MAX), sets: Mutex::default() }
    }
}

/// As much of a manifest or an index as leads to platforms.
#[derive(Deserialize)]
struct Manifest {
    config: Option<built::Config>,
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct BuiltFor {
    os: String,
    architecture: String,
}

/// The platforms of the image at `digest`; `None` when it does not say, or not of each part. That it is not there is an error.
pub(super) async fn platforms(
    client: &RegistryClient,
    target: &Target<'_>,
    digest: &Digest,
) -> Result<Option<Arc<Platforms>>, RegistryError> {
    if let Some(known) = client.platforms.by_digest.get(digest) {
        return Ok(known);
    }
    let read = read(client, target, digest).await?.filter(|platforms| !platforms.is_empty());
    let read = read.map(|platforms| client.platforms.sets.lock().unwrap_or_else(PoisonError::into_inner).share(Arc::new(platforms)));
    client.platforms.by_digest.keep(digest, read.clone());
    Ok(read)
}

async fn read(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Platforms>, RegistryError> {
    let Some(manifest) = manifest::<Manifest>(client, target, digest).await? else { return Ok(None) };
    if !manifest.manifests.is_empty() {
        return Ok(manifest.manifests.iter().filter(|entry| entry.is_image()).map(Entry::platform).collect());
    }
    let Some(config) = manifest.config.and_then(|config| config.digest.parse().ok()) else { return Ok(None) };
    let built_for: Option<BuiltFor> = configuration(client, target, &config).await?;
    Ok(built_for
        .and_then(|built_for| Platform::new(&built_for.os, &built_for.architecture))
        .map(|platform| [platform].into_iter().collect()))
}

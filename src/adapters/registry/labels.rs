//! Reads where an image says that it comes from.
//!
//! Source: OCI image specification 1.1, "Annotations" and "Image Configuration" (`config.Labels`). The annotations of the index win, then those of the
//! manifest, then the labels; of an index the first image stands for all. Each digest is read once, which costs two to three requests.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::RegistryClient;
use super::built::{self, configuration, manifest};
use super::manifests::Entry;
use super::request::Target;
use crate::core::image::Digest;
use crate::core::provenance::Labels;
use crate::ports::registry::RegistryError;

/// How many digests are remembered with their labels, at most a kilobyte each: two for each of a thousand updates.
pub(super) const KEPT_MAX: usize = 2_000;

type Texts = BTreeMap<String, serde_json::Value>;

/// As much of a manifest or an index as says something, or leads to what does.
#[derive(Deserialize)]
struct Manifest {
    annotations: Option<Texts>,
    config: Option<built::Config>,
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Image {
    config: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "Labels")]
    labels: Option<Texts>,
}

/// What the image at `digest` says of its origin. That it is not there is an error.
pub(super) async fn labels(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Labels, RegistryError> {
    if let Some(known) = client.labels.get(digest) {
        return Ok(known);
    }
    let read = read(client, target, digest).await?;
    client.labels.keep(digest, read.clone());
    Ok(read)
}

async fn read(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Labels, RegistryError> {
    let mut labels = Labels::default();
    let Some(mut found) = manifest::<Manifest>(client, target, digest).await? else { return Ok(labels) };
    take_up(&mut labels, found.annotations.take());
    if let Some(member) = found.manifests.iter().find(|entry| entry.is_image()).and_then(|entry| entry.digest.parse().ok()) {
        let Some(image) = manifest::<Manifest>(client, target, &member).await? else { return Ok(labels) };
        found = image;
        take_up(&mut labels, found.annotations.take());
    }
    if let Some(config) = found.config.and_then(|config| config.digest.parse().ok()) {
        let image: Option<Image> = configuration(client, target, &config).await?;
        take_up(&mut labels, image.and_then(|image| image.config?.labels));
    }
    Ok(labels)
}

fn take_up(labels: &mut Labels, texts: Option<Texts>) {
    for (key, value) in texts.into_iter().flatten() {
        labels.take_up(&key, value.as_str().unwrap_or_default());
    }
}

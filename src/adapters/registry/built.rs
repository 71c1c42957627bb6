//! Reads when an image was built, as it says itself.
//!
//! Source: OCI image specification 1.1, "Annotations" (`org.opencontainers.image.created`, of the index or the manifest) and "Image Configuration"
//! (`created`). Of an index without the annotation the first image stands for all: its parts are built together. Each digest is read once, which costs
//! one to three requests; what is missing is asked for again.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::RegistryClient;
use super::manifests::{self, Entry};
use super::request::Target;
use crate::core::image::Digest;
use crate::ports::registry::RegistryError;

/// How many digests are remembered with their times, two hundred bytes each: the tags that ten repositories are compared by.
pub(super) const KEPT_MAX: usize = 10_000;
/// The longest image configuration that is read. Most have ten kilobytes; labels and history may make more of it.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// As much of a manifest or an index as leads to a time.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    annotations: Option<Annotations>,
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.created")]
    created: Option<String>,
}

/// Where the image configuration is.
#[derive(Deserialize)]
pub(super) struct Config {
    /// Its digest, as it is written.
    pub digest: String,
}

#[derive(Deserialize)]
struct Created {
    created: Option<String>,
}

/// When the image at `digest` was built; `None` when it does not say, or is no image. That it is not there is an error.
pub(super) async fn built(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Timestamp>, RegistryError> {
    if let Some(known) = client.times.get(digest) {
        return Ok(known);
    }
    let built = read(client, target, digest).await?;
    client.times.keep(digest, built);
    Ok(built)
}

async fn read(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Timestamp>, RegistryError> {
    let Some(mut manifest) = manifest::<Manifest>(client, target, digest).await? else { return Ok(None) };
    if let Some(time) = manifest.time() {
        return Ok(Some(time));
    }
    if let Some(member) = manifest.manifests.iter().find(|entry| entry.is_image()).and_then(|entry| entry.digest.parse().ok()) {
        match self::manifest(client, target, &member).await? {
            Some(image) => manifest = image,
            None => return Ok(None),
        }
        if let Some(time) = manifest.time() {
            return Ok(Some(time));
        }
    }
    match manifest.config.and_then(|config| config.digest.parse().ok()) {
        Some(config) => {
            let created: Option<Created> = configuration(client, target, &config).await?;
            Ok(created.and_then(|config| time(config.created.as_deref())))
        }
        None => Ok(None),
    }
}

/// What the registry has at `digest`; `None` when that is no manifest.
pub(super) async fn manifest<T: DeserializeOwned>(
    client: &RegistryClient,
    target: &Target<'_>,
    digest: &Digest,
) -> Result<Option<T>, RegistryError> {
    let answer = manifests::read(client, target, digest.as_str(), Method::GET).await?;
    match answer.status {
        StatusCode::OK if manifests::is_content(&answer, digest) => Ok(serde_json::from_slice(&answer.body).ok()),
        StatusCode::OK => Err(target.malformed("the manifest is not the one that its digest names")),
        StatusCode::NOT_FOUND => Err(target.malformed("there is no manifest at a digest that is named")),
        _ => Err(target.refusal(&answer)),
    }
}

/// The image configuration at `digest`; `None` when that is none.
pub(super) async fn configuration<T: DeserializeOwned>(
    client: &RegistryClient,
    target: &Target<'_>,
    digest: &Digest,
) -> Result<Option<T>, RegistryError> {
    let answer = manifests::blob(client, target, digest, CONFIG_BYTES_MAX).await?;
    match answer.status {
        StatusCode::OK if manifests::is_content(&answer, digest) => Ok(serde_json::from_slice(&answer.body).ok()),
        StatusCode::OK => Err(target.malformed("the image configuration is not the one that its digest names")),
        StatusCode::NOT_FOUND => Err(target.malformed("there is no image configuration at a digest that is named")),
        _ => Err(target.refusal(&answer)),
    }
}

impl Manifest {
    fn time(&self) -> Option<Timestamp> {
        time(self.annotations.as_ref()?.created.as_deref())
    }
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

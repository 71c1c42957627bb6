//! Reads when an image was built, as it says itself.
//!
//! Source: OCI image specification 1.1, "Annotations" (`org.opencontainers.image.created`, of the index or the manifest) and "Image Configuration"
//! (`created`). Of an index without the annotation the first image stands for all: its parts are built together. What a digest names never
//! changes, so each is read once, which costs one to three requests. What is remembered was read and has the digest by which it was asked for,
//! so that no registry decides what is known of the images of another; what is missing is asked for again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use super::RegistryClient;
use super::manifests::{self, Entry};
use super::request::Target;
use crate::core::image::Digest;
use crate::ports::registry::RegistryError;

/// How many digests are remembered with their times, two hundred bytes each: the tags that ten repositories are compared by.
const KEPT_MAX: usize = 10_000;
/// The longest image configuration that is read. Most have ten kilobytes; labels and history may make more of it.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The times that were read, the oldest first to go.
#[derive(Default)]
pub(super) struct Times(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_digest: HashMap<Digest, Said>,
    in_order: VecDeque<Digest>,
}

/// What an image says, if anything.
#[derive(Clone, Copy)]
struct Said(Option<Timestamp>);

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

#[derive(Deserialize)]
struct Config {
    digest: String,
}

#[derive(Deserialize)]
struct Created {
    created: Option<String>,
}

impl Times {
    fn get(&self, digest: &Digest) -> Option<Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_digest.get(digest).copied()
    }

    fn keep(&self, digest: &Digest, built: Option<Timestamp>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_digest.insert(digest.clone(), Said(built)).is_some() {
            return;
        }
        kept.in_order.push_back(digest.clone());
        if kept.in_order.len() > KEPT_MAX
            && let Some(oldest) = kept.in_order.pop_front()
        {
            kept.by_digest.remove(&oldest);
        }
    }
}

/// When the image at `digest` was built; `None` when it does not say, or is no image. That it is not there is an error.
pub(super) async fn built(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Timestamp>, RegistryError> {
    if let Some(Said(known)) = client.times.get(digest) {
        return Ok(known);
    }
    let built = read(client, target, digest).await?;
    client.times.keep(digest, built);
    Ok(built)
}

async fn read(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Timestamp>, RegistryError> {
    let Some(mut manifest) = manifest(client, target, digest).await? else { return Ok(None) };
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
        Some(config) => created(client, target, &config).await,
        None => Ok(None),
    }
}

/// What the registry has at `digest`; `None` when that is no manifest.
async fn manifest(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Manifest>, RegistryError> {
    let answer = manifests::read(client, target, digest.as_str(), Method::GET).await?;
    match answer.status {
        StatusCode::OK if manifests::is_content(&answer, digest) => Ok(serde_json::from_slice(&answer.body).ok()),
        StatusCode::OK => Err(target.malformed("the manifest is not the one that its digest names")),
        StatusCode::NOT_FOUND => Err(target.malformed("there is no manifest at a digest that is named")),
        _ => Err(target.refusal(&answer)),
    }
}

/// The time in an image configuration.
async fn created(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<Timestamp>, RegistryError> {
    let answer = manifests::blob(client, target, digest, CONFIG_BYTES_MAX).await?;
    match answer.status {
        StatusCode::OK if manifests::is_content(&answer, digest) => {
            let created: Option<Created> = serde_json::from_slice(&answer.body).ok();
            Ok(created.and_then(|config| time(config.created.as_deref())))
        }
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

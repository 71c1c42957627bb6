//! Reads what a tag points at, and what an index consists of.
//!
//! Source: OCI distribution specification 1.1, "Pulling manifests" and "Checking if content exists". `HEAD` costs no transfer and, at Docker
//! Hub, no pull; where a registry refuses it or leaves out the digest, the manifest itself is read and hashed.

use std::sync::LazyLock;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};

use super::RegistryClient;
use super::request::{Purpose, Question, Target};
use crate::adapters::fetch::Answer;
use crate::core;
use crate::core::image::{Digest, Tag};
use crate::core::rollout::ImageIndex;
use crate::ports::registry::RegistryError;

/// Every kind of manifest, in every request: a registry translates what is not accepted, and the digest changes with that, or
/// calls it unknown.
const MEDIA_TYPES: [&str; 4] =
    [OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];
static ACCEPT_ALL: LazyLock<HeaderValue> =
    LazyLock::new(|| HeaderValue::from_str(&MEDIA_TYPES.join(", ")).expect("media types are visible ASCII"));
/// The digest of the manifest that the answer is about.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The longest manifest: the size up to which the specification asks registries to take them.
const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// As much of a manifest as tells it from other JSON. Both specifications have had version 2 ever since there are digests.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "schemaVersion")]
    schema_version: u64,
}

/// As much of an index as names its manifests. An image manifest has none.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

/// A manifest that an index names.
#[derive(Deserialize)]
pub(super) struct Entry {
    /// Its digest, as it is written.
    pub digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

impl Entry {
    /// Whether a node may run it. Docker's builder stores attestations beside the images, for a platform that no node has.
    pub fn is_image(&self) -> bool {
        let unknown = |platform: &Platform| platform.os == "unknown" && platform.architecture == "unknown";
        !self.platform.as_ref().is_some_and(unknown)
    }

    /// What it is for, when the index says so.
    pub fn platform(&self) -> Option<core::platform::Platform> {
        let platform = self.platform.as_ref()?;
        core::platform::Platform::new(&platform.os, &platform.architecture)
    }
}

/// The digest that `tag` points at; `None` when there is no such tag or no such repository, which the answer to a `HEAD` does
/// not tell apart.
pub(super) async fn digest(client: &RegistryClient, target: &Target<'_>, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
    let head = read(client, target, tag.as_str(), Method::HEAD).await?;
    match head.status {
        StatusCode::OK => {
            if let Some(digest) = announced(&head.headers) {
                return Ok(Some(digest));
            }
        }
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {}
        _ => return Err(target.refusal(&head)),
    }
    let whole = read(client, target, tag.as_str(), Method::GET).await?;
    match whole.status {
        StatusCode::OK => hashed(&whole).map(Some).map_err(|detail| target.malformed(detail)),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(target.refusal(&whole)),
    }
}

/// The manifests of the index at `digest`; `None` when there is nothing, or an image of one platform.
pub(super) async fn index(client: &RegistryClient, target: &Target<'_>, digest: &Digest) -> Result<Option<ImageIndex>, RegistryError> {
    let whole = read(client, target, digest.as_str(), Method::GET).await?;
    match whole.status {
        StatusCode::OK => members(&whole, digest).map_err(|detail| target.malformed(detail)),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(target.refusal(&whole)),
    }
}

/// The registry's answer about the manifest that `reference` names, a tag or a digest.
pub(super) async fn read(client: &RegistryClient, target: &Target<'_>, reference: &str, method: Method) -> Result<Answer, RegistryError> {
    let question = Question {
        method,
        url: target.url(&format!("v2/{}/manifests/{reference}", target.path()))?,
        purpose: Purpose::Manifest,
        accept: ACCEPT_ALL.clone(),
        unless: None,
        body_bytes_max: MANIFEST_BYTES_MAX,
    };
    client.ask(target, question).await
}

/// The registry's answer about the blob at `digest`. Whoever may pull an image may read its configuration.
pub(super) async fn blob(
    client: &RegistryClient,
    target: &Target<'_>,
    digest: &Digest,
    body_bytes_max: usize,
) -> Result<Answer, RegistryError> {
    let question = Question {
        method: Method::GET,
        url: target.url(&format!("v2/{}/blobs/{digest}", target.path()))?,
        purpose: Purpose::Manifest,
        accept: HeaderValue::from_static("*/*"),
        unless: None,
        body_bytes_max,
    };
    client.ask(target, question).await
}

/// Whether the body is what the digest names.
pub(super) fn is_content(answer: &Answer, digest: &Digest) -> bool {
    match digest.as_str().split_once(':') {
        Some(("sha256", expected)) => hex::encode(Sha256::digest(&answer.body)) == expected,
        Some(("sha512", expected)) => hex::encode(Sha512::digest(&answer.body)) == expected,
        _ => false,
    }
}

fn announced(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// The digest of the body, if the body is a manifest: the page of a captive portal has a hash as well.
pub(crate) fn hashed(answer: &Answer) -> Result<Digest, &'static str> {
    manifest_type(answer)?;
    match serde_json::from_slice(&answer.body) {
        Ok(Manifest { schema_version: 2 }) => {}
        Ok(_) | Err(_) => return Err("the manifest is not of version 2"),
    }
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&answer.body)));
    digest.parse().map_err(|_| "the manifest has no digest")
}

/// The members of an index, whose bytes must be the ones that were asked for: they decide which images pass for approved.
pub(crate) fn members(answer: &Answer, digest: &Digest) -> Result<Option<ImageIndex>, &'static str> {
    if ![OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE].contains(&manifest_type(answer)?) {
        return Ok(None);
    }
    if !is_content(answer, digest) {
        return Err("the index is not the one that its digest names");
    }
    let index: Index = serde_json::from_slice(&answer.body).map_err(|_| "the index names no manifests")?;
    let manifests = index.manifests.iter().filter(|entry| entry.is_image()).map(|entry| entry.digest.parse()).collect::<Result<_, _>>();
    let manifests = manifests.map_err(|_| "the index names a manifest without a digest")?;
    Ok(Some(ImageIndex { digest: digest.clone(), manifests }))
}

fn manifest_type(answer: &Answer) -> Result<&'static str, &'static str> {
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let known = MEDIA_TYPES.into_iter().find(|known| *known == media_type);
    known.ok_or("what is there is no manifest that is known here")
}

//! `/v2/<name>/manifests/<reference>`: pull, push and delete by tag or digest.

use http::header::{ACCEPT, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::Shared;
use super::answer::Answer;
use super::error::RegistryError;
use super::grammar::{digest, is_digest};
use super::store::{MANIFEST_BYTES_MAX, is_manifest_type};
use crate::embedded::loopback::{BodyError, Request};

/// The header that carries a manifest's digest.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Answers a request about a manifest.
pub(super) async fn serve(shared: &Shared, name: &str, reference: &str, request: Request) -> Result<Answer, RegistryError> {
    match request.method {
        Method::GET | Method::HEAD => read(shared, name, reference, &request.headers),
        Method::PUT => push(shared, name, reference, request).await,
        Method::DELETE => {
            shared.store().delete_manifest(name, reference)?;
            Ok(Answer::new(StatusCode::ACCEPTED))
        }
        _ => Err(RegistryError::Unsupported),
    }
}

fn read(shared: &Shared, name: &str, reference: &str, headers: &HeaderMap) -> Result<Answer, RegistryError> {
    let store = shared.store();
    let manifest = store.manifest(name, reference)?;
    if !accepts(headers, &manifest.media_type) {
        return Err(RegistryError::ManifestUnknown(reference.to_owned()));
    }
    let entity_tag = format!("\"{}\"", manifest.digest);
    if lists(headers, &IF_NONE_MATCH, |tag| tag == entity_tag || tag == "*") {
        return Ok(Answer::new(StatusCode::NOT_MODIFIED));
    }
    Ok(Answer::new(StatusCode::OK)
        .body(&manifest.media_type, manifest.bytes.clone())
        .with(CONTENT_DIGEST, &manifest.digest)
        .with(ETAG, &entity_tag))
}

async fn push(shared: &Shared, name: &str, reference: &str, request: Request) -> Result<Answer, RegistryError> {
    let media_type = request.header("content-type").unwrap_or_default();
    let media_type = media_type.to_owned();
    if !is_manifest_type(&media_type) {
        return Err(RegistryError::ManifestInvalid("media type is not known"));
    }
    let content = request.body.collect(MANIFEST_BYTES_MAX).await;
    let content = content.map_err(|error| match error {
        BodyError::TooLong => RegistryError::TooLarge,
        BodyError::Broken => RegistryError::ManifestInvalid("body ended early"),
    })?;
    let by_digest = is_digest(reference);
    if by_digest && digest(&content) != reference {
        return Err(RegistryError::DigestInvalid);
    }
    let tag = (!by_digest).then_some(reference);
    let mut store = shared.store();
    let digest = store.put_manifest(name, tag, &media_type, content)?;
    Ok(Answer::new(StatusCode::CREATED)
        .with(LOCATION, &format!("/v2/{name}/manifests/{digest}"))
        .with(CONTENT_DIGEST, &digest)
        .with(CONTENT_LENGTH, "0"))
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    lists(headers, &ACCEPT, |range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range == media_type || range == "*/*"
    })
}

/// Whether a list-valued header, sent once or several times, has a matching member.
fn lists(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|member| matches(member.trim()))
}

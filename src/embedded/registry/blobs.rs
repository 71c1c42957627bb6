//! `/v2/<name>/blobs/…`: reading blobs, and pushing them in one request, in two, or in chunks
//! (specification, "Pushing blobs").

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, LOCATION, RANGE};
use http::{HeaderName, Method, StatusCode};

use super::Shared;
use super::answer::Answer;
use super::error::RegistryError;
use super::grammar::{digest, is_digest, is_name};
use super::manifests::CONTENT_DIGEST;
use super::store::BLOB_BYTES_MAX;
use crate::embedded::loopback::{BodyError, Request};

/// The header that names an upload.
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// A whole blob; ranges are not served.
pub(super) fn read(shared: &Shared, name: &str, digest: &str) -> Result<Answer, RegistryError> {
    let content = shared.store().blob(name, digest)?;
    Ok(Answer::new(StatusCode::OK).body("application/octet-stream", content).with(CONTENT_DIGEST, digest))
}

/// `POST …/uploads/`: mounts a blob of another repository, takes a whole blob, or begins an upload.
pub(super) async fn begin(shared: &Shared, name: &str, request: Request) -> Result<Answer, RegistryError> {
    if !is_name(name) {
        return Err(RegistryError::NameInvalid(name.to_owned()));
    }
    if let Some(answer) = mount(shared, name, &request)? {
        return Ok(answer);
    }
    if let Some(digest) = request.query_value("digest") {
        let content = receive(request).await?;
        return store(shared, name, &digest, content);
    }
    let id = shared.uploads().begin(name);
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

/// `GET`, `PATCH`, `PUT` and `DELETE` of an upload that has begun.
pub(super) async fn upload(shared: &Shared, name: &str, id: &str, request: Request) -> Result<Answer, RegistryError> {
    match request.method {
        Method::GET => {
            let received = shared.uploads().received(name, id)?;
            Ok(progress(StatusCode::NO_CONTENT, name, id, received))
        }
        Method::PATCH => {
            let received = append(shared, name, id, request).await?;
            Ok(progress(StatusCode::ACCEPTED, name, id, received))
        }
        Method::PUT => {
            let digest = request.query_value("digest");
            let digest = digest.ok_or(RegistryError::DigestInvalid)?;
            append(shared, name, id, request).await?;
            let content = shared.uploads().end(name, id)?;
            store(shared, name, &digest, content)
        }
        Method::DELETE => {
            shared.uploads().end(name, id)?;
            Ok(Answer::new(StatusCode::NO_CONTENT))
        }
        _ => Err(RegistryError::Unsupported),
    }
}

/// `?mount=<digest>&from=<repository>`. A blob that is not there begins an upload instead, as the specification has it.
fn mount(shared: &Shared, name: &str, request: &Request) -> Result<Option<Answer>, RegistryError> {
    let (Some(digest), Some(from)) = (request.query_value("mount"), request.query_value("from")) else {
        return Ok(None);
    };
    let content = shared.store().blob(&from, &digest);
    match content {
        Ok(content) => store(shared, name, &digest, content).map(Some),
        Err(_) => Ok(None),
    }
}

async fn append(shared: &Shared, name: &str, id: &str, request: Request) -> Result<usize, RegistryError> {
    let start = match request.header("content-range") {
        None => None,
        Some(range) => Some(start_of(range).ok_or(RegistryError::UploadInvalid)?),
    };
    let chunk = receive(request).await?;
    shared.uploads().append(name, id, start, &chunk)
}

/// The start of a `Content-Range` as this protocol writes it, `<start>-<end>`.
fn start_of(range: &str) -> Option<usize> {
    range.split_once('-')?.0.parse().ok()
}

async fn receive(request: Request) -> Result<Bytes, RegistryError> {
    let content = request.body.collect(BLOB_BYTES_MAX).await;
    content.map_err(|error| match error {
        BodyError::TooLong => RegistryError::TooLarge,
        BodyError::Broken => RegistryError::UploadInvalid,
    })
}

fn store(shared: &Shared, name: &str, expected: &str, content: Bytes) -> Result<Answer, RegistryError> {
    if !is_digest(expected) || digest(&content) != expected {
        return Err(RegistryError::DigestInvalid);
    }
    shared.store().put_blob(name, content)?;
    Ok(Answer::new(StatusCode::CREATED)
        .with(LOCATION, &format!("/v2/{name}/blobs/{expected}"))
        .with(CONTENT_DIGEST, expected)
        .with(CONTENT_LENGTH, "0"))
}

/// Where to send the next chunk, and the inclusive range of what has arrived (`0-0` also for nothing, as Docker's does).
fn progress(status: StatusCode, name: &str, id: &str, received: usize) -> Answer {
    Answer::new(status)
        .with(LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"))
        .with(RANGE, &format!("0-{}", received.saturating_sub(1)))
        .with(UPLOAD_ID, id)
        .with(CONTENT_LENGTH, "0")
}

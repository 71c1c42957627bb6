//! One request from its head to its answer: log, authentication, fault, endpoint.

use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};

use super::answer::Answer;
use super::error::RegistryError;
use super::faults::{Fault, spoil};
use super::route::Route;
use super::{Shared, blobs, manifests, tags};
use crate::embedded::loopback::{Request, Response};

/// The header by which clients tell a registry from any web server.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers a request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    shared.log.note(&request);
    let is_head = request.method == Method::HEAD;
    let path = request.path.clone();
    let Some(route) = Route::parse(&path) else {
        return Answer::new(StatusCode::NOT_FOUND).into_response();
    };
    let (fault, answer) = match admit(&shared, &request, route) {
        Ok(fault) => (fault, endpoint(&shared, route, request).await),
        Err(challenge) => (None, *challenge),
    };
    if fault == Some(Fault::Hang) {
        std::future::pending::<()>().await;
    }
    let answer = answer.with(API_VERSION, "registry/2.0");
    let answer = if is_head { answer.without_body() } else { answer };
    spoil(fault, answer)
}

/// Authentication, and the fault that the request meets if it passes. The token service needs no token.
fn admit(shared: &Shared, request: &Request, route: Route<'_>) -> Result<Option<Fault>, Box<Answer>> {
    if route != Route::Token {
        shared.guard.admit(request, route)?;
    }
    let fault = shared.faults.take(route);
    if fault == Some(Fault::RevokeTokens) {
        shared.guard.revoke_tokens();
        shared.guard.admit(request, route)?;
    }
    Ok(fault)
}

async fn endpoint(shared: &Shared, route: Route<'_>, request: Request) -> Answer {
    let method = request.method.clone();
    let read = method == Method::GET || method == Method::HEAD;
    let answer = match route {
        Route::Ping if read => Ok(Answer::json(StatusCode::OK, &serde_json::json!({}))),
        Route::Token if method == Method::GET => Ok(shared.guard.issue(&request)),
        Route::Tags { name } if method == Method::GET => tags::list(shared, name, &request),
        Route::Manifest { name, reference } => manifests::serve(shared, name, reference, request).await,
        Route::Blob { name, digest } if read => blobs::read(shared, name, digest),
        Route::Uploads { name } if method == Method::POST => blobs::begin(shared, name, request).await,
        Route::Upload { name, id } => blobs::upload(shared, name, id, request).await,
        Route::Ping | Route::Token | Route::Tags { .. } | Route::Blob { .. } | Route::Uploads { .. } => Err(RegistryError::Unsupported),
    };
    answer.unwrap_or_else(Answer::from)
}

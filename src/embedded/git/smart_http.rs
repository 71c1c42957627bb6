//! Git's smart HTTP protocol (gitprotocol-http(5)), versions 0 to 2: the part of `git http-backend` that needs no CGI.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};

use super::Shared;
use super::faults::{GitFault, GitRequest};
use super::program::git;
use super::repository::REFUSING_HOOKS;
use super::service::{self, Encoding, Running};
use crate::embedded::loopback::{Request, Response, status};

/// Longest `Git-Protocol` header that is passed on; clients send `version=2`.
const PROTOCOL_LENGTH_MAX: usize = 64;

/// One of the two programs that a remote runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    fn named(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Refs(Service),
    Call(Service),
}

impl Endpoint {
    /// `None` for anything else, the dumb protocol included.
    fn of(request: &Request, repository: &str) -> Option<Self> {
        let path = request.path.strip_prefix('/')?;
        let path = path.strip_prefix(repository)?.strip_prefix('/')?;
        match (&request.method, path) {
            (&Method::GET, "info/refs") => {
                let service = request.query_value("service")?;
                Service::named(&service).map(Self::Refs)
            }
            (&Method::POST, name) => {
                let service = Service::named(name)?;
                let expected = format!("application/x-{name}-request");
                let typed = request.header("content-type") == Some(expected.as_str());
                typed.then_some(Self::Call(service))
            }
            _ => None,
        }
    }

    fn service(self) -> Service {
        match self {
            Self::Refs(service) | Self::Call(service) => service,
        }
    }

    fn planned_as(self) -> GitRequest {
        match self {
            Self::Refs(Service::UploadPack) => GitRequest::FetchRefs,
            Self::Call(Service::UploadPack) => GitRequest::Fetch,
            Self::Refs(Service::ReceivePack) => GitRequest::PushRefs,
            Self::Call(Service::ReceivePack) => GitRequest::Push,
        }
    }
}

/// Answers a request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    shared.log.note(&request);
    if !shared.admits(request.header("authorization")) {
        let mut response = status(StatusCode::UNAUTHORIZED);
        let challenge = HeaderValue::from_static("Basic realm=\"skeg-embedded\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return response;
    }
    let Some(endpoint) = Endpoint::of(&request, &shared.name) else {
        return status(StatusCode::NOT_FOUND);
    };
    if let Some(call) = shared.plans.take_call(endpoint.planned_as()) {
        let repository = shared.repository.clone();
        // A call that panics fails its own test by what it left undone; the request goes on.
        let _ = tokio::task::spawn_blocking(move || call(&repository)).await;
    }
    match shared.plans.take_fault(endpoint.planned_as()) {
        Some(GitFault::Status(code)) => {
            service::drain(request.body).await;
            status(code)
        }
        Some(GitFault::CloseConnection) => typed(endpoint, service::closed_connection()),
        Some(GitFault::LoseAnswer) => match start(&shared, endpoint, request, None) {
            Ok(mut running) => {
                running.finish().await;
                typed(endpoint, service::closed_connection())
            }
            Err(refused) => status(refused),
        },
        Some(GitFault::HookRefusal(text)) => serve(&shared, endpoint, request, Some(&text)),
        None => serve(&shared, endpoint, request, None),
    }
}

fn serve(shared: &Shared, endpoint: Endpoint, request: Request, refusal: Option<&str>) -> Response {
    let first = preamble(endpoint, &request);
    match start(shared, endpoint, request, refusal) {
        Ok(running) => typed(endpoint, running.into_response(first)),
        Err(refused) => status(refused),
    }
}

fn start(shared: &Shared, endpoint: Endpoint, request: Request, refusal: Option<&str>) -> Result<Running, StatusCode> {
    let command = program(shared, endpoint, &request, refusal);
    let encoding = match request.header("content-encoding") {
        None | Some("identity") => Encoding::Plain,
        Some("gzip" | "x-gzip") => Encoding::Gzip,
        Some(_) => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    Running::start(command, request.body, encoding).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// `git upload-pack` or `git receive-pack`, with the arguments and variables that `git http-backend` gives them.
fn program(shared: &Shared, endpoint: Endpoint, request: &Request, refusal: Option<&str>) -> Command {
    let directory = shared.repository.directory();
    let mut command = git(directory);
    if let Some(text) = refusal {
        let hooks = directory.join(REFUSING_HOOKS);
        command.arg("-c");
        command.arg(format!("core.hooksPath={}", hooks.display()));
        // A variable cannot hold the byte zero.
        command.env("SKEG_REFUSAL", text.replace('\0', ""));
    }
    command.arg(endpoint.service().name()).arg("--stateless-rpc");
    if let Endpoint::Refs(_) = endpoint {
        // The older name of --http-backend-info-refs, which every version knows.
        command.arg("--advertise-refs");
    }
    if let Some(protocol) = protocol(request) {
        command.env("GIT_PROTOCOL", protocol);
    }
    command.arg(directory);
    command
}

/// The protocol that the client asks for, if it looks like one: `key=value` pairs joined by colons.
fn protocol(request: &Request) -> Option<&str> {
    request.header("git-protocol").filter(|protocol| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b':' | b'-');
        protocol.len() <= PROTOCOL_LENGTH_MAX && protocol.bytes().all(known)
    })
}

/// What goes before a list of refs: a packet that names the service, and a flush. Protocol 2 has neither.
fn preamble(endpoint: Endpoint, request: &Request) -> Option<Bytes> {
    let Endpoint::Refs(service) = endpoint else {
        return None;
    };
    if protocol(request).is_some_and(|protocol| protocol.split(':').any(|pair| pair == "version=2")) {
        return None;
    }
    let line = format!("# service=git-{}\n", service.name());
    // The length of a packet counts its own four digits.
    Some(format!("{:04x}{line}0000", line.len() + 4).into())
}

fn typed(endpoint: Endpoint, mut response: Response) -> Response {
    let kind = match endpoint {
        Endpoint::Refs(_) => "advertisement",
        Endpoint::Call(_) => "result",
    };
    let content_type = format!("application/x-git-{}-{kind}", endpoint.service().name());
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

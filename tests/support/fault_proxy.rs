//! A way to the real API server on which requests fail as a test asks, and which knows what was asked and when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use futures::stream::poll_fn;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use reqwest::Client;
use serde_json::json;
use skeg::embedded::kube::{Fault, Matcher};
use skeg::embedded::loopback::{Bound, Loopback, Request, Response};
use tokio::sync::{mpsc, oneshot, watch};
use warp::Reply as _;

use super::controlplane::ControlPlane;

/// The largest request that a test sends.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Headers that pass on the way there.
const PASSED: [HeaderName; 3] = [ACCEPT, AUTHORIZATION, CONTENT_TYPE];
/// Pieces of a stream that wait between its two sides.
const PIECES_MAX: usize = 16;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When.
    pub at: Instant,
    /// Its HTTP method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// The status it was answered with; 0 where the connection was closed instead.
    pub status: u16,
    /// Whether the answer tells that a version is gone (410), as a status or as an event of a watch.
    pub expired: bool,
}

/// Lets a request go on that is held, when it is sent or dropped.
pub type Release = oneshot::Sender<()>;

/// A running proxy, on plain HTTP.
pub struct FaultProxy {
    state: Arc<State>,
    server: Loopback,
}

struct State {
    base_url: String,
    client: Client,
    /// What fails, and how often yet.
    faults: Mutex<Vec<(Matcher, Fault, u32)>>,
    /// What is held before it is passed on, and who waits for that.
    holds: Mutex<Vec<(Matcher, oneshot::Sender<Release>)>>,
    passed: Mutex<Vec<Passed>>,
    /// Changes when every open answer is to be cut off.
    cuts: watch::Sender<u32>,
    /// Changes when nothing fails any more.
    mended: watch::Sender<u32>,
}

impl FaultProxy {
    /// Begins, with nothing failing.
    pub fn start(plane: &ControlPlane) -> Self {
        let ca = reqwest::Certificate::from_pem_bundle(plane.ca()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only(ca).build().unwrap();
        let state = Arc::new(State {
            base_url: plane.base_url().to_owned(),
            client,
            faults: Mutex::default(),
            holds: Mutex::default(),
            passed: Mutex::default(),
            cuts: watch::Sender::new(0),
            mended: watch::Sender::new(0),
        });
        let passing = Arc::clone(&state);
        let handler = move |request| {
            let state = Arc::clone(&passing);
            Box::pin(async move { state.answer(request).await }) as futures::future::BoxFuture<'static, Response>
        };
        let server = Bound::new().unwrap().serve("fault-proxy", handler).unwrap();
        Self { state, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The next `times` requests that match fail so.
    pub fn fail_next(&self, matcher: Matcher, fault: Fault, times: u32) {
        self.state.faults.lock().unwrap().push((matcher, fault, times));
    }

    /// Holds the next request that matches before the server has it; what is received lets it go on.
    pub fn hold_next(&self, matcher: Matcher) -> oneshot::Receiver<Release> {
        let (reached, is_reached) = oneshot::channel();
        self.state.holds.lock().unwrap().push((matcher, reached));
        is_reached
    }

    /// Nothing fails any more, and what hangs is closed.
    pub fn clear_faults(&self) {
        self.state.faults.lock().unwrap().clear();
        self.state.mended.send_modify(|times| *times += 1);
    }

    /// Cuts the connections of all answers that are not at their end: watches above all.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// The requests so far whose path contains this.
    pub fn passed(&self, method: &str, part: &str) -> Vec<Passed> {
        let passed = self.state.passed.lock().unwrap();
        passed.iter().filter(|passed| passed.method == method && passed.path.contains(part)).cloned().collect()
    }
}

impl State {
    async fn answer(self: Arc<Self>, request: Request) -> Response {
        let at = Instant::now();
        let method = request.method.to_string();
        let path = if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
        let place = {
            let mut passed = self.passed.lock().unwrap();
            passed.push(Passed { at, method: method.clone(), path: path.clone(), status: 0, expired: false });
            passed.len() - 1
        };
        self.hold(&method, &path).await;
        let response = match self.fault(&method, &path) {
            Some(Fault::Status(code, retry_after)) => refused(code, retry_after),
            Some(Fault::Close) => return closed(),
            Some(Fault::Hang) => {
                // Until the server is well again: whoever mends one ends what hangs on it.
                let _ = self.mended.subscribe().changed().await;
                return closed();
            }
            Some(Fault::LoseAnswer) => {
                let _ = self.pass(request, &path, place).await;
                return closed();
            }
            None => match self.pass(request, &path, place).await {
                Ok(response) => response,
                Err(_) => return closed(),
            },
        };
        self.note(place, |passed| passed.status = response.status().as_u16());
        response
    }

    async fn hold(&self, method: &str, path: &str) {
        let reached = {
            let mut holds = self.holds.lock().unwrap();
            let at = holds.iter().position(|(matcher, _)| matcher.matches(method, path));
            at.map(|at| holds.remove(at).1)
        };
        let (release, released) = oneshot::channel();
        if reached.is_some_and(|reached| reached.send(release).is_ok()) {
            let _ = released.await;
        }
    }

    fn fault(&self, method: &str, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let at = faults.iter().position(|(matcher, _, times)| *times > 0 && matcher.matches(method, path))?;
        let (matcher, fault, times) = faults.remove(at);
        if times > 1 {
            // To the end of the row: several faults of one kind of request take turns.
            faults.push((matcher, fault.clone(), times - 1));
        }
        Some(fault)
    }

    fn note(&self, place: usize, change: impl FnOnce(&mut Passed)) {
        change(&mut self.passed.lock().unwrap()[place]);
    }

    /// Passes the request on, and the answer back piece by piece.
    async fn pass(self: &Arc<Self>, request: Request, path: &str, place: usize) -> Result<Response, reqwest::Error> {
        let mut asked = self.client.request(request.method.clone(), format!("{}{path}", self.base_url));
        for name in PASSED {
            if let Some(value) = request.headers.get(&name) {
                asked = asked.header(name, value);
            }
        }
        let body = request.body.collect(BODY_BYTES_MAX).await.unwrap_or_default();
        let mut answer = asked.body(body).send().await?;
        let status = answer.status();
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        let (tx, mut rx) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES_MAX);
        let mut cuts = self.cuts.subscribe();
        let state = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let piece = tokio::select! {
                    piece = answer.chunk() => piece.map_err(std::io::Error::other),
                    _ = cuts.changed() => Err(std::io::Error::other("cut")),
                };
                let Some(piece) = piece.transpose() else { return };
                if piece.as_ref().is_ok_and(|piece| says_expired(piece)) {
                    state.note(place, |passed| passed.expired = true);
                }
                let is_end = piece.is_err();
                if tx.send(piece).await.is_err() || is_end {
                    return;
                }
            }
        });
        let mut response = warp::reply::stream(poll_fn(move |context| rx.poll_recv(context))).into_response();
        *response.status_mut() = status;
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        Ok(response)
    }
}

fn says_expired(piece: &[u8]) -> bool {
    let text = String::from_utf8_lossy(piece);
    text.contains("\"code\":410") || text.contains("\"reason\":\"Expired\"")
}

/// A `Status`, as the server writes one that it makes under load.
fn refused(code: u16, retry_after: Option<u32>) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "asked for by a test", "code": code });
    let mut response = warp::reply::json(&status).into_response();
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An answer that breaks off before its first byte of body.
fn closed() -> Response {
    let broken = futures::stream::once(std::future::ready(Err::<Bytes, _>(std::io::Error::other("closed"))));
    warp::reply::stream(broken).into_response()
}

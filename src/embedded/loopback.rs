//! One HTTP server on a loopback port, with a thread and a runtime of its own; tests make their receivers of it, too.
//!
//! The runtime is the reason for this module: the HTTP server spawns a task for each connection and keeps no handle to it,
//! so the only way to stop and join all of them is to shut down the runtime they run on. A far end is therefore gone, with
//! its port, its connections and the requests in flight, when its [`Loopback`] is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::future::{self, BoxFuture};
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::oneshot;
use warp::Filter;

/// What a far end answers with.
pub type Response = warp::reply::Response;

/// Time for one request up to the head of its answer; an answer that streams may take longer. Generous beside the
/// milliseconds that loopback takes, and still short enough that a stuck request fails a test by itself.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);

/// Time for blocking work (a `git` run by a callback) to end when the server stops. It is not waited for any longer.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// A request whose head has arrived.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, still percent-encoded.
    pub path: String,
    /// The query without its `?`; empty when there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, not read yet.
    pub body: Body,
}

impl Request {
    /// A header as text; `None` when it is absent or no visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter, percent-decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// A request body that is still arriving.
pub struct Body(Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>);

impl Body {
    /// The next piece, `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, warp::Error>> {
        self.0.next().await
    }

    /// The whole body, unless it is longer than `bytes_max`.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece.map_err(|_| BodyError::Broken)?;
            if whole.len().saturating_add(piece.len()) > bytes_max {
                return Err(BodyError::TooLong);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// Why a request body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than allowed; the rest was not read.
    #[error("request body is too long")]
    TooLong,
    /// The connection failed before its end.
    #[error("request body ended early")]
    Broken,
}

/// A loopback port that is bound but not served yet: the address is known before the handler is made.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds a free port of 127.0.0.1.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where the server will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `handler` on a thread called `name` until the returned value is dropped.
    pub fn serve<H>(self, name: &str, handler: H) -> io::Result<Loopback>
    where
        H: Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static,
    {
        self.serve_beside(name, handler, std::future::ready(()))
    }

    /// Does the same, and runs `beside` on that thread until it ends by itself or with the server.
    pub fn serve_beside<H, F>(self, name: &str, handler: H, beside: F) -> io::Result<Loopback>
    where
        H: Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    // A dropped sender means stop as well.
                    _ = stopped => {}
                    ((), ()) = future::join(warp::serve(requests(handler)).incoming(listener).run(), beside) => {}
                }
            });
            runtime.shutdown_timeout(STOP_DEADLINE);
        })?;
        Ok(Loopback { address: self.address, running: Mutex::new(Some((stop, thread))) })
    }
}

/// A running server. Dropping it stops the server and waits for its thread.
pub struct Loopback {
    address: SocketAddr,
    running: Mutex<Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>>,
}

impl Loopback {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server; the port refuses connections afterwards. Stopping twice is harmless.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((stop, thread)) = running else {
            return;
        };
        // Both fail only if the thread has ended already, which is what is asked for. A handler that owns the last handle
        // drops it on the server's own thread, which cannot wait for itself.
        let _ = stop.send(());
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop();
    }
}

fn requests<H>(handler: H) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static
where
    H: Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static,
{
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .map(|method, path: warp::path::FullPath, query, headers, body| Request {
            method,
            path: path.as_str().to_owned(),
            query,
            headers,
            body: into_body(body),
        })
        .then(move |request| {
            let answer = handler(request);
            async move {
                let answer = tokio::time::timeout(REQUEST_DEADLINE, answer).await;
                answer.unwrap_or_else(|_| status(StatusCode::REQUEST_TIMEOUT))
            }
        })
}

fn into_body<S, B>(stream: S) -> Body
where
    S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
    B: Buf,
{
    Body(Box::pin(stream.map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())))))
}

/// An answer without a body.
pub fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

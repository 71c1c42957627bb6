//! A proxy that counts requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use skeg::embedded::loopback::{Bound, Loopback, Request, Response};

/// The longest request body that is passed on.
const BODY_MAX: usize = 1 << 20;

/// Passes requests on to one server and counts them.
pub struct CountingProxy {
    counted: Arc<AtomicUsize>,
    server: Loopback,
}

impl CountingProxy {
    /// Begins to pass on to `to`.
    pub fn start(to: SocketAddr) -> Self {
        // The lease is renewed whatever else happens.
        Self::counting(to, |request| !request.path.contains("/leases"))
    }

    /// Does the same, and counts these requests only.
    pub fn counting(to: SocketAddr, counts: fn(&Request) -> bool) -> Self {
        let counted: Arc<AtomicUsize> = Arc::default();
        let (count, client) = (Arc::clone(&counted), reqwest::Client::builder().no_proxy().build().expect("a client"));
        let handler = move |request: Request| {
            if counts(&request) {
                count.fetch_add(1, Ordering::SeqCst);
            }
            pass_on(client.clone(), to, request).boxed()
        };
        let server = Bound::new().and_then(|bound| bound.serve("counting-proxy", handler)).expect("a loopback port");
        Self { counted, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        self.counted.load(Ordering::SeqCst)
    }
}

async fn pass_on(client: reqwest::Client, to: SocketAddr, mut request: Request) -> Response {
    request.headers.remove(HOST);
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let url = format!("http://{to}{}{query}", request.path);
    let body = request.body.collect(BODY_MAX).await.expect("a bounded body");
    let answer = client.request(request.method, url).headers(request.headers).body(body).send().await.expect("the server answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = warp::Reply::into_response(warp::reply::stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().remove(CONNECTION);
    response.headers_mut().remove(TRANSFER_ENCODING);
    response
}

//! A registry of any number of repositories with a thousand tags each, made up as they are asked for: a real one of two million tags would be
//! what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use skeg::embedded::loopback::{Bound, Loopback, Request, Response, status};
use warp::Reply as _;

/// The newest tag, until another one is pushed.
pub const NEWEST: &str = "1.0.999";
/// The one that is pushed then.
const PUSHED: &str = "1.0.1000";
const TAGS: usize = 1_000;

/// The running registry.
pub struct Registry {
    told: Arc<Told>,
    server: Loopback,
}

/// What it is told to do.
#[derive(Default)]
struct Told {
    milliseconds: AtomicU64,
    has_pushed: AtomicBool,
}

impl Registry {
    pub fn start() -> Self {
        let told: Arc<Told> = Arc::default();
        let tags: Vec<String> = (0..TAGS).map(|at| format!("\"1.0.{at}\"")).collect();
        let (tags, asked): (Arc<str>, _) = (tags.join(",").into(), Arc::clone(&told));
        let handler = move |request: Request| {
            let (told, tags) = (Arc::clone(&asked), Arc::clone(&tags));
            async move {
                tokio::time::sleep(Duration::from_millis(told.milliseconds.load(Ordering::SeqCst))).await;
                answer(&request, &tags, told.has_pushed.load(Ordering::SeqCst))
            }
            .boxed()
        };
        let server = Bound::new().and_then(|bound| bound.serve("made-up-registry", handler)).expect("a loopback port");
        Self { told, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Each answer takes so long from now on.
    pub fn take(&self, time: Duration) {
        self.told.milliseconds.store(u64::try_from(time.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    /// Every repository has one more tag from now on.
    pub fn push(&self) {
        self.told.has_pushed.store(true, Ordering::SeqCst);
    }
}

/// The time that so many clients need who list so many repositories each, by this way, one after the other.
pub fn by_hand(way: SocketAddr, clients: usize, each: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let one = async |_| {
            for at in 0..each {
                let url = format!("http://{way}/v2/{}/tags/list?n=1000", super::repository(at));
                let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
                answer.expect("an answer").bytes().await.expect("a body");
            }
        };
        let begun = Instant::now();
        futures::future::join_all((0..clients).map(one)).await;
        begun.elapsed()
    })
}

fn answer(request: &Request, tags: &str, has_pushed: bool) -> Response {
    let path = request.path.trim_start_matches("/v2/");
    if let Some(name) = path.strip_suffix("/tags/list") {
        let more = if has_pushed { format!(",\"{PUSHED}\"") } else { String::new() };
        let body = format!(r#"{{"name":"{name}","tags":[{tags}{more}]}}"#);
        return warp::reply::with_header(body, "content-type", "application/json").into_response();
    }
    if path.contains("/manifests/") && request.method == Method::HEAD {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(path)));
        let reply = warp::reply::with_header(warp::reply(), "docker-content-digest", digest);
        return warp::reply::with_header(reply, "content-type", "application/vnd.oci.image.manifest.v1+json").into_response();
    }
    status(StatusCode::NOT_FOUND)
}

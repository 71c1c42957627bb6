//! The public listener: webhook receivers and probes.
//!
//! A delivery is authenticated by its head, then its body is read within bounds, then parsed, then its hints are queued; the answer goes
//! out before any of them is looked at. Doing it all again changes nothing, so a sender may repeat a delivery as often as it likes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;
use warp::{Filter, Reply};

use super::answer::{Answer, Problem, json};
use super::auth::{Admission, admits, challenge};
use super::desk::{Desk, Leader};
use super::peer::{self, Handed, Peers};
use super::probes;
use super::request::{self, Body, BodyLimits, Request};
use super::waiting::Waiting;
use crate::config::{Credential, Receiver};
use crate::core::leadership::Peer;
use crate::metrics::{Delivery, Metrics};
use crate::sources::Hint;
use crate::sources::webhook::{Delivery as Parsed, Hinted, SeenDeliveries, Settings, WebhookSource, source};

/// Deliveries of the sources we know take some kilobytes, a push of many images at once some hundred.
const BODY_LIMITS: BodyLimits = BodyLimits { bytes_max: 1024 * 1024, deadline: Duration::from_secs(10) };
/// Bodies of one receiver that are in memory at the same time. Each receiver has its own places, so an open one takes none from a closed one.
const BODIES_MAX: usize = 8;
/// When to deliver again after the queue was full: it empties as fast as registries answer.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Time for the leader to take a delivery. Senders wait some seconds; what the leader does not take in time waits here.
const HAND_ON_DEADLINE: Duration = Duration::from_secs(3);
/// Between two tries to bring a delivery on that has waited.
const BRING_AGAIN: Duration = Duration::from_secs(1);

/// Takes a hint; `false` when there is no room for it.
pub type Queue = Arc<dyn Fn(Hint) -> bool + Send + Sync>;

/// What the public listener serves with.
pub struct Webhooks {
    desk: Arc<dyn Desk>,
    metrics: Arc<Metrics>,
    queue: Queue,
    routes: Vec<Route>,
    peers: Arc<Peers>,
    waiting: Waiting,
}

/// One configured receiver.
struct Route {
    path: Box<str>,
    source: &'static dyn WebhookSource,
    settings: Settings,
    access: Access,
    places: Semaphore,
    seen: Mutex<SeenDeliveries>,
}

/// Who may post.
enum Access {
    /// Those who present it.
    Guarded(Credential),
    /// Anybody: the configuration says so.
    Open,
    /// Nobody: no credential is configured.
    Closed,
}

/// What a delivery led to.
#[derive(Serialize)]
struct Taken {
    hints: usize,
    ignored: usize,
    repeated: usize,
}

impl Webhooks {
    /// Serves the configured receivers. `desk` is only asked for readiness.
    pub fn new(desk: Arc<dyn Desk>, metrics: Arc<Metrics>, queue: Queue, receivers: &[Receiver]) -> Self {
        let routes = receivers.iter().filter_map(Route::new).collect();
        Self { desk, metrics, queue, routes, peers: Arc::new(Peers::new(None)), waiting: Waiting::default() }
    }

    /// The same, reaching other replicas so.
    #[must_use]
    pub fn among(self, peers: Arc<Peers>) -> Self {
        Self { peers, ..self }
    }

    /// Brings what came while nobody led to whoever leads. It never ends.
    pub async fn bring_on(self: Arc<Self>) {
        loop {
            let delivery = self.waiting.next().await;
            let is_taken = match self.desk.led().await {
                Leader::Here => self.queued(&delivery),
                Leader::There(Some(peer)) => self.handed_on(peer, &delivery).await.is_some(),
                Leader::There(None) | Leader::Nobody => false,
            };
            if is_taken {
                self.waiting.done(&delivery);
            } else {
                tokio::time::sleep(BRING_AGAIN).await;
            }
        }
    }

    /// The routes.
    pub fn routes(self: &Arc<Self>) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
        let webhooks = Arc::clone(self);
        request::any().then(move |request| {
            let webhooks = Arc::clone(&webhooks);
            async move { webhooks.served(request).await.unwrap_or_else(|problem| problem.answer()) }
        })
    }

    async fn served(&self, request: Request) -> Result<Answer, Problem> {
        let is_read = request.method == Method::GET || request.method == Method::HEAD;
        match (request.path.as_str(), is_read) {
            ("/healthz", true) => return Ok(probes::health()),
            ("/readyz", true) => return Ok(probes::ready(&self.desk.readiness())),
            ("/healthz" | "/readyz", false) => return Err(Problem::Method { allow: "GET, HEAD" }),
            _ => {}
        }
        let route = self.routes.iter().find(|route| *route.path == *request.path).ok_or(Problem::NoRoute)?;
        let delivered = self.delivered(route, request).await;
        self.metrics.delivery(route.source.name(), delivered.as_ref().map_or_else(outcome, |_| Delivery::Accepted));
        delivered
    }

    async fn delivered(&self, route: &Route, request: Request) -> Result<Answer, Problem> {
        route.admit(&request.headers)?;
        if request.method != Method::POST {
            return Err(Problem::Method { allow: "POST" });
        }
        let (is_handed_on, Request { method, path, query, headers, body }) = (peer::is_handed_on(&request), request);
        let body = route.read(body, &headers).await?;
        let delivery = route.parsed(&headers, &body)?;
        if let Some(reply) = &delivery.reply {
            return Ok(json(StatusCode::OK, reply));
        }
        let leader = self.desk.leader();
        if leader == Leader::Here {
            return self.taken(route, delivery);
        }
        if is_handed_on {
            return Err(peer::vacant("this replica does not lead"));
        }
        let handed = Handed::new(&method, &path, &query, &headers, body);
        if let Leader::There(Some(peer)) = leader
            && let Some(answer) = self.handed_on(peer, &handed).await
        {
            return Ok(answer);
        }
        let taken = Taken { hints: delivery.hints.len(), ignored: delivery.ignored.len(), repeated: 0 };
        if self.waiting.keep(handed) { Ok(json(StatusCode::OK, &taken)) } else { Err(full()) }
    }

    /// Queues the hints of a delivery.
    fn taken(&self, route: &Route, delivery: Parsed) -> Result<Answer, Problem> {
        let mut taken = Taken { hints: 0, ignored: delivery.ignored.len(), repeated: 0 };
        for hinted in delivery.hints {
            if route.has_seen(&hinted) {
                taken.repeated += 1;
                continue;
            }
            let event_id = hinted.event_id.clone();
            if !(self.queue)(Hint::from(hinted)) {
                return Err(full());
            }
            route.remember(event_id.as_deref());
            taken.hints += 1;
        }
        Ok(json(StatusCode::OK, &taken))
    }

    /// Queues the hints of a delivery that has waited; whether it is done with.
    fn queued(&self, delivery: &Handed) -> bool {
        let path = delivery.target.split('?').next().unwrap_or_default();
        let Some(route) = self.routes.iter().find(|route| *route.path == *path) else { return true };
        let Ok(parsed) = route.parsed(&delivery.headers, &delivery.body) else { return true };
        self.taken(route, parsed).is_ok()
    }

    /// Hands a delivery on to the leader; its answer, unless it could not take the delivery now.
    async fn handed_on(&self, to: Peer, delivery: &Handed) -> Option<Answer> {
        let answer = self.peers.hand_on(to.public, delivery, HAND_ON_DEADLINE).await.ok()?;
        (!answer.status().is_server_error()).then_some(answer)
    }
}

fn full() -> Problem {
    Problem::Unavailable { why: "the queue is full".to_owned(), retry_after: RETRY_AFTER }
}

impl Route {
    /// `None` for a source that is not in the table; the configuration has refused it before.
    fn new(receiver: &Receiver) -> Option<Self> {
        let source = source(&receiver.source)?;
        let access = match (&receiver.credential, receiver.insecure) {
            (Some(credential), _) => Access::Guarded(credential.clone()),
            (None, true) => Access::Open,
            (None, false) => Access::Closed,
        };
        let settings = Settings { registry: receiver.registry.clone() };
        Some(Self { path: receiver.path.clone(), source, settings, access, places: Semaphore::new(BODIES_MAX), seen: Mutex::default() })
    }

    fn parsed(&self, headers: &HeaderMap, body: &Bytes) -> Result<Parsed, Problem> {
        self.source.parse(headers, body, &self.settings).map_err(|error| {
            tracing::info!(source = self.source.name(), error.kind = %error, "a webhook delivery cannot be read");
            Problem::BadRequest(format!("not a delivery of the source {}", self.source.name()))
        })
    }

    /// Whether the event was delivered before. One without an id is never known again, and costs one look at the registry at most.
    fn has_seen(&self, hinted: &Hinted) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        hinted.event_id.as_deref().is_some_and(|id| seen.contains(id))
    }

    fn remember(&self, event_id: Option<&str>) {
        if let Some(id) = event_id {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).remember(id);
        }
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let credential = match &self.access {
            Access::Open => return Ok(()),
            Access::Closed => return Err(Problem::Closed(CLOSED)),
            Access::Guarded(credential) => credential,
        };
        match admits(credential, headers) {
            Admission::Admitted => Ok(()),
            Admission::Refused => Err(Problem::Unauthorized { scheme: challenge(credential) }),
            Admission::Closed(error) => {
                tracing::warn!(source = self.source.name(), error.kind = %error, "a webhook receiver is closed: its secret cannot be read");
                Err(Problem::Closed(CLOSED))
            }
        }
    }

    async fn read(&self, body: Body, headers: &HeaderMap) -> Result<Bytes, Problem> {
        let busy = || Problem::Unavailable { why: "too many deliveries at once".to_owned(), retry_after: RETRY_AFTER };
        let place = tokio::time::timeout(BODY_LIMITS.deadline, self.places.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let bytes = body.read(headers, BODY_LIMITS).await;
        drop(place);
        bytes
    }
}

const CLOSED: &str = "this receiver is closed: it has no credential";

fn outcome(problem: &Problem) -> Delivery {
    match problem {
        Problem::Closed(_) => Delivery::Closed,
        Problem::Unauthorized { .. } => Delivery::Unauthorized,
        Problem::TooLarge { .. } | Problem::TooSlow { .. } => Delivery::Unread,
        Problem::Unavailable { .. } => Delivery::Full,
        Problem::NoRoute
        | Problem::Method { .. }
        | Problem::BadRequest(_)
        | Problem::MediaType
        | Problem::NotFound(_)
        | Problem::NotAllowed(_)
        | Problem::Conflict(_) => Delivery::Malformed,
    }
}

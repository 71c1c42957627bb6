//! The private listener: API, metrics and probes.
//!
//! The API is for callers who present the `[server]` token. Without one configured, every path of it answers 404: closed, not open. Metrics
//! and probes need no token, which is why this listener is not the one to publish.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use warp::{Filter, Reply};

use super::answer::{Answer, Problem, answer, json};
use super::auth::{Admission, admits_token};
use super::desk::{Ballot, Caller, Desk, Leader, Refusal, UpdateFilter};
use super::peer::{self, Handed, Peers};
use super::request::{self, Body, BodyLimits, Request};
use super::route::{self, ApiRoute, Miss, Route, is_name};
use super::view::{ImagesView, UpdatesView};
use super::{orders, probes};
use crate::config::{Secret, Server};
use crate::core::workload::WorkloadId;
use crate::metrics::{self, Metrics};

/// Bodies of acts are a scope and a sentence.
const BODY_LIMITS: BodyLimits = BodyLimits { bytes_max: 16 * 1024, deadline: Duration::from_secs(10) };
/// How long the desk may take. It writes a record first, which takes as long as the API server does; after this the caller looks again.
const DESK_DEADLINE: Duration = Duration::from_secs(30);
/// How long the leader may take for what a standby can tell the half of by itself.
const HANDED_ON_DEADLINE: Duration = Duration::from_secs(25);
/// When to come back after an order that could not be carried out now.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Updates in one list at the most: all that are kept by default.
const UPDATES_LISTED_MAX: usize = 5_000;

/// What the private listener serves with.
pub struct Private {
    desk: Arc<dyn Desk>,
    metrics: Arc<Metrics>,
    token: Option<Secret>,
    caller: Caller,
    peers: Arc<Peers>,
}

impl Private {
    /// Serves `desk` to callers with the token of `settings`.
    pub fn new(desk: Arc<dyn Desk>, metrics: Arc<Metrics>, settings: &Server) -> Self {
        let caller = Caller::new(format!("user:{}", settings.user));
        Self { desk, metrics, token: settings.token.clone(), caller, peers: Arc::new(Peers::new(None)) }
    }

    /// The same, reaching other replicas so.
    #[must_use]
    pub fn among(self, peers: Arc<Peers>) -> Self {
        Self { peers, ..self }
    }

    /// The routes.
    pub fn routes(self) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
        let private = Arc::new(self);
        request::any().then(move |request| {
            let private = Arc::clone(&private);
            async move { private.answer(request).await }
        })
    }

    async fn answer(&self, request: Request) -> Answer {
        self.served(request).await.unwrap_or_else(|problem| problem.answer())
    }

    async fn served(&self, request: Request) -> Result<Answer, Problem> {
        // Who is not admitted does not learn which paths there are.
        if route::is_api(&request.path) {
            self.admit(&request)?;
        }
        match route::find(&request.method, &request.path) {
            Ok(Route::Health) => Ok(probes::health()),
            Ok(Route::Ready) => Ok(probes::ready(&self.desk.readiness())),
            Ok(Route::Metrics) => Ok(answer(StatusCode::OK, metrics::MEDIA_TYPE, self.metrics.render())),
            Ok(Route::Api(route)) if route.is_act() => self.act(route, request).await,
            Ok(Route::Api(ApiRoute::Explain(id))) => self.explain(id, request).await,
            Ok(Route::Api(route)) => self.api(route, request).await,
            Err(Miss::Path) => Err(Problem::NoRoute),
            Err(Miss::Method(allow)) => Err(Problem::Method { allow }),
        }
    }

    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let token = self.token.as_ref().ok_or(Problem::Closed(CLOSED))?;
        match admits_token(token, &request.headers) {
            Admission::Admitted => Ok(()),
            Admission::Refused => Err(Problem::Unauthorized { scheme: "Bearer realm=\"skeg\"" }),
            Admission::Closed(error) => {
                tracing::warn!(error.kind = %error, "the API is closed: its token cannot be read");
                Err(Problem::Closed(CLOSED))
            }
        }
    }

    /// Acts are the leader's: on a standby they are handed on to it.
    async fn act(&self, route: ApiRoute, request: Request) -> Result<Answer, Problem> {
        let peer = match self.desk.leader() {
            Leader::Here => return self.api(route, request).await,
            Leader::There(Some(peer)) if !peer::is_handed_on(&request) => peer,
            Leader::There(Some(_)) => return Err(peer::vacant("another replica leads by now")),
            Leader::There(None) => return Err(peer::vacant("another replica leads, and does not say where it is reached")),
            Leader::Nobody => return Err(peer::vacant("no replica leads at the moment")),
        };
        let Request { method, path, query, headers, body: sent } = request;
        let handed = Handed::new(&method, &path, &query, &headers, body(sent, &headers).await?);
        self.peers.hand_on(peer.private, &handed, DESK_DEADLINE).await
    }

    /// What the gates say only the leader knows, so a standby hands the question on; where that leads nowhere it tells what it knows itself.
    async fn explain(&self, id: WorkloadId, request: Request) -> Result<Answer, Problem> {
        if let (Leader::There(Some(peer)), false) = (self.desk.leader(), peer::is_handed_on(&request)) {
            let Request { method, path, query, headers, .. } = &request;
            let handed = Handed::new(method, path, query, headers, bytes::Bytes::new());
            if let Ok(answer) = self.peers.hand_on(peer.private, &handed, HANDED_ON_DEADLINE).await {
                return Ok(answer);
            }
        }
        self.api(ApiRoute::Explain(id), request).await
    }

    async fn api(&self, route: ApiRoute, request: Request) -> Result<Answer, Problem> {
        match route {
            ApiRoute::Status => in_time(self.desk.status()).await.map(|view| ok(&view)),
            ApiRoute::Images => in_time(self.desk.images()).await.map(|images| ok(&ImagesView { images })),
            ApiRoute::Updates => {
                let filter = filter(&request.query)?;
                let mut updates = in_time(self.desk.updates(&filter)).await?;
                updates.truncate(filter.limit);
                Ok(ok(&UpdatesView { updates }))
            }
            ApiRoute::Update(id) => match in_time(self.desk.update(&id)).await? {
                Some(view) => Ok(ok(&view)),
                None => Err(Problem::NotFound(Refusal::NoUpdate(id).to_string())),
            },
            ApiRoute::Explain(id) => {
                let all = !is_brief(&request.query)?;
                in_time(self.desk.explain(&id, all)).await?.map(|view| ok(&view)).map_err(|refusal| problem(&refusal))
            }
            ApiRoute::Vote(id, verdict) => {
                let saying = orders::saying(&request.headers, &body(request.body, &request.headers).await?)?;
                carried_out(self.desk.vote(&self.caller, &id, Ballot { verdict, saying })).await
            }
            ApiRoute::Retry(id) => {
                let saying = orders::saying(&request.headers, &body(request.body, &request.headers).await?)?;
                carried_out(self.desk.retry(&self.caller, &id, saying)).await
            }
            ApiRoute::Pause => {
                let order = orders::pause(&request.headers, &body(request.body, &request.headers).await?)?;
                carried_out(self.desk.pause(&self.caller, order)).await
            }
            ApiRoute::Resume => {
                let order = orders::resume(&request.headers, &body(request.body, &request.headers).await?)?;
                carried_out(self.desk.resume(&self.caller, order)).await
            }
        }
    }
}

const CLOSED: &str = "the API is closed: name a token with [server] token_file or token_env";

fn ok(view: &impl Serialize) -> Answer {
    json(StatusCode::OK, view)
}

/// Waits for an order's answer. The desk writes down what came of it, for the caller may leave before.
async fn carried_out<T: Serialize>(answer: impl Future<Output = Result<T, Refusal>>) -> Result<Answer, Problem> {
    match in_time(answer).await? {
        Ok(view) => Ok(ok(&view)),
        Err(refusal) => Err(problem(&refusal)),
    }
}

async fn body(body: Body, headers: &http::HeaderMap) -> Result<bytes::Bytes, Problem> {
    body.read(headers, BODY_LIMITS).await
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Problem> {
    let late = || Problem::Unavailable { why: "no answer in time; an order may be carried out still".to_owned(), retry_after: RETRY_AFTER };
    tokio::time::timeout(DESK_DEADLINE, answer).await.map_err(|_| late())
}

fn problem(refusal: &Refusal) -> Problem {
    let message = refusal.to_string();
    match refusal {
        Refusal::NoUpdate(_) | Refusal::NoWorkload(_) | Refusal::NotManaged(_) => Problem::NotFound(message),
        Refusal::NotAllowed(_) => Problem::NotAllowed(message),
        Refusal::Conflict(_) | Refusal::Observing => Problem::Conflict(message),
        Refusal::Unavailable { retry_after, .. } => Problem::Unavailable { why: message, retry_after: retry_after.unwrap_or(RETRY_AFTER) },
    }
}

/// Whether `?brief=true` asks for groups of tags alone.
fn is_brief(query: &str) -> Result<bool, Problem> {
    url::form_urlencoded::parse(query.as_bytes()).try_fold(false, |_, (key, value)| match (&*key, &*value) {
        ("brief", "true") => Ok(true),
        ("brief", "false") => Ok(false),
        _ => Err(Problem::BadRequest("the only parameter is brief: true or false".to_owned())),
    })
}

/// The filter of `?namespace=…&open=true&limit=…`.
fn filter(query: &str) -> Result<UpdateFilter, Problem> {
    let mut filter = UpdateFilter::default();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "namespace" if is_name(&value) => filter.namespace = Some(value.into()),
            "open" if value == "true" => filter.open = Some(true),
            "open" if value == "false" => filter.open = Some(false),
            "limit" => match value.parse() {
                Ok(limit @ 1..=UPDATES_LISTED_MAX) => filter.limit = limit,
                _ => return Err(Problem::BadRequest(format!("limit: a number from 1 to {UPDATES_LISTED_MAX}"))),
            },
            "namespace" => return Err(Problem::BadRequest("namespace: not a name that Kubernetes gives".to_owned())),
            "open" => return Err(Problem::BadRequest("open: true or false".to_owned())),
            _ => return Err(Problem::BadRequest("known parameters are namespace, open and limit".to_owned())),
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::http::desk::UPDATES_LISTED;

    #[track_caller]
    fn check(query: &str, expected: Option<&UpdateFilter>) {
        assert_eq!(filter(query).ok().as_ref(), expected, "{query}");
    }

    #[test]
    fn lists_are_filtered_by_the_query() {
        check("", Some(&UpdateFilter { namespace: None, open: None, limit: UPDATES_LISTED }));
        check("namespace=shop&open=true&limit=1", Some(&UpdateFilter { namespace: Some("shop".into()), open: Some(true), limit: 1 }));
        for wrong in ["open=maybe", "limit=0", "limit=5001", "limit=x", "namespace=%2e%2e", "q=1"] {
            check(wrong, None);
        }
    }
}

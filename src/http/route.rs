//! Which route of the private listener a method and path name. Text in, value out: no request is needed to test it.

use http::Method;

use crate::core::update::{UpdateId, Verdict};
use crate::core::workload::{WorkloadId, WorkloadKind};

/// What the private listener serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// A path of the API, for callers with the token.
    Api(ApiRoute),
}

/// The routes of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApiRoute {
    /// `GET /v1/status`
    Status,
    /// `GET /v1/images`
    Images,
    /// `GET /v1/updates`
    Updates,
    /// `GET /v1/updates/{ns}/{name}`
    Update(UpdateId),
    /// `GET /v1/explain/{ns}/{kind}/{name}`
    Explain(WorkloadId),
    /// `POST /v1/updates/{ns}/{name}/approve` and `…/reject`
    Vote(UpdateId, Verdict),
    /// `POST /v1/updates/{ns}/{name}/retry`
    Retry(UpdateId),
    /// `POST /v1/pause`
    Pause,
    /// `POST /v1/resume`
    Resume,
}

impl ApiRoute {
    /// Whether it changes something, which only the leader does.
    pub fn is_act(&self) -> bool {
        match self {
            Self::Status | Self::Images | Self::Updates | Self::Update(_) | Self::Explain(_) => false,
            Self::Vote(..) | Self::Retry(_) | Self::Pause | Self::Resume => true,
        }
    }
}

/// Why no route was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// Nothing is at the path.
    Path,
    /// The path has a route for these methods.
    Method(&'static str),
}

/// The longest name that Kubernetes gives an object (RFC 1123 subdomain).
const NAME_LENGTH_MAX: usize = 253;
/// Every path of the API begins so; none of them is looked up for callers who are not admitted.
const API: &str = "/v1/";

/// Whether the path is one of the API's, existing or not.
pub fn is_api(path: &str) -> bool {
    path.starts_with(API)
}

/// The route that `method` and `path` name. `HEAD` is read as `GET`: the server leaves the body out.
pub fn find(method: &Method, path: &str) -> Result<Route, Miss> {
    let (route, allowed) = at(path).ok_or(Miss::Path)?;
    let is_allowed = match allowed {
        Allowed::Reads => method == Method::GET || method == Method::HEAD,
        Allowed::Acts => method == Method::POST,
    };
    if is_allowed { Ok(route) } else { Err(Miss::Method(allowed.methods())) }
}

#[derive(Clone, Copy)]
enum Allowed {
    Reads,
    Acts,
}

impl Allowed {
    fn methods(self) -> &'static str {
        match self {
            Self::Reads => "GET, HEAD",
            Self::Acts => "POST",
        }
    }
}

fn at(path: &str) -> Option<(Route, Allowed)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (api, allowed) = match segments.as_slice() {
        ["healthz"] => return Some((Route::Health, Allowed::Reads)),
        ["readyz"] => return Some((Route::Ready, Allowed::Reads)),
        ["metrics"] => return Some((Route::Metrics, Allowed::Reads)),
        ["v1", "status"] => (ApiRoute::Status, Allowed::Reads),
        ["v1", "images"] => (ApiRoute::Images, Allowed::Reads),
        ["v1", "updates"] => (ApiRoute::Updates, Allowed::Reads),
        ["v1", "updates", namespace, name] => (ApiRoute::Update(update(namespace, name)?), Allowed::Reads),
        ["v1", "explain", namespace, kind, name] => (ApiRoute::Explain(workload(namespace, kind, name)?), Allowed::Reads),
        ["v1", "updates", namespace, name, "approve"] => (ApiRoute::Vote(update(namespace, name)?, Verdict::Approve), Allowed::Acts),
        ["v1", "updates", namespace, name, "reject"] => (ApiRoute::Vote(update(namespace, name)?, Verdict::Reject), Allowed::Acts),
        ["v1", "updates", namespace, name, "retry"] => (ApiRoute::Retry(update(namespace, name)?), Allowed::Acts),
        ["v1", "pause"] => (ApiRoute::Pause, Allowed::Acts),
        ["v1", "resume"] => (ApiRoute::Resume, Allowed::Acts),
        _ => return None,
    };
    Some((Route::Api(api), allowed))
}

fn update(namespace: &str, name: &str) -> Option<UpdateId> {
    (is_name(namespace) && is_name(name)).then(|| UpdateId { namespace: namespace.into(), name: name.into() })
}

fn workload(namespace: &str, kind: &str, name: &str) -> Option<WorkloadId> {
    let kind = WorkloadKind::parse(kind)?;
    (is_name(namespace) && is_name(name)).then(|| WorkloadId { namespace: namespace.into(), kind, name: name.into() })
}

/// Whether an object of Kubernetes can have this name. Anything else, escapes included, names nothing.
pub fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= NAME_LENGTH_MAX && text.bytes().all(is_inner) && !text.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &Method, path: &str, expected: &Result<Route, Miss>) {
        assert_eq!(find(method, path), *expected, "{method} {path}");
    }

    fn id() -> UpdateId {
        UpdateId { namespace: "shop".into(), name: "web-0123456789".into() }
    }

    #[test]
    fn every_route_is_found_by_its_method_and_path() {
        check(&Method::GET, "/healthz", &Ok(Route::Health));
        check(&Method::HEAD, "/readyz", &Ok(Route::Ready));
        check(&Method::GET, "/metrics", &Ok(Route::Metrics));
        check(&Method::GET, "/v1/status", &Ok(Route::Api(ApiRoute::Status)));
        check(&Method::GET, "/v1/images", &Ok(Route::Api(ApiRoute::Images)));
        check(&Method::GET, "/v1/updates", &Ok(Route::Api(ApiRoute::Updates)));
        check(&Method::GET, "/v1/updates/shop/web-0123456789", &Ok(Route::Api(ApiRoute::Update(id()))));
        let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        check(&Method::GET, "/v1/explain/shop/Deployment/web", &Ok(Route::Api(ApiRoute::Explain(web))));
        check(&Method::POST, "/v1/updates/shop/web-0123456789/approve", &Ok(Route::Api(ApiRoute::Vote(id(), Verdict::Approve))));
        check(&Method::POST, "/v1/updates/shop/web-0123456789/reject", &Ok(Route::Api(ApiRoute::Vote(id(), Verdict::Reject))));
        check(&Method::POST, "/v1/updates/shop/web-0123456789/retry", &Ok(Route::Api(ApiRoute::Retry(id()))));
        check(&Method::POST, "/v1/pause", &Ok(Route::Api(ApiRoute::Pause)));
        check(&Method::POST, "/v1/resume", &Ok(Route::Api(ApiRoute::Resume)));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        check(&Method::POST, "/v1/updates", &Err(Miss::Method("GET, HEAD")));
        check(&Method::GET, "/v1/updates/shop/web-0123456789/approve", &Err(Miss::Method("POST")));
        check(&Method::DELETE, "/v1/pause", &Err(Miss::Method("POST")));
    }

    #[test]
    fn paths_that_are_not_exactly_a_route_are_none() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/explain/shop/Job/web",
            "/v1/explain/shop/Deployment",
            "/v1/images/",
            "//v1/images",
            "/v1/updates/shop",
            "/v1/updates/shop/web/approve/x",
            "/V1/images",
        ] {
            check(&Method::GET, path, &Err(Miss::Path));
        }
        for name in ["..", "%2e%2e", "a%2Fb", "<script>", "Web", "-x", "a_b", &"a".repeat(254)] {
            check(&Method::GET, &format!("/v1/updates/shop/{name}"), &Err(Miss::Path));
        }
    }
}

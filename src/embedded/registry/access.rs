//! Who may use the registry: anybody, one user by Basic authentication, or one user by Docker's token flow
//! (the distribution project's "Token Authentication Specification"), with the token service on the same port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::WWW_AUTHENTICATE;
use http::{Method, StatusCode};
use serde_json::json;

use super::answer::Answer;
use super::error::RegistryError;
use super::route::Route;
use crate::embedded::login::Login;
use crate::embedded::loopback::Request;

/// Tokens in force at once; far above what tests ask for within a token's life.
const TOKENS_MAX: usize = 10_000;
/// The realm and service name of this registry.
const SERVICE: &str = "skeg-embedded";

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody may do everything.
    #[default]
    Anonymous,
    /// Every request needs this user.
    Basic(Login),
    /// Every request needs a token; the token service gives it to this user.
    Bearer {
        /// Who gets tokens for everything.
        login: Login,
        /// Whether callers without a login get tokens to pull.
        anonymous_pull: bool,
        /// How long a token lasts.
        token_life: Duration,
    },
}

struct Grant {
    /// Pairs of repository and action.
    allowed: Vec<(String, String)>,
    ends: Instant,
}

/// Decides about each request.
pub(super) struct Guard {
    access: Mutex<Access>,
    address: SocketAddr,
    tokens: Mutex<HashMap<String, Grant>>,
}

impl Guard {
    pub fn new(access: Access, address: SocketAddr) -> Self {
        Self { access: Mutex::new(access), address, tokens: Mutex::default() }
    }

    /// Changes the way in; tokens given before stay good.
    pub fn set_access(&self, access: Access) {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Makes every token given so far worthless.
    pub fn revoke_tokens(&self) {
        self.tokens().clear();
    }

    /// Lets a request pass, or gives the challenge to answer with.
    pub fn admit(&self, request: &Request, route: Route<'_>) -> Result<(), Box<Answer>> {
        let given = request.header("authorization");
        match self.access() {
            Access::Anonymous => Ok(()),
            Access::Basic(login) if given == Some(login.authorization().as_str()) => Ok(()),
            Access::Basic(_) => Err(challenge(&format!("Basic realm=\"{SERVICE}\""))),
            Access::Bearer { .. } => self.admit_token(given, &request.method, route),
        }
    }

    /// The token service: `GET /token?service=…&scope=repository:<name>:<actions>…`.
    pub fn issue(&self, request: &Request) -> Answer {
        let Access::Bearer { login, anonymous_pull, token_life } = self.access() else {
            return StatusCode::NOT_FOUND.into();
        };
        let known = match request.header("authorization") {
            Some(given) if given == login.authorization() => true,
            Some(_) => return RegistryError::Unauthorized.into(),
            None => false,
        };
        let allowed = asked_for(&request.query).filter(|(_, action)| known || anonymous_pull && action == "pull").collect();
        let Some(token) = self.keep(allowed, token_life) else {
            return StatusCode::TOO_MANY_REQUESTS.into();
        };
        let body = json!({"token": token, "access_token": token, "expires_in": token_life.as_secs()});
        Answer::json(StatusCode::OK, &body)
    }

    fn admit_token(&self, given: Option<&str>, method: &Method, route: Route<'_>) -> Result<(), Box<Answer>> {
        let needed = action(method);
        let token = given.and_then(|given| given.strip_prefix("Bearer "));
        let tokens = self.tokens();
        let grant = token.and_then(|token| tokens.get(token)).filter(|grant| grant.ends > Instant::now());
        let problem = match grant {
            Some(grant) if grant.allows(route.repository(), needed) => return Ok(()),
            Some(_) => ",error=\"insufficient_scope\"",
            None if token.is_some() => ",error=\"invalid_token\"",
            None => "",
        };
        let scope = route.repository().map_or_else(String::new, |name| {
            let actions = if needed == "push" { "pull,push" } else { needed };
            format!(",scope=\"repository:{name}:{actions}\"")
        });
        let realm = format!("http://{}/token", self.address);
        Err(challenge(&format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"{scope}{problem}")))
    }

    fn keep(&self, allowed: Vec<(String, String)>, life: Duration) -> Option<String> {
        let now = Instant::now();
        let mut tokens = self.tokens();
        tokens.retain(|_, grant| grant.ends > now);
        if tokens.len() >= TOKENS_MAX {
            return None;
        }
        let token = format!("{:032x}", fastrand::u128(..));
        let ends = now + life;
        tokens.insert(token.clone(), Grant { allowed, ends });
        Some(token)
    }

    fn access(&self) -> Access {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<String, Grant>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant {
    /// A token for anything opens `/v2/`, which is about no repository.
    fn allows(&self, repository: Option<&str>, needed: &str) -> bool {
        repository
            .is_none_or(|repository| self.allowed.iter().any(|(name, action)| name == repository && (action == needed || action == "*")))
    }
}

/// The pairs of repository and action in the `scope` parameters of a query.
fn asked_for(query: &str) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "scope").flat_map(|(_, scopes)| {
        let pairs = scopes.split(' ').flat_map(pairs_of_scope);
        pairs.collect::<Vec<_>>()
    })
}

fn pairs_of_scope(scope: &str) -> Vec<(String, String)> {
    let parts = scope.strip_prefix("repository:").and_then(|scope| scope.rsplit_once(':'));
    parts.map_or_else(Vec::new, |(name, actions)| actions.split(',').map(|action| (name.to_owned(), action.to_owned())).collect())
}

fn action(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    }
}

fn challenge(value: &str) -> Box<Answer> {
    Box::new(Answer::from(RegistryError::Unauthorized).with(WWW_AUTHENTICATE, value))
}

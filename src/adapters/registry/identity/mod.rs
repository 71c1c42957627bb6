//! Logins that a cloud gives to what runs in it: no password is configured anywhere.
//!
//! ```text
//!  aws.rs      signed GetAuthorizationToken of ECR          credentials: the default chain of AWS's own tools
//!  google.rs   access token                                 key file, identity federation, metadata server
//!  azure.rs    token of the directory, exchanged at ACR     workload identity, managed identity
//! ```
//!
//! A login is kept until shortly before its end and shared by all repositories of the registry. Where the clouds' services are is taken from
//! the environment variables that their own tools go by.

mod aws;
mod azure;
mod google;
mod surroundings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;
use serde::de::DeserializeOwned;
use url::Url;

use super::entries::Host;
use super::kept::Kept;
use crate::adapters::fetch::{Answer, Ask, Fetch, Reach};
use crate::core::address::is_reserved;
use crate::core::schedule::after;
use crate::ports::clock::Clock;
use crate::ports::registry::Cloud;

pub use surroundings::Surroundings;

/// Logins kept: one for each registry that is configured with an identity.
const KEPT_MAX: usize = 1_000;
/// A login that was refused is not fetched again sooner than this after it was fetched: clouds bound how often they give one.
const RENEWED_AFTER: Duration = Duration::from_mins(1);
/// The longest answer of a cloud's service: tokens of some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// A login is used no more this long before its end: a page walk of five minutes ends with the login it began with.
const MARGIN: Duration = Duration::from_mins(5);

/// A login, and when it ends.
struct Granted {
    login: RegistryAuth,
    ends: Timestamp,
}

/// Who skeg is to the clouds.
pub(super) struct Identities {
    fetch: Fetch,
    surroundings: Surroundings,
    kept: Kept<(Cloud, Box<str>), RegistryAuth, Box<str>>,
    aws: aws::Aws,
    clock: Arc<dyn Clock>,
}

/// Why a cloud gives no login. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum IdentityError {
    /// Something that is needed is not there.
    #[error("{0}")]
    Missing(String),
    /// A file cannot be used.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: String,
        /// What is wrong, without its text.
        problem: String,
    },
    /// A service does not give what it should.
    #[error("{service} {problem}")]
    Service {
        /// Which.
        service: &'static str,
        /// What it did.
        problem: String,
    },
}

impl Identities {
    /// Takes addresses and files from `surroundings`.
    pub fn new(fetch: &Fetch, surroundings: &Surroundings, clock: &Arc<dyn Clock>) -> Self {
        Self {
            fetch: fetch.clone(),
            surroundings: surroundings.clone(),
            kept: Kept::new(clock, KEPT_MAX),
            aws: aws::Aws::new(fetch, surroundings),
            clock: Arc::clone(clock),
        }
    }

    /// The login at a registry.
    pub async fn login(&self, cloud: Cloud, host: &Host) -> Result<RegistryAuth, String> {
        let login = self.kept.get(&(cloud, host.name.as_str().into()), self.fetched(cloud, host)).await;
        login.map_err(|error| format!("the {} identity: {error}", cloud.as_str()))
    }

    /// The same after it was refused.
    pub async fn renewed(&self, cloud: Cloud, host: &Host) -> Result<RegistryAuth, String> {
        let login = self.kept.renew(&(cloud, host.name.as_str().into()), RENEWED_AFTER, self.fetched(cloud, host)).await;
        login.map_err(|error| format!("the {} identity: {error}", cloud.as_str()))
    }

    async fn fetched(&self, cloud: Cloud, host: &Host) -> Result<(RegistryAuth, Timestamp), Box<str>> {
        let now = self.clock.now();
        let granted = match cloud {
            // Boxed: few questions get here, and every one of them would have the room for it.
            Cloud::Aws => Box::pin(self.aws.login(host, now)).await,
            Cloud::Google => Box::pin(google::login(&self.fetch, &self.surroundings, now)).await,
            Cloud::Azure => Box::pin(azure::login(&self.fetch, &self.surroundings, host, now)).await,
        };
        let Granted { login, ends } = granted.map_err(|error| error.to_string())?;
        let left = Duration::try_from(ends.duration_since(now)).unwrap_or_default();
        Ok((login, after(now, left.saturating_sub(MARGIN.min(left / 4)))))
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// A service of a cloud.
struct Service<'a> {
    fetch: &'a Fetch,
    name: &'static str,
}

impl Service<'_> {
    async fn get<T: DeserializeOwned>(&self, url: Url, headers: &[(&'static str, &str)]) -> Result<T, IdentityError> {
        let mut ask = Ask::new(Method::GET, url, ANSWER_BYTES_MAX);
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| self.failed("is asked with a header that cannot be sent"))?;
            value.set_sensitive(true);
            ask.headers.insert(*name, value);
        }
        self.read(ask).await
    }

    async fn post<T: DeserializeOwned>(&self, url: Url, form: &[(&str, &str)]) -> Result<T, IdentityError> {
        let mut ask = Ask::new(Method::POST, url, ANSWER_BYTES_MAX);
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        ask.body = Some(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into());
        self.read(ask).await
    }

    async fn read<T: DeserializeOwned>(&self, mut ask: Ask) -> Result<T, IdentityError> {
        ask.reach = reach(&ask.url);
        let answer = self.fetch.send(ask).await.map_err(|error| self.failed(format!("is not reached: {error}")))?;
        self.parsed(&answer)
    }

    fn parsed<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, IdentityError> {
        if answer.status != StatusCode::OK {
            return Err(self.failed(format!("answered {}{}", answer.status, code(&answer.body))));
        }
        serde_json::from_slice(&answer.body).map_err(|_| self.failed("answered with what is no token"))
    }

    fn failed(&self, problem: impl Into<String>) -> IdentityError {
        IdentityError::Service { service: self.name, problem: problem.into() }
    }
}

/// Metadata services are beside the machine, and no proxy leads there.
fn reach(url: &Url) -> Reach {
    let is_beside = match url.host() {
        Some(url::Host::Ipv4(address)) => is_reserved(address.into()),
        Some(url::Host::Ipv6(address)) => is_reserved(address.into()),
        Some(url::Host::Domain(name)) => name.ends_with(".internal") || name == "localhost",
        None => false,
    };
    if is_beside { Reach::Direct } else { Reach::Anywhere }
}

/// The error code in an answer (OAuth 2, RFC 6749 section 5.2; `__type` of AWS), in brackets: a word of a closed set, while the text beside it may
/// repeat what was sent.
fn code(body: &[u8]) -> String {
    let parsed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let code = ["error", "__type"].iter().find_map(|key| parsed.get(key)?.as_str()).unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let is_word = !code.is_empty() && code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word { format!(" ({code})") } else { String::new() }
}

fn url(text: &str, variable: &str) -> Result<Url, IdentityError> {
    text.parse().map_err(|_| IdentityError::Missing(format!("{variable} is no URL")))
}

#[cfg(test)]
mod tests;

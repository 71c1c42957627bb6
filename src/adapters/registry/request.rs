//! One authorised question to a registry: its turn, its login, one new login if the first is not accepted.

use http::header::{ACCEPT, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::entries::Host;
use super::refusal::{malformed, no_answer, refusal};
use super::{RegistryClient, Seen};
use crate::adapters::fetch::{Answer, Ask, FetchError, rate_limit, retry_after, retry_after_in, same_origin};
use crate::core::image::Repository;
use crate::ports::registry::{Access, RegistryError};

/// Times one request is sent while the host asks for a short wait each time. Enough for a burst limit to refill, few enough that
/// a question ends within its deadlines.
const TRIES_MAX: u32 = 3;

/// Whom to ask, and as whom.
pub(super) struct Target<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The login to use.
    pub access: &'a Access,
    /// How to speak to its registry.
    pub host: Host,
}

/// What is asked for. Registries may want different rights for different questions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Purpose {
    /// The tag list.
    Tags,
    /// A manifest.
    Manifest,
    /// The version check, which is of no repository.
    Version,
}

/// A question.
pub(super) struct Question {
    /// `GET` or `HEAD`.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// What for.
    pub purpose: Purpose,
    /// The media types that are understood.
    pub accept: HeaderValue,
    /// The entity tag of what is known already: the answer may be 304 then.
    pub unless: Option<HeaderValue>,
    /// The most bytes of the answer.
    pub body_bytes_max: usize,
}

/// The line of requests to stand in, and what is shown at its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// The entry whose client certificate is shown, if one is.
    pub shown: Option<usize>,
    /// Host and port.
    pub host: &'a str,
    /// Requests at once.
    pub concurrency: usize,
    /// Requests a second.
    pub rate: u32,
}

impl Target<'_> {
    /// The path that the repository has where it is read.
    pub fn path(&self) -> String {
        format!("{}{}", self.host.prefix, self.repository.path())
    }

    /// A URL below the registry's root.
    pub fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.host.base.join(path).map_err(|_| self.malformed("the registry's name makes no URL"))
    }

    /// The login is missing, wrong or not enough.
    pub fn unauthorized(&self, detail: impl Into<String>) -> RegistryError {
        RegistryError::Unauthorized { repository: self.repository.to_string(), detail: detail.into() }
    }

    /// The answer cannot be used.
    pub fn malformed(&self, detail: impl Into<String>) -> RegistryError {
        malformed(self.repository, detail)
    }

    /// The error that an answer means which is no success.
    pub fn refusal(&self, answer: &Answer) -> RegistryError {
        refusal(self.repository, answer)
    }
}

impl RegistryClient {
    /// The answer to `question`: any status but 401, 429 and 503 with a `Retry-After`, which are errors.
    pub(super) async fn ask(&self, target: &Target<'_>, question: Question) -> Result<Answer, RegistryError> {
        // A page of a listing that was redirected lies elsewhere: no login goes there.
        let is_own = |url: &Url| same_origin(url, &target.host.base);
        let authorization = if is_own(&question.url) { self.auth.ready(self, target, question.purpose).await? } else { None };
        let answer = self.send(target, &question, authorization.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        if !is_own(&answer.url) {
            return Err(target.unauthorized("the place it redirects to asks for a login, and none is for there"));
        }
        let authorization = self.auth.after_challenge(self, target, question.purpose, &answer.headers, authorization.as_ref()).await?;
        let answer = self.send(target, &question, Some(authorization)).await?;
        // Once: a registry that rejects a fresh login will not like the next one better.
        if answer.status == StatusCode::UNAUTHORIZED { Err(target.refusal(&answer)) } else { Ok(answer) }
    }

    /// The answer to `question` with this login or none, whatever the status; an error as [`RegistryClient::exchange`] has them.
    pub(super) async fn send(
        &self,
        target: &Target<'_>,
        question: &Question,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut ask = Ask::new(question.method.clone(), question.url.clone(), question.body_bytes_max);
        ask.headers.insert(ACCEPT, question.accept.clone());
        if let Some(mark) = &question.unless {
            ask.headers.insert(IF_NONE_MATCH, mark.clone());
        }
        ask.authorization = authorization;
        if same_origin(&question.url, &target.host.base) {
            ask.reach = target.host.reach;
        }
        let host = &target.host;
        let shown = self.entries.shown(target.access, &host.name);
        let line = Line { shown, host: &host.name, concurrency: host.concurrency, rate: host.rate };
        self.exchange(line, target.repository, ask).await
    }

    /// Sends `ask` in its turn, again after a short wait if the host says so; tells the observer of each request.
    pub(super) async fn exchange(&self, line: Line<'_>, repository: &Repository, ask: Ask) -> Result<Answer, RegistryError> {
        let fetch = match line.shown.and_then(|place| self.showing.get(&place)).or_else(|| self.trusting.get(line.host)) {
            Some(trusting) => {
                trusting.get().map_err(|error| RegistryError::Unreachable { host: line.host.to_owned(), detail: error.to_string() })?
            }
            None => self.fetch.clone(),
        };
        let mut tries = 1;
        loop {
            let mut turn = self.pacing.turn(line, repository.path()).await?;
            if !turn.waited.is_zero() {
                self.tell(line.host, Seen::Wait(turn.waited));
            }
            let answer = self.pacing.carry(&mut turn, fetch.send(ask.clone())).await;
            self.tell(line.host, Seen::Answer(status(answer.as_ref())));
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    if matches!(error, FetchError::Unreachable(_) | FetchError::TimedOut(_)) {
                        self.pacing.failed(&turn);
                    }
                    return Err(no_answer(line.host, repository, &error));
                }
            };
            let wait = retry_after(&answer.headers, self.clock.now());
            let is_busy =
                answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status == StatusCode::SERVICE_UNAVAILABLE && wait.is_some();
            if !is_busy && answer.status.is_server_error() {
                self.pacing.failed(&turn);
                return Ok(answer);
            }
            if !is_busy {
                self.pacing.served(&turn, rate_limit(&answer.headers, self.clock.now()));
                return Ok(answer);
            }
            let wait = wait.or_else(|| retry_after_in(&answer.body));
            let (wait, is_short) = self.pacing.slow_down(&turn, wait);
            if !is_short || tries >= TRIES_MAX {
                return Err(RegistryError::RateLimited { host: line.host.to_owned(), retry_after: Some(wait) });
            }
            tries += 1;
        }
    }

    fn tell(&self, host: &str, seen: Seen<'_>) {
        (self.observer)(if self.entries.names(host) { host } else { "other" }, seen);
    }
}

fn status<'a>(answer: Result<&'a Answer, &FetchError>) -> &'a str {
    match answer {
        // A status that no document knows would be a label that somebody made up.
        Ok(answer) if answer.status.canonical_reason().is_none() => "other",
        Ok(answer) => answer.status.as_str(),
        Err(_) => "unreachable",
    }
}

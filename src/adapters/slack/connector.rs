//! slack-morphism's Web API client over skeg's own HTTP client: its deadline, its bounds, its proxies and its one TLS stack.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};
use slack_morphism::errors::{
    SlackClientApiError, SlackClientError, SlackClientHttpError, SlackClientProtocolError, SlackClientSystemError, SlackRateLimitError,
};
use slack_morphism::multipart_form::FileMultipartData;
use slack_morphism::{ClientResult, SlackClientApiCallContext, SlackClientHttpConnector, SlackClientId, SlackClientSecret};
use url::Url;

use crate::adapters::fetch::{Answer, Ask, Fetch, Reach, retry_after};

/// Bytes of one answer. A page of two hundred messages, each with every block it may have, stays below it.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Carries requests to the Web API.
#[derive(Clone, Debug)]
pub struct Connector {
    fetch: Fetch,
    /// `https://slack.com/api`, or a stand-in.
    api_url: Url,
}

impl Connector {
    /// A connector to the Web API at `api_url`.
    pub fn new(fetch: Fetch, api_url: Url) -> Self {
        Self { fetch, api_url }
    }

    async fn exchange<RS: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Bytes>,
        context: SlackClientApiCallContext<'_>,
    ) -> ClientResult<RS> {
        let mut headers = HeaderMap::new();
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        }
        let bearer = context.token.map(|token| HeaderValue::from_str(&format!("Bearer {}", token.token_value.0))).transpose();
        // Where the host is was configured; it may be on this machine.
        let ask = Ask {
            headers,
            authorization: bearer.map_err(|_| system("the token has characters that no header may have"))?,
            reach: Reach::Anywhere,
            body,
            ..Ask::new(method, url, ANSWER_BYTES_MAX)
        };
        let answer = self.fetch.send(ask).await.map_err(|error| system(&error.to_string()))?;
        read(&answer)
    }
}

/// Every answer is JSON with `ok`, and an `error` where that is false; only too many requests come with a status of their own.
#[derive(serde::Deserialize)]
struct Verdict {
    ok: bool,
    error: Option<String>,
}

/// The bodies of failures are left out: they may repeat what was sent.
fn read<RS: DeserializeOwned>(answer: &Answer) -> ClientResult<RS> {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        let wait = retry_after(&answer.headers, Timestamp::now());
        return Err(SlackClientError::RateLimitError(SlackRateLimitError::new().opt_retry_after(wait)));
    }
    if answer.status != StatusCode::OK {
        return Err(SlackClientError::HttpError(SlackClientHttpError::new(answer.status)));
    }
    let verdict: Verdict = serde_json::from_slice(&answer.body).map_err(malformed)?;
    if !verdict.ok {
        let code = verdict.error.unwrap_or_else(|| "unknown_error".to_owned());
        return Err(SlackClientError::ApiError(SlackClientApiError::new(code)));
    }
    serde_json::from_slice(&answer.body).map_err(malformed)
}

fn malformed(error: serde_json::Error) -> SlackClientError {
    SlackClientError::ProtocolError(SlackClientProtocolError::new(error))
}

fn system(what: &str) -> SlackClientError {
    SlackClientError::SystemError(SlackClientSystemError::new().with_message(what.to_owned()))
}

/// What skeg never sends: logins by client secret, files.
fn never_sent<'a, RS: Send + 'a>() -> BoxFuture<'a, ClientResult<RS>> {
    futures::future::ready(Err(system("skeg sends no such request"))).boxed()
}

impl SlackClientHttpConnector for Connector {
    fn http_get_uri<'a, RS>(&'a self, full_uri: Url, context: SlackClientApiCallContext<'a>) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        self.exchange(Method::GET, full_uri, None, context).boxed()
    }

    fn http_post_uri<'a, RQ, RS>(
        &'a self,
        full_uri: Url,
        request_body: &'a RQ,
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RQ: Serialize + Send + Sync,
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        async move {
            let body = serde_json::to_vec(request_body).map_err(malformed)?;
            self.exchange(Method::POST, full_uri, Some(body.into()), context).await
        }
        .boxed()
    }

    fn create_method_uri_path(&self, method_relative_uri: &str) -> ClientResult<Url> {
        Ok(format!("{}/{method_relative_uri}", self.api_url.as_str().trim_end_matches('/')).parse()?)
    }

    fn http_get_with_client_secret<'a, RS>(
        &'a self,
        _: Url,
        _: &'a SlackClientId,
        _: &'a SlackClientSecret,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        never_sent()
    }

    fn http_post_uri_multipart_form<'a, 'p, RS, PT, TS>(
        &'a self,
        _: Url,
        _: Option<FileMultipartData<'p>>,
        _: &'p PT,
        _: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
        PT: IntoIterator<Item = (&'p str, Option<TS>)> + Clone,
        TS: AsRef<str> + 'p + Send,
    {
        never_sent()
    }

    fn http_post_uri_binary<'a, 'p, RS>(
        &'a self,
        _: Url,
        _: String,
        _: &'a [u8],
        _: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        never_sent()
    }
}

//! Talking to a running skeg.

use std::time::Duration;

use clap::Args;
use http::StatusCode;
use http::header::AUTHORIZATION;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::Failure;
use crate::core::address::is_loopback;
use crate::http::ErrorView;

/// Longer than skeg itself takes for an order, so that its own answer is the one that is told.
const DEADLINE: Duration = Duration::from_secs(40);
/// Bytes of an answer: every update that is kept, several times over.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The variable with the token. There is no option for it: options show in lists of processes.
const TOKEN: &str = "SKEG_TOKEN";

/// Which skeg to talk to.
#[derive(Args, Clone, Debug)]
pub struct Server {
    /// The API of a running skeg; the token for it is taken from `SKEG_TOKEN`
    #[arg(long, env = "SKEG_SERVER", value_name = "URL", default_value = "http://127.0.0.1:9301")]
    server: Url,
}

/// A connection to it.
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
}

impl Server {
    /// Makes the client. Nothing is sent yet.
    pub fn client(&self) -> Result<Client, Failure> {
        if !matches!(self.server.scheme(), "http" | "https") || !self.server.username().is_empty() || self.server.password().is_some() {
            return Err(Failure::WrongUsage("--server: write http://HOST:PORT or https://HOST:PORT".to_owned()));
        }
        // Fails only when a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none());
        // A proxy of the surroundings cannot reach this machine's own address.
        let builder = if self.server.host_str().is_some_and(is_loopback) { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| Failure::NotDone(format!("no HTTP client: {error}")))?;
        let mut server = self.server.clone();
        if !server.path().ends_with('/') {
            server.set_path(&format!("{}/", self.server.path()));
        }
        Ok(Client { http, server, token: std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) })
    }
}

impl Client {
    /// Reads what is at `path`: the JSON as it came, so that `-o json` shows what this version does not know too.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.answer(self.http.get(self.url(path)?)).await
    }

    /// Gives an order.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        self.answer(self.http.post(self.url(path)?).json(body)).await
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.server.join(path).map_err(|error| Failure::WrongUsage(format!("--server: {error}")))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Failure::NotDone(format!("{}: the answer is longer than {ANSWER_BYTES_MAX} bytes", self.server)));
            }
            body.extend_from_slice(&part);
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| self.foreign(status));
        }
        Err(self.refused(status, &body))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let Ok(view) = serde_json::from_slice::<ErrorView>(body) else { return self.foreign(status) };
        let message = super::table::plain(&view.message);
        Failure::NotDone(match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => format!("{}: {message}: set {TOKEN}", self.server),
            (StatusCode::UNAUTHORIZED, Some(_)) => format!("{}: the token in {TOKEN} is not the one of [server]", self.server),
            _ => message,
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Failure::NotDone(format!("{} cannot be reached: {cause}; is skeg running? name it with --server or SKEG_SERVER", self.server))
    }

    fn foreign(&self, status: StatusCode) -> Failure {
        Failure::NotDone(format!("{} answered {status}, and not as skeg does; name skeg's private listener with --server", self.server))
    }
}

/// An answer as this version understands it.
pub fn understood<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| Failure::NotDone(format!("the answer is of another version ({error}); -o json shows it")))
}

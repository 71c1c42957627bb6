//! Whether a registry answers, and takes the login that is configured for it, without naming a repository.
//!
//! Source: OCI distribution specification 1.1, "Endpoints", end-1: `GET /v2/` answers 200, or 401 with a challenge when a login is needed.
//! A token for it is asked for without a scope, as `docker login` does.

use http::{HeaderValue, Method, StatusCode};

use super::RegistryClient;
use super::request::{Purpose, Question, Target};
use crate::core::image::Repository;
use crate::ports::registry::{Access, RegistryError};

/// Bytes of an answer to the version check, which is empty or an error in JSON.
const BYTES_MAX: usize = 64 << 10;
/// What stands for the repository in the check. It is never sent.
const ANY_REPOSITORY: &str = "any/any";

/// How a registry greets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// It answers without a login. What its repositories ask for is not said with that.
    Open,
    /// It asks for a login, and none is configured here.
    AsksForLogin,
    /// It takes the configured login.
    LoggedIn,
}

impl RegistryClient {
    /// Asks the registry of the entry at this place of the configuration, with the entry's login where it has one.
    pub async fn greet(&self, place: usize) -> Result<Greeting, RegistryError> {
        let (host, access) = self.entries.at(place).unwrap_or(("", Access::Anonymous));
        let has_login = access != Access::Anonymous;
        let unnamed = |_| RegistryError::Unreachable { host: host.to_owned(), detail: "it is no registry's name".to_owned() };
        let repository = Repository::new(host, ANY_REPOSITORY).map_err(unnamed)?;
        let target = self.target(&repository, &access)?;
        self.login(&target).await?;
        let question = || -> Result<Question, RegistryError> {
            let (accept, purpose) = (HeaderValue::from_static("application/json"), Purpose::Version);
            Ok(Question { method: Method::GET, url: target.url("v2/")?, purpose, accept, unless: None, body_bytes_max: BYTES_MAX })
        };
        match self.send(&target, &question()?, None).await?.status {
            StatusCode::OK => return Ok(Greeting::Open),
            StatusCode::UNAUTHORIZED if !has_login => return Ok(Greeting::AsksForLogin),
            StatusCode::UNAUTHORIZED => {}
            status => return Err(not_a_registry(&target, status)),
        }
        match self.ask(&target, question()?).await?.status {
            StatusCode::OK => Ok(Greeting::LoggedIn),
            StatusCode::FORBIDDEN => Err(target.unauthorized("the login is refused")),
            status => Err(not_a_registry(&target, status)),
        }
    }
}

fn not_a_registry(target: &Target<'_>, status: StatusCode) -> RegistryError {
    target.malformed(format!("answers {status} to the version check: not a registry, or its address is another"))
}

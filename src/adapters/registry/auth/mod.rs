//! Proving who asks: challenge, login, token.
//!
//! Source: distribution's "Token Authentication Specification", and RFC 9110 section 11 for challenges. A registry that wants a
//! token names the server that gives one (the realm), which may be anybody: that is the protocol, and so the login does go to
//! another origin here. It is bounded so: only to the realm of a challenge that came from the registry itself, over https
//! (or to any realm of a registry that is `insecure`), never along a redirect to a further origin, and only the login that is configured
//! for that registry and granted to the namespace.

pub(crate) mod challenge;
mod scopes;
mod token;
mod token_cache;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use oci_distribution::secrets::RegistryAuth;

use super::RegistryClient;
use super::request::{Purpose, Target};
use crate::ports::registry::{Access, RegistryError};

use challenge::{Bearer, Challenge};
use scopes::Scopes;
use token_cache::{TokenCache, TokenKey};

/// Challenges remembered: two for each repository that is looked at. When there are more they are all forgotten, which costs
/// each repository one more request.
const CHALLENGES_MAX: usize = 10_000;

/// What was learned about proving who asks.
#[derive(Default)]
pub(super) struct Auth {
    challenges: Mutex<HashMap<Place, Challenge>>,
    tokens: TokenCache,
    scopes: Scopes,
}

/// What a registry challenges for: the scope depends on repository and purpose.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    repository: Box<str>,
    purpose: Purpose,
}

impl Place {
    fn of(target: &Target<'_>, purpose: Purpose) -> Self {
        Self { repository: target.repository.as_str().into(), purpose }
    }
}

impl Auth {
    /// The `Authorization` to send at once, as far as it is known what the registry wants. `None` means: ask without, and see.
    pub async fn ready(
        &self,
        client: &RegistryClient,
        target: &Target<'_>,
        purpose: Purpose,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let place = Place::of(target, purpose);
        let Some(challenge) = self.challenges().get(&place).cloned() else {
            return Ok(None);
        };
        if challenge == Challenge::Basic && *target.access == Access::Anonymous {
            // Asking without a login again is what tells whether the registry has become open.
            return Ok(None);
        }
        let authorization = self.proof(client, target, purpose, &challenge, None).await;
        if authorization.is_err() {
            // The registry may have moved its token server: let it say so anew.
            self.challenges().remove(&place);
        }
        authorization.map(Some)
    }

    /// The `Authorization` to answer a 401 with, which the registry gave to a request that carried `rejected`. An error if what
    /// it wants cannot be given, or was given already.
    pub async fn after_challenge(
        &self,
        client: &RegistryClient,
        target: &Target<'_>,
        purpose: Purpose,
        headers: &HeaderMap,
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let challenge = challenge::read(headers).ok_or_else(|| target.unauthorized("asks for a login in no way that is known here"))?;
        let authorization = self.proof(client, target, purpose, &challenge, rejected).await?;
        if rejected == Some(&authorization) {
            return Err(target.unauthorized("the login is refused"));
        }
        self.learn(Place::of(target, purpose), challenge);
        Ok(authorization)
    }

    /// What answers the challenge. A login that is refused is read once more where it may have been renewed meanwhile.
    async fn proof(
        &self,
        client: &RegistryClient,
        target: &Target<'_>,
        purpose: Purpose,
        challenge: &Challenge,
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let login = client.login(target).await?;
        let first = self.authorization(client, target, purpose, challenge, &login, rejected).await;
        let is_refused = match &first {
            Ok(authorization) => rejected == Some(authorization),
            Err(error) => matches!(error, RegistryError::Unauthorized { .. }),
        };
        if !is_refused {
            return first;
        }
        match client.renewed(target, &login).await {
            Some(login) => self.authorization(client, target, purpose, challenge, &login, rejected).await,
            None => first,
        }
    }

    async fn authorization(
        &self,
        client: &RegistryClient,
        target: &Target<'_>,
        purpose: Purpose,
        challenge: &Challenge,
        login: &RegistryAuth,
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        match (challenge, login) {
            (Challenge::Basic, RegistryAuth::Anonymous) => {
                Err(target.unauthorized("asks for a login, and none is configured that this namespace may use"))
            }
            (Challenge::Basic, RegistryAuth::Basic(user, password)) => basic(user, password)
                .ok_or_else(|| target.unauthorized("the login cannot be sent: the user name has a colon or control characters")),
            // A token that was configured is not exchanged for another.
            (Challenge::Basic | Challenge::Bearer(_), RegistryAuth::Bearer(token)) => {
                bearer(token).ok_or_else(|| target.unauthorized("the configured token has characters that no token has"))
            }
            (Challenge::Bearer(challenge), RegistryAuth::Anonymous | RegistryAuth::Basic(..)) => {
                // Boxed: a token serves many questions, and each would have the room for fetching it.
                Box::pin(self.token(client, target, challenge.for_purpose(target, purpose), login, rejected)).await
            }
        }
    }

    async fn token(
        &self,
        client: &RegistryClient,
        target: &Target<'_>,
        challenge: Bearer,
        login: &RegistryAuth,
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let key = TokenKey { registry: target.host.name.as_str().into(), access: target.access.clone(), challenge };
        let now = client.clock.now();
        let fetch = async {
            let mut others = self.scopes.beside(&key, login, now, |other| !self.tokens.is_usable(other, now));
            if rejected.is_some() {
                // A token that is not taken may be one for too much.
                self.scopes.alone(&key, login, now);
                others.clear();
            }
            let fetched = token::fetch(client, target, &key.challenge, &others, login).await;
            match fetched {
                Ok(token) => {
                    for other in &others {
                        self.tokens.put(other, &token);
                    }
                    Ok(token)
                }
                Err(RegistryError::Unauthorized { .. } | RegistryError::Malformed { .. }) if !others.is_empty() => {
                    self.scopes.alone(&key, login, now);
                    token::fetch(client, target, &key.challenge, &[], login).await
                }
                Err(error) => Err(error),
            }
        };
        self.tokens.get(&key, rejected, now, fetch).await
    }

    fn learn(&self, place: Place, challenge: Challenge) {
        let mut challenges = self.challenges();
        if challenges.len() >= CHALLENGES_MAX {
            challenges.clear();
        }
        challenges.insert(place, challenge);
    }

    fn challenges(&self) -> MutexGuard<'_, HashMap<Place, Challenge>> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 7617. A user name with a colon would be read as another user.
fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let is_sendable = !user.contains(':') && !user.chars().chain(password.chars()).any(char::is_control);
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    sensitive(&value).filter(|_| is_sendable)
}

/// RFC 6750.
fn bearer(token: &str) -> Option<HeaderValue> {
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    sensitive(&format!("Bearer {token}")).filter(|_| is_token)
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_sent_as_the_rfcs_write_them_and_never_printed() {
        let value = basic("Aladdin", "open sesame").unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(bearer("a.b-c_d").unwrap(), "Bearer a.b-c_d");
        assert_eq!(format!("{:?}", bearer("canary")), "Some(Sensitive)");
    }

    #[test]
    fn what_would_be_read_as_something_else_is_not_sent() {
        assert!(basic("a:b", "c").is_none());
        assert!(basic("a", "b\r\nX: y").is_none());
        assert!(bearer("").is_none());
        assert!(bearer("a b").is_none());
        assert!(bearer("a\nb").is_none());
    }
}

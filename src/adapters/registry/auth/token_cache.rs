//! Tokens that are still good, and one fetch at a time for each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use jiff::Timestamp;

use super::challenge::Bearer;
use super::token::Token;
use crate::ports::registry::{Access, RegistryError};

/// Tokens kept: a few for each repository that is looked at. When there are more, those not in use are forgotten, which costs a fetch each.
const TOKENS_MAX: usize = 10_000;

/// What a token was given for. With registry and access in it, no registry and no namespace gets to use another's token.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct TokenKey {
    /// The registry the token is sent to.
    pub registry: Box<str>,
    /// The login it was given to.
    pub access: Access,
    /// Realm, service and scope.
    pub challenge: Bearer,
}

impl TokenKey {
    /// The same for another scope.
    pub fn of_scope(&self, scope: &str) -> Self {
        let mut key = self.clone();
        key.challenge.scope = Some(scope.to_owned());
        key
    }
}

/// The tokens.
#[derive(Default)]
pub(super) struct TokenCache {
    slots: Mutex<HashMap<TokenKey, Arc<Slot>>>,
}

/// One token's place. Its lock is held while the token is fetched, so that whoever comes meanwhile waits for that fetch.
#[derive(Default)]
struct Slot {
    /// Fetches that have ended, well or not.
    fetches: AtomicU64,
    last: tokio::sync::Mutex<Option<Result<Token, RegistryError>>>,
}

impl TokenCache {
    /// The kept token if it is usable at `now` and is not the `rejected` one; else what `fetch` brings. Callers that come while
    /// one fetch is under way share its outcome, also when it fails. A caller that is dropped leaves the fetch to the next.
    pub async fn get(
        &self,
        key: &TokenKey,
        rejected: Option<&HeaderValue>,
        now: Timestamp,
        fetch: impl Future<Output = Result<Token, RegistryError>>,
    ) -> Result<HeaderValue, RegistryError> {
        let slot = self.slot(key);
        let fetches_before = slot.fetches.load(Ordering::Acquire);
        // Waiting is bounded: the holder's fetch has a deadline, and those who waited do not fetch again.
        let mut last = slot.last.lock().await;
        let fetched_meanwhile = slot.fetches.load(Ordering::Acquire) != fetches_before;
        match &*last {
            Some(Ok(token)) if token.usable_until > now && rejected != Some(&token.authorization) => {
                return Ok(token.authorization.clone());
            }
            Some(Err(error)) if fetched_meanwhile => return Err(error.clone()),
            _ => {}
        }
        let fetched = fetch.await;
        *last = Some(fetched.clone());
        slot.fetches.fetch_add(1, Ordering::Release);
        fetched.map(|token| token.authorization)
    }

    /// Whether there is a token that is usable at `now`, or one is being fetched.
    pub fn is_usable(&self, key: &TokenKey, now: Timestamp) -> bool {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        slot.is_some_and(|slot| match slot.last.try_lock() {
            Ok(last) => matches!(&*last, Some(Ok(token)) if token.usable_until > now),
            Err(_) => true,
        })
    }

    /// Keeps a token that was given for this key too, unless one is being fetched for it.
    pub fn put(&self, key: &TokenKey, token: &Token) {
        if let Ok(mut last) = self.slot(key).last.try_lock() {
            *last = Some(Ok(token.clone()));
        }
    }

    fn slot(&self, key: &TokenKey) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= TOKENS_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;

    use super::*;

    fn key(access: Access) -> TokenKey {
        let challenge = Bearer { realm: "https://auth.test/".parse().unwrap(), service: None, scope: None };
        TokenKey { registry: "a.test".into(), access, challenge }
    }

    fn token(text: &'static str, seconds: i64) -> Token {
        Token { authorization: HeaderValue::from_static(text), usable_until: Timestamp::from_second(seconds).unwrap() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_kept_until_its_end_or_its_rejection() {
        let cache = TokenCache::default();
        let key = key(Access::Anonymous);
        let never = || async { panic!("no fetch is due") };
        assert_eq!(cache.get(&key, None, at(0), async { Ok(token("first", 50)) }).await.unwrap(), "first");
        let first = cache.get(&key, None, at(49), never()).await.unwrap();
        assert_eq!(cache.get(&key, None, at(50), async { Ok(token("second", 100)) }).await.unwrap(), "second");
        assert_eq!(cache.get(&key, Some(&first), at(51), never()).await.unwrap(), "second", "another token was rejected");
        let second = HeaderValue::from_static("second");
        assert_eq!(cache.get(&key, Some(&second), at(51), async { Ok(token("third", 100)) }).await.unwrap(), "third");
    }

    #[tokio::test]
    async fn another_login_has_another_token() {
        let cache = TokenCache::default();
        cache.get(&key(Access::Configured(0)), None, at(0), async { Ok(token("private", 50)) }).await.unwrap();
        let other = cache.get(&key(Access::Anonymous), None, at(0), async { Ok(token("public", 50)) }).await;
        assert_eq!(other.unwrap(), "public");
    }

    #[tokio::test]
    async fn callers_at_once_share_one_fetch_and_its_failure() {
        let cache = TokenCache::default();
        let key = key(Access::Anonymous);
        let fetches = Cell::new(0);
        let all_wait = Notify::new();
        let fetch = || async {
            fetches.set(fetches.get() + 1);
            all_wait.notified().await;
            Err(RegistryError::NotFound { repository: "a".to_owned() })
        };
        let get = || cache.get(&key, None, at(0), fetch());
        let (one, two, three, ()) = futures::join!(get(), get(), get(), async { all_wait.notify_one() });
        assert_eq!((one.is_err(), two.is_err(), three.is_err(), fetches.get()), (true, true, true, 1));
        assert_eq!(cache.get(&key, None, at(0), async { Ok(token("later", 50)) }).await.unwrap(), "later");
    }
}

//! Several scopes in one token: what the other repositories of a registry will need soon is asked for beside what one needs now.
//!
//! Source: distribution's "Token Scope Documentation": the parameter may be given several times. A server that does not take that, or gives less
//! than was asked for, is asked for one scope at a time from then on for a while.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;
use url::Url;

use super::token_cache::TokenKey;
use crate::core::schedule::after;
use crate::ports::registry::Access;

/// Scopes in one token. Tokens grow with them and are sent with every request.
const TOGETHER_MAX: usize = 20;
/// The most bytes of scopes in one address: servers take addresses of some thousands.
const BYTES_MAX: usize = 2_000;
/// Scopes remembered for one group, and groups.
const SCOPES_MAX: usize = 10_000;
const GROUPS_MAX: usize = 1_000;
/// How long each is asked for alone after that went wrong.
const ALONE_FOR: Duration = Duration::from_hours(1);

/// The scopes that were used, by who may have them in one token.
#[derive(Default)]
pub(super) struct Scopes {
    groups: Mutex<HashMap<Group, Used>>,
    hasher: RandomState,
}

/// One login at one token server for one registry.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Group {
    registry: Box<str>,
    access: Access,
    /// A Secret may hold several logins, each for some repositories.
    login: u64,
    realm: Url,
    service: Option<String>,
}

struct Used {
    /// The one that was used longest ago first: it is polled next.
    scopes: VecDeque<Box<str>>,
    alone_until: Timestamp,
}

impl Scopes {
    /// Notes that the scope of `key` is used, and gives those that go well with it: used longest ago, and `lacking` a token.
    pub fn beside(&self, key: &TokenKey, login: &RegistryAuth, now: Timestamp, lacking: impl Fn(&TokenKey) -> bool) -> Vec<TokenKey> {
        let Some(scope) = key.challenge.scope.as_deref() else { return Vec::new() };
        let mut groups = self.groups();
        if groups.len() >= GROUPS_MAX {
            groups.clear();
        }
        let used = groups.entry(self.group(key, login)).or_insert_with(|| Used { scopes: VecDeque::new(), alone_until: Timestamp::MIN });
        used.scopes.retain(|known| **known != *scope);
        let mut bytes = scope.len();
        let others = used.scopes.iter().map(|other| key.of_scope(other)).filter(lacking).take(TOGETHER_MAX.saturating_sub(1));
        let others = others.take_while(|other| {
            bytes = bytes.saturating_add(other.challenge.scope.as_deref().unwrap_or_default().len());
            bytes <= BYTES_MAX
        });
        let others = if used.alone_until <= now { others.collect() } else { Vec::new() };
        if used.scopes.len() >= SCOPES_MAX {
            used.scopes.pop_front();
        }
        used.scopes.push_back(scope.into());
        others
    }

    /// A token for several scopes was not given, or not taken.
    pub fn alone(&self, key: &TokenKey, login: &RegistryAuth, now: Timestamp) {
        if let Some(used) = self.groups().get_mut(&self.group(key, login)) {
            used.alone_until = after(now, ALONE_FOR);
        }
    }

    fn group(&self, key: &TokenKey, login: &RegistryAuth) -> Group {
        let login = match login {
            RegistryAuth::Anonymous => 0,
            RegistryAuth::Basic(user, password) => self.hasher.hash_one((user, password)),
            RegistryAuth::Bearer(token) => self.hasher.hash_one(token),
        };
        let TokenKey { registry, access, challenge } = key;
        Group {
            registry: registry.clone(),
            access: access.clone(),
            login,
            realm: challenge.realm.clone(),
            service: challenge.service.clone(),
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Group, Used>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::registry::auth::challenge::Bearer;

    fn key(repository: &str, access: Access) -> TokenKey {
        let scope = Some(format!("repository:{repository}:pull"));
        TokenKey {
            registry: "a.test".into(),
            access,
            challenge: Bearer { realm: "https://auth.test/".parse().unwrap(), service: None, scope },
        }
    }

    fn beside(scopes: &Scopes, key: &TokenKey, login: &RegistryAuth) -> Vec<String> {
        let others = scopes.beside(key, login, Timestamp::UNIX_EPOCH, |other| !other.challenge.scope.as_ref().unwrap().contains("fresh"));
        others.into_iter().map(|other| other.challenge.scope.unwrap()).collect()
    }

    #[test]
    fn those_used_longest_ago_that_lack_a_token_go_along_for_the_same_login() {
        let (scopes, login) = (Scopes::default(), RegistryAuth::Anonymous);
        for repository in ["a", "fresh", "b"] {
            beside(&scopes, &key(repository, Access::Anonymous), &login);
        }
        assert_eq!(beside(&scopes, &key("a", Access::Anonymous), &login), ["repository:b:pull"]);
        assert_eq!(beside(&scopes, &key("c", Access::Anonymous), &login), ["repository:b:pull", "repository:a:pull"]);
        assert!(beside(&scopes, &key("c", Access::Configured(0)), &login).is_empty(), "another access");
        let other = RegistryAuth::Basic("robot".to_owned(), "p".to_owned());
        assert!(beside(&scopes, &key("c", Access::Anonymous), &other).is_empty(), "another login");
        scopes.alone(&key("c", Access::Anonymous), &login, Timestamp::UNIX_EPOCH);
        assert!(beside(&scopes, &key("a", Access::Anonymous), &login).is_empty());
    }

    #[test]
    fn they_are_bounded_in_number_and_length() {
        let (scopes, login) = (Scopes::default(), RegistryAuth::Anonymous);
        (0..50).for_each(|number| drop(beside(&scopes, &key(&format!("app{number}"), Access::Anonymous), &login)));
        assert_eq!(beside(&scopes, &key("one-more", Access::Anonymous), &login).len(), TOGETHER_MAX - 1);
        let long = Scopes::default();
        (0..50).for_each(|number| drop(beside(&long, &key(&format!("{number}{}", "x".repeat(200)), Access::Anonymous), &login)));
        assert!(beside(&long, &key("one-more", Access::Anonymous), &login).len() < 10);
    }
}

//! Secrets that pods pull images with: each read by its name, and only in the namespaces that are opened for it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::client::ApiServer;
use super::endpoint::Endpoint;
use crate::ports::cluster::ClusterError;
use crate::ports::pull_secrets::{PullSecret, PullSecretForm, PullSecrets};

/// Type of a Secret, the key its text is under, and the form of the text. Source: `k8s.io/api/core/v1`, `SecretType`.
const FORMS: [(&str, &str, PullSecretForm); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", PullSecretForm::ConfigJson),
    ("kubernetes.io/dockercfg", ".dockercfg", PullSecretForm::Cfg),
];

/// The Secrets of an API server.
pub struct ClusterPullSecrets {
    api: ApiServer,
    namespaces: Vec<Box<str>>,
}

/// A Secret, as far as it is read.
#[derive(Deserialize)]
struct Stored {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

/// A service account, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    #[serde(default)]
    image_pull_secrets: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: Box<str>,
}

impl ClusterPullSecrets {
    /// Reads those of `namespaces`, with turns of its own: many reads at once delay no other call.
    pub fn new(api: &ApiServer, namespaces: &[Box<str>]) -> Self {
        Self { api: api.apart(), namespaces: namespaces.to_vec() }
    }

    /// A second fence, whatever the caller has asked before.
    fn opened(&self, object: &str, namespace: &str) -> Result<(), ClusterError> {
        let detail = "the namespace is not in [cluster] pull_secrets".to_owned();
        if self.may_read(namespace) { Ok(()) } else { Err(ClusterError::Forbidden { object: object.to_owned(), detail }) }
    }
}

#[async_trait]
impl PullSecrets for ClusterPullSecrets {
    fn may_read(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|name| **name == *namespace)
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<PullSecret>, ClusterError> {
        let object = format!("Secret {namespace}/{name}");
        self.opened(&object, namespace)?;
        let stored: Option<Stored> = self.api.get(&object, Endpoint::SECRETS, namespace, name).await?;
        let Some((form, text)) = stored.and_then(text) else { return Ok(None) };
        let wrong = |_| ClusterError::Refused { object, detail: "what it holds is not base64".to_owned() };
        let content = STANDARD.decode(text).map_err(wrong)?;
        Ok(Some(PullSecret { form, content }))
    }

    async fn of_service_account(&self, namespace: &str, name: &str) -> Result<Vec<Box<str>>, ClusterError> {
        let object = format!("ServiceAccount {namespace}/{name}");
        self.opened(&object, namespace)?;
        let account: Option<Account> = self.api.get(&object, Endpoint::SERVICE_ACCOUNTS, namespace, name).await?;
        let names = account.and_then(|account| account.image_pull_secrets).unwrap_or_default().into_iter().map(|named| named.name);
        Ok(names.filter(|name| !name.is_empty()).collect())
    }
}

/// The text of a Secret that holds logins.
fn text(stored: Stored) -> Option<(PullSecretForm, String)> {
    let (_, key, form) = FORMS.into_iter().find(|(kind, ..)| *kind == stored.kind)?;
    Some((form, stored.data?.remove(key)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(stored: serde_json::Value, expected: Option<(PullSecretForm, &str)>) {
        let read = text(serde_json::from_value(stored).unwrap());
        assert_eq!(read.as_ref().map(|(form, text)| (*form, text.as_str())), expected);
    }

    #[test]
    fn only_secrets_of_the_two_types_hold_logins() {
        let json = json!({".dockerconfigjson": "e30=", ".dockercfg": "W10="});
        check(json!({"type": "kubernetes.io/dockerconfigjson", "data": json}), Some((PullSecretForm::ConfigJson, "e30=")));
        check(json!({"type": "kubernetes.io/dockercfg", "data": json}), Some((PullSecretForm::Cfg, "W10=")));
        check(json!({"type": "Opaque", "data": json}), None);
        check(json!({"data": json}), None);
        check(json!({"type": "kubernetes.io/dockercfg"}), None);
        check(json!({"type": "kubernetes.io/dockercfg", "data": {"password": "x"}}), None);
    }
}

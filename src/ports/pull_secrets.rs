//! Reading the Secrets that pods pull images with.

use std::fmt;

use async_trait::async_trait;

use super::cluster::ClusterError;

/// A Secret with logins, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct PullSecret {
    /// Its form.
    pub form: PullSecretForm,
    /// The text of its one key.
    pub content: Vec<u8>,
}

/// The two types of Secret that kubelets pull with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PullSecretForm {
    /// `kubernetes.io/dockerconfigjson`: a whole configuration file of `docker`.
    ConfigJson,
    /// `kubernetes.io/dockercfg`: only the logins of the older file.
    Cfg,
}

impl fmt::Debug for PullSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullSecret").field("form", &self.form).finish_non_exhaustive()
    }
}

/// The Secrets of the namespaces that are opened for this, each read by its name.
#[async_trait]
pub trait PullSecrets: Send + Sync {
    /// Whether Secrets of the namespace may be read. Of others nothing is asked.
    fn may_read(&self, namespace: &str) -> bool;

    /// The Secret; `None` when there is none, or it is of no type that holds logins.
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<PullSecret>, ClusterError>;

    /// The names of the Secrets that a service account pulls with, in their order; none where there is no such account.
    async fn of_service_account(&self, namespace: &str, name: &str) -> Result<Vec<Box<str>>, ClusterError>;
}

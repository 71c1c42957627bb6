//! The login that an access stands for, wherever it is kept.

use oci_distribution::secrets::RegistryAuth;

use super::RegistryClient;
use super::request::Target;
use crate::ports::registry::{Access, RegistryError};

impl RegistryClient {
    /// The login for the target, as it is now.
    pub(super) async fn login(&self, target: &Target<'_>) -> Result<RegistryAuth, RegistryError> {
        let login = match target.access {
            Access::Anonymous => Ok(RegistryAuth::Anonymous),
            Access::Configured(_) => self.entries.login(target.access, &target.host.name),
            Access::PullSecret { namespace, name } => match &self.pulls {
                Some(pulls) => pulls.login(namespace, name, target.repository).await,
                None => Err("no pull secrets are read".to_owned()),
            },
            Access::Identity(place, cloud) => match self.entries.identity(*place, &target.host.name) {
                Some(configured) if configured == *cloud => self.identities.login(*cloud, &target.host).await,
                _ => Err("the identity is configured for another registry".to_owned()),
            },
        };
        login.map_err(|problem| target.unauthorized(format!("the login cannot be read: {problem}")))
    }

    /// A login that may have become another one since `refused` was read; `None` when it is still that one.
    pub(super) async fn renewed(&self, target: &Target<'_>, refused: &RegistryAuth) -> Option<RegistryAuth> {
        let renewed = match target.access {
            // Those of the configuration are read at each use.
            Access::Anonymous | Access::Configured(_) => return None,
            Access::PullSecret { namespace, name } => self.pulls.as_ref()?.renewed(namespace, name, target.repository).await,
            Access::Identity(_, cloud) => self.identities.renewed(*cloud, &target.host).await,
        };
        renewed.ok().filter(|login| login != refused)
    }
}

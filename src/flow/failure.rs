//! Which error of a port may pass, and which needs a person: decided here and nowhere else.

use std::time::Duration;

use crate::core::failure::{Failure, FailureKind};
use crate::ports::cluster::ClusterError;
use crate::ports::git::GitError;
use crate::ports::registry::RegistryError;

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let summary = error.to_string().into();
        match error {
            ClusterError::Busy { retry_after, .. } => Self { kind: FailureKind::Transient, summary, retry_after },
            ClusterError::Conflict { .. } | ClusterError::Unreachable { .. } => Self::transient(summary),
            ClusterError::Forbidden { .. } => Self::forbidden(summary),
            ClusterError::NotFound { .. } | ClusterError::Exists { .. } | ClusterError::Refused { .. } => Self::refused(summary),
        }
    }
}

/// A registry that answers 401 or 404 today may have a mended credential or a finished migration tomorrow: nothing has been changed yet,
/// so every failure may pass.
impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let summary = error.to_string().into();
        let retry_after = match error {
            RegistryError::RateLimited { retry_after, .. } => retry_after,
            RegistryError::Unauthorized { .. }
            | RegistryError::NotFound { .. }
            | RegistryError::Unreachable { .. }
            | RegistryError::Malformed { .. } => None,
        };
        Self { kind: FailureKind::Transient, summary, retry_after }
    }
}

/// How long a Git remote is left alone that does not let skeg in: five tries a minute, fewer than it takes to lock an account, and soon
/// enough after a person has mended the credential.
pub const CLOSED_PAUSE: Duration = Duration::from_secs(12);

/// Whether the remote lets skeg in by no means before a person has mended something.
pub fn is_closed(error: &GitError) -> bool {
    matches!(error, GitError::Unauthorized { .. } | GitError::Untrusted { .. })
}

/// A refused credential or an unknown host key may be mended in its file any minute; a refused push is the server's word.
impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let summary: Box<str> = error.to_string().into();
        match error {
            GitError::Unauthorized { .. } | GitError::Untrusted { .. } => {
                Self { kind: FailureKind::Transient, summary, retry_after: Some(CLOSED_PAUSE) }
            }
            GitError::Unreachable { .. } | GitError::Contended { .. } | GitError::Storage { .. } | GitError::Broken { .. } => {
                Self::transient(summary)
            }
            GitError::Unknown { .. } | GitError::Refused { .. } => Self::refused(summary),
        }
    }
}

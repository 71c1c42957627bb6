//! Which error of a port may pass, and which needs a person: decided here and nowhere else.

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

/// A refused credential may be rotated in its file any minute; a refused push is the server's word.
impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let summary: Box<str> = error.to_string().into();
        match error {
            GitError::Unreachable { .. }
            | GitError::Unauthorized { .. }
            | GitError::Contended { .. }
            | GitError::Storage { .. }
            | GitError::Broken { .. } => Self::transient(summary),
            GitError::Unknown { .. } | GitError::Refused { .. } => Self::refused(summary),
        }
    }
}

//! Git remotes: images are recorded where manifests declare them.
//!
//! ```text
//! mirror   fetch the branch, shallow, bare          the git program, over HTTP or by the ssh program
//! locate   which file declares which container      objects in process
//! commit   set the image bytes, write one commit    objects in process
//! push     expecting the tip that was fetched       the git program; again from the top when it has moved
//! ```
//!
//! Not here: which workloads are recorded and when (the engine), how YAML is changed ([`crate::core::manifest`]), pull requests.

mod commit;
mod credentials;
mod earlier;
mod locate;
mod mirror;
mod program;
mod push;
mod settings;
mod ssh;
mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};

use crate::ports::clock::Clock;
use crate::ports::git::{Git, GitEdit, GitError, GitOutcome};

pub use program::{GitProgramError, git_version};
pub use settings::{GitAuthor, GitRemote, RemoteProblem, SecretSource, SshFiles};

use mirror::Mirror;
use push::Branch;

/// The configured remotes. Runs on one remote wait for each other; remotes do not.
pub struct GitRemotes {
    branches: BTreeMap<Box<str>, Mutex<Branch>>,
    /// The version of the `git` program, once it was found to be new enough.
    program: OnceCell<(u32, u32)>,
}

/// The first mistake in the settings of a remote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[[git]] {remote}: {}: {problem}", problem.key())]
pub struct GitRemoteError {
    /// The remote.
    pub remote: Box<str>,
    /// What is wrong.
    pub problem: RemoteProblem,
}

impl GitRemotes {
    /// The remotes, with their mirrors in folders of their own below `mirrors`. Nothing is read or fetched yet.
    ///
    /// `mirrors` must belong to this process alone. Everything in it can be fetched again.
    pub fn new(remotes: Vec<GitRemote>, mirrors: &Path, clock: &Arc<dyn Clock>) -> Result<Self, GitRemoteError> {
        let mut branches = BTreeMap::new();
        for remote in remotes {
            let name = remote.name.clone();
            let wrong = |problem| GitRemoteError { remote: name.clone(), problem };
            if let Some(problem) = remote.problems().first() {
                return Err(wrong(*problem));
            }
            let address = remote.address().map_err(wrong)?;
            let branch = Branch::new(Mirror::new(remote, address, mirrors), Arc::clone(clock));
            if branches.insert(name.clone(), Mutex::new(branch)).is_some() {
                return Err(wrong(RemoteProblem::Twice));
            }
        }
        Ok(Self { branches, program: OnceCell::new() })
    }

    /// An older `git` program would pass over settings that keep what is foreign out, without a word.
    async fn has_program(&self, remote: &str) -> Result<(), GitError> {
        let broken = |error: GitProgramError| GitError::Broken { remote: remote.to_owned(), detail: error.to_string() };
        self.program.get_or_try_init(git_version).await.map(|_| ()).map_err(broken)
    }

    fn branch(&self, remote: &str) -> Result<&Mutex<Branch>, GitError> {
        self.branches.get(remote).ok_or_else(|| GitError::Unknown { remote: remote.to_owned() })
    }
}

#[async_trait]
impl Git for GitRemotes {
    async fn write_back(&self, remote: &str, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError> {
        self.has_program(remote).await?;
        let branch = self.branch(remote)?.lock().await;
        branch.write_back(edits).await.map_err(|trouble| trouble.into_error(remote))
    }

    async fn check(&self, remote: &str) -> Result<(), GitError> {
        self.has_program(remote).await?;
        let branch = self.branch(remote)?.lock().await;
        branch.mirror().ask().await.map_err(|trouble| trouble.into_error(remote))
    }
}

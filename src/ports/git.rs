//! Recording images in Git.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::core::directives::GitPlace;
use crate::core::update::{CommitRecord, UpdateId};
use crate::core::workload::WorkloadId;

/// One update's images, to be written where Git declares its workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GitEdit {
    /// The update; its name is the commit's trailer.
    pub update: UpdateId,
    /// The workload.
    pub workload: WorkloadId,
    /// When the update was admitted: a commit of it cannot be older, so the search for one need not look further back.
    pub since: Timestamp,
    /// Where to look.
    pub place: GitPlace,
    /// The images.
    pub images: Vec<GitImage>,
    /// Who approved, for the message.
    pub approved_by: Vec<Box<str>>,
    /// Addresses at which people see what changed, for the message.
    pub comparisons: Vec<Box<str>>,
    /// Whether an earlier commit is only looked for and none is made: a person has taken the image back meanwhile.
    pub looks_only: bool,
}

/// One container's image to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GitImage {
    /// The container.
    pub container: Box<str>,
    /// Whether it is an init container.
    pub init: bool,
    /// The image text that was replaced in the cluster.
    pub from: Box<str>,
    /// The image text that runs.
    pub to: Box<str>,
}

/// What came of one edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GitOutcome {
    /// The remote's branch shows it by this push.
    Recorded(CommitRecord),
    /// It showed it already: by an earlier push of the same update, or because somebody wrote the same image.
    Stands(CommitRecord),
    /// The file holds neither the replaced nor the new image, nor the one that skeg committed last: a person wins.
    Moved {
        /// The file.
        path: String,
        /// What it holds.
        found: String,
    },
    /// An earlier commit of this update was taken back by a person.
    TakenBack {
        /// The commit that recorded it.
        commit: String,
    },
    /// The branch does not show it, and it was only looked for.
    NotMade,
    /// Nothing in the place declares the workload with this container.
    NotDeclared,
    /// Nothing that can be read declares it, and in the place there are files that cannot.
    Unreadable {
        /// The files with what is wrong in them, those first whose name speaks for the workload.
        files: Vec<String>,
    },
    /// More than one file declares it.
    DeclaredTwice {
        /// The files.
        paths: Vec<String>,
    },
    /// The declaring file cannot be edited.
    Uneditable {
        /// The file.
        path: String,
        /// Why: an alias, a template, a duplicate key, …
        why: String,
    },
}

/// Git remotes, by the names of the configuration.
#[async_trait]
pub trait Git: Send + Sync {
    /// Writes all edits of one remote: one commit on the branch's tip, one push that expects that tip; when the push is refused because
    /// the tip has moved, the edits are derived again on the new tip, a bounded number of times. One outcome for each edit, in order.
    async fn write_back(&self, remote: &str, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError>;

    /// Asks the remote whether it is there, lets us in and has the branch. Changes nothing.
    async fn check(&self, remote: &str) -> Result<(), GitError>;
}

/// Why a remote could not be read or written. Every message names the remote, is cut and sanitised, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The configuration has no remote of this name.
    #[error("no [[git]] remote is called {remote}")]
    Unknown {
        /// The name asked for.
        remote: String,
    },
    /// No connection, or no answer in time.
    #[error("{remote}: {detail}")]
    Unreachable {
        /// Its name.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// The credential is missing, wrong or not enough.
    #[error("{remote}: not authorised: {detail}")]
    Unauthorized {
        /// Its name.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// The server does not prove that it is the one that is meant.
    #[error("{remote}: the server is not trusted: {detail}")]
    Untrusted {
        /// Its name.
        remote: String,
        /// What ssh said, and what to do.
        detail: String,
    },
    /// The server refuses the push: a hook, a protected branch.
    #[error("{remote}: push refused: {detail}")]
    Refused {
        /// Its name.
        remote: String,
        /// What the server said.
        detail: String,
    },
    /// Others pushed each time in between.
    #[error("{remote}: others pushed in between, {tries} times in a row")]
    Contended {
        /// Its name.
        remote: String,
        /// Tries made.
        tries: u32,
    },
    /// The folder of the mirrors cannot be written: full, or read-only. It passes when there is space again.
    #[error("{remote}: the mirror cannot be stored: {detail}")]
    Storage {
        /// Its name.
        remote: String,
        /// What the system said.
        detail: String,
    },
    /// The branch, the repository or the mirror of it is not usable.
    #[error("{remote}: {detail}")]
    Broken {
        /// Its name.
        remote: String,
        /// What is wrong.
        detail: String,
    },
}

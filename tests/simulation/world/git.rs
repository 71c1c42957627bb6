//! Git remotes: a branch each, pushes that expect a tip, and skeg's commits found again by their trailers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use skeg::core::commit_message::{Committed, CommittedImage, commit_message, image_left, trailers};
use skeg::core::manifest::{Comparison, compare};
use skeg::core::update::CommitRecord;
use skeg::core::workload::WorkloadId;
use skeg::ports::git::{Git, GitEdit, GitError, GitImage, GitOutcome};

use super::World;
use super::network::{Does, Link, NoAnswer, Sent};
use super::weather::Far;
use crate::history::{By, Fact, Moved};

/// Pushes in a row that others may get ahead of, as the real adapter has it.
const PUSHES_MAX: u32 = 5;

/// Where an image is declared.
pub type Place = (WorkloadId, Box<str>);
/// Every image that the files of a branch declare.
pub type Files = BTreeMap<Place, Box<str>>;

/// The remotes by name.
#[derive(Default)]
pub struct Remotes {
    /// The commits of each branch, the tip last.
    pub branches: BTreeMap<Box<str>, Vec<Arc<Commit>>>,
    /// Remotes whose hook refuses every push of skeg's.
    pub closed: Vec<Box<str>>,
}

/// One commit.
#[derive(Debug)]
pub struct Commit {
    /// Its number on the branch, as good as a hash.
    pub number: usize,
    /// Its message.
    pub message: String,
    /// What the files declare after it.
    pub files: Files,
}

impl Remotes {
    /// The files at the tip of a branch.
    pub fn files(&self, remote: &str) -> Option<&Files> {
        self.branches.get(remote)?.last().map(|tip| &tip.files)
    }
}

impl World {
    /// Somebody pushes onto the tip.
    pub fn push_commit(&mut self, remote: &str, message: String, files: Files, by: By) {
        let branch = self.git.branches.entry(remote.into()).or_default();
        let (number, before) = (branch.len() + 1, branch.last().map(|tip| tip.files.clone()).unwrap_or_default());
        let image = |files: &Files, place: &Place| files.get(place).cloned().unwrap_or_default();
        let places = before.keys().chain(files.keys().filter(|place| !before.contains_key(*place)));
        let moved = places.filter(|place| image(&before, place) != image(&files, place)).map(|place| {
            (place.0.clone(), Moved { container: place.1.clone(), before: image(&before, place), after: image(&files, place) })
        });
        let moved = moved.collect();
        let updates = trailers(&message).map(Into::into).collect();
        branch.push(Arc::new(Commit { number, message, files }));
        self.tell(Fact::Committed { remote: remote.into(), number, by, updates, moved });
    }

    /// A push of skeg's: the branch moves from the expected tip, or not at all.
    fn push(&mut self, remote: &str, (tip, message, files): (usize, String, Files), sent: Sent) -> Result<bool, GitError> {
        let refused = |why| Fact::PushRefused { remote: remote.into(), process: sent.process, why };
        if self.git.closed.iter().any(|closed| **closed == *remote) {
            self.tell(refused("a hook declines"));
            return Err(GitError::Refused { remote: remote.to_owned(), detail: "pre-receive hook declined".to_owned() });
        }
        if self.git.branches.get(remote).map_or(0, Vec::len) != tip {
            self.tell(refused("the branch has moved"));
            return Ok(false);
        }
        self.push_commit(remote, message, files, sent.by());
        Ok(true)
    }
}

/// What an edit comes to on a branch.
enum Finding {
    Settled(GitOutcome),
    Stands(String),
    Due { path: String, changes: Vec<(Place, Moved)> },
}

/// The branch as it was fetched, with the edits of this batch made so far.
struct Draft<'a> {
    remote: &'a str,
    branch: &'a [Arc<Commit>],
    files: Files,
}

impl Draft<'_> {
    fn finding(&mut self, edit: &GitEdit) -> Finding {
        let (mut changes, mut path) = (Vec::new(), None);
        for image in &edit.images {
            let place: Place = (edit.workload.clone(), image.container.clone());
            let Some(found) = self.files.get(&place) else { return Finding::Settled(GitOutcome::NotDeclared) };
            let file = format!("{}.yaml", place.0.name);
            match self.compare(&place, found, image) {
                Comparison::Replaced(to) => {
                    let after = to.to_string().into();
                    changes.push((place, Moved { container: image.container.clone(), before: found.clone(), after }));
                }
                Comparison::AlreadySo => {}
                Comparison::Other | Comparison::NoImage => {
                    return Finding::Settled(GitOutcome::Moved { path: file, found: found.to_string() });
                }
            }
            path.get_or_insert(file);
        }
        match (path, self.commit_of(edit)) {
            (None, _) => Finding::Settled(GitOutcome::NotDeclared),
            (Some(path), _) if changes.is_empty() => Finding::Stands(path),
            (Some(_), Some(commit)) => Finding::Settled(GitOutcome::TakenBack { commit: commit.to_string() }),
            (Some(_), None) if edit.looks_only => Finding::Settled(GitOutcome::NotMade),
            (Some(path), None) => {
                self.files.extend(changes.iter().map(|(place, moved)| (place.clone(), moved.after.clone())));
                Finding::Due { path, changes }
            }
        }
    }

    /// The replaced image is the cluster's; what skeg committed last is skeg's to replace, too.
    fn compare(&self, place: &Place, found: &str, image: &GitImage) -> Comparison {
        let own = || self.branch.iter().rev().find_map(|commit| image_left(&commit.message, &place.0, &place.1));
        match (compare(found, &image.from, &image.to), own()) {
            (Comparison::Other, Some(own)) => compare(found, own, &image.to),
            (comparison, _) => comparison,
        }
    }

    fn commit_of(&self, edit: &GitEdit) -> Option<usize> {
        let update = edit.update.to_string();
        self.branch.iter().rev().find(|commit| trailers(&commit.message).any(|name| *name == *update)).map(|commit| commit.number)
    }

    fn outcome(&self, edit: &GitEdit, finding: Finding, made: usize) -> GitOutcome {
        let record = |number: usize, path: String| {
            GitOutcome::Recorded(CommitRecord { remote: self.remote.into(), id: format!("{number:040x}").into(), path: path.into() })
        };
        match finding {
            Finding::Settled(outcome) => outcome,
            Finding::Due { path, .. } => record(made, path),
            Finding::Stands(path) => record(self.commit_of(edit).unwrap_or(made), path),
        }
    }
}

fn message(edits: &[GitEdit], findings: &[Finding]) -> Option<String> {
    fn image((_, moved): &(Place, Moved)) -> CommittedImage<'_> {
        CommittedImage { container: &moved.container, from: &moved.before, to: &moved.after }
    }
    let due: Vec<(&GitEdit, Vec<CommittedImage<'_>>)> = edits
        .iter()
        .zip(findings)
        .filter_map(|(edit, finding)| match finding {
            Finding::Due { changes, .. } => Some((edit, changes.iter().map(image).collect())),
            Finding::Settled(_) | Finding::Stands(_) => None,
        })
        .collect();
    let committed: Vec<Committed<'_>> = due
        .iter()
        .map(|(edit, images)| Committed {
            update: &edit.update,
            workload: &edit.workload,
            images,
            approved_by: &edit.approved_by,
            comparisons: &edit.comparisons,
        })
        .collect();
    (!committed.is_empty()).then(|| commit_message(&committed))
}

#[async_trait]
impl Git for Link {
    async fn check(&self, _: &str) -> Result<(), GitError> {
        Ok(())
    }

    async fn write_back(&self, remote: &str, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError> {
        let silent = |error: NoAnswer| match error {
            NoAnswer::Silent => GitError::Unreachable { remote: remote.to_owned(), detail: "no answer".to_owned() },
            NoAnswer::Busy(_) => GitError::Unreachable { remote: remote.to_owned(), detail: "503".to_owned() },
        };
        for _ in 0..PUSHES_MAX {
            let wanted: Box<str> = remote.into();
            let fetch = self.ask(Far::Git, (Does::Read, "a fetch"), move |world, _| world.git.branches.get(&wanted).cloned());
            let branch = fetch.await.map_err(silent)?.ok_or_else(|| GitError::Unknown { remote: remote.to_owned() })?;
            let files = branch.last().map(|tip| tip.files.clone()).unwrap_or_default();
            let mut draft = Draft { remote, branch: &branch, files };
            let findings: Vec<Finding> = edits.iter().map(|edit| draft.finding(edit)).collect();
            let made = message(edits, &findings);
            let number = branch.len() + usize::from(made.is_some());
            let is_pushed = match made {
                None => true,
                Some(message) => {
                    let (wanted, push): (Box<str>, _) = (remote.into(), (branch.len(), message, draft.files.clone()));
                    let what = format!("the push to {remote}");
                    let pushed = self.ask(Far::Git, (Does::Write, &what), move |world, sent| world.push(&wanted, push, sent));
                    pushed.await.map_err(silent)??
                }
            };
            if is_pushed {
                return Ok(edits.iter().zip(findings).map(|(edit, finding)| draft.outcome(edit, finding, number)).collect());
            }
            super::network::sleep(&self.world, Duration::from_millis(200)).await;
        }
        Err(GitError::Contended { remote: remote.to_owned(), tries: PUSHES_MAX })
    }
}

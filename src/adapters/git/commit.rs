//! From edits to one commit: what each edit finds in the tip, which of them an earlier commit carried out already, and the
//! commit that carries out the rest. Blobs, trees and commit are written in process; nothing here talks to the remote.

use std::collections::{BTreeMap, HashMap, HashSet};

use gix::ObjectId;
use jiff::Timestamp;

use super::earlier::{Container, Earlier, Sought};
use super::locate::{Declarations, Manifests, Site, read_blob};
use super::settings::GitRemote;
use super::trouble::Trouble;
use crate::core::commit_message::{Committed, CommittedImage, commit_message};
use crate::core::image::ImageRef;
use crate::core::manifest::{self, Comparison, Declared, ImageEditor, ManifestError, Resolved, Target, Uneditable, compare, set_images};
use crate::core::one_line::one_line;
use crate::core::update::CommitRecord;
use crate::ports::git::{GitEdit, GitImage, GitOutcome};

/// The longest image or reason of a file that is shown.
const SHOWN_LENGTH_MAX: usize = 300;

/// What the edits come to on one tip.
pub(super) enum Derived {
    /// A commit of one of the updates may lie further back than the mirror reaches.
    NeedsHistory,
    /// One outcome for each edit, in order; true once the commit is pushed. No commit: true already.
    Written {
        /// The outcomes.
        outcomes: Vec<GitOutcome>,
        /// The commit on top of the tip.
        commit: Option<ObjectId>,
    },
}

/// The circumstances of a derivation.
pub(super) struct Occasion<'a> {
    /// The mirror's objects.
    pub repository: &'a gix::Repository,
    /// The remote.
    pub remote: &'a GitRemote,
    /// The branch's tip.
    pub tip: ObjectId,
    /// The time for the commit.
    pub now: Timestamp,
    /// Whether the mirror can reach further back.
    pub can_deepen: bool,
}

/// Derives the edits on the tip: the same edits on the same tip come to the same outcomes, and a commit is pushed by nobody here.
pub(super) fn derive(occasion: &Occasion<'_>, known: &mut Declarations, edits: &[GitEdit]) -> Result<Derived, Trouble> {
    let Occasion { repository, remote, tip, .. } = *occasion;
    let root =
        repository.find_commit(tip).and_then(|commit| Ok(commit.tree_id()?.detach())).map_err(|error| Trouble::of_objects(&error))?;
    let manifests = known.read(repository, &remote.name, root, remote.path.as_deref())?;
    let mut draft = Draft { repository, remote, manifests: &manifests, files: BTreeMap::new(), foreign: HashSet::new() };

    let (nothing_earlier, nothing_excluded) = (Earlier::default(), HashMap::new());
    let first = draft.findings(edits, &nothing_earlier, &nothing_excluded)?;
    let is_open = |finding: &Finding| !matches!(finding, Finding::Settled(outcome) if !may_be_earlier(outcome));
    let updates = edits.iter().zip(&first).filter(|(_, finding)| is_open(finding)).map(|(edit, _)| edit.update.to_string()).collect();
    let sought = Sought { updates, containers: std::mem::take(&mut draft.foreign) };
    let earlier = Earlier::search(repository, tip, &sought)?;
    let misses = |(edit, finding): (&GitEdit, &Finding)| {
        // What stands there already may be a commit of the update too, and that one is to be told and not whatever is on top of it.
        let may_be_made = match finding {
            Finding::Due { .. } | Finding::Stands { by_this_batch: false, .. } => true,
            Finding::Stands { by_this_batch: true, .. } => false,
            Finding::Settled(outcome) => may_be_earlier(outcome),
        };
        may_be_made && earlier.commit_of(&edit.update.to_string()).is_none() && earlier.may_miss(edit.since)
    };
    let misses_own_image = || earlier.is_cut_off() && sought.containers.iter().any(|container| earlier.left(container).is_none());
    if occasion.can_deepen && (edits.iter().zip(&first).any(misses) || misses_own_image()) {
        return Ok(Derived::NeedsHistory);
    }

    let (findings, texts) = draft.settle(edits, &earlier)?;
    let commit = if texts.is_empty() { None } else { Some(write_commit(occasion, root, &texts, &manifests, edits, &findings)?) };
    let outcome = |(edit, finding): (&GitEdit, Finding)| finding.outcome(remote, edit, &earlier, tip, commit);
    Ok(Derived::Written { outcomes: edits.iter().zip(findings).map(outcome).collect(), commit })
}

/// Whether an earlier commit of the update would make another outcome of this one.
fn may_be_earlier(outcome: &GitOutcome) -> bool {
    matches!(outcome, GitOutcome::Moved { .. } | GitOutcome::NotMade)
}

// === What the edits find ===

/// What was found out about one edit.
enum Finding {
    /// Nothing is to be written.
    Settled(GitOutcome),
    /// The branch shows every image already, or will by an edit of the same batch.
    Stands { path: String, by_this_batch: bool },
    /// These images are to be written; never empty.
    Due { path: String, changes: Vec<DueChange> },
}

struct DueChange {
    site: Site,
    container: Box<str>,
    from: Box<str>,
    to: ImageRef,
}

/// The files that edits look into.
struct Draft<'a> {
    repository: &'a gix::Repository,
    remote: &'a GitRemote,
    manifests: &'a Manifests,
    files: BTreeMap<usize, OpenFile>,
    /// Where an image was found that is neither the replaced nor the new one, and not known to be skeg's.
    foreign: HashSet<Container>,
}

/// An image as an edit finds it.
struct Found {
    text: Box<str>,
    /// Whether an edit before it in the batch set it.
    by_this_batch: bool,
    /// Why it must not be changed.
    obstacle: Option<Uneditable>,
}

/// A file with the images that are to be set in it so far.
struct OpenFile {
    path: String,
    editor: &'static dyn ImageEditor,
    text: String,
    declared: Vec<Declared>,
    changes: BTreeMap<usize, ImageRef>,
}

impl Draft<'_> {
    /// The findings, and the new texts of the files, by their number. A file that cannot be changed exactly settles the edits
    /// that need it; the others go on without them.
    fn settle(&mut self, edits: &[GitEdit], earlier: &Earlier) -> Result<(Vec<Finding>, BTreeMap<usize, String>), Trouble> {
        let mut excluded = HashMap::new();
        // Each round but the last excludes at least one edit.
        for _ in 0..=edits.len() {
            let findings = self.findings(edits, earlier, &excluded)?;
            match self.texts() {
                Ok(texts) => return Ok((findings, texts)),
                Err((file, error)) => excluded.extend(self.excluded_by(file, &error, &findings)),
            }
        }
        Err(Trouble::Broken("the files cannot be changed".to_owned()))
    }

    fn excluded_by(&self, file: usize, error: &ManifestError, findings: &[Finding]) -> Vec<(usize, GitOutcome)> {
        let needs =
            |finding: &Finding| matches!(finding, Finding::Due { changes, .. } if changes.iter().any(|change| change.site.file == file));
        let path = self.files.get(&file).map(|open| open.path.clone()).unwrap_or_default();
        let outcome = GitOutcome::Uneditable { path, why: error.to_string() };
        findings.iter().enumerate().filter(|(_, finding)| needs(finding)).map(|(edit, _)| (edit, outcome.clone())).collect()
    }

    fn findings(&mut self, edits: &[GitEdit], earlier: &Earlier, excluded: &HashMap<usize, GitOutcome>) -> Result<Vec<Finding>, Trouble> {
        self.files.values_mut().for_each(|file| file.changes.clear());
        let mut findings = Vec::with_capacity(edits.len());
        for (number, edit) in edits.iter().enumerate() {
            let finding = match excluded.get(&number) {
                Some(outcome) => Finding::Settled(outcome.clone()),
                None => self.finding(edit, earlier)?,
            };
            if let Finding::Due { changes, .. } = &finding {
                for change in changes {
                    if let Some(file) = self.files.get_mut(&change.site.file) {
                        file.changes.insert(change.site.place, change.to.clone());
                    }
                }
            }
            findings.push(finding);
        }
        Ok(findings)
    }

    fn finding(&mut self, edit: &GitEdit, earlier: &Earlier) -> Result<Finding, Trouble> {
        // To a namespace that the remote is not granted to, it is as if it were not there.
        if !self.remote.is_granted(&edit.workload.namespace) {
            return Ok(Finding::Settled(GitOutcome::NotDeclared));
        }
        let (mut changes, mut first_path, mut by_this_batch, mut moved) = (Vec::new(), None, false, None);
        for image in &edit.images {
            let site = match self.manifests.find(&edit.place, &target(edit, image)) {
                Resolved::One(site) => site,
                Resolved::None => return Ok(Finding::Settled(self.undeclared(edit))),
                Resolved::Several(sites) => return Ok(Finding::Settled(GitOutcome::DeclaredTwice { paths: self.manifests.paths(&sites) })),
            };
            let path = self.manifests.path(site);
            let found = match self.open(site)?.and_then(|file| file.image(site.place)) {
                Ok(found) => found,
                Err(why) => return Ok(Finding::Settled(GitOutcome::Uneditable { path, why })),
            };
            let container = (edit.workload.clone(), image.container.clone());
            match (compare_with_own(&found.text, image, earlier.left(&container)), found.obstacle) {
                (Comparison::Replaced(to), None) => {
                    changes.push(DueChange { site, container: image.container.clone(), from: found.text, to });
                }
                (Comparison::Replaced(_), Some(why)) => return Ok(Finding::Settled(GitOutcome::Uneditable { path, why: why.to_string() })),
                (Comparison::AlreadySo, _) => by_this_batch |= found.by_this_batch,
                (Comparison::Other, _) => {
                    let found = one_line(&found.text, SHOWN_LENGTH_MAX);
                    self.foreign.insert(container);
                    moved.get_or_insert(GitOutcome::Moved { path: path.clone(), found });
                }
                (Comparison::NoImage, _) => {
                    let why = format!("{} is no image", one_line(&image.to, SHOWN_LENGTH_MAX));
                    return Ok(Finding::Settled(GitOutcome::Uneditable { path, why }));
                }
            }
            first_path.get_or_insert(path);
        }
        if let Some(moved) = moved {
            return Ok(Finding::Settled(moved));
        }
        Ok(match (first_path, earlier.commit_of(&edit.update.to_string())) {
            (None, _) => Finding::Settled(GitOutcome::NotDeclared),
            (Some(path), _) if changes.is_empty() => Finding::Stands { path, by_this_batch },
            // It was written once, and the replaced image is back: that was a person.
            (Some(_), Some(commit)) => Finding::Settled(GitOutcome::TakenBack { commit: commit.to_string() }),
            (Some(_), None) if edit.looks_only => Finding::Settled(GitOutcome::NotMade),
            (Some(path), None) => Finding::Due { path, changes },
        })
    }

    /// What becomes of an edit that no readable file declares. A file that cannot be read may be the one.
    fn undeclared(&self, edit: &GitEdit) -> GitOutcome {
        let files = self.manifests.unreadable(&edit.place, &edit.workload.name);
        if files.is_empty() { GitOutcome::NotDeclared } else { GitOutcome::Unreadable { files } }
    }

    /// The file of `site`, read and parsed the first time; or why it cannot be.
    fn open(&mut self, site: Site) -> Result<Result<&OpenFile, String>, Trouble> {
        if !self.files.contains_key(&site.file) {
            let Some(manifest) = self.manifests.file(site.file) else {
                return Ok(Err("it is gone".to_owned()));
            };
            let path = self.manifests.path(site);
            let opened = read_blob(self.repository, manifest.blob)?.and_then(|bytes| OpenFile::parse(path, manifest.editor, &bytes));
            match opened {
                Ok(file) => drop(self.files.insert(site.file, file)),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        Ok(self.files.get(&site.file).ok_or_else(|| "it is gone".to_owned()))
    }

    /// The new texts of the files that change, by their number, or the file whose text cannot be made.
    fn texts(&self) -> Result<BTreeMap<usize, String>, (usize, ManifestError)> {
        let changed = self.files.iter().filter(|(_, file)| !file.changes.is_empty());
        changed.map(|(number, file)| Ok((*number, file.edited().map_err(|error| (*number, error))?))).collect()
    }
}

impl OpenFile {
    fn parse(path: String, editor: &'static dyn ImageEditor, bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = manifest::text(bytes)?.to_owned();
        let declared = editor.declarations(&text)?;
        Ok(Self { path, editor, text, declared, changes: BTreeMap::new() })
    }

    /// The image of a place as an edit finds it, or why it cannot be known.
    fn image(&self, place: usize) -> Result<Found, String> {
        if let Some(image) = self.changes.get(&place) {
            return Ok(Found { text: image.to_string().into(), by_this_batch: true, obstacle: None });
        }
        let image = &self.declared.get(place).ok_or("it is gone")?.image;
        match (image.text(), image.obstacle()) {
            (Some(text), obstacle) => Ok(Found { text: text.into(), by_this_batch: false, obstacle }),
            (None, Some(why)) => Err(why.to_string()),
            (None, None) => Err("it is gone".to_owned()),
        }
    }

    fn edited(&self) -> Result<String, ManifestError> {
        let changes: Vec<(usize, ImageRef)> = self.changes.iter().map(|(place, image)| (*place, image.clone())).collect();
        set_images(self.editor, &self.text, &self.declared, &changes)
    }
}

impl Finding {
    fn outcome(self, remote: &GitRemote, edit: &GitEdit, earlier: &Earlier, tip: ObjectId, commit: Option<ObjectId>) -> GitOutcome {
        let record =
            |id: ObjectId, path: String| CommitRecord { remote: remote.name.clone(), id: id.to_string().into(), path: path.into() };
        match (self, commit) {
            (Self::Settled(outcome), _) => outcome,
            (Self::Due { path, .. } | Self::Stands { path, by_this_batch: true }, Some(commit)) => {
                GitOutcome::Recorded(record(commit, path))
            }
            (Self::Due { path, .. } | Self::Stands { path, .. }, _) => {
                GitOutcome::Stands(record(earlier.commit_of(&edit.update.to_string()).unwrap_or(tip), path))
            }
        }
    }
}

/// What the text in a file is to the image. The replaced image is the one in the cluster; where a person has gone back there and left the
/// file alone, the file still holds what skeg committed last, `own`, and that is skeg's to replace.
fn compare_with_own(found: &str, image: &GitImage, own: Option<&str>) -> Comparison {
    match (compare(found, &image.from, &image.to), own) {
        (Comparison::Other, Some(own)) => compare(found, own, &image.to),
        (comparison, _) => comparison,
    }
}

fn target<'a>(edit: &'a GitEdit, image: &'a GitImage) -> Target<'a> {
    Target {
        api_version: edit.workload.kind.api_version(),
        kind: edit.workload.kind.as_str(),
        namespace: &edit.workload.namespace,
        name: &edit.workload.name,
        container: &image.container,
        init: image.init,
    }
}

// === Writing ===

/// Writes the blobs, the trees on their paths and the commit into the mirror's object database. No reference moves.
fn write_commit(
    occasion: &Occasion<'_>,
    root: ObjectId,
    texts: &BTreeMap<usize, String>,
    manifests: &Manifests,
    edits: &[GitEdit],
    findings: &[Finding],
) -> Result<ObjectId, Trouble> {
    let written = || -> gix::Result<ObjectId> {
        let mut tree = occasion.repository.edit_tree(root)?;
        for (number, text) in texts {
            if let Some(manifest) = manifests.file(*number) {
                let blob = occasion.repository.write_blob(text.as_bytes())?;
                tree.upsert(&manifest.path, manifest.kind, blob)?;
            }
        }
        let tree = tree.write()?.detach();
        let time = gix::date::Time::new(occasion.now.as_second(), 0).to_string();
        let author = &occasion.remote.author;
        let signature = gix::actor::SignatureRef { name: (&*author.name).into(), email: (&*author.email).into(), time: &time };
        let commit = occasion.repository.new_commit_as(signature, signature, message(edits, findings), tree, [occasion.tip])?;
        Ok(commit.id)
    };
    written().map_err(|error| Trouble::of_objects(&error))
}

fn message(edits: &[GitEdit], findings: &[Finding]) -> String {
    let due: Vec<(&GitEdit, Vec<(&DueChange, String)>)> = edits
        .iter()
        .zip(findings)
        .filter_map(|(edit, finding)| match finding {
            Finding::Due { changes, .. } => Some((edit, changes.iter().map(|change| (change, change.to.to_string())).collect())),
            Finding::Settled(_) | Finding::Stands { .. } => None,
        })
        .collect();
    let images: Vec<Vec<CommittedImage<'_>>> = due
        .iter()
        .map(|(_, changes)| {
            changes.iter().map(|(change, to)| CommittedImage { container: &change.container, from: &change.from, to }).collect()
        })
        .collect();
    let committed: Vec<Committed<'_>> = due
        .iter()
        .zip(&images)
        .map(|((edit, _), images)| Committed {
            update: &edit.update,
            workload: &edit.workload,
            images,
            approved_by: &edit.approved_by,
            comparisons: &edit.comparisons,
        })
        .collect();
    commit_message(&committed)
}

//! Where the files of a tree declare images: every manifest of the branch by what it declares.
//!
//! Only blobs that were not seen before are parsed; what a blob declares is kept by its id. Symbolic links and submodules are
//! passed over: what they name is not in this tree, and nothing outside it is ever read.

use std::collections::HashMap;
use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::objs::tree::{EntryKind, EntryMode};

use super::trouble::Trouble;
use crate::core::directives::GitPlace;
use crate::core::manifest::{self, FILE_BYTES_MAX, ImageEditor, ManifestError, Place, Resolved, Target, editor_for, resolve};
use crate::core::one_line::one_line;

/// Folders inside each other. Linux stops at paths of 4096 bytes; nobody keeps manifests sixty-four folders down.
const FOLDER_DEPTH_MAX: usize = 64;
/// Manifests of one branch. Twenty thousand are known from large fleets; each costs a tree entry and 100 bytes of memory here.
const FILES_MAX: usize = 100_000;
/// Files that a message names.
const NAMED_MAX: usize = 5;
/// The longest problem of a file that is kept and shown.
const PROBLEM_LENGTH_MAX: usize = 300;

/// What blobs declare, by the format they are read as and their id.
#[derive(Default)]
pub(super) struct Declarations {
    known: Known,
}

type Known = HashMap<(&'static str, ObjectId), Content>;

/// What a blob declares, or in one line why it cannot be read.
type Content = Result<Arc<[Place]>, Arc<str>>;

/// A file that declares something.
pub(super) struct Manifest {
    /// Its path in the tree.
    pub path: BString,
    /// Its kind of entry: executable or not.
    pub kind: EntryKind,
    /// The editor of its format.
    pub editor: &'static dyn ImageEditor,
    /// Its content.
    pub blob: ObjectId,
    /// What it declares, in its order.
    pub places: Arc<[Place]>,
}

/// The manifests of one tree.
pub(super) struct Manifests {
    files: Vec<Manifest>,
    /// The paths of those that cannot be read, and why.
    unreadable: Vec<(BString, Arc<str>)>,
    /// By object name: the file, and which of its places.
    by_name: HashMap<Box<str>, Vec<(usize, usize)>>,
}

/// A declaration: a file, by its number, and which of its places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Site {
    /// The file.
    pub file: usize,
    /// The place.
    pub place: usize,
}

impl Declarations {
    /// The manifests of the tree `root`, below `within` when that is given. Blobs that are no longer in it are forgotten.
    pub fn read(&mut self, repository: &gix::Repository, remote: &str, root: ObjectId, within: Option<&str>) -> Result<Manifests, Trouble> {
        let mut walk = Walk {
            repository,
            remote,
            within,
            before: &self.known,
            now: HashMap::new(),
            files: Vec::new(),
            unreadable: Vec::new(),
            seen: 0,
        };
        walk.folder(root, &BString::default(), FOLDER_DEPTH_MAX)?;
        let Walk { files, unreadable, now, .. } = walk;
        self.known = now;
        let mut by_name: HashMap<Box<str>, Vec<(usize, usize)>> = HashMap::new();
        for (file, manifest) in files.iter().enumerate() {
            for (at, place) in manifest.places.iter().enumerate() {
                by_name.entry(place.name.clone()).or_default().push((file, at));
            }
        }
        Ok(Manifests { files, unreadable, by_name })
    }
}

impl Manifests {
    /// The file of a site.
    pub fn file(&self, number: usize) -> Option<&Manifest> {
        self.files.get(number)
    }

    /// The declaration of `target` in `place`.
    pub fn find(&self, place: &GitPlace, target: &Target<'_>) -> Resolved<Site> {
        let named = self.by_name.get(target.name).map(Vec::as_slice).unwrap_or_default();
        let candidates = named.iter().filter_map(|(file, at)| {
            let manifest = self.files.get(*file)?;
            is_in(manifest.path.as_bstr(), place).then_some((manifest.places.get(*at)?, Site { file: *file, place: *at }))
        });
        resolve(candidates, target)
    }

    /// The files in `place` that cannot be read, each with its problem, as many as a message can hold. First come those whose path holds
    /// the name that is looked for: others may well be templates of another tool.
    pub fn unreadable(&self, place: &GitPlace, name: &str) -> Vec<String> {
        let mut inside: Vec<_> = self.unreadable.iter().filter(|(path, _)| is_in(path.as_bstr(), place)).collect();
        inside.sort_by_key(|(path, _)| !path.contains_str(name));
        inside.into_iter().take(NAMED_MAX).map(|(path, problem)| format!("{}: {problem}", shown(path.as_bstr()))).collect()
    }

    /// The path of a site's file, as people are shown it.
    pub fn path(&self, site: Site) -> String {
        self.files.get(site.file).map(|manifest| shown(manifest.path.as_bstr())).unwrap_or_default()
    }

    /// The paths of `sites`, each once, as many as a message can hold.
    pub fn paths(&self, sites: &[Site]) -> Vec<String> {
        let mut paths: Vec<String> = sites.iter().map(|site| self.path(*site)).collect();
        paths.dedup();
        paths.truncate(NAMED_MAX);
        paths
    }
}

/// A path as people are shown it.
pub(super) fn shown(path: &BStr) -> String {
    one_line(&path.to_str_lossy(), 300)
}

/// Whether the file `path` is in `place`.
fn is_in(path: &BStr, place: &GitPlace) -> bool {
    place.path.as_deref().is_none_or(|within| is_within(path, within))
}

/// Whether `path` is the file `within`, or below the folder `within`.
fn is_within(path: &BStr, within: &str) -> bool {
    let within = within.trim_end_matches('/');
    path.strip_prefix(within.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether the folder `path` is on the way to `within`, or below it.
fn leads_to(path: &BStr, within: &str) -> bool {
    path.is_empty() || is_within(path, within) || within.as_bytes().strip_prefix(path.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

/// One walk through a tree.
struct Walk<'a> {
    repository: &'a gix::Repository,
    remote: &'a str,
    within: Option<&'a str>,
    before: &'a Known,
    now: Known,
    files: Vec<Manifest>,
    unreadable: Vec<(BString, Arc<str>)>,
    seen: usize,
}

impl Walk<'_> {
    fn folder(&mut self, tree: ObjectId, path: &BString, depth: usize) -> Result<(), Trouble> {
        if depth == 0 || self.within.is_some_and(|within| !leads_to(path.as_bstr(), within)) {
            return Ok(());
        }
        let tree = self.repository.find_tree(tree).map_err(|error| Trouble::of_objects(&error))?;
        let entries = tree.decode().map_err(|error| Trouble::of_objects(&error))?.entries;
        for entry in entries {
            let mut child = path.clone();
            if !child.is_empty() {
                child.push(b'/');
            }
            child.extend_from_slice(entry.filename);
            self.entry(entry.mode, entry.oid.to_owned(), child, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, mode: EntryMode, id: ObjectId, path: BString, depth: usize) -> Result<(), Trouble> {
        match mode.kind() {
            EntryKind::Tree => self.folder(id, &path, depth - 1),
            kind @ (EntryKind::Blob | EntryKind::BlobExecutable) => self.file(kind, id, path),
            EntryKind::Link | EntryKind::Commit => Ok(()),
        }
    }

    fn file(&mut self, kind: EntryKind, blob: ObjectId, path: BString) -> Result<(), Trouble> {
        let Some(editor) = path.to_str().ok().and_then(editor_for) else {
            return Ok(());
        };
        if self.within.is_some_and(|within| !is_within(path.as_bstr(), within)) {
            return Ok(());
        }
        self.seen += 1;
        if self.seen > FILES_MAX {
            return Err(Trouble::Broken(format!("the branch has more than {FILES_MAX} YAML files; narrow it with path")));
        }
        let key = (editor.name(), blob);
        let known = self.now.get(&key).or_else(|| self.before.get(&key)).cloned();
        let content = match known {
            Some(content) => content,
            None => self.parse(editor, blob, path.as_bstr())?,
        };
        self.now.insert(key, content.clone());
        match content {
            Ok(places) if places.is_empty() => {}
            Ok(places) => self.files.push(Manifest { path, kind, editor, blob, places }),
            Err(problem) => self.unreadable.push((path, problem)),
        }
        Ok(())
    }

    /// What the blob declares. That it cannot be read is told once for each content.
    fn parse(&self, editor: &dyn ImageEditor, blob: ObjectId, path: &BStr) -> Result<Content, Trouble> {
        let declared = read_blob(self.repository, blob)?.and_then(|bytes| editor.declarations(manifest::text(&bytes)?));
        Ok(match declared {
            Ok(declared) => Ok(declared.into_iter().map(|declared| declared.place).collect()),
            Err(error) => {
                let (file, problem) = (shown(path), one_line(&error.to_string(), PROBLEM_LENGTH_MAX));
                tracing::warn!(git.remote = self.remote, file, "a manifest in Git is passed over: {problem}");
                Err(problem.into())
            }
        })
    }
}

/// The bytes of a blob, unless it is larger than a manifest can be: then it is not even unpacked.
pub(super) fn read_blob(repository: &gix::Repository, blob: ObjectId) -> Result<Result<Vec<u8>, ManifestError>, Trouble> {
    let header = repository.find_header(blob).map_err(|error| Trouble::of_objects(&error))?;
    if header.size() > FILE_BYTES_MAX as u64 {
        return Ok(Err(ManifestError::TooLarge));
    }
    let mut blob = repository.find_blob(blob).map_err(|error| Trouble::of_objects(&error))?;
    Ok(Ok(blob.take_data()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, within: &str, inside: bool, on_the_way: bool) {
        assert_eq!((is_within(path.into(), within), leads_to(path.into(), within)), (inside, on_the_way), "{path} in {within}");
    }

    #[test]
    fn a_place_is_a_file_or_a_folder_and_never_a_part_of_a_name() {
        check("apps/web.yaml", "apps", true, true);
        check("apps/web.yaml", "apps/", true, true);
        check("apps/web.yaml", "apps/web.yaml", true, true);
        check("apps", "apps/web", false, true);
        check("apps-old/web.yaml", "apps", false, false);
        check("app", "apps", false, false);
        check("", "apps", false, true);
    }
}

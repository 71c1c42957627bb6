//! `skeg edit`: sets an image in a folder of manifests, as write-back would, and shows what changes.
//!
//! It works on files alone: no cluster, registry or Git is asked. Either every image that is meant can be set, or no file is
//! touched. Symbolic links are not followed, wherever they lead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use similar::TextDiff;

use crate::core::image::{Digest, ImageRef, Repository, Tag};
use crate::core::manifest::{
    self, Declared, FILE_BYTES_MAX, ImageEditor, ManifestError, Place, Resolved, Target, editor_for, resolve, set_images,
};
use crate::core::one_line::one_line;
use crate::core::workload::WorkloadKind;

/// Everything that was asked is so.
const DONE: u8 = 0;
/// Something that was asked is not so; standard error says why.
const NOT_DONE: u8 = 1;
/// The question itself is wrong.
const WRONG_USAGE: u8 = 2;
/// Folders inside each other that are looked into.
const FOLDER_DEPTH_MAX: usize = 64;
/// Files in a folder. Large fleets have twenty thousand manifests.
const FILES_MAX: usize = 100_000;

/// Set an image in the manifests of a folder; prints a unified diff.
#[derive(clap::Args, Debug)]
pub struct Edit {
    /// The folder with the manifests
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The repository whose images are set, `ghcr.io/acme/web`
    #[arg(long, value_name = "REPOSITORY", required_unless_present = "marker")]
    image: Option<Repository>,
    /// The tag to set
    #[arg(long, value_name = "TAG")]
    tag: Tag,
    /// The digest to pin beside the tag
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// Only in this workload, or in this container of it
    #[arg(long, value_name = "NS/KIND/NAME[:CONTAINER]", conflicts_with = "marker")]
    workload: Option<Only>,
    /// Only where a setter marker names this policy
    #[arg(long, value_name = "NS:POLICY")]
    marker: Option<String>,
    /// Change the files too
    #[arg(long)]
    write: bool,
}

/// The workload, or the container of it, that an edit is limited to.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Only {
    namespace: String,
    kind: String,
    name: String,
    container: Option<String>,
}

/// A file that declares images.
struct Manifest {
    file: PathBuf,
    /// The path below the folder, as people are shown it.
    shown: String,
    editor: &'static dyn ImageEditor,
    text: String,
    declared: Vec<Declared>,
}

/// What is to become of the images that are meant.
#[derive(Default)]
struct Plan {
    /// By manifest: which declarations get which image.
    changes: BTreeMap<usize, Vec<(usize, ImageRef)>>,
    /// Those that say it already.
    already_so: Vec<String>,
    /// Why some cannot be set.
    refused: Vec<String>,
}

impl Edit {
    /// Carries it out; returns the exit code, or why the answer cannot be shown. The files are written all the same.
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
        let Some(new) = self.new_image() else {
            writeln!(err, "error: --marker is not available yet: name the images with --image, and --workload to narrow them")?;
            return Ok(WRONG_USAGE);
        };
        let (manifests, problems) = match read_folder(&self.dir) {
            Ok(read) => read,
            Err(error) => {
                writeln!(err, "error: {}: {error}", self.dir.display())?;
                return Ok(WRONG_USAGE);
            }
        };
        for problem in &problems {
            writeln!(err, "passed over: {problem}")?;
        }
        let plan = self.plan(&new, &manifests);
        let edited = plan.edited(&manifests);
        for refused in plan.refused.iter().chain(edited.as_ref().err()) {
            writeln!(err, "error: {refused}")?;
        }
        let (Ok(edited), true) = (edited, plan.refused.is_empty()) else {
            return Ok(NOT_DONE);
        };
        if edited.is_empty() {
            return self.nothing_to_change(&new, &plan, manifests.len(), out, err);
        }
        let shown = edited.iter().try_for_each(|(manifest, text)| {
            let (before, after) = (format!("a/{}", manifest.shown), format!("b/{}", manifest.shown));
            write!(out, "{}", TextDiff::from_lines(&manifest.text, text).unified_diff().header(&before, &after))
        });
        let code = if self.write { write_all(&edited, err)? } else { DONE };
        if code == DONE { shown.and_then(|()| out.flush()).map(|()| DONE) } else { Ok(code) }
    }

    /// What is to be set; `None` when only a marker says where.
    fn new_image(&self) -> Option<ImageRef> {
        let repository = self.image.as_ref().filter(|_| self.marker.is_none())?;
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{repository}:{}{digest}", self.tag).parse().ok()
    }

    fn plan(&self, new: &ImageRef, manifests: &[Manifest]) -> Plan {
        let mut plan = Plan::default();
        for (number, at) in self.meant(manifests, &mut plan.refused) {
            let Some((manifest, declared)) = manifests.get(number).and_then(|manifest| Some((manifest, manifest.declared.get(at)?))) else {
                continue;
            };
            let place = format!("{}: {declared}", manifest.shown);
            let text = declared.image.text();
            let old = text.and_then(|text| text.parse::<ImageRef>().ok()).filter(|old| old.repository() == new.repository());
            match (old, declared.image.obstacle()) {
                (Some(old), _) if old.tag() == new.tag() && old.digest() == new.digest() => plan.already_so.push(format!("{place}: {old}")),
                (Some(old), None) => plan.changes.entry(number).or_default().push((at, old.respelled(new))),
                (Some(_), Some(why)) => plan.refused.push(format!("{place}: {why}")),
                // A template may become any image. Only who names its very place means it.
                (None, Some(why)) if text.is_none() && self.names_a_container() => plan.refused.push(format!("{place}: {why}")),
                (None, _) => {}
            }
        }
        plan
    }

    fn names_a_container(&self) -> bool {
        self.workload.as_ref().is_some_and(|only| only.container.is_some())
    }

    /// The declarations that are meant, as numbers of a manifest and of a declaration in it, whatever their image.
    fn meant(&self, manifests: &[Manifest], refused: &mut Vec<String>) -> Vec<(usize, usize)> {
        let all = || {
            manifests.iter().enumerate().flat_map(|(number, manifest)| {
                manifest.declared.iter().enumerate().map(move |(at, declared)| (&declared.place, (number, at)))
            })
        };
        let Some(only) = &self.workload else {
            return all().map(|(_, site)| site).collect();
        };
        let containers: BTreeSet<(&str, &str, &str, bool)> = all()
            .filter(|(place, _)| only.names(place))
            .map(|(place, _)| (&*place.api_version, &*place.kind, &*place.container, place.init))
            .collect();
        let mut meant = Vec::new();
        for (api_version, kind, container, init) in containers {
            let target = Target { api_version, kind, namespace: &only.namespace, name: &only.name, container, init };
            match resolve(all(), &target) {
                Resolved::One(site) => meant.push(site),
                Resolved::None => {}
                Resolved::Several(sites) => {
                    let mut files: Vec<&str> =
                        sites.iter().filter_map(|(number, _)| Some(manifests.get(*number)?.shown.as_str())).collect();
                    files.dedup();
                    refused.push(format!("several places declare {kind}/{} {container}: {}", only.name, files.join(", ")));
                }
            }
        }
        meant.sort_unstable();
        meant.dedup();
        meant
    }

    fn nothing_to_change(&self, new: &ImageRef, plan: &Plan, manifests: usize, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
        for place in &plan.already_so {
            writeln!(out, "already so: {place}")?;
        }
        if !plan.already_so.is_empty() {
            return Ok(DONE);
        }
        let place = self.workload.as_ref().map(|only| format!(" in {}", only.shown())).unwrap_or_default();
        writeln!(
            err,
            "error: no image of {} is declared{place}: looked at {manifests} files below {} that declare images",
            new.repository(),
            self.dir.display()
        )?;
        Ok(NOT_DONE)
    }
}

impl Plan {
    /// The manifests that change, with their new texts; or why one cannot.
    fn edited<'m>(&self, manifests: &'m [Manifest]) -> Result<Vec<(&'m Manifest, String)>, String> {
        let changed = self.changes.iter().filter_map(|(number, changes)| Some((manifests.get(*number)?, changes)));
        changed
            .map(|(manifest, changes)| {
                let text = set_images(manifest.editor, &manifest.text, &manifest.declared, changes);
                Ok((manifest, text.map_err(|error| format!("{}: {error}", manifest.shown))?))
            })
            .collect()
    }
}

// === The workload that is meant ===

impl FromStr for Only {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (workload, container) = text.split_once(':').map_or((text, None), |(workload, container)| (workload, Some(container)));
        let parts: Vec<&str> = workload.split('/').collect();
        match parts.as_slice() {
            [namespace, kind, name] if parts.iter().all(|part| !part.is_empty()) && container != Some("") => Ok(Self {
                namespace: (*namespace).to_owned(),
                kind: WorkloadKind::parse(kind).map_or_else(|| (*kind).to_owned(), |kind| kind.as_str().to_owned()),
                name: (*name).to_owned(),
                container: container.map(ToOwned::to_owned),
            }),
            _ => Err("expected NAMESPACE/KIND/NAME or NAMESPACE/KIND/NAME:CONTAINER"),
        }
    }
}

impl Only {
    /// Whether it means `place`, the namespace aside.
    fn names(&self, place: &Place) -> bool {
        place.kind.eq_ignore_ascii_case(&self.kind)
            && *place.name == *self.name
            && self.container.as_ref().is_none_or(|container| *place.container == **container)
    }

    fn shown(&self) -> String {
        let container = self.container.as_ref().map(|container| format!(":{container}")).unwrap_or_default();
        format!("{}/{}/{}{container}", self.namespace, self.kind, self.name)
    }
}

// === Files ===

/// The manifests below `folder` in the order of their paths, and a sentence for each file that cannot be read.
fn read_folder(folder: &Path) -> io::Result<(Vec<Manifest>, Vec<String>)> {
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for file in files(folder, &mut problems)? {
        let below = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy();
        let shown = one_line(&below, 300);
        let Some(editor) = editor_for(&below) else {
            continue;
        };
        match read(&file).map_err(|error| error.to_string()).and_then(|bytes| parse(editor, bytes).map_err(|error| error.to_string())) {
            Ok((_, declared)) if declared.is_empty() => {}
            Ok((text, declared)) => manifests.push(Manifest { file, shown, editor, text, declared }),
            Err(problem) => problems.push(format!("{shown}: {problem}")),
        }
    }
    Ok((manifests, problems))
}

/// The regular files below `folder`, sorted. Links are passed over, and so is what git keeps for itself; `problems` tells of folders that
/// are passed over.
fn files(folder: &Path, problems: &mut Vec<String>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((inside, depth)) = folders.pop() {
        let mut pass_over = |why: &str| {
            let shown = inside.strip_prefix(folder).unwrap_or(&inside).to_string_lossy();
            problems.push(format!("{}: {why}", one_line(&shown, 300)));
        };
        if depth > FOLDER_DEPTH_MAX {
            pass_over(&format!("more than {FOLDER_DEPTH_MAX} folders inside each other"));
            continue;
        }
        match entries(&inside) {
            Err(error) if depth == 0 => return Err(error),
            Err(error) => pass_over(&error.to_string()),
            Ok(entries) => {
                for (kind, path) in entries {
                    if kind.is_file() {
                        found.push(path);
                    } else if kind.is_dir() && path.file_name().is_none_or(|name| name != ".git") {
                        folders.push((path, depth + 1));
                    }
                }
            }
        }
        if found.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<(fs::FileType, PathBuf)>> {
    fs::read_dir(folder)?.map(|entry| entry.and_then(|entry| Ok((entry.file_type()?, entry.path())))).collect()
}

/// The bytes of a file, and one more than a manifest can have if there are so many.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(editor: &dyn ImageEditor, bytes: Vec<u8>) -> Result<(String, Vec<Declared>), ManifestError> {
    manifest::text(&bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| ManifestError::Inexact)?;
    let declared = editor.declarations(&text)?;
    Ok((text, declared))
}

/// Writes the files one after the other, each whole or not at all.
fn write_all(edited: &[(&Manifest, String)], err: &mut dyn Write) -> io::Result<u8> {
    for (written, (manifest, text)) in edited.iter().enumerate() {
        if let Err(error) = replace(&manifest.file, text.as_bytes()) {
            writeln!(err, "error: {}: {error}; {written} of {} files are written", manifest.shown, edited.len())?;
            return Ok(NOT_DONE);
        }
    }
    Ok(DONE)
}

/// Puts `bytes` in the place of the file, with its permissions, so that whoever reads it sees the old or the new bytes.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = fs::symlink_metadata(file)?.permissions();
    let folder = file.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().set_permissions(permissions)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

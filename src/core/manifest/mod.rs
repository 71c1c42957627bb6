//! Where manifests declare images, and how such an image is changed while every other byte stays.
//!
//! An [`ImageEditor`] knows one format. It tells what a file declares ([`declarations`](ImageEditor::declarations)) and writes other images into it
//! ([`set_images`]). Which declaration is meant by a workload is the question of [`Target`]; whether it may be changed, that
//! of [`compare`]. Nothing here reads a file.

mod image_text;
mod kubernetes;
mod object;
mod scalar;
mod target;
mod yaml;

use std::fmt;
use std::ops::Range;

use crate::core::image::ImageRef;

pub use image_text::{Comparison, compare};
pub use object::{DeclaredNamespace, Object, Objects, objects};
pub use scalar::Style;
pub use target::{Place, Resolved, Target, resolve};

/// The largest file that is read. The API server takes objects of at most 1.5 MiB (etcd's limit for one request), and the files
/// people edit hold a few small ones; what is larger is generated.
pub const FILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most images one file may declare. At 40 bytes for each this is a file of the largest size; only aliases can make more of less.
const DECLARATIONS_MAX: usize = 50_000;

/// One format in which images are declared. Adding a format is one file and one line in [`EDITORS`].
pub trait ImageEditor: Sync {
    /// What messages call the format.
    fn name(&self) -> &'static str;

    /// Whether the file of this name (the last part of its path) may be of the format.
    fn reads(&self, file_name: &str) -> bool;

    /// Every image that `text` declares. A text of another format declares none; an error is a text that no reader understands.
    fn declarations(&self, text: &str) -> Result<Vec<Declared>, ManifestError>;

    /// `text` with each declaration, one of those that this editor found in it, saying the image beside it.
    fn splice(&self, text: &str, changes: &[(&Declared, &ImageRef)]) -> Result<String, ManifestError>;
}

/// The formats, the most special first: the first that reads a file's name is the one that is asked.
pub const EDITORS: &[&dyn ImageEditor] = &[
    // Objects as kubectl takes them.
    &kubernetes::KubernetesObjects,
];

/// An image that a file declares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declared {
    /// For what.
    pub place: Place,
    /// The image.
    pub image: Image,
}

/// The image of a declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Image {
    /// A text that may be changed.
    Text {
        /// What it says.
        text: Box<str>,
        /// Its bytes in the file, quotes included.
        span: Range<usize>,
        /// Its notation, which stays.
        style: Style,
    },
    /// Something that must not be changed.
    Fixed {
        /// Why not.
        why: Uneditable,
        /// What it says, aliases and merge keys followed; `None` when only a program or a person knows.
        text: Option<Box<str>>,
    },
}

/// Why an image must not be changed where it stands. Lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uneditable {
    /// It is the alias of a value that is written elsewhere.
    #[error("line {line}: the image is the alias of a value written elsewhere")]
    Alias {
        /// Where.
        line: usize,
    },
    /// It carries an anchor, or stands in something that does, and an alias repeats it.
    #[error("line {line}: an alias repeats what is written here, so another place would change too")]
    Repeated {
        /// Where.
        line: usize,
    },
    /// It comes from another mapping.
    #[error("line {line}: the image comes through a merge key")]
    Merged {
        /// Where.
        line: usize,
    },
    /// Readers disagree which one counts.
    #[error("line {line}: this key is written a second time in the same mapping")]
    DuplicateKey {
        /// Where the second is.
        line: usize,
    },
    /// It is written as `|` or `>`.
    #[error("line {line}: the image is written as a block scalar")]
    BlockScalar {
        /// Where.
        line: usize,
    },
    /// A program makes the image out of it.
    #[error("line {line}: the image is a template")]
    Template {
        /// Where.
        line: usize,
    },
    /// It is a number, a list, a mapping, a value of an explicit type.
    #[error("line {line}: the image is not a text")]
    NotText {
        /// Where.
        line: usize,
    },
}

/// Why a file cannot be read or changed. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is larger than a manifest can be.
    #[error("the file is larger than {} KiB", FILE_BYTES_MAX / 1024)]
    TooLarge,
    /// Its bytes are not UTF-8.
    #[error("line {line}: the file is not UTF-8")]
    NotUtf8 {
        /// Where the first wrong byte is.
        line: usize,
    },
    /// It is not YAML.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
        /// What the parser says.
        what: Box<str>,
    },
    /// A key stands twice in one table: readers take one or the other.
    #[error("line {line}: {key} is written twice: leave one of them")]
    Twice {
        /// The line of the second one.
        line: usize,
        /// The key.
        key: Box<str>,
    },
    /// It declares more images than a file can hold.
    #[error("the file declares more than {DECLARATIONS_MAX} images")]
    TooMany,
    /// Aliases make far more of it than is written there.
    #[error("the file's aliases repeat too much to be followed")]
    Tangled,
    /// The changed text does not read as it was meant to. Nothing of it may be used.
    #[error("the file cannot be changed in one place without changing another")]
    Inexact,
}

/// The text of a file's bytes.
pub fn text(bytes: &[u8]) -> Result<&str, ManifestError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ManifestError::TooLarge);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        ManifestError::NotUtf8 { line: good.split(|byte| *byte == b'\n').count() }
    })
}

/// The editor for the file at `path` (parts divided by `/`); `None` when no format reads files of that name.
pub fn editor_for(path: &str) -> Option<&'static dyn ImageEditor> {
    let file_name = path.rsplit('/').next().unwrap_or(path);
    EDITORS.iter().copied().find(|editor| editor.reads(file_name))
}

/// `text` with the images of `changes` set: pairs of an index into `declared`, what the editor found in `text`, and the new
/// image. The result is read again, and is an error unless it declares exactly what `text` did with these images changed.
pub fn set_images(
    editor: &dyn ImageEditor,
    text: &str,
    declared: &[Declared],
    changes: &[(usize, ImageRef)],
) -> Result<String, ManifestError> {
    let changes: Vec<(usize, &Declared, &ImageRef)> =
        changes.iter().filter_map(|(at, image)| declared.get(*at).map(|declared| (*at, declared, image))).collect();
    let pairs: Vec<(&Declared, &ImageRef)> = changes.iter().map(|(_, declared, image)| (*declared, *image)).collect();
    let edited = editor.splice(text, &pairs)?;
    let after = editor.declarations(&edited)?;
    let says = |at: usize, before: &Declared, after: &Declared| match changes.iter().find(|(changed, ..)| *changed == at) {
        Some((_, _, image)) => after.image.text() == Some(image.to_string().as_str()),
        None => before.image.text() == after.image.text(),
    };
    let is_exact = declared.len() == after.len()
        && declared.iter().zip(&after).enumerate().all(|(at, (before, after))| before.place == after.place && says(at, before, after));
    if is_exact { Ok(edited) } else { Err(ManifestError::Inexact) }
}

impl Image {
    /// What it says, whether it may be changed or not.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Fixed { text, .. } => text.as_deref(),
        }
    }

    /// What forbids to change it.
    pub fn obstacle(&self) -> Option<Uneditable> {
        match self {
            Self::Text { .. } => None,
            Self::Fixed { why, .. } => Some(*why),
        }
    }
}

impl fmt::Display for Declared {
    /// `Deployment/web web`, with the namespace in front when one is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

#[cfg(test)]
mod tests;

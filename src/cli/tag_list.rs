//! A list of tags in a file: one line for each, byte for byte, with build time and digest where they are known.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::core::image::Digest;
use crate::core::policy::{Built, Listed};

/// The longest list read, in bytes: half a million tags with time and digest, five times the longest listing skeg is built for.
const LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a list cannot be used. The option that names it is always `--tags`.
#[derive(Debug, thiserror::Error)]
pub enum TagListError {
    /// It cannot be read.
    #[error("--tags {file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A line of it is wrong.
    #[error("--tags {file}: line {line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is longer than accepted.
    #[error("--tags {file}: longer than {LIST_BYTES_MAX} bytes")]
    TooLong {
        /// The file.
        file: String,
    },
}

/// The bytes of a list.
pub struct TagList {
    file: String,
    bytes: Vec<u8>,
}

/// One line of a list.
pub struct Line<'a> {
    /// The text before the first tab, which need not be a legal tag.
    pub tag: &'a str,
    built: Built,
    digest: Option<Digest>,
}

impl TagList {
    /// Reads a file; `-` is `stdin`.
    pub fn read(path: &Path, stdin: &mut dyn Read) -> Result<Self, TagListError> {
        let name = || path.display().to_string();
        let unreadable = |source| TagListError::Unreadable { file: name(), source };
        let mut file;
        let source: &mut dyn Read = if path == Path::new("-") {
            stdin
        } else {
            file = File::open(path).map_err(unreadable)?;
            &mut file
        };
        let mut bytes = Vec::new();
        source.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LIST_BYTES_MAX { Err(TagListError::TooLong { file: name() }) } else { Ok(Self { file: name(), bytes }) }
    }

    /// What each line says that is not empty.
    pub fn lines(&self) -> Result<Vec<Line<'_>>, TagListError> {
        let numbered = (1..).zip(self.bytes.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty());
        let read = |(line, bytes)| read_line(bytes).map_err(|problem| TagListError::Line { file: self.file.clone(), line, problem });
        numbered.map(read).collect()
    }
}

/// `TAG`, or `TAG<TAB>time[<TAB>DIGEST]`, where the time may be empty.
fn read_line(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let line = str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut columns = line.split('\t');
    let tag = columns.next().unwrap_or_default();
    let built = columns.next().filter(|time| !time.is_empty()).map(str::parse).transpose();
    let built = built.map_err(|_| "the second column is no RFC 3339 time, such as 2024-01-31T12:00:00Z")?;
    let digest = columns.next().filter(|digest| !digest.is_empty()).map(str::parse).transpose();
    let digest = digest.map_err(|_| "the third column is no digest, such as sha256:<64 hex digits>")?;
    if columns.next().is_some() {
        Err("more than three columns")
    } else {
        Ok(Line { tag, built: built.map_or(Built::Unknown, Built::at), digest })
    }
}

impl Line<'_> {
    /// As a policy sees it.
    pub fn listed(&self) -> Listed<'_> {
        Listed { digest: self.digest.as_ref(), built: self.built, ..Listed::named(self.tag) }
    }
}

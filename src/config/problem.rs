//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake, with what a person needs to mend it. Never holds the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it; `None` when the file itself is the problem.
    pub at: Option<Position>,
    /// The key, with its section: `poll.interval`, `git[0].url`. Empty when the file or its syntax is the problem.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// A place in a text, counted from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Problem {
    /// The file as a whole cannot be used.
    pub fn of_file(file: &Path, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at: None, key: String::new(), what: what.into(), advice: advice.into() }
    }
}

/// What the system says of a file that cannot be read.
pub(super) fn said(kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}

impl Position {
    /// The place of the byte `offset` in `text`; its end when the offset is past it.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column }
    }
}

impl fmt::Display for Problem {
    /// One line, in the form that editors jump to: `file:line:column: key: what; what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.what)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, offset: usize, line: usize, column: usize) {
        assert_eq!(Position::of(text, offset), Position { line, column });
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        check("", 0, 1, 1);
        check("a = 1\nb = 2", 0, 1, 1);
        check("a = 1\nb = 2", 6, 2, 1);
        check("a = 1\nb = 2", 10, 2, 5);
        check("a = \"ü\"x", 8, 1, 8);
        check("a\n", 99, 2, 1);
    }
}

//! Secrets: named by file or environment variable, read at each use, never shown.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::problem::said;

/// The most bytes a secret may have. Tokens and passwords have under ten thousand; more is a file named by mistake.
const BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is. The value is read again at each use, so a file that was changed takes effect at once and nothing keeps it in memory.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Secret {
    /// A file; one newline at its end is not part of the secret.
    File(PathBuf),
    /// An environment variable.
    Env(Box<str>),
}

/// The value of a secret. Shows as `***` wherever it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Box<str>);

/// Why a secret cannot be used. Names where it should be, never what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("{}: {}", path.display(), said(*kind))]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        kind: std::io::ErrorKind,
    },
    /// The environment variable is not set.
    #[error("the environment variable {name} is not set")]
    Unset {
        /// Its name.
        name: Box<str>,
    },
    /// There is nothing in it: an empty secret would open what it guards.
    #[error("{place} is empty")]
    Empty {
        /// Where.
        place: String,
    },
    /// It is longer than any secret.
    #[error("{place} is longer than {BYTES_MAX} bytes")]
    TooLong {
        /// Where.
        place: String,
    },
    /// It has bytes that no header or password may have.
    #[error("{place} is not one line of UTF-8 text")]
    NotText {
        /// Where.
        place: String,
    },
}

impl Secret {
    /// Reads the value as it is now.
    pub fn read(&self) -> Result<SecretValue, SecretError> {
        let text = match self {
            Self::File(path) => self.read_file(path)?,
            Self::Env(name) => std::env::var(&**name).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretError::Unset { name: name.clone() },
                std::env::VarError::NotUnicode(_) => SecretError::NotText { place: self.to_string() },
            })?,
        };
        let value = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if value.is_empty() {
            return Err(SecretError::Empty { place: self.to_string() });
        }
        if value.contains(char::is_control) {
            return Err(SecretError::NotText { place: self.to_string() });
        }
        Ok(SecretValue(value.into()))
    }

    fn read_file(&self, path: &Path) -> Result<String, SecretError> {
        let failed = |error: std::io::Error| SecretError::File { path: path.to_owned(), kind: error.kind() };
        let mut bytes = Vec::new();
        // One byte more than allowed is asked for, so that a longer file is told from one of exactly this length.
        std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(SecretError::TooLong { place: self.to_string() });
        }
        String::from_utf8(bytes).map_err(|_| SecretError::NotText { place: self.to_string() })
    }
}

impl fmt::Display for Secret {
    /// Where the secret is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

impl SecretValue {
    /// A value that did not come from the configuration, typed at a prompt say.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one header or file that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &[u8], expected: Result<&str, &str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let read = Secret::File(file.path().to_owned()).read();
        let read = read.map(|value| value.expose().to_owned()).map_err(|error| error.to_string());
        match (read, expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (read, _) => panic!("{read:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_a_secret() {
        check(b"s3cret", Ok("s3cret"));
        check(b"s3cret\n", Ok("s3cret"));
        check(b"s3cret\r\n", Ok("s3cret"));
        check(b" s3 cret \n", Ok(" s3 cret "));
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused() {
        check(b"", Err("is empty"));
        check(b"\n", Err("is empty"));
        check(b"two\nlines\n", Err("not one line"));
        check(b"a\0b", Err("not one line"));
        check(b"\xff\xfe", Err("not one line"));
        check(&vec![b'a'; 64 * 1024], Ok(&"a".repeat(64 * 1024)));
        check(&vec![b'a'; 64 * 1024 + 1], Err("is longer"));
    }

    #[test]
    fn a_changed_file_takes_effect_at_the_next_use() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = Secret::File(file.path().to_owned());
        std::fs::write(file.path(), "old\n").unwrap();
        assert_eq!(secret.read().unwrap().expose(), "old");
        std::fs::write(file.path(), "new\n").unwrap();
        assert_eq!(secret.read().unwrap().expose(), "new");
    }

    #[test]
    fn an_absent_secret_says_where_it_should_be() {
        let unset = Secret::Env("SKEG_TEST_NO_SUCH_VARIABLE".into()).read().unwrap_err();
        assert_eq!(unset.to_string(), "the environment variable SKEG_TEST_NO_SUCH_VARIABLE is not set");
        let gone = Secret::File("/nowhere/token".into()).read().unwrap_err();
        assert_eq!(gone.to_string(), "/nowhere/token: there is no such file");
    }

    #[test]
    fn a_value_never_prints() {
        let value = SecretValue::new("hunter2");
        assert_eq!(format!("{value} {value:?}"), "*** ***");
    }
}

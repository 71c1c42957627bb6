//! What clouds tell a process about its identity: environment variables, and the files they name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::IdentityError;

/// The longest file read: a key file has some kilobytes, a token less.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// The environment of the process, or one that is made up.
#[derive(Clone)]
pub struct Surroundings(Option<Arc<HashMap<String, String>>>);

impl Surroundings {
    /// The process's own.
    pub fn of_process() -> Self {
        Self(None)
    }

    /// These variables and no others.
    pub fn made_up<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        Self(Some(Arc::new(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())))
    }

    /// A variable that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            None => std::env::var(name).ok(),
            Some(variables) => variables.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// All of them.
    pub(super) fn variables(&self) -> HashMap<String, String> {
        match &self.0 {
            None => std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect(),
            Some(variables) => HashMap::clone(variables),
        }
    }

    /// A file that a variable or another file names.
    pub(super) async fn file(&self, path: &str) -> Result<Vec<u8>, IdentityError> {
        let failed = |problem: String| IdentityError::File { path: path.to_owned(), problem };
        let read = async {
            use tokio::io::AsyncReadExt as _;
            let mut bytes = Vec::new();
            tokio::fs::File::open(path).await?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
            Ok::<_, std::io::Error>(bytes)
        };
        let bytes = read.await.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > FILE_BYTES_MAX { Err(failed(format!("longer than {FILE_BYTES_MAX} bytes"))) } else { Ok(bytes) }
    }

    /// The same as one line of text.
    pub(super) async fn text(&self, path: &str) -> Result<String, IdentityError> {
        let text = String::from_utf8(self.file(path).await?).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        text.ok_or_else(|| IdentityError::File { path: path.to_owned(), problem: "no text".to_owned() })
    }
}

impl fmt::Debug for Surroundings {
    /// Variables hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings")
    }
}

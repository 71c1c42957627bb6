//! Authorities and client certificates beside the system's own, for hosts of which the configuration says so.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Certificate, ClientBuilder, Identity};

use super::Fetch;

/// How often the files are looked at: certificates are renewed days before they end.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(30);

/// Files in PEM.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct TlsFiles {
    /// Authorities that are trusted beside the system's.
    pub authorities: Option<PathBuf>,
    /// The certificate to show, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why they cannot be used. Nothing of their text is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct TlsFileError {
    file: PathBuf,
    problem: String,
}

/// What the files hold, ready for a client.
#[derive(Default)]
pub(super) struct Material {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
}

/// A client made with the files as they were last, made anew when they change.
#[derive(Debug)]
pub struct TrustingFetch {
    files: TlsFiles,
    made: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    looked: Instant,
    content: Vec<Vec<u8>>,
    fetch: Fetch,
}

impl TlsFiles {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_none() && self.client.is_none()
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, TlsFileError> {
        let client = self.client.iter().flat_map(|(certificate, key)| [certificate, key]);
        let read = |file: &PathBuf| std::fs::read(file).map_err(|error| TlsFileError { file: file.clone(), problem: error.to_string() });
        self.authorities.iter().chain(client).map(read).collect()
    }

    fn material(&self, content: &[Vec<u8>]) -> Result<Material, TlsFileError> {
        let wrong = |file: &PathBuf, problem: &str| TlsFileError { file: file.clone(), problem: problem.to_owned() };
        let mut content = content.iter();
        let mut material = Material::default();
        if let (Some(file), Some(text)) = (&self.authorities, self.authorities.as_ref().and_then(|_| content.next())) {
            let authorities = Certificate::from_pem_bundle(text).map_err(|_| wrong(file, "no certificates in PEM"))?;
            if authorities.is_empty() {
                return Err(wrong(file, "no certificate in it"));
            }
            material.authorities = authorities;
        }
        if let (Some((file, _)), Some(certificate), Some(key)) = (&self.client, content.next(), content.next()) {
            let both = [key.as_slice(), b"\n", certificate].concat();
            material.identity = Some(Identity::from_pem(&both).map_err(|_| wrong(file, "no certificate in PEM with its key"))?);
        }
        Ok(material)
    }
}

impl Material {
    /// With the authorities alone.
    pub fn trusted_by(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.tls_certs_merge(self.authorities.iter().cloned())
    }

    /// With all of it.
    pub fn used_by(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = self.trusted_by(builder);
        match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    }
}

impl TrustingFetch {
    /// Makes clients with these files.
    pub fn new(files: TlsFiles) -> Self {
        Self { files, made: Mutex::new(None) }
    }

    /// The client.
    pub fn get(&self) -> Result<Fetch, TlsFileError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.looked.elapsed() < LOOKED_AT_EVERY) {
            return Ok(made.fetch.clone());
        }
        let content = self.files.read()?;
        if let Some(made) = made.as_mut().filter(|made| made.content == content) {
            made.looked = Instant::now();
            return Ok(made.fetch.clone());
        }
        let unusable = |error: super::SetupError| TlsFileError {
            file: self.files.client.as_ref().map(|(file, _)| file).or(self.files.authorities.as_ref()).cloned().unwrap_or_default(),
            problem: error.0.to_string(),
        };
        let fetch = Fetch::with(&self.files.material(&content)?).map_err(unusable)?;
        *made = Some(Made { looked: Instant::now(), content, fetch: fetch.clone() });
        Ok(fetch)
    }
}

//! What the registry holds: blobs, manifests and tags of each repository, in memory and bounded.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bytes::Bytes;
use serde_json::Value;

use super::error::RegistryError;
use super::grammar::{digest, is_digest, is_name, is_tag};
use super::image::{OCI_INDEX, OCI_MANIFEST};

/// Longest manifest: what the specification asks a registry to take at least.
pub(super) const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Longest blob. Test images have layers of a few hundred bytes.
pub(super) const BLOB_BYTES_MAX: usize = 16 << 20;
/// Bound on everything stored. Room for a hundred thousand tags (about 20 MiB) and some images.
const STORED_BYTES_MAX: usize = 256 << 20;
/// What an entry costs beside its bytes; it bounds the number of empty ones.
const ENTRY_BYTES: usize = 128;

/// A manifest as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub media_type: String,
    pub digest: String,
    pub bytes: Bytes,
}

/// One page of a tag list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// In byte order.
    pub tags: Vec<String>,
    /// Whether there are tags after these.
    pub more: bool,
}

#[derive(Default)]
struct Repository {
    blobs: HashMap<String, Bytes>,
    manifests: HashMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

/// All repositories.
#[derive(Default)]
pub(super) struct Store {
    repositories: HashMap<String, Repository>,
    stored_bytes: usize,
}

impl Store {
    /// Stores a blob under its digest. The repository comes into being with its first blob or manifest.
    pub fn put_blob(&mut self, name: &str, content: Bytes) -> Result<String, RegistryError> {
        if content.len() > BLOB_BYTES_MAX {
            return Err(RegistryError::TooLarge);
        }
        let digest = digest(&content);
        if self.blob(name, &digest).is_err() {
            self.reserve(content.len())?;
            let repository = self.repository_or_new(name)?;
            repository.blobs.insert(digest.clone(), content);
        }
        Ok(digest)
    }

    /// A blob of a repository.
    pub fn blob(&self, name: &str, digest: &str) -> Result<Bytes, RegistryError> {
        let blob = self.repository(name)?.blobs.get(digest).cloned();
        blob.ok_or_else(|| RegistryError::BlobUnknown(digest.to_owned()))
    }

    /// Stores a manifest and points `tag` at it. What it names must be there already.
    pub fn put_manifest(&mut self, name: &str, tag: Option<&str>, media_type: &str, content: Bytes) -> Result<String, RegistryError> {
        if content.len() > MANIFEST_BYTES_MAX {
            return Err(RegistryError::TooLarge);
        }
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(RegistryError::TagInvalid(tag.to_owned()));
        }
        self.require_parts(name, media_type, &content)?;
        let digest = digest(&content);
        self.reserve(content.len())?;
        let repository = self.repository_or_new(name)?;
        let manifest = Manifest { media_type: media_type.to_owned(), digest: digest.clone(), bytes: content };
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            self.tag(name, tag, &digest)?;
        }
        Ok(digest)
    }

    /// Points a tag at a manifest that the repository holds.
    pub fn tag(&mut self, name: &str, tag: &str, digest: &str) -> Result<(), RegistryError> {
        if !is_tag(tag) {
            return Err(RegistryError::TagInvalid(tag.to_owned()));
        }
        self.manifest(name, digest)?;
        self.reserve(tag.len())?;
        let repository = self.repository_or_new(name)?;
        repository.tags.insert(tag.to_owned(), digest.to_owned());
        Ok(())
    }

    /// The manifest that a tag or digest names.
    pub fn manifest(&self, name: &str, reference: &str) -> Result<&Manifest, RegistryError> {
        let repository = self.repository(name)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        let manifest = repository.manifests.get(digest);
        manifest.ok_or_else(|| RegistryError::ManifestUnknown(reference.to_owned()))
    }

    /// Removes a tag, or a manifest with every tag that points at it.
    pub fn delete_manifest(&mut self, name: &str, reference: &str) -> Result<(), RegistryError> {
        self.manifest(name, reference)?;
        let repository = self.repository_or_new(name)?;
        if is_digest(reference) {
            repository.manifests.remove(reference);
            repository.tags.retain(|_, digest| digest != reference);
        } else {
            repository.tags.remove(reference);
        }
        Ok(())
    }

    /// Up to `length` tags in byte order, those after `last` where it is given (it need not exist).
    pub fn tags(&self, name: &str, last: Option<&str>, length: usize) -> Result<Page, RegistryError> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.repository(name)?.tags.range::<str, _>((after, Bound::Unbounded)).map(|(tag, _)| tag.clone());
        let tags: Vec<String> = rest.by_ref().take(length).collect();
        Ok(Page { tags, more: rest.next().is_some() })
    }

    fn repository(&self, name: &str) -> Result<&Repository, RegistryError> {
        if !is_name(name) {
            return Err(RegistryError::NameInvalid(name.to_owned()));
        }
        let repository = self.repositories.get(name);
        repository.ok_or_else(|| RegistryError::NameUnknown(name.to_owned()))
    }

    fn repository_or_new(&mut self, name: &str) -> Result<&mut Repository, RegistryError> {
        if !is_name(name) {
            return Err(RegistryError::NameInvalid(name.to_owned()));
        }
        if !self.repositories.contains_key(name) {
            self.reserve(name.len())?;
        }
        Ok(self.repositories.entry(name.to_owned()).or_default())
    }

    /// Counts bytes that are about to be stored. Nothing is given back: a registry of tests lives for minutes.
    fn reserve(&mut self, bytes: usize) -> Result<(), RegistryError> {
        let stored = self.stored_bytes + bytes + ENTRY_BYTES;
        if stored > STORED_BYTES_MAX {
            return Err(RegistryError::Full);
        }
        self.stored_bytes = stored;
        Ok(())
    }

    /// Refuses a manifest that is not JSON or names something the repository does not hold.
    fn require_parts(&self, name: &str, media_type: &str, content: &[u8]) -> Result<(), RegistryError> {
        let manifest: Value = serde_json::from_slice(content).map_err(|_| RegistryError::ManifestInvalid("no JSON"))?;
        if manifest.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err(RegistryError::ManifestInvalid("schemaVersion is not 2"));
        }
        let named = |key: &str| {
            let entries = manifest.get(key).and_then(Value::as_array);
            entries.into_iter().flatten()
        };
        if is_index(media_type) {
            return named("manifests").try_for_each(|entry| {
                let digest = digest_named_by(entry)?;
                let found = self.manifest(name, digest).map(|_| ());
                found.map_err(|_| RegistryError::ManifestBlobUnknown(digest.to_owned()))
            });
        }
        let config = manifest.get("config").ok_or(RegistryError::ManifestInvalid("no config"))?;
        std::iter::once(config).chain(named("layers")).try_for_each(|entry| {
            let digest = digest_named_by(entry)?;
            let found = self.blob(name, digest).map(|_| ());
            found.map_err(|_| RegistryError::ManifestBlobUnknown(digest.to_owned()))
        })
    }
}

/// The media types this registry takes in a push.
pub(super) fn is_manifest_type(media_type: &str) -> bool {
    is_index(media_type) || media_type == OCI_MANIFEST || media_type == "application/vnd.docker.distribution.manifest.v2+json"
}

fn is_index(media_type: &str) -> bool {
    media_type == OCI_INDEX || media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
}

fn digest_named_by(entry: &Value) -> Result<&str, RegistryError> {
    let digest = entry.get("digest").and_then(Value::as_str);
    digest.filter(|digest| is_digest(digest)).ok_or(RegistryError::ManifestInvalid("an entry has no digest"))
}

//! An OCI registry in this process, on a loopback port of its own choosing.
//!
//! It speaks as much of the OCI distribution specification (1.1) as image clients use: pulls and pushes of blobs and
//! manifests, tag lists in pages, deletion, and the three ways to log in. Direct calls push images and move tags, the
//! request log shows what a client did, and faults make it misbehave on demand. Nothing outlives it.
//!
//! Beyond what the specification asks, it is as strict as Docker's registry: a manifest is served only to a request that
//! accepts its media type, and a 304 carries neither digest nor entity tag.

mod access;
mod answer;
mod blobs;
mod bomb;
mod error;
mod faults;
mod grammar;
mod image;
mod manifests;
mod route;
mod serve;
mod store;
mod tags;
mod uploads;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::watch;

pub use access::Access;
pub use error::RegistryError;
pub use faults::{Fault, Matcher};
pub use image::{Image, ImageParts, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, index};
pub use route::Operation;

pub use super::login::Login;
use super::loopback::{Bound, Loopback};
use super::requests::RequestLog;
pub use super::requests::Seen;
use access::Guard;
use faults::Faults;
use store::Store;
use uploads::Uploads;

/// Tags in one page at most, as larger registries have it; a client that asks for more gets this many and a `Link`.
const PAGE_TAGS_MAX: usize = 1000;

/// What the handlers share.
struct Shared {
    store: Mutex<Store>,
    uploads: Mutex<Uploads>,
    guard: Guard,
    faults: Faults,
    log: RequestLog,
    marks_lists: AtomicBool,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks_lists(&self) -> bool {
        self.marks_lists.load(Ordering::Relaxed)
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running registry. Dropping it stops the server and waits for its end.
pub struct EmbeddedRegistry {
    shared: Arc<Shared>,
    server: Loopback,
}

impl EmbeddedRegistry {
    /// Starts an empty registry. Fails if no loopback port or thread is to be had.
    pub fn start(access: Access) -> io::Result<Self> {
        let bound = Bound::new()?;
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            uploads: Mutex::default(),
            guard: Guard::new(access, bound.address()),
            faults: Faults::default(),
            log: RequestLog::new(),
            marks_lists: AtomicBool::new(false),
        });
        let handled = Arc::clone(&shared);
        let server = bound.serve("embedded-registry", move |request| serve::answer(Arc::clone(&handled), request).boxed())?;
        Ok(Self { shared, server })
    }

    /// Where it listens. As text this is the registry part of an image reference.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops the server; the port refuses connections from then on. What is stored can still be looked at.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Stores an image under a tag, as a push would, and returns its digest.
    pub fn push_image(&self, repository: &str, tag: &str, image: &Image) -> Result<String, RegistryError> {
        let manifest = self.put_parts(repository, image)?;
        let mut store = self.shared.store();
        store.put_manifest(repository, Some(tag), OCI_MANIFEST, manifest)
    }

    /// Stores a multi-platform image, one for each `(architecture, image)`, and returns the digest of its index.
    pub fn push_index(&self, repository: &str, tag: &str, images: &[(&str, Image)]) -> Result<String, RegistryError> {
        let mut manifests = Vec::with_capacity(images.len());
        for (architecture, image) in images {
            let image = image.clone().architecture(*architecture);
            let manifest = self.put_parts(repository, &image)?;
            let mut store = self.shared.store();
            store.put_manifest(repository, None, OCI_MANIFEST, manifest.clone())?;
            manifests.push((*architecture, manifest));
        }
        let mut store = self.shared.store();
        store.put_manifest(repository, Some(tag), OCI_INDEX, index(&manifests))
    }

    /// Points a tag, new or not, at a manifest of the repository.
    pub fn retag(&self, repository: &str, tag: &str, digest: &str) -> Result<(), RegistryError> {
        self.shared.store().tag(repository, tag, digest)
    }

    /// Removes a tag; the manifest stays.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> Result<(), RegistryError> {
        self.shared.store().delete_manifest(repository, tag)
    }

    /// The digest that a tag points at now.
    pub fn digest_of(&self, repository: &str, tag: &str) -> Option<String> {
        let store = self.shared.store();
        let manifest = store.manifest(repository, tag).ok()?;
        Some(manifest.digest.clone())
    }

    /// Plans a fault: the next request that `matcher` is about meets it. Several are tried in the order they were planned.
    pub fn fail_next(&self, matcher: Matcher, fault: Fault) {
        self.shared.faults.plan(matcher, fault);
    }

    /// Forgets the faults that no request has met yet.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// From now on gives entity tags to tag lists, as some registries do and Docker's does not.
    pub fn mark_lists(&self) {
        self.shared.marks_lists.store(true, Ordering::Relaxed);
    }

    /// Changes who may come in, as when a password is rotated. Tokens given before stay good.
    pub fn set_access(&self, access: Access) {
        self.shared.guard.set_access(access);
    }

    /// Makes every token given so far worthless.
    pub fn revoke_tokens(&self) {
        self.shared.guard.revoke_tokens();
    }

    /// The last requests, oldest first (ten thousand are kept).
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.log.seen()
    }

    /// Forgets the requests kept.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// The number of requests since the start, to wait on.
    pub fn request_count(&self) -> watch::Receiver<u64> {
        self.shared.log.count()
    }

    fn put_parts(&self, repository: &str, image: &Image) -> Result<Bytes, RegistryError> {
        let parts = image.build();
        let mut store = self.shared.store();
        store.put_blob(repository, parts.config)?;
        store.put_blob(repository, parts.layer)?;
        Ok(parts.manifest)
    }
}

#[cfg(test)]
mod tests;

//! Blob uploads that have begun and not ended.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::error::RegistryError;
use super::store::BLOB_BYTES_MAX;

/// Uploads open at once; a client sends about six layers side by side. Beyond it the oldest is given up, as an abandoned
/// one would be, so memory stays below this many blobs.
const OPEN_MAX: usize = 16;

struct Upload {
    id: String,
    name: String,
    received: BytesMut,
}

/// The open uploads, oldest first.
#[derive(Default)]
pub(super) struct Uploads {
    open: VecDeque<Upload>,
}

impl Uploads {
    /// Begins an upload and returns its id.
    pub fn begin(&mut self, name: &str) -> String {
        if self.open.len() == OPEN_MAX {
            self.open.pop_front();
        }
        let id = format!("{:032x}", fastrand::u128(..));
        self.open.push_back(Upload { id: id.clone(), name: name.to_owned(), received: BytesMut::new() });
        id
    }

    /// How many bytes have arrived.
    pub fn received(&self, name: &str, id: &str) -> Result<usize, RegistryError> {
        let upload = self.open.iter().find(|upload| upload.is(name, id));
        let upload = upload.ok_or(RegistryError::UploadUnknown)?;
        Ok(upload.received.len())
    }

    /// Adds a chunk that begins at `start` (the end of what has arrived, when not given); returns the new length.
    pub fn append(&mut self, name: &str, id: &str, start: Option<usize>, chunk: &[u8]) -> Result<usize, RegistryError> {
        let upload = self.open.iter_mut().find(|upload| upload.is(name, id));
        let upload = upload.ok_or(RegistryError::UploadUnknown)?;
        if start.is_some_and(|start| start != upload.received.len()) {
            return Err(RegistryError::UploadInvalid);
        }
        if upload.received.len() + chunk.len() > BLOB_BYTES_MAX {
            return Err(RegistryError::TooLarge);
        }
        upload.received.extend_from_slice(chunk);
        Ok(upload.received.len())
    }

    /// Ends an upload and hands out its bytes.
    pub fn end(&mut self, name: &str, id: &str) -> Result<Bytes, RegistryError> {
        let position = self.open.iter().position(|upload| upload.is(name, id));
        let upload = position.and_then(|position| self.open.remove(position));
        let upload = upload.ok_or(RegistryError::UploadUnknown)?;
        Ok(upload.received.freeze())
    }
}

impl Upload {
    fn is(&self, name: &str, id: &str) -> bool {
        self.name == name && self.id == id
    }
}

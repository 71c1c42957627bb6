//! What an image is called: repository, tag, digest, and the text a manifest writes for them.

mod digest;
mod reference;
mod repository;
mod tag;

pub use digest::{Digest, DigestError};
pub use reference::{ImageRef, ImageRefError, Pin};
pub use repository::{Repository, RepositoryError};
pub use tag::{Tag, TagError};

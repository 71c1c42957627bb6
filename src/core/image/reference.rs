//! The text that a workload or a manifest writes for an image.

use std::fmt;
use std::str::FromStr;

use super::{Digest, DigestError, Repository, RepositoryError, Tag, TagError};

/// A repository with a tag, a digest, both or neither, and the spelling of the repository as it was written.
///
/// The spelling is kept so that `nginx:1.2` becomes `nginx:1.3` and not `docker.io/library/nginx:1.3`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ImageRef {
    spelling: Box<str>,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// How an image is written: `repository:tag`, or `repository:tag@digest`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pin {
    /// By tag alone.
    Tag,
    /// By tag and digest, so that a moved tag cannot change what runs.
    Digest,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// The part before tag and digest is wrong.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The part after the last colon is wrong.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The part after the at sign is wrong.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageRef {
    /// The repository, in normal form.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, when one is written.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, when one is written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag that Docker and Kubernetes read when neither tag nor digest is written: `latest`.
    /// `None` when only a digest is written.
    pub fn effective_tag(&self) -> Option<Tag> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag.clone()),
            (None, None) => "latest".parse().ok(),
            (None, Some(_)) => None,
        }
    }

    /// The text for another image of the same repository, in the spelling used here.
    pub fn with(&self, tag: &Tag, digest: &Digest, pin: Pin) -> String {
        match pin {
            Pin::Tag => format!("{}:{tag}", self.spelling),
            Pin::Digest => format!("{}:{tag}@{digest}", self.spelling),
        }
    }

    /// The tag and digest of `image` with the repository as it is spelled here.
    #[must_use]
    pub fn respelled(&self, image: &Self) -> Self {
        Self { spelling: self.spelling.clone(), repository: self.repository.clone(), ..image.clone() }
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let colon = rest.get(name_start..).and_then(|name| name.find(':')).map(|at| name_start + at);
        let (spelling, tag) = match colon.and_then(|colon| Some((rest.get(..colon)?, rest.get(colon + 1..)?))) {
            Some((spelling, tag)) => (spelling, Some(tag.parse()?)),
            None => (rest, None),
        };
        Ok(Self { spelling: spelling.into(), repository: spelling.parse()?, tag, digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelling)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[track_caller]
    fn check(text: &str, repository: &str, tag: Option<&str>, has_digest: bool) {
        let image: ImageRef = text.parse().unwrap();
        assert_eq!(image.repository().as_str(), repository);
        assert_eq!(image.tag().map(Tag::as_str), tag);
        assert_eq!(image.digest().is_some(), has_digest);
        assert_eq!(image.to_string(), text);
    }

    #[test]
    fn every_form_that_a_pod_may_carry_is_read_and_written_back() {
        check("nginx", "docker.io/library/nginx", None, false);
        check("nginx:1.25", "docker.io/library/nginx", Some("1.25"), false);
        check("localhost:5000/app", "localhost:5000/app", None, false);
        check("localhost:5000/app:1", "localhost:5000/app", Some("1"), false);
        check(&format!("ghcr.io/a/b@{DIGEST}"), "ghcr.io/a/b", None, true);
        check(&format!("ghcr.io/a/b:2@{DIGEST}"), "ghcr.io/a/b", Some("2"), true);
    }

    #[test]
    fn a_wrong_reference_says_which_part_is_wrong() {
        let error = |text: &str| text.parse::<ImageRef>().unwrap_err();
        assert!(matches!(error("a:"), ImageRefError::Tag(_)));
        assert!(matches!(error("a@sha256:1"), ImageRefError::Digest(_)));
        assert!(matches!(error(":1"), ImageRefError::Repository(_)));
        assert!(matches!(error("{{ image }}"), ImageRefError::Repository(_)));
    }

    #[test]
    fn an_image_can_be_written_in_the_spelling_of_another() {
        let old: ImageRef = "nginx:1.25".parse().unwrap();
        let new: ImageRef = format!("docker.io/library/nginx:1.26@{DIGEST}").parse().unwrap();
        assert_eq!(old.respelled(&new).to_string(), format!("nginx:1.26@{DIGEST}"));
    }

    #[test]
    fn a_new_tag_keeps_the_spelling_of_the_repository() {
        let digest: Digest = DIGEST.parse().unwrap();
        let tag: Tag = "1.26".parse().unwrap();
        let image: ImageRef = "nginx:1.25".parse().unwrap();
        assert_eq!(image.with(&tag, &digest, Pin::Tag), "nginx:1.26");
        assert_eq!(image.with(&tag, &digest, Pin::Digest), format!("nginx:1.26@{DIGEST}"));
    }
}

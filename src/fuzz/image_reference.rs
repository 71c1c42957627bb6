//! Image references: what is read is written as it was, and what is written with another tag is of the same repository.

use super::{Target, assert_told_well, text, variant};
use crate::core::image::{ImageRef, Pin, Repository};

pub const TARGET: Target = Target {
    pieces: &[
        "nginx",
        "docker.io/",
        "index.docker.io/",
        "library/",
        "localhost:5000/",
        "ghcr.io/",
        "[::1]:5000/",
        "registry.example.com:443/",
        "team/app",
        ":",
        "@",
        "/",
        ":1.2.3",
        ":latest",
        "-alpine",
        "@sha256:",
        "sha512:",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ".",
        "_",
        "__",
        "-",
        "A",
        "Docker.IO/",
        "..",
        "//",
        "${IMAGE}",
        "{{ image }}",
    ],
    check,
    expected: &["bare", "tag", "digest", "tag and digest", "Repository", "Tag", "Digest"],
};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn check(input: &[u8]) -> String {
    let text = text(input);
    let image: ImageRef = match text.parse() {
        Ok(image) => image,
        Err(error) => {
            assert_told_well(&format!("{error}"));
            return variant(&error);
        }
    };
    assert_eq!(image.to_string(), text, "the spelling is kept");
    let repository = image.repository();
    assert_eq!(repository.as_str().parse::<Repository>().as_ref(), Ok(repository), "the normal form is one");
    assert_eq!(Repository::new(repository.registry(), repository.path()).as_ref(), Ok(repository), "of its two parts");
    assert_eq!(format!("{}/{}", repository.registry(), repository.path()), repository.as_str());
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "nothing hidden");
    let (tag, digest) = ("9.9.9".parse().unwrap(), DIGEST.parse().unwrap());
    for pin in [Pin::Tag, Pin::Digest] {
        let written = image.with(&tag, &digest, pin);
        let other: ImageRef = written.parse().unwrap();
        assert_eq!((other.repository(), other.tag(), other.digest().is_some()), (repository, Some(&tag), pin == Pin::Digest), "{written}");
        assert_eq!(image.respelled(&other), other, "in the same spelling already");
    }
    match (image.tag(), image.digest()) {
        (None, None) => "bare",
        (Some(_), None) => "tag",
        (None, Some(_)) => "digest",
        (Some(_), Some(_)) => "tag and digest",
    }
    .to_owned()
}

//! A small valid OCI image: a configuration, one layer with one file, and the manifest that names them
//! (OCI image specification 1.1).

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::grammar::digest;

/// Media type of an image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image index, the manifest of a multi-platform image.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a gzipped layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Block size of a tar archive (POSIX.1-1988, "ustar").
const TAR_BLOCK: usize = 512;

/// What is to be in an image. Equal images have equal digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    content: String,
    labels: BTreeMap<String, String>,
    created: String,
    architecture: String,
}

impl Image {
    /// An image for linux/amd64 whose one file, `version`, holds `content`: another content, another digest.
    pub fn new(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            labels: BTreeMap::new(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            architecture: "amd64".to_owned(),
        }
    }

    /// Adds a label, as a Dockerfile's `LABEL` does.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets the build time, in RFC 3339.
    #[must_use]
    pub fn created(mut self, created: impl Into<String>) -> Self {
        self.created = created.into();
        self
    }

    /// Sets the architecture, such as `arm64`.
    #[must_use]
    pub fn architecture(mut self, architecture: impl Into<String>) -> Self {
        self.architecture = architecture.into();
        self
    }

    /// Makes the parts of the image.
    pub fn build(&self) -> ImageParts {
        let archive = tar_of_one_file("version", self.content.as_bytes());
        let diff_id = digest(&archive);
        let layer = gzip(&archive);
        let config = json!({
            "created": self.created,
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Cmd": ["/version"], "Labels": self.labels},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": self.created, "created_by": "COPY version /"}],
        });
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config),
            "layers": [descriptor(OCI_LAYER, &layer)],
        });
        ImageParts { config, layer, manifest: Bytes::from(manifest.to_string()) }
    }
}

/// The bytes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageParts {
    /// The configuration blob, [`OCI_CONFIG`].
    pub config: Bytes,
    /// The layer blob, [`OCI_LAYER`].
    pub layer: Bytes,
    /// The manifest, [`OCI_MANIFEST`].
    pub manifest: Bytes,
}

impl ImageParts {
    /// The digest of the image, which is that of its manifest.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

/// The bytes of the index, [`OCI_INDEX`], that names one manifest for each platform `linux/<architecture>`.
pub fn index(images: &[(&str, Bytes)]) -> Bytes {
    let manifests: Vec<Value> = images
        .iter()
        .map(|(architecture, manifest)| {
            let mut entry = descriptor(OCI_MANIFEST, manifest);
            if let Some(entry) = entry.as_object_mut() {
                let platform = json!({"architecture": architecture, "os": "linux"});
                entry.insert("platform".to_owned(), platform);
            }
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    Bytes::from(index.to_string())
}

fn descriptor(media_type: &str, content: &Bytes) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn tar_of_one_file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(TAR_BLOCK);
    let mut field = |text: &[u8], width: usize| {
        header.extend(text.iter().copied().chain(std::iter::repeat(0)).take(width));
    };
    field(name.as_bytes(), 100);
    field(b"0000644\0", 8); // mode
    field(b"0000000\0", 8); // owner
    field(b"0000000\0", 8); // group
    field(format!("{:011o}\0", content.len()).as_bytes(), 12);
    field(b"00000000000\0", 12); // modification time
    field(b"        ", 8); // checksum, counted as spaces
    field(b"0", 1); // a regular file
    field(b"", 100); // link name
    field(b"ustar\x0000", 8);
    field(b"", TAR_BLOCK - 265);
    let checksum: u32 = header.iter().copied().map(u32::from).sum();
    header.splice(148..156, format!("{checksum:06o}\0 ").into_bytes());

    let mut archive = header;
    archive.extend_from_slice(content);
    // The file is padded to whole blocks, and two empty blocks end the archive.
    archive.resize(archive.len().next_multiple_of(TAR_BLOCK) + 2 * TAR_BLOCK, 0);
    archive
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("writing to memory cannot fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_images_have_equal_digests_and_other_content_another() {
        let image = Image::new("1").label("a", "b");
        assert_eq!(image.build(), image.clone().build());
        for other in [
            Image::new("2").label("a", "b"),
            Image::new("1"),
            Image::new("1").label("a", "b").architecture("arm64"),
            Image::new("1").label("a", "b").created("2026-01-02T00:00:00Z"),
        ] {
            assert_ne!(image.build().digest(), other.build().digest(), "{other:?}");
        }
    }
}

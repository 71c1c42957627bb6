//! Putting images into a registry: by its API, as clients do, or as the files it serves.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use skeg::embedded::registry::{Image, ImageParts, Login, OCI_INDEX, OCI_MANIFEST};

use super::far::Far;
use crate::support::registry::Auth;
use crate::support::token_service::TokenService;

/// The repository with an image, another one, and an index of two.
pub const APP: &str = "team/app";
/// The repository with many tags.
pub const MANY: &str = "team/many";
/// The repository whose tag has company that no client may push.
pub const ODD: &str = "team/odd";
/// The tag of the index.
const INDEX_TAG: &str = "2.0.0";
/// Tags pushed side by side.
const AT_ONCE: usize = 16;

/// The way into a registry.
pub enum Writer {
    /// Its API.
    Http(Http),
    /// Its folder.
    Files(Files),
}

/// A client that pushes.
pub struct Http {
    host: String,
    client: Client,
    login: Option<Login>,
    realm: Option<String>,
}

/// The folder that is served.
pub struct Files(PathBuf);

/// The digests of what was put into [`APP`].
pub struct Pushed {
    /// Of `1.0.0` and `1.1.0`.
    pub images: [String; 2],
    /// Of `2.0.0`.
    pub index: String,
    /// Of the images in it.
    pub members: [String; 2],
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The images of the index, and the index.
fn members() -> ([ImageParts; 2], Bytes) {
    let parts = ["amd64", "arm64"].map(|architecture| Image::new("2").architecture(architecture).created("2026-02-03T04:05:06Z").build());
    let index = skeg::embedded::registry::index(&[("amd64", parts[0].manifest.clone()), ("arm64", parts[1].manifest.clone())]);
    (parts, index)
}

/// The index's tag and digest.
pub fn index() -> (&'static str, String) {
    (INDEX_TAG, digest(&members().1))
}

/// A tag of [`MANY`], in the order of their numbers.
pub fn many_tag(number: usize) -> String {
    format!("1.0.{number:05}")
}

impl Far {
    /// Fills [`APP`].
    pub async fn fill(&self) -> Pushed {
        let images = [self.push(APP, "1.0.0", &Image::new("1.0.0")).await, self.push(APP, "1.1.0", &Image::new("1.1.0")).await];
        let (parts, index) = members();
        for part in &parts {
            self.put_image(APP, &part.digest(), part).await;
        }
        self.writer.put_manifest(APP, INDEX_TAG, OCI_INDEX, &index).await;
        Pushed { images, index: digest(&index), members: parts.map(|part| part.digest()) }
    }

    /// Gives [`MANY`] this many tags of one image.
    pub async fn fill_with_tags(&self, count: usize) {
        let image = Image::new("many").build();
        self.put_image(MANY, &many_tag(0), &image).await;
        let tags = stream::iter(1..count).map(async |number| {
            self.writer.put_manifest(MANY, &many_tag(number), OCI_MANIFEST, &image.manifest).await;
        });
        tags.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Pushes an image; gives its digest.
    pub async fn push(&self, repository: &str, tag: &str, image: &Image) -> String {
        let parts = image.build();
        self.put_image(repository, tag, &parts).await;
        parts.digest()
    }

    async fn put_image(&self, repository: &str, reference: &str, parts: &ImageParts) {
        self.writer.put_blob(repository, &parts.config).await;
        self.writer.put_blob(repository, &parts.layer).await;
        self.writer.put_manifest(repository, reference, OCI_MANIFEST, &parts.manifest).await;
    }
}

impl Writer {
    async fn put_blob(&self, repository: &str, bytes: &Bytes) {
        match self {
            Self::Http(http) => http.put_blob(repository, bytes).await,
            Self::Files(Files(folder)) => write(&folder.join("v2").join(repository).join("blobs").join(digest(bytes)), bytes),
        }
    }

    async fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: &Bytes) {
        match self {
            Self::Http(http) => http.put_manifest(repository, reference, media_type, bytes).await,
            Self::Files(files) => files.put_manifest(repository, reference, bytes),
        }
    }

    /// The tag list as the registry sends it.
    pub async fn raw_list(&self, repository: &str) -> String {
        match self {
            Self::Http(http) => http.raw_list(repository).await,
            Self::Files(Files(folder)) => fs::read_to_string(folder.join("v2").join(repository).join("tags/list")).unwrap(),
        }
    }
}

impl Http {
    /// For a registry that wants to know who pushes in this way.
    pub fn new(host: String, auth: &Auth, tokens: Option<&TokenService>) -> Self {
        // Whoever starts first installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { host, client, login: auth.login().cloned(), realm: tokens.map(TokenService::realm) }
    }

    async fn put_blob(&self, repository: &str, bytes: &Bytes) {
        let begun = self.done(repository, self.client.post(self.url(repository, "blobs/uploads/"))).await;
        let mut upload = begun.url().join(begun.headers()["location"].to_str().unwrap()).unwrap();
        upload.query_pairs_mut().append_pair("digest", &digest(bytes));
        self.done(repository, self.client.put(upload).header("content-type", "application/octet-stream").body(bytes.clone())).await;
    }

    async fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: &Bytes) {
        let put = self.client.put(self.url(repository, &format!("manifests/{reference}")));
        self.done(repository, put.header("content-type", media_type).body(bytes.clone())).await;
    }

    async fn raw_list(&self, repository: &str) -> String {
        self.done(repository, self.client.get(self.url(repository, "tags/list"))).await.text().await.unwrap()
    }

    fn url(&self, repository: &str, rest: &str) -> String {
        format!("http://{}/v2/{repository}/{rest}", self.host)
    }

    async fn done(&self, repository: &str, request: RequestBuilder) -> Response {
        let request = match (&self.login, &self.realm) {
            (Some(login), Some(realm)) => request.bearer_auth(self.token(repository, login, realm).await),
            (Some(login), None) => request.basic_auth(&login.user, Some(&login.password)),
            (None, _) => request,
        };
        request.send().await.unwrap().error_for_status().unwrap()
    }

    async fn token(&self, repository: &str, login: &Login, realm: &str) -> String {
        let asked = self.client.get(format!("{realm}?service=test&scope=repository:{repository}:pull,push"));
        let given: Value = asked.basic_auth(&login.user, Some(&login.password)).send().await.unwrap().json().await.unwrap();
        given["token"].as_str().unwrap().to_owned()
    }
}

impl Files {
    /// Below this folder.
    pub fn below(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn put_manifest(&self, repository: &str, reference: &str, bytes: &Bytes) {
        let folder = self.0.join("v2").join(repository);
        let manifests = folder.join("manifests");
        write(&manifests.join(reference), bytes);
        write(&manifests.join(digest(bytes)), bytes);
        let names = fs::read_dir(&manifests).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut tags: Vec<String> = names.filter(|name| !name.starts_with("sha256:")).collect();
        tags.sort();
        write(&folder.join("tags/list"), json!({"name": repository, "tags": tags}).to_string().as_bytes());
    }
}

fn write(file: &Path, bytes: &[u8]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

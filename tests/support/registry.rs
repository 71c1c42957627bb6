//! Real registries (Debian's `docker-registry`, distribution 3) and a real client (`skopeo`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use skeg::embedded::registry::{Image, Login, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};

use super::needs::{Program, all_there, made_there};
use super::server::Server;
use super::token_service::TokenService;

const REGISTRY: Program = Program("docker-registry", "docker-registry");
const HTPASSWD: Program = Program("htpasswd", "apache2-utils");
const OPENSSL: Program = Program("openssl", "openssl");
/// What builds those that Debian does not have.
pub const MADE_BY: &str = "tests/registries/build.sh";
const SKOPEO: Program = Program("skopeo", "skopeo");

/// How callers log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Not at all.
    Anonymous,
    /// With this user on every request.
    Basic(Login),
    /// With a token that a token service gives to this user.
    Bearer(Login),
}

impl Auth {
    /// Who they are then.
    pub fn login(&self) -> Option<&Login> {
        match self {
            Self::Anonymous => None,
            Self::Basic(login) | Self::Bearer(login) => Some(login),
        }
    }
}

/// Where the registry posts its notifications.
#[derive(Debug, Clone)]
pub struct Notify {
    /// The receiver.
    pub url: String,
    /// A header for it, `Name: value`.
    pub header: String,
}

/// Which registry.
#[derive(Debug, Clone, Copy)]
pub enum Version {
    /// Debian's `docker-registry`, which is distribution 2.8: all tags at once.
    Two,
    /// distribution 3, with so many tags in one page.
    Three {
        /// At most.
        page_tags: usize,
    },
}

/// A running registry. Everything of it is gone when this is dropped.
pub struct RealRegistry {
    server: Server,
    auth: Auth,
    folder: PathBuf,
    /// Held so that it ends after the registry.
    tokens: Option<Arc<TokenService>>,
}

impl RealRegistry {
    /// Starts an empty `docker-registry` to push to with `skopeo`; `None` where a program is not installed, which has then been said.
    #[track_caller]
    pub fn start(auth: Auth, notify: Option<Notify>) -> Option<Self> {
        if !all_there(&[SKOPEO]) {
            return None;
        }
        Self::start_of(Version::Two, auth, notify)
    }

    /// Starts an empty registry; `None` where its programs are not there, which has then been said.
    #[track_caller]
    pub fn start_of(version: Version, auth: Auth, notify: Option<Notify>) -> Option<Self> {
        let needed: &[Program] = match auth {
            Auth::Anonymous => &[],
            Auth::Basic(_) => &[HTPASSWD],
            Auth::Bearer(_) => &[OPENSSL],
        };
        let mut variables = match version {
            Version::Two => all_there(&[REGISTRY]).then(Vec::new)?,
            Version::Three { page_tags } => {
                let made = made_there("distribution 3", MADE_BY)?;
                vec![("REGISTRY", made.join("distribution").display().to_string()), ("PAGE_TAGS", page_tags.to_string())]
            }
        };
        if !all_there(needed) {
            return None;
        }
        let mut tokens = None;
        match &auth {
            Auth::Anonymous => {}
            Auth::Basic(login) => variables.push(("LOGIN", format!("{}:{}", login.user, login.password))),
            Auth::Bearer(login) => {
                let service = TokenService::start(login.clone());
                variables.push(("TOKEN_REALM", service.realm()));
                tokens = Some(Arc::new(service));
            }
        }
        if let Some(notify) = notify {
            variables.push(("NOTIFY_URL", notify.url));
            variables.push(("NOTIFY_HEADER", notify.header));
        }
        let (server, folder) = Server::start("registry.sh", &variables, |directory| {
            if let Some(tokens) = &tokens {
                std::fs::write(directory.join("tokens.crt"), tokens.certificate()).unwrap();
            }
            directory.to_owned()
        });
        Some(Self { server, auth, folder, tokens })
    }

    /// Who gives tokens for it, where callers need one.
    pub fn tokens(&self) -> Option<Arc<TokenService>> {
        self.tokens.clone()
    }

    /// The folder that has a folder for each tag of a repository.
    pub fn tag_folders(&self, repository: &str) -> PathBuf {
        self.folder.join("data/docker/registry/v2/repositories").join(repository).join("_manifests/tags")
    }

    /// The registry part of an image reference.
    pub fn host(&self) -> String {
        self.server.address().to_string()
    }

    /// Pushes an image with `skopeo` and returns its digest.
    #[track_caller]
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> String {
        push(&format!("{}/{repository}:{tag}", self.host()), image, self.auth.login())
    }
}

/// Whether `skopeo` is there, for tests that need no registry but the embedded one.
#[track_caller]
pub fn has_skopeo() -> bool {
    all_there(&[SKOPEO])
}

/// Pushes an image with `skopeo` to a reference (`host:port/name:tag`) and returns its digest.
#[track_caller]
pub fn push(reference: &str, image: &Image, login: Option<&Login>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    let digest = write_layout(&layout, image);
    let source = format!("oci:{}:image", layout.display());
    let target = format!("docker://{reference}");
    let pushed = skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &source, &target], login);
    assert!(pushed.status.success(), "skopeo copy: {}", String::from_utf8_lossy(&pushed.stderr));
    digest
}

/// Runs `skopeo` with this login for every registry on loopback, and nothing of the user's own settings.
pub fn skopeo(arguments: &[&str], login: Option<&Login>) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("skopeo");
    command.env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path()).env("TMPDIR", home.path());
    command.env_remove("REGISTRY_AUTH_FILE").arg("--insecure-policy").args(arguments);
    if let Some(login) = login {
        let registries = arguments.iter().filter_map(|argument| argument.strip_prefix("docker://")?.split('/').next());
        let pair = STANDARD.encode(format!("{}:{}", login.user, login.password));
        let entries: serde_json::Map<String, Value> = registries.map(|host| (host.to_owned(), json!({ "auth": pair }))).collect();
        let file = home.path().join("auth.json");
        std::fs::write(&file, json!({ "auths": entries }).to_string()).unwrap();
        command.arg("--authfile").arg(file);
    }
    command.output().unwrap()
}

/// Writes an image as an OCI image layout (image specification 1.1, "Image Layout") that calls it `image`.
fn write_layout(directory: &Path, image: &Image) -> String {
    let parts = image.build();
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let manifest: Value = serde_json::from_slice(&parts.manifest).unwrap();
    for (descriptor, media_type, bytes) in
        [(&manifest["config"], OCI_CONFIG, &parts.config), (&manifest["layers"][0], OCI_LAYER, &parts.layer)]
    {
        assert_eq!(descriptor["mediaType"], media_type);
        write_blob(&blobs, descriptor["digest"].as_str().unwrap(), bytes);
    }
    let digest = parts.digest();
    write_blob(&blobs, &digest, &parts.manifest);
    let entry = json!({
        "mediaType": OCI_MANIFEST,
        "digest": digest,
        "size": parts.manifest.len(),
        "annotations": { "org.opencontainers.image.ref.name": "image" },
    });
    std::fs::write(directory.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()).unwrap();
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    digest
}

fn write_blob(blobs: &Path, digest: &str, bytes: &[u8]) {
    std::fs::write(blobs.join(digest.strip_prefix("sha256:").unwrap()), bytes).unwrap();
}

//! A real registry (Debian's `docker-registry`) and a real client (`skopeo`).

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use skeg::embedded::registry::{Image, Login, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};

use super::needs::{Program, all_there};
use super::server::Server;
use super::token_service::TokenService;

const REGISTRY: Program = Program("docker-registry", "docker-registry");
const HTPASSWD: Program = Program("htpasswd", "apache2-utils");
const OPENSSL: Program = Program("openssl", "openssl");
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
    fn login(&self) -> Option<&Login> {
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

/// A running `docker-registry`. Everything of it is gone when this is dropped.
pub struct RealRegistry {
    server: Server,
    auth: Auth,
    /// Held so that it ends after the registry.
    _tokens: Option<TokenService>,
}

impl RealRegistry {
    /// Starts an empty registry; `None` where its programs are not installed, which has then been said.
    #[track_caller]
    pub fn start(auth: Auth, notify: Option<Notify>) -> Option<Self> {
        let needed: &[Program] = match auth {
            Auth::Anonymous => &[REGISTRY, SKOPEO],
            Auth::Basic(_) => &[REGISTRY, SKOPEO, HTPASSWD],
            Auth::Bearer(_) => &[REGISTRY, SKOPEO, OPENSSL],
        };
        if !all_there(needed) {
            return None;
        }
        let mut variables = Vec::new();
        let mut tokens = None;
        match &auth {
            Auth::Anonymous => {}
            Auth::Basic(login) => variables.push(("LOGIN", format!("{}:{}", login.user, login.password))),
            Auth::Bearer(login) => {
                let service = TokenService::start(login.clone());
                variables.push(("TOKEN_REALM", service.realm()));
                tokens = Some(service);
            }
        }
        if let Some(notify) = notify {
            variables.push(("NOTIFY_URL", notify.url));
            variables.push(("NOTIFY_HEADER", notify.header));
        }
        let (server, ()) = Server::start("registry.sh", &variables, |directory| {
            if let Some(tokens) = &tokens {
                std::fs::write(directory.join("tokens.crt"), tokens.certificate()).unwrap();
            }
        });
        Some(Self { server, auth, _tokens: tokens })
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

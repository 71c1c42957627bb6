//! What becomes of an image when a node pulls and starts it: asked of whoever runs the simulation.

use std::future::Future;
use std::pin::Pin;

/// What happens to a container of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It is pulled, starts and becomes ready.
    Runs {
        /// `sha256:…` of the manifest, as the registry has it.
        digest: String,
    },
    /// It is pulled and starts, but never becomes ready.
    NeverReady {
        /// `sha256:…` of the manifest, as the registry has it.
        digest: String,
    },
    /// It is pulled and starts, and exits again and again.
    Crashes {
        /// `sha256:…` of the manifest, as the registry has it.
        digest: String,
    },
    /// It cannot be pulled, for this reason.
    PullError(String),
}

impl Resolution {
    /// The digest of what was pulled.
    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Runs { digest } | Self::NeverReady { digest } | Self::Crashes { digest } => Some(digest),
            Self::PullError(_) => None,
        }
    }
}

/// Says what becomes of an image text. Called once for every image of every pod, and again after a failed pull, on the
/// simulation's own thread: a client with connections should be made there, not brought along.
pub trait ImageResolver: Send + Sync + 'static {
    /// Resolves an image text as it stands in a pod's spec.
    fn resolve(&self, image: String) -> Pin<Box<dyn Future<Output = Resolution> + Send>>;
}

impl<F, R> ImageResolver for F
where
    F: Fn(String) -> R + Send + Sync + 'static,
    R: Future<Output = Resolution> + Send + 'static,
{
    fn resolve(&self, image: String) -> Pin<Box<dyn Future<Output = Resolution> + Send>> {
        Box::pin(self(image))
    }
}

/// `repository@digest` as containerd reports it in `imageID`: fully qualified, without the tag.
pub fn image_id(image: &str, digest: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let repository = match name.get(slash..).and_then(|last| last.find(':')) {
        Some(colon) => name.get(..slash + colon).unwrap_or(name),
        None => name,
    };
    format!("{}@{digest}", qualified(repository))
}

/// The normal form of a repository (`distribution/reference`): Docker Hub where no registry is named.
fn qualified(repository: &str) -> String {
    match repository.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => repository.to_owned(),
        Some(_) => format!("docker.io/{repository}"),
        None => format!("docker.io/library/{repository}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, expected: &str) {
        assert_eq!(image_id(image, "sha256:0"), expected);
    }

    #[test]
    fn an_image_id_is_the_qualified_repository_and_the_digest() {
        check("nginx", "docker.io/library/nginx@sha256:0");
        check("nginx:1.27", "docker.io/library/nginx@sha256:0");
        check("grafana/grafana:11", "docker.io/grafana/grafana@sha256:0");
        check("127.0.0.1:5000/shop/web:1.0.1", "127.0.0.1:5000/shop/web@sha256:0");
        check("127.0.0.1:5000/web", "127.0.0.1:5000/web@sha256:0");
        check("ghcr.io/a/b:1@sha256:9", "ghcr.io/a/b@sha256:0");
    }
}

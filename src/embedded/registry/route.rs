//! The endpoints of the distribution specification (1.1, "Endpoints") that this registry has.

/// What a request is about, as faults are matched by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `/v2/`
    Ping,
    /// The token service, `/token`.
    Token,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/manifests/<reference>`
    Manifest,
    /// `/v2/<name>/blobs/<digest>`
    Blob,
    /// `/v2/<name>/blobs/uploads/` and what is below.
    Upload,
}

/// A path, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Ping,
    Token,
    Tags { name: &'a str },
    Manifest { name: &'a str, reference: &'a str },
    Blob { name: &'a str, digest: &'a str },
    Uploads { name: &'a str },
    Upload { name: &'a str, id: &'a str },
}

impl<'a> Route<'a> {
    /// Reads a path; `None` when there is no such endpoint. Names and references are not checked here.
    pub fn parse(path: &'a str) -> Option<Self> {
        match path {
            "/v2" | "/v2/" => return Some(Self::Ping),
            "/token" => return Some(Self::Token),
            _ => {}
        }
        // A repository name may itself contain "blobs" or "tags", so the last separators count.
        let path = path.strip_prefix("/v2/")?;
        if let Some(name) = path.strip_suffix("/tags/list") {
            return Some(Self::Tags { name });
        }
        let (rest, last) = path.rsplit_once('/')?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Some(if last.is_empty() { Self::Uploads { name } } else { Self::Upload { name, id: last } });
        }
        if let Some(name) = rest.strip_suffix("/manifests") {
            return Some(Self::Manifest { name, reference: last });
        }
        let name = rest.strip_suffix("/blobs")?;
        Some(if last == "uploads" { Self::Uploads { name } } else { Self::Blob { name, digest: last } })
    }

    /// What it is about.
    pub fn operation(self) -> Operation {
        match self {
            Self::Ping => Operation::Ping,
            Self::Token => Operation::Token,
            Self::Tags { .. } => Operation::Tags,
            Self::Manifest { .. } => Operation::Manifest,
            Self::Blob { .. } => Operation::Blob,
            Self::Uploads { .. } | Self::Upload { .. } => Operation::Upload,
        }
    }

    /// The repository, where there is one.
    pub fn repository(self) -> Option<&'a str> {
        match self {
            Self::Ping | Self::Token => None,
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. } => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<Route<'_>>) {
        assert_eq!(Route::parse(path), expected, "{path}");
    }

    #[test]
    fn paths_are_taken_apart() {
        let name = "team/app";
        check("/v2/", Some(Route::Ping));
        check("/v2", Some(Route::Ping));
        check("/token", Some(Route::Token));
        check("/v2/team/app/tags/list", Some(Route::Tags { name }));
        check("/v2/team/app/manifests/1.0", Some(Route::Manifest { name, reference: "1.0" }));
        check("/v2/team/app/blobs/sha256:00", Some(Route::Blob { name, digest: "sha256:00" }));
        check("/v2/team/app/blobs/uploads/", Some(Route::Uploads { name }));
        check("/v2/team/app/blobs/uploads", Some(Route::Uploads { name }));
        check("/v2/team/app/blobs/uploads/7", Some(Route::Upload { name, id: "7" }));
    }

    #[test]
    fn a_repository_may_be_called_like_an_endpoint() {
        check("/v2/blobs/tags/manifests/manifests/1", Some(Route::Manifest { name: "blobs/tags/manifests", reference: "1" }));
    }

    #[test]
    fn other_paths_are_no_endpoint() {
        for path in ["/", "/v1/", "/v2/app", "/v2/_catalog", "/v2/app/other/1"] {
            check(path, None);
        }
    }
}

//! What the registry refuses, and how the OCI distribution specification (1.1, "Error Codes") spells it.

use http::StatusCode;

/// Why a request or a direct call was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The repository name breaks the specification's grammar.
    #[error("invalid repository name {0:?}")]
    NameInvalid(String),
    /// Nothing was ever pushed to this repository.
    #[error("repository {0} is not known")]
    NameUnknown(String),
    /// The tag breaks the specification's grammar.
    #[error("invalid tag {0:?}")]
    TagInvalid(String),
    /// No such tag or digest, or none in a media type that the request accepts.
    #[error("manifest {0} is not known")]
    ManifestUnknown(String),
    /// The manifest is no JSON object of a known shape.
    #[error("invalid manifest: {0}")]
    ManifestInvalid(&'static str),
    /// The manifest names a blob or manifest that the repository does not hold.
    #[error("manifest names {0}, which is not there")]
    ManifestBlobUnknown(String),
    /// No such blob in this repository.
    #[error("blob {0} is not known")]
    BlobUnknown(String),
    /// No such upload, or it has ended.
    #[error("upload is not known")]
    UploadUnknown,
    /// A chunk that does not follow the bytes received so far, or a body that broke off.
    #[error("upload is out of order")]
    UploadInvalid,
    /// The digest is malformed, or not that of the bytes.
    #[error("digest does not match")]
    DigestInvalid,
    /// Longer than this registry takes.
    #[error("content is too large")]
    TooLarge,
    /// The page size is not a number.
    #[error("n is not a number")]
    PageSizeInvalid,
    /// No credential, or a wrong one.
    #[error("authentication required")]
    Unauthorized,
    /// The route or method does not exist here.
    #[error("not supported")]
    Unsupported,
    /// The bound on everything stored is reached.
    #[error("registry is full")]
    Full,
}

impl RegistryError {
    /// The code in the answer's JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NameInvalid(_) => "NAME_INVALID",
            Self::NameUnknown(_) => "NAME_UNKNOWN",
            Self::ManifestUnknown(_) => "MANIFEST_UNKNOWN",
            Self::TagInvalid(_) | Self::ManifestInvalid(_) => "MANIFEST_INVALID",
            Self::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::UploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::TooLarge => "SIZE_INVALID",
            // Not in the specification; the code Docker's registry uses.
            Self::PageSizeInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Full => "TOOMANYREQUESTS",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NameUnknown(_) | Self::ManifestUnknown(_) | Self::BlobUnknown(_) | Self::UploadUnknown => StatusCode::NOT_FOUND,
            Self::NameInvalid(_)
            | Self::TagInvalid(_)
            | Self::ManifestInvalid(_)
            | Self::ManifestBlobUnknown(_)
            | Self::DigestInvalid
            | Self::PageSizeInvalid => StatusCode::BAD_REQUEST,
            Self::UploadInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

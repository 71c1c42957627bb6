//! OCI registries: tags and digests.

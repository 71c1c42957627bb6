//! The `skeg.dev/` annotations.

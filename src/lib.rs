//! skeg.

//! Capability tests: skeg seen from outside, against servers that speak the real protocols.
//!
//! One binary, so that it is linked once and a server which several tests share is started once. Each capability is a
//! file of its name, declared here by one commented line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

/// What a Kubernetes API server answers: the real one and the embedded one.
mod conformance;
/// Configuration: the example file, and what a broken file is told.
mod config;
/// The HTTP side alone: who is let in, what is bounded, how mistakes are answered.
mod http_api;
/// The real servers run, and the embedded ones answer like them.
#[cfg(feature = "embedded")]
mod far_ends;
mod support;
/// Write-back: images that run are recorded in Git.
#[cfg(feature = "embedded")]
mod write_back;

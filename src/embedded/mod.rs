//! The far ends of skeg in this process: what `skeg demo` and the fast tests run against (feature `embedded`).
//!
//! These are servers, not mocks. They speak the wire protocols on loopback ports, and the daemon reaches them through its
//! real adapters; so nothing here may use a type of `core`, `ports` or `adapters`, or a mistake there would be mirrored here
//! and never be seen. They are no products either: everything lives in memory or in a given directory and is bounded.

mod login;
mod requests;

pub mod git;
pub mod kube;
pub mod loopback;
pub mod registry;

//! What the capability tests stand on: servers that speak the real protocols, started and stopped by the tests.

/// A whole skeg on far ends of its own.
#[cfg(feature = "embedded")]
pub mod agent;
/// What skeg asked of the real API server.
#[cfg(feature = "embedded")]
pub mod audit;
/// skeg's audit log, as it is written.
pub mod audit_log;
/// skeg's chart on the real control plane.
#[cfg(feature = "embedded")]
pub mod chart;
/// The embedded Kubernetes API with skeg's client at it.
#[cfg(feature = "embedded")]
pub mod cluster;
/// A real control plane, one for a whole run.
#[cfg_attr(not(feature = "embedded"), allow(dead_code, reason = "tests with embedded far ends use the rest"))]
pub mod controlplane;
/// The program as a container has it.
#[cfg(feature = "embedded")]
pub mod daemon;
/// The way to the real API server, with faults.
#[cfg(feature = "embedded")]
pub mod fault_proxy;
/// A gate on the way to a far end.
#[cfg(feature = "embedded")]
pub mod gate;
/// A real Git server.
#[cfg(feature = "embedded")]
pub mod git;
/// A real Git server behind SSH.
#[cfg(feature = "embedded")]
pub mod git_ssh;
/// Plain requests to a Kubernetes API, and what was answered.
pub mod kube_api;
/// Programs that a machine may not have.
#[cfg(feature = "embedded")]
pub mod needs;
/// The nodes of the control plane, and what becomes of pods.
pub mod nodes;
/// A desk that takes notes, behind the HTTP side.
pub mod noting_desk;
/// Ports that panic or fail for long where a test asks for it.
#[cfg_attr(not(feature = "embedded"), allow(dead_code, reason = "tests with embedded far ends use the rest"))]
pub mod outside;
/// What engineers may do beside skeg.
#[cfg(feature = "embedded")]
pub mod people;
/// Requests written byte by byte.
pub mod raw_http;
/// A real registry and a real client of registries.
#[cfg(feature = "embedded")]
pub mod registry;
/// Figures for whoever runs the tests.
#[cfg(feature = "embedded")]
pub mod report;
/// The life of a server script.
#[cfg(feature = "embedded")]
pub mod server;
/// A Slack of this machine.
#[cfg(feature = "embedded")]
pub mod slack;
/// Tokens for a real registry.
#[cfg(feature = "embedded")]
pub mod token_service;

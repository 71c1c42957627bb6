//! What the capability tests stand on: servers that speak the real protocols, started and stopped by the tests.

/// A real etcd and kube-apiserver, one for a whole run.
pub mod controlplane;
/// Plain requests to a Kubernetes API, and what was answered.
pub mod kube_api;

//! The Kubernetes API: workloads, patches, rollouts, events, pauses.

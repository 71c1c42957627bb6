//! Capability tests: skeg seen from outside, against servers that speak the real protocols.
//!
//! One binary, so that it is linked once and a server which several tests share is started once. Each capability is a
//! file of its name, declared here by one commented line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

/// Approvals: what is deployed is what was voted for, or nothing.
#[cfg(feature = "embedded")]
mod approvals;
/// The audit log: every refusal and every order is in it.
mod audit;
/// The chart: what it installs, what it grants.
#[cfg(feature = "embedded")]
mod chart;
/// Git remotes that let nobody in, or take no push.
#[cfg(feature = "embedded")]
mod closed_remotes;
/// The command line: forms of output, exit codes, what mistakes are told.
mod command_line;
/// Configuration: the example file, and what a broken file is told.
mod config;
/// What a Kubernetes API server answers: the real one and the embedded one.
mod conformance;
/// What is not done, and what goes on when a part of the world is away.
#[cfg(feature = "embedded")]
mod degraded;
/// The demo: the whole loop in one process.
#[cfg(feature = "embedded")]
mod demo;
/// Images in a folder of manifests are set by hand.
mod edit;
/// `skeg explain`: why a workload is or is not updated.
#[cfg(feature = "embedded")]
mod explain;
/// The real servers run, and the embedded ones answer like them.
#[cfg(feature = "embedded")]
mod far_ends;
/// Git over SSH.
#[cfg(feature = "embedded")]
mod git_ssh;
/// Hints: what is read for one, and what it leads to.
#[cfg(feature = "embedded")]
mod hints;
/// Deliveries that nobody has signed, and what they cost.
#[cfg(feature = "embedded")]
mod hostile_deliveries;
/// The HTTP side alone: who is let in, what is bounded, how mistakes are answered.
mod http_api;
/// Keel's own choices: the vectors of its code, through the command line.
mod keel;
/// Keel's keys in a cluster: what a running skeg makes of them.
#[cfg(feature = "embedded")]
mod keel_mode;
/// The program is killed and stopped at each boundary of its loop.
#[cfg(feature = "embedded")]
mod kills;
/// Two replicas: one leads, by a lease; the other stands by and takes over.
#[cfg(feature = "embedded")]
mod leadership;
/// What the registry is asked for while nothing is pushed.
#[cfg(feature = "embedded")]
mod least_requests;
/// The directive `min-age`: what is too young waits, through restarts.
#[cfg(feature = "embedded")]
mod min_age;
/// The policy `newest`: build times, and what reading them costs.
#[cfg(feature = "embedded")]
mod newest;
/// Faults of skeg's own: each is met where it happens, and everything else goes on.
mod panics;
/// What people do in the cluster and in Git while skeg works is left as they made it.
#[cfg(feature = "embedded")]
mod people;
/// Platforms: an image is for every kind of node that its pods can land on.
#[cfg(feature = "embedded")]
mod platforms;
/// Policies: what is chosen, compared with what Flux, Argo CD and Keel choose.
mod policies;
/// Registries that want a login: one does not touch another.
#[cfg(feature = "embedded")]
mod private_registries;
/// Registries with the logins that pods pull with.
#[cfg(feature = "embedded")]
mod pull_secrets;
/// What the directories of the crate may reach for, and whether the map of it is true.
mod purity;
/// The whole loop on real parts: registry, Git server, API server.
#[cfg(feature = "embedded")]
mod real_loop;
/// Webhook receivers: who may post, what is bounded, what is answered.
mod receivers;
/// Records in the cluster: updates, pauses and Events.
#[cfg(feature = "embedded")]
mod records;
/// Registries behind mirrors and certificates, and those that are not asked.
#[cfg(feature = "embedded")]
mod registry_addresses;
/// One client, every registry.
#[cfg(feature = "embedded")]
mod registry_suite;
/// Registries in trouble: how often they are asked, and that it passes.
#[cfg(feature = "embedded")]
mod registry_trouble;
/// Everything is listed anew when a watch cannot go on.
#[cfg(feature = "embedded")]
mod relisting;
/// skeg is killed and stopped in the middle of its work, and goes on where it was.
#[cfg(feature = "embedded")]
mod restart;
/// Rollouts: an image is set, followed and put back.
#[cfg(feature = "embedded")]
mod rollouts;
/// Directives for many workloads at once, by rules and by annotations of Namespaces.
#[cfg(feature = "embedded")]
mod rules;
/// A stop in the middle of a patch and a push.
#[cfg(feature = "embedded")]
mod shutdown;
/// Slack: requests, clicks, and what is left when Slack is away.
#[cfg(feature = "embedded")]
mod slack;
/// A registry that answers by the byte.
#[cfg(feature = "embedded")]
mod slow_registries;
mod support;
/// Watching: the workloads of the cluster are known.
#[cfg(feature = "embedded")]
mod watching;
/// Deliveries of webhook sources, documented and recorded ones, lead to the right hints.
mod webhook_formats;
/// Webhooks from the delivery to the cluster.
#[cfg(feature = "embedded")]
mod webhooks;
/// Write-back: images that run are recorded in Git.
#[cfg(feature = "embedded")]
mod write_back;

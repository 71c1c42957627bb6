//! The configuration: one TOML file, one struct for each of its sections.
//!
//! A file is read as a whole or not at all: [`load`] gives a [`Config`] that can be used, or every problem in it at once. Secrets are only
//! named here ([`Secret`]) and read where they are used.

mod approvals;
mod cluster;
mod credential;
mod defaults;
mod git;
mod grant;
mod history;
mod keel;
mod limits;
mod load;
mod poll;
mod problem;
mod registries;
mod registry;
mod rule;
mod schema;
mod secret;
mod section;
mod server;
mod settle;
mod slack;
mod telemetry;
mod webhook;

pub use approvals::Approvals;
pub use cluster::{Cluster, Mode, Platforms};
pub use credential::Credential;
pub use git::{Remote, SshKey};
pub use grant::Namespaces;
pub use history::History;
pub use keel::Keel;
pub use limits::Limits;
pub use load::{load, parse, schema};
pub use poll::Poll;
pub use problem::{Position, Problem};
pub use registries::Registries;
pub use registry::Registry;
pub use secret::{Secret, SecretError, SecretValue};
pub use server::{Listen, ListenError, Server};
pub use settle::Settle;
pub use slack::Slack;
pub use telemetry::{LogFormat, Telemetry};
pub use webhook::Receiver;

use crate::core::directives::Rule;

/// Everything that is configured. Without a file everything has its default.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[keel]`
    pub keel: Keel,
    /// `[poll]`
    pub poll: Poll,
    /// `[settle]`
    pub settle: Settle,
    /// `[limits]`
    pub limits: Limits,
    /// `[registries]`
    pub registries_asked: Registries,
    /// `[[registry]]`, in the order of the file.
    pub registries: Vec<Registry>,
    /// `[approvals]`
    pub approvals: Approvals,
    /// `[slack]`, where it is written.
    pub slack: Option<Slack>,
    /// `[[git]]`, in the order of the file.
    pub remotes: Vec<Remote>,
    /// `[[rule]]`, in the order of the file.
    pub rules: Vec<Rule>,
    /// `[[webhook]]`, in the order of the file.
    pub receivers: Vec<Receiver>,
    /// `[history]`
    pub history: History,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// What does not stop skeg and should be told: secrets that are missing, settings without effect.
    pub warnings: Vec<Problem>,
}

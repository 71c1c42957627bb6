//! Judging a rollout from what the cluster shows.

use crate::core::workload::Container;

/// What the cluster shows of a workload's rollout at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RolloutFacts {
    /// The workload's uid.
    pub uid: Box<str>,
    /// The containers of its pod template as they are now.
    pub containers: Vec<Container>,
    /// Version of the specification, and the version the controller has acted on.
    pub generation: i64,
    /// See `generation`.
    pub observed_generation: i64,
    /// Pods wanted.
    pub wanted: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Pods of any template.
    pub total: i32,
    /// Pods that are ready for long enough.
    pub available: i32,
    /// Whether the rollout itself is paused (`spec.paused`).
    pub paused: bool,
    /// The message of the condition `Progressing` when it is `False` (`ProgressDeadlineExceeded`).
    pub progress_exceeded: Option<Box<str>>,
    /// The message of the condition `ReplicaFailure` when it is `True` (quota, admission).
    pub replica_failure: Option<Box<str>>,
    /// The pods of the present template.
    pub pods: Vec<PodFacts>,
}

/// What one pod of the present template shows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PodFacts {
    /// Its name.
    pub name: Box<str>,
    /// Its containers and init containers that have a status.
    pub containers: Vec<ContainerFacts>,
}

/// What one container of a pod shows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ContainerFacts {
    /// Its name.
    pub name: Box<str>,
    /// `imageID` of its status: mostly `repository@digest`; empty while the image is not pulled.
    pub image_id: Box<str>,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: i32,
    /// Reason and message when it waits (`ImagePullBackOff`, `CrashLoopBackOff`, …).
    pub waiting: Option<(Box<str>, Box<str>)>,
}

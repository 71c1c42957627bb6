//! Kubernetes Events: what `kubectl describe` shows below a workload.
//!
//! The name of an Event is made of what it says, so telling the same twice is one object: the server refuses the second. After an hour it
//! drops Events (`--event-ttl`), and what is still so may be told again.
//!
//! The format is `events.k8s.io/v1`, which the server validates, not the older core one, which takes nearly anything
//! (`docs/api-server.md`, "Events").

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::ApiServer;
use super::endpoint::Endpoint;
use crate::ports::clock::Clock;
use crate::ports::cluster::ClusterError;
use crate::ports::events::{Events, Told};

/// The longest note the server takes, in bytes here and in characters there.
const NOTE_BYTES_MAX: usize = 1_024;
/// The longest reason the server takes.
const REASON_BYTES_MAX: usize = 128;
/// How much of a workload's name an Event's repeats: with the hash it stays a legal name (253).
const NAME_BYTES_MAX: usize = 200;
/// Hexadecimal digits of the hash: two different sentences about one workload share a name once in 2^64.
const HASH_DIGITS: usize = 16;

/// Who reports, as a qualified name.
const REPORTER: &str = "skeg.dev/agent";

/// Tells people on the object itself.
pub struct KubernetesEvents {
    api: ApiServer,
    clock: Arc<dyn Clock>,
}

impl KubernetesEvents {
    /// Events written to the API server.
    pub fn new(api: ApiServer, clock: Arc<dyn Clock>) -> Self {
        Self { api, clock }
    }
}

#[async_trait]
impl Events for KubernetesEvents {
    async fn tell(&self, told: &Told) -> Result<(), ClusterError> {
        let object = format!("Event about {}", told.workload);
        let body = event(told, self.clock.now());
        match self.api.create(&object, Endpoint::EVENTS, &told.workload.namespace, &body).await {
            Ok(_) | Err(ClusterError::Exists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn event(told: &Told, now: Timestamp) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name(told), "namespace": told.workload.namespace},
        // Exactly six digits of fraction, or the server refuses it (`MicroTime`).
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "reportingController": REPORTER,
        "reportingInstance": "skeg",
        "action": "UpdateImage",
        "reason": cut(&told.reason, REASON_BYTES_MAX),
        "type": if told.warning { "Warning" } else { "Normal" },
        "note": cut(&told.message, NOTE_BYTES_MAX),
        "regarding": {
            "apiVersion": told.workload.kind.api_version(),
            "kind": told.workload.kind.as_str(),
            "namespace": told.workload.namespace,
            "name": told.workload.name,
            "uid": told.uid,
        },
    })
}

/// `<workload>.<hash of workload, reason and sentence>`, the form of the names that other reporters give.
fn name(told: &Told) -> String {
    let mut hash = Sha256::new();
    for part in [&*told.uid, &*told.reason, &told.message] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digits = hex::encode(hash.finalize());
    let stem = cut(&told.workload.name, NAME_BYTES_MAX).trim_end_matches(['-', '.']);
    format!("{stem}.{}", digits.get(..HASH_DIGITS).unwrap_or_default())
}

/// The start of the text, ending where a character ends.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::workload::{WorkloadId, WorkloadKind};

    fn told(name: &str, message: &str) -> Told {
        Told {
            workload: WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() },
            uid: "u1".into(),
            warning: true,
            reason: "DirectiveWrong".into(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_same_sentence_about_a_workload_has_the_same_name_and_any_other_has_another() {
        let first = name(&told("web", "no such policy"));
        assert_eq!(first, name(&told("web", "no such policy")));
        assert_ne!(first, name(&told("web", "no such key")));
        assert_ne!(first, name(&Told { uid: "u2".into(), ..told("web", "no such policy") }));
        assert!(first.starts_with("web.") && first.len() == 4 + HASH_DIGITS);
    }

    #[test]
    fn a_long_name_and_a_long_sentence_are_cut_where_the_server_takes_them() {
        let event = event(&told(&format!("{}-b", "a".repeat(199)), &"ä".repeat(2_000)), Timestamp::UNIX_EPOCH);
        let text = |pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        assert_eq!(text("/metadata/name"), format!("{}.{}", "a".repeat(199), text("/metadata/name").rsplit('.').next().unwrap()));
        assert_eq!(text("/note"), "ä".repeat(512));
        assert_eq!(text("/eventTime"), "1970-01-01T00:00:00.000000Z");
    }
}

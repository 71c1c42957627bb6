//! The lease, in the `Lease` object `skeg` of skeg's own namespace (coordination.k8s.io/v1).
//!
//! Where the holder is reached stands beside it in annotations. The object is written as a whole over the version that was read; what else
//! somebody has put on it does not stay.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::ApiServer;
use super::endpoint::Endpoint;
use super::watch::WATCH_SECONDS;
use crate::core::leadership::{KeptLease, LeaseRecord, LeaseVersion, Peer};
use crate::ports::cluster::ClusterError;
use crate::ports::lease::Lease;

/// The name of the object.
const NAME: &str = "skeg";
/// Where the holder's listener for webhooks is reached.
const PUBLIC: &str = "skeg.dev/public";
/// Where the holder's listener for the API is reached.
const PRIVATE: &str = "skeg.dev/private";

/// The lease of skeg's own namespace.
pub struct ClusterLease {
    api: ApiServer,
    namespace: Box<str>,
    object: String,
}

/// The object as far as it is read. What somebody has mistyped is taken as not there: the lease must not stand still for it.
#[derive(Deserialize)]
struct Read {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    resource_version: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<Box<str>>,
    lease_duration_seconds: Option<i32>,
    acquire_time: Option<Timestamp>,
    renew_time: Option<Timestamp>,
    lease_transitions: Option<i32>,
}

impl ClusterLease {
    /// The lease in `namespace`, skeg's own.
    pub fn new(api: ApiServer, namespace: &str) -> Self {
        Self { api, namespace: namespace.into(), object: format!("Lease {namespace}/{NAME}") }
    }

    fn body(&self, record: &LeaseRecord, replaces: Option<&LeaseVersion>) -> Result<Value, ClusterError> {
        let transitions = i32::try_from(record.transitions).map_err(|_| ClusterError::Refused {
            object: self.object.clone(),
            detail: format!("a record carries the epoch {}, which no lease can reach: mend its status.epoch", record.transitions - 1),
        })?;
        let annotations = record.peer.map_or_else(|| json!({}), |peer| json!({PUBLIC: peer.public, PRIVATE: peer.private}));
        Ok(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": NAME,
                "namespace": self.namespace,
                "labels": {"app.kubernetes.io/managed-by": "skeg"},
                "annotations": annotations,
                "resourceVersion": replaces.map(|version| &version.0),
            },
            "spec": {
                "holderIdentity": record.holder,
                // Whole seconds, and never fewer than are meant.
                "leaseDurationSeconds": record.lasts.as_secs() + u64::from(record.lasts.subsec_nanos() > 0),
                "acquireTime": micro(record.acquired),
                "renewTime": micro(record.renewed),
                "leaseTransitions": transitions,
            },
        }))
    }

    fn version(&self, stored: Value) -> Result<LeaseVersion, ClusterError> {
        let unclear = |detail: String| ClusterError::Unreachable { object: self.object.clone(), detail };
        kept(stored).map(|kept| kept.version).map_err(unclear)
    }
}

#[async_trait]
impl Lease for ClusterLease {
    async fn read(&self) -> Result<Option<KeptLease>, ClusterError> {
        let stored: Option<Value> = self.api.get(&self.object, Endpoint::LEASES, &self.namespace, NAME).await?;
        let unclear = |detail: String| ClusterError::Unreachable { object: self.object.clone(), detail };
        stored.map(kept).transpose().map_err(unclear)
    }

    async fn create(&self, record: &LeaseRecord) -> Result<LeaseVersion, ClusterError> {
        let body = self.body(record, None)?;
        self.version(self.api.create(&self.object, Endpoint::LEASES, &self.namespace, &body).await?)
    }

    async fn replace(&self, record: &LeaseRecord, version: &LeaseVersion) -> Result<LeaseVersion, ClusterError> {
        let body = self.body(record, Some(version))?;
        self.version(self.api.replace(&self.object, Endpoint::LEASES, (&self.namespace, NAME), &body).await?)
    }

    fn changes(&self) -> BoxStream<'static, Option<KeptLease>> {
        let objects: Api<LeaseObject> = Api::namespaced(self.api.kube(), &self.namespace);
        let params = WatchParams::default().fields(&format!("metadata.name={NAME}")).timeout(WATCH_SECONDS).disable_bookmarks();
        stream::once(async move {
            // From version 0 a watch begins with what there is.
            let events = objects.watch(&params, "0").await;
            let events = events.inspect_err(|error| tracing::debug!(error = %error, "the lease cannot be watched, and is read instead"));
            events.map_or_else(|_| stream::empty().boxed(), StreamExt::boxed)
        })
        .flatten()
        .scan((), |(), event| {
            std::future::ready(match event {
                Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)) => kept(json!(lease)).ok().map(Some),
                Ok(WatchEvent::Deleted(_)) => Some(None),
                Ok(WatchEvent::Bookmark(_) | WatchEvent::Error(_)) | Err(_) => None,
            })
        })
        .boxed()
    }
}

/// The lease as it is stored; the error says what is wrong with it.
fn kept(stored: Value) -> Result<KeptLease, String> {
    let Read { metadata, spec } = serde_json::from_value(stored).map_err(|error| format!("the answer is no lease: {error}"))?;
    let record = LeaseRecord {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        peer: peer(&metadata),
        transitions: spec.lease_transitions.and_then(|transitions| u64::try_from(transitions).ok()).unwrap_or_default(),
        lasts: Duration::from_secs(spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()),
        acquired: spec.acquire_time.unwrap_or_default(),
        renewed: spec.renew_time.unwrap_or_default(),
    };
    Ok(KeptLease { record, version: LeaseVersion(metadata.resource_version) })
}

fn peer(metadata: &Metadata) -> Option<Peer> {
    let address = |key: &str| metadata.annotations.get(key)?.parse::<SocketAddr>().ok();
    Some(Peer { public: address(PUBLIC)?, private: address(PRIVATE)? })
}

/// A `MicroTime` has exactly six digits behind the point.
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lasts: Duration, peer: Option<Peer>) -> LeaseRecord {
        let time: Timestamp = "2026-11-27T15:00:00.25Z".parse().unwrap();
        LeaseRecord { holder: Some("skeg-a_1".into()), peer, transitions: 7, lasts, acquired: time, renewed: time }
    }

    async fn lease() -> ClusterLease {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a", "users": [{"name": "a", "user": {}}],
            "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]}"#;
        std::fs::write(file.path(), config).unwrap();
        let connection = super::super::Connection { kubeconfig: Some(file.path().to_owned()), context: None };
        ClusterLease::new(ApiServer::connect(&connection).await.unwrap(), "ops")
    }

    #[tokio::test]
    async fn a_lease_is_read_back_as_it_was_written() {
        let lease = lease().await;
        let peer = Peer { public: "10.0.0.7:9300".parse().unwrap(), private: "[fd00::7]:9301".parse().unwrap() };
        for record in [record(Duration::from_secs(15), Some(peer)), record(Duration::from_secs(1), None)] {
            let body = lease.body(&record, Some(&LeaseVersion("41".into()))).unwrap();
            assert_eq!(kept(body).unwrap(), KeptLease { record, version: LeaseVersion("41".into()) });
        }
        let released = LeaseRecord { holder: None, ..record(Duration::from_millis(1_500), None) };
        let body = lease.body(&released, Some(&LeaseVersion("42".into()))).unwrap();
        assert_eq!(body["spec"]["renewTime"], "2026-11-27T15:00:00.250000Z");
        assert_eq!((kept(body.clone()).unwrap().record.holder, &body["spec"]["leaseDurationSeconds"]), (None, &json!(2)));
    }

    #[tokio::test]
    async fn an_epoch_that_no_lease_can_reach_is_told() {
        let record = LeaseRecord { transitions: 1 << 40, ..record(Duration::from_secs(15), None) };
        let error = lease().await.body(&record, None).unwrap_err();
        assert!(error.to_string().contains("status.epoch"), "{error}");
    }

    #[test]
    fn what_somebody_has_mistyped_is_taken_as_not_there() {
        let lease = json!({
            "metadata": {"resourceVersion": "7", "annotations": {PUBLIC: "http://metadata/", PRIVATE: "10.0.0.7:9301"}},
            "spec": {"holderIdentity": "", "leaseDurationSeconds": -5, "leaseTransitions": -1},
        });
        let KeptLease { record, .. } = kept(lease).unwrap();
        assert_eq!((record.holder, record.peer, record.transitions, record.lasts), (None, None, 0, Duration::ZERO));
        assert!(kept(json!({"metadata": {}})).is_err());
    }
}

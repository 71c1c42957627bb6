//! skeg's own adapters against either server: what they send is understood, and what comes back is what they expect.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use skeg::adapters::cluster::{ConfigMapPauses, DefaultsOf, KubernetesEvents, Watches};
use skeg::adapters::journal::ClusterJournal;
use skeg::core::directives::Defaults;
use skeg::core::patch::{Weighed, weigh};
use skeg::core::pause::{Change, Pause};
use skeg::core::update::{Closed, Drift, Mark, Outcome, Phase, Reason, Update};
use skeg::core::workload::WorkloadId;
use skeg::ports::cluster::{Cluster as _, ClusterError, ImagePatch, Workloads as _};
use skeg::ports::events::{Events as _, Told};
use skeg::ports::journal::Journal as _;
use skeg::ports::pauses::Pauses as _;
use tokio::time::timeout;

use super::{Scope, deployment, with};
use crate::support::cluster::{clock, id, update_of};
use crate::support::controlplane::Power;
use crate::support::kube_api::MERGE_PATCH;

conformance!(
    the_journal_keeps_an_update_and_the_server_guards_it,
    an_image_is_set_beside_other_changes_and_never_over_a_person,
    workloads_are_watched,
    pauses_and_events_are_written,
);

const OLD: &str = "team/web:1.0.0";
const NEW: &str = "team/web:1.0.1";

async fn update(scope: &Scope) -> Update {
    let stored = scope.create_deployment("web").await;
    update_of(&stored, OLD, NEW, &format!("sha256:{}", "a".repeat(64)).parse().unwrap())
}

fn workload(scope: &Scope) -> WorkloadId {
    WorkloadId { namespace: scope.namespace.as_str().into(), ..id("web") }
}

fn only(scope: &Scope) -> skeg::adapters::cluster::Scope {
    skeg::adapters::cluster::Scope::Namespaces(vec![scope.namespace.as_str().into()])
}

async fn the_journal_keeps_an_update_and_the_server_guards_it(scope: &Scope) {
    let journal = ClusterJournal::new(scope.api().await, only(scope));
    let update = Update { epoch: 3, ..update(scope).await };
    let first = journal.create(&update).await.unwrap();
    assert!(matches!(journal.create(&update).await, Err(ClusterError::Exists { .. })));
    let kept = journal.load().await.unwrap().kept;
    assert_eq!((kept.len(), &kept[0].update.spec, &kept[0].version), (1, &update.spec, &first));
    assert!(matches!(journal.replace(&Update { epoch: 2, ..update.clone() }, &first).await, Err(ClusterError::Refused { .. })));

    let closed = Update { phase: Phase::Closed(Closed::with(Outcome::Superseded, Reason::WorkloadGone)), ..update.clone() };
    let second = journal.replace(&closed, &first).await.unwrap();
    assert!(matches!(journal.replace(&closed, &first).await, Err(ClusterError::Conflict { .. })));
    assert!(matches!(journal.replace(&update, &second).await, Err(ClusterError::Refused { .. })));
    assert_eq!(journal.load().await.unwrap().kept, []);
    assert_eq!(journal.get(&update.id).await.unwrap().unwrap().unwrap().version, second);
    journal.remove(&update.id).await.unwrap();
    journal.remove(&update.id).await.unwrap();
    assert_eq!(journal.all().await.unwrap().kept, []);
}

async fn an_image_is_set_beside_other_changes_and_never_over_a_person(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let api = scope.api().await;
    let update = update(scope).await;
    let workload = workload(scope);
    let decide = async |update: &Update| {
        let on = api.read(&workload).await.unwrap().unwrap();
        match weigh(Some(&on), &update.spec, &update.id) {
            Weighed::Ready { images } => {
                Ok(ImagePatch { on, images, mark: Mark { update: update.id.name.clone(), epoch: 0, restored: Vec::new() } })
            }
            other => Err(other),
        }
    };
    let scale = async |replicas: u32| {
        let changes = json!({"spec": {"replicas": replicas}});
        scope.server.patch(&scope.deployment("web"), MERGE_PATCH, &changes).await.is(200);
    };

    // Without annotations, and so without a mark: any change in between is a conflict.
    let patch = decide(&update).await.unwrap();
    scale(5).await;
    assert!(matches!(api.patch(&patch).await, Err(ClusterError::Conflict { .. })));
    let admitted = api.patch(&decide(&update).await.unwrap()).await.unwrap();
    assert_eq!(admitted.images(&update.spec).unwrap(), [NEW.into()]);
    assert_eq!(decide(&update).await.unwrap_err(), Weighed::AlreadySet { applied: vec![NEW.into()] });

    // With the mark of the update before: a change of the status does not disturb, any other one has it decided anew.
    let next = update_of(&scope.server.get(&scope.deployment("web")).await.is(200), NEW, "team/web:1.0.2", &update.spec.changes[0].digest);
    let patch = decide(&next).await.unwrap();
    scale(6).await;
    assert!(matches!(api.patch(&patch).await, Err(ClusterError::Conflict { .. })));
    let patch = decide(&next).await.unwrap();
    let status = json!({"status": {"observedGeneration": 1}});
    scope.server.patch(&format!("{}/status", scope.deployment("web")), MERGE_PATCH, &status).await.is(200);
    api.patch(&patch).await.unwrap();
    assert!(matches!(api.patch(&patch).await, Err(ClusterError::Conflict { .. })), "the same patch twice");
    let stored = scope.server.get(&scope.deployment("web")).await.is(200);
    let containers = &stored["spec"]["template"]["spec"]["containers"];
    assert_eq!((&containers[0]["image"], &containers[1]["image"]), (&json!("team/web:1.0.2"), &json!("team/side:1")));
    assert_eq!(stored["spec"]["replicas"], 6);

    // A person puts the image back; a later try of the update leaves it.
    let back = with(&stored, "/spec/template/spec/containers/0/image", NEW);
    scope.server.put(&scope.deployment("web"), &back).await.is(200);
    assert_eq!(decide(&next).await.unwrap_err(), Weighed::Drifted(Drift::ImageMoved { found: NEW.into() }));
    let facts = api.rollout(&workload).await.unwrap().unwrap();
    assert!(facts.observed_generation < facts.generation && facts.pods.is_empty(), "no controller has looked at it");

    scope.server.delete(&scope.deployment("web")).await.is(200);
    assert!(matches!(api.patch(&patch).await, Err(ClusterError::NotFound { .. })));
    assert_eq!(api.read(&workload).await, Ok(None));
}

async fn workloads_are_watched(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let object = with(&deployment("web"), "/metadata/annotations", json!({"skeg.dev/policy": "minor"}));
    scope.server.post(&scope.deployments(), &object).await.is(201);
    scope.create_deployment("plain").await;
    let defaults: DefaultsOf = Arc::new(|_| Defaults::default());
    let watches = Watches::new(&only(scope), defaults, clock());
    let api = scope.api().await;
    let id = workload(scope);
    let seen = async {
        watches.filled().await;
        assert_eq!((watches.all().len(), watches.unmanaged()), (1, 1));
        assert_eq!(watches.changed().await.workloads, [id.clone()].into());
        scope.server.delete(&scope.deployment("web")).await.is(200);
        assert_eq!(watches.changed().await.workloads, [id.clone()].into());
        assert_eq!(watches.get(&id), None);
    };
    let ended = async {
        tokio::select! {
            () = watches.run(&api) => panic!("a watch never ends"),
            () = seen => {}
        }
    };
    timeout(Duration::from_secs(20), ended).await.unwrap();
}

async fn pauses_and_events_are_written(scope: &Scope) {
    let api = scope.api().await;
    let pauses = ConfigMapPauses::new(api.clone(), &scope.namespace);
    assert_eq!(pauses.load().await, Ok(Vec::new()));
    let at = jiff::Timestamp::from_second(1_750_000_000).unwrap();
    let pause = |reason: &str| {
        let covers = skeg::core::pause::Scope::Workload(workload(scope));
        vec![Pause { scope: covers, until: Some(at), by: "user:ann".into(), at, reason: Some(reason.into()) }]
    };
    for reason in ["freeze", "thaw"] {
        let change = Change { set: pause(reason), ..Change::default() };
        assert_eq!(pauses.save(&change).await, Ok(pause(reason)));
        assert_eq!(pauses.load().await, Ok(pause(reason)));
    }

    let stored = scope.create_deployment("web").await;
    let told = Told {
        workload: workload(scope),
        uid: stored["metadata"]["uid"].as_str().unwrap().into(),
        warning: true,
        reason: "DirectiveWrong".into(),
        message: "ä🛥\n".repeat(2_000),
    };
    let events = KubernetesEvents::new(api, clock());
    events.tell(&told).await.unwrap();
    events.tell(&told).await.unwrap();
    let listed = scope.server.get(&scope.events()).await.is(200);
    let about: Vec<_> = listed["items"].as_array().unwrap().iter().filter(|event| event["reason"] == "DirectiveWrong").collect();
    assert_eq!(about.len(), 1);
    assert_eq!(about[0]["involvedObject"]["name"], "web");
}

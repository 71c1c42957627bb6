#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "d1", "generation": 4, "annotations": {REVISION: "3"},
        },
        "spec": {
            "replicas": 2, "paused": true, "minReadySeconds": 5,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "web", "image": "web:2"}], "initContainers": [{"name": "init", "image": "init:1"}]}},
        },
        "status": {
            "observedGeneration": 4, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 1,
            "conditions": [
                {"type": "Available", "status": "True", "message": "fine"},
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"},
                {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
            ],
        },
    })
}

#[test]
fn the_status_of_a_deployment_is_read() {
    let facts = read::<Deployment>(deployment()).unwrap().facts(Vec::new());
    assert_eq!((facts.wanted, facts.updated, facts.total, facts.available), (2, 2, 3, 1));
    assert_eq!((facts.generation, facts.observed_generation, facts.paused, &*facts.uid), (4, 4, true, "d1"));
    assert_eq!(facts.min_ready_seconds, 5);
    assert_eq!((facts.progress_exceeded.as_deref(), facts.replica_failure.as_deref()), (Some("timed out"), Some("exceeded quota")));
    assert_eq!(facts.containers.iter().map(|container| &*container.image).collect::<Vec<_>>(), ["web:2", "init:1"]);
}

#[test]
fn a_deployment_that_no_controller_has_seen_wants_one_pod_and_has_none() {
    let facts = read::<Deployment>(json!({"metadata": {"generation": 1}, "spec": {}})).unwrap().facts(Vec::new());
    assert_eq!((facts.wanted, facts.updated, facts.total, facts.observed_generation), (1, 0, 0, 0));
    assert_eq!((facts.progress_exceeded, facts.replica_failure), (None, None));
}

#[test]
fn a_pod_shows_its_containers_with_the_image_it_was_given() {
    let pod = json!({
        "metadata": {"name": "web-1"},
        "spec": {"containers": [{"name": "web", "image": "mirror/web:2"}], "initContainers": [{"name": "init", "image": "init:1"}]},
        "status": {
            "phase": "Pending", "startTime": "2026-11-23T10:00:00Z",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}],
            "containerStatuses": [{
                "name": "web", "imageID": "", "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}},
            }],
            "initContainerStatuses": [{"name": "init", "imageID": "init@sha256:1", "ready": true, "restartCount": 0, "state": {"terminated": {}}}],
        },
    });
    let facts = read::<Pod>(pod).unwrap().facts().unwrap();
    assert_eq!(facts.started, Some("2026-11-23T10:00:00Z".parse().unwrap()));
    assert_eq!(facts.unschedulable.as_deref(), Some("0/3 nodes are available"));
    let web = &facts.containers[0];
    assert_eq!((&*web.name, &*web.image, web.ready, web.restarts), ("web", "mirror/web:2", false, 2));
    assert_eq!(web.waiting, Some(("ImagePullBackOff".into(), "no such tag".into())));
    assert_eq!((&*facts.containers[1].image_id, &facts.containers[1].waiting), ("init@sha256:1", &None));
}

#[test]
fn a_container_shows_since_when_it_runs_and_whether_it_is_probed() {
    let status = |name: &str| json!({"name": name, "ready": true, "state": {"running": {"startedAt": "2026-11-23T10:00:00Z"}}});
    let pod = json!({
        "spec": {"containers": [{"name": "web", "readinessProbe": {"tcpSocket": {"port": 80}}}, {"name": "side", "readinessProbe": null}]},
        "status": {"containerStatuses": [status("web"), status("side")]},
    });
    let facts = read::<Pod>(pod).unwrap().facts().unwrap();
    let seen: Vec<_> = facts.containers.iter().map(|container| (container.probed, container.running_since)).collect();
    let since = Some("2026-11-23T10:00:00Z".parse().unwrap());
    assert_eq!(seen, [(true, since), (false, since)]);
}

#[test]
fn a_pod_that_is_finished_or_on_its_way_out_is_no_part_of_the_rollout() {
    for gone in [
        json!({"metadata": {"name": "web-1", "deletionTimestamp": "2026-11-23T10:00:00Z"}, "status": {"phase": "Running"}}),
        json!({"metadata": {"name": "web-1"}, "status": {"phase": "Failed", "reason": "Evicted"}}),
    ] {
        assert_eq!(read::<Pod>(gone).unwrap().facts(), None);
    }
    let half = json!({"metadata": {"name": "web-1"}, "status": {}});
    assert!(read::<Pod>(half).unwrap().facts().unwrap().containers.is_empty());
}

#[test]
fn a_selector_is_written_as_a_query_takes_it() {
    let selector: Selector = serde_json::from_value(json!({
        "matchLabels": {"app": "web", "tier": "front"},
        "matchExpressions": [
            {"key": "track", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
            {"key": "zone", "operator": "NotIn", "values": ["x"]},
            {"key": "owner", "operator": "Exists"},
        ],
    }))
    .unwrap();
    assert_eq!(selector.text(), "app=web,tier=front,track in (a,b),!old,zone notin (x),owner");
}

#[test]
fn a_replica_set_of_other_images_is_not_the_one_of_the_present_template() {
    let template = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    let of = |image: &str| read::<ReplicaSet>(template(image)).unwrap();
    let deployment = read::<Deployment>(template("web:2")).unwrap();
    let is_its = |set: &ReplicaSet| set.spec.template.spec.images().eq(deployment.spec.template.spec.images());
    assert!(is_its(&of("web:2")) && !is_its(&of("web:1")));
}

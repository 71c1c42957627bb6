//! Rollouts: an image is set once and only where it still may be, its rollout is followed, and it is put back only by whoever set it.

use serde_json::json;
use skeg::core::image::Digest;
use skeg::core::patch::{Weighed, weigh, weigh_restore};
use skeg::core::rollout::{Verdict, judge};
use skeg::core::update::{Drift, Mark, Update};
use skeg::embedded::kube::{Fault, Matcher, Options, Resolution, Rollouts};
use skeg::ports::cluster::{Cluster as _, ClusterError, ImagePatch, Reading};
use tokio::time::timeout;

use crate::support::agent::{Agent, Setup, Workload};
use crate::support::cluster::{Cluster, DEADLINE, clock, deployment, id, update_of};

const OLD: &str = "ghcr.io/acme/web:1.0.0";
const NEW: &str = "ghcr.io/acme/web:1.0.1";
const PATH: &str = "/deployments/web";

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

/// A Deployment with the image, and the update that is to change it.
fn prepare(cluster: &Cluster, annotations: &serde_json::Value) -> Update {
    let stored = cluster.kube.apply(deployment("web", OLD, annotations)).unwrap();
    update_of(&stored, OLD, NEW, &digest('a'))
}

async fn read(cluster: &Cluster) -> Option<Reading> {
    cluster.api.read(&id("web")).await.unwrap()
}

/// The patch that the core asks for, on what is read now.
async fn decide(cluster: &Cluster, update: &Update) -> ImagePatch {
    let on = read(cluster).await.unwrap();
    let Weighed::Ready { images } = weigh(Some(&on), &update.spec, &update.id) else { panic!("not ready: {on:?}") };
    ImagePatch { on, images, mark: mark(update, Vec::new()) }
}

fn mark(update: &Update, restored: Vec<Digest>) -> Mark {
    Mark { update: update.id.name.clone(), epoch: update.epoch, restored }
}

async fn weigh_again(cluster: &Cluster, update: &Update) -> Weighed {
    weigh(read(cluster).await.as_ref(), &update.spec, &update.id)
}

#[tokio::test]
async fn only_the_image_and_the_mark_change() {
    for annotations in [json!(null), json!({}), json!({"team": "shop", "skeg.dev/policy": "patch"})] {
        let cluster = Cluster::start().await;
        let update = prepare(&cluster, &annotations);
        let before = cluster.deployment("web");
        let admitted = cluster.api.patch(&decide(&cluster, &update).await).await.unwrap();
        assert_eq!(admitted.images(&update.spec).unwrap(), [NEW.into()]);
        assert_eq!(admitted.mark.as_deref(), Some(mark(&update, Vec::new()).to_string().as_str()));

        let mut expected = before["spec"].clone();
        expected["template"]["spec"]["containers"][0]["image"] = NEW.into();
        let after = cluster.deployment("web");
        assert_eq!(after["spec"], expected);
        for (key, value) in annotations.as_object().into_iter().flatten() {
            assert_eq!(&after["metadata"]["annotations"][key], value);
        }
        assert_eq!(weigh_again(&cluster, &update).await, Weighed::AlreadySet { applied: vec![NEW.into()] });
    }
}

/// KU-01, with the conflict that the API server itself finds.
#[tokio::test]
async fn a_workload_without_a_mark_that_changed_in_between_is_read_again_and_keeps_the_other_change() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({}));
    let patch = decide(&cluster, &update).await;
    cluster.kube.merge("apps/v1", "Deployment", "shop", "web", json!({"spec": {"replicas": 7}})).unwrap();
    assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::Conflict { .. })));
    assert_eq!(cluster.image("web"), OLD);

    cluster.api.patch(&decide(&cluster, &update).await).await.unwrap();
    assert_eq!((cluster.image("web").as_str(), &cluster.deployment("web")["spec"]["replicas"]), (NEW, &json!(7)));
}

#[tokio::test]
async fn a_workload_with_a_mark_is_patched_beside_a_change_that_leaves_its_specification() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({"skeg.dev/last-update": "web-9876543210 0"}));
    let patch = decide(&cluster, &update).await;
    cluster.kube.merge("apps/v1", "Deployment", "shop", "web", json!({"metadata": {"labels": {"team": "shop"}}})).unwrap();
    cluster.api.patch(&patch).await.unwrap();
    assert_eq!((cluster.image("web").as_str(), &cluster.deployment("web")["metadata"]["labels"]["team"]), (NEW, &json!("shop")));
}

#[tokio::test]
async fn an_image_that_a_person_sets_in_between_stays() {
    for annotations in [json!({}), json!({"skeg.dev/last-update": "web-9876543210 0"})] {
        let cluster = Cluster::start().await;
        let update = prepare(&cluster, &annotations);
        let patch = decide(&cluster, &update).await;
        cluster.kube.apply(deployment("web", "ghcr.io/acme/web:0.9.0", &annotations)).unwrap();
        assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::Conflict { .. })));
        assert_eq!(cluster.image("web"), "ghcr.io/acme/web:0.9.0");
        let found = "ghcr.io/acme/web:0.9.0".into();
        assert_eq!(weigh_again(&cluster, &update).await, Weighed::Drifted(Drift::ImageMoved { found }));
    }
}

#[tokio::test]
async fn containers_in_another_order_are_not_mistaken_for_each_other() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({"skeg.dev/last-update": "web-9876543210 0"}));
    let patch = decide(&cluster, &update).await;
    let mut swapped = cluster.deployment("web");
    swapped["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().reverse();
    cluster.kube.apply(swapped).unwrap();
    assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::Conflict { .. })));

    cluster.api.patch(&decide(&cluster, &update).await).await.unwrap();
    let images = cluster.deployment("web")["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!((&images[0]["image"], &images[1]["image"]), (&json!("docker.io/acme/sidecar:1"), &json!(NEW)));
}

#[tokio::test]
async fn a_workload_deleted_in_between_is_not_made_again() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({}));
    let patch = decide(&cluster, &update).await;
    delete(&cluster).await;
    assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::NotFound { .. })));
    assert_eq!(weigh_again(&cluster, &update).await, Weighed::Drifted(Drift::Gone));
    assert_eq!(cluster.kube.all("apps/v1", "Deployment"), [] as [serde_json::Value; 0]);
}

#[tokio::test]
async fn another_workload_of_the_same_name_is_left_alone() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({"skeg.dev/last-update": "web-9876543210 0"}));
    let patch = decide(&cluster, &update).await;
    delete(&cluster).await;
    cluster.kube.apply(deployment("web", OLD, &json!({"skeg.dev/last-update": "web-9876543210 0"}))).unwrap();
    assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::Conflict { .. })));
    assert_eq!(weigh_again(&cluster, &update).await, Weighed::Drifted(Drift::Gone));
    assert_eq!(cluster.image("web"), OLD);
}

async fn delete(cluster: &Cluster) {
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(cluster.kube.client(), "shop");
    api.delete("web", &kube::api::DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_patch_whose_answer_is_lost_is_found_made_and_not_made_again() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({}));
    let patch = decide(&cluster, &update).await;
    cluster.kube.fail_next(Matcher::any().method("PATCH").path(PATH), Fault::LoseAnswer, 1);
    assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::Unreachable { .. })));
    assert_eq!(cluster.image("web"), NEW);
    assert_eq!(weigh_again(&cluster, &update).await, Weighed::AlreadySet { applied: vec![NEW.into()] });
}

#[tokio::test]
async fn a_busy_server_is_asked_once_and_says_for_how_long_to_leave_it_alone() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({}));
    let patch = decide(&cluster, &update).await;
    cluster.kube.fail_next(Matcher::any().method("PATCH").path(PATH), Fault::Status(429, Some(7)), 1);
    let busy = cluster.api.patch(&patch).await.unwrap_err();
    assert_eq!(busy, ClusterError::Busy { object: "shop/Deployment/web".into(), retry_after: Some(std::time::Duration::from_secs(7)) });
    assert_eq!(cluster.requests("PATCH", PATH), 1);
    cluster.kube.fail_next(Matcher::any().method("PATCH").path(PATH), Fault::Status(503, None), 1);
    assert!(matches!(cluster.api.patch(&patch).await, Err(ClusterError::Busy { retry_after: None, .. })));
    assert_eq!(cluster.requests("PATCH", PATH), 2);
}

#[tokio::test]
async fn what_the_server_does_not_accept_is_a_refusal_with_its_reason() {
    let cluster = Cluster::start().await;
    let update = prepare(&cluster, &json!({}));
    let mut patch = decide(&cluster, &update).await;
    patch.images[0].1 = "".into();
    let Err(ClusterError::Refused { detail, .. }) = cluster.api.patch(&patch).await else { panic!("not refused") };
    assert!(detail.contains("image"), "{detail}");
    cluster.kube.fail_next(Matcher::any().method("PATCH"), Fault::Status(403, None), 1);
    assert!(matches!(cluster.api.patch(&decide(&cluster, &update).await).await, Err(ClusterError::Forbidden { .. })));
}

#[tokio::test]
async fn what_admission_makes_of_the_image_is_what_is_expected_from_then_on() {
    let mirror = |object: &mut serde_json::Value| {
        if let Some(image) = object.pointer_mut("/spec/template/spec/containers/0/image") {
            *image = image.as_str().unwrap().replace("ghcr.io", "mirror.local").into();
        }
    };
    let options = Options { admission: Some(std::sync::Arc::new(mirror)), ..Options::default() };
    let cluster = Cluster::with(options).await;
    let stored = cluster.kube.apply(deployment("web", OLD, &json!({}))).unwrap();
    let update = update_of(&stored, "mirror.local/acme/web:1.0.0", NEW, &digest('a'));
    let admitted = cluster.api.patch(&decide(&cluster, &update).await).await.unwrap();
    let applied = admitted.images(&update.spec).unwrap();
    assert_eq!(applied, ["mirror.local/acme/web:1.0.1".into()]);
    assert_eq!(weigh_again(&cluster, &update).await, Weighed::AlreadySet { applied: applied.clone() });

    let on = read(&cluster).await.unwrap();
    let Weighed::Ready { images } = weigh_restore(Some(&on), &update.spec, &update.id, &applied) else { panic!("not ready") };
    let restored = ImagePatch { on, images, mark: mark(&update, vec![digest('a')]) };
    cluster.api.patch(&restored).await.unwrap();
    assert_eq!(cluster.image("web"), "mirror.local/acme/web:1.0.0");
    let again = weigh_restore(read(&cluster).await.as_ref(), &update.spec, &update.id, &applied);
    assert!(matches!(again, Weighed::AlreadySet { .. }));
}

/// The text behind the colon of the image says what becomes of it.
async fn resolve(image: String) -> Resolution {
    let runs = |digit| Resolution::Runs { digest: digest(digit).to_string() };
    match image.rsplit(':').next().unwrap() {
        "1.0.1" => runs('a'),
        "crashes" => Resolution::Crashes { digest: digest('a').to_string() },
        "never-ready" => Resolution::NeverReady { digest: digest('a').to_string() },
        _ => runs('0'),
    }
}

/// Sets the image under the update's digest and follows its rollout until `is_end`.
async fn follow(image: &str, approved: char, progress_deadline: u32, is_end: impl Fn(&Verdict) -> bool) -> Verdict {
    let mut object = deployment("web", OLD, &json!({}));
    object["spec"]["progressDeadlineSeconds"] = progress_deadline.into();
    for container in object["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap() {
        container["readinessProbe"] = json!({"tcpSocket": {"port": 8080}});
    }
    follow_of(object, image, approved, is_end).await
}

/// The same for this Deployment.
async fn follow_of(object: serde_json::Value, image: &str, approved: char, is_end: impl Fn(&Verdict) -> bool) -> Verdict {
    let rollouts = Rollouts { ready_after: std::time::Duration::from_millis(5), ..Rollouts::new(resolve) };
    let cluster = Cluster::with(Options { rollouts: Some(rollouts), ..Options::default() }).await;
    let stored = cluster.kube.apply(object).unwrap();
    let running = |kube: &skeg::embedded::kube::EmbeddedKube| {
        kube.get("apps/v1", "Deployment", "shop", "web").unwrap()["status"]["availableReplicas"] == 2
    };
    timeout(DEADLINE, cluster.kube.until(running)).await.unwrap();

    let update = update_of(&stored, OLD, image, &digest(approved));
    let admitted = cluster.api.patch(&decide(&cluster, &update).await).await.unwrap();
    let applied = admitted.images(&update.spec).unwrap();
    let ended = async {
        loop {
            let facts = cluster.api.rollout(&id("web")).await.unwrap().unwrap();
            let verdict = judge(&facts, &update.spec.changes, &applied, &[], clock().now());
            if is_end(&verdict) {
                return verdict;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap()
}

fn is_decided(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Progressing { .. })
}

#[tokio::test]
async fn a_rollout_that_comes_up_with_the_approved_digest_is_healthy() {
    assert_eq!(follow(NEW, 'a', 60, is_decided).await, Verdict::Healthy);
}

#[tokio::test]
async fn without_a_probe_a_rollout_that_has_just_come_up_is_not_healthy_yet() {
    let Verdict::Settling { missing } = follow_of(deployment("web", OLD, &json!({})), NEW, 'a', is_decided).await else {
        panic!("decided")
    };
    assert!(missing.contains("has no readiness probe"), "{missing}");
}

#[tokio::test]
async fn a_rollout_that_nothing_speaks_against_is_healthy_when_its_time_is_up() {
    let web = Workload::new("web", "shop/web", "1.0.0").unprobed().directive("rollout-timeout", "3s").directive("write-back", "off");
    let agent = Agent::start(Setup::of([web])).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Verifying").await;
    agent.wait_for_phase("1.0.1", "Done").await;
    // Counted once it is recorded, which the API is ahead of for a moment.
    let counted = async || agent.metrics("skeg_lead_time_seconds_count").await.pop().filter(|line| line.ends_with(" 1"));
    agent.wait_for("the lead time is counted", counted).await;
    agent.wait_for("people are told on the workload", async || agent.metrics("skeg_notices_total").await.pop()).await;
    assert_eq!(agent.metrics("skeg_notices_total").await, [r#"skeg_notices_total{channel="events",outcome="done"} 1"#]);
    let behind = [r#"skeg_tags_behind{namespace="shop"} 0"#];
    agent.until("nothing is behind", async || agent.metrics("skeg_tags_behind").await == behind).await;
}

#[tokio::test]
async fn a_rollout_that_comes_up_with_another_digest_is_told() {
    let Verdict::DigestDiffers { found } = follow(NEW, 'b', 60, is_decided).await else { panic!("not told") };
    assert!(found.starts_with(digest('a').as_str()), "{found}");
}

#[tokio::test]
async fn a_rollout_that_never_gets_ready_fails_at_its_own_deadline() {
    let Verdict::Failed { why } = follow("ghcr.io/acme/web:never-ready", 'a', 1, is_decided).await else { panic!("not failed") };
    assert!(why.contains("progress"), "{why}");
}

#[tokio::test]
async fn a_container_that_crashes_is_told_while_it_is_not_decided() {
    let says = |verdict: &Verdict| matches!(verdict, Verdict::Progressing { missing } if missing.contains("CrashLoopBackOff"));
    follow("ghcr.io/acme/web:crashes", 'a', 60, says).await;
}

#[tokio::test]
async fn the_rollout_of_a_workload_that_is_not_there_has_no_facts() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.api.rollout(&id("web")).await, Ok(None));
    assert_eq!(cluster.api.read(&id("../../v1/secrets")).await, Ok(None));
    assert_eq!(cluster.requests("GET", "secrets"), 0);
}

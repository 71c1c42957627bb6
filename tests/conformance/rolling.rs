//! Rollouts: what real controllers with kwok's nodes make of a Deployment, and what the embedded cluster does. Each case says what
//! Deployment, ReplicaSets and pods show when nothing moves any more.
//!
//! Times, generated names and the order of conditions are not compared; in messages the name of a ReplicaSet stands as its revision.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::embedded::kube::{EmbeddedKube, Options, Resolution, Rollouts};
use tokio::sync::watch;

use super::{FarEnd, Scope};
use crate::support::controlplane::{self, User};
use crate::support::kube_api::{JSON_PATCH, MERGE_PATCH, Server};
use crate::support::nodes::{Fate, Nodes, bring_about_rollouts, place};

conformance!(
    in real_rolling, embedded_rolling;
    a_good_rollout_ends_with_the_new_pods_and_an_empty_old_set,
    a_rollout_whose_image_cannot_be_pulled_misses_its_deadline,
    a_rollout_whose_containers_crash_misses_its_deadline,
    a_paused_deployment_says_so_and_rolls_out_when_it_is_resumed,
    scaling_is_no_rollout,
    scaling_in_the_middle_of_a_rollout_is_shared_out,
    a_stuck_rollout_is_superseded_by_a_newer_image,
    going_back_takes_the_old_set_again_under_a_new_revision,
    recreate_ends_the_old_pods_first,
);

/// The longest that a state may take to be reached: a deadline of two seconds, and a machine that is busy.
const SETTLED_WITHIN: Duration = Duration::from_secs(45);
/// For how long a state must last to count as the one that nothing moves any more.
const LASTS: Duration = Duration::from_millis(700);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Has the files written anew: `SKEG_TEST_WRITE=1 cargo test --test main conformance::rolling::real`.
const WRITE: &str = "SKEG_TEST_WRITE";
/// For how long nothing may move before a file is written: longer than any deadline here.
const AT_LAST: Duration = Duration::from_secs(8);
/// What every image turns out to be.
const DIGEST: &str = "sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
/// `progressDeadlineSeconds` of every Deployment here, unless a case says otherwise.
const DEADLINE: u32 = 600;

fn web(tag: &str, replicas: u32) -> Value {
    let mut pod = json!({
        "containers": [{ "name": "web", "image": format!("registry.example/shop/web:{tag}"), "readinessProbe": { "tcpSocket": { "port": 80 } } }],
    });
    place(&mut pod);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": DEADLINE,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": pod },
        },
    })
}

/// Says what becomes of pods by their image.
pub enum Fates {
    Real(Nodes),
    Embedded(watch::Sender<BTreeMap<String, Fate>>),
}

impl Scope {
    /// A new namespace of the real server in which the controllers bring rollouts about; `None` where that is not installed.
    pub async fn real_rolling() -> Option<Self> {
        let scope = Self::real().await?;
        let plane = controlplane::shared().await?;
        let admin = plane.server(User::Admin);
        bring_about_rollouts(plane, &admin, &scope.namespace).await;
        let fates = Some(Fates::Real(Nodes::of(plane, admin, &scope.namespace)));
        Some(Self { fates, ..scope })
    }

    /// An embedded cluster of its own.
    pub async fn embedded_rolling() -> Self {
        let fates: watch::Sender<BTreeMap<String, Fate>> = watch::Sender::default();
        let known = fates.clone();
        let resolver = move |image: String| {
            let mut known = known.subscribe();
            async move {
                let decided = |fates: &BTreeMap<String, Fate>| fates.get(&image).is_some_and(|fate| *fate != Fate::Waits);
                let fate = known.wait_for(decided).await.map(|fates| fates[&image]);
                match fate {
                    Ok(Fate::Runs) => Resolution::Runs { digest: DIGEST.to_owned() },
                    Ok(Fate::Crashes) => Resolution::Crashes { digest: DIGEST.to_owned() },
                    Ok(Fate::CannotPull | Fate::Waits) | Err(_) => Resolution::PullError("not found".to_owned()),
                }
            }
        };
        let rollouts = Rollouts { ready_after: Duration::from_millis(20), ..Rollouts::new(resolver) };
        let embedded = EmbeddedKube::start(Options { definitions: Vec::new(), rollouts: Some(rollouts), ..Options::default() }).unwrap();
        let scope = Self::new(Server::new(&embedded.url(), None, None), FarEnd::Embedded(embedded), json!({})).await;
        Self { fates: Some(Fates::Embedded(fates)), ..scope }
    }

    async fn decide(&self, tag: &str, fate: Fate) {
        let image = format!("registry.example/shop/web:{tag}");
        match self.fates.as_ref().expect("a scope with rollouts") {
            Fates::Real(nodes) => {
                nodes.pulls(&image, DIGEST).await;
                nodes.decide(&image, fate).await;
            }
            Fates::Embedded(fates) => fates.send_modify(|fates| {
                fates.insert(image, fate);
            }),
        }
    }

    /// Creates `web` with an image that runs, and waits until it does.
    async fn roll_out(&self, deployment: &Value) {
        for tag in ["1", "2", "3"] {
            self.decide(tag, Fate::Runs).await;
        }
        self.server.post(&self.deployments(), deployment).await.is(201);
        let replicas = &deployment["spec"]["replicas"];
        let is_up = |web: &Value| web["status"]["availableReplicas"] == *replicas;
        let deadline = Instant::now() + SETTLED_WITHIN;
        while !is_up(&self.server.get(&self.deployment("web")).await.is(200)) {
            assert!(Instant::now() < deadline, "not up:\n{}", self.shown().await);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn change(&self, spec: Value) {
        self.server.patch(&self.deployment("web"), MERGE_PATCH, &json!({ "spec": spec })).await.is(200);
    }

    async fn set_image(&self, tag: &str) {
        let operation = json!([{
            "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": format!("registry.example/shop/web:{tag}"),
        }]);
        self.server.patch(&self.deployment("web"), JSON_PATCH, &operation).await.is(200);
    }

    /// Waits until what this file of `tests/fixtures/rollouts` holds is shown, and stays so. Where that is asked for, the file is written
    /// anew from what the real server comes to.
    async fn settles_as(&self, name: &str) {
        let file = format!("{}/tests/fixtures/rollouts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os(WRITE).is_some() && matches!(self.far_end, FarEnd::Real(_)) {
            return std::fs::write(&file, self.shown_at_last().await).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        let deadline = Instant::now() + SETTLED_WITHIN;
        let mut since: Option<Instant> = None;
        loop {
            let shown = self.shown().await;
            since = if shown == expected { since.or_else(|| Some(Instant::now())) } else { None };
            if since.is_some_and(|since| since.elapsed() >= LASTS) {
                return;
            }
            assert!(Instant::now() < deadline, "{file} says\n{expected}\nand it is\n{shown}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What is shown when nothing has moved for a while.
    async fn shown_at_last(&self) -> String {
        let (mut last, mut since) = (String::new(), Instant::now());
        while since.elapsed() < AT_LAST {
            let shown = self.shown().await;
            if shown != last {
                (last, since) = (shown, Instant::now());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        last
    }

    /// Deployment, `ReplicaSets` and pods in a few lines.
    async fn shown(&self) -> String {
        let web = self.server.get(&self.deployment("web")).await.is(200);
        let sets = self.server.get(&format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace)).await.is(200);
        let pods = self.server.get(&self.pods()).await.is(200);
        let mut sets: Vec<&Value> = sets["items"].as_array().unwrap().iter().collect();
        sets.sort_by_key(|set| revision(set).parse::<u32>().unwrap_or_default());
        let name = |message: &str| {
            sets.iter().fold(message.to_owned(), |text, set| {
                text.replace(set["metadata"]["name"].as_str().unwrap(), &format!("revision {}", revision(set)))
            })
        };
        let mut shown = format!("revision {}, {}\n", revision(&web), counts(&web));
        let mut conditions: Vec<String> = elements(&web, "/status/conditions").map(|condition| name(&said(condition))).collect();
        conditions.sort();
        for condition in conditions {
            let _ = writeln!(shown, "{condition}");
        }
        for set in sets {
            let _ = writeln!(shown, "set {}: wants {}, {}", revision(set), set["spec"]["replicas"], counts(set));
            let uid = &set["metadata"]["uid"];
            let mut lines: Vec<String> =
                elements(&pods, "/items").filter(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == *uid).map(pod_line).collect();
            lines.sort();
            for line in lines {
                let _ = writeln!(shown, "  {line}");
            }
        }
        shown
    }
}

fn revision(object: &Value) -> &str {
    object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().unwrap_or("none")
}

fn elements<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The counts of a status in alphabetical order; the generation only where it is not the object's.
fn counts(object: &Value) -> String {
    let status = object["status"].as_object().unwrap();
    let generation = &object["metadata"]["generation"];
    let mut counts = status.iter().filter(|(name, count)| {
        count.is_number() && name.as_str() != "collisionCount" && !(name.as_str() == "observedGeneration" && *count == generation)
    });
    let mut counts: Vec<String> = counts.by_ref().map(|(name, count)| format!("{name} {count}")).collect();
    counts.sort();
    if counts.is_empty() { "no counts".to_owned() } else { counts.join(", ") }
}

/// A condition. That a rollout is under way is said with the reason of the last step that the controller saw, which is a matter of chance.
fn said(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    match text("reason") {
        "NewReplicaSetCreated" | "FoundNewReplicaSet" | "ReplicaSetUpdated" => format!("{} {}: under way", text("type"), text("status")),
        reason => format!("{} {}: {reason}: {}", text("type"), text("status"), text("message")),
    }
}

/// What a pod shows of its only container; no message, and of the image no digest.
fn pod_line(pod: &Value) -> String {
    let status = &pod["status"];
    let container = &status["containerStatuses"][0];
    let conditions = elements(status, "/conditions").filter(|condition| condition["type"] != "PodReadyToStartContainers");
    let mut conditions: Vec<String> = conditions
        .filter(|condition| condition["status"] == "True")
        .map(|condition| condition["type"].as_str().unwrap().to_owned())
        .collect();
    conditions.sort();
    let state = match container["state"].as_object().and_then(|state| state.iter().next()) {
        Some((kind, state)) => format!("{kind} {}", state["reason"].as_str().unwrap_or_default()),
        None => "no state".to_owned(),
    };
    let image = container["imageID"].as_str().unwrap_or_default().split('@').next().unwrap();
    format!(
        "{} [{}] {} pulled \"{image}\", {}ready, {}started",
        status["phase"].as_str().unwrap_or_default(),
        conditions.join(" "),
        state.trim(),
        if container["ready"] == true { "" } else { "not " },
        if container["started"] == true { "" } else { "not " },
    )
}

async fn a_good_rollout_ends_with_the_new_pods_and_an_empty_old_set(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.set_image("2").await;
    scope.settles_as("healthy").await;
}

async fn a_rollout_whose_image_cannot_be_pulled_misses_its_deadline(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.decide("2", Fate::CannotPull).await;
    scope.change(json!({ "progressDeadlineSeconds": 2 })).await;
    scope.set_image("2").await;
    scope.settles_as("cannot-pull").await;
}

async fn a_rollout_whose_containers_crash_misses_its_deadline(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.decide("2", Fate::Crashes).await;
    scope.change(json!({ "progressDeadlineSeconds": 2 })).await;
    scope.set_image("2").await;
    scope.settles_as("crashes").await;
}

async fn a_paused_deployment_says_so_and_rolls_out_when_it_is_resumed(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.change(json!({ "paused": true })).await;
    scope.set_image("2").await;
    scope.settles_as("paused").await;
    scope.change(json!({ "paused": false })).await;
    scope.settles_as("resumed").await;
}

async fn scaling_is_no_rollout(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.change(json!({ "replicas": 4 })).await;
    scope.settles_as("scaled-up").await;
    scope.change(json!({ "replicas": 1 })).await;
    scope.settles_as("scaled-down").await;
    scope.change(json!({ "replicas": 0 })).await;
    scope.settles_as("scaled-to-none").await;
}

async fn scaling_in_the_middle_of_a_rollout_is_shared_out(scope: &Scope) {
    scope.roll_out(&web("1", 4)).await;
    scope.decide("2", Fate::Waits).await;
    scope.set_image("2").await;
    scope.settles_as("stuck-of-four").await;
    scope.change(json!({ "replicas": 10 })).await;
    scope.settles_as("stuck-scaled-up").await;
    scope.change(json!({ "replicas": 2 })).await;
    scope.settles_as("stuck-scaled-down").await;
}

async fn a_stuck_rollout_is_superseded_by_a_newer_image(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.decide("2", Fate::Waits).await;
    scope.set_image("2").await;
    scope.settles_as("stuck").await;
    scope.set_image("3").await;
    scope.settles_as("superseded").await;
}

async fn going_back_takes_the_old_set_again_under_a_new_revision(scope: &Scope) {
    scope.roll_out(&web("1", 2)).await;
    scope.decide("2", Fate::Crashes).await;
    scope.set_image("2").await;
    scope.settles_as("crashing").await;
    scope.set_image("1").await;
    scope.settles_as("put-back").await;
}

async fn recreate_ends_the_old_pods_first(scope: &Scope) {
    let mut web = web("1", 2);
    web["spec"]["strategy"] = json!({ "type": "Recreate" });
    scope.roll_out(&web).await;
    scope.decide("2", Fate::Waits).await;
    scope.set_image("2").await;
    scope.settles_as("recreate-between").await;
    scope.decide("2", Fate::Runs).await;
    scope.settles_as("recreated").await;
}

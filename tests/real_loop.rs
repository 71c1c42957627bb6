//! The whole loop on real parts: Docker's registry and `skopeo`, git's own HTTP server, the real control plane.
//!
//! Nothing of skeg is replaced, and the controllers and the scheduler are Kubernetes' own. Nodes are played by kwok
//! ([`nodes`](crate::support::nodes)).

pub mod asked;
pub mod cluster;
mod faults;
mod relay;
mod stage;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::controlplane::User;
use crate::support::git::{clone, git_succeeds, with_login};
use crate::support::kube_api::Server;
use crate::support::nodes::Fate;
use crate::support::registry::Auth;
use stage::{Needs, Stage, robot, succeeds};

/// One workload, `web`, with these annotations.
fn web(auth: Auth, annotations: Value) -> Needs {
    Needs {
        registries: vec![auth],
        passwords: vec![Box::leak(robot().password.into_boxed_str())],
        notifies: false,
        poll: "1s",
        proxied: false,
        plane: None,
        defined: true,
        config: "",
        workloads: vec![("web", 0, annotations)],
    }
}

/// The branch has exactly one commit more than `before`; it names the update, and changes nothing but the image's bytes.
#[track_caller]
fn check_commit(stage: &Stage, update: &Value, before: &[&str]) {
    let log = stage.repository().log().unwrap();
    let subjects: Vec<&str> = log.iter().map(|commit| commit.subject.as_str()).collect();
    let workload = update["workload"]["name"].as_str().unwrap();
    let change = &update["changes"][0];
    let subject = format!("Update {workload} to {}", change["tag"].as_str().unwrap());
    assert_eq!(subjects, [&[subject.as_str()], before].concat());
    assert_eq!(update["commit"]["id"], log[0].id);
    let trailer = format!("Skeg-Update: {}/{}", stage.namespace, update["name"].as_str().unwrap());
    assert_eq!(log[0].body.lines().last(), Some(trailer.as_str()));
    assert_eq!(log[0].author, "skeg <skeg@localhost>");

    let diff = stage.repository().diff(&log[0].id).unwrap();
    let files: Vec<&str> = diff.lines().filter(|line| line.starts_with("diff ")).collect();
    assert_eq!(files, [format!("diff --git a/apps/{workload}.yaml b/apps/{workload}.yaml")]);
    let lines = |sign: char| -> Vec<&str> {
        diff.lines().filter_map(|line| line.strip_prefix(sign)).filter(|line| !line.starts_with(sign)).collect()
    };
    let (old, new) = (lines('-'), lines('+'));
    let [from, to] = ["from", "to"].map(|side| change[side].as_str().unwrap());
    assert_eq!(old, [format!("              image:   \"{from}\"   # set by skeg")]);
    assert_eq!(new, [old[0].replace(from, to)]);
}

fn id_of(update: &Value) -> String {
    format!("{}/{}", update["namespace"].as_str().unwrap(), update["name"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_by_skopeo_is_told_by_the_registry_approved_rolled_out_and_committed() {
    let needs = web(Auth::Basic(robot()), json!({ "skeg.dev/policy": "patch", "skeg.dev/approvals": "1" }));
    let Some(stage) = Stage::raise(Needs { notifies: true, poll: "1h", ..needs }).await else { return };
    stage.listed("web").await;
    let digest = stage.push("web", "1.0.1").await;
    let held = stage.in_phase("web", "1.0.1", "Held").await;
    assert_eq!((held["trigger"].as_str(), held["reason"]["code"].as_str()), (Some("webhook"), Some("Approval")), "{held:#}");
    assert_eq!(stage.running("web").await, stage.image("web", "1.0.0"), "nothing moves before the vote");
    stage.skeg(&["approve", &id_of(&held)]);
    let done = stage.in_phase("web", "1.0.1", "Done").await;
    assert_eq!(stage.running("web").await, format!("{}@{digest}", stage.image("web", "1.0.1")));
    assert_eq!(done["votes"][0]["voter"], "user:ops");
    assert_eq!(done["rollout"]["applied"], json!([stage.running("web").await]));
    check_commit(&stage, &done, &["Begin"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_webhook_polling_finds_the_push() {
    let needs = web(Auth::Bearer(robot()), json!({ "skeg.dev/policy": "patch" }));
    let Some(stage) = Stage::raise(needs).await else { return };
    stage.listed("web").await;
    stage.push("web", "1.0.1").await;
    let done = stage.in_phase("web", "1.0.1", "Done").await;
    assert_eq!(done["trigger"], "poll");
    assert_eq!(stage.running("web").await, stage.image("web", "1.0.1"));
    check_commit(&stage, &done, &["Begin"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_registry_password_is_told_and_keeps_no_other_image_back() {
    let policy = json!({ "skeg.dev/policy": "patch" });
    let needs = Needs {
        registries: vec![Auth::Basic(robot()), Auth::Bearer(robot()), Auth::Bearer(robot())],
        passwords: vec!["not-the-pass-word", "s3cret", "not-the-pass-word"],
        workloads: vec![("web", 0, policy.clone()), ("api", 1, policy.clone()), ("jobs", 2, policy.clone())],
        ..web(Auth::Anonymous, policy.clone())
    };
    let Some(stage) = Stage::raise(needs).await else { return };
    for name in ["web", "api", "jobs"] {
        stage.push(name, "1.0.1").await;
    }
    stage.in_phase("api", "1.0.1", "Done").await;
    for name in ["web", "jobs"] {
        let degraded = async || stage.image_view(name).await.filter(|image| image["state"] == "degraded");
        let image = stage.until(&format!("{name} is degraded"), degraded).await;
        let (repository, error) = (format!("{}/shop/{name}", stage.host_of(name)), image["errors"][0].as_str().unwrap());
        assert!(error.contains(&format!("{repository}: not authorised")), "{error}");
        let status = stage.api.get("/v1/status").await.is(200);
        let part = status["registries"].as_array().unwrap().iter().find(|part| part["name"] == stage.host_of(name)).unwrap().clone();
        assert_eq!(part["state"], "degraded", "{part:#}");
        assert!(part["detail"].as_str().unwrap().contains(&repository), "{part:#}");
        assert!(!status.to_string().contains("not-the-pass-word") && !image.to_string().contains("not-the-pass-word"));
        assert_eq!(stage.running(name).await, stage.image(name, "1.0.0"));
        assert!(stage.update(name, "1.0.1").await.is_none());
    }
    assert_eq!(stage.image_view("api").await.unwrap()["state"], "current");
    assert_eq!(stage.subjects(), ["Update api to 1.0.1", "Begin"]);
    stage.end().await;
}

/// One push of a person arrives while the rollout runs, and one after skeg has fetched: while the server takes skeg's own push.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_push_in_between_stays_below_skegs_one_commit() {
    let Some(stage) = Stage::raise(web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" }))).await else { return };
    stage.listed("web").await;
    stage.nodes.decide(&stage.image("web", "1.0.1"), Fate::Waits).await;
    stage.push("web", "1.0.1").await;
    stage.in_phase("web", "1.0.1", "Verifying").await;
    let person = clone(stage.folder(), &stage.git.url(), &robot());
    let commit = |file: &str, text: &str| {
        std::fs::write(person.join(file), text).unwrap();
        git_succeeds(&person, &["add", "--all"]);
        git_succeeds(&person, &["commit", "--quiet", &format!("--message=Write {file}")]);
    };
    commit("notes.txt", "kept\n");
    let edited = stage.declared("web").replace("replicas:   2", "replicas:   5");
    commit("apps/web.yaml", &edited);
    git_succeeds(&person, &["push", "--quiet"]);
    commit("late.txt", "kept too\n");
    git_succeeds(&person, &["push", "--quiet", &with_login(&stage.git.url(), &robot()), "HEAD:refs/heads/person"]);
    get_in_between(&stage);

    stage.nodes.decide(&stage.image("web", "1.0.1"), Fate::Runs).await;
    let done = stage.in_phase("web", "1.0.1", "Done").await;
    check_commit(&stage, &done, &["Write late.txt", "Write apps/web.yaml", "Write notes.txt", "Begin"]);
    assert_eq!(stage.declared("web"), edited.replace(":1.0.0", ":1.0.1"));
    for (file, text) in [("notes.txt", "kept\n"), ("late.txt", "kept too\n")] {
        assert_eq!(stage.repository().show(file).unwrap(), text.as_bytes());
    }
    stage.end().await;
}

/// While the server takes the next push, the branch moves to the tip of the branch `person`.
fn get_in_between(stage: &Stage) {
    let hooks = stage.repository().directory().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let hook = "#!/bin/sh\nunset GIT_QUARANTINE_PATH\n[ -e moved ] || { git update-ref refs/heads/main refs/heads/person && : > moved; }\n";
    std::fs::write(hooks.join("pre-receive"), hook).unwrap();
    std::fs::set_permissions(hooks.join("pre-receive"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// `kubectl rollout undo` and `kubectl set image` are how a person takes back what skeg did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_takes_back_with_kubectl_stays_back() {
    let policy = json!({ "skeg.dev/policy": "patch" });
    let needs = Needs { workloads: vec![("web", 0, policy.clone()), ("api", 0, policy.clone())], ..web(Auth::Anonymous, policy) };
    let Some(stage) = Stage::raise(needs).await else { return };
    let mut done = BTreeMap::new();
    for name in ["web", "api"] {
        stage.push(name, "1.0.1").await;
    }
    for name in ["web", "api"] {
        done.insert(name, stage.in_phase(name, "1.0.1", "Done").await["name"].as_str().unwrap().to_owned());
    }
    stage.kubectl(&["rollout", "undo", "deployment/web"]);
    stage.kubectl(&["set", "image", "deployment/api", &format!("app={}", stage.image("api", "1.0.0"))]);
    for name in ["web", "api"] {
        let bound = async || stage.update(name, "1.0.1").await.filter(|update| !update["binding"].is_null());
        stage.until(&format!("the person's choice for {name} is recorded"), bound).await;
    }
    // Three polls later it is still theirs.
    for _ in 0..3 {
        for name in ["web", "api"] {
            let last = stage.listed(name).await;
            let next = async || (stage.listed(name).await != last).then_some(());
            stage.until("the next poll", next).await;
            assert_eq!(stage.running(name).await, stage.image(name, "1.0.0"));
        }
    }
    for name in ["web", "api"] {
        stage.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]);
        let image = stage.image_view(name).await.unwrap();
        assert_eq!(image["state"], "heldBack", "{image:#}");
    }
    let mut subjects = stage.subjects();
    subjects.sort();
    // Both may be due for one commit.
    assert!(subjects.len() <= 3, "{subjects:#?}");

    let table = stage.kubectl(&["get", "imageupdates"]);
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["NAME", "WORKLOAD", "TO", "PHASE", "REASON", "VOTES", "AGE"]);
    let mut rows: Vec<Vec<&str>> = lines.map(|row| row.split_whitespace().take(4).collect()).collect();
    rows.sort();
    assert_eq!(rows, [[&done["api"], "api", "1.0.1", "Done"], [&done["web"], "web", "1.0.1", "Done"]], "{table}");
    let labelled = stage.kubectl(&["get", "imageupdates", "--selector=skeg.dev/binding=true", "--output=name"]);
    assert_eq!(labelled.lines().count(), 2, "{labelled}");

    let described = stage.kubectl(&["describe", "deployment", "web"]);
    let told = |parts: &[&str]| described.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(told(&["Normal", "Done", "skeg.dev/agent", "app 1.0.0 to 1.0.1: committed as "]), "{described}");
    assert!(told(&["ScalingReplicaSet", "deployment-controller"]), "{described}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_cannot_finish_is_put_back_and_not_committed() {
    let Some(stage) = Stage::raise(web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" }))).await else { return };
    stage.listed("web").await;
    for (tag, fate, told) in [("1.0.1", Fate::Crashes, "CrashLoopBackOff"), ("1.0.2", Fate::CannotPull, "ImagePullBackOff")] {
        stage.nodes.decide(&stage.image("web", tag), fate).await;
        stage.push("web", tag).await;
        let end = stage.in_phase("web", tag, "RolledBack").await;
        let reason = end["reason"]["message"].as_str().unwrap();
        assert!(reason.contains(told), "{reason}");
        assert!(!end["binding"].is_null(), "it would be tried again: {end:#}");
        assert_eq!(stage.running("web").await, stage.image("web", "1.0.0"));
        let is_up = async || {
            let status = &stage.deployment("web").await["status"];
            (status["availableReplicas"] == 2 && status["replicas"] == 2).then_some(())
        };
        stage.until("the old pods are all there is", is_up).await;
    }
    assert_eq!(stage.subjects(), ["Begin"]);
    // A newer image is not held back by the broken ones.
    stage.push("web", "1.0.3").await;
    let done = stage.in_phase("web", "1.0.3", "Done").await;
    check_commit(&stage, &done, &["Begin"]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_skeg_crd_prints_is_what_kubectl_applies_and_the_server_runs_with() {
    let Some(stage) = Stage::raise(web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" }))).await else { return };
    let file = stage.folder().join("crd");
    std::fs::write(&file, stage.skeg(&["crd"])).unwrap();
    let said = succeeds(stage.kubectl_as(User::Admin, &["apply", "--validate=strict", "--filename"]).arg(&file));
    assert!(said.starts_with("customresourcedefinition.apiextensions.k8s.io/imageupdates.skeg.dev "), "{said}");
    let difference = stage.kubectl_as(User::Admin, &["diff", "--filename"]).arg(&file).output().unwrap();
    assert!(difference.status.success(), "{}", String::from_utf8_lossy(&difference.stdout));
    stage.push("web", "1.0.1").await;
    let done = stage.in_phase("web", "1.0.1", "Done").await;
    let phase = stage.kubectl(&["get", "iu", done["name"].as_str().unwrap(), "--output=jsonpath={.status.phase}"]);
    assert_eq!(phase, "Done");
    // The rules are in force: a closed record stays closed. People may not even try.
    for (user, told) in [(User::Admin, "is invalid: status.phase"), (User::Person, "is forbidden")] {
        let mut reopen = stage.kubectl_as(user, &["patch", "iu", done["name"].as_str().unwrap(), "--type=merge", "--patch"]);
        let reopened = reopen.arg(r#"{"status":{"phase":"Held"}}"#).output().unwrap();
        assert!(!reopened.status.success(), "a closed record was opened again");
        assert!(String::from_utf8_lossy(&reopened.stderr).contains(told), "{user:?}: {reopened:?}");
    }
    // What the chart has the kubelet ask for is there.
    let installed = stage.admin.get(&format!("/apis/apps/v1/namespaces/{}/deployments/skeg", stage.own_namespace)).await.is(200);
    for probe in ["livenessProbe", "readinessProbe"] {
        let asked = &installed["spec"]["template"]["spec"]["containers"][0][probe]["httpGet"];
        assert_eq!(asked["port"], "webhooks");
        let url = format!("http://{}", stage.public);
        assert!(Server::new(&url, None, None).answers(asked["path"].as_str().unwrap()).await, "{asked}");
    }
    stage.end().await;
}

//! `skeg explain` and `GET /v1/explain/…`: why a workload is or is not updated, of a whole agent and of files alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};
use skeg::embedded::registry::{Access, Fault, Image, Login, Matcher, Operation};
use tokio::process::Command;

use crate::support::agent::{API_TOKEN, Agent, NAMESPACE, Setup, Workload, text};

const WEB: &str = "/v1/explain/shop/Deployment/web";

/// Runs the program to its end.
async fn skeg(agent: Option<&Agent>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
    command.args(arguments).env_remove("SKEG_SERVER").env_remove("SKEG_TOKEN").stdin(Stdio::null()).kill_on_drop(true);
    if let Some(agent) = agent {
        command.env("SKEG_SERVER", format!("http://{}", agent.private())).env("SKEG_TOKEN", API_TOKEN);
    }
    command.output().await.unwrap()
}

fn out(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What became of each tag of the first container: verdict and reason.
fn verdicts(explained: &Value) -> BTreeMap<String, String> {
    let all = explained["containers"][0]["verdicts"].as_array().unwrap();
    all.iter().map(|one| (text(one, "/tag").to_owned(), format!("{}: {}", text(one, "/verdict"), text(one, "/reason")))).collect()
}

/// A gate of the first container: its answer, and the code of its reason.
fn gate(explained: &Value, name: &str) -> (String, String) {
    let gates = explained["containers"][0]["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["gate"] == name).unwrap_or_else(|| panic!("no gate {name}: {explained:#}"));
    (text(gate, "/answer").to_owned(), text(gate, "/reason/code").to_owned())
}

#[track_caller]
fn check_gate(explained: &Value, name: &str, answer: &str, code: &str) {
    assert_eq!(gate(explained, name), (answer.to_owned(), code.to_owned()), "{explained:#}");
}

/// Waits until the explanation shows something. What a registry says is shown for five seconds.
async fn explained(agent: &Agent, what: &str, shows: impl Fn(&Value) -> bool) -> Value {
    agent.wait_for(what, async || Some(agent.get(WEB).await).filter(|told| shows(told))).await
}

#[tokio::test]
async fn every_tag_has_its_verdict_and_every_directive_its_origin() {
    let web = Workload::new("web", "shop/web", "1.0.0")
        .directive("policy", "minor")
        .directive("approvals", "1")
        .directive("ignore-tags", "glob:*-bad");
    let agent =
        Agent::start(Setup::of([web.container("proxy", "shop/proxy", "1.0.0").directive("policy.proxy", "never")]).without_polls()).await;
    for tag in ["1.1.0", "1.2.0", "1.3.0-bad", "2.0.0", "latest", "0.9.0"] {
        agent.push("shop/web", tag);
    }
    let digest = agent.stage.registry.digest_of("shop/web", "1.2.0").unwrap();
    agent.deliver_webhook("shop/web", "1.2.0").await;
    agent.wait_for_phase("1.2.0", "Held").await;
    let told = explained(&agent, "the update is open", |told| told["containers"][0]["update"]["phase"] == "Held").await;
    let expected = [
        ("0.9.0", "refused: another major version than the current tag"),
        ("1.0.0", "refused: the current tag itself"),
        ("1.1.0", "eligible: ranks below 1.2.0"),
        ("1.2.0", "chosen: the highest of 2 tags that qualify"),
        ("1.3.0-bad", "refused: matches ignore-tags"),
        ("2.0.0", "refused: another major version than the current tag"),
        ("latest", "refused: no version"),
    ];
    assert_eq!(verdicts(&told), expected.map(|(tag, verdict)| (tag.to_owned(), verdict.to_owned())).into());
    let web = &told["containers"][0];
    assert_eq!((&web["candidate"]["tag"], &web["candidate"]["digest"], &web["tags"]), (&json!("1.2.0"), &json!(digest), &json!(7)));
    assert!(web["candidate"]["built"].is_string() && web["runs"]["built"].is_string() && web["runs"]["digest"].is_string(), "{web:#}");
    assert_eq!(web["policy"], json!({"name": "policy", "value": "minor", "origin": {"kind": "annotation", "key": "skeg.dev/policy"}}));
    let origin =
        |of: &Value, name: &str| of["directives"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["origin"].clone();
    assert_eq!(origin(&told, "approvers"), json!({"kind": "config", "key": "[approvals] approvers"}));
    assert_eq!(origin(&told, "rollback"), json!({"kind": "default"}));
    assert_eq!(origin(web, "poll"), json!({"kind": "config", "key": "[poll] interval"}));
    assert_eq!(told["containers"][1]["policy"]["origin"]["key"], "skeg.dev/policy.proxy");
    check_gate(&told, "approval", "closed", "Approval");
    for open in ["mode", "pause", "workload", "binding", "limits"] {
        check_gate(&told, open, "open", "");
    }

    let shown = skeg(Some(&agent), &["explain", "deploy/web", "-n", NAMESPACE]).await;
    let shown = out(&shown);
    for line in [
        "shop/Deployment/web\n",
        "container web\n  policy     minor   (annotation skeg.dev/policy)\n",
        ": waits for approval, 0 of 1 votes given\n",
        "1 more vote: `skeg approve shop/web-",
        "  eligible",
        "container proxy\n  policy     never   (annotation skeg.dev/policy.proxy)\n",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let all = skeg(Some(&agent), &["explain", "deploy/web", "-n", NAMESPACE, "-o", "json"]).await;
    assert_eq!(verdicts(&serde_json::from_str(out(&all)).unwrap()), verdicts(&told));
}

#[tokio::test]
async fn what_holds_an_update_back_is_told_by_its_gate() {
    let agent = Agent::start(Setup::with_approval().without_polls()).await;
    agent.push("shop/web", "1.0.1");
    agent.deliver_webhook("shop/web", "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(agent.order("/v1/pause", json!({"namespace": NAMESPACE, "reason": "migration"})).await.0, StatusCode::OK);
    let told = explained(&agent, "it is paused", |told| gate(told, "pause").0 == "closed").await;
    check_gate(&told, "pause", "closed", "Paused");
    check_gate(&told, "approval", "closed", "Approval");
    assert_eq!(agent.order("/v1/resume", json!({"namespace": NAMESPACE})).await.0, StatusCode::OK);
    assert_eq!(agent.vote("1.0.1", "reject").await.0, StatusCode::OK);
    let told = explained(&agent, "the rejection binds", |told| gate(told, "binding").0 == "closed").await;
    check_gate(&told, "binding", "closed", "Bound");
    check_gate(&told, "pause", "open", "");
    assert_eq!(told["containers"][0]["candidate"]["tag"], "1.0.1", "the policy chooses it all the same");
    assert!(told["containers"][0].get("update").is_none(), "{told:#}");
}

#[tokio::test]
async fn a_registry_that_is_away_is_told_with_the_reason_and_what_was_found_last() {
    let agent = Agent::start(Setup { mode: "observe", ..Setup::at_once() }).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_image("web", "heldBack").await;
    agent.stage.registry.fail_next(Matcher::of(Operation::Tags).always(), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let told = explained(&agent, "the listing fails", |told| told["containers"][0].get("errors").is_some()).await;
    let web = &told["containers"][0];
    assert!(text(web, "/errors/0").contains("500"), "{web:#}");
    assert_eq!((&web["last"]["candidate"], &web["groups"]), (&json!("1.0.1"), &json!([])), "{web:#}");
    check_gate(&told, "mode", "closed", "Observing");
    let shown = skeg(Some(&agent), &["explain", "deploy/web", "-n", NAMESPACE]).await;
    assert!(out(&shown).contains("  last look  ") && out(&shown).contains("candidate 1.0.1"), "{}", out(&shown));
}

#[tokio::test]
async fn asking_again_and_again_costs_the_registry_one_listing() {
    let agent = Agent::start(Setup::at_once().without_polls()).await;
    agent.until("it was looked at", async || agent.listings("shop/web") > 0).await;
    agent.get(WEB).await;
    let (before, began) = (agent.listings("shop/web"), Instant::now());
    for _ in 0..20 {
        agent.get(WEB).await;
    }
    // Twenty answers may take longer than the five seconds that what was read is shown for, on a busy machine.
    let due = 1 + usize::try_from(began.elapsed().as_secs() / 5).unwrap();
    assert!(agent.listings("shop/web") - before <= due, "{due}: {:#?}", agent.stage.registry.requests());
}

#[tokio::test]
async fn thousands_of_tags_are_grouped_for_people_and_all_there_for_scripts() {
    let agent = Agent::start(Setup::at_once().without_polls()).await;
    let digest = agent.push("shop/web", "1.0.1");
    for number in 0..20_000 {
        agent.stage.registry.retag("shop/web", &format!("build-{number}"), &digest).unwrap();
    }
    let told = explained(&agent, "all are listed", |told| told["containers"][0]["tags"] == 20_002).await;
    assert_eq!(told["containers"][0]["verdicts"].as_array().unwrap().len(), 20_002);
    let shown = skeg(Some(&agent), &["explain", "deploy/web", "-n", NAMESPACE]).await;
    let shown = out(&shown);
    assert!(shown.contains("build-19999, build-19998, build-19997") && shown.lines().count() < 40, "{shown}");
    assert!(shown.contains("20000   no version"), "{shown}");
}

#[tokio::test]
async fn what_the_namespace_may_not_read_is_not_shown() {
    let access = Access::Basic(Login::new("robot", "secret"));
    let agent = Agent::start(Setup { access, registry_password: Some("wrong"), ..Setup::at_once() }).await;
    let told = agent.get(WEB).await;
    assert!(text(&told, "/containers/0/errors/0").contains("not authorised"), "{told:#}");
    assert_eq!((&told["containers"][0]["groups"], &told["containers"][0]["tags"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn only_names_that_are_tags_are_shown() {
    let agent = Agent::start(Setup::at_once().without_polls()).await;
    agent.stage.registry.push_image("shop/web", "1.0.1", &Image::new("1.0.1")).unwrap();
    let extra = vec!["\u{1b}[31mred".to_owned(), "<script>".to_owned()];
    agent.stage.registry.fail_next(Matcher::of(Operation::Tags).always(), Fault::ExtraTags(extra));
    let told = explained(&agent, "the tags are listed", |told| told["containers"][0]["tags"] == 2).await;
    assert!(!told.to_string().contains("script") && !told.to_string().contains("31m"), "{told:#}");
}

#[tokio::test]
async fn a_workload_that_is_not_managed_or_wrong_is_told_what_to_write() {
    let agent = Agent::start(Setup::at_once()).await;
    let gone = skeg(Some(&agent), &["explain", "deploy/other", "-n", NAMESPACE]).await;
    assert_eq!(gone.status.code(), Some(1));
    assert_eq!(gone.stderr, b"error: no workload shop/Deployment/other is managed; `skeg images` lists them\n");

    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/polcy": "minor"}}}));
    let wrong = explained(&agent, "the mistake is seen", |told| told.get("errors").is_some()).await;
    assert!(text(&wrong, "/errors/0").contains("did you mean skeg.dev/policy?"), "{wrong:#}");

    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/polcy": null, "skeg.dev/policy": null}}}));
    let told = agent
        .wait_for("it is not managed any more", async || {
            let output = skeg(Some(&agent), &["explain", "deploy/web", "-n", NAMESPACE]).await;
            (output.status.code() == Some(1)).then(|| String::from_utf8(output.stderr).unwrap())
        })
        .await;
    assert!(told.contains("is not managed") && told.contains("annotate deployment web skeg.dev/policy=minor"), "{told}");
    let nowhere = skeg(Some(&agent), &["explain", "deploy/web"]).await;
    assert_eq!(nowhere.status.code(), Some(2));
}

const MANIFEST: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations:
    skeg.dev/policy: minor
    skeg.dev/approvals: "2"
    skeg.dev/git: fleet:apps
spec:
  template:
    spec:
      containers:
        - {name: web, image: "ghcr.io/acme/web:1.0.0"}
      initContainers:
        - {name: migrate, image: "ghcr.io/acme/web:1.0.0"}
---
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bare", "namespace": "shop"}}
---
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "stage", "annotations": {"skeg.dev/policy": "never"}}}
"#;

/// Writes a file, and gives its path.
fn written(folder: &Path, name: &str, text: &str) -> String {
    std::fs::write(folder.join(name), text).unwrap();
    folder.join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn files_alone_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| written(folder.path(), name, text);
    let (manifest, tags) = (file("all.yaml", MANIFEST), file("tags", "1.0.0\n1.1.0\t2026-01-31T12:00:00Z\n2.0.0\n\u{1b}[31m\n"));
    let asked = async |more: &[&str]| skeg(None, &[&["explain", "--offline", &manifest, "--tags", &tags], more].concat()).await;

    let told: Value = serde_json::from_str(out(&asked(&["deploy/web", "-n", "shop", "-o", "json"]).await)).unwrap();
    assert_eq!(verdicts(&told)["1.1.0"], "chosen: the only one of 4 tags that qualifies");
    assert_eq!(told["containers"][0]["candidate"], json!({"tag": "1.1.0", "built": "2026-01-31T12:00:00Z"}));
    assert_eq!(text(&told, "/containers/1/reason"), "an init container: skeg.dev/init-containers is not true");
    check_gate(&told, "approval", "unknown", "Unknown");
    check_gate(&told, "limits", "unknown", "Unknown");
    let shown = asked(&["deploy/web", "-n", "shop"]).await;
    assert!(out(&shown).contains("note: offline") && !out(&shown).contains('\u{1b}'), "{}", out(&shown));

    for (more, code, said) in [
        (&["deploy/web"][..], 2, "declares Deployment/web 2 times: name the namespace with -n"),
        (&["deploy/other"], 1, "declares no Deployment/other; it declares shop/Deployment/web, shop/Deployment/bare, stage/Deployment/web"),
        (&["deploy/web", "-n", "prod"], 1, "declares no Deployment/web in namespace prod"),
        (&["deploy/bare"], 1, "shop/Deployment/bare is not managed"),
        (&["web"], 2, "web is not KIND/NAME, such as Deployment/web"),
        (&["cronjob/web"], 2, "cronjob is no kind that this version of skeg updates; they are: Deployment"),
        (&["deployment.apps/other"], 1, "declares no Deployment/other"),
    ] {
        let output = asked(more).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && told.contains(said), "{more:?}: {told}");
    }
    for wrong in [&["explain", "deploy/web", "--offline", &manifest][..], &["explain", "deploy/web", "--offline", "/none", "--tags", &tags]]
    {
        assert_eq!(skeg(None, wrong).await.status.code(), Some(2), "{wrong:?}");
    }
}

/// SE-02: the login of the registry is granted to one namespace. Another one that names the same repository is shown none of its tags, whoever
/// asked a moment before.
#[tokio::test]
async fn tags_of_a_repository_that_the_namespace_may_not_use_are_not_shown() {
    let access = Access::Basic(Login::new("robot", "s3cret"));
    let agent = Agent::start(Setup { access, ..Setup::at_once() }.without_polls()).await;
    agent.push("shop/web", "1.0.1-internal");
    agent.push("shop/web", "2.0.0");
    agent.stage.kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})).unwrap();
    let mut curious = Workload::new("web", "shop/web", "1.0.0").object(&agent.stage.registry.address().to_string());
    curious["metadata"]["namespace"] = "elsewhere".into();
    agent.stage.kube.apply(curious).unwrap();
    let is_known = async || {
        let images = agent.get("/v1/images").await;
        let known = images["images"].as_array().unwrap().iter().find(|image| image["workload"]["namespace"] == "elsewhere");
        known.is_some_and(|image| image["state"] == "degraded")
    };
    agent.until("the other workload was looked at", is_known).await;
    let granted = agent.get(WEB).await;
    assert!(verdicts(&granted).contains_key("2.0.0"), "{granted:#}");
    let refused = agent.get("/v1/explain/elsewhere/Deployment/web").await;
    let web = &refused["containers"][0];
    assert!(text(web, "/errors/0").contains("not authorised"), "{refused:#}");
    assert_eq!((&web["access"], &web["tags"], &web["groups"]), (&json!("no credential"), &json!(0), &json!([])));
    let images = agent.get("/v1/images").await["images"].as_array().unwrap().clone();
    let of_other = images.iter().find(|image| image["workload"]["namespace"] == "elsewhere").unwrap();
    for told in [refused.to_string(), of_other.to_string()] {
        assert!(!told.contains("internal") && !told.contains("2.0.0") && !told.contains("s3cret"), "{told}");
    }
}

const RULES: &str = r#"
[poll]
interval = "7m"

[[rule]]
name = "production"
labels = { tier = "production" }
enforce = true
directives = { approvals = 2 }

[[rule]]
images = ["ghcr.io/acme/*"]
directives = { policy = "minor" }
"#;

const WITH_NAMESPACE: &str = r#"apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {skeg.dev/approvals: "1", skeg.dev/ignore-tags: "glob:1.2*"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {tier: production}}
spec: {template: {spec: {containers: [{name: web, image: "ghcr.io/acme/web:1.0.0"}]}}}
"#;

const OF_KEEL: &str = r#"apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {skeg.dev/policy: patch, skeg.dev/ignore-tags: "glob:1.2*", skeg.dev/approvals: "1"}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations: {keel.sh/policy: minor, keel.sh/monitorContainers: ^web$, keel.sh/polcy: all, skeg.dev/pause: "true"}
spec: {template: {spec: {initContainers: [{name: init, image: "web:1.0.0"}], containers: [{name: web, image: "web:1.0.0"}, {name: side, image: "web:1.0.0"}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: both, namespace: shop, annotations: {keel.sh/policy: all, skeg.dev/policy: minor}}
spec: {template: {spec: {containers: [{name: web, image: "web:1.0.0"}]}}}
"#;

#[tokio::test]
async fn keels_keys_are_explained_offline_as_the_daemon_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| written(folder.path(), name, text);
    let (manifest, tags) = (file("all.yaml", OF_KEEL), file("tags", "1.0.0\n1.1.0\n1.2.0\n2.0.0\n"));
    let asked = async |name: &str| skeg(None, &["explain", name, "--offline", &manifest, "--tags", &tags]).await;
    let told = asked("deploy/web").await;
    for line in [
        "  approvals  1   (namespace skeg.dev/approvals)\n",
        "  pause      true   (annotation skeg.dev/pause)\n",
        "  monitorContainers  ^web$   (annotation keel.sh/monitorContainers)\n",
        "  policy     keel:minor   (annotation keel.sh/policy)\n",
        "  candidate  1.2.0: ",
        "an init container: keel.sh/initContainers is not true",
        "its name does not match keel.sh/monitorContainers",
        "note: keel.sh/polcy: ",
        "note: Keel's keys are only observed",
    ] {
        assert!(out(&told).contains(line), "{line} is not in\n{}", out(&told));
    }
    let config = file("skeg.toml", "[poll]\ninterval = '7m'\n");
    let told = skeg(None, &["explain", "deploy/web", "--offline", &manifest, "--tags", &tags, "--config", &config]).await;
    assert!(!out(&told).contains("[poll] interval"), "Keel's minute is nobody's setting: {}", out(&told));
    let both = asked("deploy/both").await;
    assert!(out(&both).contains("  policy     minor   (annotation skeg.dev/policy)\n"), "{}", out(&both));
    assert!(out(&both).contains("  candidate  1.1.0: "), "{}", out(&both));
}

#[tokio::test]
async fn what_asks_for_nothing_is_told_by_what_is_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let tags = written(folder.path(), "tags", "1.0.0\n1.1.0\n");
    for (metadata, said) in [
        ("annotations: {keel.sh/policy: never}", "keel.sh/policy says `never`, by which Keel leaves it alone, and so does skeg"),
        ("annotations: {keel.sh/trigger: poll}", "keel.sh/trigger does nothing without keel.sh/policy"),
        ("labels: {keel.sh/Policy: minor}", "keel.sh/Policy does nothing without keel.sh/policy"),
        ("labels: {skeg.dev/policy: minor}", "skeg.dev/policy is a label, and skeg reads annotations"),
        ("annotations: {Skeg.dev/policy: minor}", "Skeg.dev/policy is not written as skeg reads it"),
        ("annotations: {keel.observer/policy: never}", "keel.observer/policy says `never`"),
        ("annotations: {keel.sh/update-time: now}, labels: {skeg.dev/policy: minor}", "skeg.dev/policy is a label"),
        ("annotations: {keel.sh/update-time: now}", "nothing on it asks skeg for anything"),
        ("labels: {tier: prod}", "nothing on it asks skeg for anything"),
    ] {
        let containers = "containers: [{name: web, image: 'web:1.0.0'}]";
        let object = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, {metadata}}}\nspec: {{template: {{spec: {{{containers}}}}}}}"
        );
        let manifest = written(folder.path(), "web.yaml", &object);
        let output = skeg(None, &["explain", "deploy/web", "--offline", &manifest, "--tags", &tags]).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains(said), "{metadata}: {told}");
    }
}

#[tokio::test]
async fn one_list_of_tags_for_several_repositories_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let tags = written(folder.path(), "tags", "1.0.0\n1.1.0\n");
    let containers = "containers: [{name: web, image: 'ghcr.io/acme/web:1.0.0'}, {name: side, image: 'envoyproxy/envoy:1.0.0'}]";
    let metadata = "metadata: {name: web, annotations: {skeg.dev/policy: minor}}";
    let object = format!("apiVersion: apps/v1\nkind: Deployment\n{metadata}\nspec: {{template: {{spec: {{{containers}}}}}}}");
    let manifest = written(folder.path(), "two.yaml", &object);
    let told = skeg(None, &["explain", "deploy/web", "--offline", &manifest, "--tags", &tags]).await;
    let note = "note: offline: the one list of tags is taken for each repository: docker.io/envoyproxy/envoy, ghcr.io/acme/web\n";
    assert!(out(&told).contains(note), "{}", out(&told));
}

#[tokio::test]
async fn rules_and_the_namespace_count_offline_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| written(folder.path(), name, text);
    let (manifest, tags, config) = (file("all.yaml", WITH_NAMESPACE), file("tags", "1.0.0\n1.1.0\n1.2.0\n"), file("skeg.toml", RULES));
    let base = ["explain", "deploy/web", "--offline", &manifest, "--tags", &tags];
    let told = skeg(None, &[&base[..], &["--config", &config]].concat()).await;
    for line in [
        "  approvals  2   (bound production)\n",
        "  policy     minor   (rule 2)\n",
        "  ignore-tags  glob:1.2*   (namespace skeg.dev/ignore-tags)\n",
        "  poll       7m   (config [poll] interval)\n",
        "  candidate  1.1.0: ",
    ] {
        assert!(out(&told).contains(line), "{line} is not in\n{}", out(&told));
    }
    assert!(!out(&told).contains("note: offline"), "{}", out(&told));
    let closed =
        file("closed.toml", &format!("{RULES}\n[cluster]\nmode = 'observe'\nnamespaces = ['other']\n[registries]\nallow = ['quay.io']\n"));
    let told = skeg(None, &[&base[..], &["--config", &closed, "-o", "json"]].concat()).await;
    let told: Value = serde_json::from_str(out(&told)).unwrap();
    check_gate(&told, "mode", "closed", "Observing");
    check_gate(&told, "approval", "closed", "NoApprover");
    let notes = told["notes"].to_string();
    assert!(notes.contains("is not in [cluster] namespaces") && notes.contains("ghcr.io is neither in [registries] allow"), "{notes}");
    let unnamed = skeg(None, &base).await;
    assert!(unnamed.status.code() == Some(1) && String::from_utf8_lossy(&unnamed.stderr).contains("not managed"), "{unnamed:?}");
    let wrong = file("wrong.toml", "[[rule]]\ndirectives = { polcy = \"minor\" }");
    let refused = skeg(None, &[&base[..], &["--config", &wrong]].concat()).await;
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("did you mean policy?"), "{refused:?}");
}

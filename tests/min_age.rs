//! The directive `min-age`: what is too young waits, through restarts, and costs no requests while it does.

use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use skeg::embedded::kube::{self, Fault};
use skeg::embedded::registry::{self, Image, Matcher, Operation};

use crate::support::agent::{Agent, NAMESPACE, Setup, Workload, text};

const HELD: SignedDuration = SignedDuration::from_hours(2);
/// The longest that is tried in vain.
const ALWAYS: u32 = u32::MAX;

fn aged(name: &str, age: &str) -> Workload {
    Workload::new(name, &format!("shop/{name}"), "1.0.0").directive("min-age", age)
}

/// Another image under the same tag.
fn push_other(agent: &Agent, repository: &str, tag: &str, content: &str) -> String {
    agent.stage.registry.push_image(repository, tag, &Image::new(content)).unwrap()
}

/// The first sights that are kept.
fn kept(agent: &Agent) -> Value {
    let map = agent.stage.kube.get("v1", "ConfigMap", "skeg", "skeg-first-seen").unwrap_or_default();
    map["data"]["first-seen.json"].as_str().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

fn is_kept(agent: &Agent, repository: &str, tag: &str) -> bool {
    let name = format!("{}/{repository}", agent.stage.registry.address());
    kept(agent)[&name][tag]["at"].is_string()
}

async fn recorded(agent: &Agent, repository: &str, tag: &str) {
    agent.until(&format!("the first sight of {tag} is recorded"), async || is_kept(agent, repository, tag)).await;
}

async fn runs(agent: &Agent, name: &str, tag: &str) {
    let ending = format!(":{tag}");
    agent.until(&format!("{name} runs {tag}"), async || agent.deployment_image(name).contains(&ending)).await;
}

/// skeg ends in good order, the clock goes on, and skeg starts again.
async fn start_later(agent: &mut Agent, by: SignedDuration) {
    agent.stop().await;
    agent.clock.move_on(by);
    agent.begin_and_wait().await;
}

/// Requests about `shop/web` but listings, from the one at this place on, by method and kind.
fn further_requests(agent: &Agent, from: usize) -> Vec<String> {
    let requests = agent.stage.registry.requests();
    let lines = requests.iter().skip(from).map(|request| format!("{} {}", request.method, request.path));
    lines.filter(|line| line.contains("shop/web") && !line.ends_with("/tags/list")).collect()
}

#[tokio::test]
async fn a_young_tag_waits_and_runs_when_it_is_old_enough_without_another_push() {
    let agent = Agent::start(Setup::of([aged("web", "4s")])).await;
    agent.polls("shop/web", 1).await;
    let pushed = Instant::now();
    agent.push("shop/web", "1.0.1");
    let told =
        async || Some(agent.image_view("web").await["reason"]["message"].as_str()?.to_owned()).filter(|why| why.contains("min-age until"));
    let why = agent.wait_for("it is told why", told).await;
    assert!(why.contains("1 × younger than min-age; 1.0.1 waits for min-age until "), "{why}");
    assert_eq!(agent.patches_done(), 0);
    runs(&agent, "web", "1.0.1").await;
    assert!(pushed.elapsed() >= Duration::from_secs(4), "{:?}", pushed.elapsed());
    agent.until("it is forgotten", async || kept(&agent) == json!({})).await;
}

#[tokio::test]
async fn while_nothing_changes_a_tag_that_waits_costs_one_question_a_look_and_no_pull() {
    let agent = Agent::start(Setup::of([aged("web", "2h")])).await;
    agent.polls("shop/web", 1).await;
    let before = agent.stage.registry.requests().len();
    agent.polls("shop/web", 3).await;
    assert_eq!(further_requests(&agent, before), Vec::<String>::new(), "nothing waits");
    agent.push("shop/web", "1.0.1");
    recorded(&agent, "shop/web", "1.0.1").await;
    // What is written shows before its request is counted.
    agent.polls("shop/web", 1).await;
    let before = agent.stage.registry.requests().len();
    let writes = agent.stage.kube.requests().iter().filter(|request| request.path.contains("skeg-first-seen")).count();
    agent.polls("shop/web", 8).await;
    let asked = further_requests(&agent, before);
    assert!(asked.len() <= 10 && asked.iter().all(|line| line.starts_with("HEAD ")), "{asked:?}");
    assert_eq!(agent.stage.kube.requests().iter().filter(|request| request.path.contains("skeg-first-seen")).count(), writes);
}

#[tokio::test]
async fn an_explanation_shows_what_waits_since_when_and_until_when() {
    let agent = Agent::start(Setup::of([aged("web", "2h")])).await;
    agent.push("shop/web", "1.0.1");
    recorded(&agent, "shop/web", "1.0.1").await;
    let explained = agent.get(&format!("/v1/explain/{NAMESPACE}/Deployment/web")).await;
    let container = &explained["containers"][0];
    let time = |key: &str| text(container, &format!("/waiting/0/{key}")).parse::<Timestamp>().unwrap();
    assert_eq!(text(container, "/waiting/0/tag"), "1.0.1", "{container:#}");
    assert_eq!(time("oldEnoughAt").duration_since(time("firstSeen")), HELD);
    for reason in ["/reason", "/last/reason/message"] {
        assert!(text(container, reason).contains("1 × younger than min-age"), "{container:#}");
        assert!(text(container, reason).contains("1.0.1 waits for min-age until "), "{container:#}");
    }
    assert!(container["candidate"].is_null());
}

#[tokio::test]
async fn a_first_sight_survives_a_restart_and_without_its_record_the_tag_is_young_again() {
    let mut agent = Agent::start(Setup::of([aged("web", "2h"), aged("api", "2h")])).await;
    for name in ["web", "api"] {
        agent.push(&format!("shop/{name}"), "1.0.1");
        recorded(&agent, &format!("shop/{name}"), "1.0.1").await;
    }
    start_later(&mut agent, HELD - SignedDuration::from_mins(1)).await;
    agent.polls("shop/web", 2).await;
    assert_eq!(agent.patches_done(), 0, "a minute is missing");
    agent.stop().await;
    let name = format!("{}/shop/api", agent.stage.registry.address());
    let mut record = kept(&agent);
    record.as_object_mut().unwrap().remove(&name).unwrap();
    let data = json!({"data": {"first-seen.json": record.to_string()}});
    agent.stage.kube.merge("v1", "ConfigMap", "skeg", "skeg-first-seen", data).unwrap();
    agent.clock.move_on(SignedDuration::from_mins(2));
    agent.begin_and_wait().await;
    runs(&agent, "web", "1.0.1").await;
    recorded(&agent, "shop/api", "1.0.1").await;
    assert!(agent.deployment_image("api").ends_with(":1.0.0"));
}

#[tokio::test]
async fn a_first_sight_survives_a_kill() {
    let mut agent = Agent::start_with_lease(Setup::of([aged("web", "2h")]), Duration::from_secs(3)).await;
    agent.push("shop/web", "1.0.1");
    recorded(&agent, "shop/web", "1.0.1").await;
    agent.kill().await;
    agent.clock.move_on(HELD);
    agent.begin_and_wait().await;
    runs(&agent, "web", "1.0.1").await;
}

#[tokio::test]
async fn the_age_of_a_tag_that_is_moved_begins_anew() {
    let mut agent = Agent::start(Setup::of([aged("web", "2h")])).await;
    agent.push("shop/web", "1.0.1");
    recorded(&agent, "shop/web", "1.0.1").await;
    agent.stop().await;
    agent.clock.move_on(HELD);
    let moved = push_other(&agent, "shop/web", "1.0.1", "something else");
    agent.begin_and_wait().await;
    agent.until("the move is seen", async || kept(&agent).to_string().contains(&moved)).await;
    agent.polls("shop/web", 2).await;
    assert_eq!(agent.patches_done(), 0);
    start_later(&mut agent, HELD).await;
    runs(&agent, "web", "1.0.1").await;
}

#[tokio::test]
async fn a_tag_that_is_followed_by_its_digest_waits_for_each_new_image() {
    let web = Workload::new("web", "shop/web", "main").directive("policy", "digest").directive("min-age", "2h");
    let mut agent = Agent::start(Setup::of([web])).await;
    recorded(&agent, "shop/web", "main").await;
    assert_eq!(agent.patches_done(), 0, "that it is written with its digest has to wait as well");
    start_later(&mut agent, HELD).await;
    agent.until("its digest is written", async || agent.deployment_image("web").contains('@')).await;
    agent.until("nothing waits", async || kept(&agent) == json!({})).await;
    let image = agent.image_view("web").await;
    let moved = push_other(&agent, "shop/web", "main", "the next one");
    agent.until("it is seen", async || kept(&agent).to_string().contains(&moved)).await;
    agent.polls("shop/web", 2).await;
    assert!(!agent.deployment_image("web").contains(&moved), "{image:#}");
    start_later(&mut agent, HELD).await;
    agent.until("it runs", async || agent.deployment_image("web").contains(&moved)).await;
}

#[tokio::test]
async fn a_pipeline_that_pushes_more_often_than_min_age_is_followed_all_the_same() {
    let agent = Agent::start(Setup::of([aged("web", "5s")])).await;
    let mut pushes = 0;
    while agent.patches_done() == 0 {
        pushes += 1;
        assert!(pushes < 60, "nothing was ever old enough: {}", kept(&agent));
        agent.push("shop/web", &format!("1.0.{pushes}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let chosen: u32 = agent.deployment_image("web").rsplit(['.', '@']).next().unwrap().parse().unwrap();
    assert!(chosen < pushes, "{chosen} of {pushes}");
}

#[tokio::test]
async fn what_was_built_in_the_future_is_passed_over_until_then() {
    let mut agent = Agent::start(Setup::of([aged("web", "2h")])).await;
    let ahead = Image::new("ahead").created("2999-01-01T00:00:00Z");
    agent.stage.registry.push_image("shop/web", "1.0.2", &ahead).unwrap();
    agent.push("shop/web", "1.0.1");
    recorded(&agent, "shop/web", "1.0.2").await;
    recorded(&agent, "shop/web", "1.0.1").await;
    start_later(&mut agent, HELD).await;
    runs(&agent, "web", "1.0.1").await;
    agent.polls("shop/web", 2).await;
    assert!(agent.deployment_image("web").ends_with(":1.0.1"));
}

#[tokio::test]
async fn by_the_build_what_cannot_be_read_leads_to_nothing_older_and_keeps_its_first_sight() {
    let web = Workload::new("web", "shop/web", "f00").directive("policy", "newest").directive("min-age", "2h");
    let mut agent = Agent::start(Setup::of([web])).await;
    let push = |agent: &Agent, tag: &str, created: &str| {
        agent.stage.registry.push_image("shop/web", tag, &Image::new(tag).created(created)).unwrap();
    };
    push(&agent, "0a1", "2026-02-01T00:00:00Z");
    push(&agent, "0a2", "2026-03-01T00:00:00Z");
    recorded(&agent, "shop/web", "0a2").await;
    // Both are old enough when skeg starts again, and it has to read anew which of them was built last.
    agent.stop().await;
    agent.clock.move_on(HELD);
    agent.stage.registry.fail_next(Matcher::of(Operation::Blob).always(), registry::Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    agent.begin_and_wait().await;
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.patches_done(), 0, "{:?}", agent.updates().await);
    assert!(is_kept(&agent, "shop/web", "0a2"), "{}", kept(&agent));
    agent.stage.registry.clear_faults();
    runs(&agent, "web", "0a2").await;
    assert_eq!(agent.patches_done(), 1, "{:?}", agent.updates().await);
}

#[tokio::test]
async fn a_record_that_somebody_has_edited_is_told_and_the_rest_of_it_holds() {
    let mut agent = Agent::start(Setup::of([aged("web", "2h"), aged("api", "2h")])).await;
    for name in ["web", "api"] {
        agent.push(&format!("shop/{name}"), "1.0.1");
        recorded(&agent, &format!("shop/{name}"), "1.0.1").await;
    }
    agent.stop().await;
    let mut record = kept(&agent);
    let api = format!("{}/shop/api", agent.stage.registry.address());
    record[&api]["1.0.1"]["at"] = "long ago".into();
    let data = json!({"data": {"first-seen.json": record.to_string(), "notes": "mine"}});
    agent.stage.kube.merge("v1", "ConfigMap", "skeg", "skeg-first-seen", data).unwrap();
    agent.clock.move_on(HELD);
    agent.begin_and_wait().await;
    runs(&agent, "web", "1.0.1").await;
    let status = agent.get("/v1/status").await;
    let told = status["degraded"].as_array().unwrap().iter().find(|part| part["name"] == "first sights").expect("it is told").clone();
    assert!(text(&told, "/detail").contains("shop/api, `1.0.1`: "), "{told:#}");
    recorded(&agent, "shop/api", "1.0.1").await;
    agent.until("it is mended", async || !kept(&agent).to_string().contains("long ago")).await;
    assert!(agent.deployment_image("api").ends_with(":1.0.0"));
    let map = agent.stage.kube.get("v1", "ConfigMap", "skeg", "skeg-first-seen").unwrap();
    assert_eq!(map["data"]["notes"], "mine");
}

#[tokio::test]
async fn without_the_right_to_the_record_skeg_says_so_and_goes_by_memory() {
    let agent = Agent::start(Setup::of([aged("web", "4s")])).await;
    let record = kube::Matcher::any().path("skeg-first-seen");
    agent.stage.kube.fail_next(record, Fault::Status(403, None), ALWAYS);
    let creating = kube::Matcher::any().method("POST").path("/configmaps");
    agent.stage.kube.fail_next(creating, Fault::Status(403, None), ALWAYS);
    agent.push("shop/web", "1.0.1");
    let told = async || agent.get("/v1/status").await["degraded"].to_string().contains("the first sights cannot be");
    agent.until("it is told", told).await;
    runs(&agent, "web", "1.0.1").await;
}

#[tokio::test]
async fn a_workload_that_waits_for_webhooks_only_is_looked_at_when_its_tag_is_old_enough() {
    let web = aged("web", "4s").directive("trigger", "webhook");
    let agent = Agent::start(Setup::of([web]).without_polls()).await;
    agent.push("shop/web", "1.0.1");
    assert!(agent.deliver_webhook("shop/web", "1.0.1").await.is_success());
    runs(&agent, "web", "1.0.1").await;
}

#[tokio::test]
async fn what_is_held_is_not_applied_when_a_greater_age_is_asked_for_meanwhile() {
    let agent = Agent::start(Setup::of([aged("web", "1s").directive("approvals", "1")])).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    // The registry is away, so no look decides anew.
    agent.stage.registry.fail_next(Matcher::of(Operation::Tags).always(), registry::Fault::Html);
    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/min-age": "2h"}}}));
    let waits = async || agent.update_to("1.0.1").await.is_some_and(|update| update["reason"]["code"] == "TooYoung");
    agent.until("it waits for its age", waits).await;
    let (status, _) = agent.vote("1.0.1", "approve").await;
    assert!(status.is_success(), "{status}");
    agent.until("it is still held", waits).await;
    assert_eq!(agent.patches_done(), 0);
}

//! Registries in trouble of their own, and answers that are no tag list: what is decided, what is told, and what it costs.

use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::Value;
use skeg::embedded::registry::{Access, EmbeddedRegistry, Fault, Image, Matcher, Operation};

use crate::support::agent::{API_TOKEN, Agent, Setup, Stage, Workload, text};
use crate::support::daemon::Daemon;
use crate::support::kube_api::Server;
use crate::support::report::report;

/// How long the registry answers nothing of use, in steps that a test's clock is moved by.
const STEPS: i64 = 120;
const STEP: SignedDuration = SignedDuration::from_secs(5);
/// What an answer that would inflate to ten gigabytes may cost.
const BOMB_GROWTH_MAX: u64 = 32 << 20;
const FACT_WITHIN: Duration = Duration::from_mins(1);
/// Names that are no tags. Some would be the last in any order.
const HOSTILE: [&str; 7] = ["$(id)", "z\nz", "../z", "{{ z }}", "z: z", "z;z", "`z`"];

/// RE-03: ten minutes of 5xx, then healthy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_in_trouble_for_ten_minutes_is_asked_seldom_and_found_well_within_an_interval() {
    let agent = Agent::start(Setup { poll: "5m", ..Setup::at_once() }).await;
    agent.wait_for_image("web", "current").await;
    agent.stage.registry.fail_next(Matcher::any().always(), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let before = agent.stage.registry.requests().len();
    for _ in 0..STEPS {
        agent.clock.move_on(STEP);
        // What the time that went by made due begins before more of it goes by.
        agent.get("/v1/status").await;
    }
    agent.wait_for_image("web", "degraded").await;
    let asked = agent.stage.registry.requests().len() - before;
    assert!((1..=20).contains(&asked), "{asked} requests in ten minutes");

    agent.stage.registry.clear_faults();
    agent.push("shop/web", "1.0.1");
    // One interval, and what it is spread by.
    agent.clock.move_on(SignedDuration::from_secs(330));
    agent.wait_for_workload("web", "Done").await;
}

/// RE-01: the others of its host wait with it, other hosts do not, and all are read again afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_asks_to_be_left_alone_is_and_nobody_else() {
    let other = EmbeddedRegistry::start(Access::Anonymous).unwrap();
    other.push_image("team/other", "1.0.0", &Image::new("1.0.0")).unwrap();
    let host = other.address().to_string();
    let more = format!("[[registry]]\nhost = \"{host}\"\ninsecure = true\n");
    let names = ["web", "api"];
    let workloads = names.map(|name| Workload::new(name, &format!("shop/{name}"), "1.0.0"));
    let agent = Agent::start(Setup { more: more.leak(), ..Setup::of(workloads) }).await;
    agent.stage.kube.apply(Workload::new("other", "team/other", "1.0.0").object(&host)).unwrap();
    agent.until("the other registry is polled", async || !other.requests().is_empty()).await;

    let limited = &agent.stage.registry;
    limited.fail_next(Matcher::of(Operation::Tags), Fault::too_many_requests(600));
    let is_told = async |name: &str| text(&agent.image_view(name).await, "/errors/0").contains("asks to slow down");
    agent.until("all of its repositories wait", async || is_told("web").await && is_told("api").await).await;
    let (asked, others) = (limited.requests().len(), other.requests().len());
    agent.until("the other registry is polled as ever", async || other.requests().len() >= others + 3).await;
    assert_eq!(limited.requests().len(), asked, "nothing is sent before the time");

    agent.clock.move_on(SignedDuration::from_secs(600));
    for name in names {
        agent.push(&format!("shop/{name}"), "1.0.1");
        agent.wait_for_workload(name, "Done").await;
    }
}

/// RE-09, RE-10 and RE-12: the last decision stands until there is a whole list of tags, and what is no tag is none of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_whole_list_of_tags_decides_nothing() {
    let workload =
        |name: &str, policy: &str| Workload::new(name, "shop/web", "1.0.0").directive("policy", policy).directive("approvals", "1");
    let setup = Setup::of([workload("web", "semver:*"), workload("last", "alphabetical")]).without_polls();
    let agent = Agent::start(setup).await;
    let registry = &agent.stage.registry;
    let old = registry.digest_of("shop/web", "1.0.0").unwrap();
    // The first page has nothing but what is older.
    (0..1_100).for_each(|number| registry.retag("shop/web", &format!("0.{number}.0"), &old).unwrap());
    agent.push("shop/web", "1.0.1");
    let look = || agent.clock.move_on(SignedDuration::from_secs(3_960));
    look();
    for name in ["web", "last"] {
        agent.wait_for_workload(name, "Held").await;
    }
    let named: Vec<String> = HOSTILE.map(str::to_owned).to_vec();
    let first = || Matcher::of(Operation::Tags);
    let types = Fault::Body(r#"{"name":"shop/web","tags":{"9.9.9":{}}}"#.into());
    for (matcher, fault, told) in [
        (first(), Fault::Html, "page 1 of the tag list is not JSON"),
        (first(), Fault::TruncatedBody(9_000), "the connection broke"),
        (first(), Fault::Body(r#"{"name":"shop/web","tags":["9.9.9""#.into()), "page 1 of the tag list ends in the middle"),
        (first(), types, "page 1 of the tag list is no tag list"),
        (first(), Fault::Body("[".repeat(200 << 20).into()), "larger than"),
        (first().after(1), Fault::status(StatusCode::INTERNAL_SERVER_ERROR), "answered 500"),
        (first().after(1), Fault::Html, "page 2 of the tag list is not JSON"),
        (first().times(2), Fault::ExtraTags(named), ""),
    ] {
        let listings = agent.listings("shop/web");
        registry.fail_next(matcher, fault);
        look();
        if told.is_empty() {
            agent.until("both pages are read", async || agent.listings("shop/web") >= listings + 2).await;
        } else {
            let is_told = async || text(&agent.image_view("web").await, "/errors/0").contains(told);
            agent.until(&format!("it is told: {told}"), is_told).await;
        }
        look();
        agent.until("it is read again", async || agent.image_view("web").await["errors"].as_array().is_none()).await;
    }
    let records = agent.records();
    assert_eq!(records.len(), 2, "{records:#?}");
    for record in &records {
        assert_eq!((text(record, "/status/phase"), text(record, "/spec/changes/0/tag")), ("Held", "1.0.1"), "{record:#}");
    }
    assert!(agent.patches().is_empty());
}

/// RE-05: nothing of what it would inflate to is in memory beyond the cap, and people see why the repository is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_bomb_in_place_of_a_tag_list_costs_little_memory_and_is_told() {
    let stage = Stage::build(&Setup { more: "[telemetry]\nlog = \"json\"\n", ..Setup::at_once() });
    let skeg = Daemon::start(&stage.config_file()).await;
    let api = Server::new(&format!("http://{}", skeg.private), None, Some(API_TOKEN));
    let until = async |what: &str, holds: &dyn Fn(&Value) -> bool| {
        let deadline = Instant::now() + FACT_WITHIN;
        loop {
            let images = api.get("/v1/images").await;
            // Until it is ready it says so, in another status.
            let image = if images.code == 200 { images.is(200)["images"][0].clone() } else { Value::Null };
            if holds(&image) {
                return;
            }
            assert!(Instant::now() < deadline, "in vain: {what}: {image:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    until("the repository is read", &|image| image["state"] == "current").await;
    let before = skeg.memory("VmRSS");
    skeg.forget_peak();
    stage.registry.fail_next(Matcher::of(Operation::Tags).always(), Fault::GzipBomb { decoded_bytes: 10 << 30 });
    until("the repository is degraded", &|image| image["state"] == "degraded" && text(image, "/errors/0").contains("larger than")).await;
    let asked = stage.registry.requests().len();
    until("it is asked again", &|_| stage.registry.requests().len() >= asked + 2).await;
    let peak = skeg.memory("VmHWM");
    let mib = |bytes: u64| bytes / (1 << 20);
    report(&format!("RE-05: {} MiB before, {} MiB at most while a list would inflate to 10 GiB", mib(before), mib(peak)));
    assert!(peak.saturating_sub(before) <= BOMB_GROWTH_MAX, "from {before} to {peak}");
    stage.registry.clear_faults();
    until("the repository is read again", &|image| image["state"] == "current").await;
    skeg.kill().await;
}

//! Registries in trouble of their own.

use http::StatusCode;
use jiff::SignedDuration;
use skeg::embedded::registry::{Fault, Matcher};

use crate::support::agent::{Agent, Setup};

/// How long the registry answers nothing of use, in steps that a test's clock is moved by.
const STEPS: i64 = 120;
const STEP: SignedDuration = SignedDuration::from_secs(5);

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

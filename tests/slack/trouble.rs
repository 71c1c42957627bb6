//! Slack is away, slow or forgets to answer.

use std::time::Instant;

use http::StatusCode;
use jiff::SignedDuration;

use super::{APPROVE, acknowledged, has_buttons, prompts, request, start, votes_needed};
use crate::support::agent::{Agent, Setup, Stage, Workload, text};
use crate::support::slack::{FakeSlack, Fault, Press};

/// SL-01. The clock is moved in steps, as skeg looks at it again and again meanwhile.
#[tokio::test]
async fn an_hour_without_slack_loses_no_request_doubles_none_and_approves_nothing() {
    let slack = FakeSlack::start();
    slack.set_down(true);
    let names: Vec<String> = (0..20).map(|number| format!("web{number}")).collect();
    let workload = |name: &String| Workload::new(name, &format!("shop/{name}"), "1.0.0").directive("approvals", "1");
    let mut agent = Agent::start(Setup::of(names.iter().map(workload)).with_slack(slack.api_url())).await;
    for name in &names {
        agent.push(&format!("shop/{name}"), "1.0.1");
    }
    let asked = |agent: &Agent| agent.records().iter().filter(|record| record["status"]["askedAt"].is_string()).count();
    agent.until("every request is recorded", async || asked(&agent) == 20).await;
    for minute in 0..60 {
        agent.clock.move_on(SignedDuration::from_mins(1));
        if minute == 30 {
            agent.kill_and_begin().await;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!((asked(&agent), slack.messages().len(), agent.patches_done()), (20, 0, 0));
    assert!(agent.updates().await.iter().all(|update| update["phase"] == "Held"), "{:#?}", agent.updates().await);
    let degraded = agent.get("/v1/status").await["degraded"].clone();
    assert!(degraded.to_string().contains("slack"), "{degraded}");

    slack.set_down(false);
    agent
        .until("every request is posted", async || {
            // Nobody waits for a real minute between two tries.
            agent.clock.move_on(SignedDuration::from_secs(20));
            prompts(&agent).iter().filter(|prompt| !prompt.is_empty()).count() == 20
        })
        .await;
    for name in &names {
        let about = slack.messages().iter().filter(|message| message.text.contains(&format!("{name} 1.0.0 to 1.0.1"))).count();
        assert_eq!(about, 1, "{name}");
    }
    assert_eq!((slack.messages().len(), agent.patches_done()), (20, 0));
    agent.until("the socket is open", async || slack.sockets() == 1).await;
    let message = slack.message_about("web7 1.0.0").unwrap();
    slack.press(&Press::of("U1", &message, APPROVE));
    agent.wait_for_workload("web7", "Done").await;
    assert_eq!(agent.patches_done(), 1);
}

#[tokio::test]
async fn slack_being_away_at_the_start_stops_nothing() {
    let slack = FakeSlack::start();
    slack.set_down(true);
    let mut setup = votes_needed("1");
    setup.workloads.push(Workload::new("api", "shop/api", "1.0.0"));
    let agent = Agent::start(setup.with_slack(slack.api_url())).await;
    agent.push("shop/api", "1.0.1");
    agent.wait_for_workload("api", "Done").await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_workload("web", "Held").await;
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK, "votes by the command line count");
    agent.wait_for_workload("web", "Done").await;
    slack.set_down(false);
    agent
        .until("the socket is open", async || {
            agent.clock.move_on(SignedDuration::from_secs(20));
            slack.sockets() == 1
        })
        .await;
    assert_eq!(slack.messages().len(), 0, "nobody is asked for what is decided");
}

/// SL-02, for one request: nothing is folded yet.
#[tokio::test]
async fn too_many_messages_wait_as_long_as_slack_says() {
    let slack = FakeSlack::start();
    slack.fail_next("chat.postMessage", Fault::RateLimited(3));
    slack.fail_next("chat.update", Fault::RateLimited(2));
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    agent.until("Slack was asked", async || slack.calls("chat.postMessage") == 1).await;
    let begun = Instant::now();
    let message = request(&agent, &slack, "1.0.1").await;
    assert!(begun.elapsed().as_secs_f64() > 2.5, "{:?}", begun.elapsed());
    assert_eq!((slack.calls("chat.postMessage"), slack.messages().len()), (2, 1), "asked again once, when the time was over");
    slack.press(&Press::of("U1", &message, APPROVE));
    agent.wait_for("the end is shown", async || slack.message_about("Deployed")).await;
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_is_found_and_not_made_again() {
    let slack = FakeSlack::start();
    slack.fail_next("chat.postMessage", Fault::LoseAnswer);
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    assert_eq!((slack.messages().len(), slack.calls("chat.postMessage")), (1, 1));
    slack.press(&Press::of("U1", &message, APPROVE));
    agent.wait_for_phase("1.0.1", "Done").await;
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_with_the_process_is_found_and_not_made_again() {
    let slack = FakeSlack::start();
    let mut agent = start(&slack, votes_needed("1")).await;
    // The message is posted, and its place cannot be recorded.
    let writes = skeg::embedded::kube::Matcher::any().method("PUT").path("/imageupdates/");
    slack.fail_next("conversations.history", Fault::CloseConnection);
    agent.push("shop/web", "1.0.1");
    agent.until("Slack was asked", async || slack.calls("conversations.history") >= 1).await;
    agent.stage.kube.fail_next(writes, skeg::embedded::kube::Fault::Status(503, None), u32::MAX);
    agent.until("the message is posted", async || slack.messages().len() == 1).await;
    agent.kill().await;
    assert!(prompts(&agent).iter().all(String::is_empty), "{:#?}", agent.records());

    agent.stage.kube.clear_faults();
    agent.begin_and_wait().await;
    let message = request(&agent, &slack, "1.0.1").await;
    assert_eq!((slack.messages().len(), slack.calls("chat.postMessage")), (1, 1));
    agent.until("skeg is connected again", async || slack.sockets() == 1).await;
    slack.press(&Press::of("U1", &message, APPROVE));
    agent.wait_for_phase("1.0.1", "Done").await;
}

/// What is guaranteed without the right to read the channel: at least one message, and one vote whichever is clicked.
#[tokio::test]
async fn where_the_history_is_hidden_a_second_message_may_come_and_a_vote_counts_once() {
    let slack = FakeSlack::start();
    slack.hide_history();
    slack.fail_next("chat.postMessage", Fault::LoseAnswer);
    let agent = start(&slack, votes_needed("2")).await;
    agent.push("shop/web", "1.0.1");
    agent.until("it is posted again", async || slack.messages().len() == 2).await;
    request(&agent, &slack, "1.0.1").await;
    for message in slack.messages() {
        let envelope = slack.press(&Press::of("U1", &message, APPROVE));
        acknowledged(&agent, &slack, &envelope).await;
    }
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(held["approvals"]["given"], 1, "{held:#}");
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_posted_anew_while_votes_are_needed() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("2")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    slack.delete(&message.ts);
    slack.press(&Press::of("U1", &message, APPROVE));
    let anew = request(&agent, &slack, "1 of 2 approvals").await;
    assert_ne!(anew.ts, message.ts);
    // What happened while it was posted is shown in it next; only then is skeg done with it.
    agent.until("it is up to date", async || slack.messages().iter().any(|posted| posted.ts == anew.ts && posted.edits > 0)).await;
    slack.delete(&anew.ts);
    slack.press(&Press::of("U2", &anew, APPROVE));
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(slack.messages().len(), 0, "what is decided needs no message");
}

#[tokio::test]
async fn a_message_that_took_the_place_of_a_deleted_one_is_found_after_a_kill() {
    let slack = FakeSlack::start();
    let mut agent = start(&slack, votes_needed("2")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    agent.kill().await;
    slack.delete(&message.ts);

    // The next message is posted, and its place cannot be recorded.
    let writes = skeg::embedded::kube::Matcher::any().method("PUT").path("/imageupdates/");
    agent.stage.kube.fail_next(writes, skeg::embedded::kube::Fault::Status(503, None), u32::MAX);
    agent.begin_and_wait().await;
    agent.until("it is posted anew", async || slack.messages().len() == 1).await;
    agent.kill().await;
    assert!(prompts(&agent).iter().all(|prompt| prompt.contains(&message.ts)), "{:#?}", agent.records());

    agent.stage.kube.clear_faults();
    agent.begin_and_wait().await;
    agent.until("its place is recorded", async || prompts(&agent).iter().all(|prompt| !prompt.contains(&message.ts))).await;
    assert_eq!((slack.messages().len(), slack.calls("chat.postMessage")), (1, 2));
}

#[tokio::test]
async fn the_end_is_shown_after_a_restart_when_slack_was_away() {
    let slack = FakeSlack::start();
    let mut agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    request(&agent, &slack, "1.0.1").await;
    slack.set_down(true);
    assert_eq!(agent.vote("1.0.1", "reject").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Rejected").await;
    agent.kill().await;
    assert!(has_buttons(&slack.messages()[0]));
    slack.set_down(false);
    agent.begin_and_wait().await;
    agent.until("the end is shown", async || slack.message_about("*Rejected*").is_some_and(|message| !has_buttons(&message))).await;
}

#[tokio::test]
async fn the_next_socket_is_open_before_the_old_one_goes() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    slack.announce_disconnect();
    // The old one is still there: it goes only after this.
    agent.until("another is open", async || slack.sockets() == 1 && slack.sockets_opened() == 2).await;
    slack.disconnect();
    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    acknowledged(&agent, &slack, &envelope).await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(slack.sockets_opened(), 2);
}

#[tokio::test]
async fn a_socket_that_breaks_is_opened_again() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    slack.set_down(true);
    slack.set_down(false);
    agent
        .until("another is open", async || {
            agent.clock.move_on(SignedDuration::from_secs(5));
            slack.sockets() == 1
        })
        .await;
    slack.press(&Press::of("U1", &message, APPROVE));
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(text(&done, "/votes/0/voter"), "slack:U1");
}

#[tokio::test]
async fn a_wrong_token_is_told_and_a_mended_one_taken_up() {
    let slack = FakeSlack::start();
    let stage = Stage::build(&votes_needed("1").with_slack(slack.api_url()));
    stage.write("app-token", "xapp-wrong");
    let agent = Agent::start_unready(stage).await;
    let degraded = agent
        .wait_for("the trouble is shown", async || {
            let is_ready = agent.is_ready().await;
            let degraded = if is_ready { agent.get("/v1/status").await["degraded"].to_string() } else { String::new() };
            degraded.contains("invalid_auth").then_some(degraded)
        })
        .await;
    assert!(degraded.contains("check the token") && !degraded.contains("xapp-"), "{degraded}");
    agent.stage.write("app-token", crate::support::slack::APP_TOKEN);
    agent
        .until("the socket is open", async || {
            agent.clock.move_on(SignedDuration::from_secs(20));
            slack.sockets() == 1
        })
        .await;
    agent.until("all is well", async || agent.get("/v1/status").await["degraded"].as_array().unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_request_that_slack_refuses_is_posted_once_the_app_is_invited() {
    let slack = FakeSlack::start();
    slack.fail_next("chat.postMessage", Fault::Error("not_in_channel"));
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    request(&agent, &slack, "1.0.1").await;
    assert_eq!((slack.messages().len(), slack.calls("chat.postMessage")), (1, 2));
}

/// As many refused clicks as are read at once, and Slack takes no answers to them.
#[tokio::test]
async fn answers_that_slack_does_not_take_keep_no_vote_from_counting() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    for _ in 0..1000 {
        slack.fail_next("chat.postEphemeral", Fault::RateLimited(60));
    }
    for number in 100..180 {
        slack.press(&Press::of(&format!("U{number}"), &message, APPROVE));
    }
    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    acknowledged(&agent, &slack, &envelope).await;
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(text(&done, "/votes/0/voter"), "slack:U1");
    assert_eq!(slack.sockets_opened(), 1, "the socket is read all the time");
}

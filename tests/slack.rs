//! Slack: a request is asked for once, a click counts once and only from whom it may, and Slack being away stops nothing.

/// Where the images come from.
mod provenance;
/// Slack's own SDKs: against the fake that these tests use, and for the messages that skeg posts.
mod sdk;
/// Requests and clicks by TLS, and what `check-config --connect` says.
mod tls;
/// Slack is away, slow or forgets to answer.
mod trouble;

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};
use skeg::core::update::Event;
use skeg::embedded::kube::{Fault as KubeFault, Matcher};

use crate::support::agent::{Agent, PATIENCE, Setup, Workload, text};
use crate::support::slack::{FakeSlack, Fault, Posted, Press};

const APPROVE: &str = "skeg.approve";
const REJECT: &str = "skeg.reject";

/// A whole skeg that asks in Slack.
async fn start(slack: &FakeSlack, setup: Setup) -> Agent {
    let agent = Agent::start(setup.with_slack(slack.api_url())).await;
    agent.until("skeg is connected to Slack", async || slack.sockets() == 1).await;
    agent
}

/// One workload that needs so many votes.
fn votes_needed(number: &str) -> Setup {
    Setup::of([Workload::new("web", "shop/web", "1.0.0").directive("approvals", number)])
}

/// The message that asks about this tag, when it is posted and its place is recorded.
async fn request(agent: &Agent, slack: &FakeSlack, tag: &str) -> Posted {
    let message = agent.wait_for("the request is posted", async || slack.message_about(tag).filter(has_buttons)).await;
    agent.until("its place is recorded", async || prompts(agent).contains(&message.ts)).await;
    message
}

/// The messages that the records name.
fn prompts(agent: &Agent) -> Vec<String> {
    agent.records().iter().map(|record| text(record, "/status/prompt/timestamp").to_owned()).collect()
}

fn has_buttons(message: &Posted) -> bool {
    message.blocks.to_string().contains(APPROVE)
}

/// What a person was told, once there are so many such sentences.
async fn told(agent: &Agent, slack: &FakeSlack, user: &str, times: usize) -> Vec<String> {
    let said = || slack.whispers().into_iter().filter(|whisper| whisper.user == user).map(|whisper| whisper.text).collect::<Vec<_>>();
    agent.wait_for(&format!("{user} is told"), async || Some(said()).filter(|said| said.len() >= times)).await
}

async fn acknowledged(agent: &Agent, slack: &FakeSlack, envelope: &str) {
    agent.until("the click is acknowledged", async || slack.acknowledged(envelope) > 0).await;
}

async fn votes(agent: &Agent, tag: &str) -> Vec<Value> {
    agent.update_to(tag).await.unwrap()["votes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_push_is_asked_for_clicked_deployed_committed_and_shown() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    let digest = agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    assert!(message.text.contains("Approval needed") && message.text.contains("web 1.0.0 to 1.0.1"), "{message:?}");
    assert!(message.blocks.to_string().contains(&digest), "the button stands for the digest");
    assert_eq!(agent.patches_done(), 0);

    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    acknowledged(&agent, &slack, &envelope).await;
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((text(&done, "/votes/0/voter"), agent.patches_done()), ("slack:U1", 1));
    let commits = agent.commits();
    assert_eq!(commits.len(), 1);
    assert!(commits[0].body.contains("approved by slack:U1"), "{}", commits[0].body);

    let end = agent.wait_for("the end is shown", async || slack.message_about("Deployed")).await;
    assert!(!has_buttons(&end), "{end:?}");
    assert!(end.blocks.to_string().contains("<@U1> approves") && end.blocks.to_string().contains(&commits[0].id[..12]), "{end:?}");
    assert_eq!((slack.messages().len(), &end.ts), (1, &message.ts), "the same message all along");
    assert_eq!(told(&agent, &slack, "U1", 1).await.len(), 1);
    assert!(!agent.metrics("skeg_notices_total{channel=\"slack\",outcome=\"done\"}").await.is_empty());
    agent.until("the record says so", async || agent.records()[0]["status"]["prompt"]["ended"] == true).await;
}

#[tokio::test]
async fn votes_are_shown_as_they_come_and_one_rejection_ends_it() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("2")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    slack.press(&Press::of("U1", &message, APPROVE));
    let half = agent.wait_for("the vote is shown", async || slack.message_about("1 of 2 approvals")).await;
    assert!(has_buttons(&half));
    slack.press(&Press::of("U2", &message, REJECT));
    agent.wait_for_phase("1.0.1", "Rejected").await;
    let end = agent.wait_for("the end is shown", async || slack.message_about("*Rejected*")).await;
    assert!(!has_buttons(&end) && end.blocks.to_string().contains("<@U2> rejects"), "{end:?}");
    assert_eq!((slack.messages().len(), agent.patches_done()), (1, 0));
}

#[tokio::test]
async fn a_decision_made_elsewhere_is_shown_where_people_were_asked() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    request(&agent, &slack, "1.0.1").await;
    assert_eq!(agent.vote("1.0.1", "reject").await.0, StatusCode::OK);
    let end = agent.wait_for("the end is shown", async || slack.message_about("*Rejected*")).await;
    assert!(!has_buttons(&end) && end.blocks.to_string().contains("user:ops rejects"), "{end:?}");
}

/// SL-09.
#[tokio::test]
async fn a_click_from_whom_or_where_it_may_not_come_is_refused_told_and_audited() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    let mut audit = agent.listen();
    let presses = [
        (Press::of("U9", &message, APPROVE), "slack:U9 is not an approver"),
        (Press { team: "T0000000002".into(), ..Press::of("U1", &message, APPROVE) }, "not of the workspace"),
        (Press { channel: "C0000000002".into(), ..Press::of("U2", &message, REJECT) }, "asked for in another channel"),
    ];
    for (press, why) in &presses {
        let envelope = slack.press(press);
        acknowledged(&agent, &slack, &envelope).await;
        let refusal = async {
            loop {
                let line = audit.recv().await.unwrap();
                if line.event == Event::VoteRefused {
                    break line;
                }
            }
        };
        let line = tokio::time::timeout(PATIENCE, refusal).await.expect("it is audited");
        assert!(line.detail.starts_with(&format!("slack:{}: ", press.user)) && line.detail.contains(why), "{}", line.detail);
    }
    assert!(told(&agent, &slack, "U9", 1).await[0].contains("not counted: slack:U9 is not an approver"));
    assert!(told(&agent, &slack, "U1", 1).await[0].contains("not of the workspace"));
    assert!(votes(&agent, "1.0.1").await.is_empty());
    assert_eq!(agent.wait_for_phase("1.0.1", "Held").await["approvals"]["given"], 0);
    assert_eq!(agent.patches_done(), 0);
    let shown = slack.message_about("1.0.1").unwrap();
    assert!(shown.blocks.to_string().contains("0 of 1 approvals"), "{shown:?}");
}

#[tokio::test]
async fn every_member_in_the_channel_may_vote_where_the_channel_is_an_approver() {
    let slack = FakeSlack::start();
    let web = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1").directive("approvers", "slack-channel");
    let agent = start(&slack, Setup::of([web])).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    let stranger = Press { team: "T0000000002".into(), ..Press::of("U9", &message, APPROVE) };
    slack.press(&stranger);
    assert!(told(&agent, &slack, "U9", 1).await[0].contains("not of the workspace"));
    slack.press(&Press::of("U8", &message, APPROVE));
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(text(&done, "/votes/0/voter"), "slack:U8");
}

/// SL-09: guests, apps and whoever Slack says nothing about.
#[tokio::test]
async fn where_the_channel_is_an_approver_only_members_of_the_workspace_may_vote() {
    let slack = FakeSlack::start();
    let web = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1").directive("approvers", "slack-channel;slack:U7");
    let agent = start(&slack, Setup::of([web])).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    for (user, fields, why) in [
        ("U3", json!({"is_restricted": true}), "is a guest of the workspace"),
        ("U4", json!({"is_restricted": true, "is_ultra_restricted": true}), "is a guest of the workspace"),
        ("U5", json!({"is_bot": true}), "is an app"),
        ("U6", json!({"deleted": true}), "is no longer of the workspace"),
        ("U8", json!({"is_ultra_restricted": null}), "is not known to be a member of the workspace"),
        ("U9", json!({"id": "U1"}), "is not known to be a member of the workspace"),
    ] {
        slack.describe(user, fields);
        let envelope = slack.press(&Press::of(user, &message, APPROVE));
        acknowledged(&agent, &slack, &envelope).await;
        let said = told(&agent, &slack, user, 1).await;
        assert!(said[0].contains(&format!("not counted: slack:{user} {why}")), "{said:?}");
    }
    // Without the scope, and later with it.
    slack.fail_next("users.info", Fault::Error("missing_scope"));
    slack.press(&Press::of("U2", &message, APPROVE));
    let said = told(&agent, &slack, "U2", 1).await;
    assert!(said[0].contains("missing_scope, add the scope to the app"), "{said:?}");
    assert!(votes(&agent, "1.0.1").await.is_empty());

    // A guest who is named may vote.
    slack.describe("U7", json!({"is_restricted": true}));
    slack.press(&Press::of("U7", &message, APPROVE));
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(text(&done, "/votes/0/voter"), "slack:U7");
    agent.push("shop/web", "1.0.2");
    let message = request(&agent, &slack, "1.0.2").await;
    let asked = slack.calls("users.info");
    slack.press(&Press::of("U3", &message, APPROVE));
    told(&agent, &slack, "U3", 2).await;
    assert_eq!(slack.calls("users.info"), asked, "what Slack said is good for a while");
    slack.press(&Press::of("U2", &message, APPROVE));
    let done = agent.wait_for_phase("1.0.2", "Done").await;
    assert_eq!(text(&done, "/votes/0/voter"), "slack:U2");
}

/// SL-03.
#[tokio::test]
async fn a_double_click_and_a_repeated_envelope_are_one_vote_and_one_answer() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("2")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    let press = Press::of("U1", &message, APPROVE);
    let first = slack.press(&press);
    slack.press(&press);
    slack.deliver(&first, &press);
    let said = told(&agent, &slack, "U1", 3).await;
    assert!(said.iter().all(|text| *text == said[0] && text.starts_with("Your approval is recorded")), "{said:?}");
    assert_eq!(votes(&agent, "1.0.1").await.len(), 1);
    agent.until("every delivery is acknowledged", async || slack.acknowledged(&first) == 2).await;

    slack.press(&Press::of("U2", &message, APPROVE));
    agent.wait_for_phase("1.0.1", "Done").await;
    slack.deliver(&first, &press);
    assert_eq!(told(&agent, &slack, "U1", 4).await[3], said[0], "also when it is long decided");
    assert_eq!((votes(&agent, "1.0.1").await.len(), agent.patches_done()), (2, 1));
}

/// SL-05.
#[tokio::test]
async fn the_button_of_an_update_that_a_newer_one_replaced_does_nothing() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let old = request(&agent, &slack, "1.0.1").await;
    agent.push("shop/web", "1.0.2");
    agent.wait_for_phase("1.0.1", "Superseded").await;
    let new = request(&agent, &slack, "1.0.2").await;
    assert_ne!(old.ts, new.ts);
    agent.until("the old message has no buttons", async || !has_buttons(&slack.messages()[0])).await;

    slack.press(&Press::of("U1", &old, APPROVE));
    let said = told(&agent, &slack, "U1", 1).await;
    assert!(said[0].contains("not counted") && said[0].contains("Superseded"), "{said:?}");
    assert!(votes(&agent, "1.0.2").await.is_empty());
    agent.polls("shop/web", 2).await;
    assert_eq!(agent.patches_done(), 0);
    slack.press(&Press::of("U1", &new, APPROVE));
    agent.wait_for_phase("1.0.2", "Done").await;
    assert_eq!(agent.patches_done(), 1, "only 1.0.2 was ever deployed");
}

#[tokio::test]
async fn a_button_that_stands_for_other_digests_does_nothing() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    let digest = agent.push("shop/web", "1.0.1");
    let mut message = request(&agent, &slack, "1.0.1").await;
    let other = format!("sha256:{}", "0".repeat(64));
    message.blocks = serde_json::from_str(&message.blocks.to_string().replace(&digest, &other)).unwrap();
    slack.press(&Press::of("U1", &message, APPROVE));
    assert!(told(&agent, &slack, "U1", 1).await[0].contains("not what was shown"));
    assert!(votes(&agent, "1.0.1").await.is_empty());
}

#[tokio::test]
async fn a_click_is_acknowledged_only_when_its_vote_is_in_the_record() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("2")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    let writes = Matcher::any().method("PUT").path("/imageupdates/");
    agent.stage.kube.fail_next(writes, KubeFault::Status(503, None), u32::MAX);
    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    agent.until("the vote is counted", async || agent.update_to("1.0.1").await.unwrap()["approvals"]["given"] == 1).await;
    assert_eq!(slack.acknowledged(&envelope), 0);
    assert_eq!(agent.records()[0]["status"]["votes"], Value::Null);

    agent.stage.kube.clear_faults();
    acknowledged(&agent, &slack, &envelope).await;
    assert_eq!(text(&agent.records()[0], "/status/votes/0/voter"), "slack:U1");
}

/// CR-05.
#[tokio::test]
async fn a_click_that_was_acknowledged_survives_a_kill_and_nobody_is_asked_again() {
    let slack = FakeSlack::start();
    let mut agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    let patch = Matcher::any().method("PATCH").path("/deployments/web");
    agent.stage.kube.fail_next(patch, KubeFault::Hang, u32::MAX);
    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    acknowledged(&agent, &slack, &envelope).await;
    agent.kill().await;
    assert_eq!(agent.patches_done(), 0);

    agent.stage.kube.clear_faults();
    agent.begin_and_wait().await;
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(done["votes"].as_array().unwrap().len(), 1);
    agent.wait_for("the end is shown", async || slack.message_about("Deployed")).await;
    assert_eq!((slack.messages().len(), slack.calls("chat.postMessage"), agent.patches_done()), (1, 1, 1));
}

#[tokio::test]
async fn a_restart_while_people_are_asked_leaves_one_message_that_still_works() {
    let slack = FakeSlack::start();
    let mut agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    let message = request(&agent, &slack, "1.0.1").await;
    for _ in 0..2 {
        agent.kill_and_begin().await;
        agent.until("skeg is connected again", async || slack.sockets() == 1).await;
    }
    agent.polls("shop/web", 2).await;
    assert_eq!((slack.messages().len(), slack.calls("chat.postMessage")), (1, 1));
    slack.press(&Press::of("U1", &message, APPROVE));
    agent.wait_for_phase("1.0.1", "Done").await;
}

#[tokio::test]
async fn an_approval_that_nobody_gave_in_time_is_shown_as_such() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.push("shop/web", "1.0.1");
    request(&agent, &slack, "1.0.1").await;
    agent.clock.move_on(SignedDuration::from_hours(25));
    agent.wait_for_phase("1.0.1", "Expired").await;
    let end = agent.wait_for("the end is shown", async || slack.message_about("Nobody decided in time")).await;
    assert!(!has_buttons(&end));
    assert_eq!(agent.patches_done(), 0);
}

#[tokio::test]
async fn an_update_that_needs_no_vote_is_not_asked_for() {
    let slack = FakeSlack::start();
    let agent = start(&slack, Setup::at_once()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(slack.messages().len(), 0);
}

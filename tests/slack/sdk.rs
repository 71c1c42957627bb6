//! Slack's own SDKs for Python: a Bolt app lives with the fake of these tests, and their models of Block Kit take what skeg posts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{APPROVE, REJECT, request, start};
use crate::support::agent::{Setup, Workload, until};
use crate::support::needs::made_there;
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, CHANNEL, FakeSlack, Fault, Press};

/// The interpreter that has the SDKs; without it the test is left out.
#[track_caller]
fn python() -> Option<PathBuf> {
    made_there("Slack's Python SDKs", "tests/servers/slack_sdk.sh")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slack").join(name)
}

#[test]
fn a_bolt_app_can_live_with_the_fake() {
    let Some(python) = python() else { return };
    let slack = FakeSlack::start();
    slack.fail_next("chat.update", Fault::Error("channel_not_found"));
    slack.fail_next("chat.update", Fault::Error("message_not_found"));
    slack.fail_next("chat.update", Fault::RateLimited(1));
    let mut app = Command::new(python);
    app.arg(script("bolt_app.py")).env_clear().env("API_URL", slack.api_url()).env("CHANNEL", CHANNEL);
    app.env("BOT_TOKEN", BOT_TOKEN).env("APP_TOKEN", APP_TOKEN).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut app = app.spawn().unwrap();
    until("the app is connected and has posted", || slack.sockets() == 1 && slack.messages().len() == 1 && slack.calls("chat.update") == 2);

    let first = slack.press(&Press::of("U1", &slack.messages()[0], "press"));
    until("the click is acknowledged and answered", || slack.acknowledged(&first) == 1 && slack.whispers().len() == 1);
    let message = slack.messages()[0].clone();
    assert!(message.blocks.to_string().contains("pressed by <@U1>") && message.edits == 1, "{message:?}");
    assert_eq!((slack.whispers()[0].user.as_str(), slack.whispers()[0].text.as_str()), ("U1", "this"));

    slack.announce_disconnect();
    // This SDK closes the old socket itself as soon as the new one is open.
    until("the app has changed to another socket", || slack.sockets() == 1 && slack.sockets_leaving() == 0 && slack.sockets_opened() >= 2);
    let press = Press::of("U2", &message, "press");
    let second = slack.press(&press);
    // It drops what comes while it changes; Slack repeats what is not acknowledged.
    until("the click is acknowledged", || {
        std::thread::sleep(Duration::from_millis(500));
        slack.deliver(&second, &press);
        slack.acknowledged(&second) > 0
    });
    until("the click is answered", || slack.whispers().iter().any(|whisper| whisper.user == "U2"));
    drop(app.stdin.take());
    let ended = app.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("skeg of T0000000001 was clicked by U1, U2"), "{said}");
}

/// Every message of a request, a half-voted one, and of four ends, one of them with several containers and unfriendly texts.
#[tokio::test]
async fn what_skeg_posts_passes_the_validation_of_slacks_own_models() {
    let Some(python) = python() else { return };
    let slack = FakeSlack::start();
    let two = Workload::new("web", "shop/web", "1.0.0").container("side", "shop/web", "1.0.0").directive("approvals", "2");
    let agent = start(&slack, Setup::of([two.directive("approvers", "slack-channel;user:a<b>&c;slack:U1")])).await;
    agent.push("shop/web", "1.0.1");
    let first = request(&agent, &slack, "1.0.1").await;
    slack.press(&Press::of("U1", &first, APPROVE));
    agent.wait_for("the vote is shown", async || slack.message_about("1 of 2 approvals")).await;
    agent.push("shop/web", "1.0.2");
    agent.wait_for_phase("1.0.1", "Superseded").await;
    let second = request(&agent, &slack, "1.0.2").await;
    slack.press(&Press::of("U1", &second, APPROVE));
    slack.press(&Press::of("U2", &second, APPROVE));
    agent.wait_for_phase("1.0.2", "Done").await;
    agent.push("shop/web", "1.0.3");
    let third = request(&agent, &slack, "1.0.3").await;
    slack.press(&Press::of("U1", &third, REJECT));
    agent.wait_for_phase("1.0.3", "Rejected").await;
    agent.push_broken("shop/web", "1.0.4");
    let fourth = request(&agent, &slack, "1.0.4").await;
    slack.press(&Press::of("U1", &fourth, APPROVE));
    slack.press(&Press::of("U2", &fourth, APPROVE));
    agent.wait_for_phase("1.0.4", "RolledBack").await;
    agent.wait_for("the end is shown", async || slack.message_about("the previous image is back")).await;

    let payloads = slack.payloads();
    assert!(payloads.len() >= 10, "{}", payloads.len());
    let mut validation = Command::new(python);
    validation.arg(script("validate_blocks.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = validation.spawn().unwrap();
    running.stdin.take().unwrap().write_all(serde_json::to_string(&payloads).unwrap().as_bytes()).unwrap();
    let ended = running.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), payloads.len().to_string());
}

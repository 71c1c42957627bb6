//! A request shows where its images come from, with a link to what changed.

use http::StatusCode;
use skeg::embedded::registry::{Fault, Image, Matcher, Operation};

use super::{APPROVE, acknowledged, request, start, votes_needed};
use crate::support::agent::Agent;
use crate::support::slack::{FakeSlack, Press};

const SOURCE: &str = "https://github.com/acme/web";
const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";

fn push(agent: &Agent, tag: &str, revision: &str) {
    let image = Image::new(format!("shop/web {tag}"))
        .label("org.opencontainers.image.source", SOURCE)
        .label("org.opencontainers.image.revision", revision);
    agent.stage.registry.push_image("shop/web", tag, &image).unwrap();
}

/// How often configurations were read.
fn read(agent: &Agent) -> usize {
    agent.stage.registry.requests().iter().filter(|request| request.path.contains("/blobs/")).count()
}

#[tokio::test]
async fn a_request_links_to_what_changed_and_so_does_the_commit() {
    let slack = FakeSlack::start();
    let mut agent = start(&slack, votes_needed("1")).await;
    push(&agent, "1.0.0", OLD);
    push(&agent, "1.0.1", NEW);
    let message = request(&agent, &slack, "1.0.1").await;
    let url = format!("{SOURCE}/compare/{OLD}...{NEW}");
    let link = format!("<{url}|changes 1111111…2222222>");
    assert!(message.blocks.to_string().contains(&link), "{:#}", message.blocks);
    assert_eq!(read(&agent), 2, "of each image once");
    agent.kill_and_begin().await;
    agent.until("skeg is connected to Slack again", async || slack.sockets() == 1).await;
    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    acknowledged(&agent, &slack, &envelope).await;
    agent.wait_for_phase("1.0.1", "Done").await;
    let shown = async || slack.message_about("1.0.1").filter(|message| message.text.starts_with("Deployed"));
    let message = agent.wait_for("the end is shown", shown).await;
    assert!(message.blocks.to_string().contains(&link), "{:#}", message.blocks);
    let body = &agent.commits()[0].body;
    assert!(body.contains(&format!("approved by slack:U1\ncompare {url}\n")), "{body}");
}

#[tokio::test]
async fn what_cannot_be_read_leaves_the_message_as_it_would_be_without() {
    let slack = FakeSlack::start();
    let agent = start(&slack, votes_needed("1")).await;
    agent.stage.registry.fail_next(Matcher::of(Operation::Blob).always(), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    push(&agent, "1.0.1", NEW);
    let message = request(&agent, &slack, "1.0.1").await;
    assert!(!message.blocks.to_string().contains("says"), "{:#}", message.blocks);
    let envelope = slack.press(&Press::of("U1", &message, APPROVE));
    acknowledged(&agent, &slack, &envelope).await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert!(!agent.commits()[0].body.contains("compare"));
}

//! Two replicas and Slack: a click counts once, whichever replica it comes to, and whoever leads next goes on with the same message.

use futures::future::join_all;
use serde_json::{Value, json};

use super::pair::{Pair, Plane};
use crate::support::slack::{Posted, Press};

const APPROVE: &str = "skeg.approve";

/// Two votes are needed. The first replica leads, and has asked.
async fn raise(plane: Plane, lease: &'static str) -> Option<(Pair, Posted)> {
    let mut pair = Pair::raise_whole(plane, lease).await?;
    pair.deploy_as(&json!({"skeg.dev/policy": "patch", "skeg.dev/pin": "tag", "skeg.dev/approvals": "2"})).await;
    pair.start(0).await;
    pair.leads(0).await;
    pair.start(1).await;
    pair.stands_by(1).await;
    pair.push("1.0.1");
    let message = pair.asked_in_slack("1.0.1").await;
    Some((pair, message))
}

impl Pair {
    async fn acknowledged(&self, envelope: &str) {
        let slack = &self.ends().slack;
        self.until("the click is acknowledged", async || (slack.acknowledged(envelope) > 0).then_some(())).await;
    }

    /// Waits until the one who leads now listens to Slack, and nobody else does but `others` who do not notice.
    async fn listens(&self, opened: usize, others: usize) {
        let slack = &self.ends().slack;
        let alone = async || (slack.sockets_opened() > opened && slack.sockets() == 1 + others).then_some(());
        self.until("the one who leads listens to Slack", alone).await;
    }

    /// Waits until the message shows this.
    async fn shows(&self, message: &Posted, text: &str) -> Posted {
        let shown = || self.ends().slack.messages().into_iter().find(|one| one.ts == message.ts && one.blocks.to_string().contains(text));
        self.until(&format!("the message shows: {text}"), async || shown()).await
    }

    async fn voters(&self) -> Vec<String> {
        let record = self.recorded("1.0.1", &["Held", "Applying", "Verifying", "Recording", "Done"]).await;
        let votes = record["status"]["votes"].as_array().cloned().unwrap_or_default();
        votes.iter().map(|vote| vote["voter"].as_str().unwrap().to_owned()).collect()
    }

    /// It ended once, everywhere, and was asked for and shown in one message.
    async fn check_shown_once(&self, message: &Posted) {
        let record = self.recorded("1.0.1", &["Done"]).await;
        assert_eq!(self.voters().await, ["slack:U1", "slack:U2"]);
        self.shows(message, "Deployed").await;
        let slack = &self.ends().slack;
        assert_eq!((slack.calls("chat.postMessage"), slack.messages().len()), (1, 1), "one request");
        assert_eq!((self.commits().len(), self.shown().await.2), (1, 2), "one commit, one patch");
        let prompt: &Value = &record["status"]["prompt"]["timestamp"];
        assert_eq!(prompt, message.ts.as_str());
    }
}

/// The first leader counts a vote and ends in good order.
async fn handed_over(plane: Plane) -> Option<()> {
    let (mut pair, message) = raise(plane, "15s").await?;
    let opened = pair.ends().slack.sockets_opened();
    assert_eq!(pair.ends().slack.sockets(), 1, "the one that stands by does not listen");
    let first = Press::of("U1", &message, APPROVE);
    let envelope = pair.ends().slack.press(&first);
    pair.acknowledged(&envelope).await;
    let edits = pair.shows(&message, "1 of 2 approvals").await.edits;

    pair.replicas[0].as_ref().unwrap().terminate();
    pair.leads(1).await;
    let (status, _) = pair.replicas[0].as_mut().unwrap().ended().await;
    assert!(status.success(), "{status:?}");
    pair.listens(opened, 0).await;
    // Slack sends the click again, as if the acknowledgement had not arrived: it comes to the other replica.
    let acknowledged = pair.ends().slack.acknowledged(&envelope);
    pair.ends().slack.deliver(&envelope, &first);
    pair.until("it is acknowledged again", async || (pair.ends().slack.acknowledged(&envelope) > acknowledged).then_some(())).await;
    assert_eq!(pair.voters().await, ["slack:U1"], "it counts once");
    assert_eq!(pair.recorded("1.0.1", &["Held"]).await["status"]["phase"], "Held");

    let envelope = pair.ends().slack.press(&Press::of("U2", &message, APPROVE));
    pair.acknowledged(&envelope).await;
    pair.check_shown_once(&message).await;
    let end = pair.shows(&message, "Deployed").await;
    assert!(end.edits > edits, "the new leader edits the same message");
    Some(())
}

/// The first leader is stopped, and a click waits in its socket: Slack sends it again, to the one that has taken over.
async fn stopped(plane: Plane) -> Option<()> {
    let (pair, message) = raise(plane, "4s").await?;
    let opened = pair.ends().slack.sockets_opened();
    pair.replicas[0].as_ref().unwrap().signal("STOP");
    let first = Press::of("U1", &message, APPROVE);
    let envelope = pair.ends().slack.press(&first);
    pair.leads(1).await;
    pair.listens(opened, 1).await;
    assert_eq!(pair.ends().slack.acknowledged(&envelope), 0, "nobody has heard it");
    pair.ends().slack.deliver(&envelope, &first);
    pair.acknowledged(&envelope).await;
    assert_eq!(pair.voters().await, ["slack:U1"]);
    // The one that goes on finds the click in its socket, and does not lead any more.
    pair.replicas[0].as_ref().unwrap().signal("CONT");
    pair.stands_by(0).await;
    pair.listens(opened, 0).await;
    assert_eq!(pair.voters().await, ["slack:U1"], "it counts once");
    let envelope = pair.ends().slack.press(&Press::of("U2", &message, APPROVE));
    pair.acknowledged(&envelope).await;
    pair.check_shown_once(&message).await;
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_goes_on_with_the_message_and_the_votes_of_the_one_before() {
    join_all([Plane::Embedded, Plane::Real].map(handed_over)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_that_comes_to_both_replicas_counts_once() {
    join_all([Plane::Embedded, Plane::Real].map(stopped)).await;
}

//! The `skeg` program is killed at each boundary of its loop: after the next start there is one patch, one commit, one vote, one
//! decision, and one request in Slack.
//!
//! A boundary is a request to the cluster, to Git or to Slack. It is held on its way; skeg is killed while it waits there, and then the request is
//! lost, or arrives late: when the next skeg is at work already. What was carried out before the kill was, without skeg knowing.
//!
//! [`restart`](crate::restart) shows the same faster on embedded far ends, with fewer boundaries.

mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::text;
use crate::support::gate::{Passing, Point};
use stage::Stage;

/// What is promised for a stop.
const STOP_MAX: Duration = Duration::from_secs(10);

/// What becomes of a request whose sender is killed while it is held.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Neither it nor its answer arrives.
    Lost,
    /// It goes on when the next skeg is ready.
    Late,
}

/// Which request is held.
#[derive(Clone, Copy, Debug)]
enum Request {
    /// The new record.
    Open,
    /// The message that asks for votes.
    Ask,
    /// The record that says where the message is.
    Asked,
    /// The record with the vote.
    Vote,
    /// The patch.
    Patch,
    /// The record in this phase.
    Phase(&'static str),
    /// The push, of a commit that is made.
    Push,
}

impl Request {
    /// Whether this is the request, where it is a record the one of the update to `tag`: the message about an earlier one may still be
    /// edited, and recorded.
    fn is(self, passing: &Passing, tag: &str) -> bool {
        let body = || serde_json::from_str::<Value>(&passing.body).unwrap_or_default();
        let is_record = passing.path.contains("/imageupdates") && body()["spec"]["changes"][0]["tag"] == tag;
        match (self, passing.method.as_str()) {
            (Self::Open, "POST") => is_record,
            (Self::Ask, "POST") => passing.path.ends_with("/chat.postMessage") && passing.body.contains(&format!(" to {tag} ")),
            (Self::Asked, "PUT") => is_record && body()["status"]["prompt"].is_object(),
            (Self::Vote, "PUT") => is_record && body()["status"]["votes"].as_array().is_some_and(|votes| !votes.is_empty()),
            (Self::Patch, "PATCH") => passing.path.contains("/deployments/"),
            (Self::Phase(phase), "PUT") => is_record && body()["status"]["phase"] == phase,
            (Self::Push, "POST") => passing.path.ends_with("/git-receive-pack"),
            _ => false,
        }
    }

    /// Whether the vote is given before it comes to this request.
    fn follows_a_vote(self) -> bool {
        !matches!(self, Self::Open | Self::Ask | Self::Asked)
    }
}

/// What the outside shows of one workload.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    patches: usize,
    commits: usize,
    generation: i64,
}

fn seen(stage: &Stage) -> Seen {
    let generation = stage.deployment("web")["metadata"]["generation"].as_i64().unwrap();
    Seen { patches: stage.patches("web"), commits: stage.commits().len(), generation }
}

/// Releases `tag`, kills skeg at the boundary, starts it again and checks that everything has happened once.
async fn check(stage: &mut Stage, tag: &str, (point, request): (Point, Request), fate: Fate) {
    let place = format!("{point:?} {request:?}, {fate:?}");
    let before = seen(stage);
    let gate = match request {
        Request::Push => &stage.to_git,
        Request::Ask => &stage.to_slack,
        Request::Open | Request::Asked | Request::Vote | Request::Patch | Request::Phase(_) => &stage.to_cluster,
    };
    let released = tag.to_owned();
    let mut held = gate.hold(point, move |passing| request.is(passing, &released));
    let digest = stage.push("web", tag);
    if request.follows_a_vote() {
        stage.approve("web", tag).await;
    }
    held.reached().await;
    if matches!((point, request), (Point::After, Request::Push)) {
        // A server may begin to answer before the branch has moved.
        stage.until("the push is accepted", async || (stage.commits().len() > before.commits).then_some(())).await;
    }
    stage.kill().await;
    let answered = match fate {
        Fate::Lost => {
            drop(held);
            stage.start().await;
            None
        }
        Fate::Late => {
            stage.start().await;
            Some(held.release())
        }
    };

    let known = stage.until("the update is known again", async || stage.update("web", tag).await).await;
    let votes_needed = !request.follows_a_vote() || matches!((point, request), (Point::Before, Request::Vote));
    assert_eq!(known["votes"].as_array().unwrap().is_empty(), votes_needed, "{place}: {known:#}");
    if votes_needed {
        stage.approve("web", tag).await;
        // A record that arrives late is found only when another one is written: the voter is told to look and to vote again. What is shown
        // may not be recorded yet.
        let is_recorded = || {
            let records = stage.records("web", tag);
            records.iter().any(|record| record["status"]["votes"].as_array().is_some_and(|votes| !votes.is_empty()))
        };
        let counts = async || {
            let known = stage.update("web", tag).await?;
            if known["phase"] == "Held" && known["votes"].as_array().unwrap().is_empty() {
                stage.vote(&known);
            }
            is_recorded().then_some(())
        };
        stage.until("the vote counts", counts).await;
    }
    // The record, which is behind what the API shows for a moment.
    let recorded = async || stage.records("web", tag).into_iter().find(|record| record["status"]["phase"] == "Done");
    let record = stage.until("it is recorded as done", recorded).await;
    if let Some(answered) = answered {
        answered.await.expect("what is late arrives, and is answered");
    }

    let after = Seen { patches: before.patches + 1, commits: before.commits + 1, generation: before.generation + 1 };
    assert_eq!(seen(stage), after, "{place}");
    let image = format!("{}@{digest}", stage.image("web", tag));
    assert_eq!(stage.deployment("web")["spec"]["template"]["spec"]["containers"][0]["image"], json!(image), "{place}");
    assert!(stage.declared("web").contains(&image), "{place}");
    let records = stage.records("web", tag);
    assert_eq!(records.len(), 1, "{place}: {records:#?}");
    assert_eq!(record["status"]["votes"].as_array().unwrap().len(), 1, "{place}: {record:#}");
    // The record of the end may be durable without a line: written right before the kill, or late, before the next life reads it.
    let is_end_told = match (point, request) {
        (Point::After, Request::Phase("Done") | Request::Push) => false,
        (Point::Before, Request::Phase("Done")) => matches!(fate, Fate::Lost),
        _ => true,
    };
    check_told(stage, tag, is_end_told, &place).await;
}

/// The audit logs of both lives name one decision, and tell nothing twice. What happened at the kill itself may be told in neither.
async fn check_told(stage: &Stage, tag: &str, is_end_told: bool, place: &str) {
    let change = format!(" to {}@", stage.image("web", tag));
    let lines = || stage.audit().into_iter().filter(|line| text(line, "/changes").contains(&change)).collect::<Vec<Value>>();
    if is_end_told {
        // The line follows the record.
        stage.until("the end is told", async || lines().iter().any(|line| line["event"] == "closed").then_some(())).await;
    }
    let lines = lines();
    let decisions: BTreeSet<&str> = lines.iter().map(|line| text(line, "/update.id")).collect();
    assert_eq!(decisions.len(), 1, "{place}: {lines:#?}");
    assert_eq!(stage.requests_for(tag), 1, "{place}: messages in Slack");
    for event in ["admitted", "asked", "granted", "applying", "patched", "healthy", "closed"] {
        let times = lines.iter().filter(|line| line["event"] == event).count();
        assert!(times <= 1, "{place}: {event} is told {times} times: {lines:#?}");
    }
}

/// Each boundary, with both fates of what was under way. The tags go up, so that one stage serves for all.
async fn check_each(requests: &[(Point, Request)]) {
    let Some(mut stage) = Stage::raise(&["web"]).await else { return };
    let mut patch = 0;
    for boundary in requests {
        // What has been carried out before the kill is neither lost nor late: only its answer is.
        let fates: &[Fate] = match boundary {
            // What was on its way to Slack may arrive at any later time: one message more than the next skeg can know of.
            (Point::After, _) | (_, Request::Ask) => &[Fate::Lost],
            (Point::Before, _) => &[Fate::Lost, Fate::Late],
        };
        for fate in fates {
            patch += 1;
            check(&mut stage, &format!("1.0.{patch}"), *boundary, *fate).await;
        }
    }
    stage.stop().await;
}

/// CR-01, and its sibling before anything is durable.
#[tokio::test]
async fn killed_at_a_new_record_it_decides_once() {
    check_each(&[(Point::Before, Request::Open), (Point::After, Request::Open)]).await;
}

/// CR-01's siblings in Slack: the message is not posted, is posted and skeg does not know it yet, or has not recorded it.
#[tokio::test]
async fn killed_at_a_request_in_slack_it_asks_once() {
    let boundaries =
        [(Point::Before, Request::Ask), (Point::After, Request::Ask), (Point::Before, Request::Asked), (Point::After, Request::Asked)];
    check_each(&boundaries).await;
}

/// CR-05: a vote that is recorded survives; one that is not was never acknowledged.
#[tokio::test]
async fn killed_at_a_vote_it_counts_the_vote_once() {
    check_each(&[(Point::Before, Request::Vote), (Point::After, Request::Vote)]).await;
}

/// CR-05: a click that was acknowledged is not lost, and not needed again, although nothing was applied yet.
#[tokio::test]
async fn killed_after_a_click_was_acknowledged_it_goes_ahead_without_another_one() {
    let Some(mut stage) = Stage::raise(&["web"]).await else { return };
    for (tag, fate) in [("1.0.1", Fate::Lost), ("1.0.2", Fate::Late)] {
        let before = seen(&stage);
        let mut patch = stage.to_cluster.hold(Point::Before, |passing| Request::Patch.is(passing, "any"));
        stage.push("web", tag);
        let envelope = stage.click("web", tag).await;
        stage.acknowledged(&envelope).await;
        patch.reached().await;
        stage.kill().await;
        assert_eq!(seen(&stage), before, "{fate:?}");
        match fate {
            Fate::Lost => {
                drop(patch);
                stage.start().await;
            }
            Fate::Late => {
                stage.start().await;
                patch.release().await.expect("what is late arrives, and is answered");
            }
        }
        let recorded = async || stage.records("web", tag).into_iter().find(|record| record["status"]["phase"] == "Done");
        let record = stage.until("it is recorded as done", recorded).await;
        let votes = record["status"]["votes"].as_array().unwrap();
        assert_eq!((votes.len(), text(&votes[0], "/voter")), (1, "slack:U1"), "{fate:?}: {record:#}");
        let after = Seen { patches: before.patches + 1, commits: before.commits + 1, generation: before.generation + 1 };
        assert_eq!(seen(&stage), after, "{fate:?}");
        check_told(&stage, tag, true, &format!("{fate:?}")).await;
    }
    stage.stop().await;
}

/// CR-01.
#[tokio::test]
async fn killed_at_a_patch_it_patches_once() {
    check_each(&[(Point::Before, Request::Patch), (Point::After, Request::Patch)]).await;
}

/// CR-02, and its sibling at the record that says that the patch is made.
#[tokio::test]
async fn killed_between_patch_and_commit_it_commits_once_and_rolls_out_once() {
    let phases = ["Verifying", "Recording"].map(Request::Phase);
    check_each(&phases.map(|phase| [(Point::Before, phase), (Point::After, phase)]).concat()).await;
}

/// CR-02's siblings: the commit is made and not pushed, pushed and not known to be, known and not recorded.
#[tokio::test]
async fn killed_at_a_push_it_commits_once() {
    check_each(&[
        (Point::Before, Request::Push),
        (Point::After, Request::Push),
        (Point::Before, Request::Phase("Done")),
        (Point::After, Request::Phase("Done")),
    ])
    .await;
}

/// SD-01: a patch and a push are under way when SIGTERM comes, and end soon after it: skeg waits for them and records them.
#[tokio::test]
async fn told_to_stop_it_finishes_what_ends_in_time() {
    let Some((mut stage, patch, push)) = in_flight().await else { return };
    let release = async {
        patch.release();
        push.release();
    };
    let ((), took) = tokio::join!(release, stage.stop());
    assert!(took < STOP_MAX, "{took:?}");
    assert_eq!(stage.patches("web"), 1);
    assert_eq!(stage.records("api", "1.0.1")[0]["status"]["phase"], "Done");
    check_once_after_the_next_start(stage).await;
}

/// SD-01: they do not end. skeg goes all the same; they arrive late, and the next skeg is at work.
#[tokio::test]
async fn told_to_stop_it_leaves_what_does_not_end_to_its_successor() {
    let Some((mut stage, patch, push)) = in_flight().await else { return };
    let took = stage.stop().await;
    assert!(took < STOP_MAX, "{took:?}");
    stage.start().await;
    patch.release();
    push.release();
    check_once_of_each(&stage).await;
    stage.stop().await;
}

/// A patch of `web` and a push for `api`, both held before they arrive.
async fn in_flight() -> Option<(Stage, crate::support::gate::Held, crate::support::gate::Held)> {
    let stage = Stage::raise(&["web", "api"]).await?;
    let mut push = stage.to_git.hold(Point::Before, |passing| Request::Push.is(passing, "1.0.1"));
    stage.push("api", "1.0.1");
    stage.approve("api", "1.0.1").await;
    push.reached().await;
    let mut patch = stage.to_cluster.hold(Point::Before, |passing| Request::Patch.is(passing, "1.0.1"));
    stage.push("web", "1.0.1");
    stage.approve("web", "1.0.1").await;
    patch.reached().await;
    Some((stage, patch, push))
}

async fn check_once_after_the_next_start(mut stage: Stage) {
    stage.start().await;
    check_once_of_each(&stage).await;
    stage.stop().await;
}

async fn check_once_of_each(stage: &Stage) {
    for name in ["web", "api"] {
        stage.in_phase(name, "1.0.1", "Done").await;
        assert_eq!((stage.patches(name), stage.records(name, "1.0.1").len()), (1, 1), "{name}");
        assert!(stage.declared(name).contains(&stage.image(name, "1.0.1")), "{name}");
    }
    assert_eq!(stage.commits().len(), 3, "one each, and the first: {:#?}", stage.commits());
}

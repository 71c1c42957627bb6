//! HA-02: the leader is stopped (SIGSTOP) with a request on the way, and goes on when another one has taken over. What it sends late is
//! fenced off, by the mark and the version of the workload, the version of the record, the tip of the branch: there is one result.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use super::pair::{Pair, Plane};
use crate::support::gate::{Held, Passing, Point};
use crate::support::report::report;

/// Says for how many seconds at least the leader is stopped that has a lease as skeg has it where nothing is configured.
const STOPPED: &str = "SKEG_TEST_STOPPED";
const DIRECTIVES: [(&str, &str); 2] = [("skeg.dev/policy", "patch"), ("skeg.dev/pin", "tag")];

/// How long the leader is stopped.
#[derive(Clone, Copy, Debug)]
struct Stop {
    lease: &'static str,
    /// At least, and until another one has taken over.
    lasts: Duration,
}

impl Stop {
    /// Until another one has taken over, which is soon.
    const BRIEF: Self = Self { lease: "4s", lasts: Duration::ZERO };

    /// Waits for the rest of it.
    async fn rest(self, since: Instant) {
        tokio::time::sleep(self.lasts.saturating_sub(since.elapsed())).await;
    }
}

/// What the second leader has done when the first one's request arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Late {
    /// It has made the same request itself.
    After,
    /// It is about to.
    Before,
    /// It has found that the tag has moved, and closed the update.
    AfterClosing,
}

fn is_patch(passing: &Passing) -> bool {
    passing.method == "PATCH" && passing.path.contains("/deployments/")
}

fn is_push(passing: &Passing) -> bool {
    passing.method == "POST" && passing.path.ends_with("/git-receive-pack")
}

fn is_vote(passing: &Passing) -> bool {
    passing.method == "PUT" && passing.path.contains("/imageupdates/") && passing.body.contains("\"verdict\"")
}

/// The first replica leads a workload with these directives, the second one stands by.
async fn raise(plane: Plane, stop: Stop, more: &[(&str, &str)]) -> Option<Pair> {
    let mut pair = Pair::raise_whole(plane, stop.lease).await?;
    let directives = DIRECTIVES.iter().chain(more).map(|(key, value)| ((*key).to_owned(), json!(value)));
    pair.deploy_as(&Value::Object(directives.collect())).await;
    pair.start(0).await;
    pair.leads(0).await;
    pair.start(1).await;
    pair.stands_by(1).await;
    Some(pair)
}

/// Stops the first replica with this request on the way; since when it is stopped.
async fn stop_with(pair: &Pair, request: &mut Held) -> Instant {
    request.reached().await;
    pair.replicas[0].as_ref().unwrap().signal("STOP");
    Instant::now()
}

/// It goes on, finds that it has lost its lease, and stands by.
async fn goes_on(pair: &Pair) {
    pair.replicas[0].as_ref().unwrap().signal("CONT");
    pair.stands_by(0).await;
    let log = pair.replicas[0].as_ref().unwrap().log();
    assert!(log.iter().any(|line| line.contains("does not lead any more")), "{log:#?}");
}

/// The update is done in the second term, by one patch and one commit, which the record names.
async fn check_once(pair: &Pair, what: &str) -> Value {
    let record = pair.recorded("1.0.1", &["Done"]).await;
    assert!(record["status"]["epoch"].as_u64() > Some(1), "{what}: {record}");
    let (image, mark, generation) = pair.shown().await;
    // One write of the workload moves the generation by one, be it of the mark alone.
    assert_eq!((image, generation), (pair.image("1.0.1"), 2), "{what}: one patch");
    assert_eq!(mark.split(' ').next(), record["metadata"]["name"].as_str(), "{what}");
    let commits = pair.commits();
    assert_eq!(commits.len(), 1, "{what}: one commit: {commits:#?}");
    assert_eq!(record["status"]["commit"]["id"], commits[0].id, "{what}");
    if let Some(asked) = pair.asked() {
        let patched =
            |code: u64| asked.iter().filter(|one| one.verb == "patch" && one.resource == "deployments" && one.code == code).count();
        assert_eq!(patched(200), 1, "{what}");
    }
    record
}

/// With its patch on the way.
async fn patch(plane: Plane, late: Late, stop: Stop) -> Option<()> {
    let pair = raise(plane, stop, &[]).await?;
    let mut first = pair.gates[0].hold(Point::Before, is_patch);
    let second = (late == Late::Before).then(|| pair.gates[1].hold(Point::Before, is_patch));
    pair.push("1.0.1");
    let since = stop_with(&pair, &mut first).await;
    let patched = ["Verifying", "Recording", "Done"];
    // Kept to the end: what the second leader decides next is not looked at here.
    let mut _next = None;
    match late {
        Late::Before => {
            let mut second = second.expect("it is held");
            second.reached().await;
            first.release().await.unwrap();
            second.release().await.unwrap();
        }
        Late::After => {
            pair.recorded("1.0.1", &patched).await;
            stop.rest(since).await;
            first.release().await.unwrap();
        }
        Late::AfterClosing => {
            // Another image under the same name: what was decided on is not what people would get.
            _next = Some(pair.gates[1].hold(Point::Before, |passing| is_patch(passing) && passing.body.contains(":1.0.1")));
            pair.push("1.0.1");
            pair.recorded("1.0.1", &["Superseded"]).await;
            first.release().await.unwrap();
        }
    }
    let expected: &[&str] = if late == Late::AfterClosing { &["Superseded"] } else { &patched };
    let record = pair.recorded("1.0.1", expected).await;
    let before = pair.shown().await;
    goes_on(&pair).await;
    assert_eq!(pair.shown().await, before, "{late:?}: one that goes on changes nothing");
    let (marked, epoch) = before.1.split_once(' ').unwrap();
    assert_eq!(epoch == "1", late == Late::Before, "whose patch it was: {epoch}");
    assert!(record["status"]["epoch"].as_u64() > Some(1), "{record}");
    if late == Late::AfterClosing {
        assert_eq!((marked, before.0, before.2), ("none", pair.image("1.0.0"), 2), "one result");
        assert!(pair.commits().is_empty());
    } else {
        check_once(&pair, &format!("a patch, {late:?}")).await;
    }
    Some(())
}

/// With its push on the way, of a commit on the tip that it knows.
async fn push(plane: Plane, late: Late, stop: Stop) -> Option<()> {
    let pair = raise(plane, stop, &[]).await?;
    let [to_git, other] = &pair.ends().to_git;
    let mut first = to_git.hold(Point::Before, is_push);
    let second = (late == Late::Before).then(|| other.hold(Point::Before, is_push));
    pair.push("1.0.1");
    let since = stop_with(&pair, &mut first).await;
    if let Some(mut second) = second {
        second.reached().await;
        first.release().await.unwrap();
        // It is on the tip that it expects. The answer begins before the branch moves.
        pair.until("the late push is taken", async || (pair.commits().len() == 1).then_some(())).await;
        second.release().await.unwrap();
    } else {
        pair.recorded("1.0.1", &["Done"]).await;
        stop.rest(since).await;
        first.release().await.unwrap();
    }
    check_once(&pair, &format!("a push, {late:?}")).await;
    goes_on(&pair).await;
    check_once(&pair, &format!("a push, {late:?}, and it goes on")).await;
    Some(())
}

/// With the record of a vote on the way: the vote is not lost when that arrives, and counts once.
async fn vote(plane: Plane, stop: Stop) -> Option<()> {
    let pair = raise(plane, stop, &[("skeg.dev/approvals", "1"), ("skeg.dev/approvers", "user:ops")]).await?;
    pair.push("1.0.1");
    // Until it is recorded where people are asked: nothing else is written then.
    pair.asked_in_slack("1.0.1").await;
    let held = pair.recorded("1.0.1", &["Held"]).await;
    let name = held["metadata"]["name"].as_str().unwrap().to_owned();
    let mut vote = pair.gates[0].hold(Point::Before, is_vote);
    let (first, second) = tokio::join!(pair.approve(0, &name), async {
        let since = stop_with(&pair, &mut vote).await;
        pair.leads(1).await;
        stop.rest(since).await;
        vote.release().await.unwrap();
        // The second leader knows nothing of it until it writes the record itself.
        let code = pair.approve(1, &name).await;
        goes_on(&pair).await;
        code
    });
    assert_ne!(first, 200, "whoever does not lead any more tells nobody that a vote counts");
    assert_eq!(second, 409, "it was decided before: look at it and ask again");
    let record = check_once(&pair, "a vote").await;
    assert_eq!(record["status"]["votes"].as_array().unwrap().len(), 1, "{record}");
    assert_eq!(pair.ends().slack.calls("chat.postMessage"), 1, "people are asked once");
    Some(())
}

async fn each(plane: Plane) {
    let patches = join_all([Late::After, Late::Before, Late::AfterClosing].map(|late| patch(plane, late, Stop::BRIEF)));
    let pushes = join_all([Late::After, Late::Before].map(|late| push(plane, late, Stop::BRIEF)));
    tokio::join!(patches, pushes, vote(plane, Stop::BRIEF));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stopped_leader_sends_late_is_fenced_off() {
    each(Plane::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stopped_leader_sends_late_is_fenced_off_by_a_real_api_server() {
    each(Plane::Real).await;
}

/// The times that skeg has where nothing is configured: a lease of fifteen seconds, renewed after five, acted on for ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_is_stopped_for_long_under_the_usual_lease_is_fenced_off_by_a_real_api_server() {
    let seconds = std::env::var(STOPPED).map_or(0, |text| text.parse().unwrap());
    let stop = Stop { lease: "15s", lasts: Duration::from_secs(seconds) };
    let done = tokio::join!(patch(Plane::Real, Late::After, stop), push(Plane::Real, Late::After, stop), vote(Plane::Real, stop));
    if done.0.is_some() {
        report(&format!("HA-02: a patch, a push and a vote of a leader that was stopped for {seconds} s and more changed nothing"));
    }
}

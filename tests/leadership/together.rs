//! HA-01: two replicas start at the same time, with nobody holding the lease. One acts: one patch, one commit, one message for each update.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use super::pair::{Pair, Plane, told};
use crate::support::kube_api::MERGE_PATCH;

/// Says how often both are started on a real API server, with Git and Slack.
const STARTS: &str = "SKEG_TEST_STARTS";
/// As often where it is not said.
const STARTS_USUAL: usize = 4;
/// Pairs that are started beside each other.
const PAIRS: usize = 2;

fn transitions(lease: &Value) -> i64 {
    lease["spec"]["leaseTransitions"].as_i64().unwrap()
}

impl Pair {
    /// How many of both say that they lead.
    async fn leaders(&self) -> usize {
        let mut leaders = 0;
        for replica in [0, 1] {
            leaders += usize::from(self.status(replica).await.unwrap()["leader"] == true);
        }
        leaders
    }

    async fn kill_both(&mut self) {
        for replica in &mut self.replicas {
            replica.take().unwrap().kill().await;
        }
    }
}

/// HA-01: started together again and again, with nobody holding the lease.
async fn one_of_two_acts(plane: Plane, starts: usize) -> Option<()> {
    let mut pair = Pair::raise(plane, "15s").await?;
    pair.deploy().await;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/skeg", pair.own);
    for start in 1..=starts {
        pair.push(&format!("1.0.{start}"));
        // A person starts the workload anew, so that each start finds one of its own with everything to be done.
        if start > 1 {
            let web = format!("/apis/apps/v1/namespaces/{}/deployments/web", pair.namespace);
            let _ = pair.admin.delete(&web).await;
            pair.until("it is gone", async || (pair.admin.get(&web).await.code == 404).then_some(())).await;
            for record in pair.records().await {
                let record = record["metadata"]["name"].as_str().unwrap();
                let _ = pair.admin.delete(&format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates/{record}", pair.namespace)).await;
            }
            let _ = pair.admin.delete(&path).await;
            pair.deploy().await;
        }
        // Both in one moment.
        pair.start_both().await;
        let record = pair.in_phase(&["Verifying", "Recording", "Done"]).await;
        let (image, mark, generation) = pair.shown().await;
        assert_eq!((image, generation), (pair.image(&format!("1.0.{start}")), 2), "patched once");
        let epoch = transitions(&pair.lease().await);
        assert_eq!(mark, format!("{} {epoch}", record["metadata"]["name"].as_str().unwrap()));
        assert_eq!(record["status"]["epoch"], epoch);
        assert_eq!(pair.leaders().await, 1);
        pair.kill_both().await;
    }
    Some(())
}

/// A hundred starts, in four clusters beside each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_replicas_that_start_together_one_acts() {
    join_all((0..4).map(|_| one_of_two_acts(Plane::Embedded, 25))).await;
}

/// The same workload all along: each start finds the one update after the one before, which has to be asked for, patched and committed.
async fn one_of_two_does_all(plane: Plane, starts: usize) -> Option<Vec<Duration>> {
    let mut pair = Pair::raise_whole(plane, "15s").await?;
    pair.deploy_as(&json!({"skeg.dev/policy": "patch", "skeg.dev/pin": "tag", "skeg.dev/approvals": "1"})).await;
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/skeg", pair.own);
    let (mut epoch, mut names, mut took) = (0, BTreeSet::new(), Vec::new());
    for start in 1..=starts {
        let (tag, begun) = (format!("1.0.{start}"), Instant::now());
        pair.push(&tag);
        pair.start_both().await;
        pair.click(&pair.asked_in_slack(&tag).await).await;
        let record = pair.recorded(&tag, &["Done"]).await;
        let name = record["metadata"]["name"].as_str().unwrap().to_owned();
        let (image, mark, generation) = pair.shown().await;
        // A patch moves the generation by one, be it of the mark alone.
        assert_eq!((image, generation), (pair.image(&tag), i64::try_from(start).unwrap() + 1), "patched once");
        // One term for each start: the other has never led.
        epoch += 1;
        assert_eq!((transitions(&pair.lease().await), pair.leaders().await), (epoch, 1));
        assert_eq!((mark, &record["status"]["epoch"]), (format!("{name} {epoch}"), &json!(epoch)));
        assert_eq!(record["status"]["votes"].as_array().unwrap().len(), 1, "{record}");
        assert_eq!(pair.commits().first().map(|commit| commit.id.clone()).as_deref(), record["status"]["commit"]["id"].as_str());
        names.insert(name);
        pair.kill_both().await;
        // Nobody holds it, as at the first start.
        pair.admin.patch(&lease, MERGE_PATCH, &json!({"spec": {"holderIdentity": ""}})).await.is(200);
        took.push(begun.elapsed());
    }
    check_each_once(&pair, &names, starts);
    Some(took)
}

/// Over all starts: as many patches, commits and messages as updates.
fn check_each_once(pair: &Pair, updates: &BTreeSet<String>, starts: usize) {
    assert_eq!(updates.len(), starts, "one update for each start");
    let commits = pair.commits();
    let committed: BTreeSet<&str> =
        commits.iter().filter_map(|commit| commit.body.lines().last()?.rsplit_once('/')).map(|(_, name)| name).collect();
    assert_eq!((commits.len(), committed.len()), (starts, starts), "one commit for each: {commits:#?}");
    assert!(committed.iter().all(|name| updates.contains(*name)), "{committed:?}");
    let slack = &pair.ends().slack;
    assert_eq!((slack.calls("chat.postMessage"), slack.messages().len()), (starts, starts), "one message for each");
    if let Some(asked) = pair.asked() {
        let count = |verb: &str, resource: &str, code: u64| {
            asked.iter().filter(|asked| (&*asked.verb, &*asked.resource, asked.code) == (verb, resource, code)).count()
        };
        assert_eq!(
            (count("patch", "deployments", 200), count("create", "imageupdates", 201)),
            (starts, starts),
            "one patch, one record for each"
        );
        // Not even tried by the other one: it would be refused.
        assert_eq!((count("patch", "deployments", 422), count("create", "imageupdates", 409)), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_that_start_together_on_a_real_api_server_one_patches_commits_and_asks() {
    let starts = std::env::var(STARTS).map_or(STARTS_USUAL, |text| text.parse().unwrap());
    let shares = (0..PAIRS).map(|pair| starts / PAIRS + usize::from(pair < starts % PAIRS));
    let took = join_all(shares.filter(|share| *share > 0).map(|share| one_of_two_does_all(Plane::Real, share))).await;
    let Some(took) = took.into_iter().collect::<Option<Vec<_>>>() else { return };
    told("HA-01: two replicas started at once on a real API server, to the end of one update", took.concat());
}

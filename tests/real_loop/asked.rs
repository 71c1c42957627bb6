//! What skeg asks of the API server, by the server's audit log: which rights it uses, and how many requests an update costs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Needs, Stage};
use super::{id_of, web};
use crate::support::audit::Asked;
use crate::support::registry::Auth;

/// A right: verb, API group, resource.
type Right = (String, String, String);

/// Writes of one update at most: its record is created once and changed thrice (patched, healthy, committed), the workload is patched once.
const RECORD_CHANGES_MAX: usize = 3;
/// Events of one update at most.
const EVENTS_MAX: usize = 2;
/// For how long skeg is watched doing nothing. A listing of every repository falls into it, twice.
const IDLE: Duration = Duration::from_secs(3);

/// Path of an update's record.
fn record(stage: &Stage, name: &str) -> String {
    format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates/{name}", stage.namespace)
}

fn rights_in(role: &Value) -> BTreeSet<Right> {
    let texts = |list: &Value| list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for verb in texts(&rule["verbs"]) {
            for group in texts(&rule["apiGroups"]) {
                rights.extend(texts(&rule["resources"]).into_iter().map(|resource| (verb.clone(), group.clone(), resource)));
            }
        }
    }
    rights
}

fn table(rights: &BTreeSet<Right>) -> String {
    rights.iter().fold(String::new(), |mut text, (verb, group, resource)| {
        let _ = writeln!(text, "{verb:<8} {resource}{}{group}", if group.is_empty() { "" } else { "." });
        text
    })
}

/// One life with everything in it: updates with votes, a record that somebody edits meanwhile, pauses, old records dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skeg_uses_every_right_that_the_chart_grants_and_no_other() {
    let policy = json!({ "skeg.dev/policy": "patch", "skeg.dev/approvals": "1" });
    let needs = Needs { config: "[history]\nper_workload = 1\n", ..web(Auth::Anonymous, policy) };
    let Some(stage) = Stage::raise(needs).await else { return };
    let mut names = Vec::new();
    for tag in ["1.0.1", "1.0.2", "1.0.3", "1.0.4"] {
        stage.push("web", tag).await;
        let held = stage.in_phase("web", tag, "Held").await;
        let name = held["name"].as_str().unwrap();
        let path = record(&stage, name);
        stage.until("it is recorded", async || stage.admin.answers(&path).await.then_some(())).await;
        stage.kubectl(&["label", "imageupdate", name, "team=shop"]);
        stage.skeg(&["approve", &id_of(&held)]);
        stage.in_phase("web", tag, "Done").await;
        names.push(name.to_owned());
    }
    for reason in ["first", "second"] {
        stage.skeg(&["pause", "--namespace", &stage.namespace, "--reason", reason]);
        stage.skeg(&["resume", "--namespace", &stage.namespace]);
    }
    let oldest = record(&stage, &names[0]);
    let is_dropped = async || (stage.admin.get(&oldest).await.code == 404).then_some(());
    stage.until("the oldest record is dropped", is_dropped).await;

    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    let mut granted = BTreeSet::new();
    for role in [
        format!("{}/roles/skeg", stage.namespace),
        format!("{}/roles/skeg-pauses", stage.own_namespace),
        format!("{}/roles/skeg-lease", stage.own_namespace),
    ] {
        granted.extend(rights_in(&stage.admin.get(&format!("{rbac}/{role}")).await.is(200)));
    }
    let used: BTreeSet<Right> = stage.asked().into_iter().map(|asked| (asked.verb, asked.group, asked.resource)).collect();
    println!("{}", table(&used));
    assert_eq!(table(&used), table(&granted), "used on the left, granted by the chart on the right");
    // A right of the cluster or of another namespace would show here: the role is of these two.
    let namespaces: BTreeSet<String> = stage.asked().into_iter().map(|asked| asked.namespace).collect();
    assert_eq!(namespaces, BTreeSet::from([stage.namespace.clone(), stage.own_namespace.clone()]));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_costs_few_writes_and_doing_nothing_costs_none() {
    let policy = json!({ "skeg.dev/policy": "patch" });
    let needs = Needs { workloads: vec![("web", 0, policy.clone()), ("api", 0, policy.clone())], ..web(Auth::Anonymous, policy) };
    let Some(stage) = Stage::raise(needs).await else { return };
    for name in ["web", "api"] {
        stage.listed(name).await;
    }
    let before = without_lease(&stage).len();
    stage.push("web", "1.0.1").await;
    stage.in_phase("web", "1.0.1", "Done").await;
    // The last Event is told after the record says that it is done.
    let told = async || (count(&without_lease(&stage)[before..], "create", "events") > 0).then_some(());
    stage.until("it is told", told).await;
    let asked = without_lease(&stage).split_off(before);
    let (created, changed) = (count(&asked, "create", "imageupdates"), count(&asked, "update", "imageupdates"));
    let (patched, events) = (count(&asked, "patch", "deployments"), count(&asked, "create", "events"));
    let reads = asked.len() - created - changed - patched - events;
    println!(
        "one update: {created} record created, {changed} changes of it, {patched} patch of the workload, {events} events, {reads} reads"
    );
    assert_eq!((created, patched), (1, 1), "{asked:#?}");
    assert!(changed <= RECORD_CHANGES_MAX && events <= EVENTS_MAX, "{asked:#?}");

    // The registry is listed each second; the API server hears nothing of that.
    let before = without_lease(&stage).len();
    tokio::time::sleep(IDLE).await;
    let asked = without_lease(&stage).split_off(before);
    println!("in {} s without anything to do: {} requests", IDLE.as_secs(), asked.len());
    assert!(asked.is_empty(), "{asked:#?}");
    stage.end().await;
}

/// What was asked, but for the lease, which is renewed every five seconds whatever happens.
fn without_lease(stage: &Stage) -> Vec<Asked> {
    let mut asked = stage.asked();
    asked.retain(|asked| asked.resource != "leases");
    asked
}

fn count(asked: &[Asked], verb: &str, resource: &str) -> usize {
    asked.iter().filter(|asked| asked.verb == verb && asked.resource == resource).count()
}

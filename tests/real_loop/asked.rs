//! What skeg asks of the API server, by the server's audit log: which rights it uses, and how many requests an update costs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Needs, Stage, succeeds};
use super::{id_of, web};
use crate::support::audit::Asked;
use crate::support::controlplane::{Power, User, shared_with};
use crate::support::kube_api::Server;
use crate::support::registry::Auth;
use crate::support::report::report;

/// A right: verb, API group, resource.
pub type Right = (String, String, String);

/// Writes of one update at most: its record is created once and changed thrice (patched, healthy, committed), the workload is patched once.
const RECORD_CHANGES_MAX: usize = 3;
/// Events of one update at most.
const EVENTS_MAX: usize = 2;
/// For how many seconds skeg is watched doing nothing; where it is not said, as long as an ordinary run of the tests can wait for.
const QUIET: &str = "SKEG_TEST_QUIET";
const QUIET_USUAL: u64 = 3;
/// Workloads where there are many.
const MANY: usize = 500;
/// The goal: 1.2 in a minute.
const REQUESTS_IN_AN_HOUR_MAX: u64 = 72;
/// Pages of listings, however many workloads there are: each lasts three minutes.
const LISTINGS_IN_AN_HOUR: u64 = 20;
/// The Namespace, which cannot be watched with a role in it, is read every five minutes.
const NAMESPACE_READS_IN_AN_HOUR: u64 = 12;
/// Some minutes after its start skeg looks once for open and for binding records that were written late.
const LATE_LISTINGS: usize = 2;

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

/// The rights that the chart has granted to a release that looks after one namespace.
pub async fn granted(admin: &Server, namespace: &str, own: &str) -> BTreeSet<Right> {
    let mut granted = BTreeSet::new();
    for role in [format!("{namespace}/roles/skeg"), format!("{own}/roles/skeg-pauses"), format!("{own}/roles/skeg-lease")] {
        granted.extend(granted_by(admin, &role).await);
    }
    granted
}

/// The rights of one role, `NAMESPACE/roles/NAME`.
pub async fn granted_by(admin: &Server, role: &str) -> BTreeSet<Right> {
    rights_in(&admin.get(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{role}")).await.is(200))
}

/// The rights, one a line.
pub fn table(rights: &BTreeSet<Right>) -> String {
    rights.iter().fold(String::new(), |mut text, (verb, group, resource)| {
        let _ = writeln!(text, "{verb:<8} {resource}{}{group}", if group.is_empty() { "" } else { "." });
        text
    })
}

/// One life with everything in it: updates with votes, a record that somebody edits meanwhile, pauses, old records dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skeg_uses_every_right_that_the_chart_grants_and_no_other() {
    if shared_with(Power::Audit).await.is_none() {
        return;
    }
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
        succeeds(&mut stage.kubectl_as(User::Admin, &["label", "imageupdate", name, "team=shop"]));
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

    let granted = granted(&stage.admin, &stage.namespace, &stage.own_namespace).await;
    let used: BTreeSet<Right> = stage.asked().into_iter().map(|asked| (asked.verb, asked.group, asked.resource)).collect();
    report(&format!("rights used, which are the rights that the chart grants:\n{}", table(&used).trim_end()));
    assert_eq!(table(&used), table(&granted), "used on the left, granted by the chart on the right");
    // A right of the cluster or of another namespace would show here: the role is of these two.
    let namespaces: BTreeSet<String> = stage.asked().into_iter().map(|asked| asked.namespace).collect();
    assert_eq!(namespaces, BTreeSet::from([stage.namespace.clone(), stage.own_namespace.clone()]));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_costs_few_writes_and_doing_nothing_costs_none() {
    if shared_with(Power::Audit).await.is_none() {
        return;
    }
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
    report(&format!(
        "one update: {created} record created, {changed} changes of it, {patched} patch of the workload, {events} Events, {reads} reads"
    ));
    assert_eq!((created, patched), (1, 1), "{asked:#?}");
    assert!(changed <= RECORD_CHANGES_MAX && events <= EVENTS_MAX, "{asked:#?}");
    stage.end().await;
}

/// What is asked when nothing happens, with one workload and with many. Registries are listed each second meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_skeg_asks_next_to_nothing_however_many_workloads_there_are() {
    if shared_with(Power::Audit).await.is_none() {
        return;
    }
    let quiet: u64 = std::env::var(QUIET).ok().map_or(QUIET_USUAL, |text| text.parse().unwrap());
    let policy = json!({ "skeg.dev/policy": "patch" });
    let (Some(one), Some(many)) =
        tokio::join!(Stage::raise(web(Auth::Anonymous, policy.clone())), Stage::raise(web(Auth::Anonymous, policy)))
    else {
        return;
    };
    for number in 1..MANY {
        many.copy("web", &format!("web-{number}")).await;
    }
    let are_known = async || {
        let images = many.api.get("/v1/images").await.is(200);
        (images["images"].as_array().unwrap().len() == MANY).then_some(())
    };
    many.until("all workloads are known", are_known).await;
    let before = [&one, &many].map(|stage| without_lease(stage).len());
    tokio::time::sleep(Duration::from_secs(quiet)).await;
    for ((stage, before), workloads) in [&one, &many].into_iter().zip(before).zip([1, MANY]) {
        let asked = without_lease(stage);
        let quiet_ones = &asked[before..];
        let (watches, listings) = (count(quiet_ones, "watch", "deployments"), count(quiet_ones, "list", "deployments"));
        let late = count(quiet_ones, "list", "imageupdates");
        let namespaces = count(quiet_ones, "get", "namespaces");
        assert!(late <= LATE_LISTINGS && watches + listings + namespaces + late == quiet_ones.len(), "{quiet_ones:#?}");
        // What is seen in a short time is little or nothing; what each watch was asked to last says how many there will be.
        let lasts = asked.iter().filter(|asked| asked.verb == "watch").map(|asked| asked.watch_seconds).min().unwrap();
        let in_an_hour = 3600 / lasts + LISTINGS_IN_AN_HOUR + NAMESPACE_READS_IN_AN_HOUR;
        report(&format!(
            "{workloads} workloads, nothing to do: {} requests in {quiet} s; a watch lasts {lasts} s: {:.2} requests in a minute",
            quiet_ones.len(),
            Duration::from_secs(in_an_hour).as_secs_f32() / 60.0
        ));
        assert!(in_an_hour <= REQUESTS_IN_AN_HOUR_MAX, "{in_an_hour}");
        assert!((watches + listings + namespaces) as u64 <= 1 + (quiet * REQUESTS_IN_AN_HOUR_MAX).div_ceil(3600), "{quiet_ones:#?}");
    }
    one.end_without_updates().await;
    many.end_without_updates().await;
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

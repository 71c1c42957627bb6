//! Records: updates, pauses and Events are kept in the cluster, and what somebody else made of them is told and never adopted.

use jiff::Timestamp;
use serde_json::{Value, json};
use skeg::adapters::cluster::{ConfigMapPauses, KubernetesEvents, Scope};
use skeg::adapters::journal::ClusterJournal;
use skeg::core::pause::{self, Change, Pause};
use skeg::core::update::{Binding, Closed, Outcome, Phase, Reason, Update};
use skeg::embedded::kube::{Fault, Matcher};
use skeg::ports::cluster::ClusterError;
use skeg::ports::events::{Events as _, Told};
use skeg::ports::journal::{Journal as _, Version};
use skeg::ports::pauses::Pauses as _;

use crate::support::cluster::{Cluster, clock, deployment, id, update_of};

const OLD: &str = "ghcr.io/acme/web:1.0.0";
const NEW: &str = "ghcr.io/acme/web:1.0.1";

fn update(cluster: &Cluster, name: &str) -> Update {
    let stored = cluster.kube.apply(deployment(name, OLD, &json!({}))).unwrap();
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    update_of(&stored, OLD, NEW, &digest)
}

fn closed(update: &Update, binding: bool) -> Update {
    let binding = binding.then(|| Binding { reason: "somebody said no".into(), at: clock().now(), by: Some("user:ann".into()) });
    Update { phase: Phase::Closed(Closed { binding, ..Closed::with(Outcome::Rejected, Reason::NoWriteBack) }), ..update.clone() }
}

#[tokio::test]
async fn an_update_lives_in_the_journal_from_its_first_record_to_its_removal() {
    let cluster = Cluster::start().await;
    let journal = ClusterJournal::new(cluster.api.clone(), Scope::All);
    let update = update(&cluster, "web");
    assert_eq!(journal.get(&update.id).await, Ok(None));
    let first = journal.create(&update).await.unwrap();
    assert!(matches!(journal.create(&update).await, Err(ClusterError::Exists { .. })));
    let kept = journal.get(&update.id).await.unwrap().unwrap().unwrap();
    assert_eq!((&kept.update.id, &kept.update.spec, &kept.version), (&update.id, &update.spec, &first));

    let second = journal.replace(&closed(&update, true), &first).await.unwrap();
    assert!(matches!(journal.replace(&update, &first).await, Err(ClusterError::Conflict { .. })), "an old version replaces nothing");
    assert!(matches!(journal.replace(&update, &second).await, Err(ClusterError::Refused { .. })), "a closed phase is final");
    assert_eq!(journal.load().await.unwrap().kept[0].version, second);

    journal.replace(&closed(&update, false), &second).await.unwrap();
    assert_eq!(journal.load().await.unwrap().kept, [], "a closed update that binds nothing is not looked for");
    assert_eq!(journal.all().await.unwrap().kept.len(), 1);
    for _ in 0..2 {
        journal.remove(&update.id).await.unwrap();
    }
    assert!(matches!(journal.replace(&update, &first).await, Err(ClusterError::NotFound { .. })));
    assert_eq!(journal.all().await.unwrap().kept, []);
}

#[tokio::test]
async fn open_and_binding_updates_are_found_page_by_page_in_every_namespace_asked_for() {
    let cluster = Cluster::start().await;
    let journal = ClusterJournal::new(cluster.api.clone(), Scope::All);
    let template = update(&cluster, "web");
    for number in 0..120 {
        let mut update = template.clone();
        update.id.name = format!("web-{number:010}").into();
        let version = journal.create(&update).await.unwrap();
        match number % 3 {
            0 => {}
            1 => drop(journal.replace(&closed(&update, true), &version).await.unwrap()),
            _ => drop(journal.replace(&closed(&update, false), &version).await.unwrap()),
        }
    }
    assert_eq!(journal.load().await.unwrap().kept.len(), 80);
    assert_eq!(journal.all().await.unwrap().kept.len(), 120);
    let elsewhere = ClusterJournal::new(cluster.api.clone(), Scope::Namespaces(vec!["elsewhere".into()]));
    assert_eq!(elsewhere.all().await.unwrap().kept, []);
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_an_error_and_one_whose_pages_are_gone_begins_anew() {
    let cluster = Cluster::start().await;
    let journal = ClusterJournal::new(cluster.api.clone(), Scope::All);
    let template = update(&cluster, "web");
    for number in 0..60 {
        let mut update = template.clone();
        update.id.name = format!("web-{number:010}").into();
        journal.create(&update).await.unwrap();
    }
    cluster.kube.fail_next(Matcher::any().path("continue="), Fault::Status(500, None), 1);
    assert!(matches!(journal.all().await, Err(ClusterError::Unreachable { .. })));
    cluster.kube.fail_next(Matcher::any().path("continue="), Fault::Status(410, None), 1);
    assert_eq!(journal.all().await.unwrap().kept.len(), 60);
}

#[tokio::test]
async fn a_record_that_somebody_broke_is_told_and_the_others_are_read() {
    let cluster = Cluster::start().await;
    let journal = ClusterJournal::new(cluster.api.clone(), Scope::All);
    let update = update(&cluster, "web");
    journal.create(&update).await.unwrap();
    let mut foreign: Value = cluster.kube.get("skeg.dev/v1alpha1", "ImageUpdate", "shop", &update.id.name).unwrap();
    foreign["metadata"]["name"] = "by-hand".into();
    foreign["spec"]["changes"][0]["digest"] = "sha256:mine".into();
    cluster.kube.apply(foreign).unwrap();

    let records = journal.load().await.unwrap();
    assert_eq!(records.kept.iter().map(|kept| &kept.update.id).collect::<Vec<_>>(), [&update.id]);
    assert_eq!(records.unreadable[0].id.to_string(), "shop/by-hand");
    assert!(records.unreadable[0].problem.contains("digest"), "{:?}", records.unreadable);
    let found = journal.get(&records.unreadable[0].id).await.unwrap().unwrap().unwrap_err();
    assert_eq!(found, records.unreadable[0]);
    assert_eq!(found.workload, Some(update.spec.workload.clone()), "whose it is can still be read");
}

#[tokio::test]
async fn a_stale_writer_is_refused_by_the_server_itself() {
    let cluster = Cluster::start().await;
    let journal = ClusterJournal::new(cluster.api.clone(), Scope::All);
    let update = Update { epoch: 3, ..update(&cluster, "web") };
    let version = journal.create(&update).await.unwrap();
    let stale = Update { epoch: 2, ..update };
    let Err(ClusterError::Refused { detail, .. }) = journal.replace(&stale, &version).await else { panic!("not refused") };
    assert!(detail.contains("epoch"), "{detail}");
    let nowhere = Version("1".into());
    assert!(matches!(journal.replace(&stale, &nowhere).await, Err(ClusterError::Conflict { .. })));
}

fn pause(name: &str, reason: &str) -> Pause {
    let at = Timestamp::from_second(1_750_000_000).unwrap();
    Pause { scope: pause::Scope::Workload(id(name)), until: None, by: "user:ann".into(), at, reason: Some(reason.into()) }
}

fn set(pauses: &[Pause]) -> Change {
    Change { set: pauses.to_vec(), ..Change::default() }
}

#[tokio::test]
async fn pauses_are_kept_through_another_writer_and_nothing_of_theirs_is_lost() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", OLD, &json!({}))).unwrap();
    let pauses = ConfigMapPauses::new(cluster.api.clone(), "shop");
    assert_eq!(pauses.load().await, Ok(Vec::new()));
    let freeze = pause("web", "freeze");
    assert_eq!(pauses.save(&set(std::slice::from_ref(&freeze))).await, Ok(vec![freeze.clone()]));
    assert_eq!(pauses.load().await, Ok(vec![freeze]));

    cluster.kube.merge("v1", "ConfigMap", "shop", "skeg-pauses", json!({"data": {"notes": "mine"}})).unwrap();
    cluster.kube.fail_next(Matcher::any().method("PUT"), Fault::Status(409, None), 1);
    let wanted = [pause("web", "thaw"), pause("api", "again")];
    pauses.save(&set(&wanted)).await.unwrap();
    assert_eq!(pauses.load().await, Ok(wanted.to_vec()));
    let map = cluster.kube.get("v1", "ConfigMap", "shop", "skeg-pauses").unwrap();
    assert_eq!(map["data"]["notes"], "mine");

    let writes = cluster.requests("PUT", "skeg-pauses");
    pauses.save(&set(&wanted)).await.unwrap();
    assert_eq!(cluster.requests("PUT", "skeg-pauses"), writes, "the same again is no write");
}

#[tokio::test]
async fn a_change_of_the_pauses_is_made_in_what_another_writer_has_kept_meanwhile() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", OLD, &json!({}))).unwrap();
    let [one, other] = [(); 2].map(|()| ConfigMapPauses::new(cluster.api.clone(), "shop"));
    let freeze = pause("web", "freeze");
    one.save(&set(std::slice::from_ref(&freeze))).await.unwrap();
    other.save(&set(&[pause("web", "freeze of the other"), pause("db", "of the other")])).await.unwrap();
    let change = Change { lifted: vec![freeze], set: vec![pause("api", "of the one")] };
    let kept = one.save(&change).await.unwrap();
    assert_eq!(kept, [pause("web", "freeze of the other"), pause("db", "of the other"), pause("api", "of the one")]);
    assert_eq!(one.load().await, Ok(kept), "only the very pause that was known is lifted");
}

#[tokio::test]
async fn pauses_that_do_not_parse_are_an_error_with_the_place() {
    let cluster = Cluster::start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "skeg-pauses", "namespace": "shop"}, "data": {"pauses.json": "[{]"}});
    cluster.kube.apply(map).unwrap();
    let pauses = ConfigMapPauses::new(cluster.api.clone(), "shop");
    let Err(ClusterError::Refused { object, detail }) = pauses.load().await else { panic!("not refused") };
    assert_eq!(object, "ConfigMap shop/skeg-pauses");
    assert!(detail.contains("line 1"), "{detail}");
}

#[tokio::test]
async fn a_sentence_told_twice_is_one_event_and_the_longest_is_accepted() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", OLD, &json!({}))).unwrap();
    let events = KubernetesEvents::new(cluster.api.clone(), clock());
    let told = |message: &str| Told {
        workload: id("web"),
        uid: "u1".into(),
        warning: true,
        reason: "DirectiveWrong".into(),
        message: message.to_owned(),
    };
    events.tell(&told("skeg.dev/policy: no such policy")).await.unwrap();
    events.tell(&told("skeg.dev/policy: no such policy")).await.unwrap();
    events.tell(&told(&"ä🛥\n".repeat(2_000))).await.unwrap();
    let all = cluster.kube.all("events.k8s.io/v1", "Event");
    assert_eq!(all.len(), 2);
    let notes: Vec<_> = cluster.kube.all("v1", "Event").iter().map(|event| event["message"].as_str().map(str::len)).collect();
    assert!(notes.iter().any(|length| length.is_some_and(|length| (1_000..=1_024).contains(&length))), "{notes:?}");
}

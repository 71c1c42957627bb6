//! A replica that does not lead hands the question on to the one that does, and tells what it knows itself where that does not answer.

use serde_json::{Value, json};

use super::pair::{Pair, Plane};

fn gate(explained: &Value, name: &str) -> String {
    let gates = explained["containers"][0]["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["gate"] == name).unwrap()["answer"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_explains_by_way_of_the_leader_and_without_it_all_but_the_gates() {
    let mut pair = Pair::raise(Plane::Embedded, "60s").await.unwrap();
    pair.deploy_as(&json!({"skeg.dev/policy": "patch", "skeg.dev/approvals": "1", "skeg.dev/approvers": "user:nobody"})).await;
    pair.push("1.0.1");
    pair.start(0).await;
    pair.leads(0).await;
    pair.start(1).await;
    pair.stands_by(1).await;
    let told = async || pair.explain(1).await.filter(|told| told["containers"][0]["update"]["phase"] == "Held");
    let told = pair.until("the leader's answer comes from the standby", told).await;
    assert_eq!((gate(&told, "approval"), gate(&told, "pause")), ("closed".to_owned(), "open".to_owned()), "{told:#}");

    pair.replicas[0].take().unwrap().kill().await;
    let unled = async || pair.explain(1).await.filter(|told| gate(told, "approval") == "unknown");
    let told = pair.until("the standby answers by itself", unled).await;
    let container = &told["containers"][0];
    assert_eq!(container["candidate"]["tag"], "1.0.1", "{told:#}");
    assert_eq!(container["update"]["phase"], "Held", "{told:#}");
    assert_eq!(container["verdicts"].as_array().unwrap().len(), 2, "{told:#}");
}

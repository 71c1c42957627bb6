//! Two replicas use every right that the chart grants to two, and no other.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::pair::{Pair, Plane};
use crate::real_loop::asked::{Right, granted, granted_by, table};
use crate::support::controlplane::{Power, shared_with};
use crate::support::kube_api::MERGE_PATCH;
use crate::support::nodes::{Nodes, bring_about_rollouts};
use crate::support::report::report;

/// One life with everything in it, and a hand-over between each update and the next: votes and pauses come to the one that stands by, and
/// a record is edited by somebody meanwhile. The registry is read with the Secret of the workload's service account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_use_every_right_that_the_chart_grants_and_no_other() {
    if shared_with(Power::Audit).await.is_none() {
        return;
    }
    let Some(mut pair) = Pair::raise_whole(Plane::Real, "15s").await else { return };
    (pair.more, pair.reads_pull_secrets) = ("[history]\nper_workload = 1\n", true);
    pair.gives_a_pull_secret().await;
    pair.deploy_as(&json!({"skeg.dev/policy": "patch", "skeg.dev/pin": "tag", "skeg.dev/approvals": "1"})).await;
    let (plane, web) = (pair.real.as_ref().unwrap().0, format!("/apis/apps/v1/namespaces/{}/deployments/web", pair.namespace));
    // Pods are looked at where there are any.
    bring_about_rollouts(plane, &pair.admin, &pair.namespace).await;
    let nodes = Nodes::of(plane, pair.admin.clone(), &pair.namespace);
    nodes.pulls(&pair.image("1.0.0"), &pair.push("1.0.0")).await;
    let pods = json!({"spec": {"replicas": 2, "template": {"spec": {"serviceAccountName": "puller"}}}});
    pair.admin.patch(&web, MERGE_PATCH, &pods).await.is(200);
    let is_up = async || (pair.admin.get(&web).await.is(200)["status"]["availableReplicas"] == 2).then_some(());
    pair.until("it runs", is_up).await;
    pair.start(0).await;
    pair.leads(0).await;
    let mut names = Vec::new();
    for number in 0..4 {
        let (leader, standby, tag) = (number % 2, (number + 1) % 2, format!("1.0.{}", number + 1));
        pair.start(standby).await;
        pair.stands_by(standby).await;
        nodes.pulls(&pair.image(&tag), &pair.push(&tag)).await;
        let held = pair.asked_in_slack(&tag).await;
        let record = pair.recorded(&tag, &["Held"]).await;
        let name = record["metadata"]["name"].as_str().unwrap().to_owned();
        pair.admin.patch(&pair.record(&name), MERGE_PATCH, &json!({"metadata": {"labels": {"team": "shop"}}})).await.is(200);
        if number < 2 {
            pair.order(standby, "/v1/pause", &json!({"namespace": pair.namespace, "reason": "first"})).await;
            pair.order(standby, "/v1/resume", &json!({"namespace": pair.namespace})).await;
            pair.click(&held).await;
        } else {
            assert_eq!(pair.approve(standby, &name).await, 200);
        }
        pair.recorded(&tag, &["Done"]).await;
        names.push(name);
        pair.replicas[leader].as_ref().unwrap().terminate();
        pair.leads(standby).await;
        pair.replicas[leader].as_mut().unwrap().ended().await;
    }
    let oldest = pair.record(&names[0]);
    pair.until("the oldest record is dropped", async || (pair.admin.get(&oldest).await.code == 404).then_some(())).await;

    let mut granted = granted(&pair.admin, &pair.namespace, &pair.own).await;
    granted.extend(granted_by(&pair.admin, &format!("{}/roles/skeg-pull-secrets", pair.namespace)).await);
    let asked = pair.asked().unwrap();
    let used: BTreeSet<Right> = asked.iter().map(|asked| (asked.verb.clone(), asked.group.clone(), asked.resource.clone())).collect();
    report(&format!("rights that two replicas use, which are those that the chart grants to two:\n{}", table(&used).trim_end()));
    assert_eq!(table(&used), table(&granted), "used on the left, granted by the chart on the right");
    assert!(used.contains(&("watch".into(), "coordination.k8s.io".into(), "leases".into())), "the one that stands by watches the lease");
    let denied: Vec<_> = asked.iter().filter(|asked| asked.code == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let namespaces: BTreeSet<&str> = asked.iter().map(|asked| asked.namespace.as_str()).collect();
    assert_eq!(namespaces, BTreeSet::from([&*pair.namespace, &*pair.own]));
}

impl Pair {
    /// A service account whose pods pull with a Secret.
    async fn gives_a_pull_secret(&self) {
        let core = format!("/api/v1/namespaces/{}", self.namespace);
        let logins = json!({"auths": {self.registry.address().to_string(): {"auth": STANDARD.encode("robot:s3cret")}}});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "metadata": {"name": "pulls"},
            "data": {".dockerconfigjson": STANDARD.encode(logins.to_string())},
        });
        self.admin.post(&format!("{core}/secrets"), &secret).await.is(201);
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "pulls"}],
        });
        self.admin.post(&format!("{core}/serviceaccounts"), &account).await.is(201);
    }

    /// Path of a record.
    fn record(&self, name: &str) -> String {
        format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates/{name}", self.namespace)
    }
}

//! The chart on the real API server: what it renders is admitted, comes up under the restricted pod security standard, and grants what
//! it says. That skeg works with it, and uses all of it, is shown by `real_loop`.

use std::process::Command;

use serde_json::{Value, json};

use crate::real_loop::cluster::namespace;
use crate::support::chart::{applied, chart, install, install_with, rendered, values};
use crate::support::controlplane::{self, ControlPlane, Power, User};
use crate::support::kube_api::Server;
use crate::support::nodes::{Nodes, bring_about_rollouts};

const CONFIG: &str = "[poll]\ninterval = \"1h\"\n";

/// The control plane and its admin; `None` where there is none, which has then been said.
async fn plane() -> Option<(&'static ControlPlane, Server)> {
    let plane = controlplane::shared().await?;
    Some((plane, plane.server(User::Admin)))
}

/// The same where the cluster is ours alone.
async fn own_plane() -> Option<(&'static ControlPlane, Server)> {
    let plane = controlplane::shared_with(Power::ClusterWide).await?;
    Some((plane, plane.server(User::Admin)))
}

#[test]
fn the_definition_in_the_chart_is_the_one_that_skeg_prints() {
    let printed = Command::new(env!("CARGO_BIN_EXE_skeg")).arg("crd").output().unwrap();
    let kept = std::fs::read(chart().join("crds/imageupdates.json")).unwrap();
    assert!(printed.stdout == kept, "write it anew: skeg crd > chart/crds/imageupdates.json");
}

/// What kubelets would run is admitted where only restricted pods are, finds its service account, and becomes available.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_chart_installs_comes_up_under_the_restricted_standard() {
    let Some((plane, admin)) = own_plane().await else { return };
    let own = namespace(plane, &admin, true).await;
    bring_about_rollouts(plane, &admin, &own).await;
    let nodes = Nodes::of(plane, admin.clone(), &own);
    nodes.pulls("registry.example/ops/skeg:1.0.0", &format!("sha256:{}", "a1".repeat(32))).await;
    install(plane, &admin, &own, &[&own], CONFIG).await;
    let rolled_out = Command::new(plane.program("kubectl"))
        .arg("--kubeconfig")
        .arg(plane.kubeconfig())
        .args(["--namespace", &own, "rollout", "status", "deployment/skeg", "--timeout=60s"])
        .output()
        .unwrap();
    assert!(rolled_out.status.success(), "{rolled_out:?}");
    let deployment = admin.get(&format!("/apis/apps/v1/namespaces/{own}/deployments/skeg")).await.is(200);
    assert_eq!(deployment["spec"]["strategy"], json!({ "type": "Recreate" }));
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let ports: Vec<&Value> = container["ports"].as_array().unwrap().iter().map(|port| &port["containerPort"]).collect();
    assert_eq!(ports, [9300, 9301], "the defaults of [server]");
    let selector = "app.kubernetes.io/name%3Dskeg,app.kubernetes.io/instance%3Dskeg";
    let pods = admin.get(&format!("/api/v1/namespaces/{own}/pods?labelSelector={selector}")).await.is(200);
    assert_eq!(pods["items"].as_array().unwrap().len(), 1, "the services' selector finds it");
    for service in ["skeg", "skeg-private"] {
        let service = admin.get(&format!("/api/v1/namespaces/{own}/services/{service}")).await.is(200);
        let wanted = json!({ "app.kubernetes.io/name": "skeg", "app.kubernetes.io/instance": "skeg" });
        assert_eq!(service["spec"]["selector"], wanted);
    }
}

/// The file that the chart makes is one that skeg takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_in_the_chart_is_one_that_skeg_takes() {
    let Some((plane, admin)) = plane().await else { return };
    let (own, other) = (namespace(plane, &admin, true).await, namespace(plane, &admin, false).await);
    let release = install(plane, &admin, &own, &[&own, &other], CONFIG).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skeg.toml");
    std::fs::write(&file, release.config).unwrap();
    let config = skeg::config::load(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut watched = vec![own.as_str().into(), other.as_str().into()];
    watched.sort();
    assert_eq!(config.cluster.namespaces, watched);
    assert_eq!(config.cluster.own_namespace(), own.as_str().into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_namespaces_the_same_rights_hold_in_all_of_them_and_no_others() {
    let Some((plane, admin)) = own_plane().await else { return };
    let (own, other) = (namespace(plane, &admin, true).await, namespace(plane, &admin, false).await);
    let in_one = install(plane, &admin, &own, &[&own], CONFIG).await;
    let deployments = ("patch", "apps", "deployments");
    assert!(in_one.may(&admin, &own, deployments).await);
    assert!(!in_one.may(&admin, &other, deployments).await, "a role reaches no other namespace");
    let role = admin.get(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{own}/roles/skeg")).await.is(200);

    let own = namespace(plane, &admin, true).await;
    let in_all = install(plane, &admin, &own, &[], CONFIG).await;
    let cluster_role = admin.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/skeg").await.is(200);
    // But for Namespaces: a role may get its own, and only a role of the cluster can watch them.
    let (of_all, of_one) = (rules_of(&cluster_role), rules_of(&role));
    assert_eq!((&of_all.0, &of_all.1, &of_one.1), (&of_one.0, &json!(["list", "watch"]), &json!(["get"])));
    let is_in_force = async || in_all.may(&admin, &other, deployments).await;
    // The authoriser learns of a role by its own watch; 10 s would be a fault.
    for _ in 0..200 {
        if is_in_force().await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(is_in_force().await);
    for right in [("get", "", "secrets"), ("create", "", "pods"), ("patch", "apps", "statefulsets"), ("get", "", "configmaps")] {
        assert!(!in_all.may(&admin, &other, right).await, "{right:?}");
    }
}

/// The rules of a role without those for Namespaces, and the verbs of these.
fn rules_of(role: &Value) -> (Vec<Value>, Value) {
    let rules = role["rules"].as_array().unwrap().clone();
    let (namespaces, others): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule["resources"] == json!(["namespaces"]));
    assert_eq!(namespaces.len(), 1, "{role:#}");
    (others, namespaces[0]["verbs"].clone())
}

/// Nodes may be read where they are, and then in no other way than it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_may_be_listed_where_images_are_compared_with_them_and_nowhere_else() {
    let Some((plane, _)) = plane().await else { return };
    let rules = |namespaces: &[&str], platforms: &str| {
        let mut values = values(namespaces, CONFIG);
        values["platforms"] = json!(platforms);
        let objects = applied(plane, &rendered(plane, "default", &values).unwrap(), &["--dry-run=client", "--output=json"]);
        let list: Value = serde_json::from_str(&objects).unwrap();
        let objects = list["items"].as_array().unwrap().clone();
        let config = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap()["data"]["skeg.toml"].as_str().unwrap().to_owned();
        let role = objects.into_iter().find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "skeg-nodes");
        (role.map(|role| role["rules"].clone()), config.contains("platforms = \"auto\""), config.contains("platforms = \"off\""))
    };
    let listed = Some(json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"] }]));
    for (namespaces, platforms, is_on) in
        [(&[][..], "auto", true), (&["default"], "auto", false), (&["default"], "on", true), (&[], "off", false)]
    {
        let expected = (listed.clone().filter(|_| is_on), is_on, !is_on);
        assert_eq!(rules(namespaces, platforms), expected, "{namespaces:?} {platforms}");
    }
}

/// SE-02: Secrets are read by their names, in the namespaces that are named for it and in no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_secrets_may_be_read_by_name_and_only_in_the_namespaces_named_for_it() {
    let Some((plane, admin)) = plane().await else { return };
    let (own, opened) = (namespace(plane, &admin, true).await, namespace(plane, &admin, false).await);
    let mut values = values(&[&own, &opened], CONFIG);
    values["pullSecrets"] = json!([opened]);
    let release = install_with(plane, &admin, &own, &[&own, &opened], &values).await;
    assert!(release.config.contains(&format!("pull_secrets = [\"{opened}\"]")), "{}", release.config);
    // The authoriser learns of a role by its own watch; 10 s would be a fault.
    for _ in 0..200 {
        if release.may(&admin, &opened, ("get", "", "secrets")).await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for resource in ["secrets", "serviceaccounts"] {
        assert!(release.may(&admin, &opened, ("get", "", resource)).await);
        assert!(!release.may(&admin, &own, ("get", "", resource)).await);
        for verb in ["list", "watch", "create", "update"] {
            assert!(!release.may(&admin, &opened, (verb, "", resource)).await, "{verb} {resource}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_mounted_as_files_and_a_digest_wins_over_a_tag() {
    let Some((plane, admin)) = plane().await else { return };
    let own = namespace(plane, &admin, true).await;
    let mut values = values(&["shop"], CONFIG);
    values["secrets"] = json!(["registry", "git"]);
    let digest = format!("sha256:{}", "b2".repeat(32));
    values["image"]["digest"] = digest.as_str().into();
    values["namespaces"] = json!([own]);
    let objects = applied(plane, &rendered(plane, &own, &values).unwrap(), &["--dry-run=server", "--output=json"]);
    let list: Value = serde_json::from_str(&objects).unwrap();
    let objects = list["items"].as_array().unwrap();
    let pod = &objects.iter().find(|object| object["kind"] == "Deployment").unwrap()["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("registry.example/ops/skeg@{digest}"));
    let mounts: Vec<&str> =
        container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    let secrets = ["/etc/skeg/secrets/registry", "/etc/skeg/secrets/git"];
    assert_eq!(mounts, [&["/etc/skeg/config", "/var/cache/skeg", "/tmp"][..], &secrets].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_spread_replaced_one_by_one_and_never_both_evicted() {
    let Some((plane, admin)) = plane().await else { return };
    let own = namespace(plane, &admin, true).await;
    let kinds = |replicas: Value| {
        let mut values = values(&[&own], CONFIG);
        values["replicas"] = replicas;
        let list: Value =
            serde_json::from_str(&applied(plane, &rendered(plane, &own, &values).unwrap(), &["--dry-run=server", "--output=json"]))
                .unwrap();
        let objects = list["items"].as_array().unwrap().clone();
        let named =
            |kind: &str, name: &str| objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name).cloned();
        (
            named("Deployment", "skeg").unwrap()["spec"].clone(),
            named("PodDisruptionBudget", "skeg"),
            named("Role", "skeg-lease").unwrap()["rules"].clone(),
        )
    };
    let (deployment, budget, rights) = kinds(json!(2));
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&json!(2), &json!("RollingUpdate")));
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
    let variables: Vec<&Value> = pod["containers"][0]["env"].as_array().unwrap().iter().map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["POD_NAME", "POD_IP"]);
    assert_eq!(budget.unwrap()["spec"]["minAvailable"], 1);
    assert_eq!((&rights[0]["verbs"], &rights[0]["resourceNames"]), (&json!(["get", "update", "watch"]), &json!(["skeg"])));
    let (deployment, budget, rights) = kinds(json!(1));
    assert_eq!((&deployment["replicas"], budget), (&json!(1), None));
    assert_eq!(rights[0]["verbs"], json!(["get", "update"]), "nobody stands by");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_values_are_told() {
    let Some((plane, _)) = plane().await else { return };
    let check = |values: Value, told: &str| {
        let said = rendered(plane, "ops", &values).expect_err("it is refused");
        assert!(said.contains(told), "{said}");
    };
    check(json!({}), "image.repository: name the image to run");
    let three = json!({ "image": { "repository": "registry.example/ops/skeg" }, "replicas": 3 });
    check(three, "replicas: 1 or 2");
    let some = json!({ "image": { "repository": "registry.example/ops/skeg" }, "platforms": "some" });
    check(some, "platforms: auto, on or off");
    check(values(&[], "[poll]\ninterval = \"1h\"\n\n[cluster]\nmode = \"observe\"\n"), "config: leave out [cluster]");
}

//! Watching: what the cluster's people write is known soon, whole, and without a mistake of one disturbing the others.

use std::sync::Arc;

use serde_json::{Value, json};
use skeg::adapters::cluster::{DefaultsOf, Scope, Watches};
use skeg::core::directives::Defaults;
use skeg::core::workload::WorkloadId;
use skeg::embedded::kube::{Fault, Matcher};
use skeg::ports::cluster::Workloads as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::cluster::{Cluster, DEADLINE, clock, deployment, id};

const LISTING: &str = "/deployments?";

/// Watches that run until this is dropped.
struct Watching {
    watches: Arc<Watches>,
    _running: JoinSet<()>,
}

impl Watching {
    fn start(cluster: &Cluster, scope: &Scope) -> Self {
        let defaults: DefaultsOf = Arc::new(|_| Defaults::default());
        let watches = Arc::new(Watches::new(scope, defaults, clock()));
        let mut running = JoinSet::new();
        let (run, api) = (watches.clone(), cluster.api.clone());
        running.spawn(async move { run.run(&api).await });
        Self { watches, _running: running }
    }

    async fn filled(&self) {
        timeout(DEADLINE, self.watches.filled()).await.unwrap();
    }

    /// Waits until the watches know what `holds` asks for.
    async fn until(&self, holds: impl Fn(&Watches) -> bool) {
        let known = async {
            while !holds(&self.watches) {
                self.watches.changed().await;
            }
        };
        timeout(DEADLINE, known).await.unwrap();
    }

    /// Waits until the state of the only watch is as `holds` asks for.
    async fn until_state(&self, holds: impl Fn(&skeg::adapters::cluster::WatchState) -> bool) {
        let seen = async {
            while !holds(&self.watches.states()[0]) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, seen).await.unwrap();
    }
}

fn managed() -> Value {
    json!({"skeg.dev/policy": "minor"})
}

fn image(watches: &Watches, id: &WorkloadId) -> Option<String> {
    watches.get(id).map(|workload| workload.containers[0].image.to_string())
}

/// KU-12: what is known of five hundred; what is done with a wrong one is in `degraded`.
#[tokio::test]
async fn a_mistake_on_one_of_five_hundred_workloads_holds_that_one_and_no_other() {
    let cluster = Cluster::start().await;
    for number in 0..500 {
        let policy = if number == 250 { "semver:^1.(" } else { "minor" };
        let object = deployment(&format!("web-{number:03}"), "nginx:1.25", &json!({"skeg.dev/policy": policy}));
        cluster.kube.apply(object).unwrap();
    }
    cluster.kube.apply(deployment("plain", "nginx:1.25", &json!({"team": "shop"}))).unwrap();
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;

    let all = watching.watches.all();
    assert_eq!((all.len(), watching.watches.unmanaged()), (500, 1));
    let wrong: Vec<_> = all.iter().filter(|workload| workload.directives.is_err()).collect();
    assert_eq!(wrong.iter().map(|workload| &*workload.id.name).collect::<Vec<_>>(), ["web-250"]);
    let errors = wrong[0].directives.as_ref().unwrap_err();
    assert_eq!(&*errors[0].key, "skeg.dev/policy");
    assert_eq!(watching.watches.using(&"nginx".parse().unwrap()).len(), 500);
    assert_eq!(watching.watches.get(&id("plain")), None);
    assert!(cluster.requests("GET", LISTING) >= 6, "a listing of 501 workloads comes in pages");
}

#[tokio::test]
async fn changes_are_known_and_told() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", "nginx:1.25", &managed())).unwrap();
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;
    let changes = timeout(DEADLINE, watching.watches.changed()).await.unwrap();
    assert_eq!(
        (changes.workloads, changes.repositories),
        ([id("web")].into(), ["acme/sidecar", "nginx"].map(|name| name.parse().unwrap()).into())
    );

    cluster.kube.apply(deployment("api", "nginx:1.26", &managed())).unwrap();
    cluster.kube.apply(deployment("web", "nginx:1.27", &managed())).unwrap();
    watching.until(|watches| image(watches, &id("web")).as_deref() == Some("nginx:1.27") && watches.get(&id("api")).is_some()).await;

    cluster.kube.apply(deployment("web", "nginx:1.27", &json!({}))).unwrap();
    watching.until(|watches| watches.get(&id("web")).is_none()).await;
}

#[tokio::test]
async fn nothing_is_missed_when_the_watch_ends_and_its_history_is_gone() {
    let cluster = Cluster::start().await;
    for name in ["gone", "kept", "moved"] {
        cluster.kube.apply(deployment(name, "nginx:1.25", &managed())).unwrap();
    }
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;
    watching.watches.changed().await;

    // While the watch is down: one deleted, one changed, one new, and no way to go on from where it was.
    cluster.kube.fail_next(Matcher::any().path(LISTING), Fault::Status(500, None), 1);
    cluster.kube.end_watches();
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(cluster.kube.client(), "shop");
    api.delete("gone", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.kube.apply(deployment("moved", "nginx:1.26", &managed())).unwrap();
    cluster.kube.apply(deployment("new", "nginx:1.25", &managed())).unwrap();
    cluster.kube.compact();

    watching.until(|watches| watches.get(&id("gone")).is_none() && watches.get(&id("new")).is_some()).await;
    assert_eq!(image(&watching.watches, &id("moved")).as_deref(), Some("nginx:1.26"));
    assert_eq!(watching.watches.all().len(), 3);
}

/// A server that hangs takes a watch on and never begins it, which must not look like a watch on which nothing happens.
#[tokio::test]
async fn a_watch_that_never_begins_is_told_and_given_up() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", "nginx:1.25", &managed())).unwrap();
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;
    cluster.kube.fail_next(Matcher::any().path("watch=true"), Fault::Hang, u32::MAX);
    cluster.kube.end_watches();
    let is_told = |state: &skeg::adapters::cluster::WatchState| {
        state.trouble.as_ref().is_some_and(|trouble| trouble.error.contains("did not begin within 10 s"))
    };
    watching.until_state(is_told).await;
    cluster.kube.clear_faults();
    cluster.kube.apply(deployment("web", "nginx:1.26", &managed())).unwrap();
    watching.until(|watches| image(watches, &id("web")).as_deref() == Some("nginx:1.26")).await;
    watching.until_state(|state| state.trouble.is_none()).await;
}

#[tokio::test]
async fn a_server_that_fails_at_first_is_a_state_that_passes() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", "nginx:1.25", &managed())).unwrap();
    cluster.kube.fail_next(Matcher::any().path(LISTING), Fault::Status(500, None), 1);
    let watching = Watching::start(&cluster, &Scope::All);
    watching.until_state(|state| state.trouble.is_some()).await;
    assert!(!watching.watches.is_filled() && !watching.watches.knows("shop"));
    let trouble = watching.watches.states()[0].trouble.clone().unwrap();
    assert!(!trouble.refused && trouble.error.contains("injected"), "{trouble:?}");
    assert_eq!(watching.watches.gone().map(|gone| gone.since), Some(trouble.since));

    watching.filled().await;
    watching.until_state(|state| state.trouble.is_none() && state.filled).await;
    assert_eq!(watching.watches.gone(), None);
    assert!(watching.watches.knows("shop") && watching.watches.get(&id("web")).is_some());
}

#[tokio::test]
async fn a_namespace_that_is_forbidden_is_told_and_the_others_are_known() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", "nginx:1.25", &managed())).unwrap();
    cluster.kube.fail_next(Matcher::any().path("/namespaces/secret/deployments"), Fault::Status(403, None), u32::MAX);
    let watching = Watching::start(&cluster, &Scope::Namespaces(vec!["shop".into(), "secret".into(), "shop".into()]));
    watching.filled().await;
    let states = &watching.watches.states()[..2];
    assert_eq!(states.iter().map(|state| state.namespace.as_deref().unwrap()).collect::<Vec<_>>(), ["secret", "shop"]);
    assert!(states[0].trouble.as_ref().is_some_and(|trouble| trouble.refused) && !states[0].filled);
    assert!(states[1].filled && states[1].trouble.is_none());
    assert_eq!(watching.watches.gone(), None, "what is refused is refused, and the rest is followed");
    assert!(watching.watches.knows("shop"));
    for unknown in ["secret", "elsewhere"] {
        assert!(!watching.watches.knows(unknown), "an absent workload of {unknown} may only be unknown");
    }
}

// === Namespaces ===

/// Says something by the Namespace of the workloads.
fn says(cluster: &Cluster, namespace: &str, annotations: &Value) {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "annotations": annotations}});
    cluster.kube.apply(object).unwrap();
}

fn policy(watches: &Watches, id: &WorkloadId) -> Option<String> {
    let workload = watches.get(id)?;
    let directives = workload.directives.as_ref().ok()?;
    directives.selection_of(&workload.containers[0]).map(|selection| selection.policy.to_string())
}

#[tokio::test]
async fn what_a_namespace_says_is_part_of_its_workloads_and_its_change_a_change_of_theirs() {
    let cluster = Cluster::start().await;
    cluster.kube.apply(deployment("web", "nginx:1.25", &json!({}))).unwrap();
    cluster.kube.apply(deployment("own", "nginx:1.25", &managed())).unwrap();
    says(&cluster, "shop", &json!({"skeg.dev/policy": "patch", "team": "shop"}));
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;
    assert_eq!(policy(&watching.watches, &id("web")).as_deref(), Some("patch"), "known before the workloads are");
    assert_eq!(policy(&watching.watches, &id("own")).as_deref(), Some("minor"));

    watching.watches.changed().await;
    says(&cluster, "shop", &json!({"skeg.dev/policy": "major"}));
    watching.until(|watches| policy(watches, &id("web")).as_deref() == Some("major")).await;
    assert_eq!(policy(&watching.watches, &id("own")).as_deref(), Some("minor"));
    assert_eq!(cluster.requests("GET", "/namespaces/shop/deployments?"), 1, "only that namespace is listed again");
    assert_eq!(cluster.requests("GET", "/apis/apps/v1/deployments?&limit="), 1, "everything was listed once");
    says(&cluster, "shop", &json!({"skeg.dev/policy": "major", "team": "web"}));
    says(&cluster, "shop", &json!({}));
    watching.until(|watches| watches.get(&id("web")).is_none()).await;
    assert_eq!((watching.watches.all().len(), watching.watches.unmanaged()), (1, 1));
    assert_eq!(cluster.requests("GET", "/namespaces/shop/deployments?"), 2, "what says nothing to skeg is no change");
}

/// Two watches tell of them in any order.
#[tokio::test]
async fn a_namespace_and_its_workloads_may_come_in_any_order() {
    let cluster = Cluster::start().await;
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;
    for number in 0..20 {
        let place = format!("preview-{number}");
        says(&cluster, &place, &json!({"skeg.dev/policy": "patch"}));
        let mut object = deployment("web", "nginx:1.25", &json!({}));
        object["metadata"]["namespace"] = place.as_str().into();
        cluster.kube.apply(object).unwrap();
    }
    watching.until(|watches| watches.all().len() == 20).await;
}

#[tokio::test]
async fn with_a_role_in_a_namespace_that_one_is_read() {
    let cluster = Cluster::start().await;
    says(&cluster, "shop", &json!({"skeg.dev/policy": "patch"}));
    cluster.kube.apply(deployment("web", "nginx:1.25", &json!({}))).unwrap();
    let watching = Watching::start(&cluster, &Scope::Namespaces(vec!["shop".into()]));
    watching.filled().await;
    assert_eq!(policy(&watching.watches, &id("web")).as_deref(), Some("patch"));
    assert_eq!(cluster.requests("GET", "/api/v1/namespaces/shop"), 1);
    assert_eq!(cluster.requests("GET", "/api/v1/namespaces?"), 0);
}

/// What Namespaces say is not known then, which stops nothing. A server that has just started forbids everything for a moment: so it counts
/// only when the workloads were let be listed before it.
#[tokio::test]
async fn namespaces_that_may_not_be_read_say_nothing_and_that_is_told() {
    for scope in [Scope::All, Scope::Namespaces(vec!["shop".into()])] {
        let cluster = Cluster::start().await;
        says(&cluster, "shop", &json!({"skeg.dev/policy": "patch"}));
        cluster.kube.apply(deployment("web", "nginx:1.25", &json!({}))).unwrap();
        cluster.kube.apply(deployment("own", "nginx:1.25", &managed())).unwrap();
        let path = if scope == Scope::All { "/api/v1/namespaces?" } else { "/api/v1/namespaces/shop" };
        cluster.kube.fail_next(Matcher::any().path(path), Fault::Status(403, None), u32::MAX);
        let watching = Watching::start(&cluster, &scope);
        watching.filled().await;
        assert_eq!((watching.watches.all().len(), policy(&watching.watches, &id("own")).as_deref()), (1, Some("minor")));
        let states = watching.watches.states();
        assert!(states[1].trouble.as_ref().is_some_and(|trouble| trouble.refused) && !states[1].filled, "{states:?}");
        assert_eq!((watching.watches.gone(), cluster.requests("GET", path)), (None, 2), "asked again once the workloads were listed");
    }
}

#[tokio::test]
async fn a_refusal_at_the_start_that_passes_is_none() {
    let cluster = Cluster::start().await;
    says(&cluster, "shop", &json!({"skeg.dev/policy": "patch"}));
    cluster.kube.apply(deployment("web", "nginx:1.25", &json!({}))).unwrap();
    cluster.kube.fail_next(Matcher::any().path("/api/v1/namespaces?"), Fault::Status(403, None), 1);
    let watching = Watching::start(&cluster, &Scope::All);
    watching.filled().await;
    watching.until(|watches| policy(watches, &id("web")).as_deref() == Some("patch")).await;
    assert_eq!(watching.watches.states()[1].trouble, None);
}

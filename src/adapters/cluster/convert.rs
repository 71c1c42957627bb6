//! Objects of the API server to workloads of the core.

use std::sync::Arc;
use std::time::Duration;

use super::object::WorkloadObject;
use crate::core::directives::{Asked, Defaults, OfNamespace, Subject};
use crate::core::placement::Placement;
use crate::core::update::Mark;
use crate::core::workload::{GitOpsOwner, Pulls, Workload, WorkloadId};

/// The defaults of the directives in a namespace.
pub type DefaultsOf = Arc<dyn Fn(&str) -> Defaults + Send + Sync>;

/// Argo CD's mark on what it manages: the annotation, and the label it uses where it is told to.
const ARGO_CD: [&str; 2] = ["argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance"];
/// The labels that Flux's kustomize and helm controllers leave on what they apply.
const FLUX: [&str; 2] = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];

/// The workload; `None` when nothing asks for anything: neither its annotations and labels nor, beneath, `namespace` and the rules. One with a
/// mistake in them is managed, and held.
pub(super) fn workload(
    id: &WorkloadId,
    object: WorkloadObject,
    namespace: Option<Arc<OfNamespace>>,
    defaults: &DefaultsOf,
) -> Option<Workload> {
    let subject = Subject { id, labels: &object.labels, containers: &object.containers };
    let mut defaults = defaults(&id.namespace).of(namespace, subject);
    if let Some(seconds) = object.progress_deadline_seconds {
        defaults.rollout_timeout = Duration::from_secs(seconds.into());
    }
    let Asked { directives, keel } = Asked::read(&object.labels, &object.annotations, &object.containers, defaults)?;
    Some(Workload {
        id: id.clone(),
        uid: object.uid(),
        directives,
        mark: object.mark().and_then(Mark::parse),
        owner: owner(&object),
        keel: keel.map(Arc::new),
        containers: object.containers,
        pulls: (object.pulls != Pulls::default()).then(|| Arc::new(object.pulls)),
        placement: (object.placement != Placement::default()).then(|| Arc::new(object.placement)),
    })
}

/// The controller that brings the object into line with Git, by the marks it leaves.
///
/// `app.kubernetes.io/instance` is not among them: Argo CD uses it where nothing else is configured, and so does every Helm chart.
fn owner(object: &WorkloadObject) -> Option<GitOpsOwner> {
    let has = |keys: [&str; 2]| keys.iter().any(|key| object.annotations.contains_key(*key) || object.labels.contains_key(*key));
    if has(ARGO_CD) {
        Some(GitOpsOwner::ArgoCd)
    } else if has(FLUX) {
        Some(GitOpsOwner::Flux)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::workload::WorkloadKind;

    fn converted(metadata: &Value, progress_deadline: Option<u32>) -> Option<Workload> {
        let mut object = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1.25"}]}}},
        });
        for (field, value) in metadata.as_object().unwrap() {
            object["metadata"][field] = value.clone();
        }
        if let Some(seconds) = progress_deadline {
            object["spec"]["progressDeadlineSeconds"] = seconds.into();
        }
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let defaults: DefaultsOf = Arc::new(|namespace| Defaults { approvals: u32::from(namespace == "shop"), ..Defaults::default() });
        workload(&id, serde_json::from_value(object).unwrap(), None, &defaults)
    }

    fn managed(annotations: &Value) -> Workload {
        let mut annotations = annotations.clone();
        annotations["skeg.dev/policy"] = "minor".into();
        converted(&json!({"annotations": annotations}), None).unwrap()
    }

    #[test]
    fn a_workload_without_directives_is_not_managed_even_with_a_mark() {
        for metadata in [json!({}), json!({"annotations": {"skeg.dev/last-update": "web-0123456789 0"}})] {
            assert_eq!(converted(&metadata, None), None);
        }
    }

    #[test]
    fn keels_keys_are_read_where_skeg_has_none() {
        let policy = |workload: &Workload| {
            let directives = workload.directives.as_ref().unwrap();
            directives.selection_of(&workload.containers[0]).unwrap().policy.to_string()
        };
        for place in ["annotations", "labels"] {
            let workload = converted(&json!({place: {"keel.sh/policy": "minor"}}), None).unwrap();
            assert_eq!((policy(&workload), workload.keel.as_ref().unwrap().is_observed), ("keel:minor".to_owned(), true), "{place}");
        }
        let both = converted(&json!({"labels": {"keel.sh/policy": "major"}, "annotations": {"skeg.dev/policy": "patch"}}), None).unwrap();
        assert_eq!((policy(&both), &both.keel), ("patch".to_owned(), &None));
        let beside = converted(&json!({"labels": {"keel.sh/policy": "major"}, "annotations": {"skeg.dev/approvals": "1"}}), None).unwrap();
        assert_eq!((policy(&beside), beside.directives.as_ref().unwrap().rules.approvals), ("keel:major".to_owned(), 1));
    }

    /// The policy of `web` where its Namespace says one, and the approvals, with these keys of its own.
    fn beneath(annotations: &Value) -> Option<(String, u32)> {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1.25"}]}}},
        });
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let said = [("skeg.dev/policy", "patch"), ("skeg.dev/approvals", "2")];
        let namespace = OfNamespace::read("shop", said, &Defaults::default()).map(Arc::new);
        let defaults: DefaultsOf = Arc::new(|_| Defaults::default());
        let workload = workload(&id, serde_json::from_value(object).unwrap(), namespace, &defaults)?;
        let directives = workload.directives.unwrap();
        Some((directives.selection_of(&workload.containers[0]).unwrap().policy.to_string(), directives.rules.approvals))
    }

    #[test]
    fn a_namespace_opts_in_and_leaves_keels_keys_their_policy() {
        assert_eq!(beneath(&json!({})), Some(("patch".to_owned(), 2)));
        assert_eq!(beneath(&json!({"keel.sh/policy": "minor"})), Some(("keel:minor".to_owned(), 2)));
        assert_eq!(beneath(&json!({"keel.sh/policy": "never"})), None);
        assert_eq!(beneath(&json!({"keel.sh/policy": "minor", "skeg.dev/policy": "major"})), Some(("major".to_owned(), 2)));
    }

    #[test]
    fn what_keel_ignores_on_purpose_is_not_managed_and_what_it_ignores_by_mistake_is_held() {
        let of = |key: &str, value: &str| converted(&json!({"annotations": {key: value}}), None);
        for (key, value) in [("keel.sh/policy", "never"), ("keel.sh/policy", ""), ("keel.sh/trigger", "poll")] {
            assert_eq!(of(key, value), None, "{key}: {value}");
        }
        assert_eq!(&*of("keel.observer/policy", "Minor").unwrap().directives.unwrap_err()[0].key, "keel.observer/policy");
        let told = converted(&json!({"annotations": {"keel.sh/policy": "all", "keel.sh/polcy": "all"}}), None).unwrap();
        assert_eq!((told.directives.is_ok(), &*told.keel.unwrap().warnings[0].key), (true, "keel.sh/polcy"));
    }

    #[test]
    fn a_workload_with_a_mistake_is_managed_and_says_what_is_wrong() {
        let workload = converted(&json!({"annotations": {"skeg.dev/policy": "nonsense("}}), None).unwrap();
        let errors = workload.directives.unwrap_err();
        assert_eq!(&*errors[0].key, "skeg.dev/policy");
    }

    #[test]
    fn directives_start_from_the_defaults_of_the_namespace_and_the_workloads_own_progress_deadline() {
        let rules = |deadline| {
            converted(&json!({"annotations": {"skeg.dev/policy": "minor"}}), deadline).unwrap().directives.unwrap().rules.clone()
        };
        assert_eq!((rules(None).approvals, rules(None).rollout_timeout), (1, Duration::from_mins(10)));
        assert_eq!(rules(Some(90)).rollout_timeout, Duration::from_secs(90));
    }

    #[test]
    fn the_mark_is_read_and_a_foreign_text_is_none() {
        assert_eq!(managed(&json!({"skeg.dev/last-update": "web-0123456789 3"})).mark.unwrap().epoch, 3);
        assert_eq!(managed(&json!({"skeg.dev/last-update": "mine"})).mark, None);
    }

    #[track_caller]
    fn check_owner(kept_in: &str, key: &str, owner: Option<GitOpsOwner>) {
        let mut metadata = json!({"annotations": {"skeg.dev/policy": "minor"}, "labels": {}});
        metadata[kept_in][key] = "apps".into();
        assert_eq!(converted(&metadata, None).unwrap().owner, owner, "{kept_in} {key}");
    }

    #[test]
    fn a_gitops_controller_is_known_by_the_marks_it_leaves() {
        check_owner("annotations", "argocd.argoproj.io/tracking-id", Some(GitOpsOwner::ArgoCd));
        check_owner("labels", "argocd.argoproj.io/instance", Some(GitOpsOwner::ArgoCd));
        check_owner("labels", "kustomize.toolkit.fluxcd.io/name", Some(GitOpsOwner::Flux));
        check_owner("labels", "helm.toolkit.fluxcd.io/name", Some(GitOpsOwner::Flux));
        check_owner("labels", "app.kubernetes.io/instance", None);
        check_owner("annotations", "argocd.argoproj.io/sync-wave", None);
    }
}

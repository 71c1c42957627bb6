//! What a pod template says of the nodes for its pods, as it comes from the API server.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::core::placement::{Demand, Operator, Placement, Term};

/// `affinity`, as far as it keeps pods from nodes.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SentAffinity {
    node_affinity: Option<SentNodeAffinity>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SentNodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<SentTerms>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SentTerms {
    node_selector_terms: Option<Vec<SentTerm>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SentTerm {
    match_expressions: Option<Vec<SentDemand>>,
    match_fields: Option<Vec<SentDemand>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SentDemand {
    key: Box<str>,
    operator: Box<str>,
    values: Option<Vec<Box<str>>>,
}

/// Selector and affinity as placement looks at them.
pub(super) fn placement(selector: Option<BTreeMap<Box<str>, Box<str>>>, affinity: Option<SentAffinity>) -> Placement {
    let required = affinity.and_then(|affinity| affinity.node_affinity?.required);
    let terms = required.map(|terms| terms.node_selector_terms.unwrap_or_default().into_iter().map(Term::from).collect());
    Placement { selector: selector.unwrap_or_default().into_iter().collect(), terms }
}

impl From<SentTerm> for Term {
    fn from(sent: SentTerm) -> Self {
        let demands = |sent: Option<Vec<SentDemand>>| sent.unwrap_or_default().into_iter().map(Demand::from).collect();
        Self { labels: demands(sent.match_expressions), fields: demands(sent.match_fields) }
    }
}

impl From<SentDemand> for Demand {
    fn from(sent: SentDemand) -> Self {
        Self { key: sent.key, operator: Operator::of(&sent.operator), values: sent.values.unwrap_or_default().into() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(pod: Value) -> Placement {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Pod {
            node_selector: Option<BTreeMap<Box<str>, Box<str>>>,
            affinity: Option<SentAffinity>,
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        placement(pod.node_selector, pod.affinity)
    }

    #[test]
    fn selector_and_required_terms_are_read_and_what_is_preferred_is_not() {
        let required = json!({"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a", "b"]}, {"key": "spot", "operator": "Exists"}]},
            {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]},
            {},
        ]});
        let affinity = json!({
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": required,
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}],
            },
            "podAntiAffinity": {},
        });
        let demand = |key: &str, operator, values: &[&str]| Demand {
            key: key.into(),
            operator,
            values: values.iter().map(|value| (*value).into()).collect(),
        };
        let terms = [
            Term { labels: [demand("pool", Operator::In, &["a", "b"]), demand("spot", Operator::Exists, &[])].into(), fields: [].into() },
            Term { labels: [].into(), fields: [demand("metadata.name", Operator::NotIn, &["n1"])].into() },
            Term::default(),
        ];
        let expected = Placement { selector: [("disk".into(), "ssd".into())].into(), terms: Some(terms.into()) };
        assert_eq!(read(json!({"nodeSelector": {"disk": "ssd"}, "affinity": affinity})), expected);
    }

    #[test]
    fn a_template_that_says_nothing_is_the_default() {
        for nothing in [
            json!({}),
            json!({"nodeSelector": null, "affinity": null}),
            json!({"nodeSelector": {}, "affinity": {}}),
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}}),
        ] {
            assert_eq!(read(nothing), Placement::default());
        }
    }
}

//! Who says what where several do: the workload, its Namespace, the rules.

use std::collections::BTreeMap;

use super::super::*;
use crate::core::directives::Told;
use crate::core::workload::{WorkloadId, WorkloadKind};

const WEB: &str = "app";

/// What each layer says, closest first, written `key=value` without prefix.
#[derive(Default)]
struct Layers<'a> {
    workload: &'a [&'a str],
    namespace: &'a [&'a str],
    rules: Vec<Rule>,
    containers: &'a [&'a str],
}

fn pairs(texts: &[&str]) -> Vec<(String, String)> {
    let pair = |text: &&str| text.split_once('=').map(|(key, value)| (format!("{PREFIX}{key}"), value.to_owned())).unwrap();
    texts.iter().map(pair).collect()
}

fn annotations(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// A rule, named by its place, that says this.
fn rule(place: &str, selector: Selector, directives: &[&str], enforced: bool) -> Rule {
    let said = directives
        .iter()
        .map(|text| text.split_once('=').unwrap())
        .map(|(key, value)| Said::of_rule(key, value, &["infra".into()], enforced));
    Rule::new(place, selector, said.collect::<Result<_, _>>().unwrap(), enforced)
}

fn default(place: &str, directives: &[&str]) -> Rule {
    rule(place, Selector::default(), directives, false)
}

fn bound(place: &str, directives: &[&str]) -> Rule {
    rule(place, Selector::default(), directives, true)
}

fn of_containers(names: &[&str]) -> Selector {
    Selector { containers: names.iter().map(|name| Glob::name(name).unwrap()).collect(), ..Selector::default() }
}

impl Layers<'_> {
    fn containers(&self) -> Vec<Container> {
        let names = if self.containers.is_empty() { &[WEB][..] } else { self.containers };
        let container = |name: &&str| {
            let (name, init) = name.strip_prefix("init:").map_or((*name, false), |name| (name, true));
            Container { name: name.into(), image: format!("acme/{name}:1.0.0").into(), init }
        };
        names.iter().map(container).collect()
    }

    fn defaults(&self) -> Defaults {
        let approvers = Approver::parse("user:config").into_iter().collect();
        let rules = self.rules.iter().cloned().map(Arc::new).collect();
        let defaults = Defaults { approvers, rules, ..Defaults::default() };
        let said = pairs(self.namespace);
        let namespace = OfNamespace::read("shop", annotations(&said), &defaults).map(Arc::new);
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let (labels, containers) = (BTreeMap::new(), self.containers());
        defaults.of(namespace, Subject { id: &id, labels: &labels, containers: &containers })
    }

    fn read(&self) -> Result<Option<Arc<Directives>>, Vec<DirectiveError>> {
        let (own, containers, defaults) = (pairs(self.workload), self.containers(), self.defaults());
        parse(annotations(&own), &containers, &defaults)
    }

    /// `name value (origin)` of what is told of a container and of the whole.
    #[track_caller]
    fn told(&self, container: &str) -> Vec<String> {
        let directives = self.read().unwrap_or_else(|errors| panic!("{errors:?}")).expect("it is managed");
        let container = self.containers().into_iter().find(|one| *one.name == *container).unwrap();
        let all = directives.told_policy(&container).into_iter();
        let all = all.chain(directives.told_of(&container, Duration::from_mins(5))).chain(directives.told());
        all.map(|Told { name, value, origin }| format!("{name} {value} ({origin})")).collect()
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        self.check_of(self.containers.first().unwrap_or(&WEB), expected);
    }

    #[track_caller]
    fn check_of(&self, container: &str, expected: &[&str]) {
        let told = self.told(container);
        for line in expected {
            assert!(told.iter().any(|found| found == line), "{line} is not in {told:#?}");
        }
    }

    #[track_caller]
    fn check_errors(&self, expected: &[&str]) {
        let errors: Vec<String> = self.read().expect_err("it is held").iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected);
    }
}

#[test]
fn the_closest_to_the_workload_says_it() {
    let values = [
        ("policy", ["patch", "minor", "major"]),
        ("allow-tags", ["glob:1.*", "glob:2.*", "glob:3.*"]),
        ("ignore-tags", ["glob:1.*", "glob:2.*", "glob:3.*"]),
        ("prerelease", ["yes", "no", "same"]),
        ("trigger", ["poll", "webhook", "any"]),
        ("poll", ["1m", "2m", "3m"]),
        ("pin", ["digest", "tag", "digest"]),
        ("init-containers", ["true", "false", "true"]),
        ("approvals", ["1", "2", "3"]),
        ("approvers", ["user:a", "user:b", "user:c"]),
        ("approval-deadline", ["1h", "2h", "3h"]),
        ("approval-valid", ["1h", "2h", "3h"]),
        ("rollback", ["off", "auto", "off"]),
        ("rollout-timeout", ["1m", "2m", "3m"]),
        ("pause", ["true", "false", "true"]),
    ];
    for (key, [own, of_namespace, of_rule]) in values {
        let written = |value: &str| {
            if key == "policy" { vec![format!("{key}={value}")] } else { vec!["policy=all".into(), format!("{key}={value}")] }
        };
        let (own_said, namespace_said) = (written(own), written(of_namespace));
        let texts = |said: &[String]| said.iter().map(|text| &*Box::leak(text.clone().into_boxed_str())).collect::<Vec<&'static str>>();
        let (own_said, namespace_said, rule_said) = (texts(&own_said), texts(&namespace_said), texts(&written(of_rule)));
        let check = |workload: &[&str], namespace: &[&str], expected: String| {
            let rules = vec![default("first", &rule_said), default("second", &["policy=never", "approvals=9", "pin=tag"])];
            Layers { workload, namespace, rules, ..Layers::default() }.check(&[&expected]);
        };
        check(&own_said, &namespace_said, format!("{key} {own} (annotation skeg.dev/{key})"));
        check(&own_said[..own_said.len() - 1], &namespace_said, format!("{key} {of_namespace} (namespace skeg.dev/{key})"));
        check(&own_said[..own_said.len() - 1], &[], format!("{key} {of_rule} (rule first)"));
    }
}

#[test]
fn a_container_key_counts_before_others_of_its_layer_and_not_before_a_closer_layer() {
    let containers = &["app", "proxy"][..];
    let both = Layers {
        workload: &["policy=minor", "policy.app=patch"],
        namespace: &["policy.proxy=never", "prerelease.app=yes", "prerelease=no"],
        containers,
        ..Layers::default()
    };
    both.check_of("app", &["policy patch (annotation skeg.dev/policy.app)", "prerelease yes (namespace skeg.dev/prerelease.app)"]);
    both.check_of("proxy", &["policy minor (annotation skeg.dev/policy)", "prerelease no (namespace skeg.dev/prerelease)"]);
    let beneath = Layers {
        workload: &["approvals=1"],
        namespace: &["policy=minor", "policy.proxy=never", "policy.sidecar=never"],
        rules: vec![rule("proxies", of_containers(&["proxy"]), &["policy=all", "poll=1m"], false)],
        containers,
    };
    beneath.check_of("app", &["policy minor (namespace skeg.dev/policy)", "poll 5m (default)"]);
    beneath.check_of("proxy", &["policy never (namespace skeg.dev/policy.proxy)", "poll 1m (rule proxies)"]);
}

#[test]
fn a_policy_beneath_opts_a_workload_in_and_never_opts_it_out() {
    let of_rule = || vec![default("all", &["policy=minor"])];
    Layers { rules: of_rule(), ..Layers::default() }.check(&["policy minor (rule all)"]);
    Layers { namespace: &["policy=patch"], rules: of_rule(), ..Layers::default() }.check(&["policy patch (namespace skeg.dev/policy)"]);
    Layers { workload: &["policy=never"], rules: of_rule(), ..Layers::default() }.check(&["policy never (annotation skeg.dev/policy)"]);
    Layers { workload: &["approvals=1"], rules: of_rule(), ..Layers::default() }.check(&["policy minor (rule all)"]);
    let without = Layers { namespace: &["approvals=1"], rules: vec![default("all", &["trigger=poll"])], ..Layers::default() };
    assert_eq!(without.read(), Ok(None), "defaults without a policy ask for nothing");
    let other = Layers { rules: vec![rule("proxies", of_containers(&["proxy"]), &["policy=minor"], false)], ..Layers::default() };
    assert_eq!(other.read(), Ok(None), "the rule speaks for no container of it");
}

#[test]
fn a_rule_by_containers_manages_those_and_no_other() {
    let only = Layers {
        rules: vec![rule("apps", of_containers(&["app"]), &["policy=minor", "approvals=2"], false)],
        containers: &["app", "proxy", "init:migrate"],
        ..Layers::default()
    };
    only.check_of("app", &["policy minor (rule apps)", "approvals 2 (rule apps)", "pin digest (default)"]);
    assert!(!only.told("proxy").iter().any(|line| line.starts_with("policy")));
    let init = |extra: &'static [&'static str]| Layers {
        workload: extra,
        rules: vec![rule("all", of_containers(&["*"]), &["policy=minor"], false)],
        containers: &["app", "init:migrate"],
        ..Layers::default()
    };
    assert!(!init(&[]).told("migrate").iter().any(|line| line.starts_with("policy")), "an init container is not asked for by a rule");
    init(&["init-containers=true"]).check_of("migrate", &["policy minor (rule all)"]);
}

/// They would be kept once for each name otherwise.
#[test]
fn what_is_said_for_the_only_container_is_the_same_whatever_it_is_called() {
    let of = |name: &'static [&'static str]| {
        let rules =
            vec![rule("apps", of_containers(&["*"]), &["policy=minor"], false), rule("old", of_containers(&["*"]), &["approvals=1"], true)];
        Layers { rules, containers: name, ..Layers::default() }.read().unwrap()
    };
    assert_eq!(of(&["app"]), of(&["web"]));
}

#[test]
fn a_bound_raises_the_votes_and_says_so() {
    let at_least =
        |workload: &'static [&'static str]| Layers { workload, rules: vec![bound("prod", &["approvals=2"])], ..Layers::default() };
    at_least(&["policy=minor"]).check(&["approvals 2 (rule prod)", "pin digest (default)"]);
    at_least(&["policy=minor", "approvals=0"]).check(&["approvals 2 (bound prod)", "pin digest (default)"]);
    at_least(&["policy=minor", "approvals=3"]).check(&["approvals 3 (annotation skeg.dev/approvals)"]);
    assert_eq!(at_least(&[]).read(), Ok(None), "a bound opts nobody in");
    let several = vec![default("less", &["approvals=1"]), bound("two", &["approvals=2"]), bound("three", &["approvals=3"])];
    Layers { workload: &["policy=minor"], namespace: &["approvals=0"], rules: several, ..Layers::default() }
        .check(&["approvals 3 (bound three)"]);
}

#[test]
fn a_bound_leaves_only_approvers_whom_it_names() {
    let within = |workload: &'static [&'static str]| Layers {
        workload,
        rules: vec![bound("prod", &["approvers=user:a;user:b"])],
        ..Layers::default()
    };
    within(&["policy=minor"]).check(&["approvers user:a; user:b (rule prod)"]);
    within(&["policy=minor", "approvers=user:b;user:c"]).check(&["approvers user:b (bound prod)"]);
    within(&["policy=minor", "approvers=user:b"]).check(&["approvers user:b (annotation skeg.dev/approvers)"]);
    let nobody = within(&["policy=minor", "approvals=1", "approvers=user:c"]);
    nobody.check(&["approvers nobody: none of those who are named may vote by this rule (bound prod)"]);
    assert_eq!(nobody.read().unwrap().unwrap().rules.approvers, []);
    let two = vec![bound("one", &["approvers=user:a;user:b"]), bound("two", &["approvers=user:b;user:c"])];
    Layers { workload: &["policy=minor"], rules: two, ..Layers::default() }.check(&["approvers user:b (bound two)"]);
}

#[test]
fn a_bound_raises_the_least_age_of_the_containers_that_it_speaks_for() {
    let apps = || rule("apps", of_containers(&["app"]), &["min-age=3h"], true);
    let rules = vec![bound("all", &["min-age=1h"]), apps(), bound("less", &["min-age=2h"])];
    let layers = Layers { workload: &["policy=minor", "min-age=30m"], rules, containers: &["app", "proxy"], ..Layers::default() };
    layers.check_of("app", &["min-age 3h (bound apps)"]);
    layers.check_of("proxy", &["min-age 2h (bound less)"]);
    Layers { workload: &["policy=minor", "min-age=30m"], rules: vec![apps()], ..Layers::default() }.check(&["min-age 3h (bound apps)"]);
}

#[test]
fn a_bound_of_no_age_at_all_is_none_beneath_keel_too() {
    let layers = Layers { workload: &["policy=minor"], rules: vec![bound("all", &["min-age=0s"])], ..Layers::default() };
    let directives = layers.read().unwrap().unwrap();
    assert_eq!(directives.selection_of(&layers.containers()[0]).unwrap().filter.min_age, None);
    let Ok(Beneath { min_age, .. }) = beneath_keel([], &layers.containers(), &layers.defaults(), None, None) else {
        panic!("it is in order")
    };
    assert_eq!(min_age, [None]);
}

#[test]
fn a_mistake_on_the_namespace_holds_its_managed_workloads_and_names_it() {
    let wrong = &["polcy=minor", "approvals=two"][..];
    let expected = [
        "Namespace shop: skeg.dev/approvals: `two` is not a whole number from 0 to 100",
        "Namespace shop: skeg.dev/polcy: there is no such directive, did you mean skeg.dev/policy?",
    ];
    Layers { workload: &["policy=minor", "approvals=1"], namespace: wrong, ..Layers::default() }.check_errors(&expected);
    Layers { namespace: wrong, rules: vec![default("all", &["policy=minor"])], ..Layers::default() }.check_errors(&expected);
    assert_eq!(Layers { namespace: wrong, ..Layers::default() }.read(), Ok(None), "who asks for nothing is not held");
    let unreadable = Layers { namespace: &["policy=minr"], ..Layers::default() }.read().expect_err("it opts in all the same");
    assert!(unreadable.len() == 1 && unreadable[0].to_string().contains("did you mean `minor`?"), "{unreadable:?}");
}

#[test]
fn what_does_not_fit_the_workload_is_told_with_the_layer_that_says_it() {
    let pins = Layers { workload: &["policy=digest"], namespace: &["pin=tag"], ..Layers::default() };
    pins.check_errors(&["Namespace shop: skeg.dev/pin: policy `digest` needs pin `digest`: without it the image would never change"]);
    let git = Layers { workload: &["policy=minor"], rules: vec![default("fleet", &["git=infra"])], ..Layers::default() };
    git.check_errors(&["rule fleet: git: no Git remote `infra` is granted to this namespace"]);
}

#[test]
fn keels_keys_say_how_tags_are_chosen_and_what_is_beneath_says_the_rest() {
    let layers = Layers {
        namespace: &[
            "policy=patch",
            "approvals=1",
            "approvers=user:ns;user:a",
            "rollback=off",
            "ignore-tags=glob:*",
            "poll=1h",
            "trigger=webhook",
        ],
        rules: vec![bound("prod", &["approvals=2", "approvers=user:a;user:b"])],
        ..Layers::default()
    };
    let read = |keys: &[(&str, &str)]| {
        let annotations = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let keel = crate::core::directives::keel::parse(&BTreeMap::new(), &annotations, &jiff::tz::TimeZone::UTC).unwrap();
        let mut defaults = layers.defaults();
        defaults.below = defaults.below.for_keel();
        keel.directives([], &layers.containers(), &defaults).unwrap().unwrap()
    };
    let lines = |directives: &Directives| {
        let container = &layers.containers()[0];
        let all = directives
            .told_policy(container)
            .into_iter()
            .chain(directives.told_of(container, Duration::from_mins(5)))
            .chain(directives.told());
        all.map(|Told { name, value, origin }| format!("{name} {value} ({origin})")).collect::<Vec<_>>()
    };
    let unaged = Layers { rules: vec![bound("none", &["min-age=0s"])], ..Layers::default() };
    let annotations = BTreeMap::from([("keel.sh/policy".to_owned(), "minor".to_owned())]);
    let keel = crate::core::directives::keel::parse(&BTreeMap::new(), &annotations, &jiff::tz::TimeZone::UTC).unwrap();
    let directives = keel.directives([], &unaged.containers(), &unaged.defaults()).unwrap().unwrap();
    assert_eq!(directives.selection_of(&unaged.containers()[0]).unwrap().filter.min_age, None, "no time is no age");
    let told = lines(&read(&[("keel.sh/policy", "minor")]));
    for line in [
        "policy keel:minor (annotation keel.sh/policy)",
        "approvals 2 (bound prod)",
        "approvers user:a (bound prod)",
        "rollback off (namespace skeg.dev/rollback)",
    ] {
        assert!(told.iter().any(|found| found == line), "{line} is not in {told:#?}");
    }
    assert!(!told.iter().any(|line| line.starts_with("ignore-tags")), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("skeg.dev/poll") || line.contains("skeg.dev/trigger")), "{told:#?}");
    let told = lines(&read(&[("keel.sh/policy", "minor"), ("keel.sh/approvals", "3")]));
    assert!(told.iter().any(|line| line == "approvals 3 (annotation keel.sh/approvals)"), "{told:#?}");
}

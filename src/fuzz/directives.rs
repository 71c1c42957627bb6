//! `skeg.dev/` annotations: one that is wrong holds the workload, and what is told of the others means the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Target, assert_told_well, text};
use crate::core::directives::skeg::{PREFIX, parse};
use crate::core::directives::{Defaults, Directives, Rules, Told};
use crate::core::image::Pin;
use crate::core::update::Mark;
use crate::core::workload::Container;

pub const TARGET: Target = Target {
    pieces: &[
        "=",
        "\n",
        ".",
        ".api",
        ".proxy",
        ".migrate",
        ";",
        ":",
        " ",
        "policy",
        "policy=semver:^1",
        "policy=digest",
        "policy=minor",
        "allow-tags=glob:1.*",
        "ignore-tags=regexp:-dev$",
        "prerelease=yes",
        "init-containers=true",
        "trigger=webhook",
        "poll=5m",
        "poll=0 3 * * * Europe/Berlin",
        "approvals=2",
        "approvers=user:a; group:b",
        "slack-channel",
        "approval-deadline=2h",
        "approval-valid=30d",
        "pin=tag",
        "pin=digest",
        "apply=patch",
        "write-back=off",
        "git=infra:apps",
        "rollback=off",
        "rollout-timeout=90s",
        "pause=true",
        "last-update=web-1 3",
        "keel.sh/policy=minor",
        "min-age=2h",
        "window=",
        "signed-by=x",
        "true",
        "false",
        "0s",
        "100d",
    ],
    check,
    expected: &["not managed", "managed", "held"],
};

/// Each line is `key=value`; a key without a slash is one of skeg's.
pub(super) fn annotations(text: &str) -> BTreeMap<String, String> {
    let lines = text.split('\n').filter_map(|line| line.split_once('='));
    lines.map(|(key, value)| (if key.contains('/') { key.to_owned() } else { format!("{PREFIX}{key}") }, value.to_owned())).collect()
}

pub(super) fn containers() -> Vec<Container> {
    [("migrate", true), ("api", false), ("proxy", false)]
        .map(|(name, init)| Container { name: name.into(), image: "app:1.0.0".into(), init })
        .into()
}

pub(super) fn defaults() -> Defaults {
    Defaults { git_remotes: vec!["infra".into(), "shop".into()], acts_on_keel: true, ..Defaults::default() }
}

fn check(input: &[u8]) -> String {
    let annotations = annotations(&text(input));
    let read = |annotations: &BTreeMap<String, String>| {
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        parse(pairs, &containers(), &defaults())
    };
    let found = read(&annotations);
    // Of skeg's own there are none but its mark: not managed. Otherwise they are taken or told.
    let is_own = |key: &String| key.starts_with(PREFIX) && key != Mark::KEY;
    assert_eq!(found == Ok(None), !annotations.keys().any(is_own));
    // Other people's annotations mean nothing.
    let own: BTreeMap<String, String> = annotations.clone().into_iter().filter(|(key, _)| is_own(key)).collect();
    assert_eq!(read(&own), found);
    let with = |key: &str, value: &str| {
        let mut more = annotations.clone();
        more.insert(key.to_owned(), value.to_owned());
        read(&more)
    };
    assert_eq!(with("example.com/policy", "minor"), found);
    // One more that is wrong holds the workload, whatever the others say.
    let errors = with("skeg.dev/polici", "minor").expect_err("an unknown key");
    assert!(errors.len() > 100 || errors.iter().any(|error| &*error.key == "skeg.dev/polici"), "{errors:?}");
    match found {
        Err(errors) => {
            assert!((1..=101).contains(&errors.len()), "{} mistakes", errors.len());
            for error in errors {
                assert_told_well(&error.to_string());
                assert!(error.key.starts_with(PREFIX), "{error}");
            }
            "held"
        }
        Ok(Some(directives)) => {
            let told = told(&directives);
            let again = read(&told).unwrap_or_else(|errors| panic!("what is told is not read: {errors:?}\n{told:?}")).expect("managed");
            assert_eq!(self::told(&again), told, "what is told means the same");
            // Each container says how its image is written.
            let rules = |directives: &Directives| Rules { pin: Pin::Tag, ..directives.rules.clone() };
            assert_eq!(rules(&again), rules(&directives));
            "managed"
        }
        Ok(None) => "not managed",
    }
    .to_owned()
}

/// What people are told of the directives, as annotations.
fn told(directives: &Directives) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let mut note = |told: Told, container: Option<&str>| {
        assert_told_well(&told.value);
        assert_told_well(&told.origin.to_string());
        let end = container.map(|name| format!(".{name}")).unwrap_or_default();
        annotations.insert(format!("{PREFIX}{}{end}", told.name), told.value);
    };
    for container in containers() {
        let name = Some(&*container.name);
        directives.told_policy(&container).into_iter().for_each(|told| note(told, name));
        directives.told_of(&container, Duration::from_mins(5)).into_iter().for_each(|told| note(told, name));
    }
    // Several places in Git cannot be written: they are what is granted.
    let is_written = |told: &Told| told.name != "git" || directives.rules.write_back.len() == 1;
    directives.told().into_iter().filter(is_written).for_each(|told| note(told, None));
    annotations
}

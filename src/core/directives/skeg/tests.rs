mod layers;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::core::cron::Cron;
use crate::core::directives::Approver;

fn container(name: &str, init: bool) -> Container {
    Container { name: name.into(), image: "app:1.0.0".into(), init }
}

fn containers() -> Vec<Container> {
    vec![container("migrate", true), container("api", false), container("proxy", false)]
}

fn defaults() -> Defaults {
    Defaults { git_remotes: vec!["infra".into(), "shop".into()], ..Defaults::default() }
}

/// Annotations are written `key=value`, the key without prefix.
fn read(annotations: &[&str]) -> Result<Option<Directives>, Vec<DirectiveError>> {
    let named: Vec<_> =
        annotations.iter().map(|text| text.split_once('=').unwrap()).map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect();
    let read = parse(named.iter().map(|(key, value)| (key.as_str(), *value)), &containers(), &defaults())?;
    Ok(read.map(Arc::unwrap_or_clone))
}

#[track_caller]
fn good(annotations: &[&str]) -> Directives {
    read(annotations).unwrap_or_else(|errors| panic!("{annotations:?}: {errors:?}")).unwrap()
}

#[track_caller]
fn check_errors(annotations: &[&str], expected: &[&str]) {
    let found: Vec<_> = match read(annotations) {
        Err(errors) => errors.iter().map(|error| error.to_string().replace(PREFIX, "")).collect(),
        Ok(read) => panic!("{annotations:?} was taken: {read:?}"),
    };
    assert_eq!(found, expected, "{annotations:?}");
}

/// One annotation beside a good policy, and the one mistake in it.
#[track_caller]
fn check_error(annotation: &str, expected: &str) {
    check_errors(&["policy=minor", annotation], &[expected]);
}

#[test]
fn a_workload_without_directives_is_not_managed() {
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&["last-update=web-1 3"]), Ok(None));
    assert_eq!(parse([("keel.sh/policy", "minor"), ("skeg.development/x", ""), ("skeg.dev", "")], &containers(), &defaults()), Ok(None));
}

#[test]
fn a_policy_alone_takes_every_default() {
    let directives = good(&["policy=semver:^1"]);
    let selection = directives.selection.clone().unwrap();
    assert_eq!((selection.policy.as_str(), selection.prerelease, selection.pin), ("semver:^1", None, Pin::Tag));
    assert_eq!(selection.filter, Filter::default());
    assert_eq!((directives.by_container.len(), directives.watch_by_container.len()), (0, 0));
    assert_eq!(
        (directives.init_containers, directives.trigger, directives.poll.clone(), directives.pause),
        (false, TriggerKind::Any, None, false)
    );
    let rules = directives.rules;
    assert_eq!((rules.approvals, rules.approvers.len(), rules.rollback, rules.pin), (0, 0, true, Pin::Tag));
    assert_eq!((rules.approval_deadline, rules.approval_valid), (Duration::from_hours(24), Duration::from_hours(72)));
    assert_eq!(rules.rollout_timeout, Duration::from_mins(10));
    let places: Vec<_> = rules.write_back.iter().map(|place| (&*place.remote, place.path.as_deref())).collect();
    assert_eq!(places, [("infra", None), ("shop", None)]);
}

#[test]
fn every_directive_is_honoured() {
    let directives = good(&[
        "policy= minor ",
        "allow-tags=glob:1.*",
        "ignore-tags=regexp:-dev$",
        "prerelease=no",
        "init-containers=true",
        "trigger=webhook",
        "poll=1h30m",
        "approvals=2",
        "approvers=user:b; group:a;user:b",
        "approval-deadline=2h",
        "approval-valid=30d",
        "pin=tag",
        "apply=patch",
        "write-back=commit",
        "git=infra:apps/shop/",
        "rollback=off",
        "rollout-timeout=90s",
        "pause=true",
    ]);
    let selection = directives.selection.as_ref().unwrap();
    assert_eq!((selection.policy.as_str(), selection.prerelease, selection.pin), ("minor", Some(Prerelease::No), Pin::Tag));
    assert_eq!(format!("{:?}", selection.filter), "Filter { allow: Some(glob:1.*), ignore: Some(regexp:-dev$), min_age: None }");
    assert_eq!((directives.trigger, directives.poll.clone()), (TriggerKind::Webhook, Some(PollTimes::Every(Duration::from_mins(90)))));
    assert!(directives.init_containers && directives.pause);
    let rules = &directives.rules;
    assert_eq!((rules.approvals, rules.rollback, rules.pin), (2, false, Pin::Tag));
    assert_eq!(rules.approvers.iter().map(Approver::as_str).collect::<Vec<_>>(), ["group:a", "user:b"]);
    assert_eq!((rules.approval_deadline, rules.approval_valid), (Duration::from_hours(2), Duration::from_hours(720)));
    assert_eq!(rules.rollout_timeout, Duration::from_secs(90));
    assert_eq!(rules.write_back, [GitPlace { remote: "infra".into(), path: Some("apps/shop".into()) }]);
}

#[test]
fn polls_are_made_at_an_interval_or_by_the_calendar() {
    let poll = |text: &str| good(&["policy=minor", text]).poll.clone().unwrap();
    assert_eq!(poll("poll=10m"), PollTimes::Every(Duration::from_mins(10)));
    assert_eq!(poll("poll=0 3 * * * Europe/Berlin"), PollTimes::Cron(Cron::parse("0 3 * * * Europe/Berlin").unwrap()));
    assert_eq!(poll("poll=0,30 * * * *"), poll("poll=*/30 * * * * UTC"));
}

#[test]
fn a_container_key_speaks_for_its_container_before_the_workloads() {
    let directives =
        good(&["policy=minor", "policy.api=digest", "allow-tags=glob:1.*", "poll=10m", "trigger.proxy=poll", "prerelease.proxy=yes"]);
    let all = containers();
    let chosen = |name: &str| directives.selection_of(all.iter().find(|container| &*container.name == name).unwrap());
    let (api, proxy) = (chosen("api").unwrap(), chosen("proxy").unwrap());
    assert_eq!((api.policy.as_str(), api.prerelease, api.pin), ("digest", None, Pin::Digest));
    assert_eq!((proxy.policy.as_str(), proxy.prerelease, proxy.pin), ("minor", Some(Prerelease::Yes), Pin::Tag));
    assert!(api.filter.allow.is_some() && api.filter == proxy.filter);
    assert_eq!(chosen("migrate"), None);
    let (common, own) = (directives.watch_of("api"), directives.watch_of("proxy"));
    assert_eq!((common.trigger, own.trigger), (TriggerKind::Any, TriggerKind::Poll));
    assert_eq!((common.poll, own.poll), (Some(PollTimes::Every(Duration::from_mins(10))), Some(PollTimes::Every(Duration::from_mins(10)))));
}

#[test]
fn only_the_containers_with_a_policy_are_managed() {
    let directives = good(&["policy.api=minor", "ignore-tags=glob:*-dev"]);
    let managed: Vec<_> = containers()
        .iter()
        .filter(|container| directives.selection_of(container).is_some())
        .map(|container| container.name.clone())
        .collect();
    assert_eq!(managed, ["api".into()]);
    check_errors(
        &["policy.api=minor", "pin.proxy=tag"],
        &["pin.proxy: container proxy has no policy: set policy.proxy, or policy for all"],
    );
}

#[test]
fn an_init_container_is_managed_when_it_is_asked_for() {
    let init = container("migrate", true);
    assert!(good(&["policy=minor", "init-containers=true"]).selection_of(&init).is_some());
    assert!(good(&["policy=minor", "policy.migrate=patch"]).selection_of(&init).is_some());
    assert!(good(&["policy=minor", "init-containers=false"]).selection_of(&init).is_none());
    let problem = "pin.migrate: migrate is an init container: set init-containers to true, or policy.migrate";
    check_error("pin.migrate=tag", problem);
}

#[test]
fn the_image_is_pinned_by_digest_where_the_digest_is_what_counts() {
    #[track_caller]
    fn check(annotations: &[&str], pin: Pin) {
        let directives = good(annotations);
        assert_eq!((directives.selection.unwrap().pin, directives.rules.pin), (pin, pin), "{annotations:?}");
    }
    check(&["policy=minor"], Pin::Tag);
    check(&["policy=minor", "approvals=0"], Pin::Tag);
    check(&["policy=minor", "approvals=1"], Pin::Digest);
    check(&["policy=minor", "approvals=1", "pin=tag"], Pin::Tag);
    check(&["policy=minor", "pin=digest"], Pin::Digest);
    check(&["policy=digest"], Pin::Digest);
    check(&["policy=digest", "pin=digest"], Pin::Digest);
    let problem = "policy `digest` needs pin `digest`: without it the image would never change";
    check_errors(&["policy=digest", "pin=tag"], &[&format!("pin: {problem}")]);
    check_errors(&["policy=minor", "pin=tag", "policy.api=digest"], &[&format!("pin: {problem}")]);
    check_errors(&["policy=minor", "pin.api=tag", "policy.api=digest"], &[&format!("pin.api: {problem}")]);
}

#[test]
fn a_misspelt_key_is_told_with_the_nearest_one() {
    check_errors(&["polcy=minor"], &["polcy: there is no such directive, did you mean policy?"]);
    check_error("approval=2", "approval: there is no such directive, did you mean approvals?");
    check_error("Poll=5m", "Poll: there is no such directive, did you mean poll?");
    check_error("allow_tags=glob:1", "allow_tags: there is no such directive, did you mean allow-tags?");
    check_error("polcy.api=minor", "polcy.api: there is no such directive, did you mean policy.api?");
    check_error("schedule=5m", "schedule: there is no such directive");
    check_error("=x", ": there is no such directive");
    check_error("policy.apo=minor", "policy.apo: there is no container apo, did you mean api?");
    check_error("policy.=minor", "policy.: there is no container ");
    check_error("approvals.api=1", "approvals.api: speaks for the whole workload: write approvals");
}

#[test]
fn a_directive_of_a_later_version_holds_the_workload() {
    for key in ["window", "promote-from", "promote-soak", "promote-to", "group", "order", "signed-by", "marker", "notify"] {
        check_error(&format!("{key}=x"), &format!("{key}: this version of skeg does not have this directive yet"));
    }
    check_error("apply=git", "apply: this version of skeg does not have `git` yet");
    check_error("write-back=pull-request", "write-back: this version of skeg does not have `pull-request` yet");
    check_errors(&["policy=commit:infra#main"], &["policy: this version of skeg does not have the policy `commit` yet"]);
}

#[test]
fn a_container_may_have_an_age_of_its_own_or_none() {
    let ages = |keys: &[&str]| {
        let directives = good(keys);
        let of_all = directives.selection.as_ref().unwrap().filter.min_age;
        (of_all, directives.by_container.iter().map(|(_, selection)| selection.filter.min_age).collect::<Vec<_>>())
    };
    let hours = |hours| Some(Duration::from_hours(hours));
    assert_eq!(ages(&["policy=minor", "min-age=2h"]), (hours(2), vec![]));
    assert_eq!(ages(&["policy=minor", "min-age=2h", "min-age.api=1d"]), (hours(2), vec![hours(24)]));
    assert_eq!(ages(&["policy=minor", "min-age=2h", "min-age.api=0s"]), (hours(2), vec![None]));
    check_error(
        "min-age=soon",
        "min-age: `soon`: not a duration: expected whole numbers with a unit each, longest unit first, such as 10s, 5m, 1h30m or 30d",
    );
    check_error("min-age=91d", "min-age: `91d` is not between 0s and 90d");
}

#[test]
fn directives_without_a_policy_are_a_mistake() {
    check_errors(&["approvals=2"], &["approvals: does nothing without policy, which says how tags are chosen"]);
}

#[test]
fn a_wrong_value_is_told_with_what_to_write() {
    check_error("init-containers=yes", "init-containers: `yes` is none of true, false");
    check_error("pause=", "pause: `` is none of true, false");
    check_error("prerelease=maybe", "prerelease: `maybe` is none of same, no, yes");
    check_error("pin=sha", "pin: `sha` is none of tag, digest");
    check_error("trigger=push", "trigger: `push` is none of any, poll, webhook");
    check_error("rollback=on", "rollback: `on` is none of auto, off");
    check_error("write-back=on", "write-back: `on` is none of commit, off");
    check_error("apply=never", "apply: `never` is none of auto, patch");
    for wrong in ["-1", "+1", "101", "1.0", "two", "", "99999999999999999999"] {
        check_error(&format!("approvals={wrong}"), &format!("approvals: `{wrong}` is not a whole number from 0 to 100"));
    }
    check_error("poll=@daily", "poll: `@daily` is no form of this key: write an interval such as 5m, or five fields such as 0 3 * * *");
    check_error("poll=0 24 * * *", "poll: `0 24 * * *`: hour: `24` is not a number from 0 to 23");
    check_error(
        "poll=0 3 * * * Europe/Berlim",
        "poll: `0 3 * * * Europe/Berlim`: zone: there is no time zone `Europe/Berlim`; write one such as Europe/Berlin, or nothing for UTC",
    );
    check_error("poll=0s", "poll: `0s` is not between 1s and 7d");
    check_error("rollout-timeout=25h", "rollout-timeout: `25h` is not between 1s and 1d");
    check_error("approval-deadline=91d", "approval-deadline: `91d` is not between 1s and 90d");
    let form = "not a duration: expected whole numbers with a unit each, longest unit first, such as 10s, 5m, 1h30m or 30d";
    check_error("poll=5", &format!("poll: `5`: {form}"));
    let forms = "user:NAME, group:NAME, slack:U…, slack-group:S… or slack-channel";
    check_error("approvers=user:a;bob", &format!("approvers: `bob` names no approver: write {forms}"));
    check_error("approvers=group:a;slack-group:S1", "approvers: members of groups cannot vote in this version: name single people too");
    check_error("approvers=", &format!("approvers: `` names no approver: write {forms}"));
    check_error("allow-tags=1.*", "allow-tags: item 1: `1.*` does not begin with glob: or regexp:");
    check_error("ignore-tags=regexp:(", "ignore-tags: item 1: not a regular expression: unclosed group");
    check_error(&format!("allow-tags={}", "glob:a;".repeat(1000)), "allow-tags: the value is longer than 4096 bytes");
}

/// A record has room for so many, and each is fetched.
#[test]
fn among_more_remotes_than_are_searched_one_is_to_be_named() {
    let defaults = Defaults { git_remotes: (0..9).map(|number| format!("git{number}").into()).collect(), ..Defaults::default() };
    let read = |annotations: &[(&str, &str)]| parse(annotations.iter().copied(), &containers(), &defaults);
    let told = read(&[("skeg.dev/policy", "minor")]).unwrap_err();
    assert!(told[0].to_string().contains("skeg.dev/git: is needed: 9 Git remotes"), "{told:?}");
    for more in [("skeg.dev/git", "git8"), ("skeg.dev/write-back", "off")] {
        assert!(read(&[("skeg.dev/policy", "minor"), more]).is_ok(), "{more:?}");
    }
}

#[test]
fn a_git_place_must_be_granted_and_stay_inside() {
    check_error("git=infr", "git: no Git remote `infr` is granted to this namespace, did you mean `infra`?");
    check_error("git=secret:apps", "git: no Git remote `secret` is granted to this namespace");
    for path in ["", "/", "/etc", "a//b", "../x", "a/../b", "./a", ".git/config", "a\\b", "a\nb"] {
        assert!(read(&["policy=minor", &format!("git=infra:{path}")]).is_err(), "{path:?}");
    }
    assert_eq!(good(&["policy=minor", "write-back=off"]).rules.write_back, []);
    assert_eq!(good(&["policy=minor", "write-back=off", "git=infra"]).rules.write_back, []);
    assert_eq!(good(&["policy=minor", "git=shop"]).rules.write_back, [GitPlace { remote: "shop".into(), path: None }]);
    let none = Defaults::default();
    let with_none = |write_back| parse([("skeg.dev/policy", "minor"), ("skeg.dev/write-back", write_back)], &containers(), &none);
    assert_eq!(with_none("off").unwrap().unwrap().rules.write_back, []);
    assert_eq!(with_none("commit").unwrap_err()[0].to_string(), "skeg.dev/write-back: no Git remote is granted to this namespace");
}

#[test]
fn every_mistake_is_told_and_not_the_first() {
    check_errors(
        &["policy=minr", "approvals=many", "polll=5m", "allow-tags=regexp:(", "policy.apo=minor", "window=always", "pin=tag"],
        &[
            "allow-tags: item 1: not a regular expression: unclosed group",
            "approvals: `many` is not a whole number from 0 to 100",
            "policy: no policy is called `minr`, did you mean `minor`?; there are semver:<range>, major, minor, patch, all, glob:<pattern>, regexp:<pattern>, numerical[:asc|desc], alphabetical[:asc|desc], newest, digest, never",
            "policy.apo: there is no container apo, did you mean api?",
            "polll: there is no such directive, did you mean poll?",
            "window: this version of skeg does not have this directive yet",
        ],
    );
}

/// A nonsense policy or an unbalanced pattern on one of many workloads holds that one and no other.
#[test]
fn one_wrong_workload_among_five_hundred_is_held_alone() {
    let results: Vec<_> = (0..500)
        .map(|number| match number {
            250 => read(&["policy=semver:nonsense", "allow-tags=regexp:(((("]),
            _ => read(&["policy=minor", "allow-tags=regexp:^1"]),
        })
        .collect();
    let held: Vec<_> = results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(number, _)| number).collect();
    assert_eq!(held, [250]);
    assert_eq!(results[250].as_ref().unwrap_err().len(), 2);
    assert!(results.iter().flatten().flatten().all(|directives| directives.selection.is_some()));
}

#[test]
fn thousands_of_mistakes_are_counted() {
    let wrong: Vec<String> = (0..5000).map(|number| format!("{PREFIX}x{number:05}")).collect();
    let errors = parse(wrong.iter().map(|key| (key.as_str(), "")), &containers(), &defaults()).unwrap_err();
    assert_eq!(errors.len(), ERRORS_MAX + 1);
    assert_eq!(errors[ERRORS_MAX].to_string(), "skeg.dev/: 4900 more mistakes");
}

/// The next number of a fixed series (xorshift64), so that a failure can be repeated.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn no_annotation_makes_it_panic_and_no_message_carries_control_characters() {
    let keys =
        ["policy", "policy.api", "allow-tags", "approvals", "poll", "git", "pin", "approvers", "", ".", "..", "policy.", "é.é", "\u{0}"];
    let pieces = [
        "semver:",
        "^",
        "1",
        ".",
        "x",
        "-",
        " ",
        "||",
        ",",
        ">=",
        "99999999999999999999",
        "glob:",
        "regexp:",
        "(",
        "[",
        "*",
        ";",
        "\\x3b",
        "{9999}",
        "\u{0}",
        "\n",
        "é",
        "\u{202e}",
        "user:",
        ":",
        "/",
        "..",
        "5m",
        "h",
        "true",
        "digest",
        "minor",
        "v",
    ];
    let mut state = 0x5eed;
    for _ in 0..5_000 {
        let annotations: Vec<(String, String)> = (0..next(&mut state) % 6)
            .map(|_| {
                let value = (0..next(&mut state) % 9).map(|_| pieces[next(&mut state) % pieces.len()]).collect();
                (format!("{PREFIX}{}", keys[next(&mut state) % keys.len()]), value)
            })
            .collect();
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for error in parse(pairs, &containers(), &defaults()).err().unwrap_or_default() {
            let message = error.to_string();
            assert!(!message.chars().any(char::is_control), "{message:?} from {annotations:?}");
            assert!(message.len() < 1000, "{message}");
        }
    }
}

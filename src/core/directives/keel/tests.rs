use super::*;

/// Every key of Keel on a workload, with an example of each: the list that the project checks against.
const KEYS: &str = include_str!("../../../../tests/fixtures/policy/keel-annotations.csv");

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Option<KeelDirectives> {
    parse(&map(labels), &map(annotations), &TimeZone::UTC)
}

/// With the annotations and a policy among them.
fn annotated(annotations: &[(&str, &str)]) -> KeelDirectives {
    read(&[], &[&[("keel.sh/policy", "minor")], annotations].concat()).unwrap()
}

fn told(directives: &KeelDirectives) -> Vec<String> {
    directives.warnings.iter().map(ToString::to_string).collect()
}

fn origin(origin: Option<&Origin>) -> String {
    origin.map_or_else(|| "default".to_owned(), ToString::to_string)
}

/// What each annotation by itself leads to, and where that is said to come from.
fn effect(key: &str, value: &str) -> (String, String) {
    let directives = read(&[], &[("keel.sh/policy", "force"), (key, value)]).unwrap();
    let every = |times: &PollTimes| match times {
        PollTimes::Every(interval) => format!("every {}s", interval.as_secs()),
        PollTimes::Cron(cron) => cron.to_string(),
    };
    match key {
        "keel.sh/matchTag" | "keel.sh/match-tag" => (directives.match_tag.value.to_string(), origin(directives.match_tag.origin.as_ref())),
        "keel.sh/matchPreRelease" => (directives.match_prerelease.value.to_string(), origin(directives.match_prerelease.origin.as_ref())),
        "keel.sh/trigger" => (directives.polls.value.to_string(), origin(directives.polls.origin.as_ref())),
        "keel.sh/pollSchedule" => (every(&directives.poll_schedule.value), origin(directives.poll_schedule.origin.as_ref())),
        "keel.sh/approvals" => (format!("{:?}", directives.approvals.value), origin(directives.approvals.origin.as_ref())),
        "keel.sh/approvalDeadline" => {
            (format!("{:?}", directives.approval_deadline.value), origin(directives.approval_deadline.origin.as_ref()))
        }
        "keel.sh/imagePullSecret" => {
            let secret = directives.image_pull_secret.unwrap();
            (secret.value.into(), origin(secret.origin.as_ref()))
        }
        "keel.sh/initContainers" => (directives.init_containers.value.to_string(), origin(directives.init_containers.origin.as_ref())),
        "keel.sh/imageVolumes" => (directives.image_volumes.value.to_string(), origin(directives.image_volumes.origin.as_ref())),
        "keel.sh/monitorContainers" => {
            let (expression, origin) = directives.monitor_containers.unwrap();
            (format!("app {}, db {}", expression.is_match("app"), expression.is_match("db")), origin.to_string())
        }
        "keel.sh/notify" => (directives.notify.value.join("+"), origin(directives.notify.origin.as_ref())),
        "keel.sh/releaseNotes" => {
            let notes = directives.release_notes.unwrap();
            (notes.value.into(), origin(notes.origin.as_ref()))
        }
        "keel.sh/policy" | "keel.observer/policy" => {
            let directives = read(&[], &[(key, value)]).unwrap();
            (directives.policy.unwrap().to_string(), origin(directives.policy_text.origin.as_ref()))
        }
        other => panic!("{other} is not read"),
    }
}

#[test]
fn every_key_of_keel_is_read() {
    let expected = [
        ("keel.sh/policy", "minor", "keel:minor"),
        ("keel.observer/policy", "minor", "keel:minor"),
        ("keel.sh/matchTag", "true", "true"),
        ("keel.sh/match-tag", "true", "true"),
        ("keel.sh/matchPreRelease", "false", "false"),
        ("keel.sh/trigger", "poll", "true"),
        ("keel.sh/pollSchedule", "@every 10m", "every 600s"),
        ("keel.sh/pollSchedule", "0 0 3 * * *", "0 0 3 * * *"),
        ("keel.sh/pollSchedule", "0 3 * * *", "0 3 * * *"),
        ("keel.sh/approvals", "2", "Some(2)"),
        ("keel.sh/approvalDeadline", "48", "172800s"),
        ("keel.sh/imagePullSecret", "my-registry-secret", "my-registry-secret"),
        ("keel.sh/initContainers", "true", "true"),
        ("keel.sh/imageVolumes", "true", "true"),
        ("keel.sh/monitorContainers", "^(app|worker)$", "app true, db false"),
        ("keel.sh/notify", "team-a,team-b", "team-a+team-b"),
        ("keel.sh/releaseNotes", "https://example.com/releases", "https://example.com/releases"),
    ];
    let rows: Vec<_> = KEYS.lines().skip(1).filter(|row| row.starts_with("keel.")).collect();
    let written = ["keel.sh/digest", "keel.sh/update-time"];
    assert_eq!(rows.len(), expected.len() + written.len());
    for ((key, value, effects), row) in expected.into_iter().zip(&rows) {
        let quoted = format!("{key},\"{value}\",");
        assert!(row.starts_with(&format!("{key},{value},")) || row.starts_with(&quoted), "{row}");
        assert_eq!(effect(key, value), (effects.to_owned(), format!("annotation {key}")));
    }
    for key in written {
        assert!(rows.iter().any(|row| row.starts_with(key)));
        assert_eq!(told(&annotated(&[(key, "x")])), Vec::<String>::new(), "Keel writes {key} itself");
    }
}

#[test]
fn without_a_policy_keel_does_not_know_the_workload() {
    assert!(read(&[("app", "web")], &[("keel.sh/trigger", "poll")]).is_none());
    let never = read(&[], &[("keel.sh/policy", "never")]).unwrap();
    assert!(matches!(never.policy, Err(NoPolicy::Off)) && never.warnings.is_empty());
    let wrong = read(&[("keel.sh/policy", "Minor")], &[]).unwrap();
    assert!(told(&wrong)[0].starts_with("keel.sh/policy: `Minor`: Keel knows no such policy"), "{:?}", wrong.warnings);
}

#[test]
fn what_nobody_writes_has_keels_default() {
    let directives = annotated(&[]);
    assert_eq!(directives.poll_schedule, Said::default(PollTimes::Every(Duration::from_mins(1))));
    assert_eq!((directives.approvals.value, directives.approval_deadline.value), (Some(0), Duration::from_hours(24)));
    assert_eq!((directives.match_tag.value, directives.match_prerelease.value, directives.polls.value), (false, true, false));
    assert_eq!((directives.init_containers.value, directives.image_volumes.value), (false, false));
    assert!(directives.monitor_containers.is_none() && directives.notify.value.is_empty() && directives.warnings.is_empty());
}

#[test]
fn the_annotation_wins_for_policy_and_trigger_with_what_stands_beside_the_policy() {
    let labels = [("keel.sh/policy", "all"), ("keel.sh/matchPreRelease", "false"), ("keel.sh/trigger", "default")];
    let directives = read(&labels, &[("keel.observer/policy", "minor"), ("keel.sh/trigger", "poll")]).unwrap();
    assert_eq!(directives.policy.unwrap().to_string(), "keel:minor");
    assert_eq!(origin(directives.policy_text.origin.as_ref()), "annotation keel.observer/policy");
    assert!(directives.polls.value && directives.match_prerelease.value);
    assert_eq!(directives.warnings.len(), 1, "{:?}", directives.warnings);
    let beside = read(&labels, &[]).unwrap();
    assert!(!beside.match_prerelease.value);
    let canonical =
        [("keel.sh/policy", "force"), ("keel.observer/policy", "all"), ("keel.sh/matchTag", "false"), ("keel.sh/match-tag", "true")];
    assert!(!read(&canonical, &[]).unwrap().match_tag.value);
}

#[test]
fn the_label_wins_for_approvals_and_the_pull_secret() {
    let labels = [("keel.sh/approvals", "1"), ("keel.sh/approvalDeadline", "2"), ("keel.sh/IMAGEPULLSECRET", "a")];
    let annotations =
        [("keel.sh/policy", "minor"), ("keel.sh/approvals", "3"), ("keel.sh/approvalDeadline", "4"), ("keel.sh/imagePullSecret", "b")];
    let directives = read(&labels, &annotations).unwrap();
    assert_eq!((directives.approvals.value, directives.approval_deadline.value), (Some(1), Duration::from_hours(2)));
    assert_eq!(&*directives.image_pull_secret.unwrap().value, "a");
    assert_eq!(read(&[], &annotations).unwrap().approvals.value, Some(3));
}

#[test]
fn containers_are_named_by_an_expression_and_annotations_come_first() {
    let monitored = |labels: &[(&str, &str)], annotations: &[(&str, &str)]| {
        let annotations = [&[("keel.sh/policy", "all")], annotations].concat();
        read(labels, &annotations).unwrap().monitor_containers.map(|(_, origin)| origin.to_string())
    };
    let label = [("keel.sh/monitorContainers", "app")];
    assert_eq!(monitored(&label, &[("keel.sh/MonitorContainers", "web")]).unwrap(), "annotation keel.sh/MonitorContainers");
    assert_eq!(monitored(&label, &[("keel.sh/monitorContainers", "(")]).unwrap(), "label keel.sh/monitorContainers");
    assert_eq!(monitored(&[], &[("keel.sh/monitorContainers", "(")]), None);
}

#[track_caller]
fn warns(labels: &[(&str, &str)], annotations: &[(&str, &str)], expected: &str) {
    let annotations = [&[("keel.sh/policy", "minor")], annotations].concat();
    let warnings = told(&read(labels, &annotations).unwrap());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(expected), "{warnings:?}");
}

#[test]
fn what_keel_passes_over_without_a_word_is_told() {
    warns(&[], &[("keel.sh/approvals", "two")], "keel.sh/approvals: `two` is no number of votes, so nothing is updated");
    warns(&[], &[("keel.sh/approvals", "-1")], "`-1` is no number of votes");
    warns(&[], &[("keel.sh/approvalDeadline", "1.5")], "`1.5` is no number of hours, so it is 24");
    warns(&[], &[("keel.sh/matchPreRelease", "True")], "`True` is not `true`, so it is off");
    warns(&[], &[("keel.sh/trigger", "Poll")], "`Poll` is not `poll`");
    warns(&[], &[("keel.sh/pollSchedule", "10m")], "`10m`: 1 fields: expected second, minute");
    warns(&[], &[("keel.sh/pollSchedule", "0 0 0 31 2")], "never comes: there is no such day; the default is taken");
    warns(&[], &[("keel.sh/pollSchedule", "")], "is empty, which stops Keel; skeg takes the default");
    warns(&[], &[("keel.sh/pollSchedule", "0 3 * * *")], "has five fields, and Keel's begin with seconds");
    warns(&[("keel.sh/notify", "team")], &[], "keel.sh/notify: Keel reads it as an annotation only");
    warns(&[("keel.sh/matchTag", "true")], &[], "keel.sh/matchTag: Keel reads it only where the policy stands");
    warns(&[("keel.sh/initContainers", "true")], &[], "Keel would poll init containers and never update them");
    warns(&[], &[("keel.sh/monitorContainers", "(")], "keel.sh/monitorContainers: `(`:");
    warns(&[], &[("keel.sh/aprovals", "1")], "Keel has no such key, did you mean keel.sh/approvals?");
    warns(&[], &[("keel.sh/PollSchedule", "@daily")], "Keel has no such key, did you mean keel.sh/pollSchedule?");
    warns(&[], &[("keel.observer/trigger", "poll")], "Keel has no such key");
}

//! Keel's own choices, and what is read from its keys: the vectors of its code and its tests, through the command line.

use clap::Parser;
use serde_json::Value;
use skeg::cli::policy_eval::PolicyEval;

const VERDICTS: &str = include_str!("fixtures/policy/keel-verdicts.csv");
const SELECTION: &str = include_str!("fixtures/policy/keel-selection.csv");

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    eval: PolicyEval,
}

/// What `skeg policy eval --keel` prints. `policy` may end in an option in brackets.
fn eval(policy: &str, current: &str, list: &str) -> Value {
    let (policy, option) = match policy.strip_suffix(']').and_then(|text| text.rsplit_once("[match")) {
        Some((policy, option)) => (policy, Some(option)),
        None => (policy, None),
    };
    let option = option.map(|option| match option.split_once('=').unwrap() {
        ("Tag", value) => format!("--match-tag={value}"),
        ("PreRelease", value) => format!("--match-prerelease={value}"),
        (other, _) => panic!("match{other}"),
    });
    let line = ["skeg", "--keel", "--tags=-", "-o", "json"].map(str::to_owned).into_iter();
    let line = line.chain([format!("--policy={policy}"), format!("--current={current}")]).chain(option);
    let mut out = Vec::new();
    CommandLine::parse_from(line).eval.run(&mut list.as_bytes(), &mut out).unwrap();
    let answer: Value = serde_json::from_slice(&out).unwrap();
    assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    answer
}

/// The first fields of each row after the first. None of them is quoted.
fn rows<const FIELDS: usize>(csv: &str) -> Vec<[&str; FIELDS]> {
    csv.lines()
        .skip(1)
        .map(|line| {
            assert!(!line.starts_with('"'), "{line}");
            let mut fields = line.split(',');
            std::array::from_fn(|_| fields.next().unwrap())
        })
        .collect()
}

#[track_caller]
fn check_verdict([policy, current, candidate, expected]: [&str; 4]) {
    let answer = eval(policy, current, candidate);
    let verdicts = answer["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 1, "{policy} {current} {candidate}");
    let told = (verdicts[0]["tag"].as_str().unwrap(), verdicts[0]["verdict"].as_str().unwrap());
    assert_eq!(told, (candidate, expected), "{policy} {current}: {}", verdicts[0]["reason"]);
}

#[track_caller]
fn check_selection([policy, current, tags, expected]: [&str; 4]) {
    let answer = eval(policy, current, &tags.replace(' ', "\n"));
    let expected = (expected != "none").then_some(expected);
    assert_eq!(answer["candidate"].as_str(), expected, "{policy} {current} among {tags}: {}", answer["reason"]);
}

#[test]
fn a_webhook_is_answered_as_keel_answers_it() {
    let rows = rows::<4>(VERDICTS);
    assert_eq!(rows.len(), 111);
    rows.into_iter().for_each(check_verdict);
}

#[test]
fn a_poll_picks_what_keel_picks() {
    let rows = rows::<4>(SELECTION);
    assert_eq!(rows.len(), 18);
    rows.into_iter().for_each(check_selection);
}

/// Rows of the same kinds, worked out from Keel's source.
#[test]
fn other_tags_are_answered_by_the_same_rules() {
    for row in [
        // A pre-release or a build may bring the one dot that a candidate needs.
        ["all", "1", "2-rc.1", "yes"],
        ["all", "1", "2+build.1", "yes"],
        ["all", "1", "2", "no"],
        ["major", "v1", "v2.0", "yes"],
        ["all", "1.2.3", "1.2.3.4", "no"],
        ["all", "1.2.3", "V1.2.4", "no"],
        ["all", "01.2.3", "1.2.03", "no"],
        ["all", "1.2.3", "9223372036854775808.0", "no"],
        ["all", "9223372036854775807.0", "9223372036854775807.1", "yes"],
        ["all", "1.2.3", "1.2.4-", "no"],
        ["all", "1.2.3", "1.2.4_1", "no"],
        // Two spellings of one number are each lower than the other.
        ["all", "1.0.0-1", "1.0.0-01", "yes"],
        ["all", "1.0.0-01", "1.0.0-1", "yes"],
        ["force", "1.0.0-01", "1.0.0-1", "no"],
        ["all", "1.0.0-rc.1", "1.0.0-rc.1.1", "yes"],
        ["all", "1.0.0-99999999999999999999", "1.0.0-100000000000000000000", "no"],
        ["patch", "1.2.3+a", "1.2.3+b", "no"],
        ["minor", "latest", "latest", "yes"],
        ["minor", "Latest", "1.0.0", "no"],
        ["minor", "", "1.0.0", "no"],
        ["minor[matchPreRelease=true]", "1.0.0-a", "1.0.1-b", "no"],
        ["all[matchTag=true]", "1.0.0", "1.0.1", "yes"],
        ["force[matchTag=true]", "", "latest", "no"],
        ["force", "1.0", "1.0.0", "no"],
        ["force", "v2", "1", "no"],
        ["force", "1.0.0", "1.0.0.1", "yes"],
        ["glob:*", "a", "b", "yes"],
        ["glob:**", "", "b", "yes"],
        ["glob:a*c*e", "", "abcde", "yes"],
        ["glob:a*c*e", "", "ace-", "no"],
        ["glob:v?", "", "v1", "no"],
        ["glob:[ab]*", "", "a1", "no"],
        ["glob:v1", "v0", "v1", "yes"],
        [" glob:*", "a", "b", "no"],
        ["Glob:*", "a", "b", "no"],
        ["glob", "a", "b", "no"],
        ["regexp:^v(?=1)", "a", "v1", "no"],
        [r"regexp:^\d+$", "1", "٢", "no"],
        [r"regexp:^\w+$", "a", "é", "no"],
        ["regexp:^a{b}$", "x", "a{b}", "yes"],
        ["regexp:a**", "x", "a", "no"],
        [r"regexp:^\Qa.b\E$", "x", "a.b", "yes"],
        ["regexp:(?i)^RC", "x", "rc-1", "yes"],
        ["regexp:^a:b$", "x", "a:b", "yes"],
        ["regexp", "a", "b", "no"],
        ["all ", "1.0.0", "1.0.1", "no"],
        ["minor\t", "1.0.0", "1.0.1", "no"],
        ["semver", "1.0.0", "1.0.1", "no"],
        ["", "1.0.0", "1.0.1", "no"],
    ] {
        check_verdict(row);
    }
    for row in [
        ["minor", "latest", "latest foo 1.0.0 2.0.0-rc.1 3", "2.0.0-rc.1"],
        ["patch", "latest", "latest foo 3", "none"],
        ["all", "1.0.0", "2.0.0-rc.1 1.9.0", "2.0.0-rc.1"],
        ["major", "1.0.0", "2.0.0-rc.1 1.9.0", "1.9.0"],
        ["all", "0.9", "1.0 v1.0.0 1.0.0", "1.0"],
        ["all", "1.0.0", "1.0.0 v1.0.0 0.9.0", "none"],
        ["force", "latest", "main 1.0 latest 2", "2"],
        ["force", "latest", "main dev latest", "main"],
        ["force", "latest", "latest main", "none"],
        ["force", "2", "1 2 edge", "none"],
        ["force", "edge", "1.0.0 edge", "1.0.0"],
        ["force[matchTag=true]", "latest", "latest 1.0.0", "none"],
        ["glob:*", "b", "a c b", "c"],
        ["glob:v*", "v9", "v10 v9", "none"],
        [r"regexp:^v\d+$", "v10", "v10 v9", "v9"],
        [r"regexp:^v\d+$", "v9", "v10 v9", "none"],
        [r"regexp:^v(?P<compare>\d+)", "v7", "v9 v100 v8", "v9"],
        [r"regexp:^(?<compare>\d+)?-x", "a", "-x 5-x", "5-x"],
        ["never", "1.0.0", "1.0.1", "none"],
        ["Minor", "1.0.0", "1.0.1", "none"],
        ["minor", "main", "1.0.1", "none"],
    ] {
        check_selection(row);
    }
}

#[test]
fn an_image_with_a_digest_has_no_other_tag_for_keel() {
    let digest = format!("1.0.0@sha256:{}", "a".repeat(64));
    assert_eq!(eval("minor", &digest, "1.0.1\n")["candidate"], Value::Null);
    assert_eq!(eval("force", &digest, "1.0.1\n")["candidate"], "1.0.1");
}

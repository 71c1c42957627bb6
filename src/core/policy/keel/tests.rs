use super::*;

const LOOSE: Options = Options { match_tag: false, match_prerelease: false };
const SAME_TAG: Options = Options { match_tag: true, match_prerelease: true };

fn policy(text: &str, options: Options) -> KeelPolicy {
    KeelPolicy::parse(text, options).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn webhook(text: &str, current: &str, new: &str, expected: bool) {
    let answer = policy(text, Options::default()).should_update(current, new);
    assert_eq!(answer.is_ok(), expected, "{text} {current} {new}: {answer:?}");
}

#[track_caller]
fn poll(text: &str, current: &str, tags: &str, expected: Polled<'_>) {
    let tags: Vec<_> = tags.split(' ').collect();
    assert_eq!(policy(text, Options::default()).poll(current, &tags), expected, "{text} {current} {tags:?}");
}

#[test]
fn words_are_read_exactly() {
    for text in ["all", "major", "minor", "patch", "force", "glob:", "glob:*", "regexp:", "regexp:a:b"] {
        assert!(KeelPolicy::parse(text, Options::default()).is_ok(), "{text}");
    }
    let refused = |text| KeelPolicy::parse(text, Options::default()).unwrap_err();
    assert_eq!((refused("never"), refused("")), (NoPolicy::Off, NoPolicy::Off));
    for text in ["Minor", " minor", "minor ", "minor:1", "GLOB:*", " glob:*", "glob", "regexp", "semver:^1", "force:"] {
        assert_eq!(refused(text), NoPolicy::Unknown, "{text}");
    }
    assert_eq!(refused("glob:a:b"), NoPolicy::GlobColon);
    assert!(matches!(refused("regexp:("), NoPolicy::Regexp(_)));
}

#[test]
fn from_latest_everything_is_taken_by_a_webhook_and_the_highest_version_by_a_poll() {
    webhook("patch", "latest", "foo", true);
    webhook("patch", "latest", "latest", true);
    webhook("patch", "Latest", "1.0.0", false);
    poll("minor", "latest", "latest foo 1.0.0 2.0.0-rc.1 3", Polled::Candidate("2.0.0-rc.1"));
    poll("minor", "latest", "latest 3", Polled::Nothing);
}

#[test]
fn a_candidate_needs_a_dot_wherever_it_is() {
    webhook("all", "1", "2", false);
    webhook("all", "1", "2-rc.1", true);
    webhook("all", "1", "2+b.1", true);
    webhook("minor", "1", "1.5.0", true);
    webhook("minor", "", "1.5.0", false);
    webhook("all", "1.2.3.4", "1.2.3.5", false);
}

#[test]
fn the_text_of_the_prerelease_stays_unless_it_is_not_asked_for() {
    webhook("major", "1.0.0-rc.1", "1.0.0", false);
    webhook("all", "1.0.0-rc.1", "1.0.0", true);
    assert!(policy("major", LOOSE).should_update("1.0.0-rc.1", "1.0.0").is_ok());
    assert!(policy("patch", LOOSE).should_update("1.0.0", "1.1.0-rc.1").is_err());
}

#[test]
fn force_takes_what_cannot_be_compared_and_nothing_lower() {
    webhook("force", "main", "main", true);
    webhook("force", "42", "41", false);
    webhook("force", "1.0.0", "v1", false);
    webhook("force", "1.0.0-01", "1.0.0-1", false);
    webhook("force", "1.0.0", "abc", true);
    assert!(policy("force", SAME_TAG).should_update("1.0", "1.0").is_ok());
    assert!(policy("force", SAME_TAG).should_update("1.0", "1.1").is_err());
    poll("force", "latest", "main 1.0 latest 2", Polled::Candidate("2"));
    poll("force", "latest", "main dev", Polled::Candidate("main"));
    poll("force", "latest", "latest dev", Polled::Current);
    poll("force", "2", "1 2 edge", Polled::Current);
    assert_eq!(policy("force", SAME_TAG).poll("latest", &["latest", "2"]), Polled::Current);
}

#[test]
fn equal_versions_come_as_go_sorts_them() {
    poll("all", "0.9.0", "1.0 v1.0.0 1.0.0", Polled::Candidate("1.0"));
    poll("all", "0.9.0", "1.0.0+b 1.0.0+a", Polled::Candidate("1.0.0+b"));
    let of_images = "1.0 1.0.0 1.1 1.1.0 1.2 1.2.0 1.3 1.3.0 1.4 1.4.0 1.5 1.5.0 1.6 1.6.0";
    poll("minor", "1.0.0", of_images, Polled::Candidate("1.6.0"));
    let thirteen = "v2.0.0 0.9 1.00.0 01.0.0 1.0.0+a 2.0 01.0.0 v1.0.00 0.9 0.9 1.0.0 2.0 v01.0";
    poll("major", "0.0.1", thirteen, Polled::Candidate("2.0"));
    let by_group = "2-001.001 2-a 2-01 2-rc 2-00 2-2.01 2-2.01 2-0 2-001 2-2 2-00 2-rc 2-02.1";
    poll(r"regexp:(?P<compare>\d+)\D*$", "2-01", by_group, Polled::Candidate("2-2"));
}

#[test]
fn of_two_spellings_of_a_number_the_later_one_comes_first() {
    poll("all", "0.9.0", "1.0.0-rc.1 1.0.0-rc.01", Polled::Candidate("1.0.0-rc.01"));
    poll("all", "0.9.0", "1.0.0-rc.01 1.0.0-rc.1", Polled::Candidate("1.0.0-rc.1"));
    poll("all", "2-1.2", "2-02.a 2-2.0", Polled::Candidate("2-2.0"));
    poll("force", "v0.1", "1.2.3-01 1.2.3-1", Polled::Candidate("1.2.3-1"));
}

#[test]
fn globs_compare_bytes() {
    webhook("glob:build-*", "build-9", "build-10", false);
    webhook("glob:build-*", "build-10", "build-9", true);
    webhook("glob:", "", "", false);
    poll("glob:*", "", "a c b", Polled::Candidate("c"));
    poll("glob:v?", "a", "v1", Polled::Nothing);
}

#[test]
fn expressions_sort_by_the_group_and_forget_the_current_tag() {
    poll(r"regexp:^v(?P<compare>\d+)", "v7", "v9 v100 v8", Polled::Candidate("v9"));
    poll(r"regexp:^v\d+$", "v9", "v10 v9", Polled::Current);
    poll(r"regexp:^v\d+$", "v10", "v10 v9", Polled::Candidate("v9"));
    poll(r"regexp:^(?<compare>\d+)?-x", "a", "-x 5-x", Polled::Candidate("5-x"));
    webhook("regexp:a:b", "x", "xa:bx", true);
    poll(r"regexp:^v(?P<compare>\d+)$|^r(?P<compare>\d+)$", "v1", "v1 v2 r3", Polled::Candidate("v2"));
}

#[track_caller]
fn glob(pattern: &str, text: &str, expected: bool) {
    assert_eq!(matches_glob(pattern, text), expected, "{pattern} {text}");
}

#[test]
fn only_the_star_is_special_in_a_glob() {
    for (pattern, text) in
        [("", ""), ("*", ""), ("**", "x"), ("a*", "a"), ("*a", "aa"), ("a*b", "ab"), ("a*b*c", "aXbYbZc"), ("*-*", "a-b")]
    {
        glob(pattern, text, true);
    }
    for (pattern, text) in [("", "a"), ("a*a", "a"), ("a*b", "abc"), ("a*b*c", "ac"), ("v[0-9]", "v1"), ("a?", "ab"), ("*ab*b", "ab")] {
        glob(pattern, text, false);
    }
}

#[test]
fn policies_that_differ_are_written_differently() {
    let written: Vec<_> = [("minor", Options::default()), ("minor", LOOSE), ("force", SAME_TAG), ("glob:a", LOOSE)]
        .map(|(text, options)| policy(text, options).to_string())
        .into();
    assert_eq!(written, ["keel:minor", "keel:minor matchPreRelease=false", "keel:force matchTag=true", "keel:glob:a"]);
}

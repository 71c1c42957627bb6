use super::*;
use crate::core::policy::{Built, Filter, Policy};

/// What `policy` picks; `current` `-` is none.
#[track_caller]
fn check_with(policy: &str, prerelease: Option<Prerelease>, current: &str, tags: &str, expected: Option<&str>) {
    let kind = Policy::parse(policy).unwrap().kind;
    let mut list: Vec<_> = tags.split_whitespace().map(Listed::named).collect();
    let current = (current != "-").then_some(current);
    let filter = &Filter::default();
    for _ in 0..2 {
        let question = Question { current, current_digest: None, current_built: Built::Unread, prerelease, filter, now: None, tags: &list };
        let judgement = kind.judge(&question);
        let picked = judgement.best.first().map(|at| list[*at].tag);
        assert_eq!(picked, expected, "{policy} {prerelease:?} from {current:?} among {tags}");
        list.reverse();
    }
}

#[track_caller]
fn check(policy: &str, current: &str, tags: &str, expected: &str) {
    check_with(policy, None, current, tags, (expected != "none").then_some(expected));
}

#[test]
fn a_range_takes_its_newest_version() {
    check("semver:^1.2", "1.2.0", "1.2.1 1.10.0 1.9.0 2.0.0", "1.10.0");
    check("semver:^1.2", "-", "1.1.0 1.2.1 2.0.0", "1.2.1");
    check("semver:1.x", "-", "1.0.1 1.0.2 1.1.0-alpha", "1.0.2");
    check("semver:>=1.2, <2", "1.2.0", "1.5.0 2.0.0 2.0.0-rc.1", "1.5.0");
    check("semver:*", "-", "zz bb yy", "none");
    check("semver:^3", "1.0.0", "1.0.1 2.0.0", "none");
}

#[test]
fn a_range_never_goes_below_the_current_tag() {
    check("semver:^1", "1.5.0", "1.4.0 1.0.0", "none");
    check("semver:^1", "2.0.0", "1.9.0 2.1.0", "none");
    check("semver:~1.4", "1.5.0", "1.4.9", "none");
    check("semver:<2", "3.0.0", "1.9.9 3.0.1", "none");
}

#[test]
fn a_current_tag_that_is_no_version_leaves_a_range_as_it_is() {
    for current in ["latest", "main", "", "1.2.3.4"] {
        check("semver:^1", current, "1.2.0 1.3.0 1.4.0-rc.1 1.4 2.0.0 foo", "1.3.0");
    }
}

#[test]
fn keels_words_are_relative_to_the_current_tag() {
    let tags = "0.9.0 1.2.3 1.2.4 1.3.0 2.0.0 1.2.10 1.10.0 10.0.0";
    check("patch", "1.2.3", tags, "1.2.10");
    check("minor", "1.2.3", tags, "1.10.0");
    check("major", "1.2.3", tags, "10.0.0");
    check("all", "1.2.3", tags, "10.0.0");
    check("patch", "v1.2.3", "v1.2.10 v1.3.0", "v1.2.10");
    check("patch", "v1.2.3", "1.2.4", "1.2.4");
    check("minor", "0.9.9", "1.0.0 0.10.0", "0.10.0");
    check("major", "10.0.1", tags, "none");
    check("patch", "1.1.0", tags, "none");
    check("all", "2021.01.02", "2021.02.01 2020.12.31", "2021.02.01");
}

#[test]
fn keels_words_need_a_current_version_or_latest() {
    for word in ["patch", "minor", "major", "all"] {
        for current in ["-", "", "main", "release-1.2.3", "V1.2.3"] {
            check(word, current, "1.0.0 2.0.0", "none");
        }
        check(word, "latest", "1.0.0 2.0.0 2.1.0-rc.1 3.0 foo", "2.0.0");
    }
}

#[test]
fn tags_of_one_or_two_numbers_count_only_when_the_current_tag_has_as_few() {
    check("semver:>=1.0.0", "-", "1.0 1 v1.1 1.0.1", "1.0.1");
    check("minor", "1.25.0", "1.26 1", "none");
    check("minor", "1.25", "1.26 1.24 1", "1.26");
    check("minor", "1.25", "1.26 1.26.3", "1.26.3");
    check("minor", "1.25", "1.25.0", "none");
    check("patch", "1.4", "1.4.6 1.5.0", "1.4.6");
    check("major", "1", "2 3.1 3.0.5", "3.1");
    check("major", "1.0", "2", "none");
    check("major", "20240101", "20240102 20231231", "20240102");
    check("minor", "1.25-alpine", "1.26-alpine 1.27", "1.26-alpine");
}

#[test]
fn a_suffix_keeps_its_words() {
    check("minor", "1.2.3-alpine3.18", "1.2.3-alpine3.19 1.3.0 1.2.9-bookworm", "1.2.3-alpine3.19");
    check("minor", "1.2.3-alpine", "1.2.4 1.2.3", "none");
    check("minor", "1.2.3", "1.2.4-alpine 1.2.4-rc.1", "none");
    check("patch", "1.2.3-rc.1", "1.2.3-rc.2 1.2.3-beta.9", "1.2.3-rc.2");
    check("patch", "1.2.3-rc.1", "1.2.3-rc.2 1.2.3", "1.2.3");
    check("patch", "1.2.3-rc.9", "1.2.3-rc.10", "1.2.3-rc.10");
    check("patch", "1.2.3-rc9", "1.2.3-rc10", "1.2.3-rc10");
    check("patch", "1.2.3-rc10", "1.2.3-rc9", "none");
    check("patch", "16.4.0-debian-12-r9", "16.4.0-debian-12-r10 16.4.0-debian-12-r8", "16.4.0-debian-12-r10");
    check("minor", "4.0.0-rc.1-alpine", "4.0.0 4.0.0-alpine 4.0.0-rc.2-alpine", "4.0.0-alpine");
    check("semver:^1.2", "1.2.0-alpine", "1.3.0-alpine 1.4.0", "1.3.0-alpine");
    check("semver:>=1.2.0", "1.1.0-alpine", "1.2.0-alpine", "1.2.0-alpine");
}

#[test]
fn all_takes_pre_releases_and_keeps_the_variant() {
    check("all", "1.2.3", "1.2.4 1.3.0-alpha", "1.3.0-alpha");
    check("all", "1.2.3", "1.2.4 1.3.0-alpine", "1.2.4");
    check("all", "1.2.3-alpine", "1.2.4 1.2.4-rc.1-alpine", "1.2.4-rc.1-alpine");
    check_with("all", Some(Prerelease::Same), "1.2.3", "1.2.4 1.3.0-alpha", Some("1.2.4"));
    check_with("all", Some(Prerelease::No), "1.2.3-rc.1", "1.2.3-rc.2", None);
}

#[test]
fn the_prerelease_directive_decides() {
    for (prerelease, expected) in [(Prerelease::Same, "1.2.4"), (Prerelease::No, "1.2.4"), (Prerelease::Yes, "1.3.0-rc.1")] {
        check_with("minor", Some(prerelease), "1.2.3", "1.2.4 1.3.0-rc.1 2.0.0", Some(expected));
    }
    for (prerelease, expected) in [(Prerelease::Same, None), (Prerelease::No, None), (Prerelease::Yes, Some("1.2.3-alpine"))] {
        check_with("semver:>=1.0.0", Some(prerelease), "-", "1.2.3-alpine 1.1.0-alpine", expected);
    }
    check_with("semver:^1", Some(Prerelease::Yes), "-", "1.9.0 2.0.0-rc.1 1.10.0-rc.1", Some("1.10.0-rc.1"));
    check_with("minor", Some(Prerelease::Yes), "1.2.3-alpine", "1.2.4 1.2.4-bookworm", None);
    check_with("patch", Some(Prerelease::No), "1.2.3-rc.1", "1.2.3-rc.2 1.2.3", Some("1.2.3"));
}

#[test]
fn a_range_that_names_a_pre_release_wants_them() {
    check("semver:^1.x-0", "-", "1.0.0 1.1.0-rc.1 1.1.0-rc.2 1.1.0-beta.9 2.0.0-rc.1", "1.1.0-rc.2");
    check("semver:>=1.0.0-0", "1.0.0", "1.1.0-nightly.3", "1.1.0-nightly.3");
    check_with("semver:^1.x-0", Some(Prerelease::No), "-", "1.0.0 1.1.0-rc.1", Some("1.0.0"));
    check_with("semver:^1.x-0", Some(Prerelease::Same), "-", "1.0.0 1.1.0-rc.1", Some("1.0.0"));
}

#[test]
fn a_range_that_names_a_variant_wants_no_pre_releases() {
    check("semver:^1.2.3-alpine", "1.2.3-alpine", "1.2.4-alpine 1.3.0-rc.1-alpine", "1.2.4-alpine");
    check("semver:>=1.2.3-alpine3.18", "1.2.3", "2.0.0-bookworm 1.9.0", "1.9.0");
}

#[test]
fn a_range_leads_nowhere_below_the_numbers_of_a_tag_that_is_no_version() {
    check("semver:*", "1.2.3.4", "1.2.3 1.0.0 1.2.4", "1.2.4");
    check("semver:^1", "1.5.0_build7", "1.0.0 1.4.0 1.5.0", "none");
    check("semver:^1", "2024.01.02.1", "1.9.9", "none");
    check("semver:>=1.0.0", "release-2.0.0", "1.9.9 2.0.1", "2.0.1");
    check("semver:*", "99999999999999999999.1", "1.9.9", "none");
    // These numbers may be anything.
    check("semver:^1", "build-77", "1.0.0", "1.0.0");
    check("semver:^1", "3f2a91b", "1.0.0", "1.0.0");
}

#[test]
fn equal_versions_leave_the_current_tag_or_go_to_the_greater_spelling() {
    check("semver:>=1.0", "-", "1.0.0 v1.0.0", "v1.0.0");
    check("semver:>=1.0", "1.0.0", "1.0.0 v1.0.0", "none");
    check("minor", "v1.0.0", "1.0.0 1.00.0", "none");
    check("minor", "1.0.0", "1.1.0 v1.1.0 1.01.0", "v1.1.0");
}

#[test]
fn hostile_tags_are_no_versions() {
    let huge = format!("1.{}.0 {}.0.0 1.0.1", "9".repeat(120), "9".repeat(60));
    check("major", "1.0.0", &huge, "1.0.1");
    check("major", "1.0.0", "1.0.0.0 1.0.1p b1.2.3 1..2 --- ... v v. 1.1.1_2", "none");
}

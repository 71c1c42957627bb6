use super::*;

#[track_caller]
fn check(range: &str, inside: &[&str], outside: &[&str]) {
    let parsed = Range::parse(range).unwrap_or_else(|error| panic!("{range}: {error}"));
    let contains = |text: &str| parsed.contains(&Version::parse(text).unwrap_or_else(|| panic!("{text} is no version")));
    for text in inside {
        assert!(contains(text), "{text} should be in {range}");
    }
    for text in outside {
        assert!(!contains(text), "{text} should not be in {range}");
    }
}

#[test]
fn an_exact_version_is_itself_in_every_spelling() {
    check("1.2.3", &["1.2.3", "v1.2.3", "1.02.3"], &["1.2.4", "1.2.2", "1.2.3-rc.1"]);
    check("=1.2.3", &["1.2.3"], &["1.2.4"]);
    check("= v1.2.3", &["1.2.3"], &["1.2.4"]);
    check("1.2.3-rc.1", &["1.2.3-rc.1"], &["1.2.3", "1.2.3-rc.2"]);
    check("1.2.3+build", &["1.2.3"], &["1.2.4"]);
}

#[test]
fn open_numbers_are_free() {
    for range in ["1.x", "1", "1.*", "1.X", "v1", "1.x.x", "=1.x", "=1", "^1", "~1", "~>1", "^1.x"] {
        check(range, &["1.0.0", "1.99.99"], &["0.9.9", "2.0.0", "2.0.0-rc.1", "1.0.0-rc.1"]);
    }
    for range in ["1.2.x", "1.2", "1.2.*", "~1.2", "~>1.2", "~1.2.0", "=1.2", "~1.2.x"] {
        check(range, &["1.2.0", "1.2.99"], &["1.1.9", "1.3.0", "1.3.0-alpha", "2.0.0"]);
    }
    for range in ["*", "x", "X", ">=*", "<=*", "^*", "~x", "=*", "*.*", "x.x.x"] {
        check(range, &["0.0.0", "1.2.3", "999.0.0"], &[]);
    }
}

#[test]
fn a_caret_keeps_the_first_number_that_is_not_zero() {
    check("^1.2.3", &["1.2.3", "1.99.0"], &["1.2.2", "2.0.0", "2.0.0-0"]);
    check("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "0.3.0-rc.1", "0.2.2"]);
    check("^0.2", &["0.2.0", "0.2.7"], &["0.1.9", "0.3.0"]);
    check("^0.0.3", &["0.0.3"], &["0.0.4", "0.0.2"]);
    check("^0.0", &["0.0.0", "0.0.9"], &["0.1.0"]);
    check("^0.0.0", &["0.0.0"], &["0.0.1"]);
    check("^0", &["0.0.0", "0.9.9"], &["1.0.0"]);
    check("^0.x", &["0.0.0", "0.9.9"], &["1.0.0"]);
}

#[test]
fn a_tilde_keeps_major_and_minor() {
    check("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0", "1.3.0-rc.1"]);
    check("~>1.2.3", &["1.2.3", "1.2.9"], &["1.3.0"]);
    check("~ 1.2.3", &["1.2.9"], &["1.3.0"]);
    check("~0", &["0.9.0"], &["1.0.0"]);
}

#[test]
fn comparisons_take_partial_versions_as_npm_and_helm_do() {
    check(">1", &["2.0.0"], &["1.0.0", "1.9.9"]);
    check(">1.2", &["1.3.0"], &["1.2.0", "1.2.9"]);
    check(">1.2.3", &["1.2.4"], &["1.2.3", "1.2.3-alpine", "1.2.3-rc.1"]);
    check(">=1.2", &["1.2.0", "3.0.0"], &["1.1.9", "1.2.0-rc.1"]);
    check("<1.2", &["1.1.9"], &["1.2.0", "1.2.0-rc.1"]);
    check("<=1.2", &["1.2.9"], &["1.3.0", "1.3.0-rc.1"]);
    check("<=1.2.3", &["1.2.3", "1.2.3-rc.1"], &["1.2.4"]);
    check("!=1.4.0", &["1.3.9", "1.4.1"], &["1.4.0", "v1.4.0", "1.4.0-alpine"]);
    check("!=1.4", &["1.3.9", "1.5.0", "1.5.0-rc.1"], &["1.4.0", "1.4.9", "1.4.0-rc.1", "1.4.2-rc.1", "1.4.0-0", "1.4.0-alpine"]);
}

#[test]
fn comma_and_space_mean_and_two_bars_mean_or() {
    for range in [">=1.2, <2", "=>1.2, <2", ">=1.2, =<1", ">=1.2 <2", ">= 1.2 , < 2", ">=1.2,<2", "  >=1.2   <2.0.0  "] {
        check(range, &["1.2.0", "1.9.9"], &["1.1.9", "2.0.0", "2.0.0-rc.1"]);
    }
    check("^1 || ^3", &["1.5.0", "3.0.0"], &["2.0.0", "4.0.0"]);
    check("1.2.3||>2, !=3.0.0", &["1.2.3", "3.0.1"], &["1.2.4", "3.0.0", "2.9.9"]);
}

#[test]
fn a_hyphen_spans_from_one_version_to_the_other() {
    check("1.2.3 - 2.3.4", &["1.2.3", "2.3.4"], &["1.2.2", "2.3.5"]);
    check("1.2 - 1.4", &["1.2.0", "1.4.9"], &["1.1.9", "1.5.0", "1.5.0-rc.1"]);
    check("1 - 2 || 5", &["2.9.9", "5.1.0"], &["3.0.0", "4.0.0"]);
    check("1.0 - 1.2, !=1.1.0", &["1.2.0"], &["1.1.0"]);
}

#[test]
fn an_excluded_upper_bound_excludes_its_own_pre_releases() {
    check("<2.0.0", &["1.9.9"], &["2.0.0", "2.0.0-rc.1", "2.0.0-0", "2.0.0-alpine"]);
    check("<2.0.0-rc.2", &["2.0.0-rc.1", "2.0.0-alpha"], &["2.0.0-rc.2", "2.0.0"]);
    check("<2.0.0-0", &["1.9.9"], &["2.0.0-rc.1", "2.0.0-0"]);
}

#[test]
fn a_bound_with_a_suffix_lets_pre_releases_in() {
    check("^1.x-0", &["1.0.0-alpha", "1.1.0-rc.2", "1.9.0"], &["2.0.0-rc.1", "0.9.9"]);
    check(">=1.0.0-rc.1", &["1.0.0-rc.1", "1.0.0-rc.10", "1.0.0"], &["1.0.0-beta"]);
    check(">=1-0", &["1.0.0-0", "1.0.0-alpha"], &["0.9.9"]);
    check("*-0", &["0.0.0-alpha", "1.0.0"], &[]);
    for (range, names) in [("^1.x-0", true), ("^1", false), ("1 - 2.0.0-rc", true), ("!=1.0.0-rc.1", true), (">0.1 || *-0", true)] {
        assert_eq!(Range::parse(range).unwrap().names_pre_release(), names, "{range}");
    }
}

#[test]
fn a_variant_is_where_its_numbers_are() {
    check(">=1.2.0", &["1.2.0-alpine", "1.2.1-alpine"], &["1.1.0-alpine", "1.2.0-rc.1-alpine"]);
    check("1.2.x", &["1.2.0-alpine3.18"], &["1.3.0-alpine3.18"]);
}

#[test]
fn beside_a_pre_release_a_variant_is_finished_whatever_its_first_letter() {
    for variant in ["alpine", "debian-12-r1", "slim"] {
        let of = |numbers: &str| format!("{numbers}-{variant}");
        check("<2.0.0-rc.1", &[&of("1.9.0")], &[&of("2.0.0")]);
        check("<2-0", &[&of("1.9.0")], &[&of("2.0.0")]);
        check(">=1.4.0-rc.1", &[&of("1.4.0"), "1.4.0"], &[&of("1.3.9")]);
        check("1.2.0-rc.1 - 1.4.0-rc.1", &[&of("1.2.0"), &of("1.3.9")], &[&of("1.4.0"), "1.4.0"]);
    }
    check(">=1.2.0-bookworm", &["1.2.0-bookworm", "1.2.0"], &["1.2.0-alpine", "1.2.0-rc.1"]);
    check("<2.0.0-alpine", &["1.9.9-alpine"], &["2.0.0-alpine", "2.0.0-rc.1-alpine", "2.0.0-alpha", "2.0.0"]);
    check("!=1.4-alpine", &["1.3.9-alpine", "1.5.0-alpine"], &["1.4.0-alpine", "1.4.0-rc.1-alpine", "1.4.2-rc.1-alpine", "1.4.2"]);
}

#[test]
fn what_is_no_range_is_refused_with_the_place() {
    use RangeError::{Hyphen, Missing, Nothing, TooLarge, Version};
    #[track_caller]
    fn refused(range: &str, expected: &RangeError) {
        assert_eq!(Range::parse(range).err().as_ref(), Some(expected), "{range}");
    }
    for range in ["", " ", ",", "1.0,", ",1.0", "1.0,,2.0", "||", "^1 ||", "|| ^1", ">=", "^1, >", "= "] {
        refused(range, &Missing);
    }
    for word in
        ["latest", "minor", "1.2.3.4", "1.2.", "1.a", "V1", "x.1", "1.x.3", "1.2.3-", "1.2.3-a_b", "1|2", "==1", "<>1", "^^1", "vv1"]
    {
        assert!(matches!(Range::parse(word), Err(Version(_))), "{word}");
    }
    refused("1 2 foo", &Version("foo".into()));
    refused("99999999999999999999", &Version("99999999999999999999".into()));
    refused("^18446744073709551615", &TooLarge("18446744073709551615".into()));
    for range in ["- 1", "1 -", "1 - - 2", ">=1 - 2", "^1 - 2"] {
        refused(range, &Hyphen);
    }
    refused("1 - >=2", &Version(">=2".into()));
    for (range, word) in [(">*", "*"), ("<x", "x"), ("!=*", "*")] {
        refused(range, &Nothing(word.into()));
    }
}

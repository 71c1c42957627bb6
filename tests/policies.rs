//! What policies choose: the peers' own test vectors, and laws that hold for every list of tags.

use std::time::{Duration, Instant};

use clap::Parser;
use skeg::cli::policy_eval::PolicyEval;
use skeg::core::image::Tag;
use skeg::core::policy::{Choice, Filter, KINDS, Patterns, Policy, Prerelease, Selection, choose, is_newer};

const FLUX: &str = include_str!("fixtures/policy/flux-policies.csv");
const ARGO_CD: &str = include_str!("fixtures/policy/argocd-strategies.csv");

const OWN: &str = include_str!("fixtures/policy/further.csv");
const DOCUMENT: &str = include_str!("../docs/policies.md");

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    eval: PolicyEval,
}

/// Runs `skeg policy eval` and gives the candidate, or exit code and message.
fn eval(options: &[String], list: &str) -> Result<Option<String>, (u8, String)> {
    let line = ["skeg", "--tags=-", "-o", "json"].into_iter().chain(options.iter().map(String::as_str));
    let line = CommandLine::try_parse_from(line).map_err(|error| (2, error.to_string()))?;
    let mut out = Vec::new();
    line.eval.run(&mut list.as_bytes(), &mut out).map_err(|error| (error.exit_code(), error.to_string()))?;
    let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    let (candidate, verdicts) = (answer["candidate"].as_str(), answer["verdicts"].as_array().unwrap());
    assert_eq!(verdicts.len(), list.lines().filter(|line| !line.is_empty()).count());
    let chosen: Vec<_> = verdicts.iter().filter(|verdict| verdict["verdict"] == "chosen").map(|verdict| verdict["tag"].as_str()).collect();
    assert_eq!(chosen, candidate.map(Some).into_iter().collect::<Vec<_>>());
    Ok(candidate.map(str::to_owned))
}

/// The fields of each row after the first, by the names in the first.
fn rows(csv: &str) -> Vec<impl Fn(&str) -> String + use<>> {
    let mut lines = csv.lines().map(|line| split(line, ',', '"'));
    let names = lines.next().unwrap();
    let by_name = |fields: Vec<String>| {
        let names = names.clone();
        move |name: &str| fields[names.iter().position(|known| known == name).unwrap()].clone()
    };
    lines.map(by_name).collect()
}

/// Splits at `separator` outside of `quote`s, and drops the quotes.
fn split(text: &str, separator: char, quote: char) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    for character in text.chars() {
        if character == quote {
            is_quoted = !is_quoted;
        } else if character == separator && !is_quoted {
            fields.push(String::new());
        } else {
            fields.last_mut().unwrap().push(character);
        }
    }
    fields
}

/// Asks every row, and gives how many were answered with a choice or the lack of one, and how many were invalid.
fn ask_rows(csv: &str) -> (usize, usize) {
    let (mut answered, mut invalid) = (0, 0);
    for row in rows(csv).iter().filter(|row| row("skeg") != "not expressible") {
        let (id, expected) = (row("id"), row("skeg_expected"));
        let options = split(&row("skeg"), ' ', '\'');
        let list: String = row("tags").split(' ').map(|tag| line(tag) + "\n").collect();
        match (eval(&options, &list), expected.as_str()) {
            (Err((code, _)), "invalid") => {
                assert_eq!(code, 2, "row {id}");
                invalid += 1;
            }
            (Ok(candidate), expected) => {
                assert_eq!(candidate.as_deref(), (expected != "none").then_some(expected), "row {id}: {options:?}");
                answered += 1;
            }
            (Err(error), _) => panic!("row {id}: {error:?}"),
        }
    }
    (answered, invalid)
}

/// `tag@n` with its build time, as `policy eval` reads it.
fn line(tag: &str) -> String {
    tag.split_once('@').map_or_else(
        || tag.to_owned(),
        |(tag, seconds)| match seconds {
            "1970" => format!("{tag}\t1970-01-01T00:00:00Z"),
            seconds => format!("{tag}\t2024-01-01T00:00:{:02}Z", seconds.parse::<u8>().unwrap()),
        },
    )
}

#[test]
fn flux_policies_choose_as_flux_does() {
    assert_eq!(ask_rows(FLUX), (22, 1));
}

#[test]
fn argo_cd_strategies_choose_as_argo_cd_does() {
    assert_eq!(ask_rows(ARGO_CD), (12, 3));
}

#[test]
fn further_questions_are_answered_as_the_rules_say() {
    let (answered, invalid) = ask_rows(OWN);
    assert!(answered >= 60 && invalid >= 12, "{answered} answered, {invalid} invalid");
}

/// A row whose answers differ from the peer's says why.
#[test]
fn rows_that_differ_from_the_peer_give_the_reason() {
    let mut differing = 0;
    for row in [FLUX, ARGO_CD].into_iter().flat_map(rows) {
        let (peer, skeg) = (row("expected"), row("skeg_expected"));
        let has_none = |word: &str| ["ERROR", "NONE", "none", "invalid", ""].contains(&word);
        let agrees = peer == skeg || has_none(&peer) && has_none(&skeg);
        differing += usize::from(!agrees);
        assert!(agrees || row("skeg_note").starts_with("differs on purpose: "), "row {}", row("id"));
    }
    assert_eq!(differing, 2);
}

/// The cells of the document's tables whose first cell is not a heading: the peer's setting, the options, the tags and what is chosen.
fn documented() -> Vec<Vec<String>> {
    let cells =
        |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace("\\|", "|").replace('`', "")).collect::<Vec<_>>();
    DOCUMENT.lines().filter(|line| line.starts_with('|') && line.contains("--policy=")).map(cells).collect()
}

#[test]
fn every_line_of_the_document_chooses_what_it_says() {
    let documented = documented();
    assert!(documented.len() >= 30, "{}", documented.len());
    for row in &documented {
        let [what, options, tags, chosen] = row.as_slice() else { panic!("four cells: {row:?}") };
        let list: String = tags.split_whitespace().map(|tag| line(tag) + "\n").collect();
        let found = eval(&split(options, ' ', '\''), &list);
        assert_eq!(found, Ok((chosen != "none").then(|| chosen.clone())), "{what}: {options}");
    }
}

/// A kind without an example in the document would be found by nobody.
#[test]
fn the_document_shows_every_kind() {
    for kind in KINDS {
        let shown = format!("--policy={}", kind.name);
        assert!(documented().iter().any(|row| row[1].contains(&shown)), "{}", kind.name);
    }
}

#[test]
fn a_tag_must_be_old_enough() {
    let list = "1.0.0\t2024-01-01T00:00:00Z\n1.1.0\t2999-01-01T00:00:00Z\n1.2.0\n1.3.0\t1970-01-01T00:00:00Z\n";
    let options = |min_age: &str| ["--policy=semver:*".to_owned(), format!("--min-age={min_age}")];
    assert_eq!(eval(&options("2h"), list), Ok(Some("1.0.0".to_owned())));
    assert_eq!(eval(&options("9y"), list).unwrap_err().0, 2);
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn selection(policy: &str, prerelease: Option<Prerelease>) -> Selection {
    Selection { prerelease, ..Selection::of(Policy::parse(policy).unwrap()) }
}

/// A tag such as people push, and some that nobody should.
fn some_tag(random: &mut fastrand::Rng) -> Tag {
    let suffixes =
        ["", "", "", "-rc.1", "-rc2", "-rc10", "-alpine", "-alpine3.18", "-rc.1-alpine", "-0", "-beta", "-debian-12-r9", "-x.1b"];
    let words = ["latest", "main", "v", "1.2.3.4", "1.0.0_1", "sha-abc", "99999999999999999999.1.1", "20240131"];
    if random.u8(..8) == 0 {
        return tag(words[random.usize(..words.len())]);
    }
    let numbers: Vec<_> = (0..random.usize(1..=3)).map(|_| random.u8(..4).to_string()).collect();
    let v = if random.u8(..4) == 0 { "v" } else { "" };
    tag(&format!("{v}{}{}", numbers.join("."), suffixes[random.usize(..suffixes.len())]))
}

#[test]
fn the_choice_is_never_lower_than_the_current_tag_nor_dependent_on_the_order_of_the_list() {
    let policies = [
        "major",
        "minor",
        "patch",
        "all",
        "digest",
        "never",
        "semver:^1",
        "semver:>=0.0.0-0",
        "semver:~1.2 || 3.x",
        "semver:*",
        "semver:<2",
        "glob:*",
        "glob:1.*",
        r"regexp:^v?\d+\.\d",
        r"regexp:^v?\d+\.(?<order>\d+)",
        "numerical",
        "numerical:desc",
        "alphabetical",
        "alphabetical:desc",
    ];
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let (mut moved, mut stayed) = (0, 0);
    for round in 0..4_000 {
        let policy = policies[random.usize(..policies.len())];
        let prerelease = [None, Some(Prerelease::Same), Some(Prerelease::No), Some(Prerelease::Yes)][random.usize(..4)];
        let selection = selection(policy, prerelease);
        let current = some_tag(&mut random);
        let mut tags: Vec<_> = (0..random.usize(..30)).map(|_| some_tag(&mut random)).collect();
        let Choice { tag: chosen, reason, qualifying } = choose(&selection, Some(&current), &tags);
        random.shuffle(&mut tags);
        let again = choose(&selection, Some(&current), &tags).tag;
        assert_eq!(chosen, again, "round {round}: {policy} from {current} among {tags:?}");
        assert!(!reason.is_empty());
        assert_eq!(qualifying > 0, chosen.is_some());
        let Some(chosen) = chosen else {
            stayed += 1;
            continue;
        };
        moved += 1;
        assert!(tags.contains(&chosen));
        assert_eq!(chosen == current, policy == "digest", "round {round}: {policy}");
        assert!(!is_newer(&selection, &current, &chosen) || policy == "digest", "round {round}: {policy} from {current} down to {chosen}");
        // What was chosen stays chosen: a second look from there finds nothing among the same tags.
        let further = choose(&selection, Some(&chosen), &tags).tag;
        // But where what ran had no such group: it was compared by another order than what runs now.
        let is_one_order = !policy.contains("order");
        if is_one_order && (prerelease == Some(Prerelease::Same) || prerelease == Some(Prerelease::No)) {
            assert!(
                further.is_none() || policy == "digest" || !is_version(&current),
                "round {round}: {policy} {current} {chosen} {further:?}"
            );
        }
    }
    assert!(moved > 500 && stayed > 500, "{moved} moved, {stayed} stayed");
}

/// Whether the tag has a place in the order of versions: it is newer than the lowest one.
fn is_version(tag: &Tag) -> bool {
    is_newer(&selection("semver:*", None), tag, &"0-0".parse().unwrap())
}

#[test]
fn ten_thousand_tags_are_judged() {
    let tags: Vec<_> = (0..10_000)
        .map(|number| tag(&format!("{}.{}.{}-debian-12-r{}", number / 1000, number / 10 % 100, number % 10, number % 7)))
        .collect();
    let current = tag("1.0.0-debian-12-r0");
    for (policy, pattern) in [("semver:>=1, !=3.5.0 || ^12", r"regexp:^\d+\.\d+"), ("minor", "regexp:(a+)+$|r"), ("all", "glob:*-debian-*")]
    {
        let filter = Filter { allow: Some(Patterns::parse(pattern).unwrap()), ..Filter::default() };
        let selection = Selection { filter, ..selection(policy, None) };
        let choice = choose(&selection, Some(&current), &tags);
        assert!(choice.tag.is_some(), "{policy}: {}", choice.reason);
    }
}

/// Texts of the kinds that people write by mistake or to do harm, made of the pieces that the grammars know.
#[test]
fn no_text_makes_a_policy_or_a_pattern_panic() {
    let pieces = [
        "semver:",
        "glob:",
        "regexp:",
        "numerical",
        "alphabetical",
        "newest",
        "digest",
        ":asc",
        ":desc",
        ":",
        "||",
        ",",
        " ",
        " - ",
        ">=",
        "!=",
        "~>",
        "^",
        "*",
        "x",
        "1",
        "1.2",
        "1.2.3",
        "-rc.1",
        "-0",
        "99999999999999999999",
        "(",
        ")",
        "(?<order>",
        "(?P<compare>",
        r"\d+",
        "{1,99}",
        "[a-",
        "]",
        "?",
        ".",
        "|",
        ";",
        r"\x3b",
        "é",
        "\0",
        "\u{202e}",
    ];
    let mut random = fastrand::Rng::with_seed(0xfee1);
    let mut read = 0;
    for _ in 0..5_000 {
        let text: String = (0..random.usize(1..8)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        let kind = ["semver:", "glob:", "regexp:", ""][random.usize(..4)];
        let _ = Patterns::parse(&text);
        let Ok(policy) = Policy::parse(&format!("{kind}{text}")) else { continue };
        read += 1;
        let tags: Vec<_> = (0..random.usize(..8)).map(|_| some_tag(&mut random)).collect();
        let (current, selection) = (some_tag(&mut random), Selection::of(policy));
        let chosen = choose(&selection, Some(&current), &tags).tag;
        let mut turned = tags.clone();
        turned.reverse();
        assert_eq!(chosen, choose(&selection, Some(&current), &turned).tag, "{} from {current} among {tags:?}", selection.policy);
        let is_back = chosen.is_some_and(|chosen| is_newer(&selection, &current, &chosen));
        assert!(
            !is_back || selection.policy.follows_digest() || selection.policy.needs_build_times(),
            "{} from {current}",
            selection.policy
        );
    }
    assert!(read > 300, "{read}");
}

/// CF-03. The bound is no measure of speed: a matcher that backtracks takes longer than the universe lasts.
#[test]
fn a_pattern_made_to_be_slow_takes_time_linear_in_the_tags() {
    let tags: Vec<_> = (0..10_000).map(|number| tag(&format!("{}{number:05}", "a".repeat(123)))).collect();
    for pattern in ["regexp:(a+)+$", "regexp:(a|aa)+b", "regexp:(a*)*(a*)*(a*)*b", "glob:*a*a*a*a*a*a*b", r"regexp:a[ab]{60}b"] {
        let filter = Filter { allow: Some(Patterns::parse(pattern).unwrap()), ..Filter::default() };
        let start = Instant::now();
        let choice = choose(&Selection { filter, ..selection("semver:*", None) }, None, &tags);
        choose(&selection(pattern, None), None, &tags);
        choose(&selection(&pattern.replace("regexp:", "regexp:(?<order>.)"), None), None, &tags);
        let taken = start.elapsed();
        assert_eq!(choice.tag, None);
        assert!(taken < Duration::from_mins(1), "{pattern} took {taken:?}");
    }
}

//! Ranges of versions: what is in one follows from its parts, and does not depend on how it is spelt.

use super::{Target, assert_told_well, text, variant};
use crate::core::policy::{Asked, Listed, Policy, PolicyError, Prerelease, Selection, Verdict, evaluate};

pub const TARGET: Target = Target {
    pieces: &[
        "=",
        "!=",
        ">",
        ">=",
        "<",
        "<=",
        "~",
        "~>",
        "^",
        "*",
        "x",
        "X",
        "||",
        ",",
        " ",
        " - ",
        "-",
        ".",
        "v",
        "+",
        "1",
        "0",
        "1.2",
        "1.2.3",
        "0.0.3",
        "0.2",
        "1.x",
        "2.0.0-rc.1",
        "-0",
        "-alpine",
        "18446744073709551615",
        "18446744073709551616",
        "1.0.0-rc9",
        "1.0.0-rc10",
        "+build",
        "\n",
        "latest",
        "1.2.3.4",
    ],
    check,
    expected: &["some", "none", "Missing", "Version", "Hyphen", "Nothing", "TooLarge"],
};

/// Asked of every range, beside the tags of the input.
const VERSIONS: [&str; 19] = [
    "0.0.0",
    "0.0.3",
    "0.2.0",
    "0.2.9",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2.3-alpine",
    "1.2.3-rc.1",
    "1.2.3",
    "v1.2.4",
    "1.3.0",
    "1.99.0",
    "2.0.0-0",
    "2.0.0-rc.1",
    "2.0.0-rc.1-alpine",
    "2.0.0",
    "2.1.0-alpine",
    "3.0.0",
    "18446744073709551615.0.0",
];

/// The first line is a range; then tags.
fn check(input: &[u8]) -> String {
    let text = text(input);
    let (range, tags) = text.split_once('\n').unwrap_or((&text, ""));
    let tags: Vec<&str> = VERSIONS.into_iter().chain(tags.split_whitespace()).collect();
    let members = |range: &str| members(range, &tags);
    let found = match members(range) {
        Ok(found) => found,
        Err(error) => {
            assert_told_well(&error.to_string());
            return match error {
                PolicyError::Range(error) => variant(&error),
                other => variant(&other),
            };
        }
    };
    let check = |other: &str, expected: &[bool]| match members(other) {
        Ok(members) => assert_eq!(members, expected, "{range:?} and {other:?} among {tags:?}"),
        // The longest that is read may be spelt longer.
        Err(PolicyError::TooLong) => {}
        Err(error) => panic!("{range:?} is read, and {other:?} is not: {error}"),
    };
    check(&format!("{range}||{range}"), &found);
    check(&range.replace("||", " || ").replace(',', " , "), &found);
    let parts = |separator: &str| range.split(separator).map(|part| members(part).unwrap()).collect::<Vec<_>>();
    let (alternatives, all) = if range.contains("||") { (parts("||"), Vec::new()) } else { (Vec::new(), parts(",")) };
    for at in 0..tags.len() {
        assert!(
            alternatives.is_empty() || alternatives.iter().any(|part| part[at]) == found[at],
            "{range:?}: {} in one of its parts",
            tags[at]
        );
        assert!(all.iter().all(|part| part[at]) == found[at] || all.is_empty(), "{range:?}: {} in all of its parts", tags[at]);
    }
    // A bare version, and what is not it. Where it stands for several, pre-releases of the first one are neither.
    if let (Ok(is), Ok(is_not)) = (members(&format!("={range}")), members(&format!("!={range}")))
        && !range.contains(|character: char| character.is_whitespace() || "|,".contains(character))
    {
        let every = members("*").unwrap();
        let numbers = range.split(['-', '+']).next().unwrap_or_default();
        let is_full = numbers.split('.').count() == 3 && !numbers.contains(['x', 'X', '*']);
        for (at, tag) in tags.iter().enumerate() {
            let may_be_neither = !every[at] || (!is_full && tag.contains('-'));
            assert!(is[at] != is_not[at] || (!is[at] && may_be_neither), "{tag} is in ={range} or in !={range}, and never in both");
        }
    }
    if found.contains(&true) { "some" } else { "none" }.to_owned()
}

/// Which of the tags are in the range.
fn members(range: &str, tags: &[&str]) -> Result<Vec<bool>, PolicyError> {
    let policy = Policy::parse(&format!("semver:{range}"))?;
    assert_eq!(Policy::parse(policy.as_str()), Ok(policy.clone()));
    // So that the suffix has no say of its own.
    let selection = Selection { prerelease: Some(Prerelease::Yes), ..Selection::of(policy) };
    let listed: Vec<_> = tags.iter().copied().map(Listed::named).collect();
    let evaluation = evaluate(&selection, &Asked::default(), &listed);
    Ok(evaluation.verdicts().map(|(_, verdict, _)| verdict != Verdict::Refused).collect())
}

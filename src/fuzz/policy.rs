//! Policies: what they choose is listed, is admitted, is never lower than what runs, and is chosen whatever the order of the list; what is kept
//! of a listing answers as the listing would.

use super::{Target, assert_told_well, text, variant};
use crate::core::image::Tag;
use crate::core::policy::Asked;
use crate::core::policy::{Choice, Listed, Listing, Policy, Prerelease, Selection, Shortlist, Tags, Verdict, choose, evaluate, is_newer};

pub const TARGET: Target = Target {
    pieces: &[
        "semver:",
        "glob:",
        "regexp:",
        "numerical",
        "alphabetical",
        "newest",
        "digest",
        "major",
        "minor",
        "patch",
        "all",
        "never",
        "commit:a#b",
        ":asc",
        ":desc",
        ":",
        "\n",
        " ",
        "*",
        "?",
        "^1",
        ">=1.2",
        "<2",
        "~1",
        "||",
        "(?<order>\\d+)",
        "(?P<compare>.*)",
        "\\d+",
        "[",
        "(",
        ")",
        "{1,9}",
        "1.2.3",
        "1.2",
        "v1.3.0",
        "2.0.0-rc.1",
        "-alpine",
        "-rc2",
        "-alpine3.18",
        "latest",
        "main",
        "20240131",
        "0",
        "007",
        "99999999999999999999",
        "yes",
        "no",
        "same",
    ],
    check,
    expected: &["moves", "stays", "Unknown", "Pattern", "Range", "TakesNothing"],
};

/// The first line is a policy; the second the tag that runs and, if wanted, the `prerelease` directive; then the tags that are listed. The last
/// one is pushed after the listing.
fn check(input: &[u8]) -> String {
    let text = text(input);
    let mut lines = text.split('\n');
    let policy = match Policy::parse(lines.next().unwrap_or_default()) {
        Ok(policy) => policy,
        Err(error) => {
            assert_told_well(&error.to_string());
            return variant(&error);
        }
    };
    assert_eq!(Policy::parse(&policy.to_string()), Ok(policy.clone()), "what is shown is read as the same");
    let mut running = lines.next().unwrap_or_default().split_whitespace();
    let current: Tag = running.next().and_then(|tag| tag.parse().ok()).unwrap_or_else(|| "1.0.0".parse().unwrap());
    let prerelease = running.next().and_then(Prerelease::parse);
    let selection = Selection { prerelease, ..Selection::of(policy) };
    let mut tags: Vec<Tag> = lines.flat_map(str::split_whitespace).filter_map(|tag| tag.parse().ok()).collect();
    let pushed = tags.pop();
    let choice = choose(&selection, Some(&current), &tags);
    check_choice(&selection, &current, &tags, &choice);
    if !selection.depends_on_time() {
        check_kept(&selection, &current, &tags, &choice, pushed.as_ref());
    }
    if choice.tag.is_some() { "moves" } else { "stays" }.to_owned()
}

/// What holds for every choice.
pub(super) fn check_choice(selection: &Selection, current: &Tag, tags: &[Tag], choice: &Choice) {
    let policy = &selection.policy;
    assert_told_well(&choice.reason);
    let mut turned = tags.to_vec();
    turned.reverse();
    assert_eq!(choose(selection, Some(current), &turned).tag, choice.tag, "backwards");
    turned.rotate_left(tags.len() / 2);
    assert_eq!(choose(selection, Some(current), &turned).tag, choice.tag, "turned");
    assert_eq!(choice.qualifying > 0, choice.tag.is_some());
    let listed: Vec<_> = tags.iter().map(|tag| Listed::named(tag.as_str())).collect();
    let evaluation = evaluate(selection, &Asked { current: Some(current.as_str()), ..Asked::default() }, &listed);
    let of = |wanted: Verdict| evaluation.verdicts().filter(|(_, verdict, _)| *verdict == wanted).map(|(tag, ..)| tag).collect::<Vec<_>>();
    assert_eq!(of(Verdict::Chosen), choice.tag.iter().map(Tag::as_str).collect::<Vec<_>>(), "listed, and said to be chosen");
    assert_eq!(choice.qualifying, of(Verdict::Eligible).len() + usize::from(choice.tag.is_some()));
    let Some(chosen) = &choice.tag else { return };
    // Of those that follow a tag the order is time.
    if !policy.follows_digest() {
        assert!(chosen != current && !is_newer(selection, current, chosen), "{policy} goes back from {current} to {chosen}");
        for eligible in of(Verdict::Eligible) {
            assert!(!is_newer(selection, &eligible.parse().unwrap(), chosen), "{policy}: {eligible} is newer than {chosen}");
        }
    }
    // What does not qualify has no say.
    assert_eq!(choose(selection, Some(current), std::slice::from_ref(chosen)).tag.as_ref(), Some(chosen), "alone");
}

/// What is kept of the listing answers as the listing would: now, from what was chosen, and when a tag has been pushed since.
fn check_kept(selection: &Selection, current: &Tag, tags: &[Tag], choice: &Choice, pushed: Option<&Tag>) {
    let mut kept = Shortlist::of(selection, current, tags);
    let whole = Listing::Whole(Tags::from(tags.to_vec()).answering(vec![kept.clone()]));
    assert_eq!(whole.choose(selection, current).as_ref(), Some(choice));
    let same = Listing::Same(vec![kept.clone()]);
    assert_eq!(same.choose(selection, current).as_ref(), Some(choice));
    if let Some(chosen) = &choice.tag
        && let Some(next) = same.choose(selection, chosen)
    {
        assert_eq!(next.tag, choose(selection, Some(chosen), tags).tag, "from {chosen}");
    }
    if let Some(pushed) = pushed {
        kept.add(pushed);
        let whole: Vec<Tag> = tags.iter().chain([pushed]).cloned().collect();
        let answer = Listing::Kept(vec![kept]).choose(selection, current).expect("of the same question");
        assert_eq!(answer.tag, choose(selection, Some(current), &whole).tag, "with {pushed}");
    }
}

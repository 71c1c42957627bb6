use super::*;
use crate::core::image::Pin;
use crate::core::policy::{Filter, KINDS, Patterns, Policy, Prerelease, choose};

fn selection(policy: &str) -> Selection {
    Selection { policy: Policy::parse(policy).unwrap(), filter: Filter::default(), prerelease: None, pin: Pin::Tag }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| tag(text)).collect()
}

/// What the kept listing chooses, with how many qualify; `None` where it does not know.
fn chosen(shortlist: &Shortlist, selection: &Selection, current: &str) -> Option<(Option<String>, usize)> {
    let choice = Listing::Kept(vec![shortlist.clone()]).choose(selection, &tag(current))?;
    Some((choice.tag.map(|tag| tag.to_string()), choice.qualifying))
}

#[track_caller]
fn check(shortlist: &Shortlist, selection: &Selection, current: &str, expected: Option<(Option<&str>, usize)>) {
    let expected = expected.map(|(tag, qualifying)| (tag.map(str::to_owned), qualifying));
    assert_eq!(chosen(shortlist, selection, current), expected);
}

#[test]
fn a_tag_that_was_read_since_counts_as_one_more() {
    let minor = selection("minor");
    let mut kept = Shortlist::of(&minor, &tag("1.0.0"), &tags(&["1.0.0", "1.1.0", "2.0.0", "latest"]));
    check(&kept, &minor, "1.0.0", Some((Some("1.1.0"), 1)));
    for told in ["1.2.0", "1.2.0", "2.1.0", "edge"] {
        kept.add(&tag(told));
        check(&kept, &minor, "1.0.0", Some((Some("1.2.0"), 2)));
    }
    kept.add(&tag("1.1.5"));
    check(&kept, &minor, "1.0.0", Some((Some("1.2.0"), 3)));
}

#[test]
fn it_answers_for_the_tag_that_ran_and_for_the_best_that_may_run_now() {
    let minor = selection("minor");
    let kept = Shortlist::of(&minor, &tag("1.0.0"), &tags(&["0.9.0", "1.0.0", "1.1.0", "1.2.0"]));
    check(&kept, &minor, "1.1.0", Some((Some("1.2.0"), 1)));
    check(&kept, &minor, "1.2.0", Some((None, 0)));
    check(&kept, &minor, "0.9.0", None);
    check(&kept, &minor, "1.3.0", None);
    let from_latest = Shortlist::of(&selection("all"), &tag("latest"), &tags(&["1.0.0", "1.1.0", "1.2.0-rc.1"]));
    check(&from_latest, &selection("all"), "latest", Some((Some("1.1.0"), 2)));
    check(&from_latest, &selection("all"), "1.1.0", None);
    check(&kept, &selection("patch"), "1.0.0", None);
    let ignoring = Filter { ignore: Some(Patterns::parse("glob:1.2.*").unwrap()), ..Filter::default() };
    check(&kept, &Selection { filter: ignoring, ..minor.clone() }, "1.0.0", None);
    check(&kept, &Selection { prerelease: Some(Prerelease::Yes), ..minor }, "1.0.0", None);
}

#[test]
fn filters_hold_for_what_was_read_since() {
    let ignoring = Filter { ignore: Some(Patterns::parse("glob:*.9").unwrap()), ..Filter::default() };
    let minor = Selection { filter: ignoring, ..selection("minor") };
    let mut kept = Shortlist::of(&minor, &tag("1.0.0"), &tags(&["1.0.0", "1.1.0"]));
    kept.add(&tag("1.1.9"));
    check(&kept, &minor, "1.0.0", Some((Some("1.1.0"), 1)));
}

#[test]
fn tags_of_one_rank_are_told_apart_as_in_a_listing() {
    let minor = selection("minor");
    let mut kept = Shortlist::of(&minor, &tag("1.0.0"), &tags(&["1.1.0"]));
    kept.add(&tag("v1.1.0"));
    check(&kept, &minor, "1.0.0", Some((Some("v1.1.0"), 2)));
    let mut kept = Shortlist::of(&minor, &tag("1.0.0"), &tags(&["v1.1.0"]));
    kept.add(&tag("1.1.0"));
    check(&kept, &minor, "1.0.0", Some((Some("v1.1.0"), 2)));
    check(&kept, &minor, "v1.1.0", Some((None, 0)));
}

#[test]
fn a_tag_that_is_followed_is_followed_also_when_it_was_not_listed() {
    let digest = selection("digest");
    let mut kept = Shortlist::of(&digest, &tag("main"), &tags(&["1.0.0"]));
    check(&kept, &digest, "main", Some((None, 0)));
    kept.add(&tag("edge"));
    check(&kept, &digest, "main", Some((None, 0)));
    kept.add(&tag("main"));
    check(&kept, &digest, "main", Some((Some("main"), 1)));
}

#[test]
fn only_so_many_are_kept_and_all_are_counted() {
    let all = selection("all");
    let listed: Vec<Tag> = (1..=100).map(|patch| tag(&format!("1.0.{patch}"))).collect();
    let mut kept = Shortlist::of(&all, &tag("1.0.0"), &listed);
    assert_eq!(kept.best().count(), BEST_MAX);
    check(&kept, &all, "1.0.0", Some((Some("1.0.100"), 100)));
    kept.add(&tag("1.0.50"));
    check(&kept, &all, "1.0.0", Some((Some("1.0.100"), 100)));
    kept.add(&tag("1.0.101"));
    check(&kept, &all, "1.0.0", Some((Some("1.0.101"), 101)));
    assert_eq!(kept.best().count(), BEST_MAX);
    check(&kept, &all, "1.0.99", Some((Some("1.0.101"), 2)));
    check(&kept, &all, "1.0.50", None);
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// A tag of the kinds that are met: versions of one to three numbers, with and without `v`, pre-releases, variants, names.
    fn tag(&mut self) -> Tag {
        let prefix = if self.below(4) == 0 { "v" } else { "" };
        let numbers: Vec<String> = (0..=self.below(6).min(2)).map(|_| self.below(4).to_string()).collect();
        let suffixes = ["", "", "", "-rc.1", "-rc.2", "-alpine", "-alpine3", "-beta"];
        let suffix = usize::try_from(self.below(8)).ok().and_then(|at| suffixes.get(at)).copied().unwrap_or_default();
        match self.below(12) {
            0 => tag("latest"),
            1 => tag("main"),
            _ => tag(&format!("{prefix}{}{suffix}", numbers.join("."))),
        }
    }
}

/// The rule that a further kind of policy must keep to be answered from what is kept.
#[test]
fn whatever_the_policy_it_chooses_what_a_listing_with_the_new_tag_in_it_would_be_answered_with() {
    let mut numbers = Numbers(0x5eed);
    let (mut answered, mut moved_on) = (0, 0);
    for round in 0..1_200 {
        let kind = KINDS.get(round % KINDS.len()).unwrap();
        let prerelease =
            [None, Some(Prerelease::Yes), Some(Prerelease::No), Some(Prerelease::Same)].get(round / KINDS.len() % 4).copied().unwrap();
        let pattern = if kind.name == "glob" { "*.?*" } else { r"^v?(?<order>\d+\.\d)|^[a-z]" };
        let direction = [":asc", ":desc", ""].get(round % 3).copied().unwrap();
        let form = kind.form.replace("<range>", ">=0.2").replace("<pattern>", pattern).replace("[:asc|desc]", direction);
        let selection = Selection { prerelease, ..selection(&form) };
        let mut listed: Vec<Tag> = (0..numbers.below(60)).map(|_| numbers.tag()).collect();
        listed.sort();
        listed.dedup();
        let current = numbers.tag();
        let mut kept = Shortlist::of(&selection, &current, &listed);
        for _ in 0..3 {
            let told = numbers.tag();
            kept.add(&told);
            if !listed.contains(&told) {
                listed.push(told);
            }
            let running = [current.clone()].into_iter().chain(kept.best().map(tag)).collect::<Vec<_>>();
            for running in running {
                let Some(found) = Listing::Kept(vec![kept.clone()]).choose(&selection, &running) else { continue };
                let expected = choose(&selection, Some(&running), &listed);
                assert_eq!(found.tag, expected.tag, "round {round}: {} from {running} among {listed:?}", kind.name);
                // The same where something stands against some of them.
                let bars = |tag: &Tag| (tag.as_str().len() + round).is_multiple_of(2).then(|| "is not for us".into());
                let found = Listing::Kept(vec![kept.clone()]).choose_but(&selection, &running, None, &bars).unwrap();
                let expected = Listing::Whole(listed.clone().into()).choose_but(&selection, &running, None, &bars).unwrap();
                assert_eq!(found.tag, expected.tag, "round {round}: {} from {running} among {listed:?}, some barred", kind.name);
                answered += 1;
                moved_on += usize::from(running != current && found.tag.is_some());
            }
        }
    }
    assert!(answered > 3_000 && moved_on > 300, "{answered}, {moved_on}");
}

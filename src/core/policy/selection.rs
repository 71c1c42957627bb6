//! A policy together with its filters, and what both say to a list of tags.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::bars::{Bars, Passed, pass};
use super::filter::Filter;
use super::rank::{Judgement, Refusal};
use super::{Built, Listed, Policy, Prerelease, Question};
use crate::core::image::{Digest, Pin, Tag};

/// How tags are chosen for one container: what its directives say.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Selection {
    /// The policy.
    pub policy: Policy,
    /// Which tags it may look at.
    pub filter: Filter,
    /// Whether pre-releases count; `None` takes the policy's default.
    pub prerelease: Option<Prerelease>,
    /// How the image is written.
    pub pin: Pin,
}

/// What is known of the container that a tag is chosen for, and the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The tag that runs, which need not be listed nor legal; `None` when the image names none.
    pub current: Option<&'a str>,
    /// The digest that runs, when it is known.
    pub digest: Option<&'a Digest>,
    /// When the current tag was built; where it is listed, what is listed counts.
    pub current_built: Built,
    /// The time by which tags have an age; without it none is known.
    pub now: Option<Timestamp>,
}

/// What the selection makes of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The tag to move to; `None` stays where it is.
    pub tag: Option<Tag>,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// How many tags qualify, the chosen one included.
    pub qualifying: usize,
}

/// What becomes of one tag, the best first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It is the one.
    Chosen,
    /// It qualifies, and another ranks higher.
    Eligible,
    /// It does not qualify.
    Refused,
}

/// The selection's answer to every tag of a list.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    tags: &'a [Listed<'a>],
    judgement: Judgement,
    /// What stands against the highest tags beside the policy; `None` where nothing does.
    passed: Option<Passed>,
}

/// Chooses among the tags of a complete listing. The choice is newer than `current` in the policy's order, or, for a policy that
/// follows a tag, is `current`; it does not depend on the order of the list. `current` need not be listed.
pub fn choose(selection: &Selection, current: Option<&Tag>, tags: &[Tag]) -> Choice {
    let listed: Vec<_> = tags.iter().map(|tag| Listed::named(tag.as_str())).collect();
    evaluate(selection, &Asked { current: current.map(Tag::as_str), ..Asked::default() }, &listed).choice()
}

/// Says of every tag what becomes of it. Tags are texts here, since a list given by hand may hold anything.
pub fn evaluate<'a>(selection: &Selection, asked: &Asked<'_>, tags: &'a [Listed<'a>]) -> Evaluation<'a> {
    let &Asked { current, digest, current_built, now } = asked;
    let Selection { policy, filter, prerelease, .. } = selection;
    let question = Question { current, current_digest: digest, current_built, prerelease: *prerelease, filter, now, tags };
    Evaluation { tags, judgement: policy.kind.judge(&question), passed: None }
}

impl Selection {
    /// A policy with nothing beside it.
    pub fn of(policy: Policy) -> Self {
        Self { policy, filter: Filter::default(), prerelease: None, pin: Pin::Tag }
    }

    /// The same, whatever the age of tags.
    #[must_use]
    pub fn of_any_age(&self) -> Self {
        Self { filter: Filter { min_age: None, ..self.filter.clone() }, ..self.clone() }
    }

    /// Whether the choice depends on times, so that the same list may lead to another tag later, or when more is known.
    pub fn depends_on_time(&self) -> bool {
        self.policy.needs_build_times() || self.filter.min_age.is_some()
    }
}

/// Whether `candidate` is newer than `than` in the policy's order: what a binding on `than` lets pass. With `digest` it always is,
/// since that policy's order is time and whoever asks has compared the digests. With tags that are no version it never is.
pub fn is_newer(selection: &Selection, candidate: &Tag, than: &Tag) -> bool {
    selection.policy.kind.is_newer(candidate.as_str(), than.as_str())
}

impl Verdict {
    /// Its name in `policy eval` and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Eligible => "eligible",
            Self::Refused => "refused",
        }
    }
}

/// Something else than the policy stands against a tag; what it is, is told beside.
const BARRED: Refusal = Refusal::new("it does not offer what its pods need");
const BELOW_BARRED: Refusal = Refusal::new("ranks below tags that do not offer what their pods need, and no more of them are looked at");

impl<'a> Evaluation<'a> {
    /// The same with what stands against the tags that rank highest; `None` where nothing does.
    pub fn but(&self, bars: &Bars<'_>) -> Option<Self> {
        let passed = pass(self.best(), bars);
        if passed.barred.is_empty() {
            return None;
        }
        let mut judgement = self.judgement.clone();
        for at in judgement.best.drain(..passed.barred.len()) {
            if let Some(refusal) = judgement.refusals.get_mut(at) {
                *refusal = Some(BARRED);
            }
        }
        if !passed.is_found {
            judgement = judgement.withheld(BELOW_BARRED);
        }
        Some(Self { tags: self.tags, judgement, passed: Some(passed) })
    }

    /// The place in the list of the tag that is chosen.
    pub fn chosen(&self) -> Option<usize> {
        self.judgement.best.first().copied()
    }

    /// The name of the tag that is chosen.
    pub fn candidate(&self) -> Option<&'a str> {
        self.best().next()
    }

    /// Every tag with its verdict and the reason for it, in the order of the list.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'a str, Verdict, Cow<'static, str>)> {
        let below = format!("ranks below {}", self.candidate().unwrap_or_default());
        let judged = self.tags.iter().zip(&self.judgement.refusals).enumerate();
        judged.map(move |(at, (listed, refusal))| match refusal {
            Some(refusal) => (listed.tag, Verdict::Refused, self.against(listed.tag).unwrap_or(refusal.as_str().into())),
            None if Some(at) == self.chosen() => (listed.tag, Verdict::Chosen, self.rank().into()),
            None => (listed.tag, Verdict::Eligible, below.clone().into()),
        })
    }

    /// What stands against the tag beside the policy.
    fn against(&self, tag: &str) -> Option<Cow<'static, str>> {
        let (_, against) = self.passed.as_ref()?.barred.iter().find(|(barred, _)| **barred == *tag)?;
        Some(against.to_string().into())
    }

    /// What comes of it. A chosen text that is no tag is none.
    pub fn choice(&self) -> Choice {
        let tag = self.candidate().and_then(|tag| tag.parse().ok());
        Choice { tag, reason: self.reason(), qualifying: self.qualifying() }
    }

    /// Why the whole came out as it did, in one sentence without a full stop.
    pub fn reason(&self) -> String {
        match (self.candidate(), &self.passed) {
            (tag, Some(passed)) => told(tag, self.qualifying(), self.tags.len(), passed),
            (Some(tag), None) => format!("{tag} is {}", self.rank()),
            (None, None) if self.tags.is_empty() => "there are no tags to choose from".to_owned(),
            (None, None) => format!("none of {} qualifies: {}", tags(self.tags.len()), self.refusals()),
        }
    }

    /// The tags that rank highest among those that qualify, the one that is chosen first.
    pub(super) fn best(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.judgement.best.iter().filter_map(|at| self.tags.get(*at)).map(|listed| listed.tag)
    }

    /// The tags that the policy would move to, were they old enough.
    pub(super) fn too_young(&self) -> impl Iterator<Item = &'a Listed<'a>> {
        let judged = self.tags.iter().zip(&self.judgement.refusals);
        judged.filter(|(_, refusal)| refusal.is_some_and(Refusal::is_for_age)).map(|(listed, _)| listed)
    }

    /// How many tags qualify.
    pub(super) fn qualifying(&self) -> usize {
        self.judgement.refusals.iter().filter(|refusal| refusal.is_none()).count()
    }

    /// What the chosen tag is among the others.
    fn rank(&self) -> String {
        rank(self.qualifying(), self.tags.len())
    }

    /// How many tags were refused for which reason, the most frequent first.
    fn refusals(&self) -> String {
        let mut counted: Vec<(Refusal, usize)> = Vec::new();
        for refusal in self.judgement.refusals.iter().flatten() {
            match counted.iter_mut().find(|(known, _)| known == refusal) {
                Some((_, count)) => *count += 1,
                None => counted.push((*refusal, 1)),
            }
        }
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut text = String::new();
        for (refusal, count) in counted {
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{count} × {}", refusal.as_str());
        }
        text
    }
}

/// Why this tag is chosen, or none, where something stands against others that rank higher.
pub(super) fn told(tag: Option<&str>, qualifying: usize, listed: usize, passed: &Passed) -> String {
    match tag {
        Some(tag) => format!("{tag} is {}; {}", rank(qualifying, listed), passed.told()),
        None => passed.told(),
    }
}

/// What the chosen one of so many that qualify is.
pub(super) fn rank(qualifying: usize, listed: usize) -> String {
    match qualifying {
        1 => format!("the only one of {} that qualifies", tags(listed)),
        qualifying => format!("the highest of {} that qualify", tags(qualifying)),
    }
}

fn tags(count: usize) -> String {
    if count == 1 { "1 tag".to_owned() } else { format!("{count} tags") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::{Listing, Patterns, Shortlist};

    fn selection(policy: &str, allow: Option<&str>, ignore: Option<&str>) -> Selection {
        let read = |text: Option<&str>| text.map(|text| Patterns::parse(text).unwrap());
        let filter = Filter { allow: read(allow), ignore: read(ignore), min_age: None };
        Selection { filter, ..Selection::of(Policy::parse(policy).unwrap()) }
    }

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(selection: &Selection, current: &str, list: &[&str], chosen: Option<&str>, reason: &str) {
        let tags: Vec<Tag> = list.iter().map(|text| tag(text)).collect();
        let choice = choose(selection, Some(&tag(current)), &tags);
        assert_eq!((choice.tag.as_ref().map(Tag::as_str), choice.reason.as_str()), (chosen, reason));
    }

    #[test]
    fn the_reason_says_what_stood_in_the_way() {
        let minor = selection("minor", None, None);
        check(&minor, "1.0.0", &["1.0.0", "1.1.0", "1.2.0"], Some("1.2.0"), "1.2.0 is the highest of 2 tags that qualify");
        check(&minor, "1.0.0", &["1.0.0", "1.1.0"], Some("1.1.0"), "1.1.0 is the only one of 2 tags that qualifies");
        check(&minor, "1.0.0", &[], None, "there are no tags to choose from");
        check(
            &minor,
            "1.0.0",
            &["1.0.0", "latest", "edge", "2.0.0", "0.9.0"],
            None,
            "none of 5 tags qualifies: 2 × no version; 2 × another major version than the current tag; 1 × the current tag itself",
        );
    }

    #[test]
    fn filters_come_before_the_policy() {
        let filtered = selection("semver:*", Some("glob:1.*"), Some("glob:*.9"));
        check(&filtered, "1.0.0", &["1.0.9", "1.0.8", "2.0.0"], Some("1.0.8"), "1.0.8 is the only one of 3 tags that qualifies");
        let list = ["1.0.9", "1.0.8", "2.0.0", "1.0.7"].map(Listed::named);
        let evaluation = evaluate(&filtered, &Asked::default(), &list);
        let verdicts: Vec<_> = evaluation.verdicts().map(|(tag, verdict, reason)| format!("{tag} {} {reason}", verdict.as_str())).collect();
        let expected = [
            "1.0.9 refused matches ignore-tags",
            "1.0.8 chosen the highest of 2 tags that qualify",
            "2.0.0 refused does not match allow-tags",
            "1.0.7 eligible ranks below 1.0.8",
        ];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn what_stands_against_the_best_beside_the_policy_is_told_of_it() {
        let minor = selection("minor", None, None);
        let list = ["1.1.0", "1.2.0", "1.3.0", "2.0.0"].map(Listed::named);
        let evaluation = evaluate(&minor, &Asked { current: Some("1.0.0"), ..Asked::default() }, &list);
        assert!(evaluation.but(&|_| None).is_none());
        let bars = |barred: &'static [&str]| move |tag: &Tag| barred.contains(&tag.as_str()).then(|| "is not for us".into());
        let barred = evaluation.but(&bars(&["1.3.0", "1.1.0"])).unwrap();
        let verdicts: Vec<_> = barred.verdicts().map(|(tag, verdict, reason)| format!("{tag} {} {reason}", verdict.as_str())).collect();
        let expected = [
            "1.1.0 eligible ranks below 1.2.0",
            "1.2.0 chosen the highest of 2 tags that qualify",
            "1.3.0 refused is not for us",
            "2.0.0 refused another major version than the current tag",
        ];
        assert_eq!(verdicts, expected);
        let choice = barred.choice();
        assert_eq!((choice.tag, choice.qualifying), (Some(tag("1.2.0")), 2));
        assert_eq!(choice.reason, "1.2.0 is the highest of 2 tags that qualify; 1.3.0 is not for us");
        let none = evaluation.but(&bars(&["1.1.0", "1.2.0", "1.3.0"])).unwrap().choice();
        let reason = "1.3.0 is not for us; 2 more tags are left out for reasons like this";
        assert_eq!((none.tag, none.qualifying, none.reason.as_str()), (None, 0, reason));
        for kept in [Listing::Whole(["1.1.0", "1.3.0"].map(tag).to_vec().into()), kept_of(&minor, &["1.1.0", "1.3.0"])] {
            let choice = kept.choose_but(&minor, &tag("1.0.0"), None, &bars(&["1.3.0"])).unwrap();
            let reason = "1.1.0 is the only one of 2 tags that qualifies; 1.3.0 is not for us";
            assert_eq!((choice.tag, choice.qualifying, choice.reason.as_str()), (Some(tag("1.1.0")), 1, reason));
        }
    }

    fn kept_of(selection: &Selection, tags: &[&str]) -> Listing {
        let tags: Vec<Tag> = tags.iter().map(|text| tag(text)).collect();
        Listing::Same(vec![Shortlist::of(selection, &tag("1.0.0"), &tags)])
    }

    #[test]
    fn never_leaves_everything_alone() {
        check(&selection("never", None, None), "1.0.0", &["2.0.0"], None, "none of 1 tag qualifies: 1 × the policy is never");
    }

    #[test]
    fn newer_is_a_question_of_the_order_and_not_of_the_range() {
        let newer = |policy: &str, candidate: &str, than: &str| is_newer(&selection(policy, None, None), &tag(candidate), &tag(than));
        assert!(newer("semver:^1", "2.0.0", "1.0.0"));
        assert!(!newer("minor", "1.0.0", "v1.0.0"));
        assert!(!newer("minor", "1.0.0", "1.0.1"));
        assert!(!newer("minor", "1.0.1", "latest"));
        assert!(!newer("minor", "latest", "1.0.1"));
        assert!(newer("digest", "latest", "latest"));
        assert!(!newer("never", "2.0.0", "1.0.0"));
    }
}

//! The tags of a complete listing, and what is known of their age.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Asked, Bars, Built, Choice, Evaluation, Listed, Selection, Shortlist, evaluate};
use crate::core::image::{Digest, Tag};

/// The tags of a complete listing. Of those that no policy asks the age of, only the names are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tags {
    names: Vec<Tag>,
    ages: BTreeMap<Tag, Age>,
    /// What tags point at, where the age of the very image counts.
    digests: BTreeMap<Tag, Digest>,
    /// What this very list was asked already. Many workloads ask the same, and ten thousand tags are judged once for all of them.
    answers: Vec<Shortlist>,
    /// What is asked and not answered by this list, with the tag that runs.
    withheld: Vec<(Selection, Tag)>,
    /// When the list was read, by which tags have an age.
    at: Option<Timestamp>,
    /// Whether a tag without a first sight is seen first at this listing.
    are_seen: bool,
    /// When a tag that a policy would rather move to becomes old enough.
    pub old_enough_at: Option<Timestamp>,
    /// Whether there is more to read about the tags than one look reads.
    pub is_incomplete: bool,
    /// What kept skeg from reading about the tags, where something did. Policies that go by names alone do not mind.
    pub trouble: Option<Box<str>>,
}

/// What is known of the age of one tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Age {
    /// When its image was built.
    pub built: Built,
    /// When it was seen first.
    pub first_seen: Option<Timestamp>,
}

/// What runs in the container that a tag is chosen for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Running<'a> {
    /// The tag; `None` when the image names none.
    pub tag: Option<&'a Tag>,
    /// The digest, when the image says it.
    pub digest: Option<&'a Digest>,
    /// What the tag points at now, when that was read.
    pub listed: Option<&'a Digest>,
}

impl Tags {
    /// A list that was read at `at`.
    pub fn read(names: Vec<Tag>, at: Timestamp) -> Self {
        Self { names, at: Some(at), ..Self::default() }
    }

    /// The same list, which was asked this already.
    #[must_use]
    pub fn answering(self, answers: Vec<Shortlist>) -> Self {
        Self { answers, ..self }
    }

    /// The names, as listed.
    pub fn names(&self) -> &[Tag] {
        &self.names
    }

    /// Notes the age of a tag, which need not be listed: so is what runs, and what it is compared with.
    pub fn note(&mut self, tag: &Tag, age: Age) {
        self.ages.insert(tag.clone(), age);
    }

    /// Notes what a tag points at.
    pub fn note_digest(&mut self, tag: &Tag, digest: Digest) {
        self.digests.insert(tag.clone(), digest);
    }

    /// What a tag points at, where that was noted.
    pub fn digest(&self, tag: &Tag) -> Option<&Digest> {
        self.digests.get(tag)
    }

    /// Leaves open what the selection chooses where this tag runs: nothing is chosen, whatever ranks below.
    pub fn withhold(&mut self, selection: &Selection, current: &Tag) {
        if !self.is_withheld(selection, Some(current)) {
            self.withheld.push((selection.clone(), current.clone()));
        }
    }

    fn is_withheld(&self, selection: &Selection, current: Option<&Tag>) -> bool {
        self.withheld.iter().any(|(asked, running)| Some(running) == current && asked == selection)
    }

    /// By which time tags have an age.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// When the tag was built, as far as was noted.
    pub fn built(&self, tag: &Tag) -> Built {
        self.age(tag).built
    }

    /// What the selection chooses; see [`choose`](super::choose).
    pub fn choose(&self, selection: &Selection, current: Option<&Tag>) -> Choice {
        self.choose_over(selection, current, None)
    }

    /// What waits for its age, as an end of the sentence that nothing is chosen; empty where nothing does.
    pub fn waits(&self, selection: &Selection, current: Option<&Tag>, digest: Option<&Digest>) -> String {
        let next = self.next_old_enough(selection, current, digest);
        next.map_or_else(String::new, |(tag, at)| format!("; {tag} waits for min-age until {at:.0}"))
    }

    /// What the selection chooses where this tag runs, at this digest when the image says it.
    pub fn choose_over(&self, selection: &Selection, current: Option<&Tag>, digest: Option<&Digest>) -> Choice {
        self.choose_but(selection, current, digest, &|_| None)
    }

    /// The same, where `bars` tells what stands against a tag beside the selection.
    pub fn choose_but(&self, selection: &Selection, current: Option<&Tag>, digest: Option<&Digest>, bars: &Bars<'_>) -> Choice {
        let known =
            current.and_then(|current| self.answers.iter().find(|known| known.is_of(selection, current))?.choose(selection, current, bars));
        if let Some(choice) = known {
            return choice;
        }
        let choice = |evaluation: &Evaluation<'_>| evaluation.but(bars).as_ref().unwrap_or(evaluation).choice();
        let mut choice = self.judge(selection, self.running(current, digest), choice);
        if let Some(tag) = choice.tag.take_if(|_| self.is_withheld(selection, current)) {
            choice = Choice {
                tag: None,
                reason: format!("it could not be made sure of {tag} at this look, and nothing below it is chosen instead"),
                qualifying: 0,
            };
        }
        if choice.tag.is_none() {
            choice.reason.push_str(&self.waits(selection, current, digest));
        }
        if let Some(trouble) = self.trouble.as_ref().filter(|_| choice.tag.is_none() && selection.depends_on_time()) {
            choice.reason.push_str("; not all could be read: ");
            choice.reason.push_str(trouble);
        }
        choice
    }

    /// What is known of the age of a tag.
    pub fn age(&self, tag: &Tag) -> Age {
        self.ages.get(tag).copied().unwrap_or_default()
    }

    /// Every tag of which no first sight is noted is seen first now: it has no age yet, whenever it was built.
    pub fn see_all(&mut self) {
        self.are_seen = true;
    }

    /// What runs, and what its tag points at now as far as was noted.
    pub(super) fn running<'a>(&'a self, tag: Option<&'a Tag>, digest: Option<&'a Digest>) -> Running<'a> {
        Running { tag, digest, listed: tag.and_then(|tag| self.digests.get(tag)) }
    }

    /// What `tell` makes of the selection's answer to every tag.
    pub fn judge<T>(&self, selection: &Selection, running: Running<'_>, tell: impl FnOnce(&Evaluation<'_>) -> T) -> T {
        self.judge_among(&self.names, selection, running, tell)
    }

    /// The same where only these tags are listed.
    pub(super) fn judge_among<T>(
        &self,
        names: &[Tag],
        selection: &Selection,
        running: Running<'_>,
        tell: impl FnOnce(&Evaluation<'_>) -> T,
    ) -> T {
        let Running { tag: current, digest, listed: listed_digest } = running;
        let is_asked = !self.ages.is_empty();
        let list = |tag| {
            let Age { built, first_seen } = if is_asked { self.age(tag) } else { Age::default() };
            let first_seen = first_seen.or(self.at.filter(|_| self.are_seen));
            let digest = listed_digest.filter(|_| current == Some(tag));
            Listed { digest, built, first_seen, ..Listed::named(tag.as_str()) }
        };
        let listed: Vec<_> = names.iter().map(list).collect();
        let current_built = current.map_or(Built::Unread, |current| self.age(current).built);
        let asked = Asked { current: current.map(Tag::as_str), current_built, digest, now: self.at };
        tell(&evaluate(selection, &asked, &listed))
    }
}

impl From<Vec<Tag>> for Tags {
    /// A list of which only the names are known.
    fn from(names: Vec<Tag>) -> Self {
        Self { names, ..Self::default() }
    }
}

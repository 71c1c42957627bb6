//! The tags of a complete listing, and what is known of their age.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Asked, Built, Choice, Evaluation, Listed, Selection, Shortlist, evaluate};
use crate::core::image::{Digest, Tag};

/// The tags of a complete listing. Of those that no policy asks the age of, only the names are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tags {
    names: Vec<Tag>,
    ages: BTreeMap<Tag, Age>,
    /// What this very list was asked already. Many workloads ask the same, and ten thousand tags are judged once for all of them.
    answers: Vec<Shortlist>,
    /// When the list was read, by which tags have an age.
    at: Option<Timestamp>,
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

    /// When the tag was built, as far as was noted.
    pub fn built(&self, tag: &Tag) -> Built {
        self.age(tag).built
    }

    /// What the selection chooses; see [`choose`](super::choose).
    pub fn choose(&self, selection: &Selection, current: Option<&Tag>) -> Choice {
        let known =
            current.and_then(|current| self.answers.iter().find(|known| known.is_of(selection, current))?.choose(selection, current));
        if let Some(choice) = known {
            return choice;
        }
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
        let mut choice = self.judge(selection, Running { tag: current, ..Running::default() }, |evaluation| evaluation.choice());
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

    /// What `tell` makes of the selection's answer to every tag.
    pub fn judge<T>(&self, selection: &Selection, running: Running<'_>, tell: impl FnOnce(&Evaluation<'_>) -> T) -> T {
        let Running { tag: current, digest, listed: listed_digest } = running;
        let is_asked = !self.ages.is_empty();
        let list = |tag| {
            let Age { built, first_seen } = if is_asked { self.age(tag) } else { Age::default() };
            let digest = listed_digest.filter(|_| current == Some(tag));
            Listed { digest, built, first_seen, ..Listed::named(tag.as_str()) }
        };
        let listed: Vec<_> = self.names.iter().map(list).collect();
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

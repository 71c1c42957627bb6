//! What is kept of a complete listing: for each question that was put to it, the tags that rank highest.
//!
//! ```text
//! complete listing ──► the best sixteen ──┐
//! a tag that was read since ──────────────┴──► what a new listing with that tag in it would be answered with
//! ```
//!
//! A question is a selection with the tag that runs. The same list serves when one of the best runs by now and the tag before it had a place in
//! the policy's order: what qualifies above the new one is a part of what qualified before, and all of it is among the best. (From `latest` to
//! a version is no such step: pre-releases may qualify after it that did not before.) Any other question needs a new listing, and so does every
//! question about times, which are not kept.

use super::rank::BEST_MAX;
use super::selection::rank;
use super::{Asked, Choice, Evaluation, Listed, Selection, Tags, evaluate, is_newer};
use crate::core::image::Tag;

/// The tags of a repository, as far as they are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listing {
    /// A complete listing, just read.
    Whole(Tags),
    /// What was kept of the last one, to which a complete listing, just read, is equal.
    Same(Vec<Shortlist>),
    /// What was kept of the last one, with the tags that were read since.
    Kept(Vec<Shortlist>),
}

/// The best tags of a complete listing, for one question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shortlist {
    selection: Selection,
    current: Tag,
    /// The tags, the highest first, with a space between: sixteen texts of their own would take four times as much.
    best: Box<str>,
    /// Why nothing was chosen, where nothing was.
    refusal: Box<str>,
    qualifying: usize,
    listed: usize,
}

impl Listing {
    /// What the selection chooses; `None` when this question was not put to the listing that is kept.
    pub fn choose(&self, selection: &Selection, current: &Tag) -> Option<Choice> {
        match self {
            Self::Whole(tags) => Some(tags.choose(selection, Some(current))),
            Self::Same(shortlists) | Self::Kept(shortlists) => shortlists.iter().find_map(|shortlist| shortlist.choose(selection, current)),
        }
    }
}

impl Shortlist {
    /// The best of a complete listing. `current` need not be listed.
    pub fn of(selection: &Selection, current: &Tag, tags: &[Tag]) -> Self {
        let listed: Vec<_> = tags.iter().map(|tag| Listed::named(tag.as_str())).collect();
        let evaluation = from(selection, current, &listed);
        let (best, qualifying) = (joined(evaluation.best()), evaluation.qualifying());
        let refusal = if best.is_empty() { evaluation.reason().into() } else { Box::default() };
        Self { selection: selection.clone(), current: current.clone(), best, refusal, qualifying, listed: tags.len() }
    }

    /// Whether it was made for this question.
    pub fn is_of(&self, selection: &Selection, current: &Tag) -> bool {
        self.current == *current && self.selection == *selection
    }

    /// Whether it answers this question, which is not about times.
    pub fn answers(&self, selection: &Selection, current: &Tag) -> bool {
        let is_next = || self.has(current) && is_newer(selection, current, &self.current);
        self.selection == *selection && !selection.depends_on_time() && (self.current == *current || is_next())
    }

    /// Takes up a tag that is there beside what was listed. One that does not come to be among the best is left out: it may have been listed.
    pub fn add(&mut self, tag: &Tag) {
        if self.has(tag) {
            return;
        }
        let tags: Vec<_> = self.best().chain([tag.as_str()]).map(Listed::named).collect();
        let evaluation = from(&self.selection, &self.current, &tags);
        if evaluation.best().any(|best| best == tag.as_str()) {
            self.best = joined(evaluation.best());
            self.qualifying += 1;
            self.listed += 1;
        }
    }

    /// What the selection chooses; `None` when this does not answer that question.
    pub(super) fn choose(&self, selection: &Selection, current: &Tag) -> Option<Choice> {
        if !self.answers(selection, current) {
            return None;
        }
        let tags: Vec<_> = self.best().map(Listed::named).collect();
        let (best, qualifying) = if self.current == *current {
            (self.best().next(), self.qualifying)
        } else {
            let evaluation = from(selection, current, &tags);
            (evaluation.candidate(), evaluation.qualifying())
        };
        let reason = match best {
            Some(tag) => format!("{tag} is {}", rank(qualifying, self.listed)),
            None if self.current == *current => self.refusal.to_string(),
            None => "nothing that was listed, or read since, qualifies".to_owned(),
        };
        Some(Choice { tag: best.and_then(|tag| tag.parse().ok()), reason, qualifying })
    }

    fn best(&self) -> impl Iterator<Item = &str> {
        self.best.split_ascii_whitespace()
    }

    fn has(&self, tag: &Tag) -> bool {
        self.best().any(|best| best == tag.as_str())
    }
}

fn from<'a>(selection: &Selection, current: &Tag, tags: &'a [Listed<'a>]) -> Evaluation<'a> {
    evaluate(selection, &Asked { current: Some(current.as_str()), ..Asked::default() }, tags)
}

fn joined<'a>(tags: impl Iterator<Item = &'a str>) -> Box<str> {
    tags.take(BEST_MAX).collect::<Vec<_>>().join(" ").into()
}

#[cfg(test)]
mod tests;

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

use super::bars::{Bars, pass};
use super::rank::BEST_MAX;
use super::selection::{rank, told};
use super::{Asked, Choice, Evaluation, Listed, Selection, Tags, evaluate, is_newer};
use crate::core::image::{Digest, Tag};

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
        self.choose_over(selection, current, None)
    }

    /// The same where the image says at which digest the current tag runs.
    pub fn choose_over(&self, selection: &Selection, current: &Tag, digest: Option<&Digest>) -> Option<Choice> {
        self.choose_but(selection, current, digest, &|_| None)
    }

    /// The same, where `bars` tells what stands against a tag beside the selection.
    pub fn choose_but(&self, selection: &Selection, current: &Tag, digest: Option<&Digest>, bars: &Bars<'_>) -> Option<Choice> {
        match self {
            Self::Whole(tags) => Some(tags.choose_but(selection, Some(current), digest, bars)),
            Self::Same(shortlists) | Self::Kept(shortlists) => {
                shortlists.iter().find_map(|shortlist| shortlist.choose(selection, current, bars))
            }
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

    /// What the selection chooses where this stands against tags; `None` when this does not answer that question.
    pub(super) fn choose(&self, selection: &Selection, current: &Tag, bars: &Bars<'_>) -> Option<Choice> {
        if !self.answers(selection, current) {
            return None;
        }
        if self.current == *current {
            return Some(self.first_of(self.best(), self.qualifying, &self.refusal, bars));
        }
        let tags: Vec<_> = self.best().map(Listed::named).collect();
        let evaluation = from(selection, current, &tags);
        let refusal = "nothing that was listed, or read since, qualifies";
        Some(self.first_of(evaluation.best(), evaluation.qualifying(), refusal, bars))
    }

    /// The first of the best tags that nothing stands against; `refusal` tells of none.
    fn first_of<'t>(&self, mut best: impl Iterator<Item = &'t str> + Clone, qualifying: usize, refusal: &str, bars: &Bars<'_>) -> Choice {
        let passed = pass(best.clone(), bars);
        let qualifying = qualifying.saturating_sub(passed.barred.len());
        let tag = best.nth(passed.barred.len()).filter(|_| passed.is_found);
        let reason = match tag {
            tag if !passed.barred.is_empty() => told(tag, qualifying, self.listed, &passed),
            Some(tag) => format!("{tag} is {}", rank(qualifying, self.listed)),
            None => refusal.to_owned(),
        };
        Choice { tag: tag.and_then(|tag| tag.parse().ok()), reason, qualifying: if tag.is_some() { qualifying } else { 0 } }
    }

    fn best(&self) -> impl Iterator<Item = &str> + Clone {
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

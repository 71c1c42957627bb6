//! The tags that wait for their age, as an explanation tells them: since when the leader knows them, and when they are old enough.

use std::sync::Arc;

use jiff::Timestamp;

use super::Look;
use crate::core::image::{Digest, Tag};
use crate::core::policy::{Age, Built, Tags};
use crate::flow::engine::Engine;
use crate::flow::tag_shelf::Listed;
use crate::http::view::{ExplainedView, WaitingView};

/// How many tags that wait are shown, the best first.
const SHOWN_MAX: usize = 8;
/// Of how many of them it is read when they were built, which some registries count as pulls.
const BUILT_MAX: usize = 2;
/// How often the choice is made anew because what was chosen was moved since, or is from the future.
const CHOICES_MAX: usize = 4;

impl Look<'_> {
    /// The tags with the ages that the leader knows, where they count.
    pub(super) async fn aged(&self, listed: &Listed, current: &Tag, view: &mut ExplainedView) -> Arc<Tags> {
        let Some(least) = self.selection.filter.min_age else { return Arc::clone(&listed.tags) };
        let mut tags = (*listed.tags).clone();
        tags.see_all();
        match self.sights().await {
            Some(sights) => {
                for (tag, digest, first_seen) in sights {
                    tags.note(&tag, Age { built: tags.built(&tag), first_seen: Some(first_seen) });
                    tags.note_digest(&tag, digest);
                }
            }
            None => view.errors.push("the leader knows when tags were seen first; this replica stands by".to_owned()),
        }
        let running = (current, self.image.digest());
        let choice = |tags: &Tags| tags.choose_over(self.selection, Some(running.0), running.1).tag;
        for _ in 0..CHOICES_MAX {
            let Some(chosen) = choice(&tags) else { break };
            let age = self.asked_again(&tags, &chosen).await;
            tags.note(&chosen, age);
            if choice(&tags) == Some(chosen) {
                break;
            }
        }
        let chosen = choice(&tags);
        let waiting = tags.on_the_way(self.selection, running, |tag| tags.digest(tag).is_some());
        let waiting: Vec<Tag> = waiting.into_iter().take_while(|tag| Some(tag) != chosen.as_ref()).take(SHOWN_MAX).collect();
        for (at, tag) in waiting.iter().enumerate() {
            let (Age { built, first_seen }, digest) = (tags.age(tag), tags.digest(tag));
            let built = match (built, digest) {
                (Built::At(built), _) => Some(built),
                (_, Some(digest)) if at < BUILT_MAX => self.sources.tags.built(self.question, digest).await,
                _ => None,
            };
            if let Some(built) = built {
                tags.note(tag, Age { built: Built::at(built), first_seen });
            }
            view.waiting.push(WaitingView {
                tag: tag.to_string(),
                digest: tags.digest(tag).map(ToString::to_string),
                built,
                first_seen,
                old_enough_at: tags.old_enough_at(tag, least),
            });
        }
        Arc::new(tags)
    }

    /// The tags that the leader has seen at a digest, and since when; `None` where this replica does not lead.
    async fn sights(&self) -> Option<Vec<(Tag, Digest, Timestamp)>> {
        let (repository, access) = (self.image.repository().clone(), self.question.access.clone());
        let look = move |engine: &Engine, _| {
            let Some(ages) = &engine.ages else { return Vec::new() };
            let (now, steady) = (ages.clock.now(), ages.clock.steady());
            let seen = ages.sights.of(&repository, &access).tags.into_iter();
            seen.filter_map(|(tag, (sight, _))| Some((tag, sight.digest().clone(), now.checked_sub(sight.age(steady)).ok()?))).collect()
        };
        self.sources.seat.read(look).await
    }

    /// The age of what would be chosen, as far as it still points at what was seen.
    async fn asked_again(&self, tags: &Tags, tag: &Tag) -> Age {
        let kept = self.sources.tags;
        let Ok(Some(digest)) = kept.digest(self.question, tag).await else { return Age::default() };
        if tags.digest(tag) != Some(&digest) {
            return Age::default();
        }
        let built = kept.built(self.question, &digest).await.map_or(Built::Unknown, Built::at);
        Age { built, ..tags.age(tag) }
    }
}

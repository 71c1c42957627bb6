//! The bounded queue of hints: one place for each repository.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::Hint;
use crate::core::image::Repository;

/// Repositories that may wait at once. A full resync of a large cluster hints at a few thousand; a flood of forged names is cut here, at
/// about a hundred bytes each.
const WAITING_MAX: usize = 10_000;

/// Hints that wait for their settle window to pass.
#[derive(Default)]
pub struct HintQueue {
    waiting: Mutex<HashMap<Repository, Waiting>>,
    pushed: Notify,
}

struct Waiting {
    hint: Hint,
    due: Timestamp,
}

impl HintQueue {
    /// Takes a hint that is due at `due`; `false` when the queue is full.
    ///
    /// A second hint for a repository joins the first: it is due when the earlier of the two is, so a stream of deliveries cannot put
    /// the look off for ever, and it is a look for every workload and every tag that either was for.
    pub fn push(&self, hint: Hint, due: Timestamp) -> bool {
        let mut waiting = self.lock();
        let is_full = waiting.len() >= WAITING_MAX;
        match waiting.get_mut(&hint.repository) {
            Some(first) => {
                first.due = first.due.min(due);
                first.hint.join(hint);
            }
            None if is_full => return false,
            None => {
                waiting.insert(hint.repository.clone(), Waiting { hint, due });
            }
        }
        drop(waiting);
        self.pushed.notify_one();
        true
    }

    /// The hints that are due, by repository.
    pub fn take_due(&self, now: Timestamp) -> Vec<Hint> {
        let mut due: Vec<Hint> = self.lock().extract_if(|_, waiting| waiting.due <= now).map(|(_, waiting)| waiting.hint).collect();
        due.sort_by(|one, other| one.repository.cmp(&other.repository));
        due
    }

    /// Takes the hint for a repository, due or not.
    pub fn take(&self, repository: &Repository) -> Option<Hint> {
        self.lock().remove(repository).map(|waiting| waiting.hint)
    }

    /// When the next hint is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().values().map(|waiting| waiting.due).min()
    }

    /// Waits until a hint was pushed since the last call.
    pub async fn pushed(&self) {
        self.pushed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Repository, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::core::update::Trigger;

    fn hint(repository: &str, tag: Option<&str>, trigger: Trigger) -> Hint {
        let tags = tag.into_iter().map(|tag| tag.parse().unwrap()).collect();
        Hint { tags, is_whole: tag.is_none(), ..Hint::whole(repository.parse().unwrap(), trigger) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_thousand_deliveries_for_one_repository_are_one_look_at_the_first_ones_time() {
        let queue = HintQueue::default();
        for second in 0..1_000 {
            assert!(queue.push(hint("acme/web", Some("1.0.1"), Trigger::Webhook), at(10 + second)));
        }
        assert_eq!(queue.take_due(at(9)), vec![]);
        assert_eq!(queue.next_due(), Some(at(10)));
        assert_eq!(queue.take_due(at(10)), vec![hint("acme/web", Some("1.0.1"), Trigger::Webhook)]);
        assert_eq!(queue.take_due(at(9_999)), vec![]);
    }

    #[test]
    fn joined_hints_are_a_look_for_every_workload_that_either_was_for() {
        for (one, other, expected) in [
            (Trigger::Webhook, Trigger::Webhook, Trigger::Webhook),
            (Trigger::Webhook, Trigger::Poll, Trigger::Poll),
            (Trigger::Poll, Trigger::Webhook, Trigger::Poll),
            (Trigger::Command, Trigger::Webhook, Trigger::Command),
            (Trigger::Poll, Trigger::Resync, Trigger::Resync),
            (Trigger::Command, Trigger::Poll, Trigger::Command),
        ] {
            let queue = HintQueue::default();
            queue.push(hint("acme/web", None, one), at(5));
            queue.push(hint("acme/web", None, other), at(1));
            let is_told = [one, other].contains(&Trigger::Webhook);
            assert_eq!(queue.take_due(at(1)), vec![Hint { is_told, ..hint("acme/web", None, expected) }], "{one:?} and {other:?}");
        }
    }

    #[test]
    fn joined_hints_name_every_tag_and_ask_for_a_listing_if_one_did_or_for_many_tags() {
        let check = |tags: &[Option<&str>], is_whole: bool, expected: &[&str]| {
            let queue = HintQueue::default();
            for tag in tags {
                queue.push(hint("acme/web", *tag, Trigger::Webhook), at(0));
            }
            let joined = queue.take_due(at(0)).pop().unwrap();
            assert_eq!(joined.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{tags:?}");
            assert_eq!(joined.is_whole, is_whole, "{tags:?}");
        };
        check(&[Some("1.0.2"), Some("1.0.1"), Some("1.0.2")], false, &["1.0.1", "1.0.2"]);
        check(&[Some("1.0.2"), None, Some("1.0.1")], true, &["1.0.1", "1.0.2"]);
        check(&[Some("1"), Some("1.2"), Some("1.2.3"), Some("latest")], false, &["1", "1.2", "1.2.3", "latest"]);
        check(&[Some("a"), Some("b"), Some("c"), Some("d"), Some("e")], true, &["a", "b", "c", "d", "e"]);
        let many: Vec<String> = (100..200).map(|number| number.to_string()).collect();
        let (told, named): (Vec<_>, Vec<_>) =
            (many.iter().map(|tag| Some(tag.as_str())).collect(), many.iter().map(String::as_str).collect());
        check(&told, true, &named[68..]);
    }

    #[tokio::test]
    async fn a_push_wakes_who_waits_for_it_and_also_who_comes_late() {
        let queue = HintQueue::default();
        let push = async { assert!(queue.push(hint("acme/web", None, Trigger::Webhook), at(0))) };
        tokio::join!(queue.pushed(), push);
        queue.push(hint("acme/api", None, Trigger::Webhook), at(0));
        queue.pushed().await;
    }

    #[test]
    fn a_flood_of_names_is_cut_and_known_names_still_join() {
        let queue = HintQueue::default();
        for number in 0..WAITING_MAX {
            assert!(queue.push(hint(&format!("acme/app{number}"), None, Trigger::Webhook), at(0)));
        }
        assert!(!queue.push(hint("acme/one-more", None, Trigger::Webhook), at(0)));
        assert!(queue.push(hint("acme/app7", None, Trigger::Webhook), at(0)));
    }

    #[test]
    fn a_hint_can_be_taken_along_before_it_is_due() {
        let queue = HintQueue::default();
        queue.push(hint("acme/web", None, Trigger::Webhook), at(60));
        assert!(queue.take(&"acme/web".parse().unwrap()).is_some());
        assert!(queue.take(&"acme/web".parse().unwrap()).is_none());
    }
}

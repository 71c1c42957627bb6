//! The deliveries that a receiver has had, so that one which is sent again is known.

use std::collections::{HashSet, VecDeque};

use sha2::{Digest as _, Sha256};

/// Events remembered for each receiver. Senders repeat within minutes; a busy registry tells a few pushes a second, so this is
/// most of an hour, in about 300 KiB. What is repeated later costs one look at the registry.
const REMEMBERED_MAX: usize = 4096;

/// Half a SHA-256: no two ids share one by chance, and a long id takes no more room than a short one.
type Key = [u8; 16];

/// The last events of one receiver. Remember an event only when its delivery was authenticated and its hint was queued: before
/// that, the repetition may be the one that counts.
#[derive(Debug, Default)]
pub struct SeenDeliveries {
    keys: HashSet<Key>,
    oldest_first: VecDeque<Key>,
}

impl SeenDeliveries {
    /// Whether the event was remembered, and not forgotten since.
    pub fn contains(&self, event_id: &str) -> bool {
        self.keys.contains(&key(event_id))
    }

    /// Remembers the event, and forgets the oldest one for it when there are too many.
    pub fn remember(&mut self, event_id: &str) {
        let key = key(event_id);
        if !self.keys.insert(key) {
            return;
        }
        self.oldest_first.push_back(key);
        if self.oldest_first.len() > REMEMBERED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}

fn key(event_id: &str) -> Key {
    Sha256::digest(event_id.as_bytes()).first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event_is_known_again() {
        let mut seen = SeenDeliveries::default();
        assert!(!seen.contains("one"));
        for _ in 0..1000 {
            seen.remember("one");
        }
        assert!(seen.contains("one") && !seen.contains("two"));
        assert_eq!(seen.oldest_first.len(), 1);
    }

    #[test]
    fn the_oldest_events_are_forgotten_first() {
        let mut seen = SeenDeliveries::default();
        for number in 0..=REMEMBERED_MAX {
            seen.remember(&number.to_string());
        }
        assert!(!seen.contains("0") && seen.contains("1") && seen.contains(&REMEMBERED_MAX.to_string()));
        assert_eq!((seen.keys.len(), seen.oldest_first.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }
}

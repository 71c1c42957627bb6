//! Webhook deliveries that came while nobody led. They are kept as they came, until there is somebody to take them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::peer::Handed;

/// Deliveries that wait at once. Without a leader for a minute that is more than ten a second.
const DELIVERIES_MAX: usize = 1_000;
/// Bytes of their bodies together. A thousand usual ones take a quarter of it.
const BYTES_MAX: usize = 8 << 20;

type Key = [u8; 32];

/// The deliveries that wait, each once.
#[derive(Default)]
pub struct Waiting {
    deliveries: Mutex<BTreeMap<Key, Handed>>,
    came: Notify,
}

impl Waiting {
    /// Keeps a delivery; `false` when there is no room for it. The same delivery again takes no more room.
    pub fn keep(&self, delivery: Handed) -> bool {
        let mut deliveries = self.deliveries();
        let key = key(&delivery);
        let bytes: usize = deliveries.values().map(|kept| kept.body.len()).sum();
        let has_room = deliveries.len() < DELIVERIES_MAX && bytes + delivery.body.len() <= BYTES_MAX;
        if !deliveries.contains_key(&key) {
            if !has_room {
                return false;
            }
            deliveries.insert(key, delivery);
        }
        drop(deliveries);
        self.came.notify_one();
        true
    }

    /// One that waits, as soon as there is one. It goes on waiting until it is [done](Self::done) with.
    pub async fn next(&self) -> Handed {
        loop {
            if let Some(delivery) = self.deliveries().values().next() {
                return delivery.clone();
            }
            self.came.notified().await;
        }
    }

    /// The delivery was taken.
    pub fn done(&self, delivery: &Handed) {
        self.deliveries().remove(&key(delivery));
    }

    fn deliveries(&self) -> MutexGuard<'_, BTreeMap<Key, Handed>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(delivery: &Handed) -> Key {
    let mut hash = Sha256::new();
    hash.update(&delivery.target);
    hash.update([0]);
    hash.update(&delivery.body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt as _;
    use http::{HeaderMap, Method};

    use super::*;

    fn delivery(path: &str, body: &[u8]) -> Handed {
        Handed::new(&Method::POST, path, "", &HeaderMap::new(), Bytes::copy_from_slice(body))
    }

    #[test]
    fn a_delivery_waits_once_until_it_is_done_with() {
        let waiting = Waiting::default();
        assert!(waiting.next().now_or_never().is_none());
        for _ in 0..3 {
            assert!(waiting.keep(delivery("/a", b"1")));
        }
        let next = waiting.next().now_or_never().unwrap();
        assert_eq!(waiting.next().now_or_never().unwrap().body, next.body, "it may not have been taken");
        waiting.done(&next);
        assert!(waiting.next().now_or_never().is_none());
    }

    #[test]
    fn a_flood_is_cut_by_number_and_by_size() {
        let waiting = Waiting::default();
        for number in 0..DELIVERIES_MAX {
            assert!(waiting.keep(delivery("/a", number.to_string().as_bytes())));
        }
        assert!(!waiting.keep(delivery("/a", b"one more")));
        assert!(waiting.keep(delivery("/a", b"7")), "it waits already");
        let waiting = Waiting::default();
        assert!(waiting.keep(delivery("/a", &vec![1; BYTES_MAX])));
        assert!(!waiting.keep(delivery("/a", b"2")));
    }
}

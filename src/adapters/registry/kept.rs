//! What was read from elsewhere and is kept for a while, and one read at a time for each of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::core::schedule::after;
use crate::ports::clock::Clock;

/// How long an error is kept: enough for everybody who asks at the same moment, and a person who has mended it does not wait long.
const ERROR_KEPT: Duration = Duration::from_secs(10);

/// Things by their key.
pub(super) struct Kept<K, V, E> {
    slots: Mutex<HashMap<K, Arc<Slot<V, E>>>>,
    clock: Arc<dyn Clock>,
    /// The most that is kept; when there is more, what is not in use is forgotten, which costs a read each.
    most: usize,
}

/// One thing's place. Its turn is held while it is read, so that whoever comes meanwhile waits for that read.
struct Slot<V, E> {
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<Reading<V, E>>>,
}

/// What was read, and when that began.
#[derive(Clone)]
struct Reading<V, E> {
    begun: Timestamp,
    until: Timestamp,
    outcome: Result<V, E>,
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Kept<K, V, E> {
    /// Keeps nothing yet.
    pub fn new(clock: &Arc<dyn Clock>, most: usize) -> Self {
        Self { slots: Mutex::default(), clock: Arc::clone(clock), most }
    }

    /// What was read last, however long ago.
    pub fn peek(&self, key: &K) -> Option<Result<V, E>> {
        let slot = self.slots().get(key).cloned()?;
        let last = slot.last();
        last.as_ref().map(|reading| reading.outcome.clone())
    }

    /// What is kept while it is good; else what `read` brings, with the time until which that is good. Those who come while it is read share
    /// the outcome.
    pub async fn get(&self, key: &K, read: impl Future<Output = Result<(V, Timestamp), E>>) -> Result<V, E> {
        let asked = self.clock.now();
        let is_good = move |reading: &Reading<V, E>| reading.begun <= asked && asked < reading.until;
        self.get_where(key, is_good, read).await
    }

    /// What `read` brings, unless what is kept was read within `age`.
    pub async fn renew(&self, key: &K, age: Duration, read: impl Future<Output = Result<(V, Timestamp), E>>) -> Result<V, E> {
        let asked = self.clock.now();
        self.get_where(key, move |reading| reading.begun <= asked && asked < after(reading.begun, age), read).await
    }

    async fn get_where(
        &self,
        key: &K,
        is_good: impl Fn(&Reading<V, E>) -> bool,
        read: impl Future<Output = Result<(V, Timestamp), E>>,
    ) -> Result<V, E> {
        let slot = self.slot(key);
        let before = slot.good(&is_good);
        if let Some(outcome) = before {
            return outcome;
        }
        let asked = self.clock.now();
        let _turn = slot.turn.lock().await;
        // It may have been read while this one waited.
        let meanwhile = |reading: &Reading<V, E>| reading.begun >= asked || is_good(reading);
        if let Some(outcome) = slot.good(meanwhile) {
            return outcome;
        }
        let begun = self.clock.now();
        let (outcome, until) = match read.await {
            Ok((value, until)) => (Ok(value), until),
            Err(error) => (Err(error), after(begun, ERROR_KEPT)),
        };
        *slot.last() = Some(Reading { begun, until, outcome: outcome.clone() });
        outcome
    }

    fn slot(&self, key: &K) -> Arc<Slot<V, E>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= self.most {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let slot = Arc::new(Slot { turn: tokio::sync::Mutex::default(), last: Mutex::new(None) });
        slots.insert(key.clone(), Arc::clone(&slot));
        slot
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<K, Arc<Slot<V, E>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone, E: Clone> Slot<V, E> {
    fn last(&self) -> MutexGuard<'_, Option<Reading<V, E>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self, is_good: impl Fn(&Reading<V, E>) -> bool) -> Option<Result<V, E>> {
        self.last().as_ref().filter(|reading| is_good(reading)).map(|reading| reading.outcome.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::adapters::registry::hand_clock::HandClock;

    const LIFE: Duration = Duration::from_mins(5);

    fn kept() -> (Arc<HandClock>, Kept<u8, u32, &'static str>) {
        let clock = Arc::new(HandClock::default());
        let as_clock: Arc<dyn Clock> = clock.clone();
        (clock, Kept::new(&as_clock, 10))
    }

    #[tokio::test]
    async fn what_was_read_is_good_for_its_time_and_an_error_for_a_moment() {
        let (clock, kept) = kept();
        let reads = Cell::new(0);
        let read = |outcome: Result<u32, &'static str>| {
            let (reads, until) = (&reads, after(clock.now(), LIFE));
            async move {
                reads.set(reads.get() + 1);
                outcome.map(|value| (value, until))
            }
        };
        assert_eq!((kept.peek(&1), kept.get(&1, read(Ok(7))).await, kept.get(&1, read(Ok(8))).await), (None, Ok(7), Ok(7)));
        clock.advance(LIFE);
        assert_eq!((kept.peek(&1), kept.get(&1, read(Err("away"))).await), (Some(Ok(7)), Err("away")));
        assert_eq!((kept.get(&1, read(Ok(9))).await, reads.get()), (Err("away"), 2));
        clock.advance(ERROR_KEPT);
        assert_eq!(kept.get(&1, read(Ok(9))).await, Ok(9));
        let soon = Duration::from_secs(10);
        assert_eq!(kept.renew(&1, soon, read(Ok(10))).await, Ok(9), "it was read just now");
        clock.advance(soon);
        assert_eq!((kept.renew(&1, soon, read(Ok(10))).await, kept.get(&1, read(Ok(11))).await), (Ok(10), Ok(10)));
    }

    #[tokio::test]
    async fn those_who_come_while_it_is_read_share_the_outcome() {
        let (_, kept) = kept();
        let reads = Cell::new(0);
        let go = tokio::sync::Notify::new();
        let get = || {
            kept.get(&1, async {
                reads.set(reads.get() + 1);
                go.notified().await;
                Err("away")
            })
        };
        let (one, two, ()) = futures::join!(get(), get(), async { go.notify_one() });
        assert_eq!((one, two, reads.get()), (Err("away"), Err("away"), 1));
    }
}

//! Reading repositories: each once at a time, those of a batch together, so many of one registry at once, and nobody waits long for a slow
//! one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt as _};
use tokio::sync::Semaphore;

use super::Ports;
use super::agent::Mailbox;
use super::message::Message;
use super::observe::{Observation, observe};
use crate::core::image::Repository;
use crate::core::schedule::after;
use crate::core::update::Trigger;
use crate::sources::Hint;

/// Repositories of one registry that are read at once. The registry client lets fewer requests out; the others wait there for their turn.
const OF_REGISTRY_MAX: usize = 32;
/// Repositories that are read at once. Eight registries would have to be silent together before another one waits for them; what is read
/// and not decided yet takes memory.
const IN_ALL_MAX: usize = 256;
/// Registries whose places are remembered.
const REGISTRIES_MAX: usize = 1_000;
/// How long what was read waits for the rest of its batch: longer than a registry takes that is well, and with what the registry client lets
/// wait for a slow one less than a second. What comes later is told later, at worst as an update of its own.
const LAG_MAX: Duration = Duration::from_millis(400);

/// What is being read, and the places to read at.
pub struct Reader {
    under_way: Mutex<HashSet<Repository>>,
    of_registry: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
    in_all: Semaphore,
}

impl Default for Reader {
    fn default() -> Self {
        Self { under_way: Mutex::default(), of_registry: Mutex::default(), in_all: Semaphore::new(IN_ALL_MAX) }
    }
}

impl Reader {
    /// The hints that are to be read now, and those of repositories that are being read: what these tell of may have happened after the
    /// list was made, so they are to be looked at afterwards. A poll tells of nothing and is dropped then, unless a delivery met it in the queue.
    pub fn take_up(&self, batch: Vec<Hint>) -> (Vec<Hint>, Vec<Hint>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, mut later): (Vec<Hint>, Vec<Hint>) = batch.into_iter().partition(|hint| under_way.insert(hint.repository.clone()));
        later.retain(|hint| hint.trigger != Trigger::Poll || hint.is_told);
        (taken, later)
    }

    /// Reads the repositories of hints that were taken up and brings what was read to the engine: in one message, or the slow ones in later ones.
    pub async fn read(&self, ports: &Ports, mailbox: &Mailbox, batch: &[Hint]) {
        let mut reads: FuturesUnordered<_> = batch.iter().map(|hint| self.read_one(ports, hint)).collect();
        let lag = || ports.clock.sleep_until(after(ports.clock.now(), LAG_MAX));
        while let Some(observations) = next_group(&mut reads, lag).await {
            mailbox.send(Message::Observed(observations)).await;
        }
    }

    async fn read_one(&self, ports: &Ports, hint: &Hint) -> Vec<Observation> {
        let _under_way = UnderWay { reader: self, repository: &hint.repository };
        // First the registry's own place: who waits for a silent registry takes no place from others.
        let of_registry = self.of_registry(hint.repository.registry());
        let _places = (of_registry.acquire().await, self.in_all.acquire().await);
        observe(ports, hint).await
    }

    fn of_registry(&self, registry: &str) -> Arc<Semaphore> {
        let mut all = self.of_registry.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REGISTRIES_MAX {
            all.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = all.entry(registry.into()).or_insert_with(|| Arc::new(Semaphore::new(OF_REGISTRY_MAX)));
        Arc::clone(places)
    }
}

/// A repository that is being read, until this is dropped: a panic must not leave it so for ever, for it would never be read again.
struct UnderWay<'a> {
    reader: &'a Reader,
    repository: &'a Repository,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.reader.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(self.repository);
    }
}

/// The next part, and what else comes before the lag that begins with it is over; `None` when there are no more.
async fn next_group<T, L>(parts: &mut (impl Stream<Item = Vec<T>> + Unpin), lag: impl Fn() -> L) -> Option<Vec<T>>
where
    L: Future<Output = ()> + Unpin,
{
    let mut group = parts.next().await?;
    let mut lag = lag();
    while let Either::Left((Some(more), _)) = select(parts.next(), &mut lag).await {
        group.extend(more);
    }
    Some(group)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::channel::oneshot;
    use futures::future::{pending, ready};

    use super::*;

    fn hint(repository: &str, trigger: Trigger) -> Hint {
        Hint::whole(format!("registry.test/{repository}").parse().unwrap(), trigger)
    }

    #[track_caller]
    fn check(reader: &Reader, batch: &[(&str, Trigger)], expected: (&[&str], &[&str])) {
        let (taken, later) = reader.take_up(batch.iter().map(|(repository, trigger)| hint(repository, *trigger)).collect());
        let paths = |hints: &[Hint]| hints.iter().map(|hint| hint.repository.path().to_owned()).collect::<Vec<_>>();
        assert_eq!(paths(&taken), expected.0);
        assert_eq!(paths(&later), expected.1);
    }

    #[test]
    fn a_repository_is_read_once_at_a_time_and_only_a_poll_of_it_is_dropped() {
        let reader = Reader::default();
        check(&reader, &[("slow", Trigger::Poll), ("web", Trigger::Poll)], (&["slow", "web"], &[]));
        check(&reader, &[("slow", Trigger::Poll), ("api", Trigger::Poll)], (&["api"], &[]));
        check(&reader, &[("slow", Trigger::Webhook), ("web", Trigger::Resync)], (&[], &["slow", "web"]));
        let met_by_a_delivery = Hint { is_told: true, ..hint("slow", Trigger::Poll) };
        assert_eq!(reader.take_up(vec![met_by_a_delivery.clone()]), (vec![], vec![met_by_a_delivery]));
    }

    #[test]
    fn a_read_that_panics_does_not_keep_its_repository_from_being_read_again() {
        let reader = Reader::default();
        check(&reader, &[("web", Trigger::Poll)], (&["web"], &[]));
        let repository = hint("web", Trigger::Poll).repository;
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _under_way = UnderWay { reader: &reader, repository: &repository };
            panic!("a fault of skeg's own");
        }));
        assert!(end.is_err());
        check(&reader, &[("web", Trigger::Poll)], (&["web"], &[]));
    }

    #[test]
    fn what_was_read_waits_for_the_rest_of_its_batch_but_not_long() {
        let (tell, slow) = oneshot::channel();
        let reads = [ready(vec!["web"]).boxed(), slow.map(|read| vec![read.unwrap()]).boxed(), ready(vec!["api"]).boxed()];
        let mut reads: FuturesUnordered<_> = reads.into_iter().collect();
        let (patient, over) = (|| pending::<()>().boxed(), || ready(()).boxed());
        assert_eq!(next_group(&mut reads, patient).now_or_never(), None, "they are waited for");
        let mut reads: FuturesUnordered<_> = reads.into_iter().chain([ready(vec!["jobs"]).boxed()]).collect();
        assert_eq!(next_group(&mut reads, over).now_or_never(), Some(Some(vec!["jobs"])));
        tell.send("slow").unwrap();
        assert_eq!(next_group(&mut reads, patient).now_or_never(), Some(Some(vec!["slow"])));
        assert_eq!(next_group(&mut reads, patient).now_or_never(), Some(None));
    }
}

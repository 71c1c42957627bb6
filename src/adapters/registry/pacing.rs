//! Turns for each host: so many requests at once, and none while the host asks to be left alone.
//!
//! Hosts do not share anything, so one that is slow or rate-limited delays nobody else's repositories. Nor do a few slow repositories delay the
//! others of their host: a request that is not answered within a second leaves its place to the next one and goes on in a wider line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::schedule::after;
use crate::ports::clock::Clock;
use crate::ports::registry::RegistryError;

/// Hosts remembered at once. A cluster's images come from a handful; more than this is a list of names that somebody made up.
const HOSTS_MAX: usize = 1000;
/// When a request counts as slow. Nearly every answer comes sooner, and nobody else should be delayed by more than this.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Slow requests to a host at once, for each place of its own. With four places that makes sixteen repositories that hang at the same moment
/// before any other one waits for them; and an overloaded host, to which everything is slow, gets no more than five times the requests it is
/// meant to get, four new ones a second.
const SLOW_PLACES: usize = 4;
/// The longest time in line behind other requests to the host: with twenty at once and 30 s at most for each, eighty unanswered ones ahead.
/// Longer, and the caller does better to come back later.
const TURN_DEADLINE: Duration = Duration::from_mins(2);
/// The longest quiet that is waited out in place; a page walk goes on after it. Longer ones go back to the schedule.
const QUIET_WAITED_OUT_MAX: Duration = Duration::from_secs(10);
/// The quiet after the first refusal of a host that does not say how long; it doubles with each further one.
const QUIET_FIRST: Duration = Duration::from_secs(1);
/// Where that doubling ends: the registry port's backoff cap.
const QUIET_MAX: Duration = Duration::from_mins(1);

/// The hosts and their turns.
pub(super) struct Pacing {
    hosts: Mutex<HashMap<Box<str>, Arc<Pace>>>,
    clock: Arc<dyn Clock>,
}

struct Pace {
    places: Arc<Semaphore>,
    slow_places: Arc<Semaphore>,
    places_max: usize,
    quiet: Mutex<Quiet>,
}

/// Until when the host wants no request, and how often in a row it has said so.
struct Quiet {
    until: Timestamp,
    refusals: u32,
}

/// A turn at a host; dropping it lets the next request go.
pub(super) struct Turn {
    /// How long it was waited for because the host asked for that.
    pub waited: Duration,
    pace: Arc<Pace>,
    place: OwnedSemaphorePermit,
}

impl Pacing {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { hosts: Mutex::default(), clock }
    }

    /// Waits for a turn at `host`. An error at once if the host asked for a long quiet, after [`TURN_DEADLINE`] if the line
    /// is long, or if too many hosts are in use.
    pub async fn turn(&self, host: &str, concurrency: usize) -> Result<Turn, RegistryError> {
        let unreachable = |detail: String| RegistryError::Unreachable { host: host.to_owned(), detail };
        let pace =
            self.pace(host, concurrency).ok_or_else(|| unreachable(format!("more than {HOSTS_MAX} registries are in use at once")))?;
        let in_line = async {
            let mut waited = Duration::ZERO;
            loop {
                waited += self.wait_out(&pace, host).await?;
                let permit = Arc::clone(&pace.places).acquire_owned().await;
                let permit = permit.map_err(|_| unreachable("the registry client is closed".to_owned()))?;
                // Whoever was ahead in line may just have been told to slow down.
                if pace.quiet().until <= self.clock.now() {
                    return Ok(Turn { waited, pace: Arc::clone(&pace), place: permit });
                }
            }
        };
        let turn = tokio::time::timeout(TURN_DEADLINE, in_line).await;
        turn.unwrap_or_else(|_| Err(unreachable(format!("no turn within {} s", TURN_DEADLINE.as_secs()))))
    }

    /// Makes the request that the turn is for. When it is slow the turn moves to a slow place, as soon as there is one.
    pub async fn carry<T>(&self, turn: &mut Turn, request: impl Future<Output = T>) -> T {
        let mut request = std::pin::pin!(request);
        let becomes_slow = async {
            self.clock.sleep_until(after(self.clock.now(), SLOW_AFTER)).await;
            Arc::clone(&turn.pace.slow_places).acquire_owned().await
        };
        let slow_place = match select(request.as_mut(), std::pin::pin!(becomes_slow)).await {
            Either::Left((answer, _)) => return answer,
            Either::Right((slow_place, _)) => slow_place,
        };
        if let Ok(slow_place) = slow_place {
            turn.place = slow_place;
        }
        request.await
    }

    /// Waits until the host may be asked again; gives how long that was.
    async fn wait_out(&self, pace: &Pace, host: &str) -> Result<Duration, RegistryError> {
        let until = pace.quiet().until;
        let left = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default();
        if left > QUIET_WAITED_OUT_MAX {
            return Err(RegistryError::RateLimited { host: host.to_owned(), retry_after: Some(left) });
        }
        if !left.is_zero() {
            self.clock.sleep_until(until).await;
        }
        Ok(left)
    }

    /// Notes that the host asks to be left alone, for `retry_after` or else for a time of our choosing. Returns how long it is
    /// left alone from now on, and whether that is short enough to be waited out.
    pub fn slow_down(&self, turn: &Turn, retry_after: Option<Duration>) -> (Duration, bool) {
        let mut quiet = turn.pace.quiet();
        let guess = QUIET_FIRST.saturating_mul(1_u32.checked_shl(quiet.refusals).unwrap_or(u32::MAX)).min(QUIET_MAX);
        quiet.refusals = quiet.refusals.saturating_add(1);
        let wait = retry_after.unwrap_or(guess);
        let until = self.clock.now().checked_add(wait).unwrap_or(Timestamp::MAX);
        quiet.until = quiet.until.max(until);
        (wait, wait <= QUIET_WAITED_OUT_MAX)
    }

    /// Notes that the host serves again.
    pub fn served(turn: &Turn) {
        turn.pace.quiet().refusals = 0;
    }

    fn pace(&self, host: &str, concurrency: usize) -> Option<Arc<Pace>> {
        let now = self.clock.now();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = hosts.get(host) {
            return Some(Arc::clone(pace));
        }
        if hosts.len() >= HOSTS_MAX {
            hosts.retain(|_, pace| !pace.is_idle(now));
            if hosts.len() >= HOSTS_MAX {
                return None;
            }
        }
        let pace = Arc::new(Pace {
            places: Arc::new(Semaphore::new(concurrency)),
            slow_places: Arc::new(Semaphore::new(concurrency.saturating_mul(SLOW_PLACES))),
            places_max: concurrency,
            quiet: Mutex::new(Quiet { until: Timestamp::MIN, refusals: 0 }),
        });
        hosts.insert(host.into(), Arc::clone(&pace));
        Some(pace)
    }
}

impl Pace {
    fn quiet(&self) -> MutexGuard<'_, Quiet> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether forgetting the host loses nothing.
    fn is_idle(&self, now: Timestamp) -> bool {
        let has_free = |places: &Semaphore, of: usize| places.available_permits() == of;
        let is_unused = has_free(&self.places, self.places_max) && has_free(&self.slow_places, self.places_max.saturating_mul(SLOW_PLACES));
        is_unused && self.quiet().until <= now
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::FuturesUnordered;
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;
    use crate::adapters::registry::hand_clock::HandClock;

    fn pacing() -> (Arc<HandClock>, Pacing) {
        let clock = Arc::new(HandClock::default());
        (Arc::clone(&clock), Pacing::new(clock))
    }

    #[tokio::test]
    async fn a_host_gives_so_many_turns_at_once_and_hosts_do_not_share() {
        let (_, pacing) = pacing();
        let first = pacing.turn("a.test", 2).await.unwrap();
        let _second = pacing.turn("a.test", 2).await.unwrap();
        let mut third = std::pin::pin!(pacing.turn("a.test", 2));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(pacing.turn("b.test", 2).now_or_never().is_some());
        drop(first);
        assert!(third.await.is_ok());
    }

    /// RE-04.
    #[tokio::test]
    async fn requests_that_hang_delay_the_others_of_their_host_by_a_second_and_are_bounded() {
        let (clock, pacing) = pacing();
        let hang = || async {
            let mut turn = pacing.turn("a.test", 2).await.unwrap();
            pacing.carry(&mut turn, std::future::pending::<()>()).await;
        };
        let mut hanging = FuturesUnordered::new();
        // Two places, and eight for slow requests.
        for round in 0..5 {
            hanging.extend([hang(), hang()]);
            assert!(hanging.next().now_or_never().is_none());
            let mut other = std::pin::pin!(pacing.turn("a.test", 2));
            assert!(other.as_mut().now_or_never().is_none(), "{round}: both places are taken");
            clock.advance(SLOW_AFTER);
            assert!(hanging.next().now_or_never().is_none());
            assert_eq!(other.now_or_never().is_some(), round < 4, "{round}");
        }
        drop(hanging);
        assert!(pacing.turn("a.test", 2).now_or_never().is_some());
        assert!(pacing.pace("a.test", 2).unwrap().is_idle(clock.now()));
    }

    #[tokio::test]
    async fn a_request_that_is_answered_at_once_keeps_its_place_until_then() {
        let (_, pacing) = pacing();
        let mut turn = pacing.turn("a.test", 1).await.unwrap();
        assert_eq!(pacing.carry(&mut turn, async { 7 }).await, 7);
        assert!(pacing.turn("a.test", 1).now_or_never().is_none());
        drop(turn);
        assert!(pacing.turn("a.test", 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_long_quiet_is_told_and_a_short_one_waited_out() {
        let (clock, pacing) = pacing();
        let turn = pacing.turn("a.test", 4).await.unwrap();
        assert_eq!(pacing.slow_down(&turn, Some(Duration::from_secs(70))), (Duration::from_secs(70), false));
        clock.advance(Duration::from_secs(10));
        let told = RegistryError::RateLimited { host: "a.test".to_owned(), retry_after: Some(Duration::from_mins(1)) };
        assert_eq!(pacing.turn("a.test", 4).await.err(), Some(told));
        assert!(pacing.turn("b.test", 4).await.is_ok(), "another host is not delayed");

        clock.advance(Duration::from_secs(55));
        let mut waiting = std::pin::pin!(pacing.turn("a.test", 4));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(5));
        assert_eq!(waiting.await.unwrap().waited, Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_host_that_does_not_say_how_long_is_left_alone_for_longer_each_time() {
        let (_, pacing) = pacing();
        let turn = pacing.turn("a.test", 4).await.unwrap();
        let waits: Vec<u64> = (0..8).map(|_| pacing.slow_down(&turn, None).0.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        Pacing::served(&turn);
        assert_eq!(pacing.slow_down(&turn, None).0.as_secs(), 1);
    }

    #[tokio::test]
    async fn idle_hosts_are_forgotten_when_there_are_too_many() {
        let (_, pacing) = pacing();
        let busy = pacing.turn("busy.test", 1).await.unwrap();
        for number in 1..HOSTS_MAX {
            pacing.turn(&format!("h{number}.test"), 1).await.unwrap();
        }
        assert!(pacing.turn("one-more.test", 1).await.is_ok());
        assert_eq!(pacing.hosts.lock().unwrap().len(), 2);
        assert!(pacing.turn("busy.test", 1).now_or_never().is_none(), "the busy one kept its turns");
        drop(busy);
    }
}

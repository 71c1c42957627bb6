//! Turns for each host: so many requests at once and so many a second, one at a time while the host is down, and none while it asks to be left
//! alone.
//!
//! Hosts do not share anything, so one that is slow or rate-limited delays nobody else's repositories. Nor do slow repositories delay the others
//! of their host: a request that is not answered within half a second leaves its place to the next one and goes on in a wider line, and what was
//! slow stands in that line from the start the next time.

mod bucket;
mod circuit;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::request::Line;
use crate::adapters::fetch::RateLimit;
use crate::core::schedule::{after, backoff};
use crate::ports::clock::Clock;
use crate::ports::registry::RegistryError;
use bucket::Bucket;
use circuit::Circuit;

/// Hosts remembered at once. A cluster's images come from a handful; more than this is a list of names that somebody made up.
const HOSTS_MAX: usize = 1000;
/// When a request counts as slow. Nearly every answer comes sooner, and nobody else should be delayed by more than a second in all.
const SLOW_AFTER: Duration = Duration::from_millis(500);
/// Slow requests to a host at once, for each place of its own. With four places that makes sixteen repositories that hang at the same moment
/// before any other one waits for them; and an overloaded host, to which everything is slow, gets no more than five times the requests it is
/// meant to get, eight new ones a second.
const SLOW_PLACES: usize = 4;
/// Repositories of a host that are remembered as slow. When there are more they are all forgotten, and found again.
const SLOW_MAX: usize = 10_000;
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
    host: Box<str>,
    places: Arc<Semaphore>,
    slow_places: Arc<Semaphore>,
    places_max: usize,
    /// The one request that may go while the host is down.
    try_place: Arc<Semaphore>,
    slow: Mutex<HashSet<Box<str>>>,
    bucket: Mutex<Bucket>,
    circuit: Mutex<Circuit>,
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
    repository: Box<str>,
    is_slow: bool,
    place: OwnedSemaphorePermit,
    /// Held while the host is down.
    _try: Option<OwnedSemaphorePermit>,
}

impl Pacing {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { hosts: Mutex::default(), clock }
    }

    /// Waits for a turn for a request about `repository`. An error at once if the host asked for a long quiet, after [`TURN_DEADLINE`] if the
    /// line is long, or if too many hosts are in use.
    pub async fn turn(&self, line: Line<'_>, repository: &str) -> Result<Turn, RegistryError> {
        let host = line.host;
        let unreachable = |detail: String| RegistryError::Unreachable { host: host.to_owned(), detail };
        let pace =
            self.pace(host, line.concurrency).ok_or_else(|| unreachable(format!("more than {HOSTS_MAX} registries are in use at once")))?;
        let in_line = async {
            let mut waited = Duration::ZERO;
            loop {
                waited += self.wait_out(&pace, host).await?;
                let tries = self.tries(&pace).await;
                let is_slow = pace.is_slow(repository);
                let places = if is_slow { &pace.slow_places } else { &pace.places };
                let permit = Arc::clone(places).acquire_owned().await;
                let permit = permit.map_err(|_| unreachable("the registry client is closed".to_owned()))?;
                // Whoever was ahead in line may just have been told to slow down, or found the host down.
                if pace.quiet().until <= self.clock.now() && (tries.is_some() || pace.open_until().is_none()) {
                    return Ok(Turn {
                        waited,
                        pace: Arc::clone(&pace),
                        repository: repository.into(),
                        is_slow,
                        place: permit,
                        _try: tries,
                    });
                }
            }
        };
        let moment = pace.bucket().take(self.clock.steady(), line.rate);
        if moment > self.clock.steady() {
            self.clock.sleep_until_steady(moment).await;
        }
        let turn = tokio::time::timeout(TURN_DEADLINE, in_line).await;
        turn.unwrap_or_else(|_| Err(unreachable(format!("no turn within {} s", TURN_DEADLINE.as_secs()))))
    }

    /// While the host is down: the place of the one that tries it, after its rest. `None` when it is not down, or not any more.
    async fn tries(&self, pace: &Pace) -> Option<OwnedSemaphorePermit> {
        pace.open_until()?;
        let permit = Arc::clone(&pace.try_place).acquire_owned().await.ok()?;
        self.clock.sleep_until(pace.open_until()?).await;
        Some(permit)
    }

    /// Makes the request that the turn is for. When it is slow the turn moves to a slow place, as soon as there is one.
    pub async fn carry<T>(&self, turn: &mut Turn, request: impl Future<Output = T>) -> T {
        let mut request = std::pin::pin!(request);
        let becomes_slow = async {
            self.clock.sleep_until(after(self.clock.now(), SLOW_AFTER)).await;
            turn.pace.note_slow(&turn.repository);
            if turn.is_slow {
                return None;
            }
            Arc::clone(&turn.pace.slow_places).acquire_owned().await.ok()
        };
        let slow_place = match select(request.as_mut(), std::pin::pin!(becomes_slow)).await {
            Either::Left((answer, _)) => {
                turn.pace.slow().remove(&turn.repository);
                return answer;
            }
            Either::Right((slow_place, _)) => slow_place,
        };
        if let Some(slow_place) = slow_place {
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
        turn.pace.circuit().served();
        let now = self.clock.now();
        let mut quiet = turn.pace.quiet();
        quiet.refusals = quiet.refusals.saturating_add(1);
        let guess = || backoff(now, quiet.refusals, QUIET_MAX, &turn.pace.host, None).duration_since(now).unsigned_abs();
        let wait = retry_after.unwrap_or_else(guess);
        quiet.until = quiet.until.max(after(now, wait));
        (wait, wait <= QUIET_WAITED_OUT_MAX)
    }

    /// Notes that the host serves, and what it says is left of a limit. Before nothing is left it is asked so seldom that there is always some.
    pub fn served(&self, turn: &Turn, limit: Option<RateLimit>) {
        turn.pace.circuit().served();
        let mut quiet = turn.pace.quiet();
        quiet.refusals = 0;
        let spare = u64::try_from(turn.pace.places_max).unwrap_or(u64::MAX);
        let Some(limit) = limit.filter(|limit| limit.remaining <= spare) else { return };
        let each = u32::try_from(limit.remaining).unwrap_or(u32::MAX).saturating_add(1);
        let wait = limit.resets_in.map(|reset| reset / each).or(limit.one_more_in);
        quiet.until = quiet.until.max(after(self.clock.now(), wait.unwrap_or(QUIET_FIRST)));
    }

    /// Notes that the host did not answer, or with trouble of its own.
    pub fn failed(&self, turn: &Turn) {
        turn.pace.circuit().failed(&turn.pace.host, self.clock.now());
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
            host: host.into(),
            places: Arc::new(Semaphore::new(concurrency)),
            slow_places: Arc::new(Semaphore::new(concurrency.saturating_mul(SLOW_PLACES))),
            places_max: concurrency,
            try_place: Arc::new(Semaphore::new(1)),
            slow: Mutex::default(),
            bucket: Mutex::default(),
            circuit: Mutex::default(),
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

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_until(&self) -> Option<Timestamp> {
        self.circuit().open_until()
    }

    fn slow(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_slow(&self, repository: &str) -> bool {
        self.slow().contains(repository)
    }

    fn note_slow(&self, repository: &str) {
        let mut slow = self.slow();
        if slow.len() >= SLOW_MAX {
            slow.clear();
        }
        slow.insert(repository.into());
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

    fn line(host: &str, concurrency: usize) -> Line<'_> {
        Line { shown: None, host, concurrency, rate: 100 }
    }

    fn pacing() -> (Arc<HandClock>, Pacing) {
        let clock = Arc::new(HandClock::default());
        (Arc::clone(&clock), Pacing::new(clock))
    }

    #[tokio::test]
    async fn a_host_gives_so_many_turns_at_once_and_hosts_do_not_share() {
        let (_, pacing) = pacing();
        let first = pacing.turn(line("a.test", 2), "app").await.unwrap();
        let _second = pacing.turn(line("a.test", 2), "app").await.unwrap();
        let mut third = std::pin::pin!(pacing.turn(line("a.test", 2), "app"));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(pacing.turn(line("b.test", 2), "app").now_or_never().is_some());
        drop(first);
        assert!(third.await.is_ok());
    }

    /// RE-04.
    #[tokio::test]
    async fn requests_that_hang_delay_the_others_of_their_host_by_half_a_second_and_are_bounded() {
        let (clock, pacing) = pacing();
        let hang = |number| {
            let pacing = &pacing;
            async move {
                let mut turn = pacing.turn(line("a.test", 2), &format!("slow-{number}")).await.unwrap();
                pacing.carry(&mut turn, std::future::pending::<()>()).await;
            }
        };
        let mut hanging = FuturesUnordered::new();
        // Two places, and eight for slow requests.
        for round in 0..5 {
            hanging.extend([hang(2 * round), hang(2 * round + 1)]);
            assert!(hanging.next().now_or_never().is_none());
            let mut other = std::pin::pin!(pacing.turn(line("a.test", 2), "app"));
            assert!(other.as_mut().now_or_never().is_none(), "{round}: both places are taken");
            clock.advance(SLOW_AFTER);
            assert!(hanging.next().now_or_never().is_none());
            assert_eq!(other.now_or_never().is_some(), round < 4, "{round}");
        }
        drop(hanging);
        assert!(pacing.turn(line("a.test", 2), "app").now_or_never().is_some());
        assert!(pacing.pace("a.test", 2).unwrap().is_idle(clock.now()));
    }

    #[tokio::test]
    async fn a_request_that_is_answered_at_once_keeps_its_place_until_then() {
        let (_, pacing) = pacing();
        let mut turn = pacing.turn(line("a.test", 1), "app").await.unwrap();
        assert_eq!(pacing.carry(&mut turn, async { 7 }).await, 7);
        assert!(pacing.turn(line("a.test", 1), "app").now_or_never().is_none());
        drop(turn);
        assert!(pacing.turn(line("a.test", 1), "app").now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_long_quiet_is_told_and_a_short_one_waited_out() {
        let (clock, pacing) = pacing();
        let turn = pacing.turn(line("a.test", 4), "app").await.unwrap();
        assert_eq!(pacing.slow_down(&turn, Some(Duration::from_secs(70))), (Duration::from_secs(70), false));
        clock.advance(Duration::from_secs(10));
        let told = RegistryError::RateLimited { host: "a.test".to_owned(), retry_after: Some(Duration::from_mins(1)) };
        assert_eq!(pacing.turn(line("a.test", 4), "app").await.err(), Some(told));
        assert!(pacing.turn(line("b.test", 4), "app").await.is_ok(), "another host is not delayed");

        clock.advance(Duration::from_secs(55));
        let mut waiting = std::pin::pin!(pacing.turn(line("a.test", 4), "app"));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(5));
        assert_eq!(waiting.await.unwrap().waited, Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_host_that_does_not_say_how_long_is_left_alone_for_longer_each_time() {
        let (_, pacing) = pacing();
        let turn = pacing.turn(line("a.test", 4), "app").await.unwrap();
        for most in [1, 2, 4, 8, 16, 32, 60, 60] {
            let (wait, _) = pacing.slow_down(&turn, None);
            let most = Duration::from_secs(most);
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
        }
        pacing.served(&turn, None);
        assert!(pacing.slow_down(&turn, None).0 <= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn idle_hosts_are_forgotten_when_there_are_too_many() {
        let (_, pacing) = pacing();
        let busy = pacing.turn(line("busy.test", 1), "app").await.unwrap();
        for number in 1..HOSTS_MAX {
            pacing.turn(line(&format!("h{number}.test"), 1), "app").await.unwrap();
        }
        assert!(pacing.turn(line("one-more.test", 1), "app").await.is_ok());
        assert_eq!(pacing.hosts.lock().unwrap().len(), 2);
        assert!(pacing.turn(line("busy.test", 1), "app").now_or_never().is_none(), "the busy one kept its turns");
        drop(busy);
    }

    /// RE-04.
    #[tokio::test]
    async fn what_was_slow_takes_no_place_from_the_others_the_next_time() {
        let (clock, pacing) = pacing();
        let mut turn = pacing.turn(line("a.test", 1), "slow").await.unwrap();
        {
            let mut hanging = std::pin::pin!(pacing.carry(&mut turn, std::future::pending::<()>()));
            assert!(hanging.as_mut().now_or_never().is_none());
            clock.advance(SLOW_AFTER);
            assert!(hanging.as_mut().now_or_never().is_none());
        }
        drop(turn);
        let _slow: Vec<Turn> =
            futures::future::join_all((0..4).map(|_| pacing.turn(line("a.test", 1), "slow"))).await.into_iter().flatten().collect();
        let mut other = pacing.turn(line("a.test", 1), "app").now_or_never().expect("its place is free").unwrap();
        assert!(pacing.turn(line("a.test", 1), "slow").now_or_never().is_none(), "four slow ones at once are enough");
        pacing.carry(&mut other, async {}).await;
    }

    #[tokio::test]
    async fn a_quick_answer_makes_a_slow_repository_one_like_the_others() {
        let (_, pacing) = pacing();
        let mut turn = pacing.turn(line("a.test", 1), "app").await.unwrap();
        turn.pace.note_slow("app");
        pacing.carry(&mut turn, async {}).await;
        assert!(!turn.pace.is_slow("app"));
    }

    #[tokio::test]
    async fn more_requests_a_second_than_the_rate_wait() {
        let (clock, pacing) = pacing();
        let slow = Line { shown: None, host: "a.test", concurrency: 4, rate: 2 };
        for _ in 0..3 {
            assert!(pacing.turn(slow, "app").now_or_never().is_some(), "a second's worth goes at once");
        }
        let mut next = std::pin::pin!(pacing.turn(slow, "app"));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(pacing.turn(Line { host: "b.test", ..slow }, "app").now_or_never().is_some());
        clock.advance(Duration::from_millis(500));
        assert!(next.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_host_that_is_down_is_tried_by_one_request_at_a_time() {
        let (clock, pacing) = pacing();
        for _ in 0..5 {
            let turn = pacing.turn(line("a.test", 4), "app").await.unwrap();
            pacing.failed(&turn);
        }
        let mut one = std::pin::pin!(pacing.turn(line("a.test", 4), "one"));
        let mut two = std::pin::pin!(pacing.turn(line("a.test", 4), "two"));
        assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none(), "it rests");
        assert!(pacing.turn(line("b.test", 4), "app").now_or_never().is_some(), "another host is not delayed");
        clock.advance(Duration::from_secs(1));
        let tries = one.now_or_never().expect("one tries").unwrap();
        assert!(two.as_mut().now_or_never().is_none());
        pacing.served(&tries, None);
        drop(tries);
        assert!(two.now_or_never().is_some() && pacing.turn(line("a.test", 4), "three").now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_limit_that_is_nearly_used_up_is_spread_over_its_time() {
        let (_, pacing) = pacing();
        let turn = pacing.turn(line("a.test", 4), "app").await.unwrap();
        let left = |remaining| Some(RateLimit { remaining, resets_in: Some(Duration::from_mins(10)), one_more_in: None });
        pacing.served(&turn, left(5));
        assert!(pacing.turn(line("a.test", 4), "app").now_or_never().is_some(), "there is enough");
        pacing.served(&turn, left(4));
        let told = pacing.turn(line("a.test", 4), "app").await.err();
        assert_eq!(told, Some(RegistryError::RateLimited { host: "a.test".to_owned(), retry_after: Some(Duration::from_mins(2)) }));
        pacing.served(&turn, Some(RateLimit { remaining: 0, resets_in: None, one_more_in: Some(Duration::from_secs(216)) }));
        let told = pacing.turn(line("a.test", 4), "app").await.err();
        assert_eq!(told, Some(RegistryError::RateLimited { host: "a.test".to_owned(), retry_after: Some(Duration::from_secs(216)) }));
    }
}

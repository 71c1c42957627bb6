//! A term: the time for which this replica leads. Whatever acts asks it first.
//!
//! A process can be stopped between any two instructions and go on a minute later, so no check of the time can keep a request that is
//! about to leave from leaving late. What the check does ensure is that whatever leaves late was decided on what was read *before* the
//! term was over; and who leads then has made sure that such a request meets a changed world (`apply`), so that it is refused.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ports::clock::Clock;

/// What the term has met of newer ones; the driver of the lease takes it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Met {
    /// A record of a newer epoch: this term is over.
    Record(u64),
    /// A mark of a newer epoch, which anybody may have written who may change the workload.
    Mark(u64),
}

/// A term of this replica. Clones are the same term.
#[derive(Clone)]
pub struct Term(Arc<Inner>);

struct Inner {
    epoch: u64,
    clock: Arc<dyn Clock>,
    /// Until when it acts; `None` where no lease is needed.
    until: Mutex<Option<Duration>>,
    over: CancellationToken,
    met: Mutex<Option<Met>>,
    was_met: tokio::sync::Notify,
    /// The newest epoch in a mark that has been looked into.
    settled: AtomicU64,
}

impl Term {
    /// A term that needs no lease and never ends by itself: skeg only observes, or nobody else is there.
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, 0, None)
    }

    /// The term of this epoch, until then by the steady clock.
    pub fn until(clock: Arc<dyn Clock>, epoch: u64, until: Duration) -> Self {
        Self::new(clock, epoch, Some(until))
    }

    fn new(clock: Arc<dyn Clock>, epoch: u64, until: Option<Duration>) -> Self {
        let (until, over, met) = (Mutex::new(until), CancellationToken::new(), Mutex::default());
        Self(Arc::new(Inner { epoch, clock, until, over, met, was_met: tokio::sync::Notify::new(), settled: AtomicU64::new(epoch) }))
    }

    /// Its number: every later term has a greater one. It goes into records and marks.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Whether it may act now. A term whose time has passed is over for good, however soon the lease is renewed then: something may have
    /// been left out already.
    pub fn may_act(&self) -> bool {
        let until = self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| until <= self.0.clock.steady()) {
            self.end();
        }
        !self.0.over.is_cancelled()
    }

    /// Does this while the term may act; `None` when that ends first. Whoever is stopped between two requests, and goes on when the term is
    /// over, sends no second one.
    pub async fn meanwhile<T>(&self, doing: impl Future<Output = T>) -> Option<T> {
        let mut doing = pin!(doing);
        poll_fn(|context| if self.may_act() { doing.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }).await
    }

    fn has_lease(&self) -> bool {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The lease was renewed: it may act until then. `false` when it is over all the same.
    pub fn extend(&self, until: Duration) -> bool {
        let goes_on = self.may_act();
        if goes_on {
            *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
        goes_on
    }

    /// It is over, now and for good.
    pub fn end(&self) {
        self.0.over.cancel();
    }

    /// Waits until [`end`](Self::end).
    pub async fn ended(&self) {
        self.0.over.cancelled().await;
    }

    /// A record of this epoch was met; `true` when that is newer than the term, which has no more to say then.
    pub fn meets_record(&self, epoch: u64) -> bool {
        let is_newer = self.has_lease() && epoch > self.0.epoch;
        if is_newer {
            self.tell(Met::Record(epoch));
            self.end();
        }
        is_newer
    }

    /// A mark of this epoch was met; `true` when nothing is to be done before the lease has been renewed. Whoever may change a workload can
    /// write any mark, so one that is still there after a renewal does not count.
    pub fn meets_mark(&self, epoch: u64) -> bool {
        let is_new = self.has_lease() && self.0.settled.load(Ordering::SeqCst) < epoch;
        if is_new {
            self.tell(Met::Mark(epoch));
        }
        is_new
    }

    /// The lease was renewed after a mark of this epoch had been met.
    pub fn settle(&self, epoch: u64) {
        self.0.settled.fetch_max(epoch, Ordering::SeqCst);
    }

    fn tell(&self, met: Met) {
        let mut kept = self.0.met.lock().unwrap_or_else(PoisonError::into_inner);
        // A record says more than a mark.
        if !matches!(*kept, Some(Met::Record(_))) {
            *kept = Some(met);
        }
        drop(kept);
        self.0.was_met.notify_one();
    }

    /// Waits until something of a newer epoch was met since the last call.
    pub async fn met(&self) -> Met {
        loop {
            if let Some(met) = self.0.met.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return met;
            }
            self.0.was_met.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use async_trait::async_trait;
    use futures::FutureExt as _;
    use jiff::Timestamp;

    use super::*;

    /// A steady clock that stands at so many seconds.
    #[derive(Default)]
    struct At(AtomicU64);

    #[async_trait]
    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
        async fn sleep_until(&self, _: Timestamp) {}
        fn steady(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
        async fn sleep_until_steady(&self, _: Duration) {}
    }

    #[test]
    fn a_term_acts_until_its_time_has_passed_and_never_again() {
        let clock = Arc::new(At::default());
        let term = Term::until(clock.clone(), 3, Duration::from_secs(10));
        assert!(term.may_act() && term.extend(Duration::from_secs(12)));
        clock.0.store(11, Ordering::SeqCst);
        assert!(term.may_act() && term.ended().now_or_never().is_none());
        clock.0.store(12, Ordering::SeqCst);
        assert!(!term.may_act());
        clock.0.store(11, Ordering::SeqCst);
        assert!(!term.extend(Duration::from_secs(99)) && !term.may_act(), "over is over");
        assert!(term.ended().now_or_never().is_some());
    }

    #[test]
    fn what_has_more_than_one_step_ends_with_the_term() {
        let clock = Arc::new(At::default());
        let term = Term::until(clock.clone(), 3, Duration::from_secs(10));
        let (answer, answered) = futures::channel::oneshot::channel();
        let steps = async { answered.await.is_ok() };
        let mut meanwhile = std::pin::pin!(term.meanwhile(steps));
        assert!(meanwhile.as_mut().now_or_never().is_none());
        clock.0.store(10, Ordering::SeqCst);
        answer.send(()).unwrap();
        assert_eq!(meanwhile.now_or_never(), Some(None), "the step after the answer is not taken");
        assert_eq!(Term::alone(clock).meanwhile(async { 1 }).now_or_never(), Some(Some(1)));
    }

    #[test]
    fn a_record_of_a_newer_epoch_ends_it_and_a_mark_makes_it_doubt_once() {
        let term = Term::until(Arc::new(At::default()), 3, Duration::from_secs(10));
        assert!(!term.meets_record(3) && !term.meets_mark(3) && term.met().now_or_never().is_none());
        assert!(term.meets_mark(9) && term.may_act());
        assert_eq!(term.met().now_or_never(), Some(Met::Mark(9)));
        term.settle(9);
        assert!(!term.meets_mark(9), "anybody may have written it");
        assert!(term.meets_mark(10) && term.meets_record(4) && !term.may_act());
        assert_eq!(term.met().now_or_never(), Some(Met::Record(4)), "which says more");
    }

    #[test]
    fn without_a_lease_nothing_is_newer() {
        let term = Term::alone(Arc::new(At::default()));
        assert!(!term.meets_record(7) && !term.meets_mark(7) && term.may_act());
    }
}

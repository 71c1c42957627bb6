//! A replica between leading and standing by: it carries out what [`Leadership`] says is to be done, and tells it what came of that.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::crew::{Crew, Ending};
use super::{Candidate, Fault, Replica, STOPS_WITHIN, ended};
use crate::core::leadership::{KeptLease, Leadership, LeaseFailure, LeaseRecord, LeaseVersion, Next, Over, Timing};
use crate::flow::audit;
use crate::flow::guard::guarded;
use crate::flow::seat::Standing;
use crate::flow::term::{Met, Term};
use crate::ports::clock::Clock;
use crate::ports::cluster::ClusterError;
use crate::ports::lease::Lease;

/// How long a replica that ends tries to release its lease. One write takes some milliseconds; the whole end has ten seconds, of which the
/// agent takes nine.
const RELEASED_WITHIN: Duration = Duration::from_millis(700);

/// An answer about the lease.
enum Answer {
    Read(Result<Option<KeptLease>, ClusterError>),
    Wrote { record: LeaseRecord, sent: Duration, result: Result<LeaseVersion, ClusterError> },
    None,
}

/// What a watch of the lease says.
enum Seen {
    Lease(Option<KeptLease>),
    Ended,
}

/// What has happened.
enum Turn {
    Stop,
    End(Ending),
    Lapsed,
    Met(Met),
    Answer(Answer),
    Seen(Seen),
    Woken,
}

/// A replica that leads or stands by, as the lease says.
pub struct Campaign {
    replica: Replica,
    clock: Arc<dyn Clock>,
    lease: Arc<dyn Lease>,
    timing: Timing,
    leadership: Leadership,
    crew: Option<Crew>,
    call: Option<BoxFuture<'static, Answer>>,
    changes: Option<BoxStream<'static, Option<KeptLease>>>,
    /// When the lease was last watched anew.
    watched_at: Option<Duration>,
    /// A mark of a newer epoch, and since when: a renewal that is sent later settles it.
    doubted: Option<(u64, Duration)>,
    is_stopping: bool,
}

impl Campaign {
    /// A replica that knows nothing of the lease yet.
    pub fn new(replica: Replica, candidate: Candidate) -> Self {
        let Candidate { lease, me, timing } = candidate;
        let (clock, leadership) = (Arc::clone(&replica.ports.clock), Leadership::new(me, timing));
        let (crew, call, changes, watched_at, doubted) = (None, None, None, None, None);
        Self { replica, clock, lease, timing, leadership, crew, call, changes, watched_at, doubted, is_stopping: false }
    }

    /// Leads and stands by in turn until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Fault> {
        loop {
            let now = self.clock.steady();
            let next = self.leadership.next(now, self.clock.now());
            let wake = match next {
                Next::StepDown(over) => {
                    let end = self.step_down(&over).await?;
                    if self.is_stopping {
                        return end.map_or(Ok(()), ended);
                    }
                    continue;
                }
                Next::Wait(until) => Some(until),
                // One call at a time. The end of the term is awaited beside it.
                Next::Read | Next::Write { .. } if self.call.is_some() => self.leadership.term().map(|(_, until)| until),
                Next::Read => {
                    self.read();
                    continue;
                }
                Next::Write { record, replaces } => {
                    self.write(record, replaces, now);
                    continue;
                }
            };
            self.stand_by(now);
            match self.turn(&stop, wake).await {
                // The agent was told too, and its end is waited for.
                Turn::Stop if self.crew.is_some() => self.is_stopping = true,
                Turn::Stop => {
                    self.release().await;
                    return Ok(());
                }
                Turn::End(end) => return self.hand_over(end).await,
                Turn::Met(met) => self.met(met),
                Turn::Lapsed => self.leadership.lapsed(),
                Turn::Answer(answer) => {
                    self.call = None;
                    self.take(answer, &stop);
                }
                Turn::Seen(Seen::Lease(lease)) => self.leadership.saw(lease, self.clock.steady()),
                Turn::Seen(Seen::Ended) => self.changes = None,
                Turn::Woken => {}
            }
        }
    }

    /// Waits for the next thing that happens.
    async fn turn(&mut self, stop: &CancellationToken, wake: Option<Duration>) -> Turn {
        let Self { clock, crew, call, changes, is_stopping, .. } = self;
        let term = crew.as_ref().map(|crew| crew.term().clone());
        tokio::select! { biased;
            () = stop.cancelled(), if !*is_stopping => Turn::Stop,
            Some(met) = and_then(term.as_ref(), Term::met) => Turn::Met(met),
            Some(end) = and_then(crew.as_mut(), Crew::ended) => Turn::End(end),
            Some(()) = and_then(term.as_ref(), Term::ended) => Turn::Lapsed,
            Some(answer) = and_then(call.as_mut(), |call| call) => Turn::Answer(answer),
            Some(seen) = and_then(changes.as_mut(), next_seen) => Turn::Seen(seen),
            Some(()) = and_then(wake, |wake| clock.sleep_until_steady(wake)) => Turn::Woken,
            else => futures::future::pending().await,
        }
    }

    fn read(&mut self) {
        let lease = Arc::clone(&self.lease);
        self.ask(async move { Answer::Read(lease.read().await) });
    }

    fn write(&mut self, record: LeaseRecord, replaces: Option<LeaseVersion>, sent: Duration) {
        let lease = Arc::clone(&self.lease);
        self.ask(async move {
            let result = match replaces {
                None => lease.create(&record).await,
                Some(version) => lease.replace(&record, &version).await,
            };
            Answer::Wrote { record, sent, result }
        });
    }

    /// Begins a call about the lease, with an end.
    fn ask(&mut self, call: impl Future<Output = Answer> + Send + 'static) {
        let (ports, limit) = (Arc::clone(&self.replica.ports), self.clock.steady() + self.timing.call_lasts());
        self.call = Some(
            async move {
                let call = guarded(&ports, "asking for the lease", call).boxed();
                match select(call, ports.clock.sleep_until_steady(limit)).await {
                    Either::Left((answer, _)) => answer.unwrap_or(Answer::None),
                    Either::Right(_) => Answer::None,
                }
            }
            .boxed(),
        );
    }

    fn take(&mut self, answer: Answer, stop: &CancellationToken) {
        let now = self.clock.steady();
        match answer {
            Answer::Read(Ok(lease)) => self.leadership.saw(lease, now),
            Answer::Wrote { record, sent, result: Ok(version) } => {
                self.leadership.wrote(&record, version, sent);
                self.leads(sent, stop);
            }
            Answer::Wrote {
                result: Err(ClusterError::Conflict { .. } | ClusterError::Exists { .. } | ClusterError::NotFound { .. }),
                ..
            } => self.leadership.failed(LeaseFailure::Moved, now),
            Answer::Read(Err(error)) | Answer::Wrote { result: Err(error), .. } => self.failed(&error.to_string(), now),
            Answer::None => self.failed("no answer in time", now),
        }
    }

    fn failed(&mut self, why: &str, now: Duration) {
        tracing::warn!(error = why, "the lease cannot be read or written, will be tried again");
        self.replica.ports.health.lease_fails(why);
        self.leadership.failed(LeaseFailure::NoAnswer, now);
    }

    /// The lease is ours since `sent`: the term goes on, or begins.
    fn leads(&mut self, sent: Duration, stop: &CancellationToken) {
        let Some((epoch, until)) = self.leadership.term() else { return };
        match &self.crew {
            Some(crew) => {
                if !crew.term().extend(until) {
                    self.leadership.lapsed();
                }
                if let Some((mark, _)) = self.doubted.take_if(|(_, since)| *since <= sent) {
                    crew.term().settle(mark);
                }
            }
            None if until <= self.clock.steady() => {}
            None => {
                tracing::info!(epoch, "this replica leads");
                self.changes = None;
                self.doubted = None;
                self.crew = Some(self.replica.crew(Term::until(Arc::clone(&self.clock), epoch, until), stop.clone()));
                self.replica.ports.metrics.set_leader(true);
                self.replica.ports.health.leads();
            }
        }
    }

    fn met(&mut self, met: Met) {
        let now = self.clock.steady();
        match met {
            Met::Record(epoch) => self.leadership.met(epoch),
            Met::Mark(epoch) => {
                self.doubted = Some((epoch, now));
                self.leadership.doubted(now);
            }
        }
    }

    /// Looks whether another one leads, and follows what becomes of its lease.
    fn stand_by(&mut self, now: Duration) {
        if self.crew.is_some() {
            return;
        }
        let standing = match self.leadership.leader(now) {
            Some(record) => {
                Standing::Follows { leader: record.holder.clone().unwrap_or_default(), peer: record.peer, epoch: record.transitions }
            }
            None => Standing::Vacant,
        };
        let is_led = matches!(standing, Standing::Follows { .. });
        if is_led {
            self.replica.ports.health.follows();
            // A watch that ends is begun again, but never faster than the lease could be read instead.
            let is_due = self.watched_at.is_none_or(|at| at + self.timing.renewed_every() <= now);
            if self.changes.is_none() && is_due {
                self.changes = Some(self.lease.changes());
                self.watched_at = Some(now);
            }
        } else {
            self.replica.ports.health.vacant(self.clock.now());
        }
        self.replica.seat.send_if_modified(|present| {
            let is_new = !present.is_same(&standing);
            *present = standing;
            is_new
        });
    }

    /// The term is over before its time: whatever acts is dropped where it stands, and this replica stands by. An agent that was told to
    /// stop sees that by itself, and says what it could not record.
    async fn step_down(&mut self, over: &Over) -> Result<Option<Ending>, Fault> {
        tracing::warn!(error = %over, "this replica does not lead any more, and stands by");
        // A renewal on its way may still be carried out: then the lease is ours without a term, which is found out.
        self.call = None;
        let end = match self.crew.as_mut().filter(|_| self.is_stopping) {
            Some(crew) => {
                let late = self.clock.sleep_until_steady(self.clock.steady() + STOPS_WITHIN);
                match select(crew.ended().boxed(), late).await {
                    Either::Left((end, _)) => Some(end),
                    Either::Right(_) => None,
                }
            }
            None => None,
        };
        self.vacate().await?;
        self.leadership.stepped_down();
        Ok(end)
    }

    async fn vacate(&mut self) -> Result<(), Fault> {
        self.replica.vacate();
        audit::forget_gauges(&self.replica.ports);
        if let Some(crew) = self.crew.take() {
            crew.dismiss(&*self.clock).await?;
        }
        self.replica.ports.health.vacant(self.clock.now());
        Ok(())
    }

    /// The agent has ended: another replica may lead at once.
    async fn hand_over(mut self, end: Ending) -> Result<(), Fault> {
        self.vacate().await?;
        self.release().await;
        ended(end)
    }

    /// Releases the lease, if it is ours. When that fails the others wait until it has run out.
    async fn release(self) {
        let clock = Arc::clone(&self.clock);
        let late = clock.sleep_until_steady(clock.steady() + RELEASED_WITHIN);
        if let Either::Right(_) = select(self.write_release().boxed(), late).await {
            tracing::warn!("the lease is not released in time and runs out");
        }
    }

    /// Writes that nobody holds the lease.
    async fn write_release(mut self) {
        // A write that is under way decides over what the last one is written.
        if let Some(call) = self.call.take()
            && let Answer::Wrote { record, sent, result: Ok(version) } = call.await
        {
            self.leadership.wrote(&record, version, sent);
        }
        let Some((record, version)) = self.leadership.resign(self.clock.now()) else { return };
        self.write(record, Some(version), self.clock.steady());
        match self.call.take().expect("it was just begun").await {
            Answer::Wrote { result: Ok(_), .. } => tracing::info!("the lease is released"),
            Answer::Wrote { result: Err(error), .. } => tracing::warn!(error = %error, "the lease is not released and runs out"),
            Answer::Read(_) | Answer::None => tracing::warn!("the lease is not released and runs out"),
        }
    }
}

async fn next_seen(changes: &mut BoxStream<'static, Option<KeptLease>>) -> Seen {
    changes.next().await.map_or(Seen::Ended, Seen::Lease)
}

/// What comes of something, if there is something.
async fn and_then<T, F: Future>(of: Option<T>, wait: impl FnOnce(T) -> F) -> Option<F::Output> {
    match of {
        Some(of) => Some(wait(of).await),
        None => None,
    }
}

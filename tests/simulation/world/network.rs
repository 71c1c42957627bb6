//! The way of one process to the far ends: a request is sent, carried out and answered, and each of the three may fail by itself.

use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use jiff::{SignedDuration, Timestamp};
use skeg::ports::clock::Clock;

use super::weather::{Answer, Far, Fate};
use super::{Handle, World};
use crate::history::{By, Fact, Process};

/// The longest sleep in one piece, as long as the real clock's: so late it takes up that its clock was set.
const NAP: Duration = Duration::from_mins(1);

/// A process and its way to the world.
#[derive(Clone)]
pub struct Link {
    /// The world.
    pub world: Handle,
    /// Who asks.
    pub process: Process,
}

/// Who sent a request, and when.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Who.
    pub process: Process,
    /// When.
    pub at: Timestamp,
    /// Its number: a request that is carried out twice has one.
    pub request: u64,
}

impl Sent {
    /// Who did what it asks for.
    pub fn by(self) -> By {
        By::Skeg(self.process, self.at)
    }
}

/// There is no answer that tells anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoAnswer {
    /// Nobody answers: what was asked may have been done or not.
    Silent,
    /// It was not done: there is no time for it, and it may be asked again after this.
    Busy(Option<Duration>),
}

/// Whether a request changes something, as far as the story is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

impl Link {
    /// Sends a request and waits for its answer. Whoever drops the wait has sent it all the same.
    pub async fn ask<T: Send + 'static>(
        &self,
        far: Far,
        (does, what): (Does, &str),
        carry_out: impl FnOnce(&mut World, Sent) -> T + Clone + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let answer = self.send(far, does, what, carry_out);
        answer.await.unwrap_or(Err(NoAnswer::Silent))
    }

    fn send<T: Send + 'static>(
        &self,
        far: Far,
        does: Does,
        what: &str,
        carry_out: impl FnOnce(&mut World, Sent) -> T + Clone + Send + 'static,
    ) -> oneshot::Receiver<Result<T, NoAnswer>> {
        let (tell, answer) = oneshot::channel();
        let mut world = self.world.lock();
        let sent = Sent { process: self.process, at: world.now, request: world.number() };
        let fate = world.fate(far, does);
        let carry_out = move |world: &mut World| {
            let done = carry_out(world, sent);
            if does == Does::Write {
                world.may_die(sent.process);
            }
            done
        };
        let mut astray = |how: String| {
            // Reads that are lost are too many to tell, and change nothing.
            if does == Does::Write {
                world.tell(Fact::Astray { process: sent.process, what: format!("{what}: {how}") });
            }
        };
        match fate {
            Fate::Answered(there, back) => world.after(there, move |world| {
                let done = carry_out(world);
                world.after(back, move |_| drop(tell.send(Ok(done))));
            }),
            Fate::Lost(patience) => {
                astray("the request is lost".to_owned());
                world.after(patience, move |_| drop(tell.send(Err(NoAnswer::Silent))));
            }
            Fate::AnswerLost(there, patience) => {
                let how = if there > patience { "the request arrives after it is given up" } else { "the answer is lost" };
                astray(format!("{how} ({:.1} s, {:.1} s)", there.as_secs_f32(), patience.as_secs_f32()));
                world.after(there, move |world| drop(carry_out(world)));
                world.after(patience, move |_| drop(tell.send(Err(NoAnswer::Silent))));
            }
            Fate::Busy(back) => {
                astray("the far end is busy".to_owned());
                let retry_after = world.random.bool().then(|| Duration::from_secs(world.random.u64(1..8)));
                world.after(back, move |_| drop(tell.send(Err(NoAnswer::Busy(retry_after)))));
            }
            Fate::Twice(there, again, answer) => {
                let first = if matches!(answer, Answer::First(_)) { "first" } else { "second" };
                astray(format!(
                    "the request is carried out twice, and the {first} is answered ({:.1} s, {:.1} s)",
                    there.as_secs_f32(),
                    again.as_secs_f32()
                ));
                let once_more = carry_out.clone();
                match answer {
                    Answer::First(back) => {
                        world.after(there, move |world| {
                            let done = carry_out(world);
                            world.after(back, move |_| drop(tell.send(Ok(done))));
                        });
                        world.after(again, move |world| drop(once_more(world)));
                    }
                    Answer::Second(back) => {
                        world.after(there, move |world| drop(carry_out(world)));
                        world.after(again, move |world| {
                            let done = once_more(world);
                            world.after(back, move |_| drop(tell.send(Ok(done))));
                        });
                    }
                }
            }
        }
        answer
    }
}

impl World {
    /// A process may die at the worst moment: its write is done, and it has not heard of it.
    fn may_die(&mut self, process: Process) {
        if self.runs(process) && self.chance(self.weather.deadly_after_write) {
            self.wanted.push_back(super::Wanted::Kill(process));
        }
    }
}

/// The clock of a process: it may be off, and be set.
pub struct ProcessClock(pub Link);

impl ProcessClock {
    fn speed(&self, world: &World) -> f64 {
        1.0 + f64::from(world.replicas.get(self.0.process.replica).map_or(0, |replica| replica.is_fast_by)) / 1_000.0
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let world = self.0.world.lock();
        let offset = world.replicas.get(self.0.process.replica).map(|replica| replica.offset).unwrap_or_default();
        world.now.saturating_add(offset).unwrap_or(Timestamp::MAX)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let left = deadline.duration_since(self.now());
            if left <= SignedDuration::ZERO {
                return;
            }
            // As the real one: a timer of the runtime goes by whole milliseconds.
            sleep(&self.0.world, left.unsigned_abs().min(NAP).max(Duration::from_millis(1))).await;
        }
    }

    fn steady(&self) -> Duration {
        let world = self.0.world.lock();
        let elapsed = world.now.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
        elapsed.mul_f64(self.speed(&world))
    }

    async fn sleep_until_steady(&self, moment: Duration) {
        loop {
            let left = moment.saturating_sub(self.steady());
            if left.is_zero() {
                return;
            }
            let speed = self.speed(&self.0.world.lock());
            sleep(&self.0.world, left.div_f64(speed).min(NAP).max(Duration::from_millis(1))).await;
        }
    }
}

/// Waits for a while of the true time.
pub async fn sleep(world: &Handle, wait: Duration) {
    let (tell, over) = oneshot::channel();
    world.lock().after(wait, move |_| {
        let _ = tell.send(());
    });
    let _ = over.await;
}

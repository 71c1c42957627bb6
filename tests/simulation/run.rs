//! One run: a scene, a time in which everything may happen, and a calm in which everything must come to its end.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use skeg::core::update::Update;

use crate::executor::{Executor, Owner};
use crate::history::{Fact, Process, Told};
use crate::replica::{Running, Starting};
use crate::world::{Handle, Wanted, World};

/// How long everything may happen, at least and at most.
const DISTURBED: (Duration, Duration) = (Duration::from_mins(4), Duration::from_mins(40));
/// How long after that everything has come to its end at the latest: a vote may be waited for, a grant may wait for its turn, a rollout
/// may hang, Git may be tried for a quarter of an hour, and clocks may be off.
const CALM_MAX: SignedDuration = SignedDuration::from_hours(4);
/// How long nothing happens before a run is over: longer than any wait between two tries, and than some polls.
const QUIET: SignedDuration = SignedDuration::from_mins(8);
/// Polls of tasks that one run may take; more means that something goes round in circles.
const POLLS_MAX: u64 = 3_000_000;
/// Deliveries of one vote that is not acknowledged, as Slack has it.
const VOTE_TRIES_MAX: u32 = 4;

/// A run under way.
struct Run {
    world: Handle,
    executor: Executor,
    starting: Starting,
    running: BTreeMap<usize, Running>,
    polls: u64,
    trace: Sha256,
}

/// What came of a run.
pub struct Story {
    /// Everything that was seen outside.
    pub history: Vec<Told>,
    /// Whether it was cut off because it took too many polls.
    pub is_endless: bool,
    /// How often a task was polled.
    pub polls: u64,
    /// A hash of every choice and everything that was seen: equal runs have equal ones.
    pub trace: String,
}

/// Runs the seed to its end.
pub fn run(seed: u64) -> Story {
    let mut world = World::new(seed);
    world.set_scene();
    world.plan();
    let mut run = Run {
        world: Handle::new(world),
        executor: Executor::default(),
        starting: Starting::default(),
        running: BTreeMap::new(),
        polls: 0,
        trace: Sha256::new(),
    };
    run.go();
    run.end()
}

impl World {
    /// Chooses when things happen.
    fn plan(&mut self) {
        for replica in 0..self.replicas.len() {
            self.wanted.push_back(Wanted::Start(replica));
        }
        let disturbed = self.between(DISTURBED.0, DISTURBED.1);
        let minutes = u32::try_from(disturbed.as_secs() / 60).unwrap_or(1);
        let (deeds, misfortunes) = (self.random.u32(2..=5) * minutes, self.random.u32(0..=minutes));
        for _ in 0..deeds {
            let wait = self.between(Duration::from_secs(5), disturbed);
            self.after(wait, Self::do_something);
        }
        for _ in 0..misfortunes {
            let wait = self.between(Duration::ZERO, disturbed);
            self.after(wait, Self::let_something_happen);
        }
        self.after(disturbed.saturating_add(Duration::from_secs(20)), Self::calm_down);
    }

    fn calm_down(&mut self) {
        self.weather.clear();
        self.tell(Fact::Calm);
        let processes: Vec<Process> = self.replicas.iter().filter_map(|replica| replica.process).collect();
        for process in processes {
            self.thaw(process);
        }
        // Late requests are still under way: the way is cleared again when they have arrived.
        self.clear_the_way();
        self.after(Duration::from_mins(4), Self::clear_the_way);
    }

    /// Whether nothing will happen any more, or it takes too long.
    fn is_over(&self) -> bool {
        let Some(calm) = self.history.iter().rev().find(|told| matches!(told.fact, Fact::Calm)).map(|told| told.at) else { return false };
        let since = |at: Timestamp| self.now.duration_since(at);
        if since(calm) > CALM_MAX {
            return true;
        }
        let last = self.history.last().map_or(calm, |told| told.at);
        let is_open = |id| self.journal.update(id).is_none_or(Update::is_open);
        since(last) > QUIET && since(calm) > QUIET && !self.journal.by_id.keys().any(is_open)
    }
}

impl Run {
    fn go(&mut self) {
        let mut checked = Timestamp::UNIX_EPOCH;
        loop {
            self.serve();
            let ready = self.ready();
            if !ready.is_empty() && self.polls < POLLS_MAX {
                self.poll_one(&ready);
                continue;
            }
            let mut world = self.world.lock();
            // Looking whether it is over costs more than a step; once in a virtual minute is enough.
            let looks = world.now.duration_since(checked) > SignedDuration::from_mins(1);
            if looks {
                checked = world.now;
            }
            if world.next().is_none() || self.polls >= POLLS_MAX || (looks && world.is_over()) {
                return;
            }
            world.go_on();
        }
    }

    fn ready(&self) -> Vec<u64> {
        let world = self.world.lock();
        let may_run = |owner: Owner| {
            owner.is_none_or(|process| world.runs(process) && world.replicas.get(process.replica).is_some_and(|replica| !replica.is_frozen))
        };
        self.executor.ready(may_run)
    }

    fn poll_one(&mut self, ready: &[u64]) {
        self.polls += 1;
        let mut world = self.world.lock();
        let task = ready[world.random.usize(0..ready.len())];
        let deadly = world.weather.deadly;
        let dies = deadly > 0 && world.random.u32(0..10_000) < deadly;
        self.trace.update(world.now.as_nanosecond().to_be_bytes());
        drop(world);
        self.trace.update(task.to_be_bytes());
        if dies && let Some(process) = self.executor.owner(task) {
            return self.kill(process);
        }
        self.executor.poll(task);
        self.take_up();
    }

    fn take_up(&mut self) {
        let starting: Vec<_> = self.starting.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for (owner, task) in starting {
            self.executor.start(owner, task);
        }
    }

    /// Does what the world wants to be done.
    fn serve(&mut self) {
        loop {
            let wanted = self.world.lock().wanted.pop_front();
            match wanted {
                None => return,
                Some(Wanted::Start(replica)) => self.start(replica),
                Some(Wanted::Kill(process)) => self.kill(process),
                Some(Wanted::Stop(process)) => self.stop(process),
                Some(Wanted::Ended(process)) => self.ended(process),
                Some(Wanted::Vote { number, update, ballot, tries }) => {
                    match self.someone() {
                        Some(running) => running.vote(number, update.clone(), ballot.clone()),
                        None if tries > VOTE_TRIES_MAX => continue,
                        None => {}
                    }
                    let again = move |world: &mut World| {
                        let is_answered = |told: &Told| matches!(&told.fact, Fact::VoteAnswered { number: of, .. } if *of == number);
                        if tries < VOTE_TRIES_MAX && !world.history.iter().any(is_answered) {
                            world.wanted.push_back(Wanted::Vote { number, update, ballot, tries: tries + 1 });
                        }
                    };
                    self.world.lock().after(Duration::from_secs(12), again);
                }
                Some(Wanted::Order { number, order }) => {
                    if let Some(running) = self.someone() {
                        running.order(number, order);
                    }
                }
                Some(Wanted::Hint(hint)) => {
                    if let Some(running) = self.someone() {
                        running.hint(hint);
                    }
                }
            }
            self.take_up();
        }
    }

    /// A replica that believes to lead: standbys hand on what they are told.
    fn someone(&self) -> Option<&Running> {
        let all: Vec<&Running> = self.running.values().filter(|running| running.leads()).collect();
        let mut world = self.world.lock();
        world.any(&all).copied()
    }

    fn start(&mut self, number: usize) {
        let mut world = self.world.lock();
        let Some(replica) = world.replicas.get_mut(number).filter(|replica| replica.process.is_none()) else { return };
        replica.starts += 1;
        let process = Process { replica: number, start: replica.starts };
        replica.process = Some(process);
        world.tell(Fact::Replica { process, what: "starts".to_owned() });
        world.begin_watch(number);
        drop(world);
        let running = Running::begin(&self.world, process, &self.starting);
        self.running.insert(number, running);
    }

    fn kill(&mut self, process: Process) {
        let mut world = self.world.lock();
        if !world.runs(process) {
            return;
        }
        world.tell(Fact::Replica { process, what: "is killed".to_owned() });
        drop(world);
        self.is_gone(process);
    }

    fn ended(&mut self, process: Process) {
        if self.world.lock().runs(process) {
            self.is_gone(process);
        }
    }

    fn is_gone(&mut self, process: Process) {
        self.running.remove(&process.replica);
        self.executor.kill(process);
        self.world.lock().is_down(process);
    }

    fn stop(&mut self, process: Process) {
        if let Some(running) = self.running.get(&process.replica).filter(|running| running.process == process) {
            self.world.lock().tell(Fact::Replica { process, what: "is told to stop".to_owned() });
            running.stop();
        }
    }

    fn end(mut self) -> Story {
        let processes: Vec<Process> = self.running.values().map(|running| running.process).collect();
        for process in processes {
            self.executor.kill(process);
        }
        self.running.clear();
        let mut world = self.world.lock();
        let history = std::mem::take(&mut world.history);
        for told in &history {
            self.trace.update(told.to_string());
        }
        Story { history, is_endless: self.polls >= POLLS_MAX, polls: self.polls, trace: hex::encode(self.trace.finalize()) }
    }
}

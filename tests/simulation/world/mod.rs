//! Everything outside of skeg, in its own time: the far ends, the network to them, and what happened.

pub mod chat;
pub mod cluster;
pub mod git;
pub mod journal;
pub mod lease;
pub mod network;
pub mod pauses;
pub mod registry;
pub mod rollout;
pub mod watch;
pub mod weather;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use skeg::core::hold::voter::Ballot;
use skeg::core::schedule::after;
use skeg::core::update::UpdateId;

use crate::history::{Fact, Order, Process, Told};
use weather::Weather;

/// Something that happens at its time.
type Event = Box<dyn FnOnce(&mut World) + Send>;

/// The world.
pub struct World {
    /// The true time.
    pub now: Timestamp,
    /// Every choice is drawn from here.
    pub random: Rng,
    /// What happened so far.
    pub history: Vec<Told>,
    /// The length of the lease; without one the only replica leads by itself.
    pub leads_for: Option<Duration>,
    /// What can go wrong at present.
    pub weather: Weather,
    /// The API server's workloads.
    pub cluster: cluster::Objects,
    /// The API server's records.
    pub journal: journal::Kept,
    /// The API server's lease.
    pub lease: lease::Kept,
    /// The API server's pauses.
    pub pauses: pauses::Kept,
    /// The API server's first sights.
    pub sights: pauses::Sights,
    /// Registries.
    pub registry: registry::Images,
    /// Git remotes.
    pub git: git::Remotes,
    /// The chat.
    pub chat: chat::Messages,
    /// The replicas of skeg, as the world sees them.
    pub replicas: Vec<Replica>,
    /// What the one who runs the world is to do.
    pub wanted: VecDeque<Wanted>,
    timers: BTreeMap<(Timestamp, u64), Event>,
    counted: u64,
}

/// By how much a steady clock may be fast or slow, in a thousandth: leases hold up to three hundred.
const CLOCKS_DRIFT: i32 = 50;

/// A replica as the world sees it.
#[derive(Default)]
pub struct Replica {
    /// Its present process; `None` while it is down.
    pub process: Option<Process>,
    /// Starts so far.
    pub starts: u32,
    /// How far its clock is off.
    pub offset: SignedDuration,
    /// By how much its steady clock is fast, in a thousandth.
    pub is_fast_by: i32,
    /// Whether it is stopped like by SIGSTOP.
    pub is_frozen: bool,
    /// What its watch shows.
    pub watch: watch::Watch,
}

/// What the world wants to be done by the one who runs it.
pub enum Wanted {
    /// Start a replica.
    Start(usize),
    /// Kill a process.
    Kill(Process),
    /// Tell a process to stop.
    Stop(Process),
    /// A process has ended by itself.
    Ended(Process),
    /// Bring a vote to a replica that runs.
    Vote {
        /// The number of the click.
        number: u64,
        /// Which update.
        update: UpdateId,
        /// The vote.
        ballot: Ballot,
        /// Deliveries before this one.
        tries: u32,
    },
    /// Bring an order to a replica that runs.
    Order {
        /// Its number.
        number: u64,
        /// The order.
        order: Order,
    },
    /// Tell a replica of a push.
    Hint(skeg::sources::Hint),
}

/// The world, shared by everything that acts in it. One thread runs everything, so nobody ever waits for the lock.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<World>>);

impl Handle {
    /// The world, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A world that begins now.
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }
}

impl World {
    /// An empty world whose choices follow from the seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let weather = Weather::drawn(&mut random);
        let replicas = if random.u32(0..10) < 5 { 1 } else { 2 };
        let leads_for = (replicas > 1).then(|| Duration::from_secs(random.u64(15..=120)));
        let mut replica = || Replica { is_fast_by: random.i32(-CLOCKS_DRIFT..=CLOCKS_DRIFT), ..Replica::default() };
        let replicas = (0..replicas).map(|_| replica()).collect();
        Self {
            now: Timestamp::UNIX_EPOCH,
            random,
            history: Vec::new(),
            weather,
            cluster: cluster::Objects::default(),
            journal: journal::Kept::default(),
            lease: lease::Kept::default(),
            pauses: pauses::Kept::default(),
            sights: pauses::Sights::default(),
            registry: registry::Images::default(),
            git: git::Remotes::default(),
            chat: chat::Messages::default(),
            replicas,
            leads_for,
            wanted: VecDeque::new(),
            timers: BTreeMap::new(),
            counted: 0,
        }
    }

    /// Writes down what happened.
    pub fn tell(&mut self, fact: Fact) {
        self.history.push(Told { at: self.now, fact });
    }

    /// A number that nothing else has.
    pub fn number(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    /// Has something happen after a while.
    pub fn after(&mut self, wait: Duration, event: impl FnOnce(&mut Self) + Send + 'static) {
        let place = (after(self.now, wait), self.number());
        self.timers.insert(place, Box::new(event));
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Timestamp> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// Lets the next thing happen.
    pub fn go_on(&mut self) {
        if let Some(((at, _), event)) = self.timers.pop_first() {
            self.now = self.now.max(at);
            event(self);
        }
    }

    /// Whether chance has it, so many times in a thousand.
    pub fn chance(&mut self, in_thousand: u32) -> bool {
        self.random.u32(0..1_000) < in_thousand
    }

    /// A time between the two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (millis(least), millis(most));
        Duration::from_millis(self.random.u64(least..=most.max(least)))
    }

    /// One of them, if there are any.
    pub fn any<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.random.usize(0..of.len())) }
    }

    /// Whether the process runs, frozen or not.
    pub fn runs(&self, process: Process) -> bool {
        self.replicas.get(process.replica).is_some_and(|replica| replica.process == Some(process))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! One process of skeg: its real parts on the simulated ports.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use skeg::core::hold::voter::Ballot;
use skeg::core::leadership::{Me, Timing};
use skeg::core::pause::Pause;
use skeg::core::update::UpdateId;
use skeg::flow::agent::Options;
use skeg::flow::ballots::BallotBox;
use skeg::flow::commands::{Command, CommandRefused};
use skeg::flow::engine::Settings;
use skeg::flow::leadership::{Candidate, Parts, Replica};
use skeg::flow::message::Message;
use skeg::flow::seat::Seat;
use skeg::flow::{KeptListings, KnownBuilds, Ports, Prompts, RecentDigests, Recorder, Term, UnreadOffers};
use skeg::metrics::Metrics;
use skeg::ports::approver::{NotCast, Votes as _};
use skeg::ports::clock::Clock;
use skeg::ports::spawn::Spawn;
use skeg::sources::{Hint, HintQueue};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::executor::Owner;
use crate::history::{Fact, Order, Process};
use crate::world::network::{Link, ProcessClock};
use crate::world::{Handle, Wanted};

/// Tasks that want to be taken up by the executor.
pub type Starting = Arc<Mutex<VecDeque<(Owner, BoxFuture<'static, ()>)>>>;

/// How often an agent lists a repository where no directive says otherwise.
const POLL_INTERVAL: Duration = Duration::from_mins(2);
/// How long a hint waits for others.
const SETTLE: Duration = Duration::from_secs(1);

/// A running process.
pub struct Running {
    /// Which.
    pub process: Process,
    stop: CancellationToken,
    seat: Seat,
    hints: Arc<HintQueue>,
    clock: Arc<dyn Clock>,
    world: Handle,
    starting: Starting,
}

/// Spawns tasks that belong to a process.
struct Tasks {
    process: Process,
    starting: Starting,
}

impl Spawn for Tasks {
    fn spawn(&self, effect: BoxFuture<'static, ()>) {
        start(&self.starting, Some(self.process), effect);
    }
}

fn start(starting: &Starting, owner: Owner, task: BoxFuture<'static, ()>) {
    starting.lock().unwrap_or_else(PoisonError::into_inner).push_back((owner, task));
}

impl Running {
    /// Starts a process.
    pub fn begin(world: &Handle, process: Process, starting: &Starting) -> Self {
        let link = Link { world: world.clone(), process };
        let clock: Arc<dyn Clock> = Arc::new(ProcessClock(link.clone()));
        let ports = Arc::new(ports(&link, &clock));
        let hints = Arc::new(HintQueue::default());
        let engine =
            Settings { acts: true, in_flight: 3, history_per_workload: 3, history_age: Duration::from_hours(720), history_total: 5_000 };
        let options = Options { engine, poll_interval: POLL_INTERVAL, settle: SETTLE };
        let tasks = Arc::new(Tasks { process, starting: Arc::clone(starting) });
        let leads_for = world.lock().leads_for;
        let me = Me { name: format!("skeg-{}", process.replica).into(), process: process.start.to_string().into(), peer: None };
        let candidate = |lasts| Candidate { lease: Arc::new(link.clone()), me, timing: Timing::lasting(lasts) };
        let (replica, seat) = Replica::new(Parts {
            options,
            ports,
            hints: Arc::clone(&hints),
            tasks,
            beside: Arc::new(|_| Vec::new()),
            lease: leads_for.map(candidate),
        });
        let stop = CancellationToken::new();
        let (told, stopped) = (world.clone(), stop.clone());
        let run = async move {
            let end = replica.run(stopped).await;
            let mut world = told.lock();
            let what = end.map_or_else(|error| format!("has stopped: {error}"), |()| "has stopped".to_owned());
            world.tell(Fact::Replica { process, what });
            world.wanted.push_back(Wanted::Ended(process));
        };
        start(starting, Some(process), run.boxed());
        Self { process, stop, seat, hints, clock, world: world.clone(), starting: Arc::clone(starting) }
    }

    /// Tells it to stop, like SIGTERM.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it believes to lead.
    pub fn leads(&self) -> bool {
        self.seat.mailbox().is_some()
    }

    /// Brings it a hint.
    pub fn hint(&self, hint: Hint) {
        let due = skeg::core::schedule::after(self.clock.now(), SETTLE);
        self.hints.push(hint, due);
    }

    /// Brings it a vote.
    pub fn vote(&self, number: u64, update: UpdateId, ballot: Ballot) {
        let Some(mailbox) = self.seat.mailbox() else { return };
        let votes = BallotBox { mailbox, clock: Arc::clone(&self.clock) };
        let world = self.world.clone();
        let cast = async move {
            let answer = votes.cast(update.clone(), ballot.clone()).await;
            let (counts, told) = match answer {
                Ok(_) => (Some(true), String::new()),
                Err(NotCast::Refused(why)) => (Some(false), why),
                Err(NotCast::NotDurable(why)) => (None, why),
            };
            world.lock().tell(Fact::VoteAnswered { number, update, ballot, counts, told });
        };
        start(&self.starting, Some(self.process), cast.boxed());
    }

    /// Brings it an order of a person.
    pub fn order(&self, number: u64, order: Order) {
        let (world, told) = (self.world.clone(), order.clone());
        let answered = move |result: Result<(), CommandRefused>| {
            let (is_done, told_why) = (result.is_ok(), result.err().map(|error| error.to_string()).unwrap_or_default());
            world.lock().tell(Fact::OrderAnswered { number, order: told, is_done, told: told_why });
        };
        let by: Box<str> = "user:ann".into();
        let command = match order {
            Order::Pause { scope, until } => {
                let pause = Pause { scope, until, by, at: self.clock.now(), reason: None };
                Command::Pause { pause, reply: Box::new(|result| answered(result.map(drop))) }
            }
            Order::Resume { scope } => Command::Resume { scope, by, reply: Box::new(|result| answered(result.map(drop))) },
            Order::Retry { update, .. } => Command::Retry { id: update, by, reply: Box::new(|result| answered(result.map(drop))) },
        };
        let Some(mailbox) = self.seat.mailbox() else { return };
        let send = async move {
            let _ = mailbox.send(Message::Command(command)).await;
        };
        start(&self.starting, Some(self.process), send.boxed());
    }
}

fn ports(link: &Link, clock: &Arc<dyn Clock>) -> Ports {
    let link = Arc::new(link.clone());
    let (happened, _) = broadcast::channel(1);
    Ports {
        registry: link.clone(),
        cluster: link.clone(),
        workloads: link.clone(),
        journal: link.clone(),
        pauses: link.clone(),
        first_seen: link.clone(),
        events: link.clone(),
        git: link.clone(),
        approver: link,
        prompts: Prompts::default(),
        clock: Arc::clone(clock),
        listings: KeptListings::new(POLL_INTERVAL),
        builds: KnownBuilds::default(),
        sights: Arc::default(),
        unread_offers: UnreadOffers::default(),
        recent: RecentDigests::default(),
        recorder: Recorder::default(),
        metrics: Arc::new(Metrics::new([])),
        health: Arc::default(),
        happened,
        term: Term::alone(Arc::clone(clock)),
    }
}

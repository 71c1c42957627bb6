//! The one task around the engine: takes messages, hints, changes and deadlines, and carries out what the engine wants done.

mod drain;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::compare::Ages;
use super::engine::{Engine, Settings};

use super::gather::gather;
use super::guard::guarded;
use super::message::{Act, Message};
use super::observe::Observation;
use super::reader::Reader;
use super::{Ports, apply, audit, effects, first_sights, journal};
use crate::core::failure::Failure;
use crate::core::image::Repository;
use crate::core::schedule::after;
use crate::core::update::{Effect, Trigger, Update};
use crate::ports::events::Told;
use crate::ports::journal::Records;
use crate::ports::spawn::Spawn;
use crate::sources::poll::PollSchedule;
use crate::sources::{Hint, HintQueue};

pub use drain::NotRecorded;
use drain::UnderWay;

/// Messages that may wait. Effects wait for room, so nothing is lost when it is full; a thousand covers every update of a large release.
const INBOX_MAX: usize = 1_024;
/// When a repository that is being read is looked at again for a hint that came meanwhile.
const LOOK_AFTERWARDS: Duration = Duration::from_secs(1);
/// How old the gauges may be.
const GAUGES_AFTER: Duration = Duration::from_secs(1);

/// Looks at the engine and tells whoever asked.
type Reading = Box<dyn FnOnce(&Engine, Timestamp) + Send>;

/// What may be sent to the agent.
pub enum Envelope {
    /// A message for the engine.
    Message(Message),
    /// A look at the engine.
    Read(Reading),
}

/// A way to reach the agent.
#[derive(Clone)]
pub struct Mailbox(mpsc::Sender<Envelope>);

impl Mailbox {
    /// Sends a message; waits while the inbox is full. `false` when the agent has stopped.
    pub async fn send(&self, message: Message) -> bool {
        self.0.send(Envelope::Message(message)).await.is_ok()
    }

    /// Looks at the engine; `None` when the agent has stopped.
    pub async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Engine, Timestamp) -> T + Send + 'static) -> Option<T> {
        let (tell, answer) = futures::channel::oneshot::channel();
        let read = Box::new(move |engine: &Engine, now: Timestamp| drop(tell.send(look(engine, now))));
        self.0.send(Envelope::Read(read)).await.ok()?;
        answer.await.ok()
    }
}

/// Settings of the agent.
#[derive(Clone, Debug)]
pub struct Options {
    /// Settings of the engine.
    pub engine: Settings,
    /// Interval of polling where no directive says otherwise.
    pub poll_interval: Duration,
    /// The settle window: what is due for one workload within it is read together.
    pub settle: Duration,
}

/// The running agent, until [`Agent::run`] ends.
pub struct Agent {
    ports: Arc<Ports>,
    engine: Engine,
    hints: Arc<HintQueue>,
    polls: PollSchedule,
    settle: Duration,
    inbox: mpsc::Receiver<Envelope>,
    mailbox: Mailbox,
    tasks: Arc<dyn Spawn>,
    /// Tasks that a stop waits for.
    under_way: Arc<AtomicUsize>,
    reader: Arc<Reader>,
    is_stopping: bool,
    /// When the gauges are to be brought up to date, if something has moved since they were.
    gauges_due: Option<Timestamp>,
    /// Whether the last hint found no room.
    is_queue_full: bool,
}

impl Agent {
    /// An agent that has not started yet, and the way to reach it.
    pub fn new(options: Options, ports: Arc<Ports>, hints: Arc<HintQueue>, tasks: Arc<dyn Spawn>) -> (Self, Mailbox) {
        let (send, inbox) = mpsc::channel(INBOX_MAX);
        let mailbox = Mailbox(send);
        if options.engine.acts {
            ports.sights.keep_durably();
        }
        let engine = Engine::new(options.engine, Arc::clone(&ports.workloads), Arc::clone(&ports.registry)).in_epoch(ports.term.epoch());
        let engine = engine.seeing(Ages { sights: Arc::clone(&ports.sights), clock: Arc::clone(&ports.clock) });
        let agent = Self {
            engine,
            hints,
            polls: PollSchedule::new(options.poll_interval),
            settle: options.settle,
            inbox,
            mailbox: mailbox.clone(),
            tasks,
            under_way: Arc::default(),
            reader: Arc::default(),
            is_stopping: false,
            gauges_due: None,
            is_queue_full: false,
            ports,
        };
        (agent, mailbox)
    }

    /// Runs until `stop`, then finishes or records what is under way, within a bound. The error is for what could not be recorded.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), NotRecorded> {
        self.load();
        let ports = Arc::clone(&self.ports);
        let hints = Arc::clone(&self.hints);
        loop {
            // A term that is over does not begin again, and whoever ended it drops what acts in it. Deadlines that pass meanwhile stay.
            if !ports.term.may_act() {
                return futures::future::pending().await;
            }
            let now = ports.clock.now();
            let wake = self.next_wake();
            tokio::select! { biased;
                () = stop.cancelled() => break,
                Some(envelope) = self.inbox.recv() => self.take(envelope, now),
                changes = ports.workloads.changed() => {
                    self.polls.follow(changes.repositories, |repository| ports.workloads.using(repository), ports.clock.now());
                    self.handle(Message::Changed(changes.workloads.into_iter().collect()));
                }
                () = hints.pushed() => {}
                () = sleep_until(&ports, wake) => self.wake(),
            }
        }
        self.drain().await
    }

    /// Reads the records once the cluster is known. In observe mode there are none to go by: nothing is written, so nothing is resumed.
    fn load(&self) {
        let (ports, mailbox, acts) = (Arc::clone(&self.ports), self.mailbox.clone(), self.engine.acts());
        self.tasks.spawn(
            async move {
                ports.workloads.filled().await;
                let (records, pauses) = if acts { journal::load(&ports).await } else { (Records::default(), Vec::new()) };
                let newest = records.kept.iter().map(|kept| kept.update.epoch).max().unwrap_or_default();
                if ports.term.meets_record(newest) {
                    return;
                }
                ports.health.ready();
                mailbox.send(Message::Loaded { records, pauses }).await;
                if acts {
                    mailbox.send(Message::FoundLate(journal::load_late(&ports).await)).await;
                }
            }
            .boxed(),
        );
    }

    fn take(&mut self, envelope: Envelope, now: Timestamp) {
        match envelope {
            Envelope::Message(message) => {
                match &message {
                    Message::Observed(observations) => self.note_looks(observations, now),
                    // An agent of a later term hears of no change of what was there before.
                    Message::Loaded { .. } => {
                        let workloads = &self.ports.workloads;
                        self.polls.follow(workloads.repositories(), |repository| workloads.using(repository), now);
                    }
                    _ => {}
                }
                self.handle(message);
            }
            Envelope::Read(read) => read(&self.engine, now),
        }
    }

    /// A repository that could not be read in full with one of its accesses is looked at again soon, later each time, whatever the others have
    /// read; and one with a tag that becomes old enough then.
    fn note_looks(&mut self, observations: &[Observation], now: Timestamp) {
        let mut troubled: BTreeMap<&Repository, Option<Duration>> = BTreeMap::new();
        for observation in observations.iter().filter(|observation| observation.met_trouble()) {
            let asked = observation.read.as_ref().err().and_then(|error| Failure::from(error.clone()).retry_after);
            let longest = troubled.entry(&observation.repository).or_default();
            *longest = (*longest).max(asked);
        }
        for observation in observations.iter().filter(|observation| !troubled.contains_key(&observation.repository)) {
            self.polls.succeeded(&observation.repository);
        }
        for (repository, retry_after) in troubled {
            self.polls.failed(repository, now, retry_after);
        }
        for (repository, at) in observations.iter().filter_map(|one| Some((&one.repository, one.old_enough_at()?))) {
            self.polls.by(repository, at);
        }
    }

    /// Puts a hint into the queue. When that is full the repository is polled again before long: no look is lost.
    fn hint(&mut self, hint: Hint, due: Timestamp) {
        let repository = hint.repository.clone();
        let is_full = !self.hints.push(hint, due);
        if is_full {
            if !self.is_queue_full {
                tracing::warn!(image.repository = %repository, "the queue of hints is full: repositories are looked at later");
            }
            self.ports.metrics.hint_put_off();
            self.polls.failed(&repository, due, None);
        }
        self.is_queue_full = is_full;
    }

    /// Takes a message, unless the term is over: nothing is decided then, and nobody answered.
    fn handle(&mut self, message: Message) {
        if !self.ports.term.may_act() {
            return;
        }
        let now = self.ports.clock.now();
        let has_looked = matches!(message, Message::Changed(_) | Message::Observed(_) | Message::Loaded { .. });
        let acts = self.engine.handle(message, now);
        if has_looked || acts.iter().any(|act| matches!(act, Act::Audit(_))) {
            self.gauges_due.get_or_insert(after(now, GAUGES_AFTER));
        }
        for act in acts {
            self.carry_out(act, now);
        }
    }

    /// The next deadline of the engine, of polls and of hints. Nothing is looked at before the records are loaded, so nothing wakes it.
    fn next_wake(&self) -> Option<Timestamp> {
        if !self.engine.is_loaded() {
            return None;
        }
        let sights = self.ports.sights.deadline();
        [self.engine.deadline(), self.polls.next_due(), self.hints.next_due(), self.gauges_due, sights].into_iter().flatten().min()
    }

    /// Deadlines have passed: of the engine, of polls, of hints, of the gauges.
    fn wake(&mut self) {
        let now = self.ports.clock.now();
        if self.gauges_due.take_if(|due| *due <= now).is_some() {
            audit::gauge(&self.ports, &self.engine);
        }
        self.handle(Message::Tick);
        self.write_first_sights(now);
        for repository in self.polls.take_due(now) {
            self.hint(Hint::whole(repository, Trigger::Poll), now);
        }
        let (hints, polls, window) = (&self.hints, &mut self.polls, after(now, self.settle));
        let early = |repository: &_| {
            let polled = || polls.take_early(repository, now, window).then(|| Hint::whole(repository.clone(), Trigger::Poll));
            hints.take(repository).or_else(polled)
        };
        for batch in gather(hints.take_due(now), early, &*self.ports.workloads) {
            self.read(batch, now);
        }
    }

    /// Writes the first sights, if that is due by `until`.
    fn write_first_sights(&self, until: Timestamp) {
        if self.ports.sights.begin(until) {
            let ports = Arc::clone(&self.ports);
            self.finish(async move {
                first_sights::write(&ports).await;
                None
            });
        }
    }

    /// Reads the repositories of one batch and brings what was read to the engine.
    fn read(&mut self, batch: Vec<Hint>, now: Timestamp) {
        let (batch, later) = self.reader.take_up(batch);
        for hint in later {
            self.hint(hint, after(now, LOOK_AFTERWARDS));
        }
        let (ports, mailbox, reader) = (Arc::clone(&self.ports), self.mailbox.clone(), Arc::clone(&self.reader));
        self.tasks.spawn(async move { reader.read(&ports, &mailbox, &batch).await }.boxed());
    }

    fn carry_out(&mut self, act: Act, now: Timestamp) {
        let ports = Arc::clone(&self.ports);
        match act {
            Act::Write { update, version } => self.finish(async move {
                let result = journal::write(&ports, &update, version).await;
                Some(Message::Written { id: update.id, result })
            }),
            Act::Carry { effect, update } => self.carry(effect, *update),
            Act::Remove(id) => self.finish(async move {
                journal::remove(&ports, &id).await;
                None
            }),
            Act::ReadAgain(id) => self.finish(async move {
                let found = journal::read_again(&ports, &id).await?.map(|found| found.map(Box::new));
                Some(Message::ReadAgain { id, found })
            }),
            Act::TakeOffMark { workload, update } => self.finish(async move {
                let result = apply::take_off_mark(&ports, &workload, &update).await;
                Some(Message::MarkTakenOff { workload, result })
            }),
            Act::SavePauses(change) => self.finish(async move { Some(Message::PausesSaved(journal::save_pauses(&ports, &change).await)) }),
            Act::Tell(told) => self.tell(told),
            Act::Hint(repositories, trigger) => {
                for repository in repositories {
                    self.hint(Hint::whole(repository, trigger), now);
                }
            }
            Act::HintAt(repository, due) => self.hint(Hint::whole(repository, Trigger::Resync), due),
            Act::Audit(line) => {
                if let Some(told) = audit::told(&line) {
                    self.tell(told);
                }
                audit::write(&ports, *line);
            }
            Act::Answer(answer) => answer(),
        }
    }

    /// Tells people on the object. A stop waits for the first try alone.
    fn tell(&self, told: Told) {
        if !self.engine.acts() {
            return;
        }
        let (ports, under_way) = (Arc::clone(&self.ports), UnderWay::begin(&self.under_way));
        let run = async move {
            audit::tell(&ports, &told, || drop(under_way)).await;
            None
        };
        self.spawn(run, None);
    }

    /// Starts an effect. A stopping agent starts none: the record tells what is outstanding, and the next start resumes it.
    fn carry(&self, effect: Effect, update: Update) {
        if self.is_stopping {
            return;
        }
        if matches!(effect, Effect::Ask | Effect::Revise) && !self.ports.prompts.take_up(&update) {
            return;
        }
        let ports = Arc::clone(&self.ports);
        let run = async move {
            let input = effects::carry_out(&ports, effect, &update).await?;
            Some(Message::Outcome { id: update.id, input })
        };
        match effect {
            // These wait for the world, for minutes if need be; a stop does not wait for them.
            Effect::Ask | Effect::Revise | Effect::Follow => self.spawn(run, None),
            Effect::Apply | Effect::LookOnly | Effect::Restore | Effect::WriteBack => self.finish(run),
        }
    }

    /// Runs something that a stop waits for.
    fn finish(&self, run: impl Future<Output = Option<Message>> + Send + 'static) {
        self.spawn(run, Some(UnderWay::begin(&self.under_way)));
    }

    fn spawn(&self, run: impl Future<Output = Option<Message>> + Send + 'static, under_way: Option<UnderWay>) {
        let (ports, mailbox) = (Arc::clone(&self.ports), self.mailbox.clone());
        self.tasks.spawn(
            async move {
                if let Some(Some(message)) = guarded(&ports, "a task", run).await {
                    mailbox.send(message).await;
                }
                drop(under_way);
            }
            .boxed(),
        );
    }
}

/// Sleeps until `wake`; for ever without one.
async fn sleep_until(ports: &Ports, wake: Option<Timestamp>) {
    match wake {
        Some(wake) => ports.clock.sleep_until(wake).await,
        None => futures::future::pending().await,
    }
}

//! A replica: it leads while it holds the lease, and stands by otherwise.
//!
//! ```text
//!   lease ──► core::leadership ──► a term begins: an agent of its own, with ports that ask the term
//!                       │                                  │
//!                       └──► the term is over: the ports refuse, agent and effects are dropped, and it stands by
//! ```
//!
//! Whatever acts belongs to a term and ends with it; nothing is kept from one term to the next but what the API server keeps.

mod campaign;
mod crew;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Ports;
use super::agent::{Agent, Mailbox, NotRecorded, Options};
use super::seat::{Seat, Standing};
use super::term::Term;
use crate::core::leadership::{Me, Timing};
use crate::ports::lease::Lease;
use crate::ports::spawn::Spawn;
use crate::sources::HintQueue;
use campaign::Campaign;
use crew::{Crew, Ending};

/// How long what acts may go on after a term is over. It is dropped at its next wait, so this much is a piece of work that does not wait.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// What runs beside the agent for as long as a term lasts.
pub type Beside = Arc<dyn Fn(Mailbox) -> Vec<BoxFuture<'static, ()>> + Send + Sync>;

/// What a replica is made of.
pub struct Parts {
    /// Settings of the agent.
    pub options: Options,
    /// What is outside.
    pub ports: Arc<Ports>,
    /// Hints, which wait while there is no agent.
    pub hints: Arc<HintQueue>,
    /// Runs what acts.
    pub tasks: Arc<dyn Spawn>,
    /// What else runs while this replica leads.
    pub beside: Beside,
    /// The lease and who asks for it; without one the replica leads by itself from its start to its end.
    pub lease: Option<Candidate>,
}

/// A replica that wants to lead.
#[derive(Clone)]
pub struct Candidate {
    /// The lease.
    pub lease: Arc<dyn Lease>,
    /// Who asks for it.
    pub me: Me,
    /// Its times.
    pub timing: Timing,
}

/// A replica, until [`Replica::run`] ends.
pub struct Replica {
    options: Options,
    ports: Arc<Ports>,
    hints: Arc<HintQueue>,
    tasks: Arc<dyn Spawn>,
    beside: Beside,
    candidate: Option<Candidate>,
    seat: watch::Sender<Standing>,
}

/// Why a replica has ended otherwise than it was told to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It was stopped before everything that was decided could be written.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The agent has ended by itself.
    #[error("the agent ended by itself: {0}")]
    Agent(String),
    /// Something went on acting after the term was over; only the end of the process is sure to stop it.
    #[error("what acts did not stop within {} s after this replica had lost its lease", STOPS_WITHIN.as_secs())]
    Stuck,
}

impl Replica {
    /// A replica that has not started yet, and who leads as it sees it.
    pub fn new(parts: Parts) -> (Self, Seat) {
        let Parts { options, ports, hints, tasks, beside, lease: candidate } = parts;
        let (sender, seat) = Seat::vacant();
        (Self { options, ports, hints, tasks, beside, candidate, seat: sender }, seat)
    }

    /// Runs until `stop`; what is under way is then finished or recorded within a bound, and the lease handed on.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Fault> {
        match self.candidate.clone() {
            Some(candidate) => Campaign::new(self, candidate).run(stop).await,
            None => self.lead_alone(stop).await,
        }
    }

    async fn lead_alone(self, stop: CancellationToken) -> Result<(), Fault> {
        let end = self.crew(Term::alone(Arc::clone(&self.ports.clock)), stop).ended().await;
        self.vacate();
        ended(end)
    }

    /// Starts what acts in a term; the agent ends in order at `stop`.
    fn crew(&self, term: Term, stop: CancellationToken) -> Crew {
        let ports = Arc::new(self.ports.in_term(&term));
        let tasks = crew::TermTasks::new(Arc::clone(&self.tasks), term.clone());
        let (agent, mailbox) = Agent::new(self.options.clone(), ports, Arc::clone(&self.hints), tasks.clone());
        for work in (self.beside)(mailbox.clone()) {
            tasks.spawn(work);
        }
        let holder = self.candidate.as_ref().map(|candidate| (candidate.me.holder(), term.epoch()));
        let crew = Crew::start(agent, term, tasks, stop);
        self.seat.send_replace(Standing::Leads { mailbox, holder });
        crew
    }

    fn vacate(&self) {
        self.seat.send_replace(Standing::Vacant);
    }
}

fn ended(end: Ending) -> Result<(), Fault> {
    match end {
        Ok(recorded) => Ok(recorded?),
        Err(panic) => Err(Fault::Agent(panic)),
    }
}

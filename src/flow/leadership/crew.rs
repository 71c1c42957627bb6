//! What acts in a term: its agent, its effects, and what runs beside them. All of it ends with the term.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, pin_mut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Fault, STOPS_WITHIN};
use crate::flow::agent::{Agent, NotRecorded};
use crate::flow::guard;
use crate::flow::term::Term;
use crate::ports::clock::Clock;
use crate::ports::spawn::Spawn;

/// How the agent ended; the error is a panic.
pub type Ending = Result<Result<(), NotRecorded>, String>;

/// A running term.
pub struct Crew {
    term: Term,
    end: oneshot::Receiver<Ending>,
    tasks: Arc<TermTasks>,
}

impl Crew {
    /// Starts the agent. It is a task of its own: however long it thinks, the lease is renewed meanwhile.
    pub fn start(agent: Agent, term: Term, tasks: Arc<TermTasks>, stop: CancellationToken) -> Self {
        let (tell, end) = oneshot::channel();
        let run = AssertUnwindSafe(agent.run(stop)).catch_unwind();
        tasks.spawn(run.map(|end| drop(tell.send(end.map_err(|panic| guard::said(&*panic).to_owned())))).boxed());
        Self { term, end, tasks }
    }

    /// The term.
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Waits until the agent has ended by itself or because it was told to; a term that is over cuts it off instead.
    pub async fn ended(&mut self) -> Ending {
        match (&mut self.end).await {
            Ok(end) => end,
            Err(_) => futures::future::pending().await,
        }
    }

    /// Ends the term, and waits until nothing of it acts any more.
    pub async fn dismiss(self, clock: &dyn Clock) -> Result<(), Fault> {
        self.term.end();
        let (idle, late) = (self.tasks.idle(), clock.sleep_until_steady(clock.steady() + STOPS_WITHIN));
        pin_mut!(idle);
        match select(idle, late).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(Fault::Stuck),
        }
    }
}

/// Runs what belongs to a term, until the term is over.
pub struct TermTasks {
    tasks: Arc<dyn Spawn>,
    term: Term,
    running: Arc<Running>,
}

#[derive(Default)]
struct Running {
    count: AtomicUsize,
    ended: Notify,
}

impl TermTasks {
    /// Runs them by `tasks`.
    pub fn new(tasks: Arc<dyn Spawn>, term: Term) -> Arc<Self> {
        Arc::new(Self { tasks, term, running: Arc::default() })
    }

    /// Waits until none runs. Meant for when the term is over, since then no new one does.
    async fn idle(&self) {
        while self.running.count.load(Ordering::SeqCst) > 0 {
            self.running.ended.notified().await;
        }
    }
}

impl Spawn for TermTasks {
    fn spawn(&self, effect: BoxFuture<'static, ()>) {
        let (term, counted) = (self.term.clone(), Counted::begin(&self.running));
        self.tasks.spawn(
            async move {
                // Both are dropped here, and only then is it counted as ended.
                drop(select(Box::pin(term.ended()), effect).await);
                drop(counted);
            }
            .boxed(),
        );
    }
}

/// Something that runs, as long as this lives.
struct Counted(Arc<Running>);

impl Counted {
    fn begin(running: &Arc<Running>) -> Self {
        running.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(running))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_one();
    }
}

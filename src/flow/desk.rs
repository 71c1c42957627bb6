//! The engine as HTTP sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use jiff::Timestamp;

use super::Ports;
use super::TagShelf;
use super::commands::{Command, CommandRefused, Reply};
use super::explain::{self, Sources};
use super::message::Message;
use super::order::Order;
use super::seat::{Seat, Standing};
use super::shown::{by_phase, images, listed, status, wrong};
use super::standby::{self, Shelf};
use crate::core::hold::voter::{self, Voter};
use crate::core::pause::{Pause, Scope};
use crate::core::schedule::after;
use crate::core::update::{Update, UpdateId, Verdict};
use crate::core::workload::{Workload, WorkloadId};
use crate::http::desk::{Ballot, Caller, Desk, Leader, PauseOrder, Readiness, Refusal, ResumeOrder, Saying, UpdateFilter};
use crate::http::view::{ExplainView, ImageView, LeadView, LiftedView, PartView, PauseView, StatusView, UpdateView};

/// How long an order may take to become durable before its caller is told to look again. The order itself stays.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why an order finds nobody who carries it out.
const NO_AGENT: &str = "skeg is stopping, or another replica leads by now";

/// What the adapters know of themselves, for the status page.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The watches on the cluster.
    pub watches: Vec<PartView>,
    /// The Git remotes.
    pub remotes: Vec<PartView>,
    /// The webhook receivers.
    pub receivers: Vec<PartView>,
    /// What else is in trouble.
    pub degraded: Vec<PartView>,
}

/// The desk of a running agent.
pub struct EngineDesk {
    /// Who leads.
    pub seat: Seat,
    /// What is outside.
    pub ports: Arc<Ports>,
    /// Asks the adapters how they are.
    pub parts: Arc<dyn Fn() -> Parts + Send + Sync>,
    /// When the process started.
    pub started: Timestamp,
    /// The records, for when another replica leads.
    pub shelf: Shelf,
    /// The tags of the workloads that people ask about.
    pub tags: TagShelf,
}

#[async_trait]
impl Desk for EngineDesk {
    async fn images(&self) -> Vec<ImageView> {
        match self.seat.read(|engine, _| images(engine)).await {
            Some(views) => views,
            None => standby::images(&self.ports.workloads.all(), &self.shelf.updates(&self.ports).await),
        }
    }

    async fn updates(&self, filter: &UpdateFilter) -> Vec<UpdateView> {
        let filter = filter.clone();
        let passes = move |update: &&Update| {
            filter.namespace.as_ref().is_none_or(|namespace| *namespace == update.id.namespace)
                && filter.open.is_none_or(|open| open == update.is_open())
        };
        let of_agent = passes.clone();
        match self.seat.read(move |engine, _| listed(engine.updates().filter(of_agent))).await {
            Some(views) => views,
            None => listed(self.shelf.updates(&self.ports).await.iter().filter(passes)),
        }
    }

    async fn update(&self, id: &UpdateId) -> Option<UpdateView> {
        let wanted = id.clone();
        match self.seat.read(move |engine, _| engine.updates().find(|update| update.id == wanted).map(UpdateView::new)).await {
            Some(found) => found,
            None => self.shelf.updates(&self.ports).await.iter().find(|update| update.id == *id).map(UpdateView::new),
        }
    }

    async fn explain(&self, workload: &WorkloadId, all: bool) -> Result<ExplainView, Refusal> {
        let workload = self.managed(workload)?;
        let sources = Sources { ports: &self.ports, seat: &self.seat, tags: &self.tags, records: &self.shelf };
        Ok(explain::explain(sources, &workload, all).await)
    }

    async fn status(&self) -> StatusView {
        let (started, trouble, lead) = (self.started, self.trouble(), lead(&self.seat.standing()));
        let (parts, of_trouble) = ((self.parts)(), trouble.clone());
        let engine = self.seat.read(move |engine, now| status(engine, parts, started, of_trouble, now)).await;
        match engine {
            Some(status) => StatusView { lead, ..status },
            None => StatusView { lead, ..self.standing_by(trouble).await },
        }
    }

    fn leader(&self) -> Leader {
        leader(&self.seat.standing())
    }

    async fn led(&self) -> Leader {
        leader(&self.seat.filled().await)
    }

    fn readiness(&self) -> Readiness {
        self.trouble().map_or(Readiness::Ready, |why| Readiness::NotReady { why })
    }

    async fn vote(&self, caller: &Caller, id: &UpdateId, ballot: Ballot) -> Result<UpdateView, Refusal> {
        let word = match ballot.verdict {
            Verdict::Approve => "approve",
            Verdict::Reject => "reject",
        };
        let order = self.order_of(caller, word, id);
        if let Err(refusal) = refuse_override(&ballot.saying) {
            return order.ended(Err(refusal));
        }
        let voter = Voter::Caller(caller.as_str().into());
        let ballot = voter::Ballot { voter, verdict: ballot.verdict, content: None, reason: ballot.saying.reason };
        let id = id.clone();
        self.give(order, |reply| Command::Vote { id, ballot, reply }).await.map(|update| UpdateView::new(&update))
    }

    async fn retry(&self, caller: &Caller, id: &UpdateId, saying: Saying) -> Result<UpdateView, Refusal> {
        let order = self.order_of(caller, "retry", id);
        if let Err(refusal) = refuse_override(&saying) {
            return order.ended(Err(refusal));
        }
        let (id, by) = (id.clone(), said_by(caller, saying.reason.as_deref()));
        self.give(order, |reply| Command::Retry { id, by, reply }).await.map(|update| UpdateView::new(&update))
    }

    async fn pause(&self, caller: &Caller, asked: PauseOrder) -> Result<PauseView, Refusal> {
        let order = self.order_of(caller, "pause", &asked.scope);
        if let Err(refusal) = self.refuse_unknown(&asked.scope) {
            return order.ended(Err(refusal));
        }
        let at = self.ports.clock.now();
        let until = asked.lasting.map(|lasting| after(at, lasting));
        let pause = Pause { scope: asked.scope, until, by: caller.as_str().into(), at, reason: asked.reason };
        self.give(order, |reply| Command::Pause { pause, reply }).await.map(|pause| PauseView::from(&pause))
    }

    async fn resume(&self, caller: &Caller, asked: ResumeOrder) -> Result<LiftedView, Refusal> {
        let order = self.order_of(caller, "resume", &asked.scope);
        if let Err(refusal) = self.refuse_unknown(&asked.scope) {
            return order.ended(Err(refusal));
        }
        let (scope, by) = (asked.scope, said_by(caller, asked.reason.as_deref()));
        let lifted = self.give(order, |reply| Command::Resume { scope, by, reply }).await?;
        Ok(LiftedView {
            pauses: lifted.pauses.iter().map(PauseView::from).collect(),
            bindings: lifted.bindings.iter().map(ToString::to_string).collect(),
        })
    }
}

impl EngineDesk {
    /// How a replica stands that does not lead.
    async fn standing_by(&self, trouble: Option<String>) -> StatusView {
        let (parts, workloads) = ((self.parts)(), self.ports.workloads.all());
        let updates = self.shelf.updates(&self.ports).await;
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: "act".to_owned(),
            started: self.started,
            ready: trouble.is_none(),
            leader: false,
            lead: None,
            workloads: workloads.len(),
            updates: by_phase(updates.iter()),
            watches: parts.watches,
            registries: Vec::new(),
            remotes: parts.remotes,
            receivers: parts.receivers,
            pauses: Vec::new(),
            degraded: trouble
                .map(|why| PartView::degraded("skeg", why))
                .into_iter()
                .chain(parts.degraded)
                .chain(wrong(&workloads))
                .collect(),
        }
    }

    fn trouble(&self) -> Option<String> {
        if !self.ports.workloads.is_filled() {
            return Some("waiting for the first listing of the workloads".to_owned());
        }
        self.ports.health.trouble(self.ports.workloads.gone(), self.ports.clock.now())
    }

    fn order_of(&self, caller: &Caller, word: &'static str, on: &impl ToString) -> Order {
        Order::new(self.ports.clock.now(), caller, word, on)
    }

    /// Gives an order to the engine and waits until what it caused is durable. That is written down whether somebody still waits or not.
    async fn give<T: Send + 'static>(&self, order: Order, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (tell, answer) = oneshot::channel();
        let command = command(Box::new(move |result| drop(tell.send(order.ended(result.map_err(refusal))))));
        if !self.seat.send(Message::Command(command)).await {
            return Err(unavailable(NO_AGENT));
        }
        let patience = self.ports.clock.sleep_until(after(self.ports.clock.now(), ANSWER_MAX));
        match futures::future::select(answer, patience).await {
            futures::future::Either::Left((Ok(result), _)) => result,
            futures::future::Either::Left((Err(_), _)) => Err(unavailable(NO_AGENT)),
            futures::future::Either::Right(_) => Err(unavailable("taken, but not recorded yet: the API server does not answer")),
        }
    }

    /// The workload, when it is managed.
    fn managed(&self, id: &WorkloadId) -> Result<Arc<Workload>, Refusal> {
        let workloads = &self.ports.workloads;
        match workloads.get(id) {
            Some(workload) => Ok(workload),
            None if workloads.is_there(id) => Err(Refusal::NotManaged(id.clone())),
            None if workloads.knows(&id.namespace) => Err(Refusal::NoWorkload(id.clone())),
            None => Err(unavailable("the workloads of this namespace are not listed yet, or skeg may not list them: see `skeg status`")),
        }
    }

    fn refuse_unknown(&self, scope: &Scope) -> Result<(), Refusal> {
        match scope {
            // Before the first listing nobody knows; the engine then says that it is still starting.
            Scope::Workload(id) if self.ports.workloads.get(id).is_none() && self.ports.workloads.is_filled() => {
                Err(Refusal::NoWorkload(id.clone()))
            }
            Scope::Workload(_) | Scope::Namespace(_) | Scope::All => Ok(()),
        }
    }
}

fn refuse_override(saying: &Saying) -> Result<(), Refusal> {
    if saying.override_gates {
        return Err(Refusal::NotAllowed(
            "an override needs a Kubernetes identity with the verb `override`, which this version does not ask for yet".into(),
        ));
    }
    Ok(())
}

fn said_by(caller: &Caller, reason: Option<&str>) -> Box<str> {
    match reason {
        Some(reason) => format!("{}: {reason}", caller.as_str()).into(),
        None => caller.as_str().into(),
    }
}

fn refusal(refused: CommandRefused) -> Refusal {
    use crate::core::hold::approval::VoteRefused;
    match refused {
        CommandRefused::NotFound(id) => Refusal::NoUpdate(id),
        CommandRefused::Vote(
            refused @ (VoteRefused::NotApprover { .. } | VoteRefused::NotMember { .. } | VoteRefused::OtherTeam { .. }),
        ) => Refusal::NotAllowed(refused.to_string()),
        CommandRefused::Vote(refused) => Refusal::Conflict(refused.to_string()),
        CommandRefused::Unfit(why) => Refusal::Conflict(why),
        CommandRefused::Observing => Refusal::Observing,
        CommandRefused::NotNow(why) => unavailable(why),
        CommandRefused::NotRecorded(why) => unavailable(&why),
    }
}

fn unavailable(why: &str) -> Refusal {
    Refusal::Unavailable { why: why.to_owned(), retry_after: None }
}

fn leader(standing: &Standing) -> Leader {
    match standing {
        Standing::Leads { .. } => Leader::Here,
        Standing::Follows { peer, .. } => Leader::There(*peer),
        Standing::Vacant => Leader::Nobody,
    }
}

fn lead(standing: &Standing) -> Option<LeadView> {
    match standing {
        Standing::Leads { holder, .. } => {
            holder.as_ref().map(|(holder, epoch)| LeadView { holder: holder.to_string(), epoch: *epoch, address: None })
        }
        Standing::Follows { leader, peer, epoch } => {
            Some(LeadView { holder: leader.to_string(), epoch: *epoch, address: peer.map(|peer| peer.private.to_string()) })
        }
        Standing::Vacant => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_says_is_kept_with_the_name() {
        let ann = Caller::new("user:ann");
        assert_eq!(&*said_by(&ann, None), "user:ann");
        assert_eq!(&*said_by(&ann, Some("mended")), "user:ann: mended");
        assert!(matches!(refusal(CommandRefused::Observing), Refusal::Observing));
    }
}

//! The engine as HTTP sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use jiff::Timestamp;

use super::Ports;
use super::commands::{Command, CommandRefused, Reply};
use super::engine::{Engine, Message};
use super::seat::{Seat, Standing};
use super::standby::{self, Shelf};
use crate::core::hold::voter::{self, Voter};
use crate::core::image::ImageRef;
use crate::core::pause::{Pause, Scope};
use crate::core::schedule::after;
use crate::core::update::{Update, UpdateId};
use crate::core::workload::{Container, Workload};
use crate::http::desk::{Ballot, Caller, Desk, Leader, PauseOrder, Readiness, Refusal, ResumeOrder, Saying, UpdateFilter};
use crate::http::view::{
    CandidateView, ImageState, ImageView, LeadView, LiftedView, PartView, PauseView, ReasonView, StatusView, UpdateView,
};

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
        match self.seat.read(move |engine, _| engine.updates().find(|update| update.id == wanted).map(view)).await {
            Some(found) => found,
            None => self.shelf.updates(&self.ports).await.iter().find(|update| update.id == *id).map(view),
        }
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
        refuse_override(&ballot.saying)?;
        let voter = Voter::Caller(caller.as_str().into());
        let ballot = voter::Ballot { voter, verdict: ballot.verdict, content: None, reason: ballot.saying.reason };
        let id = id.clone();
        self.order(|reply| Command::Vote { id, ballot, reply }).await.map(|update| view(&update))
    }

    async fn retry(&self, caller: &Caller, id: &UpdateId, saying: Saying) -> Result<UpdateView, Refusal> {
        refuse_override(&saying)?;
        let (id, by) = (id.clone(), said_by(caller, saying.reason.as_deref()));
        self.order(|reply| Command::Retry { id, by, reply }).await.map(|update| view(&update))
    }

    async fn pause(&self, caller: &Caller, order: PauseOrder) -> Result<PauseView, Refusal> {
        self.refuse_unknown(&order.scope)?;
        let at = self.ports.clock.now();
        let until = order.lasting.map(|lasting| after(at, lasting));
        let pause = Pause { scope: order.scope, until, by: caller.as_str().into(), at, reason: order.reason };
        self.order(|reply| Command::Pause { pause, reply }).await.map(|pause| PauseView::from(&pause))
    }

    async fn resume(&self, caller: &Caller, order: ResumeOrder) -> Result<LiftedView, Refusal> {
        self.refuse_unknown(&order.scope)?;
        let (scope, by) = (order.scope, said_by(caller, order.reason.as_deref()));
        let lifted = self.order(|reply| Command::Resume { scope, by, reply }).await?;
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

    /// Gives an order to the engine and waits until what it caused is durable.
    async fn order<T: Send + 'static>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (tell, answer) = oneshot::channel();
        let command = command(Box::new(move |result| drop(tell.send(result))));
        if !self.seat.send(Message::Command(command)).await {
            return Err(unavailable(NO_AGENT));
        }
        let patience = self.ports.clock.sleep_until(after(self.ports.clock.now(), ANSWER_MAX));
        match futures::future::select(answer, patience).await {
            futures::future::Either::Left((Ok(result), _)) => result.map_err(refusal),
            futures::future::Either::Left((Err(_), _)) => Err(unavailable(NO_AGENT)),
            futures::future::Either::Right(_) => Err(unavailable("taken, but not recorded yet: the API server does not answer")),
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
        CommandRefused::Vote(refused @ (VoteRefused::NotApprover { .. } | VoteRefused::OtherTeam { .. })) => {
            Refusal::NotAllowed(refused.to_string())
        }
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

fn view(update: &Update) -> UpdateView {
    UpdateView::new(update, None)
}

fn images(engine: &Engine) -> Vec<ImageView> {
    let mut views = Vec::new();
    for workload in engine.workloads.all() {
        views.extend(workload.containers.iter().filter_map(|container| image(engine, &workload, container)));
    }
    views
}

/// One container as it stands; `None` for a container that no policy speaks for.
fn image(engine: &Engine, workload: &Workload, container: &Container) -> Option<ImageView> {
    let parsed: Option<ImageRef> = container.image.parse().ok();
    let mut view = standby::tracked(workload, container)?;
    if workload.directives.is_ok() {
        judge(engine, workload, container, &mut view);
    }
    let trouble = |image: ImageRef| {
        let access = engine.registry.access(image.repository(), &workload.id.namespace);
        engine.looked.trouble(image.repository(), &access)
    };
    if let Some((since, why)) = parsed.and_then(trouble) {
        view.state = ImageState::Degraded;
        view.errors.push(format!("since {since:.0}: {why}"));
    }
    Some(view)
}

fn judge(engine: &Engine, workload: &Workload, container: &Container, view: &mut ImageView) {
    if let Some(look) = engine.looked.at(&workload.id, &container.name) {
        view.listed = Some(look.at);
        view.candidate = look.candidate.as_ref().map(|tag| CandidateView { tag: tag.to_string(), digest: None });
        view.state = if look.candidate.is_some() { ImageState::HeldBack } else { ImageState::Current };
        view.reason = look.reason.as_ref().map(|(code, message)| ReasonView { code: code.to_string(), message: message.to_string() });
    }
    let changes = |update: &&Update| update.spec.changes.iter().any(|change| change.container == container.name);
    if let Some(update) = engine.known(&workload.id).into_iter().filter(|update| update.is_open()).find(changes) {
        standby::updating(view, update);
    }
}

fn status(engine: &Engine, parts: Parts, started: Timestamp, trouble: Option<String>, now: Timestamp) -> StatusView {
    let workloads = engine.workloads.all();
    let unstored = engine.unwritten().map(|id| PartView::degraded(id.to_string(), "its record cannot be written"));
    let unreadable = engine.unreadable.all().map(|(id, reason)| PartView::degraded(id.to_string(), reason.to_string()));
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: if engine.acts() { "act" } else { "observe" }.to_owned(),
        started,
        ready: trouble.is_none(),
        leader: engine.acts() && engine.is_loaded(),
        lead: None,
        workloads: workloads.len(),
        updates: by_phase(engine.updates()),
        watches: parts.watches,
        registries: registries(engine, &workloads),
        remotes: parts.remotes,
        receivers: parts.receivers,
        pauses: engine.pauses.all().iter().filter(|pause| pause.is_on(now)).map(PauseView::from).collect(),
        degraded: trouble
            .map(|why| PartView::degraded("skeg", why))
            .into_iter()
            .chain(parts.degraded)
            .chain(wrong(&workloads))
            .chain(unstored)
            .chain(unreadable)
            .collect(),
    }
}

/// Every registry that a workload uses; degraded with the first of its repositories that cannot be read.
fn registries(engine: &Engine, workloads: &[Arc<Workload>]) -> Vec<PartView> {
    let mut hosts: BTreeMap<String, PartView> = BTreeMap::new();
    let images =
        workloads.iter().flat_map(|workload| &workload.containers).filter_map(|container| container.image.parse::<ImageRef>().ok());
    for image in images {
        let host = image.repository().registry().to_owned();
        hosts.entry(host.clone()).or_insert_with(|| PartView::ok(host));
    }
    for (repository, since, why) in engine.looked.troubles() {
        let host = repository.registry().to_owned();
        hosts.insert(host.clone(), PartView::degraded(host, format!("since {since:.0}: {why}")));
    }
    hosts.into_values().collect()
}

/// How many updates are open in each phase.
fn by_phase<'u>(updates: impl Iterator<Item = &'u Update>) -> BTreeMap<String, usize> {
    let mut phases: BTreeMap<String, usize> = BTreeMap::new();
    for update in updates.filter(|update| update.is_open()) {
        *phases.entry(update.phase.as_str().to_owned()).or_default() += 1;
    }
    phases
}

/// The workloads with wrong directives.
fn wrong(workloads: &[Arc<Workload>]) -> Vec<PartView> {
    let part = |workload: &Arc<Workload>| {
        let mistakes = workload.directives.as_ref().err()?;
        let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Some(PartView::degraded(workload.id.to_string(), list.join("; ")))
    };
    workloads.iter().filter_map(part).collect()
}

/// The updates as they are shown, the newest first.
fn listed<'u>(updates: impl Iterator<Item = &'u Update>) -> Vec<UpdateView> {
    let mut updates: Vec<&Update> = updates.collect();
    updates.sort_by_key(|update| std::cmp::Reverse((update.created, &update.id)));
    updates.into_iter().map(view).collect()
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

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
use super::seat::Seat;
use crate::core::hold::voter::{self, Voter};
use crate::core::image::ImageRef;
use crate::core::pause::{Pause, Scope};
use crate::core::schedule::after;
use crate::core::update::{Phase, Update, UpdateId};
use crate::core::workload::{Container, Workload};
use crate::http::desk::{Ballot, Caller, Desk, PauseOrder, Readiness, Refusal, ResumeOrder, Saying, UpdateFilter};
use crate::http::view::{
    CandidateView, ImageState, ImageView, LiftedView, PartView, PauseView, ReasonView, StatusView, UpdateView, WorkloadView,
};

/// How long an order may take to become durable before its caller is told to look again. The order itself stays.
const ANSWER_MAX: Duration = Duration::from_secs(10);

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
}

#[async_trait]
impl Desk for EngineDesk {
    async fn images(&self) -> Vec<ImageView> {
        self.seat.read(|engine, _| images(engine)).await.unwrap_or_default()
    }

    async fn updates(&self, filter: &UpdateFilter) -> Vec<UpdateView> {
        let filter = filter.clone();
        let passes = move |update: &&Update| {
            filter.namespace.as_ref().is_none_or(|namespace| *namespace == update.id.namespace)
                && filter.open.is_none_or(|open| open == update.is_open())
        };
        let views = self.seat.read(move |engine, _| {
            let mut updates: Vec<&Update> = engine.updates().filter(passes).collect();
            updates.sort_by_key(|update| std::cmp::Reverse((update.created, &update.id)));
            updates.into_iter().map(view).collect()
        });
        views.await.unwrap_or_default()
    }

    async fn update(&self, id: &UpdateId) -> Option<UpdateView> {
        let id = id.clone();
        self.seat.read(move |engine, _| engine.updates().find(|update| update.id == id).map(view)).await.flatten()
    }

    async fn status(&self) -> StatusView {
        let parts = (self.parts)();
        let (started, trouble) = (self.started, self.trouble());
        let status = self.seat.read(move |engine, now| status(engine, parts, started, trouble, now)).await;
        status.unwrap_or_else(|| stopped(started))
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
            return Err(unavailable("skeg is stopping"));
        }
        let patience = self.ports.clock.sleep_until(after(self.ports.clock.now(), ANSWER_MAX));
        match futures::future::select(answer, patience).await {
            futures::future::Either::Left((Ok(result), _)) => result.map_err(refusal),
            futures::future::Either::Left((Err(_), _)) => Err(unavailable("skeg is stopping")),
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
    let mut view = ImageView {
        workload: WorkloadView::from(&workload.id),
        container: container.name.to_string(),
        image: container.image.to_string(),
        repository: parsed.as_ref().map(|image| image.repository().to_string()),
        tag: parsed.as_ref().and_then(ImageRef::tag).map(ToString::to_string),
        policy: None,
        state: ImageState::Unknown,
        reason: None,
        candidate: None,
        update: None,
        errors: Vec::new(),
        listed: None,
    };
    match &workload.directives {
        Err(mistakes) => {
            view.state = ImageState::Degraded;
            view.errors = mistakes.iter().map(ToString::to_string).collect();
        }
        Ok(directives) => {
            let selection = directives.selection_of(container)?;
            view.policy = Some(selection.policy.to_string());
            judge(engine, workload, container, &mut view);
        }
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
        view.state = ImageState::Updating;
        view.update = Some(update.id.name.to_string());
        if let Phase::Held(held) = &update.phase {
            view.reason = Some(ReasonView::from(&held.waits));
        }
    }
}

fn status(engine: &Engine, parts: Parts, started: Timestamp, trouble: Option<String>, now: Timestamp) -> StatusView {
    let mut updates: BTreeMap<String, usize> = BTreeMap::new();
    for update in engine.updates().filter(|update| update.is_open()) {
        *updates.entry(update.phase.as_str().to_owned()).or_default() += 1;
    }
    let workloads = engine.workloads.all();
    let wrong = workloads.iter().filter_map(|workload| {
        let mistakes = workload.directives.as_ref().err()?;
        let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Some(PartView::degraded(workload.id.to_string(), list.join("; ")))
    });
    let unstored = engine.unwritten().map(|id| PartView::degraded(id.to_string(), "its record cannot be written"));
    let unreadable = engine.unreadable.all().map(|(id, reason)| PartView::degraded(id.to_string(), reason.to_string()));
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: if engine.acts() { "act" } else { "observe" }.to_owned(),
        started,
        ready: trouble.is_none(),
        leader: engine.acts() && engine.is_loaded(),
        workloads: workloads.len(),
        updates,
        watches: parts.watches,
        registries: registries(engine, &workloads),
        remotes: parts.remotes,
        receivers: parts.receivers,
        pauses: engine.pauses.all().iter().filter(|pause| pause.is_on(now)).map(PauseView::from).collect(),
        degraded: trouble
            .map(|why| PartView::degraded("skeg", why))
            .into_iter()
            .chain(parts.degraded)
            .chain(wrong)
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

fn stopped(started: Timestamp) -> StatusView {
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: String::new(),
        started,
        ready: false,
        leader: false,
        workloads: 0,
        updates: BTreeMap::new(),
        watches: Vec::new(),
        registries: Vec::new(),
        remotes: Vec::new(),
        receivers: Vec::new(),
        pauses: Vec::new(),
        degraded: vec![PartView::degraded("skeg", "is stopping")],
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

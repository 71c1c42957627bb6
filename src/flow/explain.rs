//! Why a workload is or is not updated: what its directives say and where that was read, what its repositories list now, and what every
//! gate says to the tag that is chosen.
//!
//! The tags are read here, with the workload's own access, and judged outside the engine, which is only asked for the gates. A replica that
//! does not lead tells everything but these.

mod waiting;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select;
use jiff::Timestamp;

use super::Ports;
use super::engine::Engine;
use super::guard::guarded;
use super::seat::Seat;
use super::standby::Shelf;
use super::tag_shelf::{Listed, Question, TagShelf};
use crate::core::candidate::{NotSelected, Picked, Wanted};
use crate::core::directives::Directives;
use crate::core::hold::{answers, answers_without};
use crate::core::image::{Digest, ImageRef, Tag};
use crate::core::offers::Offers;
use crate::core::policy::{Built, Running, Selection};
use crate::core::update::{Change, Decided, Phase, Surroundings, Trigger, Update, admit};
use crate::core::workload::{Container, Workload};
use crate::http::view::{
    DirectiveView, ExplainView, ExplainedView, GateView, ImageOfTagView, LastLookView, OpenView, ReasonView, UpdateView,
};

/// How long registries may take for one question. What is not read by then is said to be away.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// Why a replica cannot tell what the gates say.
const STANDBY: &str = "the leader knows; this replica stands by";

/// Where the answer comes from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// What is outside.
    pub ports: &'a Ports,
    /// Who leads.
    pub seat: &'a Seat,
    /// The tags.
    pub tags: &'a TagShelf,
    /// The records, for when another replica leads.
    pub records: &'a Shelf,
}

/// One container, and the change that its policy asks for now.
struct Part {
    view: ExplainedView,
    change: Option<Change>,
}

/// What the engine knows of one container.
struct Judged {
    gates: Vec<GateView>,
    update: Option<OpenView>,
    last: Option<LastLookView>,
}

/// Explains a managed workload; every tag by itself only when `all` are asked for.
pub async fn explain(sources: Sources<'_>, workload: &Arc<Workload>, all: bool) -> ExplainView {
    let directives = match &workload.directives {
        Ok(directives) => directives,
        Err(mistakes) => {
            let mut view = wrong(workload, mistakes.iter().map(ToString::to_string).collect());
            workload.keel.iter().for_each(|keel| view.add_keel(keel));
            return view;
        }
    };
    let mut parts = Vec::with_capacity(workload.containers.len());
    let deadline = sources.ports.clock.steady() + READ_WITHIN;
    for container in &workload.containers {
        parts.push(part(sources, workload, directives, container, deadline, all).await);
    }
    judge(sources, workload, &mut parts).await;
    let mut view = ExplainView::new(&workload.id, Vec::new());
    view.directives = directives.told().into_iter().map(DirectiveView::from).collect();
    view.containers = parts.into_iter().map(|part| part.view).collect();
    workload.keel.iter().for_each(|keel| view.add_keel(keel));
    view
}

/// A workload that is held for a mistake in its directives: nothing is chosen.
fn wrong(workload: &Workload, mistakes: Vec<String>) -> ExplainView {
    let held =
        |container| ExplainedView { reason: "the directives are wrong, so nothing is chosen".to_owned(), ..ExplainedView::of(container) };
    ExplainView { containers: workload.containers.iter().map(held).collect(), ..ExplainView::new(&workload.id, mistakes) }
}

async fn part(
    sources: Sources<'_>,
    workload: &Arc<Workload>,
    directives: &Directives,
    container: &Container,
    deadline: Duration,
    all: bool,
) -> Part {
    let mut view = ExplainedView::of(container);
    let ports = sources.ports;
    let Some(selection) = view.ask(directives, container, ports.listings.interval(), workload.keel.is_some()) else {
        return Part { view, change: None };
    };
    let image = match container.image.parse::<ImageRef>() {
        Ok(image) => image,
        Err(error) => {
            view.reason = NotSelected::Image(error).to_string();
            return Part { view, change: None };
        }
    };
    // An API server that hangs is not waited for; the access is told by what is known.
    let puller = workload.puller();
    let learning = pin!(guarded(ports, "reading pull secrets", ports.registry.learn(image.repository(), &puller)));
    select(learning, ports.clock.sleep_until_steady(deadline)).await;
    let access = ports.registry.access(image.repository(), &puller);
    view.access = Some(access.to_string());
    let question = Question { ports, repository: image.repository(), access: &access, deadline };
    let change = Look { sources, question, workload, container, selection, image: &image, all }.taken(&mut view).await;
    Part { view, change }
}

/// A look at the repository of one container.
struct Look<'a> {
    sources: Sources<'a>,
    question: Question<'a>,
    workload: &'a Arc<Workload>,
    container: &'a Container,
    selection: &'a Selection,
    image: &'a ImageRef,
    all: bool,
}

impl Look<'_> {
    /// Judges every tag, and gives the change that is due.
    async fn taken(&self, view: &mut ExplainedView) -> Option<Change> {
        let &Self { sources: Sources { tags: kept, .. }, question, workload, selection, image, all, .. } = self;
        let listed = match kept.tags(question, workload).await {
            Ok(listed) => listed,
            Err(why) => {
                view.reason = "the tags cannot be read now; what the last look found stands".into();
                view.errors.push(why.to_string());
                return None;
            }
        };
        view.listed = Some(listed.at);
        let current = image.effective_tag();
        let points_at = match &current {
            Some(tag) => kept.digest(question, tag).await.ok().flatten(),
            None => None,
        };
        let runs = image.digest().or(points_at.as_ref());
        if let Some(digest) = runs {
            view.runs.digest = Some(digest.to_string());
            view.runs.built = kept.built(question, digest).await;
        }
        let Some(current) = current else {
            view.tags = listed.tags.names().len();
            view.reason = NotSelected::DigestOnly.to_string();
            return None;
        };
        let tags = self.aged(&listed, &current, view).await;
        let running = Running { tag: Some(&current), digest: image.digest(), listed: points_at.as_ref() };
        let (offers, lands_on) = (self.offers(view, &listed).await, question.ports.workloads.lands_on(workload));
        let bars = |tag: &Tag| offers.against(lands_on.as_deref()?, &self.container.image, tag);
        let choice = tags.judge(selection, running, |evaluation| {
            let barred = evaluation.but(&bars);
            let evaluation = barred.as_ref().unwrap_or(evaluation);
            view.judged(evaluation, all);
            evaluation.choice()
        });
        if choice.tag.is_none() {
            view.reason.push_str(&tags.waits(self.selection, Some(&current), image.digest()));
        }
        if listed.tags.is_incomplete {
            view.errors.push("not every build time is read yet: ask again in a moment".to_owned());
        }
        let tag = choice.tag?;
        let digest = match kept.digest(question, &tag).await {
            Ok(Some(digest)) => digest,
            Ok(None) => {
                view.errors.push(format!("the registry has no manifest for tag {tag}"));
                view.candidate = Some(ImageOfTagView { tag: tag.to_string(), digest: None, built: None });
                return None;
            }
            Err(why) => {
                view.errors.push(why.to_string());
                view.candidate = Some(ImageOfTagView { tag: tag.to_string(), digest: None, built: None });
                return None;
            }
        };
        self.change(view, Picked { tag, reason: choice.reason.into(), qualifying: choice.qualifying }, &digest).await
    }

    /// For which platforms the images are that come into question.
    async fn offers(&self, view: &mut ExplainedView, listed: &Listed) -> Offers {
        let offers = self.sources.tags.offers(self.question, self.workload, listed).await;
        let trouble = offers.as_ref().map_or_else(|why| Some(why.to_string()), |offers| offers.trouble.as_deref().map(str::to_owned));
        view.errors.extend(trouble.map(|why| format!("for which platforms the images are cannot be read now: {why}")));
        offers.unwrap_or_default()
    }

    async fn change(&self, view: &mut ExplainedView, picked: Picked, digest: &Digest) -> Option<Change> {
        let image = Some(self.image.clone());
        let wanted = Wanted { container: self.container, selection: self.selection, image, outcome: Ok(picked) };
        let change = wanted.change(digest);
        match &change {
            None => view.reason = format!("{}, and the image is written so already", view.reason),
            Some(change) => {
                let built = self.sources.tags.built(self.question, digest).await;
                view.candidate = Some(ImageOfTagView { tag: change.tag.to_string(), digest: Some(digest.to_string()), built });
            }
        }
        change
    }
}

/// Adds what the gates say: the engine's answer, or that the leader knows it.
async fn judge(sources: Sources<'_>, workload: &Arc<Workload>, parts: &mut [Part]) {
    let is_managed = |part: &&mut Part| part.view.policy.is_some();
    let changes: Vec<(Box<str>, Option<Change>)> =
        parts.iter_mut().filter(is_managed).map(|part| (part.view.container.as_str().into(), part.change.clone())).collect();
    let of_engine = Arc::clone(workload);
    let look = move |engine: &Engine, now| {
        changes.into_iter().map(|(container, change)| engine.judged(&of_engine, &container, change, now)).collect::<Vec<_>>()
    };
    let judged = if let Some(judged) = sources.seat.read(look).await {
        judged
    } else {
        let updates = sources.records.updates(sources.ports).await;
        let of_container = |part: &Part| Judged {
            gates: GateView::unknown(STANDBY),
            update: updates
                .iter()
                .find(|update| update.spec.workload == workload.id && changes_container(update, &part.view.container))
                .map(|update| open(update, &part.view.container)),
            last: None,
        };
        parts.iter().filter(|part| part.view.policy.is_some()).map(of_container).collect()
    };
    for (part, Judged { gates, update, last }) in parts.iter_mut().filter(is_managed).zip(judged) {
        part.view.gates = gates;
        part.view.update = update;
        part.view.last = last;
    }
}

fn changes_container(update: &Update, container: &str) -> bool {
    update.is_open() && update.spec.changes.iter().any(|change| *change.container == *container)
}

fn open(update: &Update, container: &str) -> OpenView {
    let UpdateView { name, phase, reason, .. } = UpdateView::new(update);
    let change = update.spec.changes.iter().find(|change| *change.container == *container);
    OpenView { name, tag: change.map(|change| change.tag.to_string()).unwrap_or_default(), phase, reason }
}

impl Engine {
    /// What is open for a container, what its gates say, and what the last look found.
    fn judged(&self, workload: &Workload, container: &str, change: Option<Change>, now: Timestamp) -> Judged {
        let known = self.known(&workload.id);
        let update = known.iter().copied().find(|update| changes_container(update, container));
        let mut gates = vec![GateView::mode(self.acts())];
        gates.extend(self.gates(workload, container, update, change, now));
        let last = self.looked.at(&workload.id, container).map(|look| LastLookView {
            at: look.at,
            candidate: look.candidate.as_ref().map(|found| found.tag.to_string()),
            reason: look.reason.as_ref().map(|why| ReasonView { code: why.code.to_string(), message: why.sentence.to_string() }),
        });
        Judged { gates, update: update.map(|update| open(update, container)), last }
    }

    fn gates(
        &self,
        workload: &Workload,
        container: &str,
        update: Option<&Update>,
        change: Option<Change>,
        now: Timestamp,
    ) -> Vec<GateView> {
        let id = &workload.id;
        // What is not admitted is judged as if it were, so that what keeps it out is told.
        let admitted = if update.is_none() { change.and_then(|change| would_open(workload, container, change, now)) } else { None };
        let judged = update.or(admitted.as_ref());
        let told = match judged.map(|judged| (judged, &judged.phase)) {
            Some((judged, Phase::Held(held))) => answers(judged, held, &self.surroundings(judged, Some(workload), now), now),
            // It has passed them all.
            Some(_) => answers_without(&Surroundings::default(), 0),
            None => {
                let approvals = workload.directives.as_ref().map_or(0, |directives| directives.rules.approvals);
                answers_without(&self.surroundings_of(workload, now), approvals)
            }
        };
        told.iter().map(|(name, gate)| GateView::new(name, gate, id, update.map(|update| &update.id))).collect()
    }
}

/// The update that this change alone would open.
fn would_open(workload: &Workload, container: &str, change: Change, now: Timestamp) -> Option<Update> {
    let directives = workload.directives.as_ref().ok()?;
    let selection = directives.selection_of(workload.container(container)?)?;
    let decided = Decided { container, selection, trigger: Trigger::Command, change: Some(change), built: Built::Unread };
    // Without what is known of it nothing keeps it out, a mark apart.
    let unmarked = Workload { mark: None, ..workload.clone() };
    admit(&unmarked, &[decided], &[], now).open
}

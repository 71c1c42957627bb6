//! What the engine holds, as the API shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::desk::Parts;
use super::engine::Engine;
use super::looked::{Found, Readings, Why};
use super::standby;
use crate::core::image::ImageRef;
use crate::core::update::{Phase, Update};
use crate::core::workload::{Container, Workload};
use crate::http::view::{CandidateView, ImageState, ImageView, PartView, PauseView, ReasonView, StatusView, UpdateView};

/// Every container that a policy speaks for.
pub fn images(engine: &Engine) -> Vec<ImageView> {
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
        let access = engine.registry.access(image.repository(), &workload.puller());
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
        let shown = |found: &Found| CandidateView { tag: found.tag.to_string(), digest: found.digest.as_ref().map(ToString::to_string) };
        view.candidate = look.candidate.as_deref().map(shown);
        view.state = if look.candidate.is_some() { ImageState::HeldBack } else { ImageState::Current };
        let told = |why: &Why| ReasonView { code: why.code.to_string(), message: why.sentence.to_string() };
        view.reason = look.reason.as_deref().map(told);
    }
    let changes = |update: &&Update| update.spec.changes.iter().any(|change| change.container == container.name);
    if let Some(update) = engine.known(&workload.id).into_iter().filter(|update| update.is_open()).find(changes) {
        standby::updating(view, update);
    }
}

/// How everything stands, as the agent knows it.
pub fn status(engine: &Engine, parts: Parts, started: Timestamp, trouble: Option<String>, now: Timestamp) -> StatusView {
    let workloads = engine.workloads.all();
    let unstored = engine.unwritten().map(|(id, why)| PartView::degraded(id.to_string(), format!("its record cannot be written: {why}")));
    let forbidden =
        engine.updates().filter_map(|update| Some(PartView::degraded(update.id.to_string(), format!("forbidden: {}", forbidden(update)?))));
    let unreadable = engine.unreadable.all().map(|(id, reason)| PartView::degraded(id.to_string(), reason.to_string()));
    let sights = engine.ages.iter().flat_map(|ages| ages.sights.troubles(now)).map(|why| PartView::degraded("first sights", why));
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
            .chain(forbidden)
            .chain(sights)
            .collect(),
    }
}

/// What the API server says to a patch that it does not allow.
fn forbidden(update: &Update) -> Option<&str> {
    match &update.phase {
        Phase::Applying(applying) => applying.forbidden_since.and(applying.trouble.as_deref()),
        Phase::Restoring(restoring) => restoring.forbidden_since.and(restoring.trouble.as_deref()),
        Phase::Held(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Closed(_) => None,
    }
}

/// Every registry that a workload uses.
fn registries(engine: &Engine, workloads: &[Arc<Workload>]) -> Vec<PartView> {
    let containers = workloads.iter().flat_map(|workload| &workload.containers);
    let images = containers.filter_map(|container| container.image.parse::<ImageRef>().ok());
    let hosts: BTreeSet<String> = images.map(|image| image.repository().registry().to_owned()).collect();
    hosts.into_iter().map(|host| registry(engine.looked.registry(&host), host)).collect()
}

/// A registry of which nothing can be read is degraded; of one that answers, the repositories that cannot be read are told.
fn registry(readings: Readings<'_>, host: String) -> PartView {
    let Readings { read, unreadable, first } = readings;
    let detail = first.map(|(since, why)| match unreadable {
        1 if read == 1 => format!("since {since:.0}: {why}"),
        _ => format!("{unreadable} of {read} repositories cannot be read, the first since {since:.0}: {why}"),
    });
    match detail {
        None if read == 0 => PartView::unknown(host),
        None => PartView::ok(host),
        Some(detail) if unreadable == read => PartView::degraded(host, detail),
        Some(detail) => PartView { detail, ..PartView::ok(host) },
    }
}

/// How many updates are open in each phase.
pub fn by_phase<'u>(updates: impl Iterator<Item = &'u Update>) -> BTreeMap<String, usize> {
    let mut phases: BTreeMap<String, usize> = BTreeMap::new();
    for update in updates.filter(|update| update.is_open()) {
        *phases.entry(update.phase.as_str().to_owned()).or_default() += 1;
    }
    phases
}

/// The workloads with wrong directives.
pub fn wrong(workloads: &[Arc<Workload>]) -> Vec<PartView> {
    let part = |workload: &Arc<Workload>| {
        let mistakes = workload.directives.as_ref().err()?;
        let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Some(PartView::degraded(workload.id.to_string(), list.join("; ")))
    };
    workloads.iter().filter_map(part).collect()
}

/// The updates as they are shown, the newest first.
pub fn listed<'u>(updates: impl Iterator<Item = &'u Update>) -> Vec<UpdateView> {
    let mut updates: Vec<&Update> = updates.collect();
    updates.sort_by_key(|update| std::cmp::Reverse((update.created, &update.id)));
    updates.into_iter().map(UpdateView::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_degraded_when_nothing_of_it_can_be_read() {
        let part = |read, unreadable| {
            let first = (unreadable > 0).then_some((Timestamp::UNIX_EPOCH, "a.b/web: not found"));
            let part = registry(Readings { read, unreadable, first }, "a.b".to_owned());
            (part.state.as_str(), part.detail)
        };
        assert_eq!(part(0, 0), ("unknown", String::new()));
        assert_eq!(part(2, 0), ("ok", String::new()));
        assert_eq!(part(1, 1), ("degraded", "since 1970-01-01T00:00:00Z: a.b/web: not found".to_owned()));
        let told = |of| format!("{of} repositories cannot be read, the first since 1970-01-01T00:00:00Z: a.b/web: not found");
        assert_eq!(part(3, 1), ("ok", told("1 of 3")));
        assert_eq!(part(3, 3), ("degraded", told("3 of 3")));
    }
}

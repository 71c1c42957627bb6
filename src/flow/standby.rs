//! What a replica can show that does not lead: its own index of the workloads, and the records as the API server keeps them.
//!
//! Which tag a policy would choose is known to the leader alone: a standby lists no repository, for each would then be listed twice. The
//! records are listed when somebody asks, and kept for a moment: a page that is reloaded, or a command that watches, costs one listing in
//! that time, and a standby that nobody asks costs none.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{Either, select};
use futures::lock::Mutex;

use super::Ports;
use super::guard::guarded;
use crate::core::image::ImageRef;
use crate::core::update::{Phase, Update};
use crate::core::workload::{Container, Workload};
use crate::http::view::{ImageState, ImageView, ReasonView, WorkloadView};

/// How long a listing is shown. A person who looks again has turned around meanwhile.
const SHOWN_FOR: Duration = Duration::from_secs(5);

/// How long a listing is waited for. Who asks while the API server hangs is shown what was listed before.
const LISTED_WITHIN: Duration = Duration::from_secs(3);

/// The records as they were last listed.
#[derive(Default)]
pub struct Shelf(Mutex<Option<(Duration, Arc<Vec<Update>>)>>);

impl Shelf {
    /// Every record that can be read. When the API server does not answer, those that were listed before.
    pub async fn updates(&self, ports: &Ports) -> Arc<Vec<Update>> {
        let mut kept = self.0.lock().await;
        let now = ports.clock.steady();
        if let Some((at, updates)) = &*kept
            && now < *at + SHOWN_FOR
        {
            return Arc::clone(updates);
        }
        let listing = guarded(ports, "listing the records", ports.journal.all()).boxed();
        let listed = match select(listing, ports.clock.sleep_until_steady(now + LISTED_WITHIN)).await {
            Either::Left((listed, _)) => listed,
            Either::Right(_) => None,
        };
        match listed {
            Some(Ok(records)) => {
                let updates = Arc::new(records.kept.into_iter().map(|kept| kept.update).collect());
                *kept = Some((now, Arc::clone(&updates)));
                updates
            }
            failed => {
                if let Some(Err(error)) = failed {
                    tracing::warn!(error = %error, "the records cannot be listed, older ones are shown");
                }
                kept.as_ref().map(|(_, updates)| Arc::clone(updates)).unwrap_or_default()
            }
        }
    }
}

/// The images of the index, with the updates that are open for them.
pub fn images(workloads: &[Arc<Workload>], updates: &[Update]) -> Vec<ImageView> {
    let of =
        |workload: &Workload| workload.containers.iter().filter_map(|container| image(workload, container, updates)).collect::<Vec<_>>();
    workloads.iter().flat_map(|workload| of(workload)).collect()
}

fn image(workload: &Workload, container: &Container, updates: &[Update]) -> Option<ImageView> {
    let mut view = tracked(workload, container)?;
    let changes = |update: &&Update| {
        update.spec.workload == workload.id && update.spec.changes.iter().any(|change| change.container == container.name)
    };
    match updates.iter().filter(|update| update.is_open()).find(changes) {
        _ if view.state == ImageState::Degraded => {}
        Some(update) => updating(&mut view, update),
        None => {
            let message = "the leader chooses; this replica stands by".to_owned();
            view.reason = Some(ReasonView { code: "Standby".to_owned(), message });
        }
    }
    Some(view)
}

/// One container and what its directives say; `None` for a container that no policy speaks for.
pub fn tracked(workload: &Workload, container: &Container) -> Option<ImageView> {
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
        Ok(directives) => view.policy = Some(directives.selection_of(container)?.policy.to_string()),
    }
    Some(view)
}

/// An open update changes the image.
pub fn updating(view: &mut ImageView, update: &Update) {
    view.state = ImageState::Updating;
    view.update = Some(update.id.name.to_string());
    if let Phase::Held(held) = &update.phase {
        view.reason = Some(ReasonView::from(&held.waits));
    }
}

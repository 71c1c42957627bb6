//! What people are told on the workload itself: every such sentence is written here.

use crate::core::update::{Event, Outcome, Phase, Update};

/// One sentence for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Whether somebody should look.
    pub warning: bool,
    /// One CamelCase word for scripts.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

/// What to tell of something that happened to an update; `None` for steps that only the record and the audit log keep.
pub fn of(update: &Update, event: Event) -> Option<Notice> {
    match (event, &update.phase) {
        (Event::Asked, _) => Some(Notice {
            warning: false,
            reason: "ApprovalNeeded",
            message: format!("{}: {} votes needed; `skeg approve {}`", changes(update), update.spec.rules.approvals, update.id),
        }),
        (Event::Closed, Phase::Closed(closed)) => Some(Notice {
            warning: matches!(closed.outcome, Outcome::RolledBack | Outcome::Failed | Outcome::Unrecorded),
            reason: closed.outcome.as_str(),
            message: format!("{}: {}", changes(update), closed.reason),
        }),
        (Event::Forbidden, Phase::Applying(_) | Phase::Restoring(_)) => Some(Notice {
            warning: true,
            reason: "Forbidden",
            message: format!("{}: {}", changes(update), update.history.iter().last().map(|entry| &*entry.detail).unwrap_or_default()),
        }),
        (Event::SetBack, _) => Some(Notice {
            warning: false,
            reason: "SetBack",
            message: format!("{}: somebody set another image; this one is held back until `skeg resume` or a newer one", changes(update)),
        }),
        _ => None,
    }
}

/// `web 1.0.0 to 1.0.1`, for each container.
fn changes(update: &Update) -> String {
    let one = |change: &crate::core::update::Change| format!("{} {} to {}", change.container, tag_of(&change.from), change.tag);
    update.spec.changes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The part of an image text after its repository, as people speak of it.
fn tag_of(image: &str) -> String {
    image
        .parse::<crate::core::image::ImageRef>()
        .ok()
        .and_then(|image| image.effective_tag())
        .map_or_else(|| image.into(), |tag| tag.to_string())
}

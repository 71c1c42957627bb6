//! One match: each effect, and the function that carries it out.

use std::time::Duration;

use super::guard::{self, guarded};
use super::{Ports, apply, ask, record, verify};
use crate::core::schedule::backoff;
use crate::core::update::{Applied, Effect, Followed, Input, PANICS_MAX, Phase, Recorded, Restored, Update, Verifying};

/// The longest wait before something is begun anew after a panic.
const BACKOFF_CAP: Duration = Duration::from_secs(15);

/// Carries out an effect and gives the input that tells its outcome, if it has one.
///
/// A panic inside is an outcome too: it fails this update alone.
pub async fn carry_out(ports: &Ports, effect: Effect, update: &Update) -> Option<Input> {
    let end = guarded(ports, &format!("{effect:?} of {}", update.id), outcome(ports, effect, update)).await;
    end.unwrap_or_else(|| panicked(effect))
}

async fn outcome(ports: &Ports, effect: Effect, update: &Update) -> Option<Input> {
    match (effect, &update.phase) {
        (Effect::Ask | Effect::Revise, _) => {
            let shown = anew(ports, update, effect, || ask::show(ports, &update.id)).await;
            if shown.is_none() {
                ports.prompts.end(&update.id);
            }
            shown.flatten().map(Input::Prompted)
        }
        (Effect::Apply, _) => Some(Input::Applied(apply::apply(ports, update).await)),
        (Effect::LookOnly, _) => Some(Input::Applied(apply::look_only(ports, update).await)),
        (Effect::Follow, Phase::Verifying(verifying)) => Some(Input::Followed(follow(ports, update, verifying).await)),
        (Effect::Restore, Phase::Restoring(restoring)) => Some(Input::Restored(apply::restore(ports, update, &restoring.rollout).await)),
        (Effect::WriteBack, _) => Some(Input::Recorded(record::write_back(ports, update).await)),
        // An effect whose phase has passed has nothing left to do.
        (Effect::Follow | Effect::Restore, _) => None,
    }
}

/// A panic says nothing about the rollout, so it must not be what puts an image back.
async fn follow(ports: &Ports, update: &Update, verifying: &Verifying) -> Followed {
    let followed = anew(ports, update, Effect::Follow, || verify::follow(ports, update, verifying)).await;
    followed.unwrap_or_else(|| Followed::Broken { why: guard::INTERNAL.into() })
}

/// Begins anew after a panic, for what nothing else begins again; `None` when it panicked [`PANICS_MAX`] times.
async fn anew<T, F: Future<Output = T>>(ports: &Ports, update: &Update, effect: Effect, work: impl Fn() -> F) -> Option<T> {
    for tries in 1..=PANICS_MAX {
        if let Some(end) = guarded(ports, &format!("{effect:?} of {}", update.id), work()).await {
            return Some(end);
        }
        ports.clock.sleep_until(backoff(ports.clock.now(), tries, BACKOFF_CAP, &update.id.name, None)).await;
    }
    None
}

fn panicked(effect: Effect) -> Option<Input> {
    match effect {
        Effect::Ask | Effect::Revise => None,
        Effect::Apply | Effect::LookOnly => Some(Input::Applied(Applied::Failed(guard::failure()))),
        Effect::Follow => Some(Input::Followed(Followed::Broken { why: guard::INTERNAL.into() })),
        Effect::Restore => Some(Input::Restored(Restored::Failed(guard::failure()))),
        Effect::WriteBack => Some(Input::Recorded(Recorded::Failed(guard::failure()))),
    }
}

//! One match: each effect, and the function that carries it out.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

use super::{Ports, apply, ask, record, verify};
use crate::core::failure::{Failure, FailureKind};
use crate::core::update::{Applied, Effect, Followed, Input, Phase, Recorded, Restored, Update};

/// Carries out an effect and gives the input that tells its outcome, if it has one.
///
/// A panic inside is an outcome too: it fails this update alone.
pub async fn carry_out(ports: &Ports, effect: Effect, update: &Update) -> Option<Input> {
    let Ok(input) = AssertUnwindSafe(outcome(ports, effect, update)).catch_unwind().await else {
        tracing::error!(update.id = %update.id, effect = ?effect, "carrying out an effect panicked");
        ports.metrics.panicked();
        if matches!(effect, Effect::Ask | Effect::Revise) {
            ports.prompts.end(&update.id);
        }
        return panicked(effect);
    };
    input
}

async fn outcome(ports: &Ports, effect: Effect, update: &Update) -> Option<Input> {
    match (effect, &update.phase) {
        (Effect::Ask | Effect::Revise, _) => ask::show(ports, &update.id).await.map(Input::Prompted),
        (Effect::Apply, _) => Some(Input::Applied(apply::apply(ports, update).await)),
        (Effect::Follow, Phase::Verifying(verifying)) => Some(Input::Followed(verify::follow(ports, update, &verifying.rollout).await)),
        (Effect::Restore, Phase::Restoring(restoring)) => Some(Input::Restored(apply::restore(ports, update, &restoring.rollout).await)),
        (Effect::WriteBack, _) => Some(Input::Recorded(record::write_back(ports, update).await)),
        // An effect whose phase has passed has nothing left to do.
        (Effect::Follow | Effect::Restore, _) => None,
    }
}

fn panicked(effect: Effect) -> Option<Input> {
    let failure = Failure { kind: FailureKind::Panicked, summary: "an internal error, see the log of skeg".into(), retry_after: None };
    match effect {
        Effect::Ask | Effect::Revise => None,
        Effect::Apply => Some(Input::Applied(Applied::Failed(failure))),
        Effect::Follow => Some(Input::Followed(Followed::Failed { why: failure.summary })),
        Effect::Restore => Some(Input::Restored(Restored::Failed(failure))),
        Effect::WriteBack => Some(Input::Recorded(Recorded::Failed(failure))),
    }
}

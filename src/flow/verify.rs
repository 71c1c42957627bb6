//! Following a rollout until the core calls it finished.

use std::time::Duration;

use jiff::Timestamp;

use super::Ports;
use crate::core::rollout::{ImageIndex, RolloutFacts, Verdict, judge};
use crate::core::schedule::after;
use crate::core::update::{Drift, Followed, Rollout, Update, Verifying};
use crate::ports::registry::RegistryError;

/// Time between two readings. A rollout takes tens of seconds; this finds its end soon and costs two small requests.
const PERIOD: Duration = Duration::from_secs(2);

/// Follows the rollout until there is news: its end, something else that is missing, or that it cannot be read.
pub async fn follow(ports: &Ports, update: &Update, verifying: &Verifying) -> Followed {
    loop {
        let now = ports.clock.now();
        let news = match ports.cluster.rollout(&update.spec.workload).await {
            Ok(facts) => decide(ports, update, &verifying.rollout, facts, now).await,
            Err(error) => {
                tracing::warn!(update.id = %update.id, error = %error, "rollout cannot be read, will be read again");
                Followed::Unread(error.into())
            }
        };
        let Followed::Progressing { missing } = &news else { return news };
        // What is missing may be something else at each reading, so it is told after the wait, never in place of it.
        ports.clock.sleep_until(after(now, PERIOD)).await;
        if verifying.missing.as_ref() != Some(missing) {
            return news;
        }
    }
}

/// How the rollout ended, or what it lacks while it may still become healthy in time.
async fn decide(ports: &Ports, update: &Update, rollout: &Rollout, facts: Option<RolloutFacts>, now: Timestamp) -> Followed {
    let Some(facts) = facts.filter(|facts| facts.uid == update.spec.uid) else { return Followed::Drifted(Drift::Gone) };
    let changes = &update.spec.changes;
    let mut verdict = judge(&facts, changes, &rollout.applied, &[], now);
    if matches!(verdict, Verdict::DigestDiffers { .. }) {
        // A node may name the manifest of its platform where the index of all platforms was approved: the registry knows.
        verdict = match indexes(ports, update).await {
            Ok(indexes) => judge(&facts, changes, &rollout.applied, &indexes, now),
            Err(error) => {
                // Nothing is put back on the word of a registry that cannot be asked; the deadline ends the wait.
                tracing::warn!(update.id = %update.id, error = %error, "the make-up of the image cannot be read, will be read again");
                Verdict::Progressing { missing: "the digests of the pods could not be compared".into() }
            }
        };
    }
    let is_late = now >= rollout.deadline;
    match verdict {
        Verdict::Healthy => Followed::Healthy,
        Verdict::Failed { why } => Followed::Failed { why },
        Verdict::DigestDiffers { found } => Followed::DigestDiffers { found },
        Verdict::Moved { found } => Followed::Drifted(Drift::ImageMoved { found }),
        // The time is up and nothing speaks against it: `kubectl rollout status` was content before.
        Verdict::Settling { .. } if is_late => Followed::Healthy,
        Verdict::Progressing { missing } if is_late => Followed::TimedOut { missing },
        Verdict::Settling { missing } | Verdict::Progressing { missing } => Followed::Progressing { missing },
    }
}

/// What the approved images consist of.
async fn indexes(ports: &Ports, update: &Update) -> Result<Vec<ImageIndex>, RegistryError> {
    let mut indexes = Vec::new();
    for change in &update.spec.changes {
        let access = ports.access(&change.repository, &update.spec.workload).await;
        indexes.extend(ports.registry.index(&change.repository, &change.digest, &access).await?);
    }
    Ok(indexes)
}

//! One decision makes at most one rollout and at most one commit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use skeg::core::update::UpdateId;

use super::Promise;
use super::past::{Past, patch};
use crate::history::{By, Fact, Told};

/// Patches and commits of each decision so far.
#[derive(Default)]
pub struct ExactlyOnce {
    /// By the name of the update and when it was admitted: a name may come again when its record is not kept any more.
    patches: BTreeMap<(UpdateId, Timestamp, bool), u32>,
    commits: BTreeMap<Box<str>, u32>,
}

impl Promise for ExactlyOnce {
    fn words(&self) -> &'static str {
        "one decision makes one rollout and one commit"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        if let Some(undone) = past.undone_without_a_trace(&told.fact) {
            self.patches.retain(|(update, ..), _| *update != undone);
        }
        if let Some(patch) = patch(&told.fact) {
            let admitted = past.ever.get(&patch.update).map(|update| update.created).unwrap_or_default();
            let count = self.patches.entry((patch.update.clone(), admitted, patch.restores())).or_default();
            *count += 1;
            if *count > 1 {
                let what = if patch.restores() { "put images back" } else { "set images" };
                return Err(format!("{} {what} {count} times", patch.update.name));
            }
        }
        if let Fact::Committed { by: By::Skeg(..), updates, .. } = &told.fact {
            for update in updates {
                let count = self.commits.entry(update.clone()).or_default();
                *count += 1;
                if *count > 1 {
                    return Err(format!("{update} was committed {count} times"));
                }
            }
        }
        Ok(())
    }
}

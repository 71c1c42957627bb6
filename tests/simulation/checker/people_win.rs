//! A person's change is never overwritten: every patch replaces exactly what its decision was made on, every restore exactly what its
//! update had set, and nothing is committed that does not run.

use std::collections::BTreeMap;

use skeg::core::update::UpdateId;

use super::Promise;
use super::past::{Past, Patch, patch};
use crate::history::{By, Fact, Moved, Told, short};

/// What each update set.
#[derive(Default)]
pub struct PeopleWin {
    set: BTreeMap<UpdateId, Vec<Moved>>,
}

impl PeopleWin {
    fn applied(&mut self, patch: &Patch<'_>, past: &Past) -> Result<(), String> {
        let Some(update) = past.ever.get(&patch.update) else {
            return Err(format!("{} was applied, and nothing was ever recorded of it", patch.update.name));
        };
        if *update.spec.uid != *patch.uid {
            return Err(format!("{} was decided for another workload of this name", patch.update.name));
        }
        for moved in patch.moved {
            let change = update.spec.changes.iter().find(|change| change.container == moved.container);
            if change.is_none_or(|change| change.from != moved.before || change.to != moved.after) {
                let (before, after) = (short(&moved.before), short(&moved.after));
                return Err(format!("{} set {} from {before} to {after}, which was not its decision", patch.update.name, moved.container));
            }
        }
        self.set.insert(patch.update.clone(), patch.moved.to_vec());
        Ok(())
    }

    fn restored(&self, patch: &Patch<'_>) -> Result<(), String> {
        for moved in patch.moved {
            let set = self.set.get(&patch.update).and_then(|set| set.iter().find(|set| set.container == moved.container));
            if set.is_none_or(|set| set.after != moved.before || set.before != moved.after) {
                return Err(format!("{} put {} back in {}, which it had not set", patch.update.name, short(&moved.after), moved.container));
            }
        }
        Ok(())
    }
}

impl Promise for PeopleWin {
    fn words(&self) -> &'static str {
        "a person's change is never overwritten"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        if let Some(patch) = patch(&told.fact) {
            return if patch.restores() { self.restored(&patch) } else { self.applied(&patch, past) };
        }
        let Fact::Committed { by: By::Skeg(..), updates, moved, .. } = &told.fact else { return Ok(()) };
        for (id, moved) in moved {
            let ever_set = self.set.iter().any(|(update, set)| {
                past.ever.get(update).is_some_and(|update| update.spec.workload == *id)
                    && set.iter().any(|set| set.container == moved.container && set.after == moved.after)
            });
            if !ever_set {
                return Err(format!("{} committed {} for {}, which skeg never applied", updates.join(", "), short(&moved.after), id.name));
            }
        }
        Ok(())
    }
}

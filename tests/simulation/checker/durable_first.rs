//! Journal first: nothing is done whose cause was not recorded before.

use std::collections::BTreeSet;

use skeg::core::update::{Phase, UpdateId};

use super::Promise;
use super::past::{Past, patch};
use crate::history::{By, Fact, Told};

/// The phases that each update was recorded in, with the time, so far.
#[derive(Default)]
pub struct DurableFirst {
    recorded: BTreeSet<(UpdateId, &'static str, jiff::Timestamp)>,
    asked: BTreeSet<(UpdateId, jiff::Timestamp)>,
}

impl DurableFirst {
    fn was(&self, update: &UpdateId, phase: &str, before: jiff::Timestamp) -> bool {
        self.recorded.iter().any(|(of, recorded, at)| of == update && *recorded == phase && *at <= before)
    }
}

impl Promise for DurableFirst {
    fn words(&self) -> &'static str {
        "nothing is done before its cause is recorded"
    }

    fn see(&mut self, told: &Told, _: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::Written { update, .. } => {
                self.recorded.insert((update.id.clone(), update.phase.as_str(), told.at));
                if matches!(&update.phase, Phase::Held(held) if held.asked.is_some()) {
                    self.asked.insert((update.id.clone(), told.at));
                }
            }
            Fact::Posted { update, sent, .. } => {
                if !self.asked.iter().any(|(of, at)| of == update && at <= sent) {
                    return Err(format!("people were asked about {}, and that was not recorded", update.name));
                }
            }
            Fact::Committed { by: By::Skeg(_, sent), updates, .. } => {
                for update in updates {
                    let id = update.split_once('/').map(|(namespace, name)| UpdateId { namespace: namespace.into(), name: name.into() });
                    if id.is_none_or(|id| !self.was(&id, "Recording", *sent)) {
                        return Err(format!("{update} was committed before it was recorded that it would be"));
                    }
                }
            }
            fact => {
                let Some(patch) = patch(fact) else { return Ok(()) };
                let phase = if patch.restores() { "Restoring" } else { "Applying" };
                if !self.was(&patch.update, phase, patch.sent) {
                    return Err(format!("{} was carried out before it was recorded as {phase}", patch.update.name));
                }
            }
        }
        Ok(())
    }
}

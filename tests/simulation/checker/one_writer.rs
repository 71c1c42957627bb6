//! One writer: once somebody has written in a newer term, nothing of an older one is carried out on the same object.

use std::collections::BTreeMap;

use skeg::core::update::{Mark, UpdateId};

use super::Promise;
use super::past::Past;
use crate::history::{By, Fact, Told};

/// The newest term that has written each object.
#[derive(Default)]
pub struct OneWriter {
    marks: BTreeMap<Box<str>, u64>,
    records: BTreeMap<UpdateId, u64>,
}

impl Promise for OneWriter {
    fn words(&self) -> &'static str {
        "after a newer leader has written, nothing of an older one stands"
    }

    fn see(&mut self, told: &Told, _: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::Images { id, uid, by: By::Skeg(process, _), mark, .. } => {
                let Some(mark) = mark.as_deref().and_then(Mark::parse) else { return Ok(()) };
                let newest = self.marks.entry(uid.clone()).or_default();
                if mark.epoch < *newest {
                    return Err(format!("{process} patched {} in epoch {}, after epoch {newest}", id.name, mark.epoch));
                }
                *newest = mark.epoch;
            }
            // Who brings back a template of before brings back its mark.
            Fact::Images { uid, by: By::Person("kubectl rollout undo"), .. } => drop(self.marks.remove(uid)),
            Fact::Written { update, by, .. } => {
                let newest = self.records.entry(update.id.clone()).or_default();
                if update.epoch < *newest {
                    return Err(format!("{by} wrote {} in epoch {}, after epoch {newest}", update.id.name, update.epoch));
                }
                *newest = update.epoch;
            }
            // Where the record is gone, nobody tells what was in it.
            Fact::Removed { id, .. } => drop(self.records.remove(id)),
            _ => {}
        }
        Ok(())
    }
}

//! No image is ever set to an older one, but for what a failed rollout replaced.

use super::Promise;
use super::past::{Past, patch, version};
use crate::history::{Told, short};

/// Compares what each patch replaced with what it set.
pub struct NeverBackwards;

impl Promise for NeverBackwards {
    fn words(&self) -> &'static str {
        "never backwards"
    }

    fn see(&mut self, told: &Told, _: &Past) -> Result<(), String> {
        let Some(patch) = patch(&told.fact).filter(|patch| !patch.restores()) else { return Ok(()) };
        for moved in patch.moved {
            if let (Some(before), Some(after)) = (version(&moved.before), version(&moved.after))
                && after < before
            {
                return Err(format!(
                    "{} set {} from {} to {}",
                    patch.update.name,
                    moved.container,
                    short(&moved.before),
                    short(&moved.after)
                ));
            }
        }
        Ok(())
    }
}

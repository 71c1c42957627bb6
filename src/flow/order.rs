//! An order that a person gave, until what came of it is in the audit log.
//!
//! It goes with the order to the engine: the caller may leave before the answer, and the order is carried out all the same.

use jiff::Timestamp;

use crate::http::desk::{Caller, Refusal};
use crate::telemetry;

/// An order whose outcome is still to be written down.
pub(super) struct Order {
    at: Timestamp,
    caller: Caller,
    word: &'static str,
    on: String,
    is_written: bool,
}

impl Order {
    /// `caller` gives the order `word` on something.
    pub fn new(at: Timestamp, caller: &Caller, word: &'static str, on: &impl ToString) -> Self {
        Self { at, caller: caller.clone(), word, on: on.to_string(), is_written: false }
    }

    /// Writes down what came of it.
    pub fn ended<T>(mut self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        self.write(&result.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned()));
        result
    }

    fn write(&mut self, outcome: &str) {
        self.is_written = true;
        telemetry::audit_order(self.at, self.caller.as_str(), self.word, &self.on, outcome);
    }
}

impl Drop for Order {
    /// Nobody answered it. Whether it was carried out, the records tell.
    fn drop(&mut self) {
        if !self.is_written {
            self.write("not answered: skeg was stopping, or too busy to take it");
        }
    }
}

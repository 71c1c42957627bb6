//! `skeg crd`: the definition of the `ImageUpdate` resource, for `kubectl apply`.

use super::Failure;
use super::output;
use crate::adapters::journal::crd;

/// Prints it as JSON, which is YAML too.
pub fn print() -> Result<(), Failure> {
    let definition = serde_json::to_string_pretty(&crd::crd()).map_err(|error| Failure::NotDone(error.to_string()))?;
    output::print(&format!("{definition}\n"))
}

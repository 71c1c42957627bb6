//! Whether skeg is ready, readable at any moment without waiting.

use std::sync::{Mutex, PoisonError};

/// Ready, or why not.
pub struct Health(Mutex<Option<String>>);

impl Default for Health {
    /// Not ready: nothing is known yet.
    fn default() -> Self {
        Self(Mutex::new(Some("waiting for the first listing of the workloads".to_owned())))
    }
}

impl Health {
    /// Everything needed is there.
    pub fn ready(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Something needed is not there.
    pub fn not_ready(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why skeg is not ready; `None` when it is.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

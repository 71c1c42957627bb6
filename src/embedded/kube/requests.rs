//! What was asked of the API, for tests that count requests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Requests kept. A test looks at some dozens; a demo that runs for days must not grow.
const REQUESTS_KEPT_MAX: usize = 1_024;

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// HTTP method.
    pub method: String,
    /// Path and, behind `?`, the query.
    pub path: String,
    /// `Content-Type` of the request; empty without one.
    pub content_type: String,
    /// `User-Agent`; empty without one.
    pub user_agent: String,
    /// Status of the answer; 0 where a fault left the request without one.
    pub status: u16,
}

impl RequestRecord {
    /// Whether the request asks for a change.
    pub fn is_write(&self) -> bool {
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE")
    }
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub struct Requests {
    kept: Mutex<VecDeque<RequestRecord>>,
}

impl Requests {
    /// Adds a request; the oldest one is forgotten when there are too many.
    pub fn record(&self, request: RequestRecord) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == REQUESTS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(request);
    }

    /// A copy of what is kept.
    pub fn all(&self) -> Vec<RequestRecord> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

//! What a far end was asked, for tests to look at: a bounded ring of request lines, and a count to wait on.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::loopback::Request;

/// Requests kept. A test asks for a handful; ten thousand cover a load test's last minute in a few MiB.
const KEPT_MAX: usize = 10_000;

/// One request as it arrived. Credentials are not kept, only whether there were any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The method, in capitals.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query without `?`; empty when there was none.
    pub query: String,
    /// Whether an `Authorization` header was sent, good or not.
    pub has_authorization: bool,
    /// The `User-Agent`; empty when there was none.
    pub user_agent: String,
}

/// The last [`KEPT_MAX`] requests.
pub(super) struct RequestLog {
    kept: Mutex<VecDeque<Seen>>,
    count: watch::Sender<u64>,
}

impl RequestLog {
    pub fn new() -> Self {
        Self { kept: Mutex::new(VecDeque::new()), count: watch::Sender::new(0) }
    }

    /// Notes a request, before it is answered.
    pub fn note(&self, request: &Request) {
        let seen = Seen {
            method: request.method.as_str().to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
            has_authorization: request.headers.contains_key(http::header::AUTHORIZATION),
            user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(seen);
        drop(kept);
        self.count.send_modify(|count| *count += 1);
    }

    /// The kept requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }

    /// Forgets the kept requests; the count goes on.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many requests arrived since the start.
    pub fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

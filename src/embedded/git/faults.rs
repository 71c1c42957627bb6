//! What a test plans for the next requests: faults, and calls in between.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;

use super::repository::BareRepository;

/// The four requests of smart HTTP. A fetch or push is one of `…Refs`, then one or more of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitRequest {
    /// The client asks which refs there are, to fetch.
    FetchRefs,
    /// It asks for objects (with protocol 2 also for refs).
    Fetch,
    /// It asks which refs there are, to push.
    PushRefs,
    /// It sends objects and the refs to move.
    Push,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitFault {
    /// The server answers with this status and does nothing.
    Status(StatusCode),
    /// The connection closes before the answer is whole, and nothing is done.
    CloseConnection,
    /// It is done, but the connection closes before the answer is whole.
    LoseAnswer,
    /// A hook of the server refuses the push with this text. Meets only [`GitRequest::Push`].
    HookRefusal(String),
}

type Call = Box<dyn FnOnce(&BareRepository) + Send>;

/// Planned faults and calls, in the order they were planned.
#[derive(Default)]
pub(super) struct Plans {
    faults: Mutex<VecDeque<(GitRequest, GitFault)>>,
    calls: Mutex<VecDeque<(GitRequest, Call)>>,
}

impl Plans {
    pub fn fail_next(&self, request: GitRequest, fault: GitFault) {
        lock(&self.faults).push_back((request, fault));
    }

    pub fn before_next(&self, request: GitRequest, call: Call) {
        lock(&self.calls).push_back((request, call));
    }

    pub fn clear(&self) {
        lock(&self.faults).clear();
        lock(&self.calls).clear();
    }

    /// The first fault planned for such a request; it is used up by that.
    pub fn take_fault(&self, request: GitRequest) -> Option<GitFault> {
        take(&self.faults, request)
    }

    /// The first call planned before such a request; it is used up by that.
    pub fn take_call(&self, request: GitRequest) -> Option<Call> {
        take(&self.calls, request)
    }
}

fn take<T>(plans: &Mutex<VecDeque<(GitRequest, T)>>, request: GitRequest) -> Option<T> {
    let mut plans = lock(plans);
    let position = plans.iter().position(|(planned, _)| *planned == request)?;
    plans.remove(position).map(|(_, plan)| plan)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Faults that a test asks for: answers that are wrong, late or missing.

use std::sync::{Mutex, PoisonError};

/// What goes wrong with a matched request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request is not carried out; the answer is a `Status` with this code and, in seconds, `Retry-After`.
    Status(u16, Option<u32>),
    /// The request is not carried out and the connection is closed without an answer.
    Close,
    /// The request is carried out, but the connection is closed before the answer: the client cannot know.
    LoseAnswer,
    /// The request is not carried out and never answered; the connection stays open until the client or the server ends it.
    Hang,
}

/// Which requests a fault is for. Everything that is not named matches.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    method: Option<String>,
    path: Option<String>,
}

impl Matcher {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this HTTP method, `PATCH` for one.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Requests whose path and query contain this text: `/deployments/web`, `watch=true`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Whether the fault is for this request.
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|part| path.contains(part))
    }
}

/// The faults still to come, in the order they were asked for.
#[derive(Debug, Default)]
pub struct Faults {
    planned: Mutex<Vec<Planned>>,
}

#[derive(Debug)]
struct Planned {
    matcher: Matcher,
    fault: Fault,
    times: u32,
}

impl Faults {
    /// Plans a fault for the next `times` requests that match.
    pub fn plan(&self, matcher: Matcher, fault: Fault, times: u32) {
        self.lock().push(Planned { matcher, fault, times });
    }

    /// Forgets every planned fault.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The fault for this request, if one is planned; it is used up by this.
    pub fn take(&self, method: &str, path: &str) -> Option<Fault> {
        let mut planned = self.lock();
        planned.retain(|planned| planned.times > 0);
        let found = planned.iter_mut().find(|planned| planned.matcher.matches(method, path))?;
        found.times -= 1;
        Some(found.fault.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up_by_the_requests_it_matches() {
        let faults = Faults::default();
        faults.plan(Matcher::any().method("PATCH").path("/deployments/"), Fault::Status(409, None), 2);
        let path = "/apis/apps/v1/namespaces/a/deployments/web";
        assert_eq!(faults.take("GET", path), None);
        assert_eq!(faults.take("PATCH", "/api/v1/pods"), None);
        assert_eq!(faults.take("PATCH", path), Some(Fault::Status(409, None)));
        assert_eq!(faults.take("PATCH", path), Some(Fault::Status(409, None)));
        assert_eq!(faults.take("PATCH", path), None);
    }

    #[test]
    fn faults_come_in_the_order_they_were_planned() {
        let faults = Faults::default();
        faults.plan(Matcher::any(), Fault::Close, 1);
        faults.plan(Matcher::any(), Fault::Status(503, Some(1)), 1);
        assert_eq!(faults.take("GET", "/"), Some(Fault::Close));
        assert_eq!(faults.take("GET", "/"), Some(Fault::Status(503, Some(1))));
    }
}

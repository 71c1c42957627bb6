//! Nothing: the workload is known to skeg and left alone.

use std::sync::Arc;

use super::rank::{Judgement, Refusal};
use super::{Question, Read, TagPolicy, takes_nothing};

/// `never`.
#[derive(Debug)]
struct Never;

pub fn parse(argument: Option<&str>) -> Read {
    takes_nothing("never", argument).map(|()| Arc::new(Never) as _)
}

impl TagPolicy for Never {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        Judgement::refused(question, Refusal::new("the policy is never"))
    }

    fn is_newer(&self, _candidate: &str, _than: &str) -> bool {
        false
    }
}

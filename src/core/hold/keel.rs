//! What keeps skeg from acting on Keel's keys: a Keel that runs, or the configuration.
//!
//! It is looked at before anything is opened, while an update is held, and once more before its patch. What was patched before is still
//! followed to its end.

use crate::core::update::Reason;
use crate::core::workload::Workload;

/// Why nothing is done for a workload whose directives are Keel's; `None` where they are skeg's own, or acted on.
pub fn bars(workload: &Workload) -> Option<Reason> {
    let keel = workload.keel.as_ref()?;
    match &keel.running {
        Some(running) => Some(Reason::KeelRuns { keel: running.clone() }),
        None => keel.is_observed.then_some(Reason::KeelObserved),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::workload::{OfKeel, WorkloadId, WorkloadKind};

    fn barred(keel: Option<(bool, Option<&str>)>) -> Option<String> {
        let id = |name: &str| WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() };
        let keel =
            keel.map(|(is_observed, running)| OfKeel { warnings: Vec::new(), said: Vec::new(), is_observed, running: running.map(id) });
        let plain = Workload::plain(id("web"), "u1".into(), Vec::new(), Err(Vec::new()));
        let workload = Workload { keel: keel.map(Arc::new), ..plain };
        bars(&workload).map(|reason| reason.record())
    }

    #[test]
    fn keels_keys_are_acted_on_where_that_is_configured_and_no_keel_runs() {
        assert_eq!(barred(None), None);
        assert_eq!(barred(Some((false, None))), None);
        assert!(barred(Some((true, None))).unwrap().starts_with("KeelObserved: "));
        for observed in [true, false] {
            assert!(barred(Some((observed, Some("keel")))).unwrap().starts_with("KeelRuns: Keel runs as shop/Deployment/keel"));
        }
    }
}

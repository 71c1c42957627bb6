//! How many replicas each ReplicaSet of a Deployment should have next: the arithmetic, and nothing else.
//!
//! Source: `pkg/controller/deployment/{rolling,recreate}.go` and `util/deployment_util.go` of Kubernetes.

use serde_json::Value;

use super::super::object;

/// What a Deployment allows while it rolls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `spec.replicas`
    pub replicas: i64,
    /// Pods above `replicas` that may exist.
    pub surge: i64,
    /// Pods below `replicas` that may be unavailable.
    pub unavailable: i64,
    /// Whether all old pods go before the first new one comes.
    pub recreate: bool,
}

/// The replicas of one ReplicaSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// `spec.replicas`
    pub wanted: i64,
    /// `status.replicas`: pods that exist.
    pub present: i64,
    /// `status.readyReplicas`
    pub ready: i64,
    /// `status.availableReplicas`
    pub available: i64,
}

impl Limits {
    /// Reads them off a Deployment that has its defaults.
    pub fn of(deployment: &Value) -> Self {
        let replicas = object::number(deployment, "/spec/replicas").unwrap_or(1);
        let recreate = object::text(deployment, "/spec/strategy/type") == Some("Recreate");
        if recreate {
            return Self { replicas, surge: 0, unavailable: replicas, recreate };
        }
        let bound = |field: &str, round_up: bool| {
            let value = deployment.pointer("/spec/strategy/rollingUpdate").and_then(|rolling| rolling.get(field));
            resolve(value.unwrap_or(&Value::Null), replicas, round_up)
        };
        let (surge, mut unavailable) = (bound("maxSurge", true), bound("maxUnavailable", false));
        if surge == 0 && unavailable == 0 {
            // ResolveFenceposts: with neither, nothing could ever move.
            unavailable = 1;
        }
        Self { replicas, surge, unavailable: unavailable.min(replicas), recreate }
    }

    /// Pods that must stay available.
    pub fn available_min(self) -> i64 {
        self.replicas - self.unavailable
    }
}

/// What the new ReplicaSet should want, given what it and the old ones want now.
pub fn scale_new(limits: Limits, new: Count, old: &[Count]) -> i64 {
    if limits.recreate {
        let gone = old.iter().all(|old| old.present == 0);
        return if gone { limits.replicas } else { new.wanted };
    }
    if new.wanted >= limits.replicas {
        return limits.replicas;
    }
    let total: i64 = new.wanted + old.iter().map(|old| old.wanted).sum::<i64>();
    let room = (limits.replicas + limits.surge - total).max(0);
    new.wanted + room.min(limits.replicas - new.wanted)
}

/// What each old ReplicaSet should want, oldest first, as long as enough pods stay available.
pub fn scale_old(limits: Limits, new: Count, old: &[Count]) -> Vec<i64> {
    if limits.recreate {
        return vec![0; old.len()];
    }
    let mut wanted: Vec<i64> = old.iter().map(|old| old.wanted).collect();
    let total = new.wanted + wanted.iter().sum::<i64>();
    let removable = total - limits.available_min() - (new.wanted - new.available);
    if removable <= 0 {
        return wanted;
    }
    // First what is broken anyway, then what is available beyond the minimum.
    let mut left = removable;
    for (wanted, old) in wanted.iter_mut().zip(old) {
        let broken = (*wanted - old.available).clamp(0, left);
        *wanted -= broken;
        left -= broken;
    }
    let available: i64 = new.available + old.iter().map(|old| old.available).sum::<i64>();
    let mut left = (available - limits.available_min()).max(0);
    for wanted in &mut wanted {
        let gone = (*wanted).min(left);
        *wanted -= gone;
        left -= gone;
    }
    wanted
}

/// An `IntOrString`: a number, or a percentage of `of`.
fn resolve(value: &Value, of: i64, round_up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number.max(0);
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<i64>().ok());
    let hundredths = percent.unwrap_or(25).clamp(0, 100) * of;
    if round_up { (hundredths + 99) / 100 } else { hundredths / 100 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_limits(replicas: i64, surge: impl Into<Value>, unavailable: impl Into<Value>, expected: (i64, i64)) {
        let rolling = json!({"maxSurge": surge.into(), "maxUnavailable": unavailable.into()});
        let limits = Limits::of(&json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}));
        assert_eq!((limits.surge, limits.unavailable), expected, "{replicas} {rolling}");
    }

    #[test]
    fn percentages_round_towards_more_pods() {
        check_limits(1, "25%", "25%", (1, 0));
        check_limits(4, "25%", "25%", (1, 1));
        check_limits(10, "25%", "25%", (3, 2));
        check_limits(3, 2, 0, (2, 0));
        check_limits(3, 0, 0, (0, 1));
        check_limits(2, 0, 5, (0, 2));
    }

    fn count(wanted: i64, available: i64) -> Count {
        Count { wanted, present: wanted, ready: available, available }
    }

    /// One step of a rollout: what new and old want after it.
    #[track_caller]
    fn check_step(limits: Limits, new: Count, old: Count, expected: (i64, i64)) {
        let up = scale_new(limits, new, &[old]);
        let down = scale_old(limits, Count { wanted: up, ..new }, &[old]);
        assert_eq!((up, down.iter().sum()), expected, "{new:?} {old:?}");
    }

    #[test]
    fn one_replica_is_replaced_without_a_gap() {
        let limits = Limits { replicas: 1, surge: 1, unavailable: 0, recreate: false };
        check_step(limits, count(0, 0), count(1, 1), (1, 1));
        check_step(limits, count(1, 0), count(1, 1), (1, 1));
        check_step(limits, count(1, 1), count(1, 1), (1, 0));
    }

    #[test]
    fn a_broken_new_set_leaves_the_old_pods_alone() {
        let limits = Limits { replicas: 4, surge: 1, unavailable: 1, recreate: false };
        check_step(limits, count(0, 0), count(4, 4), (1, 3));
        check_step(limits, count(1, 0), count(3, 3), (2, 3));
        check_step(limits, count(2, 0), count(3, 3), (2, 3));
    }

    #[test]
    fn a_broken_old_set_is_given_up_first() {
        let limits = Limits { replicas: 1, surge: 1, unavailable: 0, recreate: false };
        // Restoring: the set that never became ready is old now, the good one still has its pod.
        check_step(limits, count(1, 1), count(1, 0), (1, 0));
    }

    #[test]
    fn recreate_waits_until_every_old_pod_is_gone() {
        let limits = Limits { replicas: 2, surge: 0, unavailable: 2, recreate: true };
        check_step(limits, count(0, 0), count(2, 2), (0, 0));
        check_step(limits, count(0, 0), Count { wanted: 0, present: 1, ready: 0, available: 0 }, (0, 0));
        check_step(limits, count(0, 0), count(0, 0), (2, 0));
    }

    #[test]
    fn scaling_changes_the_set_that_is_current() {
        let limits = |replicas| Limits { replicas, surge: 1, unavailable: 0, recreate: false };
        check_step(limits(3), count(1, 1), Count::default(), (3, 0));
        check_step(limits(1), count(3, 3), Count::default(), (1, 0));
        check_step(limits(0), count(3, 3), Count::default(), (0, 0));
    }
}

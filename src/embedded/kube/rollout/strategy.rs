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
    /// `spec.replicas` of the Deployment when this one was last scaled, from an annotation of the ReplicaSet.
    pub desired: Option<i64>,
    /// The same with the surge: how many pods there might be of all `ReplicaSets` together.
    pub most: Option<i64>,
}

impl Limits {
    /// Reads them off a Deployment that has its defaults.
    pub fn of(deployment: &Value) -> Self {
        let replicas = object::number(deployment, "/spec/replicas").unwrap_or(1);
        let recreate = object::text(deployment, "/spec/strategy/type") == Some("Recreate");
        if recreate {
            // MaxUnavailable: as few as none for the condition `Available`, though all of them are for a while.
            return Self { replicas, surge: 0, unavailable: 0, recreate };
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

/// Whether the Deployment was scaled since its `ReplicaSets` were: `isScalingEvent`.
pub fn is_rescaled(limits: Limits, sets: &[Count]) -> bool {
    sets.iter().any(|set| set.wanted > 0 && set.desired.is_some_and(|desired| desired != limits.replicas))
}

/// What each ReplicaSet should want when the Deployment was scaled or is paused, which is no rollout: `scale`. The new one is last,
/// if there is one, the old ones before it are from the oldest to the youngest.
pub fn scale_all(limits: Limits, sets: &[Count], has_new: bool) -> Vec<i64> {
    let mut wanted: Vec<i64> = sets.iter().map(|set| set.wanted).collect();
    let mut active: Vec<usize> = (0..sets.len()).filter(|place| wanted.get(*place).is_some_and(|wanted| *wanted > 0)).collect();
    if active.len() < 2 {
        let place = active.first().copied().or_else(|| sets.len().checked_sub(1));
        if let Some(only) = place.and_then(|place| wanted.get_mut(place)) {
            *only = limits.replicas;
        }
        return wanted;
    }
    let new = sets.last().filter(|_| has_new);
    let all = |count: i64| count == limits.replicas;
    if new.is_some_and(|new| all(new.wanted) && new.desired.is_some_and(all) && all(new.available)) {
        let old = wanted.len() - 1;
        wanted.iter_mut().take(old).for_each(|wanted| *wanted = 0);
        return wanted;
    }
    if limits.recreate {
        return wanted;
    }
    let allowed = if limits.replicas > 0 { limits.replicas + limits.surge } else { 0 };
    let room = allowed - wanted.iter().sum::<i64>();
    // The largest first; of the same size the youngest where pods are added, the oldest where they go.
    active.sort_by_key(|place| {
        let size = wanted.get(*place).copied().unwrap_or_default();
        (-size, if room > 0 { sets.len() - place } else { *place })
    });
    let mut left = room;
    for place in &active {
        let (Some(set), Some(wanted)) = (sets.get(*place), wanted.get_mut(*place)) else { continue };
        let share = share(limits, *set);
        let share = if room > 0 { share.min(left) } else { share.max(left) };
        *wanted += share;
        left -= share;
    }
    if let Some(first) = active.first().and_then(|place| wanted.get_mut(*place)) {
        *first = (*first + left).max(0);
    }
    wanted
}

/// How much a ReplicaSet grows so that it keeps its part of the whole: `getReplicaSetFraction`.
fn share(limits: Limits, set: Count) -> i64 {
    if limits.replicas == 0 {
        return -set.wanted;
    }
    let before = set.most.filter(|most| *most > 0).unwrap_or(limits.replicas + limits.surge);
    // Rounded to the nearest, a half away from zero; all counts are positive.
    (2 * set.wanted * (limits.replicas + limits.surge) + before) / (2 * before) - set.wanted
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
        Count { wanted, present: wanted, ready: available, available, ..Count::default() }
    }

    /// What the sets want after a Deployment was scaled from one size to another.
    #[track_caller]
    fn check_scaled(surge: (i64, i64), from: i64, to: i64, before: &[i64], after: &[i64]) {
        let set = |wanted: &i64| Count { desired: Some(from), most: Some(from + surge.0), ..count(*wanted, 0) };
        let sets: Vec<Count> = before.iter().map(set).collect();
        let limits = Limits { replicas: to, surge: surge.1, unavailable: 0, recreate: false };
        assert!(is_rescaled(limits, &sets));
        assert_eq!(scale_all(limits, &sets, true), after, "{before:?} from {from} to {to}");
    }

    #[test]
    fn a_scaled_deployment_shares_the_difference_out() {
        check_scaled((1, 1), 2, 4, &[0, 2], &[0, 4]);
        check_scaled((1, 1), 2, 0, &[0, 2], &[0, 0]);
        check_scaled((3, 5), 10, 15, &[8, 5], &[12, 8]);
        check_scaled((3, 3), 10, 5, &[8, 5], &[5, 3]);
        check_scaled((1, 3), 4, 10, &[3, 2], &[8, 5]);
        check_scaled((1, 1), 2, 0, &[2, 1], &[0, 0]);
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
        check_step(limits, count(0, 0), Count { present: 1, ..Count::default() }, (0, 0));
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

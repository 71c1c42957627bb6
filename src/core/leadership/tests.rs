//! Two replicas and a lease that a test owns, by a clock in seconds.

use super::*;

const DEFAULT: Timing = Timing { lasts: Duration::from_secs(15) };

fn me(name: &str) -> Me {
    Me { name: name.into(), process: "1".into(), peer: None }
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// The lease as the API server keeps it.
#[derive(Default)]
struct Kept {
    lease: Option<LeaseRecord>,
    version: u32,
}

impl Kept {
    fn get(&self) -> Option<KeptLease> {
        self.lease.clone().map(|record| KeptLease { record, version: self.version() })
    }

    fn version(&self) -> LeaseVersion {
        LeaseVersion(self.version.to_string().into())
    }

    fn write(&mut self, record: &LeaseRecord, replaces: Option<&LeaseVersion>) -> Option<LeaseVersion> {
        let present = self.lease.is_some().then(|| self.version());
        if present.as_ref() != replaces {
            return None;
        }
        self.version += 1;
        self.lease = Some(record.clone());
        Some(self.version())
    }

    fn holder(&self) -> &str {
        self.lease.as_ref().and_then(|record| record.holder.as_deref()).unwrap_or("nobody")
    }
}

/// Carries out everything that is due, as an API server that answers at once. What the replica then waits for.
fn go(one: &mut Leadership, kept: &mut Kept, seconds: f64) -> Next {
    for _ in 0..10 {
        match one.next(at(seconds), Timestamp::UNIX_EPOCH) {
            Next::Read => one.saw(kept.get(), at(seconds)),
            Next::Write { record, replaces } => match kept.write(&record, replaces.as_ref()) {
                Some(version) => one.wrote(&record, version, at(seconds)),
                None => one.failed(LeaseFailure::Moved, at(seconds)),
            },
            other @ (Next::Wait(_) | Next::StepDown(_)) => return other,
        }
    }
    panic!("it comes to no rest");
}

fn leader(name: &str, kept: &mut Kept, seconds: f64) -> Leadership {
    let mut one = Leadership::new(me(name), DEFAULT);
    go(&mut one, kept, seconds);
    assert!(one.term().is_some(), "{name} leads");
    one
}

#[test]
fn the_lease_lasts_15_s_is_renewed_every_5_s_and_its_holder_acts_for_10_s() {
    assert_eq!((DEFAULT, DEFAULT.renewed_every(), DEFAULT.acts_for()), (Timing::default(), at(5.0), at(10.0)));
    let mut kept = Kept::default();
    let mut one = Leadership::new(me("a"), Timing::default());
    assert_eq!(go(&mut one, &mut kept, 0.0), Next::Wait(at(5.0)));
    assert_eq!(one.term(), Some((1, at(10.0))));
    assert_eq!(go(&mut one, &mut kept, 5.0), Next::Wait(at(10.0)));
    assert_eq!((one.term(), kept.version), (Some((1, at(15.0))), 2), "renewed, in the same term");
    let record = kept.lease.unwrap();
    assert_eq!((record.lasts, record.holder.as_deref(), record.transitions), (at(15.0), Some("a_1"), 1));
}

#[test]
fn who_cannot_renew_stops_ten_seconds_after_the_last_renewal_was_sent() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    let mut tries = Vec::new();
    let mut now = 5.0;
    loop {
        match one.next(at(now), Timestamp::UNIX_EPOCH) {
            Next::Write { .. } => {
                tries.push(now);
                now += DEFAULT.call_lasts().as_secs_f64();
                one.failed(LeaseFailure::NoAnswer, at(now));
            }
            Next::Wait(until) => now = until.as_secs_f64(),
            Next::StepDown(over) => break assert_eq!(over, Over::NotRenewed),
            Next::Read => panic!("nothing says that it has moved"),
        }
    }
    assert!((10.0..10.0 + DEFAULT.call_lasts().as_secs_f64()).contains(&now), "stops at {now}");
    assert_eq!(tries.len(), 2, "{tries:?}");
    one.stepped_down();
    assert_eq!(go(&mut one, &mut kept, 20.0), Next::Wait(at(25.0)), "nobody else has taken it: it leads again at once");
    assert_eq!(one.term().unwrap().0, 2, "in a new term");
}

#[test]
fn an_answer_counts_from_when_its_call_was_sent() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    let Next::Write { record, replaces } = one.next(at(5.0), Timestamp::UNIX_EPOCH) else { panic!("it is due") };
    let version = kept.write(&record, replaces.as_ref()).unwrap();
    one.wrote(&record, version, at(5.0));
    assert_eq!(one.term(), Some((1, at(15.0))), "whenever the answer came");
}

#[test]
fn a_standby_takes_a_lease_that_has_not_changed_for_its_whole_length_by_its_own_clock() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    // A clock of its own: what it calls 1000 is 0 elsewhere. The times in the record are of 1970.
    let mut other = Leadership::new(me("b"), DEFAULT);
    assert_eq!(go(&mut other, &mut kept, 1_000.0), Next::Wait(at(1_007.5)), "where no watch tells, it reads");
    assert_eq!(other.leader(at(1_001.0)).and_then(|record| record.holder.as_deref()), Some("a_1"));
    go(&mut one, &mut kept, 5.0);
    other.saw(kept.get(), at(1_005.0));
    for second in [1_005.0, 1_010.0, 1_012.5, 1_019.9] {
        go(&mut other, &mut kept, second);
        assert_eq!((other.term(), kept.holder()), (None, "a_1"), "{second}");
    }
    go(&mut other, &mut kept, 1_020.0);
    assert_eq!((other.term(), kept.holder()), (Some((2, at(1_030.0))), "b_1"));
    assert_eq!(go(&mut one, &mut kept, 15.0), Next::StepDown(Over::NotRenewed), "it has stopped five seconds before");
}

#[test]
fn two_that_start_together_are_one_leader_and_one_standby() {
    let mut kept = Kept::default();
    let (mut one, mut other) = (Leadership::new(me("a"), DEFAULT), Leadership::new(me("b"), DEFAULT));
    for replica in [&mut one, &mut other] {
        assert_eq!(replica.next(at(0.0), Timestamp::UNIX_EPOCH), Next::Read);
        replica.saw(kept.get(), at(0.0));
    }
    go(&mut other, &mut kept, 0.1);
    go(&mut one, &mut kept, 0.1);
    assert_eq!((one.term(), other.term()), (None, Some((1, at(10.1)))));
    assert_eq!(one.leader(at(0.1)).and_then(|record| record.holder.as_deref()), Some("b_1"));
}

#[test]
fn a_lease_that_was_released_is_taken_at_once_and_in_a_new_term() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    let mut other = Leadership::new(me("b"), DEFAULT);
    go(&mut other, &mut kept, 0.0);
    let (record, version) = one.resign(Timestamp::UNIX_EPOCH).unwrap();
    kept.write(&record, Some(&version)).unwrap();
    assert_eq!((kept.holder(), one.term()), ("nobody", None));
    other.saw(kept.get(), at(1.0));
    assert_eq!(other.leader(at(1.0)), None);
    go(&mut other, &mut kept, 1.0);
    assert_eq!((other.term(), kept.holder()), (Some((2, at(11.0))), "b_1"));
}

#[test]
fn an_earlier_process_of_the_same_replica_is_dead_and_only_at_the_start() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    let mut again = Leadership::new(Me { process: "2".into(), ..me("a") }, DEFAULT);
    go(&mut again, &mut kept, 1.0);
    assert_eq!(again.term(), Some((2, at(11.0))), "the same pod started again need not wait");
    // It was not dead after all: it must not take the lease back.
    assert_eq!(go(&mut one, &mut kept, 5.0), Next::StepDown(Over::Taken("a_2".into())));
    one.stepped_down();
    go(&mut one, &mut kept, 6.0);
    assert_eq!((one.term(), kept.holder()), (None, "a_2"));
}

#[test]
fn a_name_that_only_begins_alike_is_another_replica() {
    let mut kept = Kept::default();
    leader("skeg-a_b", &mut kept, 0.0);
    for name in ["skeg-a", "skeg-a_", "skeg-a_b_1", ""] {
        let mut other = Leadership::new(me(name), DEFAULT);
        go(&mut other, &mut kept, 0.0);
        assert_eq!(other.term(), None, "{name}");
    }
}

#[test]
fn a_write_that_was_carried_out_without_an_answer_is_found_out() {
    let mut kept = Kept::default();
    let mut one = Leadership::new(me("a"), DEFAULT);
    one.saw(None, at(0.0));
    let Next::Write { record, replaces } = one.next(at(0.0), Timestamp::UNIX_EPOCH) else { panic!("it is free") };
    kept.write(&record, replaces.as_ref()).unwrap();
    one.failed(LeaseFailure::NoAnswer, at(2.0));
    assert_eq!(one.next(at(2.0), Timestamp::UNIX_EPOCH), Next::Wait(at(2.5)), "not at once");
    go(&mut one, &mut kept, 2.5);
    assert_eq!(one.term(), Some((2, at(12.5))), "in the next term: nothing was done in the one before");
    // The same with a renewal, which stays in its term.
    let Next::Write { record, replaces } = one.next(at(8.0), Timestamp::UNIX_EPOCH) else { panic!("it is due") };
    kept.write(&record, replaces.as_ref()).unwrap();
    one.failed(LeaseFailure::NoAnswer, at(9.0));
    go(&mut one, &mut kept, 9.5);
    assert_eq!(one.term(), Some((2, at(19.5))));
}

#[test]
fn a_lease_that_another_has_taken_ends_the_term_at_the_next_renewal() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    kept.lease.as_mut().unwrap().holder = Some("b_1".into());
    kept.version += 1;
    assert_eq!(go(&mut one, &mut kept, 5.0), Next::StepDown(Over::Taken("b_1".into())));
}

#[test]
fn what_a_person_changes_beside_the_holder_ends_no_term() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    kept.version += 1;
    assert_eq!(go(&mut one, &mut kept, 5.0), Next::Wait(at(10.0)));
    kept.lease = None;
    assert_eq!(go(&mut one, &mut kept, 10.0), Next::Wait(at(15.0)), "a deleted lease is made again");
    assert_eq!((one.term(), kept.holder()), (Some((1, at(20.0))), "a_1"), "with the same epoch");
}

#[test]
fn a_lease_that_is_deleted_is_not_free_before_its_holder_has_stopped() {
    let mut kept = Kept::default();
    leader("a", &mut kept, 0.0);
    let mut other = Leadership::new(me("b"), DEFAULT);
    go(&mut other, &mut kept, 1.0);
    kept.lease = None;
    other.saw(None, at(2.0));
    go(&mut other, &mut kept, 16.9);
    assert_eq!(other.term(), None);
    go(&mut other, &mut kept, 17.0);
    assert_eq!(other.term(), Some((2, at(27.0))), "the epoch goes on from what was seen");
}

#[test]
fn a_newer_epoch_ends_the_term_and_the_next_one_is_newer_still() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    one.met(1);
    assert_eq!(go(&mut one, &mut kept, 1.0), Next::Wait(at(5.0)), "its own is no newer one");
    one.met(7);
    assert_eq!(go(&mut one, &mut kept, 1.0), Next::StepDown(Over::Newer(7)));
    one.stepped_down();
    go(&mut one, &mut kept, 1.5);
    assert_eq!(one.term().unwrap().0, 8, "the lease was made anew and its count with it");
}

#[test]
fn a_term_that_is_doubted_is_renewed_at_once() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    one.doubted(at(1.0));
    assert_eq!(go(&mut one, &mut kept, 1.0), Next::Wait(at(6.0)));
    assert_eq!((one.term(), kept.version), (Some((1, at(11.0))), 2));
}

#[test]
fn an_api_server_that_is_away_is_asked_less_and_less_often_but_never_rarely() {
    let mut one = Leadership::new(me("a"), DEFAULT);
    let (mut now, mut waits) = (at(100.0), Vec::new());
    for _ in 0..8 {
        assert_eq!(one.next(now, Timestamp::UNIX_EPOCH), Next::Read);
        one.failed(LeaseFailure::NoAnswer, now);
        let Next::Wait(until) = one.next(now, Timestamp::UNIX_EPOCH) else { panic!("it waits") };
        waits.push((until - now).as_secs_f64());
        now = until;
    }
    assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]);
}

#[test]
fn a_length_that_nobody_means_is_bounded() {
    assert_eq!(Timing::lasting(at(0.0)).lasts(), LASTS_MIN);
    assert_eq!(Timing::lasting(Duration::MAX).lasts(), LASTS_MAX);
    let mut kept = Kept::default();
    leader("a", &mut kept, 0.0);
    for (lasts, free) in [(Duration::ZERO, at(15.0)), (at(30.0), at(30.0)), (Duration::MAX, LASTS_MAX)] {
        kept.lease.as_mut().unwrap().lasts = lasts;
        let mut other = Leadership::new(me("b"), DEFAULT);
        other.saw(kept.get(), at(0.0));
        assert_eq!(other.seen.unwrap().free_at, free);
    }
}

#[test]
fn who_resigns_without_knowing_the_version_leaves_the_lease_to_run_out() {
    let mut kept = Kept::default();
    let mut one = leader("a", &mut kept, 0.0);
    one.failed(LeaseFailure::Moved, at(5.0));
    assert_eq!(one.resign(Timestamp::UNIX_EPOCH), None);
    assert_eq!(one.resign(Timestamp::UNIX_EPOCH), None, "and there is no term to resign from");
}

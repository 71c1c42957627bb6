//! A fault of skeg's own: it fails what it happens in, that is tried again, and everything else goes on.

use std::time::Duration;

use jiff::SignedDuration;
use skeg::core::update::{Outcome, Phase, Trigger, Update};
use skeg::sources::Hint;

use crate::support::outside::{Outside, Place, Running};

fn outcome(update: &Update) -> Option<Outcome> {
    match &update.phase {
        Phase::Closed(closed) => Some(closed.outcome),
        _ => None,
    }
}

impl Running {
    /// Waits until the only update has ended; gives how.
    async fn end(&self) -> Outcome {
        self.wait_for(|updates| updates.iter().find_map(outcome)).await
    }
}

#[tokio::test]
async fn a_panic_fails_one_look_write_or_effect_and_that_is_tried_again() {
    let panics = [(Place::Load, 2), (Place::Tags, 2), (Place::Create, 2), (Place::Replace, 1), (Place::Read, 2), (Place::Rollout, 2)];
    let outside = Outside::new(&panics);
    let running = Running::start(&outside);
    assert_eq!(running.end().await, Outcome::Done);
    assert_eq!(outside.patches(), 1);
    let count: u32 = panics.iter().map(|(_, times)| times).sum();
    assert!(outside.metrics().contains(&format!("skeg_panics_total {count}")), "{}", outside.metrics());
    assert!(running.stop().await.is_ok(), "skeg itself is well");
}

#[tokio::test]
async fn a_rollout_that_cannot_be_followed_for_a_fault_of_skegs_own_is_not_put_back() {
    let outside = Outside::new(&[(Place::Rollout, u32::MAX)]);
    let running = Running::start(&outside);
    assert_eq!(running.end().await, Outcome::Failed);
    assert_eq!(outside.patches(), 1, "the image stays");
    assert_eq!(outside.met(Place::Rollout), 3);
}

#[tokio::test]
async fn people_are_asked_though_asking_panics_once() {
    let outside = Outside::new(&[(Place::Show, 2)]).with_approval();
    let running = Running::start(&outside);
    running.wait_for(|_| (outside.met(Place::Show) == 3).then_some(())).await;
    assert_eq!(outside.patches(), 0);
}

#[tokio::test]
async fn an_agent_that_cannot_go_on_ends_with_an_error() {
    let outside = Outside::new(&[(Place::Repositories, u32::MAX)]);
    let running = Running::start(&outside);
    assert!(running.ended().await.is_err_and(|end| end.is_panic()));
}

#[tokio::test]
async fn a_look_that_finds_the_queue_full_is_made_later_and_told() {
    let outside = Outside::new(&[]);
    let later = skeg::core::schedule::after(outside.now(), Duration::from_hours(1_000));
    let fillers: Vec<_> = (0..10_000).map(|number| format!("registry.example/filler{number}").parse().unwrap()).collect();
    for repository in &fillers {
        assert!(outside.hints.push(Hint::whole(Clone::clone(repository), Trigger::Webhook), later));
    }
    let running = Running::start(&outside);
    running.wait_for(|_| outside.metrics().contains("skeg_hints_put_off_total 2").then_some(())).await;
    assert_eq!(outside.met(Place::Tags), 0);
    assert!(outside.hints.take(&fillers[0]).is_some());
    assert_eq!(running.end().await, Outcome::Done);
}

#[tokio::test]
async fn a_record_that_nobody_can_read_holds_its_workload_until_a_person_removes_it() {
    let outside = Outside::new(&[]).with_unreadable_record();
    let running = Running::start(&outside);
    running.wait_for(|updates| (updates.is_empty() && outside.met(Place::Create) == 1).then_some(())).await;
    let later = outside.now() + SignedDuration::from_mins(10);
    running.wait_for(|_| (outside.now() > later).then_some(())).await;
    assert_eq!((outside.patches(), outside.met(Place::Create), outside.met(Place::Replace)), (0, 1, 0), "nothing is written over it");
    outside.remove_unreadable_records();
    assert_eq!(running.end().await, Outcome::Done);
    assert_eq!(outside.patches(), 1);
}

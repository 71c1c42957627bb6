//! Images for other platforms than the pods can land on.

use super::*;
use crate::core::offers::Offer;
use crate::core::placement::{ARCHITECTURE, Placement};
use crate::core::platform::platforms;

/// The repository was read, and the images offer these; `?` is unknown, `!` was not read, nothing was not asked.
fn looked_at(world: &mut World, tags: &[(&str, &str)]) {
    let names: Vec<(&str, &str)> = tags.iter().map(|(tag, _)| (*tag, *tag)).collect();
    let mut observation = world.observation("ghcr.io/acme/web", Trigger::Poll, &names);
    for (tag, offered) in tags.iter().filter(|(_, offered)| !offered.is_empty()) {
        let offer = match *offered {
            "?" => Offer::Unknown,
            "!" => Offer::Unread,
            offered => Offer::For(Arc::new(platforms(offered))),
        };
        observation.read.as_mut().unwrap().offers.note(&tag.parse().unwrap(), offer);
    }
    world.send(Message::Observed(vec![observation]));
    world.run();
}

/// A workload whose pods land on nodes of this architecture.
fn show(world: &mut World, architecture: &str) -> WorkloadId {
    let workload = world.workload("web", &[("web", OLD)], ASKED, None);
    let placement = Placement { selector: [(ARCHITECTURE.into(), architecture.into())].into(), terms: None };
    world.put(Workload { placement: Some(Arc::new(placement)), ..workload })
}

#[track_caller]
fn check(tags: &[(&str, &str)], held: &[(&str, &'static str)], reason: Option<&str>) {
    let mut world = World::new(settings());
    let id = show(&mut world, "arm64");
    looked_at(&mut world, tags);
    let expected: Vec<_> = held.iter().map(|(tag, phase)| ((*tag).to_owned(), *phase)).collect();
    assert_eq!(world.phases(), expected, "{tags:?}");
    let look = world.engine.looked.at(&id, "web").and_then(|look| look.reason.clone());
    let sentence = look.as_ref().map(|why| &*why.sentence);
    assert_eq!(sentence.filter(|_| held.is_empty()), reason, "{tags:?}");
}

#[test]
fn the_best_tag_that_offers_the_platform_is_chosen() {
    check(&[("1.0.1", "linux/arm64")], &[("1.0.1", "Held")], None);
    check(&[("1.0.1", "linux/arm64"), ("1.0.2", "linux/amd64")], &[("1.0.1", "Held")], None);
    check(&[("1.0.1", "linux/arm64"), ("1.0.2", "?")], &[("1.0.2", "Held")], None);
    check(&[("1.0.1", "linux/amd64")], &[], Some("1.0.1 offers linux/amd64, and its pods can land on linux/arm64"));
    check(
        &[("1.0.1", "linux/s390x"), ("1.0.2", "linux/amd64")],
        &[],
        Some("1.0.2 offers linux/amd64, and its pods can land on linux/arm64; 1 more tag is left out for a reason like this"),
    );
}

#[test]
fn what_was_not_read_is_not_decided_and_what_nobody_asked_is_read_anew() {
    for (offered, hints) in [("!", 0), ("", 1)] {
        let mut world = World::new(settings());
        let id = show(&mut world, "arm64");
        looked_at(&mut world, &[("1.0.1", offered)]);
        assert_eq!((world.phases().len(), world.engine.looked.at(&id, "web"), world.hints), (0, None, hints), "{offered}");
    }
}

#[test]
fn pods_that_may_land_elsewhere_are_a_reason_to_look() {
    let mut world = World::new(settings());
    show(&mut world, "arm64");
    looked_at(&mut world, &[("1.0.1", "linux/amd64")]);
    for (architecture, hints) in [("arm64", 0), ("amd64", 1)] {
        show(&mut world, architecture);
        world.run();
        assert_eq!(std::mem::take(&mut world.hints), hints, "{architecture}");
    }
}

#[test]
fn a_held_update_stays_while_its_image_cannot_be_read_and_ends_when_it_lacks_the_platform() {
    let mut world = World::new(settings());
    show(&mut world, "arm64");
    looked_at(&mut world, &[("1.0.1", "linux/arm64")]);
    looked_at(&mut world, &[("1.0.1", "!")]);
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Held")]);
    looked_at(&mut world, &[("1.0.1", "linux/amd64")]);
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Superseded")]);
}

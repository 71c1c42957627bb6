use super::*;
use crate::core::policy::{Filter, Policy};

const LEAST: Duration = Duration::from_hours(2);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn selection(policy: &str) -> Selection {
    let filter = Filter { min_age: Some(LEAST), ..Filter::default() };
    Selection { filter, ..Selection::of(Policy::parse(policy).unwrap()) }
}

fn question<'a>(selection: &'a Selection, current: &str) -> Question<'a> {
    Question { selection, least: LEAST, current: tag(current), digest: None }
}

/// What a look at second 10,000 knows: each tag, when it was built, and when it was seen first.
fn known(tags: &[(&str, Built, Option<i64>)]) -> (Tags, Looked) {
    let mut listed = Tags::read(tags.iter().map(|(name, ..)| tag(name)).collect(), at(10_000));
    listed.see_all();
    let mut looked = Looked::default();
    for (name, built, seen) in tags {
        listed.note(&tag(name), Age { built: *built, first_seen: seen.map(at) });
        if let Some(seen) = seen {
            let moment = Moment { wall: at(*seen), steady: Duration::from_secs(seen.unsigned_abs()) };
            let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
            looked.tags.insert(tag(name), (Sight::first(digest, moment), 1));
        }
    }
    (listed, looked)
}

/// `1.0.1` is old enough, and that `1.0.2` cannot be read keeps `newest` from choosing it.
fn in_trouble() -> (Tags, Looked) {
    let (mut tags, looked) =
        known(&[("1.0.0", Built::At(at(-9_000)), None), ("1.0.1", Built::At(at(-8_000)), Some(100)), ("1.0.2", Built::Unread, None)]);
    tags.trouble = Some("403".into());
    (tags, looked)
}

#[test]
fn what_is_old_enough_and_not_chosen_is_looked_at_again_but_not_at_once() {
    let selection = selection("newest");
    let question = question(&selection, "1.0.0");
    let (tags, looked) = in_trouble();
    assert_eq!((question.choice(&tags), question.on_the_way(&tags, &looked)), (None, vec![tag("1.0.1")]));
    assert_eq!(question.next(&tags, &looked, false), Some(after(at(10_000), AFTER_TROUBLE)));
    assert_eq!(question.next(&tags, &looked, true), None);
}

#[test]
fn the_next_look_is_when_the_first_tag_that_waits_is_old_enough() {
    let selection = selection("patch");
    let question = question(&selection, "1.0.0");
    let (tags, looked) =
        known(&[("1.0.0", Built::Unknown, None), ("1.0.1", Built::Unknown, Some(9_000)), ("1.0.2", Built::Unknown, Some(9_500))]);
    for is_whole in [true, false] {
        assert_eq!(question.next(&tags, &looked, is_whole), Some(after(at(9_000), LEAST)));
    }
}

#[test]
fn a_look_that_meets_trouble_forgets_only_what_is_not_listed_any_more() {
    let selection = selection("newest");
    let question = question(&selection, "1.0.0");
    let (tags, mut looked) = in_trouble();
    let gone = looked.tags.get(&tag("1.0.1")).unwrap().clone();
    looked.tags.insert(tag("0.9.9"), gone);
    let kept = question.kept(&tags, &looked);
    forget(&mut looked, &kept, &tags, false);
    assert_eq!(looked.tags.keys().cloned().collect::<Vec<_>>(), [tag("1.0.1")]);
    forget(&mut looked, &[], &tags, false);
    assert_eq!(looked.tags.len(), 1, "whatever the questions come to");
    forget(&mut looked, &[], &tags, true);
    assert_eq!(looked.tags.len(), 0);
}

#[test]
fn a_question_whose_answer_is_unsure_is_left_open_whatever_ranks_below() {
    let (patch, minor) = (selection("patch"), selection("minor"));
    let questions = [question(&patch, "1.0.0"), question(&minor, "1.0.0"), question(&patch, "1.0.1")];
    let old = |name| (name, Built::Unreadable, Some(0));
    let (mut tags, looked) = known(&[("1.0.0", Built::Unknown, None), old("1.0.1"), old("1.0.2"), old("1.1.0")]);
    tags.trouble = Some("503".into());
    withhold(&questions, &mut tags, |asked| *asked == tag("1.0.2"));
    let choices: Vec<Option<Tag>> = questions.iter().map(|question| question.choice(&tags)).collect();
    assert_eq!(choices, [None, Some(tag("1.1.0")), None]);
    let reason = tags.choose(&patch, Some(&tag("1.0.0"))).reason;
    assert!(reason.contains("1.0.2") && reason.ends_with("; not all could be read: 503"), "{reason}");
    assert_eq!(questions[0].next(&tags, &looked, false), Some(after(at(10_000), AFTER_TROUBLE)), "it is looked at again");
    assert_eq!(tags.built(&tag("1.0.2")), Built::Unreadable, "what others ask about its build stays");
}

#[test]
fn an_age_of_nothing_is_left_open_as_well() {
    let none = Selection { filter: Filter { min_age: Some(Duration::ZERO), ..Filter::default() }, ..selection("patch") };
    let questions = [Question { least: Duration::ZERO, ..question(&none, "1.0.0") }];
    let (mut tags, _) = known(&[("1.0.0", Built::Unknown, None), ("1.0.1", Built::Unknown, None)]);
    withhold(&questions, &mut tags, |_| true);
    assert_eq!(questions[0].choice(&tags), None);
}

#[test]
fn a_tag_that_is_not_there_does_not_keep_newest_from_choosing() {
    let (mut tags, _) =
        known(&[("1.0.0", Built::At(at(-9_000)), None), ("1.0.1", Built::At(at(-8_000)), None), ("1.0.2", Built::Unreadable, Some(0))]);
    unsee(&mut tags, &tag("1.0.2"));
    assert_eq!(tags.age(&tag("1.0.2")), Age { built: Built::Unreadable, first_seen: None });
    let newest = Selection::of(Policy::parse("newest").unwrap());
    assert_eq!(tags.choose(&newest, Some(&tag("1.0.0"))).tag, Some(tag("1.0.1")));
}

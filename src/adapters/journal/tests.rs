#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::core::directives::{Approver, GitPlace, Rules};
use crate::core::image::{Digest, Pin};
use crate::core::update::{
    Applying, Binding, Change, Closed, CommitRecord, Entry, HISTORY_MAX, Held, Outcome, Phase, Plan, Prompt, Reason, Recording, Restoring,
    Rollout, Spec, Trigger, VOTES_MAX, Verdict, Verifying, Vote,
};
use crate::core::workload::{WorkloadId, WorkloadKind};

/// Updates made at random. Enough that every field is seen both absent and present many times over.
const SEEDS: u64 = 300;

#[test]
fn every_update_is_read_back_as_it_was_written() {
    for seed in 0..SEEDS {
        let update = any_update(&mut Rng::with_seed(seed));
        let read = read::kept(object_of(&update)).unwrap_or_else(|problem| panic!("seed {seed}: {problem:?}"));
        assert_eq!(read.update, as_read(&update), "seed {seed}");
        assert_eq!(&*read.version.0, "7");
        let again = object_of(&read.update);
        assert_eq!(again, object_of(&update), "seed {seed}: what was read is written as it was");
    }
}

#[test]
fn every_field_that_is_written_is_in_the_schema_and_within_its_bounds() {
    let definition = crd::crd();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").unwrap();
    for seed in 0..SEEDS {
        let object = object_of(&any_update(&mut Rng::with_seed(seed)));
        for part in ["spec", "status"] {
            check_schema(&format!("seed {seed}: {part}"), &schema[part], &object[part]);
        }
    }
}

#[test]
fn a_field_of_the_schema_is_written_sooner_or_later() {
    let definition = crd::crd();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").unwrap();
    let objects: Vec<Value> = (0..SEEDS).map(|seed| object_of(&any_update(&mut Rng::with_seed(seed)))).collect();
    for part in ["spec", "status"] {
        for field in schema[part]["properties"].as_object().unwrap().keys() {
            // Prompts are written by the channel that asks people, once there is one.
            let is_written = field == "prompt" || objects.iter().any(|object| object[part].get(field).is_some());
            assert!(is_written, "{part}.{field}");
        }
    }
}

#[test]
fn sentences_are_cut_where_a_character_ends_and_names_and_images_are_not() {
    let mut update = any_update(&mut Rng::with_seed(1));
    update.phase = Phase::Applying(Applying { tries: 9, trouble: Some("ä".repeat(5_000).into()), ..Applying::default() });
    let object = object_of(&update);
    assert_eq!(object["status"]["trouble"], "ä".repeat(crd::DETAIL_CHARS_MAX));
    let image = format!("ghcr.io/{}:1", "a".repeat(5_000));
    let mut spec = Spec::clone(&update.spec);
    spec.changes[0].from = image.as_str().into();
    update.spec = spec.into();
    assert_eq!(object_of(&update)["spec"]["changes"][0]["from"], image);
}

#[test]
fn open_and_binding_records_carry_the_label_they_are_found_by() {
    let labels = |phase| {
        let update = Update { phase, ..any_update(&mut Rng::with_seed(2)) };
        let labels = object_of(&update)["metadata"]["labels"].clone();
        assert_eq!(labels["app.kubernetes.io/managed-by"], "skeg");
        (labels.get(OPEN).is_some(), labels.get(BINDING).is_some())
    };
    let closed = |binding| Phase::Closed(Closed { binding, ..Closed::with(Outcome::Failed, Reason::NotChosen) });
    let binding = Binding { reason: "rejected".into(), at: Timestamp::UNIX_EPOCH, by: None };
    assert_eq!(labels(Phase::Applying(Applying::default())), (true, false));
    assert_eq!(labels(closed(None)), (false, false));
    assert_eq!(labels(closed(Some(binding))), (false, true));
}

#[test]
fn an_object_that_somebody_else_wrote_is_a_problem_with_a_name() {
    let good = object_of(&Update { phase: Phase::Verifying(Verifying::of(rollout(&mut Rng::with_seed(3), 1))), ..one_change() });
    assert!(read::kept(good.clone()).is_ok());
    check_unreadable(&good, "/spec/workload/kind", json!("Job"), "no kind is called \"Job\"");
    check_unreadable(&good, "/spec/trigger", json!("moon"), "no trigger is called \"moon\"");
    check_unreadable(&good, "/spec/changes", json!([]), "nothing is changed");
    check_unreadable(&good, "/spec/changes/0/digest", json!("sha256:1"), "not a digest");
    check_unreadable(&good, "/spec/changes/0/tag", json!("$(id)"), "not a tag");
    check_unreadable(&good, "/spec/changes/0/repository", json!("../x"), "spec.changes.repository: ");
    check_unreadable(&good, "/spec/approvers", json!(["ann"]), "\"ann\" is nobody");
    check_unreadable(&good, "/spec/rolloutTimeout", json!("soon"), "not a duration");
    check_unreadable(&good, "/spec/approvals", json!(-1), "spec.approvals: ");
    check_unreadable(&good, "/status/phase", json!("Sleeping"), "\"Sleeping\" is none of Held, Applying");
    check_unreadable(&good, "/status/since", json!("yesterday"), "status.since: ");
    check_unreadable(&good, "/status/rollout/applied", json!([]), "nothing for web");
    check_unreadable(&good, "/status/rollout", Value::Null, "missing in phase Verifying");
    check_unreadable(&good, "/status", Value::Null, "status: ");
    check_unreadable(&good, "/spec", json!([]), "spec: ");
}

#[test]
fn nonsense_of_any_shape_is_a_problem_and_never_a_panic() {
    for object in [Value::Null, json!(1), json!([]), json!({}), json!({"metadata": 3}), json!({"metadata": {"name": "a"}, "status": "x"})] {
        assert!(read::kept(object).is_err());
    }
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let mut object = object_of(&any_update(&mut rng));
        spoil(&mut object, &mut rng);
        let _ = read::kept(object);
    }
}

/// Replaces one value somewhere in the object by one of another type.
fn spoil(value: &mut Value, rng: &mut Rng) {
    let children: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    if children.is_empty() || rng.u8(..8) == 0 {
        *value = [Value::Null, json!(-1), json!(1e300), json!("\u{0}"), json!([[]]), json!({"": {}})][rng.usize(..6)].clone();
    } else {
        let place = rng.usize(..children.len());
        spoil(children.into_iter().nth(place).unwrap(), rng);
    }
}

#[track_caller]
fn check_unreadable(good: &Value, pointer: &str, value: Value, problem: &str) {
    let mut object = good.clone();
    *object.pointer_mut(pointer).unwrap() = value;
    let unreadable = read::kept(object).unwrap_err();
    assert_eq!(unreadable.id.name, "web-0123456789".into());
    assert!(unreadable.problem.contains(problem), "{pointer}: {}", unreadable.problem);
}

/// Holds a value against its schema the way the API server does, as far as the schema goes.
#[track_caller]
fn check_schema(path: &str, schema: &Value, value: &Value) {
    let at_most = |key: &str, found: usize| {
        assert!(schema[key].as_u64().is_none_or(|bound| found as u64 <= bound), "{path} has {found}, {key} is {}", schema[key]);
    };
    match schema["type"].as_str().unwrap() {
        "object" => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{path} is no object: {value}"));
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{path} has no {name}");
            }
            for (name, value) in fields {
                let schema = schema["properties"].get(name).unwrap_or_else(|| panic!("{path}.{name} is not in the schema"));
                check_schema(&format!("{path}.{name}"), schema, value);
            }
        }
        "array" => {
            let items = value.as_array().unwrap_or_else(|| panic!("{path} is no list: {value}"));
            at_most("maxItems", items.len());
            for item in items {
                check_schema(&format!("{path}[]"), &schema["items"], item);
            }
        }
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{path} is no text: {value}"));
            at_most("maxLength", text.chars().count());
            assert!(schema["enum"].as_array().is_none_or(|words| words.contains(value)), "{path} is {value}");
        }
        "integer" => {
            let number = value.as_i64().unwrap_or_else(|| panic!("{path} is no integer: {value}"));
            let bound = |key: &str| schema[key].as_i64();
            assert!(bound("minimum").is_none_or(|bound| bound <= number) && bound("maximum").is_none_or(|bound| number <= bound), "{path}");
        }
        "boolean" => assert!(value.is_boolean(), "{path} is {value}"),
        other => panic!("{path} has type {other}"),
    }
}

fn object_of(update: &Update) -> Value {
    json!(write::resource(update, Some(&Version("7".into()))))
}

/// The update with its reasons as they are read back: code and sentence, the rest is gone.
fn as_read(update: &Update) -> Update {
    let earlier = |reason: &Reason| Reason::read(&reason.record());
    let phase = match &update.phase {
        Phase::Held(held) => Phase::Held(Held { waits: earlier(&held.waits), ..held.clone() }),
        Phase::Restoring(restoring) => Phase::Restoring(Restoring { why: earlier(&restoring.why), ..restoring.clone() }),
        Phase::Closed(closed) => Phase::Closed(Closed { reason: earlier(&closed.reason), ..closed.clone() }),
        phase @ (Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_)) => phase.clone(),
    };
    Update { phase, ..update.clone() }
}

fn one_change() -> Update {
    let mut update = any_update(&mut Rng::with_seed(4));
    let mut spec = Spec::clone(&update.spec);
    spec.changes.truncate(1);
    spec.changes[0].container = "web".into();
    update.id.name = "web-0123456789".into();
    update.spec = spec.into();
    update
}

fn any_update(rng: &mut Rng) -> Update {
    let changes: Vec<Change> = (0..rng.usize(1..4)).map(|number| change(rng, number)).collect();
    let workload = WorkloadId { namespace: word(rng).into(), kind: WorkloadKind::Deployment, name: word(rng).into() };
    let count = changes.len();
    let votes_max = if rng.u8(..20) == 0 { VOTES_MAX } else { 3 };
    let spec = Spec {
        workload: workload.clone(),
        uid: text(rng, 36).into(),
        changes,
        policy: text(rng, crd::POLICY_CHARS_MAX).into(),
        trigger: Trigger::NAMES[rng.usize(..4)].0,
        rules: rules(rng),
        plan: if rng.bool() { Plan::Patch } else { Plan::Git },
        attempt: rng.u32(1..1_000),
    };
    Update {
        id: UpdateId { namespace: workload.namespace, name: word(rng).into() },
        spec: spec.into(),
        phase: phase(rng, count),
        since: time(rng),
        created: time(rng),
        votes: (0..rng.usize(..=votes_max)).map(|_| vote(rng)).collect(),
        prompt: maybe(rng, |rng| Prompt { channel: word(rng).into(), message: text(rng, 30).into(), ended: rng.bool() }),
        taken_back: (0..rng.usize(..=count)).map(|number| format!("{}-{number}", word(rng)).into()).collect(),
        epoch: rng.u64(..1 << 40),
        history: (0..rng.usize(..HISTORY_MAX)).map(|_| Entry { at: time(rng), event: word(rng).into(), detail: sentence(rng) }).collect(),
    }
}

fn change(rng: &mut Rng, number: usize) -> Change {
    Change {
        container: format!("{}-{number}", word(rng)).into(),
        init: rng.bool(),
        repository: format!("ghcr.io/acme/{}", word(rng)).parse().unwrap(),
        from: text(rng, 200).into(),
        to: text(rng, 200).into(),
        tag: format!("{}.{}", rng.u8(..), rng.u8(..)).parse().unwrap(),
        digest: digest(rng),
    }
}

fn digest(rng: &mut Rng) -> Digest {
    let digits: String = (0..64).map(|_| char::from_digit(rng.u32(..16), 16).unwrap()).collect();
    format!("sha256:{digits}").parse().unwrap()
}

fn rules(rng: &mut Rng) -> Rules {
    let approvers = ["user:ann", "group:ops", "slack:U1", "slack-group:S1", "slack-channel"];
    let place = |rng: &mut Rng| GitPlace { remote: word(rng).into(), path: rng.bool().then(|| text(rng, 100).into()) };
    Rules {
        approvals: rng.u32(..=100),
        approvers: approvers.iter().filter(|_| rng.bool()).map(|text| Approver::parse(text).unwrap()).collect(),
        approval_deadline: span(rng),
        approval_valid: span(rng),
        rollback: rng.bool(),
        rollout_timeout: span(rng),
        pin: if rng.bool() { Pin::Tag } else { Pin::Digest },
        write_back: (0..rng.usize(..3)).map(|_| place(rng)).collect(),
    }
}

fn phase(rng: &mut Rng, changes: usize) -> Phase {
    let (tries, retry_at) = (rng.u32(..300), maybe(rng, time));
    match rng.u8(..6) {
        0 => Phase::Held(Held {
            waits: reason(rng),
            asked: maybe(rng, time),
            expires: maybe(rng, time),
            paused: maybe(rng, time),
            granted: maybe(rng, time),
        }),
        1 => Phase::Applying(Applying { tries, retry_at, trouble: maybe(rng, sentence), forbidden_since: None }),
        2 => Phase::Verifying(Verifying {
            rollout: rollout(rng, changes),
            tries: rng.u32(1..9),
            retry_at: Some(Timestamp::UNIX_EPOCH),
            trouble: Some("no".into()),
            missing: None,
        }),
        3 => {
            let rollout = maybe(rng, |rng| rollout(rng, changes));
            let trouble = maybe(rng, sentence);
            Phase::Recording(Recording { rollout, tries, retry_at, trouble, set_back: maybe(rng, binding) })
        }
        4 => Phase::Restoring(Restoring {
            tries,
            retry_at,
            trouble: maybe(rng, sentence),
            ..Restoring::of(rollout(rng, changes), reason(rng))
        }),
        _ => Phase::Closed(Closed {
            outcome: Outcome::ALL[rng.usize(..Outcome::ALL.len())],
            reason: reason(rng),
            rollout: maybe(rng, |rng| rollout(rng, changes)),
            commit: maybe(rng, |rng| CommitRecord { remote: word(rng).into(), id: text(rng, 40).into(), path: text(rng, 200).into() }),
            binding: maybe(rng, binding),
        }),
    }
}

fn binding(rng: &mut Rng) -> Binding {
    Binding { reason: sentence(rng), at: time(rng), by: maybe(rng, |rng| text(rng, 50).into()) }
}

fn rollout(rng: &mut Rng, changes: usize) -> Rollout {
    Rollout { applied: (0..changes).map(|_| text(rng, 200).into()).collect(), patched: time(rng), deadline: time(rng) }
}

fn reason(rng: &mut Rng) -> Reason {
    match rng.u8(..6) {
        0 => Reason::Approval { given: 1, needed: 2 },
        1 => Reason::Rejected { by: text(rng, 50).into(), saying: maybe(rng, |rng| text(rng, 200).into()) },
        2 => Reason::RolloutFailed { why: text(rng, 300).into() },
        3 => Reason::ImageMoved { found: text(rng, 100).into() },
        4 => Reason::NoWriteBack,
        _ => Reason::Earlier { code: "Someday".into(), sentence: sentence_of(rng, 300) },
    }
}

fn vote(rng: &mut Rng) -> Vote {
    let verdict = if rng.bool() { Verdict::Approve } else { Verdict::Reject };
    Vote { voter: text(rng, 100).into(), verdict, at: time(rng), reason: maybe(rng, sentence) }
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

fn time(rng: &mut Rng) -> Timestamp {
    let nanosecond = if rng.bool() { 0 } else { rng.i32(1..1_000_000_000) };
    Timestamp::new(rng.i64(0..4_000_000_000), nanosecond).unwrap()
}

/// Directives, and so the rules made from them, know whole seconds only.
fn span(rng: &mut Rng) -> Duration {
    Duration::from_secs(rng.u64(..300_000_000))
}

fn word(rng: &mut Rng) -> String {
    (0..rng.usize(1..20)).map(|_| rng.lowercase()).collect()
}

fn sentence(rng: &mut Rng) -> Box<str> {
    sentence_of(rng, crd::DETAIL_CHARS_MAX)
}

fn sentence_of(rng: &mut Rng, chars_max: usize) -> Box<str> {
    text(rng, chars_max).into()
}

/// A text with everything in it that JSON has to take care of.
fn text(rng: &mut Rng, chars_max: usize) -> String {
    const CHARACTERS: [char; 14] = ['a', 'Z', '0', ' ', ':', '"', '\\', '\n', '\t', '\u{0}', 'ä', '\u{2028}', '🛥', '{'];
    (0..rng.usize(..=chars_max)).map(|_| CHARACTERS[rng.usize(..CHARACTERS.len())]).collect()
}

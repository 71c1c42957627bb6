use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::core::directives::{Approver, Rules};
use crate::core::image::Pin;
use crate::core::update::{CommitRecord, History, Plan, Reason, Spec, Trigger, UpdateId, VOTES_MAX, Vote};
use crate::core::workload::{WorkloadId, WorkloadKind};

fn change(container: &str) -> Change {
    Change {
        container: container.into(),
        init: false,
        repository: "ghcr.io/acme/web".parse().unwrap(),
        from: "ghcr.io/acme/web:1.0.0".into(),
        to: "ghcr.io/acme/web:1.0.1".into(),
        tag: "1.0.1".parse().unwrap(),
        digest: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
    }
}

fn asked() -> Update {
    let rules = Rules {
        approvals: 2,
        approvers: ["slack-channel", "slack:U1", "user:ops"].into_iter().filter_map(Approver::parse).collect(),
        approval_deadline: std::time::Duration::from_hours(1),
        approval_valid: std::time::Duration::from_hours(1),
        rollback: true,
        rollout_timeout: std::time::Duration::from_mins(10),
        pin: Pin::Tag,
        write_back: Vec::new(),
    };
    let spec = Spec {
        workload: WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() },
        uid: "uid".into(),
        changes: vec![change("web")],
        policy: "semver:>=1, <2".into(),
        trigger: Trigger::Poll,
        rules,
        plan: Plan::Patch,
        attempt: 1,
    };
    let now = Timestamp::UNIX_EPOCH;
    let phase = Phase::Held(Held {
        waits: Reason::Approval { given: 0, needed: 2 },
        asked: Some(now),
        expires: Some(now),
        paused: None,
        granted: None,
    });
    let id = UpdateId { namespace: "shop".into(), name: "web-1".into() };
    Update {
        id,
        spec: Arc::new(spec),
        phase,
        since: now,
        created: now,
        votes: vec![],
        prompt: None,
        taken_back: vec![],
        epoch: 0,
        history: History::default(),
    }
}

fn with(update: Update, change: impl FnOnce(&mut Spec)) -> Update {
    let mut spec = Spec::clone(&update.spec);
    change(&mut spec);
    Update { spec: Arc::new(spec), ..update }
}

fn shown(update: &Update) -> Value {
    json!(message(update, &[]).blocks)
}

/// Every text of the blocks.
fn texts(blocks: &Value) -> Vec<String> {
    match blocks {
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "text" => vec![text.clone()],
                other => texts(other),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn has_buttons(blocks: &Value) -> bool {
    blocks.as_array().unwrap().iter().any(|block| block["type"] == "actions")
}

#[test]
fn a_request_says_what_changes_and_its_buttons_say_exactly_what_for() {
    let blocks = shown(&asked());
    let text = texts(&blocks).join("\n");
    for part in [
        "Approval needed",
        "`web`: `ghcr.io/acme/web` `1.0.0` → *`1.0.1`*",
        "sha256:aaaaaaaaaaaa",
        "0 of 2 approvals",
        "<@U1>",
        "everybody in this channel",
        "user:ops",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("semver:&gt;=1, &lt;2"), "{text}");
    let elements = blocks.pointer("/4/elements").unwrap();
    let value = format!("shop/web-1 sha256:{}", "a".repeat(64));
    assert_eq!(
        elements[0],
        json!({"type": "button", "action_id": "skeg.approve", "style": "primary", "value": value,
        "text": {"type": "plain_text", "text": "Approve"}})
    );
    assert_eq!(
        (&elements[1]["action_id"], &elements[1]["style"], &elements[1]["value"]),
        (&json!("skeg.reject"), &json!("danger"), &json!(value))
    );
}

#[test]
fn votes_are_shown_and_the_buttons_are_gone_when_it_is_decided() {
    let mut update = asked();
    update.votes.push(Vote { voter: "slack:U1".into(), verdict: Verdict::Approve, at: update.since, reason: None });
    assert!(has_buttons(&shown(&update)));
    assert!(texts(&shown(&update)).join("\n").contains("1 of 2 approvals · <@U1> approves"));
    let commit = CommitRecord { remote: "fleet".into(), id: "c".repeat(40).into(), path: "shop/web.yaml".into() };
    let reason = Reason::Committed { commit: "cccccccccccc".into() };
    update.phase = Phase::Closed(Closed { commit: Some(commit), ..Closed::with(Outcome::Done, reason) });
    let text = texts(&shown(&update)).join("\n");
    assert!(!has_buttons(&shown(&update)));
    assert!(text.contains("Deployed") && text.contains("shop/web.yaml in fleet"), "{text}");
}

#[test]
fn text_from_outside_mentions_nobody_and_draws_nothing() {
    let evil = "<!channel> <@U9> <https://evil.test|Approve> & `*x*\nnew\u{202e}line";
    let mut update = with(asked(), |spec| {
        spec.changes[0].from = evil.into();
        spec.policy = evil.into();
        spec.workload.name = evil.into();
    });
    let reason = Some(evil.into());
    update.votes.push(Vote { voter: "slack:U1> <!here".into(), verdict: Verdict::Approve, at: update.since, reason });
    for update in [
        &update,
        &Update { phase: Phase::Closed(Closed::with(Outcome::Failed, Reason::RolloutFailed { why: evil.into() })), ..update.clone() },
    ] {
        let message = message(update, &[]);
        for text in texts(&json!(message.blocks)).iter().chain([&message.text]) {
            assert!(!["<!channel", "<!here", "<@U9", "<https:", "\u{202e}"].iter().any(|part| text.contains(part)), "{text}");
        }
    }
}

fn provenance(source: &str, revisions: (&str, &str), version: &str) -> Provenance {
    let labels = |revision: &str| {
        let mut labels = Labels::default();
        for (key, value) in [("source", source), ("revision", revision), ("version", version)] {
            labels.take_up(&format!("org.opencontainers.image.{key}"), value);
        }
        labels
    };
    Provenance { container: "web".into(), from: labels(revisions.0), to: labels(revisions.1) }
}

#[track_caller]
fn check_origin(source: &str, revisions: (&str, &str), version: &str, expected: &str) {
    let blocks = json!(message(&asked(), &[provenance(source, revisions, version)]).blocks);
    assert_eq!(texts(&blocks[2]), [expected]);
    assert!(has_buttons(&blocks));
}

#[test]
fn a_request_says_where_the_image_comes_from_and_links_to_what_changed() {
    let (web, revisions) = ("https://github.com/acme/web", ("1111111", "2222222"));
    check_origin(
        web,
        revisions,
        "1.0.1",
        "`web` says: <https://github.com/acme/web/compare/1111111...2222222|changes 1111111…2222222> · revision `2222222` · version `1.0.1`",
    );
    check_origin(web, ("", "2222222"), "", "`web` says: <https://github.com/acme/web|source> · revision `2222222`");
    check_origin(
        "acme/web <!channel> `x`",
        ("", ""),
        "<@U9>",
        "`web` says: source `acme/web &lt;!channel&gt; 'x'` · version `&lt;@U9&gt;`",
    );
    check_origin("https://evil.test/|Approve>", ("", ""), "", "`web` says: source `https://evil.test/|Approve&gt;`");
    let many: Vec<Provenance> = (0..64).map(|_| provenance(web, revisions, &"&".repeat(200))).collect();
    let text = texts(&json!(message(&asked(), &many).blocks[2])).concat();
    assert!(text.chars().count() <= ORIGINS_CHARS_MAX && text.ends_with("&amp;…`"), "{text}");
}

#[test]
fn without_anything_about_their_origin_a_message_is_as_before() {
    assert_eq!(json!(message(&asked(), &[]).blocks).as_array().map(Vec::len), Some(6));
}

#[test]
fn the_longest_update_fits_into_a_message() {
    let long = |letter: &str| letter.repeat(2_000);
    let mut update = with(asked(), |spec| {
        spec.changes = (0..64).map(|number| Change { from: long("<").into(), ..change(&format!("{}{number}", "&".repeat(60))) }).collect();
        spec.policy = long("&").into();
        spec.rules.approvers = (0..64).filter_map(|number| Approver::parse(&format!("user:{}{number}", "<".repeat(200)))).collect();
        spec.rules.approvals = 100;
    });
    let vote = |number| Vote {
        voter: format!("user:{}{number}", "&".repeat(200)).into(),
        verdict: Verdict::Approve,
        at: Timestamp::UNIX_EPOCH,
        reason: Some(long(">").into()),
    };
    update.votes = (0..VOTES_MAX).map(vote).collect();
    let blocks = shown(&update);
    let texts = texts(&blocks);
    assert!(texts.iter().all(|text| text.chars().count() <= 3_000));
    let sum: usize = texts.iter().map(|text| text.chars().count()).sum();
    assert!(sum <= 10_000, "{sum}");
    let fields = blocks.pointer("/2/fields").and_then(Value::as_array).unwrap();
    assert!(fields.iter().all(|field| field["text"].as_str().unwrap().chars().count() <= 2_000));
    assert!(Subject::of(&update).value().len() <= 2_000);
    assert!(message(&update, &[]).text.chars().count() <= 4_000);
}

#[test]
fn what_cannot_be_shown_whole_cannot_be_clicked() {
    let changing = |count: usize| {
        let update = with(asked(), |spec| spec.changes = (0..count).map(|number| change(&format!("web-{number}"))).collect());
        let blocks = shown(&update);
        (has_buttons(&blocks), texts(&blocks).join("\n"))
    };
    let (is_clickable, text) = changing(20);
    assert!(is_clickable && (0..20).all(|number| text.contains(&format!("`web-{number}`"))), "{text}");
    let (is_clickable, text) = changing(64);
    assert!(!is_clickable && text.contains("At a terminal: `skeg approve shop/web-1`"), "{text}");
}

#[test]
fn the_answer_to_a_vote_says_the_same_however_often_it_is_given() {
    let before = asked();
    let mut after = before.clone();
    after.votes.push(Vote { voter: "slack:U1".into(), verdict: Verdict::Approve, at: before.since, reason: None });
    after.phase = Phase::Closed(Closed::with(Outcome::Done, Reason::NoWriteBack));
    assert_eq!(counted(Verdict::Approve, &before), counted(Verdict::Approve, &after));
    assert!(counted(Verdict::Reject, &before).starts_with("Your rejection is recorded: web 1.0.0 to 1.0.1"));
}

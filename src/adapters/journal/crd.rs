//! The `CustomResourceDefinition` of `ImageUpdate`: what the API server itself guarantees about the journal.
//!
//! It is written out by hand, not derived from the Rust types of the record: the bounds and the rules *are* the design,
//! and a reader of `skeg crd` should find each of them here in one place. It describes the record; it does not read or
//! write one.
//!
//! Three properties the journal builds on, each shown against a real API server in `tests/conformance.rs`:
//!
//! - **No status subresource.** One create or one PUT moves phase, labels and history together; with the subresource a
//!   create drops `status` and a PUT ignores it.
//! - **Rules on transitions.** `spec` never changes, a closed phase never changes, `status.epoch` never falls. Whoever
//!   asks is answered 422 `Invalid`, so the server fences a stale leader. The server runs such a rule only where the
//!   field is there both before and after: were `status` optional, taking it away and writing it anew would pass every
//!   rule. So `spec`, `status` and the fields that the rules read are required.
//! - **Bounds on everything.** The largest object the schema allows fits into one etcd request (1.5 MiB) even if every
//!   character takes four bytes, and the server's cost estimate for the rules is a number, not "unbounded".
//!
//! The format: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>; the
//! rules: <https://kubernetes.io/docs/reference/using-api/cel/>, stable from Kubernetes 1.29 on.

use serde_json::{Value, json};

use crate::core::directives::{APPROVERS_MAX, GIT_PLACES_MAX};
use crate::core::update::{CHANGES_MAX, HISTORY_MAX, Outcome, VOTES_MAX};

/// API group of the resource.
pub const GROUP: &str = "skeg.dev";
/// The one served and stored version.
pub const VERSION: &str = "v1alpha1";
/// Kind of the resource.
pub const KIND: &str = "ImageUpdate";
/// Plural name: the last part of the resource's path.
pub const PLURAL: &str = "imageupdates";

/// Phases of an update that can still move, in the order they are passed. Closed ones are named by [`Outcome`].
pub const OPEN_PHASES: [&str; 5] = ["Held", "Applying", "Verifying", "Recording", "Restoring"];

/// Characters of an image text: a repository, a tag and a digest, each at its longest, with `:` and `@` between.
pub const IMAGE_CHARS_MAX: usize = REPOSITORY_CHARS_MAX + 1 + TAG_CHARS_MAX + 1 + DIGEST_CHARS_MAX;
/// Characters of a sentence for people: a reason, a message, the detail of an event.
pub const DETAIL_CHARS_MAX: usize = 512;
/// Characters of a person's name as an identity provider knows it; e-mail addresses end at 254.
pub const PERSON_CHARS_MAX: usize = 256;
/// Characters of a policy, several joined when containers differ; a regular expression is the longest kind.
pub const POLICY_CHARS_MAX: usize = 1024;
/// Characters of a path in a Git repository; longer ones are no file that declares a workload.
pub const PATH_CHARS_MAX: usize = 1024;

/// Characters of a repository in normal form, host included; what `core::image` accepts.
const REPOSITORY_CHARS_MAX: usize = 512;
/// Characters of a tag, by the OCI distribution specification.
const TAG_CHARS_MAX: usize = 128;
/// Characters of a digest: `sha512:` and 128 hex digits. A Git commit's id is shorter.
const DIGEST_CHARS_MAX: usize = 135;
/// Characters of a Kubernetes object name (RFC 1123 subdomain).
const NAME_CHARS_MAX: usize = 253;
/// Characters of a container name, a kind, a uid or a word of ours (RFC 1123 label).
const LABEL_CHARS_MAX: usize = 63;
/// Characters of a span such as `24h` or `P1DT12H`.
const SPAN_CHARS_MAX: usize = 64;
/// Characters of an RFC 3339 time: nanoseconds and an offset make 35.
const TIME_CHARS_MAX: usize = 40;
/// Largest count of tries: far past every retry bound.
pub const TRIES_MAX: u32 = 1_000_000;
/// Largest number of an attempt at the same change; people make them one by one.
const ATTEMPT_MAX: usize = 1_000_000;

/// The definition as JSON, as `kubectl apply -f` takes it and `skeg crd` prints it.
pub fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": format!("{KIND}List"),
                "plural": PLURAL,
                "singular": "imageupdate",
                "shortNames": ["iu"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns(),
                "schema": { "openAPIV3Schema": schema() },
            }],
        },
    })
}

/// What `kubectl get iu` shows. A column prints the first value of its path and cannot count: so `To` is the tag of the
/// first change, and `status.tally` carries the votes as `1/2` (approvals given and needed).
fn columns() -> Value {
    json!([
        { "name": "Workload", "type": "string", "jsonPath": ".spec.workload.name" },
        { "name": "To", "type": "string", "jsonPath": ".spec.changes[0].tag" },
        { "name": "Phase", "type": "string", "jsonPath": ".status.phase" },
        { "name": "Reason", "type": "string", "jsonPath": ".status.reason" },
        { "name": "Votes", "type": "string", "jsonPath": ".status.tally" },
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
    ])
}

fn schema() -> Value {
    object(
        "The life of one change of one workload's images, from candidate to recorded. Written by skeg only; editing it has no effect.",
        json!({
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec(),
            "status": status(),
        }),
        &["spec", "status"],
    )
}

fn spec() -> Value {
    let schema = object(
        "What is to change, and under which rules. Never changes: another change is another ImageUpdate.",
        json!({
            "workload": workload(),
            "changes": list(1, CHANGES_MAX, change()),
            "policy": text(POLICY_CHARS_MAX),
            "trigger": one_of(&["poll", "webhook", "resync", "command"]),
            "approvals": count(0, VOTES_MAX),
            "approvers": list(0, APPROVERS_MAX, text(PERSON_CHARS_MAX)),
            "approvalDeadline": text(SPAN_CHARS_MAX),
            "approvalValid": text(SPAN_CHARS_MAX),
            "rollback": { "type": "boolean" },
            "rolloutTimeout": text(SPAN_CHARS_MAX),
            "pin": one_of(&["tag", "digest"]),
            "plan": one_of(&["patch", "git"]),
            "writeBack": list(0, GIT_PLACES_MAX, text(LABEL_CHARS_MAX + 1 + PATH_CHARS_MAX)),
            "attempt": count(1, ATTEMPT_MAX),
        }),
        &[
            "workload",
            "changes",
            "policy",
            "trigger",
            "approvals",
            "approvalDeadline",
            "approvalValid",
            "rollback",
            "rolloutTimeout",
            "pin",
            "plan",
            "attempt",
        ],
    );
    with_rule(schema, "self == oldSelf", "spec is immutable")
}

fn workload() -> Value {
    object(
        "The workload in this object's namespace. The uid tells it from a later one of the same name.",
        json!({
            "kind": text(LABEL_CHARS_MAX),
            "name": text(NAME_CHARS_MAX),
            "uid": text(LABEL_CHARS_MAX),
        }),
        &["kind", "name", "uid"],
    )
}

fn change() -> Value {
    object(
        "One container: the image text replaced, the one put in its place, and what that was when it was chosen.",
        json!({
            "container": text(LABEL_CHARS_MAX),
            "init": { "type": "boolean" },
            "repository": text(REPOSITORY_CHARS_MAX),
            "from": text(IMAGE_CHARS_MAX),
            "to": text(IMAGE_CHARS_MAX),
            "tag": text(TAG_CHARS_MAX),
            "digest": text(DIGEST_CHARS_MAX),
        }),
        &["container", "repository", "from", "to", "tag", "digest"],
    )
}

fn status() -> Value {
    object(
        "Where the update stands.",
        json!({
            "phase": phase(),
            "reason": text(DETAIL_CHARS_MAX),
            "since": time(),
            "createdAt": time(),
            "askedAt": time(),
            "expiresAt": time(),
            "pausedAt": time(),
            "grantedAt": time(),
            "tally": text(SPAN_CHARS_MAX),
            "votes": list(0, VOTES_MAX, vote()),
            "rollout": rollout(),
            "tries": count(0, TRIES_MAX as usize),
            "retryAt": time(),
            "trouble": text(DETAIL_CHARS_MAX),
            "commit": commit(),
            "prompt": prompt(),
            "takenBack": list(0, CHANGES_MAX, text(LABEL_CHARS_MAX)),
            "epoch": epoch(),
            "binding": binding(),
            "history": list(0, HISTORY_MAX, event()),
        }),
        &["phase", "since", "createdAt", "epoch"],
    )
}

fn phase() -> Value {
    let closed_phases = Outcome::ALL.map(Outcome::as_str);
    let phases = [&OPEN_PHASES[..], &closed_phases[..]].concat();
    let closed = closed_phases.map(|phase| format!("'{phase}'")).join(", ");
    with_rule(one_of(&phases), &format!("self == oldSelf || !(oldSelf in [{closed}])"), "a closed phase is final")
}

fn epoch() -> Value {
    let schema = json!({ "type": "integer", "format": "int64", "minimum": 0 });
    with_rule(schema, "self >= oldSelf", "epoch never falls: a newer leader has written this object")
}

fn vote() -> Value {
    object(
        "One person's answer, for exactly the digests of this update.",
        json!({
            "voter": text(PERSON_CHARS_MAX),
            "verdict": one_of(&["approve", "reject"]),
            "at": time(),
            "reason": text(DETAIL_CHARS_MAX),
        }),
        &["voter", "verdict", "at"],
    )
}

fn rollout() -> Value {
    let applied = object(
        "The image the API server stored for a container, admission webhooks included.",
        json!({ "container": text(LABEL_CHARS_MAX), "image": text(IMAGE_CHARS_MAX) }),
        &["container", "image"],
    );
    object(
        "What was patched, until when it must be healthy, and why it is put back.",
        json!({
            "applied": list(0, CHANGES_MAX, applied),
            "patchedAt": time(),
            "deadline": time(),
            "why": text(DETAIL_CHARS_MAX),
        }),
        &["applied", "patchedAt", "deadline"],
    )
}

fn commit() -> Value {
    object(
        "Where Git shows it.",
        json!({
            "remote": text(LABEL_CHARS_MAX),
            "id": text(DIGEST_CHARS_MAX),
            "path": text(PATH_CHARS_MAX),
        }),
        &["remote", "id", "path"],
    )
}

fn prompt() -> Value {
    object(
        "Where people were asked, as the channel names the message, and whether it shows how the update ended.",
        json!({ "channel": text(LABEL_CHARS_MAX), "timestamp": text(LABEL_CHARS_MAX), "ended": { "type": "boolean" } }),
        &["channel", "timestamp"],
    )
}

fn binding() -> Value {
    object(
        "Present while this update, once closed, holds its digests back from the workload.",
        json!({ "reason": text(DETAIL_CHARS_MAX), "at": time(), "by": text(PERSON_CHARS_MAX) }),
        &["reason", "at"],
    )
}

fn event() -> Value {
    object(
        "Something that happened.",
        json!({ "at": time(), "event": text(LABEL_CHARS_MAX), "detail": text(DETAIL_CHARS_MAX) }),
        &["at", "event"],
    )
}

/// An object with these properties and no others: the server prunes what is not named.
fn object(description: &str, properties: Value, required: &[&str]) -> Value {
    let mut schema = vec![("type", json!("object")), ("description", json!(description)), ("properties", properties)];
    if !required.is_empty() {
        schema.push(("required", json!(required)));
    }
    Value::from_iter(schema)
}

fn list(items_min: usize, items_max: usize, items: Value) -> Value {
    Value::from_iter([("type", json!("array")), ("minItems", json!(items_min)), ("maxItems", json!(items_max)), ("items", items)])
}

fn text(chars_max: usize) -> Value {
    json!({ "type": "string", "maxLength": chars_max })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "maxLength": TIME_CHARS_MAX })
}

fn count(min: usize, max: usize) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": min, "maximum": max })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "maxLength": LABEL_CHARS_MAX, "enum": words })
}

/// Adds a rule that the server runs on every update of the field, with the value before it as `oldSelf`.
fn with_rule(mut schema: Value, rule: &str, message: &str) -> Value {
    if let Some(keys) = schema.as_object_mut() {
        keys.insert("x-kubernetes-validations".to_owned(), json!([{ "rule": rule, "message": message }]));
    }
    schema
}

#[cfg(test)]
mod tests;

//! `registry`: notifications of distribution, Docker's registry, versions 2 and 3, and of what is built on it.
//!
//! Source: distribution's "Work with notifications". The content types `application/vnd.docker.distribution.events.v1+json` (2.x) and
//! `…v2+json` (3.x) have one body format. Every pull is told as well, the ones that skeg's own polling causes included, and everything
//! that is not accepted is sent again for ever: so whatever is no push of a tagged image is ignored, never refused.

use std::collections::HashSet;

use http::HeaderMap;
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde_json::Value;
use url::Url;

use super::image::{repository, tag, text, valid};
use super::{CredentialKind, Delivery, Hinted, Ignored, Rejected, Settings, WebhookSource, json};

/// The most events of one delivery. The registry sends what happened within its queue's turn, one to some dozens.
const EVENTS_MAX: usize = 10_000;
/// What an image is: the manifests of platforms and the indexes over them.
const IMAGE_TYPES: [&str; 4] =
    [OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];
/// How the media types of a Helm chart's parts begin. The chart itself is stored in the manifest of an image.
const HELM_TYPES: &str = "application/vnd.cncf.helm.";

/// The source.
pub(super) struct Notifications;

impl WebhookSource for Notifications {
    fn name(&self) -> &'static str {
        "registry"
    }

    fn credentials(&self) -> &'static [CredentialKind] {
        // The registry sends whatever headers its configuration lists.
        &[CredentialKind::Bearer, CredentialKind::Basic]
    }

    fn parse(&self, _: &HeaderMap, body: &[u8], settings: &Settings) -> Result<Delivery, Rejected> {
        let body = json::read(body)?;
        let events = body.get("events").and_then(Value::as_array).ok_or(Rejected::Content("the body has no list of events"))?;
        if events.len() > EVENTS_MAX {
            return Err(Rejected::Content("the body has more than 10000 events"));
        }
        let mut delivery = Delivery::default();
        let mut ids = HashSet::new();
        for event in events {
            match hinted(event, settings) {
                Ok(hinted) if hinted.event_id.clone().is_none_or(|id| ids.insert(id)) => delivery.hints.push(hinted),
                Ok(_) => delivery.ignored.push(Ignored { reason: "the same event again" }),
                Err(ignored) => delivery.ignored.push(ignored),
            }
        }
        Ok(delivery)
    }
}

fn hinted(event: &Value, settings: &Settings) -> Result<Hinted, Ignored> {
    let ignored = |reason| Err(Ignored { reason });
    match text(event.get("action")) {
        Some("push") => {}
        Some("pull") => return ignored("a pull"),
        Some("delete") => return ignored("a deletion"),
        Some("mount") => return ignored("a mount"),
        _ => return ignored("no push"),
    }
    let Some(target) = event.get("target") else { return ignored("no target") };
    if text(target.get("mediaType")).is_some_and(|media_type| !IMAGE_TYPES.contains(&media_type)) {
        return ignored("not an image");
    }
    if is_helm_chart(target) {
        return ignored("a Helm chart");
    }
    let tag = tag(target.get("tag"))?;
    let Some(path) = text(target.get("repository")) else { return ignored("no repository") };
    let Some(host) = host(event, target).or_else(|| settings.registry.as_deref().map(str::to_owned)) else {
        tracing::warn!(source = "registry", "a push does not say at which registry; name it in the receiver's settings");
        return ignored("no registry, and none in the receiver's settings");
    };
    let event_id = text(event.get("id")).map(Into::into);
    Ok(Hinted { repository: repository(&host, path)?, tag, digest: valid(target.get("digest")), event_id })
}

/// The registry as the one who pushed addressed it. `source.addr` is the name of a node, which nobody pulls from.
fn host(event: &Value, target: &Value) -> Option<String> {
    if let Some(host) = text(event.get("request").and_then(|request| request.get("host"))) {
        return Some(host.to_owned());
    }
    let url: Url = valid(target.get("url"))?;
    let host = url.host()?;
    Some(url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")))
}

/// The parts of an image are listed where the registry is configured to.
fn is_helm_chart(target: &Value) -> bool {
    let parts = target.get("references").and_then(Value::as_array);
    parts.is_some_and(|parts| parts.iter().any(|part| text(part.get("mediaType")).is_some_and(|kind| kind.starts_with(HELM_TYPES))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn push() -> Value {
        json!({
            "id": "one",
            "action": "push",
            "target": {
                "mediaType": OCI_IMAGE_MEDIA_TYPE,
                "digest": format!("sha256:{}", "0".repeat(64)),
                "repository": "team/app",
                "url": "https://mirror.test:8443/v2/team/app/manifests/sha256:0",
                "tag": "1.0.0",
            },
            "request": {"host": "registry.test:5000"},
            "source": {"addr": "node-7:5000"},
        })
    }

    fn parse(events: &[Value], registry: Option<&str>) -> Result<Delivery, Rejected> {
        let settings = Settings { registry: registry.map(Into::into) };
        Notifications.parse(&HeaderMap::new(), json!({ "events": events }).to_string().as_bytes(), &settings)
    }

    /// A push with `change` made to it.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), expected: Result<&str, &'static str>) {
        let mut event = push();
        change(&mut event);
        let delivery = parse(&[event], None).unwrap();
        let image = delivery.hints.first().map(|hinted| format!("{}:{}", hinted.repository, hinted.tag));
        let reason = delivery.ignored.first().map(|ignored| ignored.reason);
        assert_eq!((image.as_deref(), reason), (expected.ok(), expected.err()));
    }

    #[test]
    fn the_registry_is_the_host_that_was_pushed_to() {
        check(|_| {}, Ok("registry.test:5000/team/app:1.0.0"));
        check(|event| event["request"]["host"] = json!(""), Ok("mirror.test:8443/team/app:1.0.0"));
        check(|event| event["request"] = Value::Null, Ok("mirror.test:8443/team/app:1.0.0"));
        check(|event| event["request"]["host"] = json!("registry"), Err("the image's name is not one"));
        check(|event| event["request"]["host"] = json!("a.test/b"), Err("the image's name is not one"));
    }

    #[test]
    fn without_a_host_the_settings_name_the_registry() {
        let mut event = push();
        event["request"] = Value::Null;
        event["target"]["url"] = json!("nonsense");
        let named = parse(std::slice::from_ref(&event), Some("settings.test")).unwrap();
        assert_eq!(named.hints[0].repository.as_str(), "settings.test/team/app");
        let unnamed = parse(&[event], None).unwrap();
        assert_eq!(unnamed.ignored[0].reason, "no registry, and none in the receiver's settings");
        let own = parse(&[push()], Some("settings.test")).unwrap();
        assert_eq!(own.hints[0].repository.registry(), "registry.test:5000");
    }

    #[test]
    fn what_is_no_push_of_a_tagged_image_is_ignored() {
        check(|event| event["action"] = json!("pull"), Err("a pull"));
        check(|event| event["action"] = json!("delete"), Err("a deletion"));
        check(|event| event["action"] = json!("<script>"), Err("no push"));
        check(|event| *event = json!("push"), Err("no push"));
        check(|event| event["target"] = Value::Null, Err("no tag"));
        check(|event| event["target"]["tag"] = Value::Null, Err("no tag"));
        check(|event| event["target"]["repository"] = json!("Team/App"), Err("the image's name is not one"));
        check(|event| event["target"]["repository"] = json!(7), Err("no repository"));
        check(|event| event["target"]["mediaType"] = json!("application/octet-stream"), Err("not an image"));
        let helm = json!([{"mediaType": "application/vnd.cncf.helm.config.v1+json"}]);
        check(|event| event["target"]["references"] = helm, Err("a Helm chart"));
    }

    #[test]
    fn a_wrong_digest_is_dropped_and_the_tag_still_counts() {
        let mut event = push();
        event["target"]["digest"] = json!("sha256:12");
        let delivery = parse(&[event], None).unwrap();
        assert_eq!((delivery.hints[0].tag.as_str(), &delivery.hints[0].digest), ("1.0.0", &None));
    }

    #[test]
    fn an_event_that_is_told_twice_is_one_hint() {
        let mut other = push();
        other["id"] = json!("two");
        let delivery = parse(&[push(), push(), other], None).unwrap();
        assert_eq!((delivery.hints.len(), delivery.ignored.len()), (2, 1));
    }

    #[test]
    fn other_bodies_are_not_of_this_source() {
        let parse = |body: &str| Notifications.parse(&HeaderMap::new(), body.as_bytes(), &Settings::default());
        for body in ["{}", "[]", "1", r#"{"events":{}}"#, r#"{"name":"a","tag":"b"}"#, r#"{"events":[],"events":[]}"#, "<html>"] {
            assert!(parse(body).is_err(), "{body}");
        }
        assert_eq!(parse(r#"{"events":[]}"#), Ok(Delivery::default()));
        assert!(parse(&format!(r#"{{"events":[{}1]}}"#, "1,".repeat(EVENTS_MAX))).is_err());
    }
}

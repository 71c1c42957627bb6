//! `native`: what a CI job or a person posts, as for Keel: `{"name": "ghcr.io/acme/api", "tag": "1.2.3"}`, with an optional `digest`.
//!
//! Somebody wrote this body for us and reads the answer. So, unlike with the registries' own formats, what cannot be meant is an error.

use http::HeaderMap;

use super::image::{SIGNATURE, text, valid};
use super::{CredentialKind, Delivery, Hinted, Rejected, Settings, WebhookSource, json};
use crate::core::image::Tag;

/// The source.
pub(super) struct Native;

impl WebhookSource for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn credentials(&self) -> &'static [CredentialKind] {
        &[CredentialKind::Bearer, CredentialKind::Basic]
    }

    fn parse(&self, _: &HeaderMap, body: &[u8], _: &Settings) -> Result<Delivery, Rejected> {
        let body = json::read(body)?;
        let name = text(body.get("name")).ok_or(Rejected::Content("the body names no image: \"name\" is missing"))?;
        // A name with a tag or digest of its own does not parse as a repository.
        let repository = name.parse().map_err(|_| Rejected::Content("\"name\" is not the name of an image, or has a tag in it"))?;
        let tag = text(body.get("tag")).ok_or(Rejected::Content("the body names no tag: \"tag\" is missing"))?;
        let tag: Tag = tag.parse().map_err(|_| Rejected::Content("\"tag\" is not a tag"))?;
        if tag.is_signature_storage() {
            return Ok(Delivery { ignored: vec![SIGNATURE], ..Delivery::default() });
        }
        let hinted = Hinted { repository, tag, digest: valid(body.get("digest")), event_id: None };
        Ok(Delivery { hints: vec![hinted], ..Delivery::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Delivery, Rejected> {
        Native.parse(&HeaderMap::new(), body.as_bytes(), &Settings::default())
    }

    #[track_caller]
    fn check(body: &str, repository: &str, has_digest: bool) {
        let delivery = parse(body).unwrap();
        let hinted = &delivery.hints[0];
        assert_eq!((hinted.repository.as_str(), hinted.tag.as_str()), (repository, "1.0.0"), "{body}");
        assert_eq!(hinted.digest.is_some(), has_digest, "{body}");
    }

    #[test]
    fn an_image_is_named_as_people_name_it() {
        let hex = "0".repeat(64);
        check(r#"{"name":"nginx","tag":"1.0.0"}"#, "docker.io/library/nginx", false);
        check(r#"{"name":"localhost:5000/app","tag":"1.0.0","by":"ci"}"#, "localhost:5000/app", false);
        check(&format!(r#"{{"name":"acme/api","tag":"1.0.0","digest":"sha256:{hex}"}}"#), "docker.io/acme/api", true);
        check(r#"{"name":"acme/api","tag":"1.0.0","digest":"sha256:12"}"#, "docker.io/acme/api", false);
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for body in [
            "{}",
            "[]",
            "null",
            r#"{"name":"acme/api"}"#,
            r#"{"tag":"1.0.0"}"#,
            r#"{"name":"acme/api","tag":""}"#,
            r#"{"name":"acme/api","tag":null}"#,
            r#"{"name":"acme/api","tag":1}"#,
            r#"{"name":"acme/api","tag":"$(id)"}"#,
            r#"{"name":"acme/api","tag":"sha256:00"}"#,
            r#"{"name":"acme/api:1.0.0","tag":"1.0.0"}"#,
            r#"{"name":"nginx:1.0.0","tag":"1.0.0"}"#,
            r#"{"name":"acme/api@sha256:00","tag":"1.0.0"}"#,
            r#"{"name":"https://acme/api","tag":"1.0.0"}"#,
            r#"{"name":"../api","tag":"1.0.0"}"#,
            r#"{"name":"acme/api","tag":"1.0.0","tag":"2.0.0"}"#,
        ] {
            let rejected = parse(body).expect_err(body).to_string();
            assert!(!rejected.contains("id") && !rejected.contains("acme"), "{rejected} repeats {body}");
        }
    }

    #[test]
    fn a_signature_is_ignored() {
        let body = format!(r#"{{"name":"acme/api","tag":"sha256-{}.sig"}}"#, "0".repeat(64));
        assert_eq!(parse(&body).unwrap().ignored, [SIGNATURE]);
    }
}

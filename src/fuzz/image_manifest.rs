//! What a registry gives as a manifest: a digest only of a manifest, members only of the index that was asked for.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Target, assert_told_well};
use crate::adapters::fetch::Answer;
use crate::adapters::registry::manifests::{hashed, members};
use crate::core::image::Digest;

pub const TARGET: Target = Target {
    pieces: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "2",
        "\"schemaVersion\":2",
        "\"manifests\":[",
        "\"digest\":\"",
        "sha256:",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "\"platform\":{",
        "\"os\":\"unknown\"",
        "\"architecture\":\"unknown\"",
        "null",
        "\\u0000",
        "\"mediaType\":",
        "\"annotations\":{}",
        "\"config\":{}",
        "\"layers\":[]",
    ],
    check,
    expected: &["an index", "an image", "not of version 2"],
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn check(body: &[u8]) -> String {
    let sum: Digest = format!("sha256:{}", hex::encode(Sha256::digest(body))).parse().unwrap();
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let hashed = hashed(&answer(INDEX, body));
    match &hashed {
        Ok(digest) => {
            assert_eq!(digest, &sum);
            assert!(json.as_ref().is_none_or(|json| json["schemaVersion"] == 2), "a manifest says its version");
        }
        Err(why) => assert_told_well(why),
    }
    assert!(super::image_manifest::hashed(&answer("text/html", body)).is_err(), "a page of another type has no digest");
    let members = members(&answer(INDEX, body), &sum);
    match &members {
        Ok(index) => {
            let index = index.as_ref().expect("of the type of an index");
            assert_eq!(index.digest, sum);
            if let Some(json) = &json {
                let listed = json["manifests"].as_array().expect("an index lists manifests");
                let written: Vec<_> = listed.iter().filter_map(|entry| entry["digest"].as_str()).collect();
                assert!(index.manifests.iter().all(|digest| written.contains(&digest.as_str())), "only what is written is a member");
                let attested = |entry: &&Value| entry["platform"]["os"] == "unknown" && entry["platform"]["architecture"] == "unknown";
                assert_eq!(index.manifests.len(), listed.len() - listed.iter().filter(attested).count(), "and all of it is");
            }
        }
        Err(why) => assert_told_well(why),
    }
    let other: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    assert!(super::image_manifest::members(&answer(INDEX, body), &other).is_err(), "another index than the one that was asked for");
    let image = super::image_manifest::members(&answer("application/vnd.oci.image.manifest.v1+json", body), &sum);
    assert_eq!(image, Ok(None), "an image of one platform has no members");
    match (hashed, members) {
        (Ok(_), Ok(_)) => "an index",
        (Ok(_), Err(_)) => "an image",
        (Err(_), Ok(_) | Err(_)) => "not of version 2",
    }
    .to_owned()
}

fn answer(media_type: &'static str, body: &[u8]) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
    let url = "https://registry.example.com/v2/team/app/manifests/1".parse().unwrap();
    Answer { status: StatusCode::OK, headers, url, body: Bytes::copy_from_slice(body) }
}

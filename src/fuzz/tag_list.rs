//! A page of a tag list: complete, or an error.

use serde_json::Value;

use super::{Target, assert_told_well, variant};
use crate::adapters::registry::tags::page;
use crate::core::image::Tag;

pub const TARGET: Target = Target {
    pieces: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "true",
        "1",
        "\"tags\"",
        "\"name\"",
        "\"tags\":",
        "\"1.2.3\"",
        "\"latest\"",
        "\"team/app\"",
        "\\u0000",
        "\\ud800",
        "\"\"",
        "\"a b\"",
        "\"errors\"",
        "{\"tags\":[",
        "]}",
        "1e999",
        " ",
    ],
    check,
    expected: &["tags", "no tags", "names left out", "Truncated", "Shape", "Syntax"],
};

fn check(body: &[u8]) -> String {
    let page = match page::read(body) {
        Ok(page) => page,
        Err(error) => {
            assert_told_well(&error.to_string());
            if let Some(names) = names(body) {
                // Only a list that is there twice is refused although another reader takes it.
                let again = serde_json::json!({ "tags": names }).to_string();
                assert!(page::read(again.as_bytes()).is_ok(), "the list by itself is one");
                assert!(matches!(error, page::PageError::Shape), "{error}");
            }
            return variant(&error);
        }
    };
    assert_eq!(body.trim_ascii_start().first(), Some(&b'{'), "only an object is a page");
    if let Some(names) = names(body) {
        let tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        assert_eq!(page.dropped, names.len() - tags.len());
        assert_eq!(page.tags, tags, "every tag, in the order of the list");
    }
    // A page that is cut is never a shorter page.
    let whole = body.trim_ascii_end();
    for cut in [whole.len() / 2, whole.len() - 1] {
        assert!(page::read(&whole[..cut]).is_err(), "cut at {cut}");
    }
    match (page.tags.len(), page.dropped) {
        (_, 1..) => "names left out",
        (0, 0) => "no tags",
        (1.., 0) => "tags",
    }
    .to_owned()
}

/// The names in the list, by another reader; `None` where it reads no list. It minds numbers that are too large, wherever they are.
fn names(body: &[u8]) -> Option<Vec<String>> {
    let Value::Object(mut page) = serde_json::from_slice(body).ok()? else { return None };
    match page.remove("tags")? {
        Value::Null => Some(Vec::new()),
        Value::Array(names) => names.into_iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
    }
}

//! One page of a tag list, read from JSON without trusting any of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::core::image::Tag;

/// The most names in one page; also the most tags of a repository. A repository that gets a tag each minute has a hundred
/// thousand after ten weeks, and then it is time to delete some; twice that still fits in memory for a handful of repositories.
pub(crate) const TAGS_MAX: usize = 200_000;

/// What a page holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The tags, in the registry's order.
    pub tags: Vec<Tag>,
    /// How many names were left out because they are no tags.
    pub dropped: usize,
}

impl Page {
    /// How many names the registry put into it.
    pub fn names(&self) -> usize {
        self.tags.len() + self.dropped
    }
}

/// Why a text is no page. The message repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageError {
    /// Not JSON, or nested deeper than 128 levels.
    #[error("is not JSON (line {line}, column {column})")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON that ends too early.
    #[error("ends in the middle")]
    Truncated,
    /// JSON of another shape: no `tags`, or `tags` is no list of texts.
    #[error("is no tag list")]
    Shape,
    /// More than [`TAGS_MAX`] names, tags or not.
    #[error("has more than {TAGS_MAX} names")]
    TooMany,
}

/// The body: `{"name": …, "tags": [ … ]}`. Go registries write `null` for an empty list; no `tags` at all is something else.
#[derive(Deserialize)]
struct Body {
    #[serde(deserialize_with = "tags")]
    tags: Page,
}

/// Reads a page.
pub(crate) fn read(body: &[u8]) -> Result<Page, PageError> {
    let Body { tags: page } = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Eof => PageError::Truncated,
        Category::Data => PageError::Shape,
        Category::Syntax | Category::Io => PageError::Syntax { line: error.line(), column: error.column() },
    })?;
    if page.names() > TAGS_MAX { Err(PageError::TooMany) } else { Ok(page) }
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Page, D::Error> {
    deserializer.deserialize_any(Names)
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags or null")
    }

    fn visit_unit<E>(self) -> Result<Page, E> {
        Ok(Page::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Page, A::Error> {
        let mut page = Page::default();
        while let Some(Name(name)) = names.next_element()? {
            match name {
                // The rest is read to its end but not kept: millions of one-letter names fit into one page.
                Some(tag) if page.tags.len() <= TAGS_MAX => page.tags.push(tag),
                Some(_) | None => page.dropped += 1,
            }
        }
        Ok(page)
    }
}

/// A name, kept only if it is a tag.
struct Name(Option<Tag>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameText)
    }
}

struct NameText;

impl Visitor<'_> for NameText {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<(&[&str], usize), PageError>) {
        let page = read(body.as_bytes());
        let expected = expected.map(|(tags, dropped)| Page { tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(), dropped });
        assert_eq!(page, expected, "{body:.200}");
    }

    #[test]
    fn the_pages_of_real_registries_are_read() {
        check(r#"{"name":"team/app","tags":["1.0.0","latest"]}"#, Ok((&["1.0.0", "latest"], 0)));
        check(r#"{"tags":[],"name":"team/app"}"#, Ok((&[], 0)));
        check(r#"{"name":"team/app","tags":null}"#, Ok((&[], 0)));
        check(r#"{"child":[],"manifest":{"sha256:0":{"tag":["x"]}},"name":"a","tags":["1"]}"#, Ok((&["1"], 0)));
    }

    #[test]
    fn names_that_are_no_tags_are_left_out() {
        let hostile = ["", "a b", "$(id)", "../x", "{{x}}", "a;b", "-1", r"a\nb", r"\u0000", &"a".repeat(129)];
        let body = format!(r#"{{"tags":["1.0","{}"]}}"#, hostile.join(r#"",""#));
        check(&body, Ok((&["1.0"], hostile.len())));
    }

    #[test]
    fn anything_else_is_an_error_and_never_an_empty_list() {
        check("", Err(PageError::Truncated));
        check(r#"{"tags":["1.0","#, Err(PageError::Truncated));
        check("<!doctype html>", Err(PageError::Syntax { line: 1, column: 1 }));
        for shape in ["{}", "[]", r#"{"errors":[]}"#, r#"{"tags":{}}"#, r#"{"tags":"1"}"#, r#"{"tags":[1]}"#, r#"{"tags":[null]}"#] {
            check(shape, Err(PageError::Shape));
        }
        check(r#"{"tags":["1"],"tags":[]}"#, Err(PageError::Shape));
        let nested = format!(r#"{{"name":{}"#, "[".repeat(100_000));
        assert!(read(nested.as_bytes()).is_err());
        assert!(read(nested.replace("name", "tags").as_bytes()).is_err());
    }

    #[test]
    fn a_hundred_thousand_tags_are_read_and_far_more_are_refused() {
        let page = |count: usize| format!(r#"{{"tags":["{}"]}}"#, vec!["1.2.3-20260101.abcdef0"; count].join(r#"",""#));
        assert_eq!(read(page(100_000).as_bytes()).unwrap().tags.len(), 100_000);
        check(&page(TAGS_MAX + 1), Err(PageError::TooMany));
        check(&format!(r#"{{"tags":["{}"]}}"#, r#"",""#.repeat(TAGS_MAX)), Err(PageError::TooMany));
    }
}

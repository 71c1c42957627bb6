//! `GET /v2/<name>/tags/list?n=&last=` (specification, "Listing Tags").

use http::StatusCode;
use http::header::{ETAG, LINK};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use super::error::RegistryError;
use super::{PAGE_TAGS_MAX, Shared};
use crate::embedded::loopback::Request;

/// A page of tags, with a relative `Link` to the next one while there are more.
pub(super) fn list(shared: &Shared, name: &str, request: &Request) -> Result<Answer, RegistryError> {
    let asked = request.query_value("n").map(|n| n.parse::<usize>());
    let asked = asked.transpose();
    let asked = asked.map_err(|_| RegistryError::PageSizeInvalid)?;
    let length = asked.unwrap_or(PAGE_TAGS_MAX).min(PAGE_TAGS_MAX);
    let last = request.query_value("last");
    let page = shared.store().tags(name, last.as_deref(), length)?;
    let answer = Answer::json(StatusCode::OK, &json!({"name": name, "tags": page.tags}));
    let answer = if shared.marks_lists() { marked(answer, request) } else { answer };
    // An empty page has no last tag to go on from: n=0 asks for nothing, and gets no next page.
    Ok(match page.tags.last() {
        Some(last) if page.more => answer.with(LINK, &format!("</v2/{name}/tags/list?n={length}&last={last}>; rel=\"next\"")),
        _ => answer,
    })
}

/// The answer with its hash as an entity tag; "not modified" to who has it.
fn marked(answer: Answer, request: &Request) -> Answer {
    let mark = format!("\"{}\"", hex::encode(Sha256::digest(&answer.body)));
    let is_known = request.header("if-none-match") == Some(&mark);
    let answer = if is_known { Answer::new(StatusCode::NOT_MODIFIED) } else { answer };
    answer.with(ETAG, &mark)
}

//! Lists the tags of a repository: every page, or an error.
//!
//! Source: OCI distribution specification 1.1, "Listing Tags". A listing from which a page is missing could make an older tag look
//! like the newest, so a page that fails, is cut, or is not what it should be fails the whole listing.

pub(crate) mod link;
pub(crate) mod page;

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::RegistryClient;
use super::request::{Purpose, Question, Target};
use crate::core::image::Tag;
use crate::ports::registry::RegistryError;
use page::{Page, TAGS_MAX};

/// Tags asked for in one page: the most that larger registries give. Others give fewer or, as Docker's registry 2, all there are.
const PAGE_TAGS: usize = 1000;
/// The most bytes of one page after decompression: a hundred thousand tags of the longest kind (128 characters) in one page
/// are 13 MB, and a bomb stops here.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// The most pages: [`TAGS_MAX`] by pages of 100, the smallest that registries are known to insist on.
const PAGES_MAX: usize = 2000;
/// Time for all pages. A hundred thousand tags by hundreds at 100 ms for each page are under two minutes.
const LISTING_DEADLINE: Duration = Duration::from_mins(5);

/// Every tag of the repository, sorted, each once. Names that the grammar does not allow are left out.
pub(super) async fn list(client: &RegistryClient, target: &Target<'_>) -> Result<Vec<Tag>, RegistryError> {
    let listing = tokio::time::timeout(LISTING_DEADLINE, walk(client, target)).await;
    listing.unwrap_or_else(|_| {
        let detail = format!("the tag list did not end within {} s", LISTING_DEADLINE.as_secs());
        Err(RegistryError::Unreachable { host: target.host.name.clone(), detail })
    })
}

async fn walk(client: &RegistryClient, target: &Target<'_>) -> Result<Vec<Tag>, RegistryError> {
    let mut tags = Vec::new();
    let mut dropped = 0;
    let mut visited = HashSet::new();
    let mut next = Some(target.url(&format!("v2/{}/tags/list?n={PAGE_TAGS}", target.path()))?);
    while let Some(url) = next {
        if visited.len() >= PAGES_MAX {
            return Err(target.malformed(format!("the tag list has more than {PAGES_MAX} pages")));
        }
        if !visited.insert(url.clone()) {
            return Err(target.malformed("the pages of the tag list lead in a circle"));
        }
        let (page, following) = read_page(client, target, url, visited.len()).await?;
        dropped += page.dropped;
        tags.extend(page.tags);
        if tags.len() > TAGS_MAX {
            return Err(target.malformed(format!("more than {TAGS_MAX} tags")));
        }
        next = following;
    }
    tags.sort_unstable();
    tags.dedup();
    if dropped > 0 {
        tracing::debug!(image.repository = %target.repository, dropped, "some names in the tag list are no tags");
    }
    Ok(tags)
}

/// The page at `url`, the `number`th of the listing, and where the next one is.
async fn read_page(client: &RegistryClient, target: &Target<'_>, url: Url, number: usize) -> Result<(Page, Option<Url>), RegistryError> {
    let question = Question {
        method: Method::GET,
        url,
        purpose: Purpose::Tags,
        accept: HeaderValue::from_static("application/json"),
        body_bytes_max: PAGE_BYTES_MAX,
    };
    let answer = client.ask(target, question).await?;
    let unusable = |detail: String| target.malformed(format!("page {number} of the tag list {detail}"));
    match answer.status {
        StatusCode::OK => {}
        // Only the first page says that there is no repository.
        StatusCode::NOT_FOUND if number > 1 => return Err(unusable("is missing".to_owned())),
        _ => return Err(target.refusal(&answer)),
    }
    let page = page::read(&answer.body).map_err(|error| unusable(error.to_string()))?;
    let following = link::next(&answer.headers, &answer.url).map_err(|error| unusable(error.to_string()))?;
    Ok((page, following))
}

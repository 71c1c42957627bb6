//! Lists the tags of a repository: every page, or an error.
//!
//! Source: OCI distribution specification 1.1, "Listing Tags". A listing from which a page is missing could make an older tag look
//! like the newest, so a page that fails, is cut, or is not what it should be fails the whole listing.
//!
//! Where a registry marks its list with an entity tag, the next listing is asked for with it, and "not modified" is an answer. Nothing of the
//! list is kept here for that: who asks says whether it still knows what the list was.

pub(crate) mod link;
pub(crate) mod page;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::ETAG;
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::RegistryClient;
use super::request::{Purpose, Question, Target};
use crate::adapters::fetch::Answer;
use crate::core::image::Tag;
use crate::ports::registry::{ListMark, RegistryError, TagList};
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
/// What the size of every page is a multiple of that registries insist on. An entity tag is a hash of a page as a rule, and the page is as it
/// was when a second one comes after it; so a list that may just fill a page is not asked for by its mark.
const PAGE_TAGS_STEP: usize = 10;

/// Hosts of which it is remembered how they page.
const HOSTS_MAX: usize = 1_000;

/// Which hosts say where a list goes on, as far as that had to be known.
#[derive(Default)]
pub(super) struct Telling(Mutex<HashMap<Url, bool>>);

/// A page as it came.
struct Turned {
    page: Page,
    following: Option<Url>,
    mark: Option<ListMark>,
}

/// Every tag of the repository, sorted, each once. Names that the grammar does not allow are left out.
pub(super) async fn whole(client: &RegistryClient, target: &Target<'_>) -> Result<Vec<Tag>, RegistryError> {
    match list(client, target, None).await? {
        TagList::Whole(tags, _) => Ok(tags),
        TagList::Unchanged => Err(target.malformed("the tag list is said to be unchanged, which was not asked")),
    }
}

/// The same, or that it is what it was when the registry gave the mark that is `known`.
pub(super) async fn list(client: &RegistryClient, target: &Target<'_>, known: Option<&ListMark>) -> Result<TagList, RegistryError> {
    let listing = tokio::time::timeout(LISTING_DEADLINE, walk(client, target, known)).await;
    listing.unwrap_or_else(|_| {
        let detail = format!("the tag list did not end within {} s", LISTING_DEADLINE.as_secs());
        Err(RegistryError::Unreachable { host: target.host.name.clone(), detail })
    })
}

async fn walk(client: &RegistryClient, target: &Target<'_>, known: Option<&ListMark>) -> Result<TagList, RegistryError> {
    let mut tags = Vec::new();
    let mut dropped = 0;
    let mut mark = None;
    // An address may be long, and there may be many.
    let (hasher, mut visited) = (RandomState::new(), HashSet::new());
    let mut next = Some(page_of(target, PAGE_TAGS)?);
    while let Some(url) = next {
        if visited.len() >= PAGES_MAX {
            return Err(target.malformed(format!("the tag list has more than {PAGES_MAX} pages")));
        }
        if !visited.insert(hasher.hash_one(&url)) {
            return Err(target.malformed("the pages of the tag list lead in a circle"));
        }
        let number = visited.len();
        let Some(turned) = read_page(client, target, url, number, known.filter(|_| number == 1)).await? else {
            return Ok(TagList::Unchanged);
        };
        dropped += turned.page.dropped;
        next = if turned.following.is_none() && turned.page.names() == PAGE_TAGS && !tells_of_more(client, target).await? {
            after(target, &turned.page)?
        } else {
            turned.following
        };
        tags.extend(turned.page.tags);
        if tags.len() > TAGS_MAX {
            return Err(target.malformed(format!("more than {TAGS_MAX} tags")));
        }
        mark = turned.mark.filter(|_| number == 1 && next.is_none());
    }
    tags.sort_unstable();
    tags.dedup();
    if dropped > 0 {
        tracing::debug!(image.repository = %target.repository, dropped, "some names in the tag list are no tags");
    }
    Ok(TagList::Whole(tags, mark))
}

/// Whether the registry says where a list goes on. Some cut it where they are asked to and do not; so a page of one tag is asked for, once for each
/// host, when a list is exactly as long as a page. A registry that gives everything at once has no more to tell of.
async fn tells_of_more(client: &RegistryClient, target: &Target<'_>) -> Result<bool, RegistryError> {
    if let Some(known) = client.telling.of(&target.host.base) {
        return Ok(known);
    }
    let Some(turned) = read_page(client, target, page_of(target, 1)?, 1, None).await? else { return Ok(false) };
    let tells = turned.following.is_some() || turned.page.names() > 1;
    client.telling.note(&target.host.base, tells);
    Ok(tells)
}

impl Telling {
    fn of(&self, base: &Url) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(base).copied()
    }

    fn note(&self, base: &Url, tells: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= HOSTS_MAX {
            all.clear();
        }
        all.insert(base.clone(), tells);
    }
}

/// The first tags, so many.
fn page_of(target: &Target<'_>, tags: usize) -> Result<Url, RegistryError> {
    target.url(&format!("v2/{}/tags/list?n={tags}", target.path()))
}

/// Where the specification has the tags after those of this page, whether or not the registry says so.
fn after(target: &Target<'_>, page: &Page) -> Result<Option<Url>, RegistryError> {
    let Some(last) = page.tags.last() else { return Ok(None) };
    let mut url = page_of(target, PAGE_TAGS)?;
    url.query_pairs_mut().append_pair("last", last.as_str());
    Ok(Some(url))
}

/// The page at `url`, the `number`th of the listing; `None` when it is what it was when the mark that is `known` was given.
async fn read_page(
    client: &RegistryClient,
    target: &Target<'_>,
    url: Url,
    number: usize,
    known: Option<&ListMark>,
) -> Result<Option<Turned>, RegistryError> {
    let unusable = |detail: String| target.malformed(format!("page {number} of the tag list {detail}"));
    let question = |known: Option<&ListMark>| Question {
        method: Method::GET,
        url: url.clone(),
        purpose: Purpose::Tags,
        accept: HeaderValue::from_static("application/json"),
        unless: known.and_then(|mark| HeaderValue::from_str(mark.as_str()).ok()),
        body_bytes_max: PAGE_BYTES_MAX,
    };
    let mut answer = client.ask(target, question(known)).await?;
    if known.is_some() && answer.status == StatusCode::NOT_MODIFIED {
        if is_all_as_it_was(&answer, &url) {
            return Ok(None);
        }
        answer = client.ask(target, question(None)).await?;
    }
    match answer.status {
        StatusCode::OK => {}
        // Only the first page says that there is no repository.
        StatusCode::NOT_FOUND if number > 1 => return Err(unusable("is missing".to_owned())),
        _ => return Err(target.refusal(&answer)),
    }
    let page = page::read(&answer.body).map_err(|error| unusable(error.to_string()))?;
    let following = link::next(&answer.headers, &answer.url).map_err(|error| unusable(error.to_string()))?;
    let mark = (answer.url == url && !page.names().is_multiple_of(PAGE_TAGS_STEP)).then(|| mark(&answer)).flatten();
    Ok(Some(Turned { page, following, mark }))
}

/// Whether "not modified" is about the list that the mark was given for: another place has marks of its own, and a further page is new.
fn is_all_as_it_was(answer: &Answer, asked: &Url) -> bool {
    answer.url == *asked && matches!(link::next(&answer.headers, asked), Ok(None))
}

fn mark(answer: &Answer) -> Option<ListMark> {
    ListMark::new(answer.headers.get(ETAG)?.to_str().ok()?)
}

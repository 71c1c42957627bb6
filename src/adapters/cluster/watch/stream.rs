//! One stream: a listing in pages, then changes, over and over, and what becomes of it when it fails.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::answer;
use super::PAGE;

/// Time for the next step of a listing; the API server gives up a request after 60 s itself.
pub(in super::super) const PAGE_DEADLINE: Duration = Duration::from_mins(1);
/// After a failure, how long a stream must go on without another one to be called well again. A server that is away or hangs shows sooner
/// than this: a connection has 10 s, and so has the beginning of a watch.
const WELL_AFTER: Duration = Duration::from_secs(25);
/// How often a stream lists again. Rare enough to cost nothing, often enough that whatever a silent watch missed is not missed for a day.
const LIST_EVERY: Duration = Duration::from_mins(30);
/// The time that each page of a listing pays for: a large cluster is listed more seldom, so that this makes 20 requests an hour at most.
const A_PAGE_LASTS: Duration = Duration::from_mins(3);

/// The least time between two readings beside the stream: whoever may write to a Namespace could write to it without end, and the stream stands
/// still meanwhile.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// What a stream is doing, which says how long its next event may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Listing,
    Recovering,
    Following,
}

/// What one stream is for.
pub(in super::super) trait Follower<T> {
    /// Notes what is wrong with it, and whether only a person can help.
    fn troubled(&self, error: String, refused: bool);

    /// Notes that nothing is.
    fn well(&self);

    /// Brings an event into what is known. Gives whether it shows that the stream is well: a listing does so only when it is complete.
    fn take(&self, event: Event<T>) -> bool;

    /// Waits until something is to be read again beside the stream, which stands still meanwhile.
    async fn due(&self) {
        std::future::pending::<()>().await;
    }

    /// Reads it; `None` when everything is to be listed again instead.
    async fn read_again(&self) -> Option<watcher::Result<()>> {
        None
    }

    /// Waits after a failure.
    async fn pause(&self, failures: &mut u32, refused: bool);
}

/// Follows one stream until it is time to list again, or only a new stream can help.
pub(in super::super) async fn follow_stream<T>(
    follower: &impl Follower<T>,
    mut stream: Pin<&mut impl Stream<Item = watcher::Result<Event<T>>>>,
    failures: &mut u32,
) {
    let (begun, mut listed) = (Instant::now(), 0);
    let (mut doing, mut next_reading) = (Doing::Listing, begun);
    loop {
        let limit = match doing {
            Doing::Listing => Instant::now() + PAGE_DEADLINE,
            Doing::Recovering => Instant::now() + WELL_AFTER,
            Doing::Following => begun + list_after(listed),
        };
        let is_due = async {
            sleep_until(next_reading).await;
            follower.due().await;
        };
        let next = tokio::select! { biased;
            () = is_due, if doing == Doing::Following => None,
            next = timeout_at(limit, stream.next()) => Some(next),
        };
        let Some(next) = next else {
            next_reading = Instant::now() + READ_AGAIN_EVERY;
            match follower.read_again().await {
                Some(Ok(())) => continue,
                Some(Err(error)) => {
                    follower.troubled(answer::chain(&error), is_refused(&error));
                    follower.pause(failures, is_refused(&error)).await;
                    return;
                }
                None => return,
            }
        };
        match next {
            Ok(Some(Ok(event))) => {
                doing = if matches!(event, Event::Init | Event::InitApply(_)) { Doing::Listing } else { Doing::Following };
                listed = match event {
                    Event::Init => 0,
                    Event::InitApply(_) => listed + 1,
                    Event::InitDone | Event::Apply(_) | Event::Delete(_) => listed,
                };
                if follower.take(event) {
                    *failures = 0;
                }
            }
            Ok(Some(Err(error))) => {
                follower.troubled(answer::chain(&error), is_refused(&error));
                follower.pause(failures, is_refused(&error)).await;
                if is_expired(&error) {
                    return;
                }
                doing = if doing == Doing::Listing { Doing::Listing } else { Doing::Recovering };
            }
            Err(_) if doing == Doing::Recovering => {
                follower.well();
                *failures = 0;
                doing = Doing::Following;
            }
            Err(_) if doing == Doing::Listing => {
                follower.troubled(format!("no answer within {} s", PAGE_DEADLINE.as_secs()), false);
                follower.pause(failures, false).await;
                return;
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// Whether only a person can help: RBAC, or a kind that is not served.
fn is_refused(error: &watcher::Error) -> bool {
    status_code(error).is_some_and(is_refusal)
}

/// The same of an answer's code.
pub(super) fn is_refusal(code: u16) -> bool {
    matches!(code, 403 | 404)
}

/// Whether the version that the stream would go on from is gone. The library begins anew only when it is told so inside a watch.
fn is_expired(error: &watcher::Error) -> bool {
    status_code(error) == Some(410)
}

fn status_code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// How long after a listing of so many objects the next one is due.
fn list_after(objects: u32) -> Duration {
    LIST_EVERY.max(A_PAGE_LASTS * objects.div_ceil(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_cost_twenty_requests_an_hour_at_most_however_many_objects_there_are() {
        for objects in [0_u32, 1, 100, 101, 1_000, 20_000, 1_000_000] {
            let in_an_hour = objects.div_ceil(PAGE) * 3_600 / u32::try_from(list_after(objects).as_secs()).unwrap();
            assert!(in_an_hour <= 20, "{objects} objects: {in_an_hour}");
        }
        assert_eq!(list_after(500), LIST_EVERY);
    }
}

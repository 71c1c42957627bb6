//! What is left of a rate limit, as servers say it beside an answer.
//!
//! Sources: the IETF draft "`RateLimit` header fields for HTTP" in its older form (`RateLimit-Remaining` with a window, as Docker Hub sends it) and its
//! newer one (`RateLimit: "default";r=50;t=30`), and `X-RateLimit-…`, whose reset is seconds from now or since 1970.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use super::RETRY_AFTER_MAX;

/// Above this a reset is a date in seconds since 1970: no window lasts thirty years.
const DATES_BEGIN: u64 = 1_000_000_000;

/// What is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Requests that are left.
    pub remaining: u64,
    /// When there are as many as ever again; at the longest an hour, as with `Retry-After`.
    pub resets_in: Option<Duration>,
    /// How long it takes until one more is left, where the limit slides.
    pub one_more_in: Option<Duration>,
}

/// Reads what is left; `None` where nothing is said that can be read.
pub fn rate_limit(headers: &HeaderMap, now: Timestamp) -> Option<RateLimit> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (remaining, window) = match text("ratelimit").and_then(newer) {
        Some((remaining, reset)) => return Some(RateLimit { remaining, resets_in: reset.map(believed), one_more_in: None }),
        None => windowed(text("ratelimit-remaining").or_else(|| text("x-ratelimit-remaining"))?)?,
    };
    let reset = text("ratelimit-reset").or_else(|| text("x-ratelimit-reset")).and_then(|text| text.trim().parse().ok());
    let limit = text("ratelimit-limit").or_else(|| text("x-ratelimit-limit")).and_then(windowed);
    let one_more = limit.and_then(|(limit, of_limit)| Some((window.or(of_limit)?, limit))).filter(|(_, limit)| *limit > 0);
    Some(RateLimit {
        remaining,
        resets_in: reset.map(|reset| until(reset, now)),
        one_more_in: one_more.map(|(window, limit)| Duration::from_secs(window.div_ceil(limit)).min(RETRY_AFTER_MAX)),
    })
}

/// `76;w=21600`, and only the first of several.
fn windowed(text: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = text.split(',').next()?.split(';').map(str::trim);
    let count = parts.next()?.parse().ok()?;
    Some((count, parts.find_map(|part| part.strip_prefix("w=")?.parse().ok())))
}

/// `"default";r=50;t=30`
fn newer(text: &str) -> Option<(u64, Option<u64>)> {
    let parts = || text.split(',').next().unwrap_or_default().split(';').map(str::trim);
    let number = |key: &str| parts().find_map(|part| part.strip_prefix(key)?.parse().ok());
    Some((number("r=")?, number("t=")))
}

fn until(reset: u64, now: Timestamp) -> Duration {
    let date = (reset >= DATES_BEGIN).then(|| i64::try_from(reset).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()));
    match date {
        None => believed(reset),
        Some(date) => {
            date.map_or(RETRY_AFTER_MAX, |date| Duration::try_from(date.duration_since(now)).unwrap_or_default().min(RETRY_AFTER_MAX))
        }
    }
}

fn believed(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &'static str)], expected: Option<(u64, Option<u64>, Option<u64>)>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, value.parse().unwrap());
        }
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
        let read = rate_limit(&headers, now).map(|limit| (limit.remaining, seconds(limit.resets_in), seconds(limit.one_more_in)));
        assert_eq!(read, expected, "{lines:?}");
    }

    #[test]
    fn every_spelling_of_what_is_left_is_read() {
        check(&[("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")], Some((76, None, Some(216))));
        check(&[("ratelimit-remaining", "3"), ("ratelimit-reset", "40")], Some((3, Some(40), None)));
        check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767225660")], Some((0, Some(60), None)));
        check(&[("ratelimit", "\"default\";r=50;t=30")], Some((50, Some(30), None)));
        check(&[("ratelimit-remaining", "3"), ("ratelimit-reset", "99999")], Some((3, Some(3600), None)));
        check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1500000000")], Some((0, Some(0), None)));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        check(&[], None);
        check(&[("ratelimit-remaining", "many")], None);
        check(&[("ratelimit", "r")], None);
        check(&[("ratelimit-remaining", "5;w=x"), ("ratelimit-limit", "0;w=1")], Some((5, None, None)));
    }
}

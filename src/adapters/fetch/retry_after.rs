//! How long the other side asks to be left alone (`Retry-After`, RFC 9110 section 10.2.3).

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The longest wait that is believed. Rate-limit windows are minutes to an hour (some days long, for which asking once an hour is
/// polite enough), and a wrong date or a hostile number must not silence a host for good.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Reads `Retry-After`: seconds, or a date, which may have passed. `None` when it is absent or neither.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let date = DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Reads how long to wait from the text of a refusal, where some registries write it (`retry-after: 250.5µs, allowed: 44000/minute`). The number
/// may be followed by a unit; without one it is seconds.
pub fn retry_after_in(body: &[u8]) -> Option<Duration> {
    let text = String::from_utf8_lossy(body).to_lowercase();
    let rest = ["retry-after", "retry after", "retry in", "try again in"].iter().find_map(|words| text.split_once(words))?.1;
    let rest = rest.trim_start_matches([':', '=', '"', ' ']);
    let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
    let (number, unit) = rest.split_at_checked(end)?;
    let number: f64 = number.trim_end_matches('.').parse().ok()?;
    let unit = unit.trim_start();
    let is_any_of = |starts: &[&str]| starts.iter().any(|start| unit.starts_with(start));
    let seconds = match () {
        () if is_any_of(&["ns"]) => number / 1e9,
        () if is_any_of(&["us", "\u{b5}s", "\u{3bc}s"]) => number / 1e6,
        () if is_any_of(&["ms", "milli"]) => number / 1e3,
        () if is_any_of(&["m"]) => number * 60.0,
        () if is_any_of(&["h"]) => number * 3600.0,
        () => number,
    };
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_the_text_of_a_refusal_is_read() {
        for (text, milliseconds) in [
            (r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 250.5ms, allowed: 44000/minute"}]}"#, Some(250)),
            ("retry-after: 67.7\u{b5}s", Some(0)),
            ("Too many requests. Please retry after 12 seconds.", Some(12_000)),
            ("Rate exceeded, try again in 2 minutes", Some(120_000)),
            ("retry in 7", Some(7_000)),
            ("retry after 99999999999999999999 h", Some(3_600_000)),
            ("retry after lunch", None),
            ("slow down", None),
        ] {
            assert_eq!(retry_after_in(text.as_bytes()).map(|wait| wait.as_millis()), milliseconds, "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text:?}");
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        check("7", Some(7));
        check(" 120 ", Some(120));
        check("0", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(7));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("Tue, 31 Dec 2999 23:59:59 GMT", Some(3600));
        check("99999999999999999999999999", Some(3600));
        check("7 seconds", None);
        check("-1", None);
        check("", None);
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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

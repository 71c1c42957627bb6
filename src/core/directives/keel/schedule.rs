//! Keel's `pollSchedule`: `@every 10m`, `@daily`, or a cron expression that begins with seconds.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::core::cron::Cron;
use crate::core::directives::PollTimes;
use crate::core::nearest::shown;

/// What Keel's words stand for, seconds first.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
];
/// The units of a Go duration, with their nanoseconds. There is no day.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// The shortest interval: Keel makes each shorter one a second.
const SHORTEST: Duration = Duration::from_secs(1);

/// Reads a schedule; `zone` is that of the process.
pub fn parse(text: &str, zone: &TimeZone) -> Result<PollTimes, String> {
    if let Some(duration) = text.strip_prefix("@every ") {
        let duration =
            go_duration(duration).ok_or_else(|| format!("`{}` is no duration of Go's, such as 10m or 1h30m", shown(duration)))?;
        // Parts of a second are cut off.
        return Ok(PollTimes::Every(Duration::from_secs(duration.max(SHORTEST).as_secs())));
    }
    let fields = match WORDS.iter().find(|(word, _)| *word == text) {
        Some((_, fields)) => fields,
        None if text.starts_with('@') => {
            let words = WORDS.map(|(word, _)| word).join(", ");
            return Err(format!("`{}` is none of @every <duration>, {words}", shown(text)));
        }
        None => text,
    };
    Cron::parse_keel(fields, zone.clone()).map(PollTimes::Cron).map_err(|error| format!("`{}`: {error}", shown(text)))
}

/// `1h30m`, `1.5h`, `-5s`, `0`: negative ones are nought here, as they are all shorter than the shortest interval.
fn go_duration(text: &str) -> Option<Duration> {
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() || nanoseconds == 0 && text.is_empty() {
        let number = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(number);
        let unit = after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds = nanoseconds.checked_add(scaled(number, *unit)?)?;
        rest = after;
    }
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|nanoseconds| i64::try_from(*nanoseconds).is_ok())?;
    let is_read = text.len() > usize::from(text.starts_with(['-', '+']));
    is_read.then(|| if is_negative { Duration::ZERO } else { Duration::from_nanos(nanoseconds) })
}

/// A number with a fraction or none, times the unit.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Eighteen digits are more than an hour has nanoseconds.
    let fraction: String = fraction.chars().take(18).collect();
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u128>().ok()?.checked_mul(unit)? / 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?
    };
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn every(text: &str, seconds: Option<u64>) {
        let read = parse(&format!("@every {text}"), &TimeZone::UTC).ok();
        assert_eq!(read, seconds.map(|seconds| PollTimes::Every(Duration::from_secs(seconds))), "{text:?}");
    }

    #[test]
    fn every_takes_a_duration_of_go() {
        for (text, seconds) in
            [("10m", 600), ("1h30m", 5_400), ("1.5h", 5_400), ("90s", 90), ("1m0.9s", 60), ("2h45m30s", 9_930), (".5m", 30)]
        {
            every(text, Some(seconds));
        }
        for text in ["500ms", "0", "-5m", "1ns", "0s", "+1s", "999ms", "1000µs"] {
            every(text, Some(1));
        }
        for text in ["", "10", "1d", "5 m", "m", ".s", "1.2.3s", "--1s", "10M", "-", "9999999999h", " 10m"] {
            every(text, None);
        }
    }

    #[track_caller]
    fn word(text: &str, fields: &str) {
        assert_eq!(parse(text, &TimeZone::UTC), Ok(PollTimes::Cron(Cron::parse_keel(fields, TimeZone::UTC).unwrap())), "{text}");
    }

    #[test]
    fn words_and_fields_are_read_and_nothing_else() {
        word("@daily", "0 0 0 * * ?");
        word("@midnight", "0 0 0 * *");
        word("@hourly", "0 0 * * *");
        word("@weekly", "0 0 0 * * sun");
        word("@yearly", "0 0 0 1 jan");
        word("0 3 * * *", "0 3 * * * *");
        for text in ["", "@reboot", "@Daily", "@every", "@every10m", "10m", "0 3 * *", "TZ=UTC 0 0 3 * * *"] {
            assert!(parse(text, &TimeZone::UTC).is_err(), "{text:?}");
        }
    }
}

//! Lengths of time as people write them: `10s`, `5m`, `1h30m`, `30d`.
//!
//! One grammar for directives, configuration, command line and API. No fractions and no calendar units: a day is 24 hours.

use std::time::Duration;

/// The longest duration accepted: ten years. Longer ones are slips of the keyboard, and adding them to a time could overflow.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// The units, longest first, with their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form described above.
    #[error("not a duration: expected whole numbers with a unit each, longest unit first, such as 10s, 5m, 1h30m or 30d")]
    Form,
    /// Longer than [`parse`] accepts.
    #[error("longer than ten years")]
    TooLong,
}

/// Reads a duration. `0s` is one; an empty text is none.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let (mut rest, mut total) = (text, 0_u64);
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit()).ok_or(DurationError::Form)?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.chars().next().ok_or(DurationError::Form)?;
        // `find` goes on where it stopped, so that a unit comes at most once and after the longer ones.
        let (_, seconds) = units.find(|(name, _)| *name == unit).ok_or(DurationError::Form)?;
        if number.is_empty() {
            return Err(DurationError::Form);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        total = number.checked_mul(*seconds).and_then(|part| total.checked_add(part)).ok_or(DurationError::TooLong)?;
        rest = tail.get(unit.len_utf8()..).unwrap_or_default();
    }
    match Duration::from_secs(total) {
        _ if text.is_empty() => Err(DurationError::Form),
        duration if duration > LONGEST => Err(DurationError::TooLong),
        duration => Ok(duration),
    }
}

/// Writes a duration the way [`parse`] reads it, whole seconds only.
pub fn write(duration: Duration) -> String {
    let mut left = duration.as_secs();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, seconds) in UNITS {
        if left >= seconds {
            text.push_str(&(left / seconds).to_string());
            text.push(unit);
            left %= seconds;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(parse(text).ok(), seconds.map(Duration::from_secs), "{text:?}");
    }

    #[test]
    fn durations_are_whole_numbers_with_units_longest_first() {
        for (text, seconds) in
            [("0s", 0), ("10s", 10), ("5m", 300), ("1h30m", 5_400), ("30d", 2_592_000), ("1d1h1m1s", 90_061), ("90m", 5_400)]
        {
            check(text, Some(seconds));
        }
        for text in ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "30m1h", "1h1h", "5w", "5mm", "5m ", "٥m", "1h30"] {
            check(text, None);
        }
    }

    #[test]
    fn absurd_lengths_are_refused_and_do_not_overflow() {
        for text in ["3651d", "18446744073709551615d", "99999999999999999999999s", "18446744073709551615s"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
        check("3650d", Some(315_360_000));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1, 59, 60, 3_600, 5_400, 86_400, 90_061, 315_360_000] {
            check(&write(Duration::from_secs(seconds)), Some(seconds));
        }
    }
}

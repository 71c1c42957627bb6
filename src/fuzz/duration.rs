//! Durations: what is read is written, and what is written is read as the same.

use std::time::Duration;

use super::{Target, assert_told_well, text, variant};
use crate::core::duration::{parse, write};

pub const TARGET: Target = Target {
    pieces: &[
        "0",
        "1",
        "9",
        "10",
        "59",
        "60",
        "90",
        "3650",
        "d",
        "h",
        "m",
        "s",
        "1h30m",
        "30d",
        "0s",
        "18446744073709551615",
        "w",
        "-",
        "+",
        ".",
        " ",
    ],
    check,
    expected: &["read", "Form", "TooLong"],
};

const TEN_YEARS: Duration = Duration::from_hours(10 * 365 * 24);

fn check(input: &[u8]) -> String {
    let text = text(input);
    let duration = match parse(&text) {
        Ok(duration) => duration,
        Err(error) => {
            assert_told_well(&error.to_string());
            return variant(&error);
        }
    };
    assert!(duration <= TEN_YEARS);
    // The sum of its parts, with numbers that hold any text of this length.
    let mut total = 0_u128;
    for part in text.split_inclusive(|character: char| character.is_ascii_alphabetic()) {
        let (number, unit) = part.split_at(part.len() - 1);
        let seconds = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            _ => 1,
        };
        total += number.parse::<u128>().unwrap() * seconds;
    }
    assert_eq!(u128::from(duration.as_secs()), total);
    let written = write(duration);
    assert_eq!(parse(&written), Ok(duration), "{written}");
    assert_eq!(write(parse(&written).unwrap()), written);
    "read".to_owned()
}

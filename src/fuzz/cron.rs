//! Cron expressions: the next time is later, is one of the expression's, in its zone, and none was passed over.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::{Target, assert_told_well, text, variant};
use crate::core::cron::Cron;

pub const TARGET: Target = Target {
    pieces: &[
        "*",
        "?",
        "/",
        "-",
        ",",
        " ",
        "*/5",
        "0",
        "1",
        "5",
        "7",
        "12",
        "23",
        "29",
        "31",
        "59",
        "60",
        "jan",
        "feb",
        "DEC",
        "mon",
        "Sun",
        "mon-fri",
        "0 3 * * *",
        "* * * * *",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "UTC",
        "Pacific/Apia",
        "\n",
        "+",
        "@daily",
        "L",
        "#",
        "W",
    ],
    check,
    expected: &["read", "Fields", "Field", "Zone", "Never"],
};

/// The first line is an expression; the second, in seconds, the time after which it is asked.
fn check(input: &[u8]) -> String {
    let text = text(input);
    let mut lines = text.split('\n');
    let expression = lines.next().unwrap_or_default();
    let seconds = lines.next().and_then(|line| line.parse::<i64>().ok()).unwrap_or(1_795_000_000);
    // From 1970 to 2200: what is asked in earnest is now.
    let after = Timestamp::from_second(seconds.rem_euclid(7_258_118_400)).unwrap();
    if let Ok(keel) = Cron::parse_keel(expression, TimeZone::get("Europe/Berlin").unwrap())
        && let Some(next) = keel.next(after)
    {
        assert!(next > after, "Keel's form: {next} is not after {after}");
    }
    let cron = match Cron::parse(expression) {
        Ok(cron) => cron,
        Err(error) => {
            assert_told_well(&error.to_string());
            return variant(&error);
        }
    };
    let again = Cron::parse(&cron.to_string()).unwrap();
    assert_eq!((again.to_string(), &again), (cron.to_string(), &cron), "what is shown is read as the same");
    let Some(next) = cron.next(after) else { return "never again".to_owned() };
    assert!(next > after, "{next} is not after {after}");
    // Whatever moment between is asked about, the answer is the same.
    let between = after + SignedDuration::from_secs((next.as_second() - after.as_second()) / 2);
    if between < next {
        assert_eq!(cron.next(between), Some(next), "asked at {between}, between {after} and {next}");
    }
    let words: Vec<&str> = expression.split_whitespace().collect();
    let zone = words.get(5).map_or(TimeZone::UTC, |name| TimeZone::get(name).unwrap());
    let local = next.to_zoned(zone);
    if is_far_from_a_change_of_clocks(&local) {
        assert!(is_of(&words, &local), "{expression} does not name {local}");
    }
    "read".to_owned()
}

/// An hour that is left out is made up for, and one that comes twice counts once: neither is the expression's.
fn is_far_from_a_change_of_clocks(local: &Zoned) -> bool {
    let away = |hours| local.checked_add(SignedDuration::from_hours(hours)).map(|there| there.offset());
    [-26, 26].into_iter().all(|hours| away(hours).is_ok_and(|offset| offset == local.offset()))
}

/// Whether the expression names this minute: every field by itself, and of the two days either where both are restricted.
fn is_of(words: &[&str], local: &Zoned) -> bool {
    let names = |at: usize, value: i8, least: i8, most: i8| {
        words[at].split(',').filter(|part| !part.is_empty()).any(|part| {
            let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse::<i16>().unwrap_or(i16::MAX)));
            let (low, high) = match range.split_once('-') {
                _ if matches!(range, "*" | "?") => (least, most),
                Some((low, high)) => (number(low), number(high)),
                None if part.contains('/') => (number(range), most),
                None => (number(range), number(range)),
            };
            (low..=high).contains(&value) && i16::from(value - low) % step == 0
        })
    };
    let weekday = local.weekday().to_sunday_zero_offset();
    let day = names(2, local.day(), 1, 31);
    let weekday = names(4, weekday, 0, 7) || (weekday == 0 && names(4, 7, 0, 7));
    let is_open = |at: usize| words[at].split(',').any(|part| part.starts_with(['*', '?']));
    let days = if is_open(2) || is_open(4) { day && weekday } else { day || weekday };
    local.second() == 0 && names(0, local.minute(), 0, 59) && names(1, local.hour(), 0, 23) && names(3, local.month(), 1, 12) && days
}

fn number(text: &str) -> i8 {
    let named =
        |names: &[&str], first: i8| names.iter().zip(first..).find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| value);
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    named(&months, 1).or_else(|| named(&weekdays, 0)).unwrap_or_else(|| text.parse().unwrap())
}

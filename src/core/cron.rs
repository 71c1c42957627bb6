//! Cron expressions as values: `0 3 * * * Europe/Berlin`, and the seconds-first form of Keel.
//!
//! Fields are read here, so that a mistake names the field that it is in; the arithmetic of times, with the hours that a change of clocks
//! leaves out or repeats, is croner's. Without a zone times are UTC.
//!
//! When both day of month and day of week are restricted, either is enough, as in every cron; a field that begins with `*` is not restricted.

mod field;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::core::nearest::shown;
use field::{Bounds, Field};

/// The longest expression read, in bytes: five full lists are shorter.
const LENGTH_MAX: usize = 1024;
/// Where the first time is looked for: a schedule that has none after this has none at all.
const SEARCHED_FROM: Timestamp = Timestamp::UNIX_EPOCH;

const SECOND: Bounds = Bounds::of("second", 0, 59);
const MINUTE: Bounds = Bounds::of("minute", 0, 59);
const HOUR: Bounds = Bounds::of("hour", 0, 23);
const DAY: Bounds = Bounds::of("day of month", 1, 31);
const MONTH: Bounds = Bounds::named("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]);
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Sunday may be written 7.
const WEEKDAY: Bounds = Bounds::named("day of week", 0, 7, WEEKDAYS);
/// In Keel it may not.
const KEEL_WEEKDAY: Bounds = Bounds::named("day of week", 0, 6, WEEKDAYS);

/// Times that return by the calendar. Two are equal when they are the same times in the same zone, however they are written.
#[derive(Clone)]
pub struct Cron(Arc<Inner>);

struct Inner {
    /// What it was read from, the zone included.
    text: Box<str>,
    /// Every value of every field, and the zone: what makes two of them equal.
    key: Box<str>,
    cron: croner::Cron,
    zone: TimeZone,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Longer than is read.
    #[error("longer than {LENGTH_MAX} bytes")]
    TooLong,
    /// Too many or too few fields.
    #[error("{found} fields: expected {expected}")]
    Fields {
        /// How many there are.
        found: usize,
        /// Which there should be.
        expected: &'static str,
    },
    /// A field is wrong.
    #[error("{field}: {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No zone of that name.
    #[error("zone: there is no time zone `{0}`; write one such as Europe/Berlin, or nothing for UTC")]
    Zone(Box<str>),
    /// There is no such day.
    #[error("never comes: there is no such day")]
    Never,
}

impl Cron {
    /// Reads minute, hour, day of month, month and day of week, and after them a zone when there is one.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let expected = "minute, hour, day of month, month and day of week, and after them a zone if it is not UTC";
        let (fields, zone) = match split(text)?[..] {
            [minute, hour, day, month, weekday] => ([minute, hour, day, month, weekday], None),
            [minute, hour, day, month, weekday, zone] => ([minute, hour, day, month, weekday], Some(zone)),
            ref other => return Err(CronError::Fields { found: other.len(), expected }),
        };
        let [minute, hour, day, month, weekday] = fields;
        let zone = zone.map_or(Ok(TimeZone::UTC), |name| TimeZone::get(name).map_err(|_| CronError::Zone(shown(name).into())))?;
        let fields = [Field::only(0), MINUTE.read(minute)?, HOUR.read(hour)?, DAY.read(day)?, MONTH.read(month)?, WEEKDAY.read(weekday)?];
        Self::of(text, &fields, zone)
    }

    /// Reads Keel's form: seconds first, and the day of week may be left out.
    pub fn parse_keel(text: &str, zone: TimeZone) -> Result<Self, CronError> {
        let expected = "second, minute, hour, day of month, month and, if wanted, day of week: Keel's schedules begin with seconds";
        let fields = split(text)?;
        let [second, minute, hour, day, month, ref rest @ ..] = fields[..] else {
            return Err(CronError::Fields { found: fields.len(), expected });
        };
        let weekday = match rest {
            [] => "*",
            [weekday] => weekday,
            _ => return Err(CronError::Fields { found: fields.len(), expected }),
        };
        let fields = [
            SECOND.read_leniently(second)?,
            MINUTE.read_leniently(minute)?,
            HOUR.read_leniently(hour)?,
            DAY.read_leniently(day)?,
            MONTH.read_leniently(month)?,
            KEEL_WEEKDAY.read_leniently(weekday)?,
        ];
        Self::of(text, &fields, zone)
    }

    fn of(text: &str, fields: &[Field; 6], zone: TimeZone) -> Result<Self, CronError> {
        let [.., day, _, weekday] = fields;
        let pattern: Vec<_> = fields.iter().map(ToString::to_string).collect();
        let pattern = pattern.join(" ");
        let both = day.is_star() || weekday.is_star();
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).dom_and_dow(both).build();
        // Every field is a list of values within bounds by now.
        let cron = parser.parse(&pattern).map_err(|error| CronError::Field { field: "expression", problem: error.to_string() })?;
        let key = format!("{pattern} {both} {}", zone.iana_name().unwrap_or("local")).into();
        let cron = Self(Arc::new(Inner { text: text.trim().into(), key, cron, zone }));
        cron.next(SEARCHED_FROM).map(|_| cron.clone()).ok_or(CronError::Never)
    }

    /// The first time after `after`; `None` when there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.0.zone.clone());
        self.0.cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp())
    }
}

/// The fields of an expression.
fn split(text: &str) -> Result<Vec<&str>, CronError> {
    if text.len() > LENGTH_MAX {
        return Err(CronError::TooLong);
    }
    Ok(text.split_whitespace().collect())
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Cron {}

impl Hash for Cron {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

#[cfg(test)]
mod tests;

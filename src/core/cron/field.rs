//! One field of a cron expression: `*`, `5`, `1-5`, `mon,wed`, `*/15`, `10-50/20`, `5/20`.

use std::fmt;

use super::CronError;
use crate::core::nearest::shown;

/// What a field may hold.
pub struct Bounds {
    field: &'static str,
    least: u8,
    most: u8,
    /// The names of the values, from `least` on.
    names: &'static [&'static str],
}

/// The values of a field, one bit each.
pub struct Field {
    values: u64,
    is_star: bool,
}

impl Bounds {
    pub const fn of(field: &'static str, least: u8, most: u8) -> Self {
        Self::named(field, least, most, &[])
    }

    pub const fn named(field: &'static str, least: u8, most: u8, names: &'static [&'static str]) -> Self {
        Self { field, least, most, names }
    }

    /// Reads a field.
    pub fn read(&self, text: &str) -> Result<Field, CronError> {
        let mut field = Field { values: 0, is_star: false };
        // Empty parts are passed over, as Keel does; one of them alone is no field.
        for part in text.split(',').filter(|part| !part.is_empty()) {
            self.read_part(part, &mut field).map_err(|problem| CronError::Field { field: self.field, problem })?;
        }
        if field.values == 0 {
            return Err(CronError::Field { field: self.field, problem: "there is no value in it".to_owned() });
        }
        Ok(field)
    }

    /// Reads a field as Keel does: numbers may have a plus, and what a star ends at is passed over.
    pub fn read_leniently(&self, text: &str) -> Result<Field, CronError> {
        let parts: Vec<_> = text.split(',').map(strict).collect();
        self.read(&parts.join(","))
    }

    fn read_part(&self, part: &str, field: &mut Field) -> Result<(), String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
        let (low, high) = match (low, high) {
            ("*" | "?", None) => {
                field.is_star = true;
                (self.least, self.most)
            }
            (low, Some(high)) => (self.value(low)?, self.value(high)?),
            // A value with a step is the beginning of a range.
            (low, None) if step.is_some() => (self.value(low)?, self.most),
            (low, None) => (self.value(low)?, self.value(low)?),
        };
        if low > high {
            return Err(format!("`{}` ends before it begins", shown(part)));
        }
        let step = match step {
            None => 1,
            Some(step) => {
                digits(step).filter(|step| *step > 0).ok_or_else(|| format!("`{}` is no step: write a number from 1", shown(step)))?
            }
        };
        field.values |= (low..=high).step_by(step.into()).fold(0, |values, value| values | 1 << value);
        Ok(())
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let by_name = self.names.iter().zip(self.least..).find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| value);
        let value = by_name.or_else(|| digits(text)).filter(|value| (self.least..=self.most).contains(value));
        value.ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(", nor one of {first} to {last}"),
                _ => String::new(),
            };
            format!("`{}` is not a number from {} to {}{names}", shown(text), self.least, self.most)
        })
    }
}

/// A part of a field without what only Keel takes.
fn strict(part: &str) -> String {
    let (range, step) = part.split_once('/').map_or((part, ""), |(range, _)| part.split_at(range.len()));
    let without_plus = |number: &str| match number.strip_prefix('+') {
        Some(digits) if digits.starts_with(|character: char| character.is_ascii_digit()) => digits.to_owned(),
        _ => number.to_owned(),
    };
    let ends: Vec<_> = range.split('-').map(without_plus).collect();
    let range = if range.starts_with("*-") || range.starts_with("?-") { "*".to_owned() } else { ends.join("-") };
    let step = step.strip_prefix('/').map(|step| format!("/{}", without_plus(step))).unwrap_or_default();
    format!("{range}{step}")
}

/// A number of digits only; the ones that no field has become the largest.
fn digits(text: &str) -> Option<u8> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u8::MAX))
}

impl Field {
    /// A field with one value.
    pub fn only(value: u8) -> Self {
        Self { values: 1 << value, is_star: false }
    }

    /// Whether a part of it begins with `*`.
    pub fn is_star(&self) -> bool {
        self.is_star
    }
}

impl fmt::Display for Field {
    /// Every value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for value in (0..u64::BITS).filter(|value| self.values >> value & 1 == 1) {
            write!(f, "{separator}{value}")?;
            separator = ",";
        }
        Ok(())
    }
}

//! `numerical[:asc|desc]`: the greatest number, or the least. Numbers are exact decimals of any length.

use std::cmp::Ordering;
use std::sync::Arc;

use super::direction::Direction;
use super::natural::Natural;
use super::rank::{Floor, Judgement, Refusal};
use super::{Question, Read, TagPolicy, is_moving_name};

const NO_NUMBER: Refusal = Refusal::new("no decimal number");

/// `numerical`.
#[derive(Debug)]
struct Numerical(Direction);

/// A number as it is written: an optional sign, digits, and an optional fraction after a point.
#[derive(Clone, Copy, Debug)]
struct Decimal<'a> {
    is_negative: bool,
    /// Without leading zeros.
    whole: &'a str,
    /// Without zeros at its end.
    fraction: &'a str,
}

pub fn parse(argument: Option<&str>) -> Read {
    Ok(Arc::new(Numerical(Direction::parse("numerical", argument)?)))
}

impl TagPolicy for Numerical {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        let floor = question.current.and_then(|tag| Some(Floor { tag, place: Decimal::parse(tag)? }));
        // What runs is no number: the name must grow then as it is written, so that `v12` does not become `10`.
        let written = question.current.filter(|tag| floor.is_none() && !is_moving_name(tag)).map(Natural::of);
        self.0.rank(question, floor, |listed| {
            let place = Decimal::parse(listed.tag).ok_or(NO_NUMBER)?;
            let is_after = written.is_none_or(|written| self.0.is_after(&Natural::of(listed.tag), &written));
            if is_after { Ok(place) } else { Err(Refusal::NOT_NEWER) }
        })
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        Decimal::parse(candidate).zip(Decimal::parse(than)).is_some_and(|(candidate, than)| self.0.is_after(&candidate, &than))
    }
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { is_negative: is_negative && !is_zero, whole, fraction })
    }

    /// By value, without the sign.
    fn size(&self, other: &Self) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(other.whole));
        whole.then_with(|| self.fraction.cmp(other.fraction))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.size(other),
            (true, true) => other.size(self),
            (left, right) => right.cmp(&left),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::check_choice as check;

    #[test]
    fn decimals_are_compared_exactly() {
        let ascending = [
            "-10",
            "-9.5",
            "-9.49",
            "-0.1",
            "0",
            "0.09",
            "0.1",
            "0.10000000000000000000000000000001",
            "1",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "123456789012345678901234567890",
            "123456789012345678901234567890.5",
        ];
        let number = |text| Decimal::parse(text).unwrap();
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(number(left).cmp(&number(right)), at.cmp(&other), "{left} and {right}");
            }
        }
        for (left, right) in [("1", "1.0"), ("01", "1"), ("-0", "0"), ("+5", "5"), ("0.50", "0.5"), ("-0.0", "+0")] {
            assert_eq!(number(left), number(right), "{left} {right}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_passed_over() {
        for text in
            ["", "-", "+", ".", "5.", ".5", "1.2.3", "1e5", "0x10", "1_000", "--1", "+-1", "NaN", "inf", "٣", " 1", "1 ", "1a", "v1"]
        {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
        check("numerical", None, "0 1a b", Some("0"));
        check("numerical", None, "a b", None);
    }

    #[test]
    fn the_last_or_the_first_is_chosen() {
        let numbers = "5 -8 -78 25 70 -4 80 92 -20 -24";
        check("numerical", None, numbers, Some("92"));
        check("numerical:asc", None, numbers, Some("92"));
        check("numerical:desc", None, numbers, Some("-78"));
        check("numerical", None, "1.0 1 01", Some("1.0"));
        check("numerical:desc", None, "1.0 1 01", Some("1.0"));
    }

    #[test]
    fn it_never_goes_back_in_its_own_direction() {
        check("numerical", Some("10"), "9 10 10.0", None);
        check("numerical", Some("10"), "9 10.5 11", Some("11"));
        check("numerical:desc", Some("10"), "10 11", None);
        check("numerical:desc", Some("10"), "9 8 11", Some("8"));
    }

    #[test]
    fn a_current_tag_that_is_no_number() {
        check("numerical", Some("latest"), "9 10", Some("10"));
        check("numerical:desc", Some("latest"), "9 10", Some("9"));
        check("numerical", Some("2024.01.15"), "20240116 20240117", Some("20240117"));
        check("numerical", Some("v12"), "10 11", None);
    }
}

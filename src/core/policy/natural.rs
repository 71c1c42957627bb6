//! The order in which people read names: numbers by value, everything else byte by byte.
//!
//! `build-9` comes before `build-10`, whatever the length of the numbers; leading zeros do not count. It is no order of versions: a longer name comes
//! after its beginning, so `1.0.0-rc.1` after `1.0.0`.

use std::cmp::Ordering;

/// A name, compared in natural order. Names that differ in leading zeros only are equal.
#[derive(Clone, Copy, Debug)]
pub struct Natural<'a>(pub &'a [u8]);

impl<'a> Natural<'a> {
    /// The whole tag.
    pub fn of(tag: &'a str) -> Self {
        Self(tag.as_bytes())
    }
}

impl Ord for Natural<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = differing(self.0, other.0);
        loop {
            match (left, right) {
                ([a, ..], [b, ..]) if a.is_ascii_digit() && b.is_ascii_digit() => {
                    let order;
                    (order, left, right) = by_number(left, right);
                    if order.is_ne() {
                        return order;
                    }
                }
                ([a, after_a @ ..], [b, after_b @ ..]) if a == b => (left, right) = (after_a, after_b),
                (left, right) => return left.first().cmp(&right.first()),
            }
        }
    }
}

/// Both texts without the most of what they begin with alike, which tags of one repository mostly do. A number is not cut in two.
fn differing<'a, 'b>(left: &'a [u8], right: &'b [u8]) -> (&'a [u8], &'b [u8]) {
    const STEP: usize = 8;
    let (eights, _) = left.as_chunks::<STEP>();
    let alike = eights.iter().zip(right.as_chunks().0).take_while(|(left, right)| left == right).count() * STEP;
    let digits = left.iter().take(alike).rev().take_while(|byte| byte.is_ascii_digit()).count();
    let from = alike - digits;
    (left.get(from..).unwrap_or_default(), right.get(from..).unwrap_or_default())
}

/// How the numbers compare that both begin with, and what follows them where they are equal.
fn by_number<'a, 'b>(left: &'a [u8], right: &'b [u8]) -> (Ordering, &'a [u8], &'b [u8]) {
    let (mut left, mut right) = (without_zeros(left), without_zeros(right));
    let mut order = Ordering::Equal;
    loop {
        match (left, right) {
            ([a, after_a @ ..], [b, after_b @ ..]) if a.is_ascii_digit() && b.is_ascii_digit() => {
                (order, left, right) = (order.then(a.cmp(b)), after_a, after_b);
            }
            ([a, ..], _) if a.is_ascii_digit() => return (Ordering::Greater, left, right),
            (_, [b, ..]) if b.is_ascii_digit() => return (Ordering::Less, left, right),
            _ => return (order, left, right),
        }
    }
}

fn without_zeros(mut text: &[u8]) -> &[u8] {
    while let [b'0', after @ ..] = text {
        text = after;
    }
    text
}

impl PartialOrd for Natural<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Natural<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Natural<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_ascending(names: &[&str]) {
        for (at, left) in names.iter().enumerate() {
            for (other, right) in names.iter().enumerate() {
                assert_eq!(Natural::of(left).cmp(&Natural::of(right)), at.cmp(&other), "{left} and {right}");
            }
        }
    }

    #[test]
    fn numbers_are_compared_by_value_and_the_rest_by_bytes() {
        check_ascending(&["", "0", "2", "10", "10.1", "10a", "a", "a2", "a10", "a10-", "a10b", "b1", "é"]);
        check_ascending(&["build-9", "build-10", "build-10-1", "build-10-rc", "build-10.1", "builds"]);
        check_ascending(&["release-9", "release-10", "release-100000009", "release-100000010", "release-100000010-", "release-1000000100"]);
        check_ascending(&["v1.2.9", "v1.2.10", "v1.10.0", "v2"]);
        let long = |last: char| format!("x{}{last}", "9".repeat(100));
        check_ascending(&["x18446744073709551616", &long('1'), &long('2')]);
    }

    #[test]
    fn leading_zeros_do_not_count() {
        for (left, right) in [("2024.01.02", "2024.1.2"), ("0", "000"), ("a00b", "a0b"), ("x", "x")] {
            assert_eq!(Natural::of(left), Natural::of(right), "{left} {right}");
        }
        assert!(Natural::of("a0") > Natural::of("a"));
    }
}

//! Natural order: texts compare byte by byte, but a run of digits counts as the number it writes.
//!
//! `rc9` comes before `rc10`, and `r2` before `r11`, as a person reads them; byte order has both the other way round.

use std::cmp::Ordering;

/// Compares in natural order. Texts that differ only in leading zeros of a number are equal.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        let (left_number, right_number) = (digits(left), digits(right));
        if !left_number.is_empty() && !right_number.is_empty() {
            let order = compare_numbers(left_number, right_number);
            if order.is_ne() {
                return order;
            }
            left = left.get(left_number.len()..).unwrap_or_default();
            right = right.get(right_number.len()..).unwrap_or_default();
        } else {
            match (left.split_first(), right.split_first()) {
                (Some((a, left_rest)), Some((b, right_rest))) if a == b => (left, right) = (left_rest, right_rest),
                (a, b) => return a.map(|(byte, _)| byte).cmp(&b.map(|(byte, _)| byte)),
            }
        }
    }
}

/// Compares two runs of digits as the numbers they write, of any length.
pub fn compare_numbers(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (without_zeros(left), without_zeros(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|digit| **digit == b'0').count();
    number.get(zeros..).unwrap_or_default()
}

/// The digits that `text` begins with.
fn digits(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ascending: &[&str]) {
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), at.cmp(&other), "{left} and {right}");
            }
        }
    }

    #[test]
    fn runs_of_digits_count_as_numbers() {
        check(&["", "build-2", "build-9", "build-10", "build-10-1", "build-10a", "build-a"]);
        check(&["debian-12-r2", "debian-12-r9", "debian-12-r10", "debian-13-r0"]);
        check(&["1", "9", "18446744073709551616", "18446744073709551617", "a"]);
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(compare("r01", "r1"), Ordering::Equal);
        assert_eq!(compare("r000", "r0"), Ordering::Equal);
        assert_eq!(compare("r02", "r1"), Ordering::Greater);
    }

    #[test]
    fn the_order_is_transitive_on_mixed_texts() {
        let texts = ["", "-", "-1", "0", "01", "1", "1-", "1a", "10", "a", "a-", "a-1", "a1", "a01b", "a1c", "é", "é1"];
        for a in texts {
            for b in texts {
                assert_eq!(compare(a, b), compare(b, a).reverse(), "{a:?} {b:?}");
                for c in texts {
                    if compare(a, b).is_le() && compare(b, c).is_le() {
                        assert!(compare(a, c).is_le(), "{a:?} {b:?} {c:?}");
                    }
                }
            }
        }
    }
}

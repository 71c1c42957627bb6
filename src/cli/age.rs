//! How long ago something was, in one short word: `12s`, `5m`, `3h`, `2d`.

use jiff::Timestamp;

/// The age of `then`; `0s` when it is not over yet, as clocks of two machines differ.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    span(now.duration_since(then).as_secs())
}

/// How far away `then` is: `in 5m`, or `over`.
pub fn left(then: Timestamp, now: Timestamp) -> String {
    match then.duration_since(now).as_secs() {
        seconds if seconds > 0 => format!("in {}", span(seconds)),
        _ => "over".to_owned(),
    }
}

/// The two largest units are told apart only while it matters: `119s` says more than `1m`, `47h` more than `1d`.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[track_caller]
    fn check(seconds: i64, expected: &str) {
        let then = Timestamp::UNIX_EPOCH;
        assert_eq!(age(then, then + SignedDuration::from_secs(seconds)), expected);
    }

    #[test]
    fn ages_are_one_short_word() {
        for (seconds, expected) in [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")] {
            check(seconds, expected);
        }
        check(60 * 86_400, "60d");
    }

    #[test]
    fn what_is_to_come_is_told_from_what_is_over() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(left(now + SignedDuration::from_secs(300), now), "in 5m");
        assert_eq!(left(now, now), "over");
    }
}

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn times(cron: &Cron, after: &str, expected: &[&str]) {
    let mut last = at(after);
    for expected in expected {
        last = cron.next(last).unwrap();
        assert_eq!(last, at(expected), "{cron}");
    }
}

#[track_caller]
fn check(text: &str, after: &str, expected: &[&str]) {
    times(&Cron::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")), after, expected);
}

#[track_caller]
fn keel(text: &str, after: &str, expected: &[&str]) {
    times(&Cron::parse_keel(text, TimeZone::UTC).unwrap_or_else(|error| panic!("{text}: {error}")), after, expected);
}

#[track_caller]
fn wrong(text: &str, expected: &str) {
    let error = Cron::parse(text).unwrap_err().to_string();
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn five_fields_begin_with_the_minute() {
    check("0 3 * * *", "2026-01-31T04:00:00Z", &["2026-02-01T03:00:00Z", "2026-02-02T03:00:00Z"]);
    check("*/20 * * * *", "2026-01-01T00:00:01Z", &["2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z", "2026-01-01T01:00:00Z"]);
    check(
        "5/25 1-2 * * *",
        "2026-01-01T00:00:00Z",
        &["2026-01-01T01:05:00Z", "2026-01-01T01:30:00Z", "2026-01-01T01:55:00Z", "2026-01-01T02:05:00Z"],
    );
    check("0 0 29 feb *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    check(" 0  9 * * Mon,WED ", "2026-11-27T00:00:00Z", &["2026-11-30T09:00:00Z", "2026-12-02T09:00:00Z"]);
    check("0 0 * * 7", "2026-11-27T00:00:00Z", &["2026-11-29T00:00:00Z"]);
    check("0 0 * * 0", "2026-11-27T00:00:00Z", &["2026-11-29T00:00:00Z"]);
    check("0 0 ? 1-12/6 ?", "2026-01-30T23:59:59Z", &["2026-01-31T00:00:00Z", "2026-07-01T00:00:00Z"]);
}

#[test]
fn of_two_restricted_days_either_is_enough() {
    check("0 0 1 * mon", "2026-11-27T00:00:00Z", &["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z", "2026-12-07T00:00:00Z"]);
    check("0 0 */2 * mon", "2026-11-27T00:00:00Z", &["2026-12-07T00:00:00Z"]);
    check("0 0 1 * *", "2026-11-27T00:00:00Z", &["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]);
}

#[test]
fn a_zone_moves_the_times_and_keeps_them_through_a_change_of_clocks() {
    check("0 3 * * * Europe/Berlin", "2026-03-27T12:00:00Z", &["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]);
    // The half hour is left out on the 29th of March, and comes with the first moment after it.
    let berlin = Cron::parse("30 2 * * * Europe/Berlin").unwrap();
    let next = berlin.next(at("2026-03-28T12:00:00Z")).unwrap();
    assert!((at("2026-03-29T01:00:00Z")..=at("2026-03-30T00:30:00Z")).contains(&next), "{next}");
    check("0 12 * * * UTC", "2026-03-28T12:00:00Z", &["2026-03-29T12:00:00Z"]);
}

#[test]
fn keel_begins_with_the_second() {
    keel("0 3 * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:03:00Z", "2026-01-01T01:03:00Z"]);
    keel("0 0 3 * * *", "2026-01-01T00:00:00Z", &["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"]);
    keel("*/30 * * * *", "2026-01-01T00:00:00Z", &["2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"]);
    keel("0 0 0 ? * Mon-Fri", "2026-11-27T12:00:00Z", &["2026-11-30T00:00:00Z"]);
    keel("+5 0 3-+4/+1 *-9 *", "2026-01-01T00:00:00Z", &["2026-01-01T03:00:05Z", "2026-01-01T04:00:05Z", "2026-01-02T03:00:05Z"]);
    wrong("+5 * * * *", "minute: `+5` is not a number");
    for text in ["* * * *", "* * * * * * *", "0 0 0 * * 7", "@reboot", "60 * * * *", "", "TZ=UTC 0 0 3 * * *"] {
        assert!(Cron::parse_keel(text, TimeZone::UTC).is_err(), "{text}");
    }
}

#[test]
fn a_mistake_names_its_field() {
    wrong("61 * * * *", "minute: `61` is not a number from 0 to 59");
    wrong("* 24 * * *", "hour: `24`");
    wrong("* * 0 * *", "day of month: `0` is not a number from 1 to 31");
    wrong("* * * foo *", "month: `foo` is not a number from 1 to 12, nor one of jan to dec");
    wrong("* * * * 8", "day of week: `8`");
    wrong("*/0 * * * *", "minute: `0` is no step");
    wrong("5-1 * * * *", "minute: `5-1` ends before it begins");
    wrong("1-2-3 * * * *", "minute: `2-3` is not a number");
    wrong(", * * * *", "minute: there is no value in it");
    wrong("-1 * * * *", "minute: `` is not a number");
    wrong("0 3 * * * Europe/Atlantis", "zone: there is no time zone `Europe/Atlantis`");
    wrong("0 3 * *", "4 fields: expected minute, hour");
    wrong("0 3 * * * UTC x", "7 fields");
    wrong("0 0 31 2,4 *", "never comes");
    wrong(&"1,".repeat(600), "longer than 1024 bytes");
}

#[test]
fn the_same_times_are_equal_however_they_are_written() {
    let cron = |text| Cron::parse(text).unwrap();
    assert_eq!(cron("*/30 * * * *"), cron("0,30 * * * * UTC"));
    assert_ne!(cron("0 3 * * *"), cron("0 3 * * * Europe/Berlin"));
    assert_eq!(cron(" 0 3 * * * ").to_string(), "0 3 * * *");
}

#[test]
fn the_next_time_is_later_and_matches_for_every_expression() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut found = 0;
    for _ in 0..2_000 {
        let field = |least: u8, most: u8, random: &mut fastrand::Rng| match random.u8(..4) {
            0 => format!("{}", random.u8(least..=most)),
            1 => format!("*/{}", random.u8(1..=9)),
            _ => "*".to_owned(),
        };
        let [minute, hour, day, month, weekday] =
            [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)].map(|(least, most)| field(least, most, &mut random));
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let Ok(cron) = Cron::parse(&text) else { continue };
        let after = Timestamp::from_second(random.i64(0..4_000_000_000)).unwrap();
        let Some(next) = cron.next(after) else { continue };
        found += 1;
        let zoned = next.to_zoned(TimeZone::UTC);
        assert!(next > after && zoned.second() == 0, "{text}: {after} {next}");
        if let Ok(minute) = minute.parse::<i8>() {
            assert_eq!(zoned.minute(), minute, "{text}");
        }
        if let Ok(hour) = hour.parse::<i8>() {
            assert_eq!(zoned.hour(), hour, "{text}");
        }
        if let Ok(month) = month.parse::<i8>() {
            assert_eq!(zoned.month(), month, "{text}");
        }
    }
    assert!(found > 1_500, "{found}");
}

use super::*;

const ANN: Access = Access::Anonymous;

fn moment(seconds: u64) -> Moment {
    let steady = Duration::from_secs(seconds);
    Moment { wall: after(Timestamp::from_second(1_700_000_000).unwrap(), steady), steady }
}

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

/// A record whose sights are so many seconds old at [`moment`] 1000.
fn record(sights: &[(&str, &str, char, u64)]) -> Record {
    let mut record = Record::new();
    for (name, text, digit, age) in sights {
        let seen = Seen { digest: digest(*digit), at: moment(1_000 - age).wall };
        record.entry(repository(name)).or_default().insert(tag(text), seen);
    }
    record
}

fn opened(record: Record) -> FirstSights {
    let sights = FirstSights::default();
    sights.keep_durably();
    sights.adopt(Kept { record, unreadable: vec![] }, moment(1_000));
    sights
}

/// A look finds these tags at these digests.
fn look(sights: &FirstSights, name: &str, access: &Access, found: &[(&str, char)], second: u64) {
    let (repository, now) = (repository(name), moment(second));
    let mut looked = Looked { looks: 1, ..Looked::default() };
    for (text, digit) in found {
        let sight = sights.sight(&repository, &tag(text), &digest(*digit), now);
        looked.tags.insert(tag(text), (sight, 1));
    }
    sights.keep(&repository, access, looked, now);
}

fn age(sights: &FirstSights, name: &str, text: &str, digit: char, second: u64) -> Option<i64> {
    sights.age(&repository(name), &tag(text), &digest(digit), moment(second).steady).map(|age| age.as_secs())
}

/// What is written when that is due, as `repository tag` with the age at second 1000.
#[track_caller]
fn written(sights: &FirstSights, second: u64) -> Option<Vec<String>> {
    let now = moment(second);
    if !sights.begin(now.wall) {
        return None;
    }
    let mut state = sights.state();
    let record = state.record(|_, _| true, now);
    let lines = record.iter().flat_map(|(repository, seen)| {
        let line = move |(tag, seen): (&Tag, &Seen)| {
            format!("{} {tag} {}", repository.path(), moment(1_000).wall.duration_since(seen.at).as_secs())
        };
        seen.iter().map(line)
    });
    let lines = lines.collect();
    state.written(Ok(record), 0, now);
    Some(lines)
}

#[test]
fn a_look_costs_a_write_only_when_something_is_new() {
    let sights = opened(Record::new());
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a')], 1_000);
    look(&sights, "acme/api", &ANN, &[("2.0.0", 'b')], 1_003);
    assert_eq!(written(&sights, 1_004), None, "others may come");
    assert_eq!(written(&sights, 1_005).unwrap(), ["acme/api 2.0.0 -3", "acme/web 1.1.0 0"]);
    for second in [1_010, 1_300, 4_000] {
        look(&sights, "acme/web", &ANN, &[("1.1.0", 'a')], second);
        look(&sights, "acme/none", &ANN, &[], second);
        assert_eq!(written(&sights, second + 100), None);
    }
    look(&sights, "acme/web", &ANN, &[], 5_000);
    assert_eq!(written(&sights, 5_005).unwrap(), ["acme/api 2.0.0 -3"], "what runs by now is let go of");
}

#[test]
fn what_was_recorded_is_known_at_the_first_look_and_a_moved_tag_begins_anew() {
    let sights = opened(record(&[("acme/web", "1.1.0", 'a', 500), ("acme/web", "1.2.0", 'b', 400), ("acme/api", "2.0.0", 'c', 300)]));
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a'), ("1.2.0", 'd')], 1_010);
    assert_eq!(age(&sights, "acme/web", "1.1.0", 'a', 1_010), Some(510));
    assert_eq!(age(&sights, "acme/web", "1.2.0", 'd', 1_010), Some(0));
    assert_eq!(age(&sights, "acme/web", "1.2.0", 'b', 1_010), None);
    assert_eq!(
        written(&sights, 1_015).unwrap(),
        ["acme/api 2.0.0 300", "acme/web 1.1.0 500", "acme/web 1.2.0 -10"],
        "what nobody looked at stays"
    );
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a'), ("1.2.0", 'b')], 1_020);
    assert_eq!(age(&sights, "acme/web", "1.2.0", 'b', 1_020), Some(0), "moved back it begins anew, too");
}

#[test]
fn what_is_seen_with_one_access_is_as_old_with_another() {
    let sights = opened(Record::new());
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a')], 1_000);
    look(&sights, "acme/web", &Access::Configured(0), &[("1.1.0", 'a')], 1_100);
    assert_eq!(age(&sights, "acme/web", "1.1.0", 'a', 1_200), Some(200));
    look(&sights, "acme/web", &ANN, &[], 1_300);
    assert_eq!(written(&sights, 1_400).unwrap(), ["acme/web 1.1.0 0"], "one of them still waits for it");
}

#[test]
fn what_was_seen_before_the_record_could_be_read_has_the_earlier_sight() {
    let sights = FirstSights::default();
    sights.keep_durably();
    sights.state().access = RecordAccess::Refused(Duration::ZERO);
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a'), ("1.2.0", 'b')], 990);
    assert_eq!(written(&sights, 999), None, "what may not be read is not written over");
    sights.adopt(
        Kept { record: record(&[("acme/web", "1.1.0", 'a', 500), ("acme/web", "1.2.0", 'd', 500)]), unreadable: vec![] },
        moment(1_000),
    );
    assert_eq!((age(&sights, "acme/web", "1.1.0", 'a', 1_000), age(&sights, "acme/web", "1.2.0", 'b', 1_000)), (Some(500), Some(10)));
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a'), ("1.2.0", 'b')], 1_001);
    assert_eq!(written(&sights, 1_010).unwrap(), ["acme/web 1.1.0 500", "acme/web 1.2.0 10"]);
}

#[test]
fn what_could_not_be_read_is_told_for_an_hour_and_written_over() {
    let sights = FirstSights::default();
    sights.keep_durably();
    sights.adopt(Kept { record: record(&[("acme/web", "1.1.0", 'a', 5)]), unreadable: vec!["one".into(); 5] }, moment(1_000));
    let told = sights.troubles(moment(1_001).wall);
    assert!(told.len() == 1 && told[0].ends_with("one; one; one and 2 more"), "{told:?}");
    assert_eq!(written(&sights, 1_005).unwrap(), ["acme/web 1.1.0 5"]);
    assert_eq!(sights.troubles(moment(1_000 + 3_600).wall), Vec::<String>::new());
}

#[test]
fn a_write_that_fails_is_told_and_made_again_until_it_is_taken() {
    let sights = opened(Record::new());
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a')], 1_000);
    assert!(sights.begin(moment(1_005).wall));
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a'), ("1.2.0", 'b')], 1_006);
    sights.state().written(Err(Failure::forbidden("not allowed")), 0, moment(1_007));
    assert!(sights.troubles(moment(1_007).wall)[0].contains("cannot be written: not allowed"));
    assert_eq!(written(&sights, 1_100).unwrap().len(), 2);
    assert_eq!((sights.troubles(moment(1_100).wall), sights.deadline()), (vec![], None));
}

/// What looks do while a write is under way is written afterwards, and only where it differs from what was just written.
#[test]
fn what_a_look_finds_while_the_record_is_written_costs_a_write_only_when_it_is_new() {
    for (found, lines) in [
        (&[("1.1.0", 'a')][..], None),
        (&[("1.1.0", 'a'), ("1.2.0", 'b')], Some(vec!["acme/web 1.1.0 0", "acme/web 1.2.0 -6"])),
        (&[], Some(vec![])),
    ] {
        let sights = opened(record(&[]));
        look(&sights, "acme/web", &ANN, &[("1.1.0", 'a')], 1_000);
        assert!(sights.begin(moment(1_005).wall));
        let being_written = sights.state().record(|_, _| true, moment(1_005));
        look(&sights, "acme/web", &ANN, found, 1_006);
        sights.state().written(Ok(being_written), 0, moment(1_007));
        assert_eq!(written(&sights, 1_100), lines.map(|lines| lines.iter().map(ToString::to_string).collect()), "{found:?}");
    }
}

#[test]
fn without_a_record_there_is_nothing_to_write() {
    let sights = FirstSights::default();
    look(&sights, "acme/web", &ANN, &[("1.1.0", 'a')], 1_000);
    assert_eq!((sights.deadline(), age(&sights, "acme/web", "1.1.0", 'a', 1_060)), (None, Some(60)));
}

/// A look at which all could be read finds these tags at these digests; the repository is used with these accesses.
fn whole_look(sights: &FirstSights, access: &Access, found: &[(&str, char)], used: &[Access], second: u64) {
    look(sights, "acme/web", access, found, second);
    sights.state().looked.get_mut(&(repository("acme/web"), access.clone())).unwrap().is_whole = true;
    sights.settle(&repository("acme/web"), || used.to_vec(), moment(second));
}

#[test]
fn what_was_recorded_stays_until_each_access_had_its_look() {
    let (other, used) = (Access::Configured(0), [ANN, Access::Configured(0)]);
    let sights = opened(record(&[("acme/web", "1.1.0", 'a', 500), ("acme/web", "1.2.0", 'b', 400), ("acme/web", "1.3.0", 'c', 300)]));
    whole_look(&sights, &ANN, &[("1.1.0", 'a'), ("1.4.0", 'd')], &used, 1_000);
    let all = ["acme/web 1.1.0 500", "acme/web 1.2.0 400", "acme/web 1.3.0 300", "acme/web 1.4.0 0"];
    assert_eq!(written(&sights, 1_010).unwrap(), all);
    whole_look(&sights, &other, &[("1.2.0", 'b')], &used, 1_400);
    assert_eq!(age(&sights, "acme/web", "1.2.0", 'b', 1_400), Some(800));
    assert_eq!(written(&sights, 1_410).unwrap(), [all[0], all[1], all[3]], "nobody has a use for 1.3.0");
}

#[test]
fn what_was_recorded_stays_while_looks_meet_trouble_unless_the_tag_was_moved() {
    let sights = opened(record(&[("acme/web", "1.1.0", 'a', 500), ("acme/web", "1.2.0", 'b', 400)]));
    let in_trouble = |found: &[(&str, char)], second| {
        look(&sights, "acme/web", &ANN, found, second);
        sights.settle(&repository("acme/web"), || vec![ANN], moment(second));
    };
    in_trouble(&[], 1_000);
    assert_eq!(sights.deadline(), None, "nothing is let go of");
    in_trouble(&[("1.2.0", 'c')], 1_010);
    in_trouble(&[], 1_020);
    assert_eq!(written(&sights, 1_030).unwrap(), ["acme/web 1.1.0 500"]);
    whole_look(&sights, &ANN, &[("1.1.0", 'a')], &[ANN], 1_040);
    assert_eq!(age(&sights, "acme/web", "1.1.0", 'a', 1_040), Some(540));
    whole_look(&sights, &ANN, &[], &[ANN], 1_050);
    assert_eq!(written(&sights, 1_060).unwrap(), Vec::<String>::new());
}

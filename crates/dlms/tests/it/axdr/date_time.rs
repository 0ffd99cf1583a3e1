//! Evidence: days and seconds of the calendar from elsewhere (the counts that
//! `date -u` gives), special values as u9n/dlms-cosem 21.3.2 (MIT) quotes the
//! Blue Book, and agreement with dlms-cosem-rs 0.1.0 on points in time.

use dlms::axdr::{ClockStatus, Data, Date, DateTime, Time};

use crate::captures::{Random, unhex};

fn date_time(text: &str) -> DateTime {
    DateTime::from_octets(unhex(text).try_into().unwrap())
}

#[test]
fn points_in_time_are_those_of_the_calendar() {
    for (octets, text, unix) in [
        (
            "07b2 01 01 04 00 00 00 00 0000 00",
            "1970-01-01T00:00:00Z",
            0,
        ),
        (
            "07d0 02 1d 02 00 00 00 00 0000 00",
            "2000-02-29T00:00:00Z",
            951_782_400,
        ),
        (
            "07f6 01 13 02 03 0e 07 00 0000 00",
            "2038-01-19T03:14:07Z",
            2_147_483_647,
        ),
        // Central European Time and Summer Time.
        (
            "07ea 0b 14 05 01 00 00 00 ffc4 00",
            "2026-11-20T01:00:00+01:00",
            1_795_132_800,
        ),
        (
            "07ea 07 01 03 02 00 00 00 ff88 80",
            "2026-07-01T02:00:00+02:00",
            1_782_864_000,
        ),
        (
            "076c 03 01 04 00 00 00 00 0000 00",
            "1900-03-01T00:00:00Z",
            -2_203_891_200,
        ),
    ] {
        let value = date_time(octets);
        assert_eq!(value.to_string(), text);
        assert_eq!(value.to_unix_seconds(), Some(unix));
        let again = DateTime::from_unix_seconds(unix, value.deviation, value.status);
        assert_eq!(again, Some(value));
    }
}

#[test]
fn what_is_not_specified_is_no_point_in_time() {
    let any = DateTime::ANY;
    assert_eq!(
        any.to_octets(),
        date_time("ffff ff ff ff ff ff ff ff 8000 ff").to_octets()
    );
    assert_eq!(any.to_string(), "****-**-**T**:**:**");
    assert_eq!(any.to_unix_seconds(), None);
    assert_eq!(any.status.to_string(), "unspecified");

    let local = date_time("07ea 0b 14 ff 01 02 ff ff 8000 ff");
    assert_eq!(local.to_string(), "2026-11-20T01:02:**");
    assert_eq!(local.to_unix_seconds(), None);
    assert_eq!(local.to_local_seconds(), Some(1_795_132_800 + 3_600 + 120));

    for impossible in [
        "07ea 02 1d ff 00 00 00 00 0000 00",
        "07ea 0d 01 ff 00 00 00 00 0000 00",
        "07ea 00 01 ff 00 00 00 00 0000 00",
        "07ea 01 00 ff 00 00 00 00 0000 00",
        "07ea 01 01 ff 18 00 00 00 0000 00",
        "07ea 01 01 ff 00 3c 00 00 0000 00",
        "07ea 01 01 ff 00 00 3c 00 0000 00",
        "fffe 01 01 ff 00 00 00 00 0000 00",
    ] {
        assert_eq!(
            date_time(impossible).to_unix_seconds(),
            None,
            "{impossible}"
        );
    }
    for seconds in [i64::MIN, i64::MAX, -62_200_000_000, 253_402_300_800] {
        assert_eq!(
            DateTime::from_unix_seconds(seconds, -720, ClockStatus::OK),
            None
        );
    }
}

#[test]
fn status_bits_have_their_places() {
    let status = ClockStatus(0x8B);
    assert!(status.has(ClockStatus::INVALID_VALUE));
    assert!(status.has(ClockStatus::DOUBTFUL_VALUE));
    assert!(!status.has(ClockStatus::DIFFERENT_CLOCK_BASE));
    assert_eq!(
        status.to_string(),
        "invalid value, doubtful value, invalid clock status, daylight saving"
    );
    assert!(!ClockStatus::UNSPECIFIED.has(ClockStatus::DAYLIGHT_SAVING_ACTIVE));
    assert_eq!(ClockStatus::OK.to_string(), "ok");
}

#[test]
fn rules_name_days() {
    let rule = |text: &str| Date::from_octets(unhex(text).try_into().unwrap());
    let day = |year, month, day| Date::new(year, month, day).unwrap();
    // The last Sunday of March and of October, as summer time has them.
    assert_eq!(
        rule("ffff 03 fe 07").resolve(2026, 3),
        Some(day(2026, 3, 29))
    );
    assert_eq!(
        rule("ffff 0a fe 07").resolve(2026, 10),
        Some(day(2026, 10, 25))
    );
    assert_eq!(rule("ffff 03 fe 07").resolve(2026, 4), None);
    // The last day, and the last but one.
    assert_eq!(
        rule("ffff ff fe ff").resolve(2028, 2),
        Some(day(2028, 2, 29))
    );
    assert_eq!(
        rule("ffff ff fd ff").resolve(2026, 2),
        Some(day(2026, 2, 27))
    );
    // The Sunday on or after the 8th; on or after the 31st it may be later.
    assert_eq!(
        rule("ffff 03 08 07").resolve(2026, 3),
        Some(day(2026, 3, 8))
    );
    assert_eq!(
        rule("ffff ff 1f 07").resolve(2026, 1),
        Some(day(2026, 2, 1))
    );
    assert!(rule("ffff ff 1f 07").includes(day(2026, 2, 1)));
    // With a year, day and day of the week must agree.
    assert_eq!(
        rule("07ea 0b 14 05").resolve(2026, 11),
        Some(day(2026, 11, 20))
    );
    assert_eq!(rule("07ea 0b 14 06").resolve(2026, 11), None);
    // Every Monday; every day.
    assert!(rule("ffff ff ff 01").includes(day(2026, 11, 23)));
    assert!(!rule("ffff ff ff 01").includes(day(2026, 11, 24)));
    assert!(Date::ANY.includes(day(2026, 11, 24)));
    assert_eq!(rule("ffff fe fe 07").to_string(), "****-dst_begin-last Sun");
    assert_eq!(
        rule("ffff fd fd ff").to_string(),
        "****-dst_end-second_last"
    );
}

#[test]
fn every_day_of_400_years_comes_back() {
    let first = Date::new(1800, 1, 1).unwrap().to_unix_days().unwrap();
    let mut weekday = Date::from_unix_days(first).unwrap().day_of_week;
    for days in first..first + 146_097 {
        let date = Date::from_unix_days(days).unwrap();
        assert_eq!(date.to_unix_days(), Some(days));
        assert_eq!(date.day_of_week, weekday);
        assert_eq!(
            Date::new(date.year, date.month, date.day_of_month),
            Some(date)
        );
        weekday = weekday % 7 + 1;
    }
}

#[test]
fn the_other_implementation_finds_the_same_points_in_time() {
    let mut random = Random::new(1970);
    for _ in 0..20_000 {
        let seconds = i64::try_from(random.next() % 8_000_000_000).unwrap() - 2_000_000_000;
        let deviation = i16::try_from(random.below(1_441)).unwrap() - 720;
        let ours = DateTime::from_unix_seconds(seconds, deviation, ClockStatus::OK).unwrap();
        let theirs = dlms_cosem_rs::axdr::DateTime::from_bytes(ours.to_octets());
        assert_eq!(theirs.to_unix_seconds(), Some(seconds));
        assert_eq!(ours.to_unix_seconds(), Some(seconds));
    }
}

#[test]
fn strings_of_octets_are_taken_too() {
    let value = date_time("07ea 0b 14 05 01 00 00 00 ffc4 00");
    assert_eq!(Data::date_time_octets(&value).as_date_time(), Some(value));
    assert_eq!(Data::DateTime(value).as_date_time(), Some(value));
    assert_eq!(Data::octet_string([1, 2]).as_date_time(), None);
    assert_eq!(
        Data::octet_string(unhex("07ea0b1405")).as_date(),
        Some(value.date)
    );
    assert_eq!(
        Data::octet_string(unhex("01000000")).as_time(),
        Some(value.time)
    );
    assert_eq!(Time::new(24, 0, 0), None);
}

//! Cron expressions: what is refused, and what L, W and # mean.
#![allow(clippy::unwrap_used)]

use insta::assert_snapshot;

use super::*;

#[test]
fn cron_expressions_that_are_refused() {
    let texts = [
        "",
        "* * * *",
        "0 0 0 * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/60 * * * *",
        "1/5 * * * *",
        "+5 * * * *",
        "1,,2 * * * *",
        "jan * * * *",
        "* * * foo *",
        "@daily",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 31W 2 *",
        "0 0 L-30 2,4,6,9,11 *",
        "0 0 ? * *",
        "0 0 W * *",
        "0 0 0W * *",
        "0 0 L-0 * *",
        "0 0 L-31 * *",
        "0 0 L3 * *",
        "0 0 1-5W * *",
        "0 0 5L * *",
        "0 0 5#L * *",
        "0 0 * * L",
        "0 0 * * *L",
        "0 0 * * */2#1",
        "0 0 * * 5#0",
        "0 0 * * 5#6",
        "0 0 * * 5W",
        "0 0 * * fri#",
        "invalid",
        "* 60 * * *",
    ];
    for text in texts {
        assert!(text.parse::<Cron>().is_err(), "{text:?}");
    }
    assert_snapshot!("61 * * * *".parse::<Cron>().unwrap_err(), @r#""61" is no minute: use 0 to 59, '*', ranges a-b, steps */n or a-b/n, and lists with ','"#);
    assert_snapshot!("0 2 32W * *".parse::<Cron>().unwrap_err(), @r#""32W" is no day of month: use 1 to 31, '*', ranges a-b, steps */n or a-b/n, L (the last), L-n, nW (the weekday nearest to day n), LW, and lists with ','"#);
    assert_snapshot!("0 2 * * L".parse::<Cron>().unwrap_err(), @r#""L" is no day of week: use 0 to 7 or sun to sat, '*', ranges a-b, steps */n or a-b/n, 5L (the month's last Friday), 5#2 (its second), and lists with ','"#);
    assert_snapshot!("0 2 30 2 *".parse::<Cron>().unwrap_err(), @"no day of any year matches: the months named have no such day");
}

#[test]
fn what_is_written_otherwise_elsewhere_is_named_as_it_is_here() {
    let refused = |text: &str| text.parse::<Cron>().unwrap_err().to_string();
    assert_snapshot!(refused("0 2 * * fri-sun"), @r#""fri-sun" is no day of week: a range begins with its smaller value; write 5-7"#);
    for (text, remedy) in [
        ("0 2 * * 5-1", "write 5-7,1"),
        ("0 2 * * sat-tue", "write 6-7,1-2"),
        ("0 2 * * 7-5", "write 7,1-5"),
        ("0 22-3 * * *", "write 22-23,0-3"),
        ("0 2 * nov-jan *", "write 11-12,1"),
        ("5/10 * * * *", "write 5-59/10"),
        ("0 2 * 1/3 *", "write 1-12/3"),
    ] {
        let refused = refused(text);
        assert!(refused.ends_with(remedy), "{refused}");
        let field = text.split(' ').find(|field| field.contains(['-', '/']));
        let instead = text.replace(field.unwrap(), remedy.trim_start_matches("write "));
        assert!(instead.parse::<Cron>().is_ok(), "{instead}");
    }
    assert_snapshot!(refused("*/70 * * * *"), @r#""*/70" is no minute: the n of a step */n is 1 to 59"#);
    assert_snapshot!(refused("1-5/0 * * * *"), @r#""1-5/0" is no minute: the n of a step */n is 1 to 59"#);
    assert_snapshot!(refused("0 2 ? * 1-5"), @r#""?" is no day of month: write '*' ('?' is for the days of EventBridge's cron(…))"#);
    assert_snapshot!(refused("0 2 * foo *"), @r#""foo" is no month: use 1 to 12 or jan to dec, '*', ranges a-b, steps */n or a-b/n, and lists with ','"#);
    assert_snapshot!(refused("@daily"), @r#""@daily" is no cron expression here: write "0 0 * * *""#);
    assert_snapshot!(refused("@reboot"), @r#""@reboot" is no cron expression here: write its five fields, such as "0 2 * * *""#);
}

#[test]
fn cron_days_are_either_only_where_both_are_restricted() {
    let holds = |text: &str, date: &str| {
        let cron: Cron = text.parse().unwrap();
        cron.holds(date.parse().unwrap())
    };
    // 2026-11-13 is a Friday, 2026-11-20 another, 2026-12-13 a Sunday.
    for date in ["2026-11-13", "2026-11-20", "2026-12-13"] {
        assert!(holds("0 0 13 * fri", date), "{date}");
    }
    assert!(!holds("0 0 */2 * fri", "2026-11-20"), "an even day");
    assert!(!holds("0 0 */2 * fri", "2026-11-15"), "no Friday");
    assert!(holds("0 0 */2 * FRI", "2026-11-13"));
    for sunday in ["0", "7", "sun"] {
        assert!(
            holds(&format!("0 0 * * {sunday}"), "2026-12-13"),
            "{sunday}"
        );
    }
    assert!(holds("0 0 * * 5-7", "2026-12-13"));
}

/// The dates on which an expression is due, from one date on.
fn dates(text: &str, from: &str, count: usize) -> String {
    let cron: Cron = text.parse().unwrap();
    let from: NaiveDate = from.parse().unwrap();
    let held = from.iter_days().filter(|date| cron.holds(*date));
    let held: Vec<String> = held.take(count).map(|date| date.to_string()).collect();
    held.join(" ")
}

/// Expectations that croner's tests and page publish (4.0.3, <https://docs.rs/croner>).
#[test]
fn what_croner_publishes() {
    for (text, from, expected) in [
        // 13 January 2024 is a Saturday; the others are Wednesdays.
        (
            "0 0 13W * WED",
            "2024-01-01",
            "2024-01-03 2024-01-10 2024-01-12 2024-01-17 2024-01-24",
        ),
        (
            "0 0 * * 7#2",
            "2024-10-01",
            "2024-10-13 2024-11-10 2024-12-08 2025-01-12 2025-02-09",
        ),
        (
            "0 0 * * 7L",
            "2024-10-01",
            "2024-10-27 2024-11-24 2024-12-29",
        ),
        ("0 9 L 2 *", "2023-01-01", "2023-02-28 2024-02-29"),
        ("0 0 L * *", "2023-04-01", "2023-04-30 2023-05-31"),
        ("0 0 * * FRI#L", "2023-12-01", "2023-12-29"),
        ("0 0 * * FRIl", "2023-12-01", "2023-12-29"),
        ("0 0 * * 5L", "2023-12-01", "2023-12-29"),
        (
            "0 0 * * 6-7#L",
            "2024-10-01",
            "2024-10-26 2024-10-27 2024-11-24 2024-11-30",
        ),
        // The 15th on a Thursday, a Saturday, a Sunday.
        ("0 0 15W * *", "2023-06-01", "2023-06-15"),
        ("0 0 15W * *", "2024-06-01", "2024-06-14"),
        ("0 0 15W * *", "2023-10-01", "2023-10-16"),
        // The first on a Saturday and a Sunday: not into the month before.
        ("0 0 1W * *", "2025-10-31", "2025-11-03"),
        ("0 0 1W * *", "2025-06-01", "2025-06-02"),
    ] {
        assert_eq!(
            dates(text, from, expected.split(' ').count()),
            expected,
            "{text}"
        );
    }
    for valid in [
        "*/10 * * * *",
        "0 12 * * MON",
        "0 0 1 1,7 * ",
        "00 00 01 * SUN  ",
        "5-10/2 * * * *",
        "0 12 15-21 * 1-FRI",
        "0 12 * JAN-JUN *",
        "0 0 1,15,L * SUN#L",
        "0 0 2,1 1-6/2 *",
        "0 0 5,L * 5L",
        "0 0 5,L * 7#2",
    ] {
        assert!(valid.parse::<Cron>().is_ok(), "{valid}");
    }
}

/// As in Vixie's cron a day field that begins with `*` restricts nothing by itself: both must hold.
/// (croner takes this one for "either".)
#[test]
fn a_field_that_begins_with_a_star_is_no_restriction() {
    assert_eq!(
        dates("0 0 */31,1-7 */1 MON", "2023-12-24", 3),
        "2024-01-01 2024-02-05 2024-03-04"
    );
}

/// What Quartz's documentation says of its L, W and #, with Sunday as 0
/// (<https://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html>).
#[test]
fn what_quartz_describes() {
    for (text, from, expected) in [
        // "LW": the last weekday; May 2026 ends on a Sunday, October on a Saturday.
        (
            "0 0 LW * *",
            "2026-04-30",
            "2026-04-30 2026-05-29 2026-06-30",
        ),
        ("0 0 LW * *", "2026-10-01", "2026-10-30 2026-11-30"),
        // "L-3": the third day before the last.
        (
            "0 0 L-3 * *",
            "2026-01-01",
            "2026-01-28 2026-02-25 2026-03-28 2026-04-27",
        ),
        // "6#3" there, 5#3 here: the third Friday.
        ("15 10 * * 5#3", "2026-11-01", "2026-11-20 2026-12-18"),
        // No fifth one, no slot.
        (
            "0 0 * * mon#5",
            "2026-02-01",
            "2026-03-30 2026-06-29 2026-08-31",
        ),
        // A day that a month does not have is nobody's nearest weekday.
        (
            "0 0 31W * *",
            "2026-01-01",
            "2026-01-30 2026-03-31 2026-05-29 2026-07-31",
        ),
        (
            "0 0 L-30 * *",
            "2026-01-01",
            "2026-01-01 2026-03-01 2026-05-01",
        ),
    ] {
        assert_eq!(
            dates(text, from, expected.split(' ').count()),
            expected,
            "{text}"
        );
    }
}

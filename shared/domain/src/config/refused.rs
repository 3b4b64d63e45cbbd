//! What the reader refuses one thing at a time, and the words in which it says so.
#![allow(clippy::unwrap_used)]

use insta::assert_snapshot;

use super::Config;
use super::tests::{BASE, problems, schedule_with};

/// A schedule whose time is what these lines say.
fn timed(lines: &str) -> String {
    format!("{BASE}[schedules.s]\nscopes = [\"full-database\"]\n{lines}\n")
}

#[test]
fn keys_beside_a_wrong_every_are_known() {
    assert_snapshot!(problems(&timed("evry = \"day\"\nat = \"02:00\"")), @r#"
    logisedge.toml:11:12: schedules.s: every is missing; for example every = "day" (with at = "02:00"), or cron = "0 2 * * *"
    logisedge.toml:13:1: schedules.s.evry: unknown key; did you mean "every"?
    "#);
    assert_snapshot!(problems(&timed("every = 15\nat = \"02:00\"")), @r#"logisedge.toml:13:9: schedules.s.every: must be a text in quotes; found integer"#);
    assert_snapshot!(problems(&timed("every = \"\"\non = \"mon\"\nat = \"02:00\"")), @r#"logisedge.toml:13:9: schedules.s.every: must not be empty"#);
    assert_snapshot!(problems(&timed("at = \"02:00\"\nday = 3")), @r#"logisedge.toml:11:12: schedules.s: every is missing; for example every = "day" (with at = "02:00"), or cron = "0 2 * * *""#);
    assert_snapshot!(problems(&timed("every = \"day\"\nat = \"02:00\"\ncron = \"0 2 * * *\"")), @r#"logisedge.toml:15:8: schedules.s.cron: every already says when; name one of the two"#);
    assert_snapshot!(problems(&timed("every = \"weekly\"\nat = \"02:00\"\non = \"mon\"")), @r#"logisedge.toml:13:9: schedules.s.every: "weekly" is none of "day", "week", "month", "year", "hour", "minute", and no interval from "1 minute" to "24 hours"; did you mean "week"?"#);
}

#[test]
fn periods_as_others_write_them_are_suggested() {
    for (written, meant) in [
        ("daily", "day"),
        ("Day", "day"),
        ("HOURLY", "hour"),
        ("monht", "month"),
    ] {
        let refused = problems(&timed(&format!("every = \"{written}\"")));
        let end = format!("; did you mean \"{meant}\"?");
        assert!(refused.ends_with(&end), "{refused}");
    }
    let refused = problems(&timed("every = \"2 weeks\""));
    assert!(!refused.contains("did you mean"), "{refused}");
}

#[test]
fn zones_are_suggested_by_their_city() {
    for (written, meant) in [
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("Europe/Berln", "Europe/Berlin"),
    ] {
        let refused = problems(&schedule_with(&format!("time_zone = \"{written}\"")));
        let end = format!("; did you mean \"{meant}\"?");
        assert!(refused.ends_with(&end), "{refused}");
    }
}

#[test]
fn times_of_day_have_one_form() {
    for at in ["2:5", "02:0", "2:30", " 02:00", "02:00 ", "24:00", "+2:00"] {
        let refused = problems(&timed(&format!("every = \"day\"\nat = \"{at}\"")));
        assert!(refused.contains(".at: "), "{refused}");
    }
    assert_snapshot!(problems(&timed("every = \"day\"\nat = \"02:00:30\"")), @r#"logisedge.toml:14:6: schedules.s.at: "02:00:30" is no time of day from "00:00" to "23:59", without seconds and with all four digits"#);
    assert_snapshot!(problems(&timed("every = \"day\"\nat = 2")), @r#"logisedge.toml:14:6: schedules.s.at: must be a time of day from "00:00" to "23:59", without seconds, in quotes"#);
    for date in [" 2- 3", "2-3", "2-03", "+2-03", "02-3 "] {
        let refused = problems(&timed(&format!(
            "every = \"year\"\nat = \"02:00\"\ndate = \"{date}\""
        )));
        assert!(refused.contains("is no day of a year"), "{refused}");
    }
}

#[test]
fn dates_have_one_form_and_four_digits_of_a_likely_year() {
    for text in [
        "+262142-12-31",
        "9999-12-31",
        "2100-01-01",
        "1999-12-31",
        "2027-1-7",
        " 2027-01-07",
        "2027-01-07T",
        "2027-01-07T6:00",
        "2027-01-07T06:00+1",
        "2027-01-07T06:00:00.5",
        "2027-01-07T24:00",
        "2027-01-0\u{e9}",
        "2027-01-07\u{e9}",
    ] {
        let refused = problems(&schedule_with(&format!("pause_until = \"{text}\"")));
        assert!(refused.contains("pause_until: must be a date"), "{refused}");
        let refused = problems(&schedule_with(&format!("skip_dates = [\"{text}\"]")));
        assert!(refused.contains("skip_dates: must be dates"), "{refused}");
    }
}

#[test]
fn a_scopes_keep_needs_a_rule_too() {
    assert_snapshot!(problems(&format!("{BASE}keep = {{}}\n")), @r#"logisedge.toml:11:8: scopes.full-database.keep: names no rule; for example keep = { proven = 3, monthly = 24 }"#);
    assert!(Config::parse(&format!("{BASE}keep = {{ proven = 1 }}\n"), "f").is_ok());
}

#[test]
fn tables_in_one_line_are_shown() {
    assert_snapshot!(problems(&schedule_with("keep = 7\nalerts = true\n[alerts]\nquiet = \"4h\"\ndigest = \"day\"\ntopics = \"arn\"")), @r#"
    logisedge.toml:14:8: schedules.s.keep: must be a table, such as keep = { days = 7, last = 3 }; found integer
    logisedge.toml:15:10: schedules.s.alerts: must be a table, such as alerts = { success = false }; found boolean
    logisedge.toml:17:9: alerts.quiet: must be a table, such as quiet = { error = "4h" }; found string
    logisedge.toml:18:10: alerts.digest: must be a table, such as digest = { every = "day", at = "07:00" }; found string
    logisedge.toml:19:10: alerts.topics: must be a table, such as topics = { error = "<ARN of an SNS topic>" }; found string
    "#);
}

/// [`BASE`] with its location replaced.
fn located(lines: &str) -> String {
    BASE.replace("kind = \"folder\"\npath = \"/backups\"", lines)
}

#[test]
fn buckets_are_named_as_s3_takes_them() {
    let bucket = |name: &str| located(&format!("kind = \"s3\"\nbucket = \"{name}\""));
    for name in [
        "192.168.1.1",
        "a.-b",
        "a-.b",
        "a..b",
        "-ab",
        "ab-",
        "Ab1",
        "ab",
    ] {
        let refused = problems(&bucket(name));
        assert!(refused.contains("is no bucket name"), "{refused}");
    }
    for name in ["192.168.1", "a.b-c.d", "1.2.3.4.5", "abc"] {
        assert!(Config::parse(&bucket(name), "f").is_ok(), "{name}");
    }
}

#[test]
fn each_kind_of_location_has_its_own_keys() {
    assert_snapshot!(problems(&located("kind = \"folder\"\npath = \"/b\"\nbucket = \"abc\"\ncolour = 1")), @r#"
    logisedge.toml:8:10: locations.main.bucket: does not fit here: a folder is named with path alone, only kind = "s3" has it
    logisedge.toml:9:1: locations.main.colour: unknown key; known here: kind, repository_password, capacity_bytes_max, path
    "#);
    assert_snapshot!(problems(&located("kind = \"s3\"\npath = \"/b\"\nbucket = \"abc\"")), @r#"logisedge.toml:7:8: locations.main.path: does not fit here: only kind = "folder" has it; kind = "s3" has bucket and prefix"#);
}

#[test]
fn a_misspelt_section_is_one_problem_and_not_one_of_each_schedule() {
    let schedules = "[schedules.a]\nevery = \"hour\"\nscopes = \"full-database\"\n\
                     [schedules.b]\nevery = \"hour\"\nscopes = \"full-database\"\nlocation = \"main\"\n";
    let text = format!("{BASE}{schedules}");
    let of = |right: &str, wrong: &str| problems(&text.replace(right, wrong));
    assert_snapshot!(of("[locations.main]", "[location.main]"), @r#"
    logisedge.toml:1:1: there are schedules, but no locations, which they need: begin one with [locations.main]
    logisedge.toml:5:2: location: unknown key; did you mean "locations"?
    "#);
    assert_snapshot!(of("[scopes.full-database]", "[scope.full-database]"), @r#"
    logisedge.toml:1:1: there are schedules, but no scopes, which they need: begin one with [scopes.full-database]
    logisedge.toml:9:2: scope: unknown key; did you mean "scopes"?
    "#);
    assert_snapshot!(of("[sources.erp]", "[source.erp]"), @r#"
    logisedge.toml:1:1: there are scopes, but no sources, which they need: begin one with [sources.erp]
    logisedge.toml:2:2: source: unknown key; did you mean "sources"?
    "#);
}

/// A misspelt zone in a template is as often there as it has schedules.
#[test]
fn thousands_of_wrong_names_are_told_at_once() {
    let mut text = BASE.to_owned();
    for n in 0..5000 {
        text.push_str(&format!(
            "[schedules.s{n}]\nevery = \"hour\"\nscopes = \"full-database\"\ntime_zone = \"Europe/Brelin{n}\"\n"
        ));
    }
    let refused = problems(&text);
    assert_eq!(refused.lines().count(), 5000);
    let first = refused.lines().next().unwrap();
    assert!(
        first.ends_with("did you mean \"Europe/Berlin\"?"),
        "{first}"
    );
    // Comparing all of them would take half a minute.
    let last = refused.lines().last().unwrap();
    assert!(
        last.ends_with("such as \"Europe/Berlin\" or \"UTC\""),
        "{last}"
    );
}

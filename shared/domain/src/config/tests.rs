//! Configuration files: the documented example, the one that `setup` writes, and broken ones.
#![allow(clippy::unwrap_used)]

use chrono_tz::Europe::Berlin;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::calendar::{Calendar, WeekDay};
use crate::chain::Rhythm;
use crate::retention::Retention;
use crate::scope::Selection;
use crate::snapshot::Kind;
use crate::storage::{LockMode, StorageTier};

const EXAMPLE: &str = include_str!("example.toml");

fn parse(text: &str) -> Config {
    Config::parse(text, "logisedge.toml").unwrap_or_else(|problems| panic!("{problems}"))
}

pub(super) fn problems(text: &str) -> String {
    Config::parse(text, "logisedge.toml")
        .unwrap_err()
        .to_string()
}

/// The smallest file with every kind of section, and room for more.
pub(super) const BASE: &str = r#"version = 1
[sources.erp]
kind = "sqlite"
path = "/erp.db"
[locations.main]
kind = "folder"
path = "/backups"
repository_password = { env = "PASSWORD" }
[scopes.full-database]
preset = "full-database"
"#;

#[test]
fn the_documented_example_is_valid() {
    let config = parse(EXAMPLE);
    assert_eq!(config.sources.len(), 2);
    assert_eq!(config.locations.len(), 2);
    assert_eq!(config.scopes.len(), 4);
    let names: Vec<&str> = config.schedules.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "daily",
            "day-and-night",
            "month-end",
            "orders",
            "twice-a-week",
            "weekdays",
            "year-end"
        ]
    );
    let daily = &config.schedules[0];
    assert_eq!(daily.zone, Berlin);
    assert_eq!((daily.kind, daily.full), (Kind::Full, None));
    let orders = &config.schedules[3];
    assert_eq!(orders.kind, Kind::Incremental);
    assert_eq!(orders.full, Some(Rhythm::Weekly));
    assert_eq!(daily.retention.keep_yearly, Some(10));
    assert_eq!(daily.retention.proven, Some(2));
    let day_and_night = config.schedules[1].retention;
    assert_eq!(day_and_night.keep_within, Some("2 days".parse().unwrap()));
    let customers = &config.scopes[&"customers".parse().unwrap()];
    assert_eq!(
        customers.selection,
        Selection::Tables {
            include: vec!["customer*".to_owned(), "contact*".to_owned()],
            exclude: vec![],
        }
    );
}

pub(super) fn schedule_with(lines: &str) -> String {
    format!("{BASE}[schedules.s]\nevery = \"hour\"\nscopes = [\"full-database\"]\n{lines}\n")
}

#[test]
fn kinds_and_when_a_full_is_due_instead() {
    for (lines, kind, full) in [
        ("", Kind::Full, None),
        ("kind = \"full\"", Kind::Full, None),
        (
            "kind = \"incremental\"",
            Kind::Incremental,
            Some(Rhythm::Monthly),
        ),
        (
            "kind = \"differential\"\nfull = \"weekly\"",
            Kind::Differential,
            Some(Rhythm::Weekly),
        ),
        (
            "kind = \"incremental\"\nfull = \"10 days\"",
            Kind::Incremental,
            Some(Rhythm::Days(10)),
        ),
    ] {
        let schedule = &parse(&schedule_with(lines)).schedules[0];
        assert_eq!((schedule.kind, schedule.full), (kind, full), "{lines}");
    }
    assert_snapshot!(problems(&schedule_with("kind = \"incremental\"\nfull = \"often\"")), @r#"logisedge.toml:15:8: schedules.s.full: "often" is none of "daily", "weekly", "monthly", and no number of days from "2 days" to "366 days""#);
    assert_snapshot!(problems(&schedule_with("kind = \"full\"\nfull = \"weekly\"")), @r#"logisedge.toml:15:8: schedules.s.full: does not fit here: kind = "full" takes fulls only; write "incremental" or "differential" to take one of those between them"#);
    assert_snapshot!(problems(&schedule_with("kind = \"incr\"\nfull = 10")), @r#"
    logisedge.toml:14:8: schedules.s.kind: "incr" is not known; this version knows full, incremental, differential
    logisedge.toml:15:8: schedules.s.full: must be a text in quotes; found integer
    "#);
}

#[test]
fn limits_pauses_and_skipped_dates() {
    let zone = "time_zone = \"Europe/Berlin\"";
    let read = |lines: &str| {
        parse(&schedule_with(&format!("{zone}\n{lines}")))
            .schedules
            .remove(0)
    };
    let limited = read("start_within = \"30 minutes\"\nfinish_within = \"4h\"");
    assert_eq!(limited.start_within_seconds, Some(1800));
    assert_eq!(limited.finish_within_seconds, Some(4 * 3600));
    for (text, expected) in [
        ("\"2027-01-07\"", "2027-01-06T23:00:00Z"),
        ("2027-01-07", "2027-01-06T23:00:00Z"),
        ("\"2027-07-07T06:30\"", "2027-07-07T04:30:00Z"),
        ("2027-07-07 06:30:00", "2027-07-07T04:30:00Z"),
        ("\"2027-07-07T06:30:00-03:00\"", "2027-07-07T09:30:00Z"),
        ("2027-07-07T06:30:00Z", "2027-07-07T06:30:00Z"),
        ("\"2027-07-07T06:30+01:00\"", "2027-07-07T05:30:00Z"),
        ("\"2027-07-07T06:30Z\"", "2027-07-07T06:30:00Z"),
        ("\"2027-07-07 06:30:20\"", "2027-07-07T04:30:20Z"),
        // The clock skips it.
        ("\"2027-03-28T02:30\"", "2027-03-28T01:00:00Z"),
    ] {
        let paused = read(&format!("pause_until = {text}"));
        assert_eq!(
            paused.pause_until,
            Some(crate::samples::at(expected)),
            "{text}"
        );
    }
    let skipping = read("skip_dates = [\"2026-12-25\", 2026-12-26, \"2026-12-25\"]");
    let dates = ["2026-12-25", "2026-12-26"].map(|date| date.parse().unwrap());
    assert_eq!(skipping.skip_dates, dates.into());
    assert_eq!(read("skip_dates = \"2026-12-25\"").skip_dates.len(), 1);

    assert_snapshot!(problems(&schedule_with(
        "start_within = \"1 minute\"\nfinish_within = 4\npause_until = \"soon\"\n\
         skip_dates = [\"12-25\", 2026-12-25T00:00:00Z]"
    )), @r#"
    logisedge.toml:14:16: schedules.s.start_within: "1 minute" is no duration from "5 minutes" to "31 days"; for example "6h"
    logisedge.toml:15:17: schedules.s.finish_within: must be a text in quotes; found integer
    logisedge.toml:16:15: schedules.s.pause_until: must be a date such as "2027-01-07", a local time such as "2027-01-07T06:00", or one with its offset such as "2027-01-07T06:00+01:00" or "2027-01-07T06:00Z", from 2000 to 2099; for a pause without an end write enabled = false
    logisedge.toml:17:15: schedules.s.skip_dates: must be dates such as "2026-12-25", from 2000 to 2099
    logisedge.toml:17:24: schedules.s.skip_dates: must be dates such as "2026-12-25", from 2000 to 2099
    "#);
    assert_snapshot!(problems(&schedule_with(
        "start_within = \"2h\"\nfinish_within = \"2 hours\""
    )), @"logisedge.toml:15:17: schedules.s.finish_within: must be longer than start_within: both are counted from the slot");
    let many: Vec<String> = (0..=SKIP_DATES_MAX)
        .map(|n| format!("{}-01-01", 2027 + n))
        .collect();
    assert_snapshot!(problems(&schedule_with(&format!("skip_dates = {many:?}"))), @"logisedge.toml:14:14: schedules.s.skip_dates: holds more than 400 dates: take out those that are past");
}

#[test]
fn what_is_left_out_has_the_documented_defaults() {
    let text = format!(
        "{BASE}[schedules.daily]\nevery = \"day\"\nat = 02:00:00\nscopes = [\"full-database\"]\n\
         [sources.pg]\nkind = \"postgresql\"\nhost = \"db.example.com\"\ndatabase = \"erp\"\nuser = \"b\"\n"
    );
    let text = text.replace("preset =", "source = \"erp\"\npreset =");
    let config = parse(&text);
    let schedule = &config.schedules[0];
    assert_eq!(schedule.zone, chrono_tz::UTC);
    assert_eq!(schedule.location.as_str(), "main");
    assert_eq!(schedule.catch_up_seconds, 6 * 3600);
    assert_eq!(schedule.alerts, crate::schedule::AlertPolicy::default());
    assert!(schedule.enabled);
    assert_eq!(
        (
            schedule.start_within_seconds,
            schedule.finish_within_seconds
        ),
        (None, None)
    );
    assert_eq!(schedule.pause_until, None);
    assert!(schedule.skip_dates.is_empty());
    let week = Retention {
        keep_days: Some(KEEP_DAYS),
        ..Retention::default()
    };
    assert_eq!(schedule.retention, week);
    let expected = SourceConfig::Postgresql {
        host: "db.example.com".to_owned(),
        port: 5432,
        database: "erp".to_owned(),
        user: "b".to_owned(),
        password: None,
        sslmode: SslMode::VerifyFull,
        ca_file: None,
        pg_dump: "pg_dump".to_owned(),
        connections: 2,
        skip_unchanged: true,
        effort: Effort::default(),
    };
    assert_eq!(config.sources[&"pg".parse().unwrap()], expected);
}

#[test]
fn too_little_memory_is_refused_with_the_least_that_works() {
    let with =
        |line: &str| BASE.replace("path = \"/erp.db\"", &format!("path = \"/erp.db\"\n{line}"));
    assert_snapshot!(
        problems(&with("memory_bytes_max = 1_000_000\nzstd_level = 20")),
        @r"
    logisedge.toml:5:20: sources.erp.memory_bytes_max: must be at least 37486592 where connections = 1, not 1000000
    logisedge.toml:6:14: sources.erp.zstd_level: must be between 1 and 19, not 20
    "
    );
    let config = parse(&with("memory_bytes_max = 37486592\nzstd_level = 3"));
    let effort = config.sources[&"erp".parse().unwrap()].effort();
    assert_eq!(
        (effort.zstd_level, effort.memory_bytes_max),
        (Some(3), Some(37_486_592))
    );
    let stored = serde_json::to_string(&config.sources).unwrap();
    let read: std::collections::BTreeMap<SourceName, SourceConfig> =
        serde_json::from_str(&stored).unwrap();
    assert_eq!(read, config.sources);
}

#[test]
fn tls_is_verified_wherever_a_network_lies_between() {
    for (host, expected) in [
        ("db.example.com", SslMode::VerifyFull),
        ("10.0.0.7", SslMode::VerifyFull),
        ("localhost", SslMode::Prefer),
        ("127.0.0.1", SslMode::Prefer),
        ("/run/postgresql", SslMode::Disable),
    ] {
        let text = format!(
            "version = 1\n[sources.erp]\nkind = \"postgresql\"\nhost = \"{host}\"\ndatabase = \"e\"\nuser = \"u\"\n"
        );
        let config = parse(&text);
        let SourceConfig::Postgresql { sslmode, .. } = config.sources.values().next().unwrap()
        else {
            panic!("not PostgreSQL");
        };
        assert_eq!(*sslmode, expected, "{host}");
    }
}

#[test]
fn every_calendar_can_be_written() {
    let calendar = |lines: &str| {
        let text = format!("{BASE}[schedules.s]\nscopes = \"full-database\"\n{lines}\n");
        parse(&text).schedules[0].calendar.clone()
    };
    let at = chrono::NaiveTime::from_hms_opt(2, 30, 0).unwrap();
    let week = calendar("every = \"week\"\nat = \"02:30\"\non = [\"thu\", \"Monday\", \"mon\"]");
    let on = [WeekDay::Mon, WeekDay::Thu].into();
    assert_eq!(week, Calendar::Week { on, at });
    let year = calendar("every = \"year\"\nat = \"02:30\"\ndate = \"02-29\"");
    let (month, day) = (2, 29);
    assert_eq!(year, Calendar::Year { month, day, at });
    for (text, minutes) in [
        ("15 minutes", 15),
        ("15m", 15),
        ("minute", 1),
        ("hour", 60),
        ("6 hours", 360),
        ("1 day", 1440),
    ] {
        let interval = calendar(&format!("every = \"{text}\""));
        assert_eq!(interval, Calendar::Minutes { minutes }, "{text}");
    }
    let hours = calendar("every = \"6 hours\"\nat = \"02:30\"");
    assert_eq!(hours, Calendar::Hours { hours: 6, at });
    for text in [
        "every = \"rate(15 minutes)\"",
        "cron = \"rate(15 minutes)\"",
    ] {
        assert_eq!(calendar(text), Calendar::Minutes { minutes: 15 });
    }
    assert_eq!(
        calendar("cron = \"cron(0 2 ? * MON-FRI *)\"").rule(),
        "as cron says: 0 2 * * 1-5"
    );
    assert_eq!(
        calendar("cron = \"0  2 * * 1-5\"").rule(),
        "as cron says: 0 2 * * 1-5"
    );
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    assert_snapshot!(problems(include_str!("../../tests/config/broken.toml")));
}

/// A location with Object Lock, one without, and a schedule at one of them.
fn locked(mode: &str, schedule: &str) -> String {
    let locations = format!(
        "[locations.vault]\nkind = \"s3\"\nbucket = \"the-vault\"\n{mode}\n\
         repository_password = {{ env = \"PASSWORD\" }}\n[scopes.full-database]"
    );
    let lines = format!("\n{schedule}");
    schedule_with(&lines).replace("[scopes.full-database]", &locations)
}

#[test]
fn locks() {
    for (mode, read) in [
        ("governance", LockMode::Governance),
        ("compliance", LockMode::Compliance),
    ] {
        let mode = format!("object_lock = \"{mode}\"");
        let config = parse(&locked(
            &mode,
            "location = \"vault\"\nlock = \"1 year 6 months\"",
        ));
        let vault = &config.locations[&"vault".parse().unwrap()];
        assert_eq!(vault.object_lock(), Some(read));
        let lock = config.schedules[0].lock.unwrap();
        assert_eq!(lock, "1 year 6 months".parse().unwrap());
        let config = parse(&locked(&mode, "location = \"main\""));
        assert_eq!(config.schedules[0].lock, None);
    }
    for shortest in ["1 day", "24 hours", "100 years"] {
        let lock = format!("location = \"vault\"\nlock = \"{shortest}\"");
        parse(&locked("object_lock = \"compliance\"", &lock));
    }
}

#[test]
fn storage_is_one_of_three_and_the_archive_is_for_fulls() {
    let of = |schedule: &str| locked("", &format!("location = \"vault\"\n{schedule}"));
    for (schedule, tier) in [
        ("", StorageTier::Standard),
        (
            "storage = \"standard\"\nkind = \"differential\"",
            StorageTier::Standard,
        ),
        (
            "storage = \"cold\"\nkind = \"incremental\"",
            StorageTier::Cold,
        ),
        ("storage = \"archive\"", StorageTier::Archive),
    ] {
        assert_eq!(parse(&of(schedule)).schedules[0].tier, tier, "{schedule}");
    }
    for kind in ["incremental", "differential"] {
        let refused = problems(&of(&format!("storage = \"archive\"\nkind = \"{kind}\"")));
        assert!(refused.ends_with(r#"schedules.s.storage: is "archive", which only goes with kind = "full": nothing can build on what has to be thawed for hours; take "cold""#), "{refused}");
    }
    assert_snapshot!(problems(&of("storage = \"glacier\"")), @r#"logisedge.toml:21:11: schedules.s.storage: "glacier" is not known; this version knows standard, cold, archive"#);
    assert_snapshot!(problems(&schedule_with("storage = \"cold\"")), @r#"logisedge.toml:14:11: schedules.s.storage: location "main" is a folder, where everything stays as it is written: name one in S3, or leave storage out"#);
    parse(&schedule_with("storage = \"standard\""));
}

#[test]
fn locks_that_would_not_hold_are_refused() {
    let vault = "object_lock = \"governance\"";
    let of = |mode: &str, schedule: &str| problems(&locked(mode, schedule));
    assert_snapshot!(of("", "location = \"vault\"\nlock = \"30 days\""), @r#"logisedge.toml:21:8: schedules.s.lock: location "vault" has no object_lock, so nothing would be locked: set it there (only S3 has it), or leave lock out"#);
    assert_snapshot!(of(vault, "location = \"main\"\nlock = \"30 days\""), @r#"logisedge.toml:21:8: schedules.s.lock: location "main" has no object_lock, so nothing would be locked: set it there (only S3 has it), or leave lock out"#);
    assert_snapshot!(of(vault, "location = \"vault\"\nlock = \"23 hours\""), @r#"logisedge.toml:21:8: schedules.s.lock: "23 hours" is too short: a lock lasts from "1 day" to "100 years""#);
    assert_snapshot!(of(vault, "location = \"vault\"\nlock = \"101 years\""), @r#"logisedge.toml:21:8: schedules.s.lock: "101 years" is no length of time: write for example "14 days", "8 weeks", "6 months", "1 year 6 months", or as restic does "1y6m10d4h" (here m is a month); at most a century"#);
    assert_snapshot!(of("object_lock = \"legal\"", "location = \"vault\"\nlock = 30"), @r#"
    logisedge.toml:12:15: locations.vault.object_lock: "legal" is not known; this version knows governance, compliance
    logisedge.toml:21:8: schedules.s.lock: must be a text in quotes; found integer
    "#);
    let folder = "path = \"/backups\"\nobject_lock = \"governance\"";
    let folder = schedule_with("lock = \"1 day\"").replace("path = \"/backups\"", folder);
    assert_snapshot!(problems(&folder), @r#"
    logisedge.toml:8:15: locations.main.object_lock: does not fit here: a folder has no locks, only kind = "s3" has
    logisedge.toml:15:8: schedules.s.lock: location "main" has no object_lock, so nothing would be locked: set it there (only S3 has it), or leave lock out
    "#);
}

#[test]
fn a_broken_document_is_named_with_its_place() {
    assert_snapshot!(problems("version = 1\n[sources.erp\nkind = \"sqlite\"\nx = = 3\n"), @r"
    logisedge.toml:2:13: not valid TOML: unclosed table, expected `]`
    logisedge.toml:4:5: not valid TOML: extra `=`, expected nothing
    logisedge.toml:4:7: not valid TOML: unexpected key or value, expected newline, `#`
    ");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    assert_snapshot!(problems(""), @"logisedge.toml:1:1: version is missing; for example version = 1");
}

#[test]
fn a_plain_password_is_refused_and_not_repeated() {
    let text = BASE.replace("{ env = \"PASSWORD\" }", "\"hunter2\"");
    let problems = problems(&text);
    assert!(!problems.contains("hunter2"), "{problems}");
    assert_snapshot!(problems, @r#"logisedge.toml:8:23: locations.main.repository_password: a password must not stand in this file: write repository_password = { secret = "<name in AWS Secrets Manager>" }, { env = "<variable>" } or { file = "<path>" }"#);
}

#[test]
fn columns_count_characters() {
    let problems = problems("version = 1\n\"zürich\" = 3\n[sources]\n\"bü\" = 1\n");
    assert_snapshot!(problems, @r"
    logisedge.toml:2:1: zürich: unknown key; known here: version, time_zone, sources, locations, presets, scopes, schedules, alerts
    logisedge.toml:4:8: sources.bü: must be a table; found integer
    ");
}

fn setup_options() -> Vec<SetupOptions> {
    let postgresql = SourceConfig::Postgresql {
        host: "db.example.com".to_owned(),
        port: 5433,
        database: "erp \"quoted\" \\ 'all'".to_owned(),
        user: "backup".to_owned(),
        password: Some(SecretRef::Secret("logisedge/erp".to_owned())),
        sslmode: SslMode::VerifyCa,
        ca_file: Some("/etc/ca.pem".to_owned()),
        pg_dump: "/usr/lib/postgresql/15/bin/pg_dump".to_owned(),
        connections: 4,
        skip_unchanged: false,
        effort: Effort::default(),
    };
    let bucket = LocationConfig::S3 {
        bucket: "my-backups".to_owned(),
        prefix: "erp/daily".to_owned(),
        region: Some("eu-central-1".to_owned()),
        repository_password: SecretRef::Env("REPOSITORY_PASSWORD".to_owned()),
        capacity_bytes_max: None,
        object_lock: None,
    };
    let sqlite = SourceConfig::Sqlite {
        path: "/var/lib/erp.db".to_owned(),
        effort: Effort::default(),
    };
    let folder = LocationConfig::Folder {
        path: "/srv/backups".to_owned(),
        repository_password: SecretRef::File("/etc/password".to_owned()),
        capacity_bytes_max: None,
    };
    [(postgresql, bucket), (sqlite, folder)]
        .map(|(source, location)| SetupOptions {
            time_zone: "Europe/Berlin".to_owned(),
            source_name: "erp".parse().unwrap(),
            source,
            location_name: "main".parse().unwrap(),
            location,
        })
        .into()
}

#[test]
fn setup_writes_what_it_was_told_and_apply_accepts_it() {
    for options in setup_options() {
        let text = default_config(&options);
        let config = parse(&text);
        assert_eq!(config.sources[&options.source_name], options.source);
        assert_eq!(config.locations[&options.location_name], options.location);
        assert_eq!(config.scopes.len(), 6);
        let daily = &config.schedules[0];
        assert_eq!(daily.zone, Berlin);
        assert_eq!(daily.calendar.rule(), "every day at 02:00");
        assert_eq!(daily.retention, KEEP_SEED);
        let scopes: Vec<&str> = daily.scopes.iter().map(|s| s.as_str()).collect();
        assert_eq!(scopes, ["full-database"]);
        // Presets as scopes mean what the presets mean.
        for (name, scope) in &config.scopes {
            let preset = crate::presets::preset_selection(name.as_str()).unwrap();
            assert_eq!(scope.selection, preset, "{name}");
        }
    }
}

#[test]
fn the_file_that_setup_writes() {
    assert_snapshot!(default_config(&setup_options()[1]));
}

#[test]
fn differences_are_told_value_by_value() {
    let old = parse(EXAMPLE);
    let new = parse(
        &EXAMPLE
            .replace("at = \"02:00\"\ntime", "at = \"03:00\"\ntime")
            .replace("connections = 2", "connections = 8")
            .replace("[scopes.orders-2026]", "[scopes.orders]")
            .replace("\"orders-2026\", \"customers\"", "\"orders\"")
            .replace("{ days = 2 }", "{ last = 5 }")
            .replace("locations.office", "locations.vault"),
    );
    let changes = diff(&old, &new);
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_snapshot!(lines.join("\n"), @r"
    ~ source erp: connections 2 → 8
    - location office
    + location vault
    + scope orders
    - scope orders-2026
    ~ schedule daily: due every day at 02:00 → every day at 03:00
    ~ schedule orders: retention.keep_days 2 → none, retention.keep_last none → 5, scopes [orders-2026, customers] → [orders]
    ");
    assert!(diff(&old, &old).is_empty());
}

#[test]
fn a_configuration_survives_being_stored() {
    let config = parse(EXAMPLE);
    let stored = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&stored).unwrap(), config);
}

proptest! {
    /// Whatever bytes come, the answer is a configuration or problems inside the file.
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        if let Err(ConfigProblems(problems)) = Config::parse(&text, "f") {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.line <= text.matches('\n').count() + 1);
            }
        }
    }

    /// The example with a piece cut out: the reader meets every half-written form.
    #[test]
    fn no_cut_makes_it_panic(from in 0..EXAMPLE.len(), length in 1..200usize) {
        let cut: String = EXAMPLE.chars().take(from).chain(EXAMPLE.chars().skip(from + length)).collect();
        let _ = Config::parse(&cut, "f");
    }
}

#[test]
fn how_and_where_alerts_are_told() {
    use crate::alert::{Quiet, Severity};
    let config = parse(BASE);
    assert!(config.alerts.is_default());
    let arn = "arn:aws:sns:eu-central-1:123456789012:logisedge-backup-alerts-oncall";
    let text = format!(
        "{BASE}rpo = \"26h\"\nanomaly_ignore = [\"tmp_*\"]\n\
         [alerts]\nquiet = {{ error = \"30 minutes\", info = \"1 day\" }}\n\
         topics = {{ warning = \"{arn}\" }}\n"
    );
    let config = parse(&text);
    let quiet = Quiet {
        error_seconds: 1800,
        info_seconds: 86_400,
        ..Quiet::default()
    };
    assert_eq!(config.alerts.quiet, quiet);
    let topics = &config.alerts.topics;
    assert_eq!(topics.of(Severity::Error), None);
    assert_eq!(topics.of(Severity::Warning).unwrap().as_str(), arn);
    let scope = config.scopes.values().next().unwrap();
    assert_eq!(scope.rpo_seconds, Some(26 * 3600));
    assert_eq!(scope.anomaly_ignore, ["tmp_*"]);
    assert_snapshot!(problems(&format!(
        "{BASE}rpo = \"5m\"\nanomaly_ignore = [\"a[\"]\n[alerts]\nquiet = {{ error = \"soon\", \
         warning = \"40 days\" }}\ntopics = {{ error = \"oncall\", panic = 1 }}\nloud = 1\n"
    )), @r#"
    logisedge.toml:11:7: scopes.full-database.rpo: "5m" is no length of time from "15 minutes" to "366 days"; for example "26h" for a daily backup that may take up to two hours with its verification
    logisedge.toml:12:19: scopes.full-database.anomaly_ignore: "a[" is no table pattern: unclosed character class; missing ']'
    logisedge.toml:14:19: alerts.quiet.error: "soon" is no length of time from "0 minutes" (each alert is told) to "31 days", such as "4h"
    logisedge.toml:14:37: alerts.quiet.warning: "40 days" is no length of time from "0 minutes" (each alert is told) to "31 days", such as "4h"
    logisedge.toml:15:20: alerts.topics.error: "oncall" is no ARN of a standard SNS topic, such as "arn:aws:sns:eu-central-1:123456789012:logisedge-backup-alerts-oncall"
    logisedge.toml:15:30: alerts.topics.panic: unknown key; known here: error, warning, info
    logisedge.toml:16:1: alerts.loud: unknown key; known here: quiet, topics, digest
    "#);
}

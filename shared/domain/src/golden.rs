//! The stored and sent forms against files that were written once: what lies in catalogs, queues
//! and snapshots must stay readable.
//!
//! A file in `tests/golden/` is never changed. A form that changes in a way that its readers notice
//! gets a new version and a new file beside the old ones. A new file is written by running these
//! tests with `LOGISEDGE_GOLDEN=write`, which writes only files that are not there.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::alert::{Alert, AlertSettings, CauseState, Resolution};
use crate::anomaly::{Anomaly, AnomalyState, Measure, Sizes};
use crate::chain::Rhythm;
use crate::event::{DispatchInput, Event, EventError};
use crate::manifest::{
    Chunking, ContentHash, FileEntry, ForeignKeyEdge, Lineage, MANIFEST_VERSION, Manifest,
    PageRange, RangeEntry, RowFormat, SourceFacts, TableEntry, TableStorage,
};
use crate::requests::Requests;
use crate::retention::Retention;
use crate::rpo::Watch;
use crate::run::{Cause, Run, RunStats};
use crate::samples::{at, run, schedule, snapshot, succeeded_run};
use crate::schedule::ScheduleState;
use crate::scope::Selection;
use crate::snapshot::{Hold, Kind};
use crate::storage::StorageTier;

fn golden(name: &str, written: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let file = folder.join(format!("{name}.json"));
    if !file.exists() && std::env::var_os("LOGISEDGE_GOLDEN").is_some_and(|v| v == "write") {
        let text = serde_json::to_string_pretty(written).unwrap();
        std::fs::write(&file, text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|e| panic!("{}: {e}; see golden.rs", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// The file is what we write, and reading it gives the value.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let written = serde_json::to_value(value).unwrap();
    let golden = golden(name, &written);
    assert_eq!(written, golden, "{name}: the stored form changed");
    let read: T = serde_json::from_value(golden).unwrap();
    assert_eq!(read, *value, "{name}: the stored form is read differently");
}

fn events() -> [Event; 5] {
    let (run, snapshot) = (run(), snapshot(1));
    let scope = run.scope.clone();
    [
        Event::BackupRequested {
            run: run.id.clone(),
            scope: scope.clone(),
        },
        Event::SnapshotCommitted {
            run: run.id,
            snapshot: snapshot.id,
            scope: scope.clone(),
            location: snapshot.location,
            chain: snapshot.chain,
        },
        Event::VerifyRequested {
            scope: scope.clone(),
            snapshot: Some(snapshot.id),
        },
        Event::VerifyRequested {
            scope: scope.clone(),
            snapshot: None,
        },
        Event::PruneRequested { scope },
    ]
}

#[test]
fn events_on_the_bus() {
    for (number, event) in events().iter().enumerate() {
        let detail: Value = serde_json::from_str(&event.to_detail()).unwrap();
        assert_eq!(detail["version"], 1);
        assert_eq!(detail["type"], event.detail_type());
        assert_eq!(detail["scope"], event.scope().as_str(), "rules match on it");
        let name = format!("event-v1-{number}-{}", event.detail_type());
        let golden = golden(&name, &detail);
        assert_eq!(detail, golden, "{name}: the form on the bus changed");
        assert_eq!(Event::from_detail(&golden).unwrap(), *event);
    }
}

#[test]
fn events_of_another_form_are_refused_with_a_reason() {
    let read = |detail: Value| Event::from_detail(&detail).unwrap_err();
    assert_eq!(
        read(json!({"version": 2, "type": "PruneRequested", "scope": "items"})),
        EventError::Version { found: 2 }
    );
    insta::assert_snapshot!(read(json!({"version": 2})), @"the event's version is 2, this program reads version 1: deploy the same version of all functions");
    for (detail, wanted) in [
        (json!({}), "no version"),
        (json!("text"), "no version"),
        (json!(null), "no version"),
        (json!({"version": "1"}), "no version"),
        (json!({"version": -1}), "no version"),
        (json!({"version": 1}), "type"),
        (json!({"version": 1, "type": "Nonsense"}), "Nonsense"),
        (json!({"version": 1, "type": "PruneRequested"}), "scope"),
        (
            json!({"version": 1, "type": "PruneRequested", "scope": "../x"}),
            "scope name",
        ),
    ] {
        let error = read(detail.clone()).to_string();
        assert!(error.contains(wanted), "{detail}: {error}");
    }
    // A later minor form may add fields, which this one passes over.
    let more = json!({"version": 1, "type": "PruneRequested", "scope": "items", "new": 1});
    assert!(Event::from_detail(&more).is_ok());
}

#[test]
fn inputs_of_the_dispatcher() {
    let run = DispatchInput::Run {
        schedule: Some("daily".parse().unwrap()),
        scopes: vec!["customers".parse().unwrap()],
        kind: None,
        token: Some("8d2f41".to_owned()),
    };
    let of_kind = DispatchInput::Run {
        schedule: None,
        scopes: vec!["customers".parse().unwrap()],
        kind: Some(Kind::Incremental),
        token: None,
    };
    check("dispatch-tick", &DispatchInput::Tick);
    check("dispatch-run", &run);
    check("dispatch-run-kind", &of_kind);
    check("dispatch-verify-all", &DispatchInput::VerifyAll);
    check("dispatch-prune-all", &DispatchInput::PruneAll);
    // What an operator's own rule may leave out.
    let short: DispatchInput =
        serde_json::from_value(json!({"do": "run", "scopes": ["items"]})).unwrap();
    let scopes = vec!["items".parse().unwrap()];
    let (schedule, kind, token) = (None, None, None);
    assert_eq!(
        short,
        DispatchInput::Run {
            schedule,
            scopes,
            kind,
            token
        }
    );
    for wrong in [
        json!({}),
        json!({"do": "everything"}),
        json!({"do": "run", "scope": "items"}),
    ] {
        assert!(
            serde_json::from_value::<DispatchInput>(wrong.clone()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn records_of_the_catalog() {
    check("run-requested", &run());
    check("run-succeeded", &succeeded_run());
    let mut incremental = succeeded_run();
    incremental.kind = Kind::Incremental;
    incremental.kind_taken = Some(Kind::Incremental);
    incremental.kind_reason = None;
    incremental.stats = incremental.stats.map(|stats| RunStats {
        bytes_skipped: 1_000_000_000,
        bytes_new: 40_000_000,
        bytes_shared: 1_400_000_000,
        ..stats
    });
    check("run-incremental", &incremental);
    let mut counted = succeeded_run();
    counted.stats = counted.stats.map(|stats| RunStats {
        requests: Requests {
            puts: 31,
            gets: 2,
            heads: 1,
            lists: 3,
            deletes: 4,
        },
        ..stats
    });
    check("run-succeeded-counted", &counted);
    let waiting = Run {
        attempts: 1,
        retry_at: Some(at("2026-11-24T01:05:00Z")),
        start_by: Some(at("2026-11-24T01:30:00Z")),
        finish_by: Some(at("2026-11-24T05:00:00Z")),
        ..run()
    };
    check("run-limited", &waiting);
    let manual = Run {
        cause: Cause::Operator { schedule: None },
        ..run()
    };
    check("run-manual", &manual);
    check("snapshot-verified", &snapshot(1));
    let mut incremental = snapshot(3);
    incremental.kind = Kind::Incremental;
    incremental.base = Some(snapshot(1).id);
    check("snapshot-incremental", &incremental);
    let mut due = snapshot(4);
    due.kind_reason = Some("the weekly full is due".to_owned());
    check("snapshot-full-because", &due);
    let mut deleting = snapshot(2);
    deleting.deleting_since = Some(at("2026-11-24T03:00:00Z"));
    deleting.schedule = None;
    deleting.verified_at = None;
    check("snapshot-deleting", &deleting);
    let mut held = snapshot(5);
    held.hold = Some(Hold {
        reason: "audit of 2025".to_owned(),
        by: "anna".to_owned(),
        since: at("2026-11-24T02:00:00Z"),
    });
    check("snapshot-held", &held);

    let mut schedule = schedule();
    schedule.retention = Retention {
        keep_days: Some(7),
        keep_last: Some(3),
        keep_daily: Some(14),
        keep_weekly: Some(8),
        keep_monthly: Some(12),
        keep_yearly: Some(10),
        ..Retention::default()
    };
    let next_slot = Some(at("2026-11-25T01:00:00Z"));
    check(
        "schedule",
        &ScheduleState {
            schedule,
            next_slot,
        },
    );
    let mut differential = ScheduleState {
        schedule: crate::samples::schedule(),
        next_slot,
    };
    differential.schedule.kind = Kind::Differential;
    for (name, rhythm) in [
        ("schedule-weekly", Rhythm::Weekly),
        ("schedule-days", Rhythm::Days(10)),
    ] {
        differential.schedule.full = Some(rhythm);
        check(name, &differential);
    }
    let mut timed = ScheduleState {
        schedule: crate::samples::schedule(),
        next_slot,
    };
    timed.schedule.start_within_seconds = Some(1800);
    timed.schedule.finish_within_seconds = Some(4 * 3600);
    timed.schedule.pause_until = Some(at("2027-01-06T23:00:00Z"));
    timed.schedule.skip_dates = ["2027-05-06", "2027-12-24"]
        .map(|date| date.parse().unwrap())
        .into();
    check("schedule-timed", &timed);
    let within = |text: &str| Some(text.parse().unwrap());
    check(
        "retention-every-rule",
        &Retention {
            keep_hourly: Some(24),
            keep_within: within("2 days"),
            keep_within_hourly: within("36 hours"),
            keep_within_daily: within("14 days"),
            keep_within_weekly: within("8 weeks"),
            keep_within_monthly: within("1 year 6 months"),
            keep_within_yearly: within("10 years"),
            proven: Some(2),
            ..crate::config::KEEP_SEED
        },
    );
    let text = include_str!("../tests/config/every-key.toml");
    let config = crate::config::Config::parse(text, "every-key.toml").unwrap();
    check("configuration", &config);
}

#[test]
fn what_waits_to_be_told() {
    let now = at("2026-11-24T03:00:00Z");
    let mut failed = run();
    failed.reason = Some("the server cannot be reached".to_owned());
    let alert = Alert::run_failed(&failed, now);
    check("alert-failure", &alert);
    let state = CauseState {
        cause: alert.cause(),
        since: now,
        told_at: now,
        told: 1,
        held_back: 12,
        newest: alert,
    };
    check("cause", &state);
    check("alert-resolved", &state.resolved("it works again", now));
    let resolution = Resolution::run_succeeded(&run(), &snapshot(1), now);
    check("resolution", &resolution);
    check("alert-settings", &AlertSettings::default());
}

#[test]
fn what_is_watched() {
    let now = at("2026-11-24T03:00:00Z");
    let watch = Watch {
        scope: run().scope,
        since: now,
        alerted_at: Some(now),
    };
    check("watch", &watch);
    let sizes = Sizes {
        unusual: true,
        ..Sizes::of(&manifest(), snapshot(1).id)
    };
    check("sizes", &sizes);
    let anomaly = Anomaly {
        table: "public.customers".to_owned(),
        measure: Measure::Empty,
        found: 0,
        usual: 2,
    };
    let state = AnomalyState::default().after(&sizes, &[anomaly]);
    check("anomaly-open", &state);
    check("anomaly-meant", &state.confirmed(true, now).unwrap());
}

#[test]
fn a_retention_from_before_the_tiers_is_read() {
    let old: Retention =
        serde_json::from_value(json!({"keep_days": 7, "keep_last": null})).unwrap();
    let keep_days = Some(7);
    assert_eq!(
        old,
        Retention {
            keep_days,
            ..Retention::default()
        }
    );
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        program: "logisedge-backup 0.1.0".to_owned(),
        run: run().id,
        schedule: Some("daily".parse().unwrap()),
        scope: run().scope,
        selection: Selection::Tables {
            include: vec!["customer*".to_owned()],
            exclude: vec!["*_old".to_owned()],
        },
        kind: snapshot(1).kind,
        kind_reason: None,
        base: None,
        tier: StorageTier::Standard,
        taken_at: snapshot(1).taken_at,
        source: SourceFacts {
            name: "erp".parse().unwrap(),
            engine: "postgresql".to_owned(),
            engine_version: "15.18".to_owned(),
            database: "erp".to_owned(),
            encoding: "UTF8".to_owned(),
            details: [("pg_dump".to_owned(), "15.18".to_owned())].into(),
            lineage: None,
        },
        chunking: Chunking {
            algorithm: "fastcdc".to_owned(),
            bytes_min: 131_072,
            bytes_average: 524_288,
            bytes_max: 4_194_304,
        },
        tables: vec![TableEntry {
            schema: "public".to_owned(),
            name: "customers".to_owned(),
            columns: vec!["id".to_owned(), "name ü".to_owned()],
            format: RowFormat::PostgresCopyText,
            files: vec!["/data/public.customers.copy".to_owned()],
            rows: 2,
            bytes: 20,
            content: ContentHash(0x0123_4567_89ab_cdef),
            storage: None,
            ranges: Vec::new(),
        }],
        files: vec![FileEntry {
            path: "/data/public.customers.copy".to_owned(),
            bytes: 20,
        }],
        outside_references: vec![ForeignKeyEdge {
            from: "public.customers".to_owned(),
            to: "public.countries".to_owned(),
            constraint: "customers_country_fkey".to_owned(),
        }],
        notes: vec!["large objects are not part of a scope of tables".to_owned()],
    }
}

#[test]
fn the_manifest() {
    check("manifest-v1", &manifest());
    let mut incremental = manifest();
    incremental.kind = Kind::Incremental;
    incremental.base = Some(snapshot(1).id);
    check("manifest-v1-incremental", &incremental);
    check("manifest-v1-ranges", &with_ranges(manifest()));
    for (format, text) in [
        (RowFormat::PostgresCopyText, "postgres_copy_text"),
        (RowFormat::SqlInsert, "sql_insert"),
        (RowFormat::DatabaseFile, "database_file"),
    ] {
        assert_eq!(serde_json::to_value(format).unwrap(), text);
    }
}

/// What a later snapshot needs to prove that a page range is unchanged.
fn with_ranges(mut manifest: Manifest) -> Manifest {
    manifest.source.lineage = Some(Lineage {
        system_identifier: "7712145119640362563".to_owned(),
        timeline: 1,
        server_version: 150_018,
        database: 16384,
        xmin: 4_294_968_000,
        committed: vec![4_294_968_001, 4_294_968_003],
        rolled_back: vec![4_294_968_002],
    });
    let table = &mut manifest.tables[0];
    table.storage = Some(TableStorage {
        oid: 16404,
        filenode: 16410,
        definition: "ab".repeat(32),
    });
    table.ranges = vec![RangeEntry {
        file: table.files[0].clone(),
        pages: PageRange {
            first: 0,
            count: 2048,
        },
        rows: table.rows,
        bytes: table.bytes,
        content: table.content,
    }];
    manifest
}

#[test]
fn content_hashes_are_32_hexadecimal_digits() {
    for hash in [0, 1, u128::MAX] {
        let text = ContentHash(hash).to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(ContentHash::try_from(text).unwrap(), ContentHash(hash));
    }
    for bad in [
        "",
        "1",
        "+123456789abcdef0123456789abcdef",
        &"g".repeat(32),
        &"0".repeat(33),
    ] {
        assert!(ContentHash::try_from(bad.to_owned()).is_err(), "{bad:?}");
    }
}

#[test]
fn the_last_four_states_of_a_run_are_final_and_all_are_stored_as_shown() {
    use crate::run::RunState::{Failed, Missed, Requested, Running, Skipped, Succeeded};
    for (state, is_final) in [
        (Requested, false),
        (Running, false),
        (Succeeded, true),
        (Failed, true),
        (Skipped, true),
        (Missed, true),
    ] {
        assert_eq!(state.is_final(), is_final, "{state:?}");
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}

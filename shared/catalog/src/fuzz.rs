//! Tests: items as a table may hold them after who knows what: each is read as its own form or
//! refused, and read again as what was written of it.
#![allow(clippy::unwrap_used)]

use chrono::DateTime;
use logisedge_domain::scope::Scope;
use logisedge_fuzz::Fuzz;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::anomalies::{AnomalyItem, SizesItem};
use crate::causes::CauseItem;
use crate::configuration::ConfigItem;
use crate::keys::unstamp;
use crate::outbox::OutboxItem;
use crate::runs::RunItem;
use crate::schedules::ScheduleItem;
use crate::scope_lease::LeaseItem;
use crate::snapshots::SnapshotItem;
use crate::usage::UsageItem;
use crate::verification::FindingsItem;
use crate::watches::WatchItem;

/// The domain's golden files: forms that were stored once.
fn golden(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../domain/tests/golden");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn feed<T: Serialize + DeserializeOwned>(
    name: &'static str,
    samples: &[Value],
    mut with: impl FnMut(T),
) {
    let mut fuzz = Fuzz::new(name, 8_000);
    for sample in samples {
        let item = serde_dynamo::to_item::<_, serde_dynamo::Item>(sample).unwrap();
        let read: Result<T, _> = serde_dynamo::from_item(item);
        assert!(
            read.is_ok(),
            "{name} cannot be read from its sample: {:?}",
            read.err()
        );
        fuzz = fuzz.sample(serde_json::to_vec(sample).unwrap());
    }
    fuzz.run(|bytes| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            return;
        };
        let Ok(item) = serde_dynamo::to_item::<_, serde_dynamo::Item>(value) else {
            return;
        };
        if let Ok(read) = serde_dynamo::from_item::<_, T>(item) {
            // What was read is written and read again as the same.
            let written = serde_dynamo::to_item::<_, serde_dynamo::Item>(&read).unwrap();
            let again: T = serde_dynamo::from_item(written.clone()).unwrap();
            let twice = serde_dynamo::to_item::<_, serde_dynamo::Item>(&again).unwrap();
            assert!(written == twice);
            with(read);
        }
    });
}

fn item(body: Value, more: Value) -> Value {
    let mut item = json!({ "pk": "a", "sk": "b", "body": body });
    let fields = item.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    item
}

const RECENT: &str = "2026-11-24T02:00:00.000Z#x";

#[test]
fn snapshots_and_what_was_found_in_them() {
    let more = json!({ "recent_pk": "r", "recent_at": RECENT });
    let used = json!({
        "recent_pk": "r", "recent_at": RECENT, "in_use_by": ["me", "you"],
        "in_use_until": "2026-11-24T02:00:00.000Z",
    });
    let samples = [
        item(golden("snapshot-verified"), more),
        item(golden("snapshot-deleting"), used),
    ];
    feed("snapshot item", &samples, |item: SnapshotItem| {
        let _ = item.is_in_use(DateTime::UNIX_EPOCH);
    });
    let finding = json!({ "kind": "missing", "object": "data/ab", "detail": "it is not there" });
    let samples = [item(
        json!([finding]),
        json!({ "sk": "2026-11-24T02:00:00.000Z#0" }),
    )];
    feed("findings item", &samples, |item: FindingsItem| {
        let _ = item.verification();
    });
}

#[test]
fn runs_leases_and_messages() {
    let more = json!({ "recent_pk": "r", "recent_at": RECENT, "open_pk": "o", "open_at": RECENT });
    let samples = ["run-manual", "run-requested", "run-succeeded"]
        .map(|name| item(golden(name), more.clone()));
    feed("run item", &samples, |_: RunItem| {});
    let lease = json!({
        "pk": "a", "sk": "b", "fence": 7, "holder": "me", "held_for": golden("run-succeeded")["id"],
        "since": "2026-11-24T02:00:00.000Z", "until": "2026-11-24T02:00:00.000Z",
    });
    feed("lease item", &[lease], |item: LeaseItem| {
        let _ = (item.held_until(DateTime::UNIX_EPOCH), item.since());
    });
    let mut event = golden("event-v1-1-SnapshotCommitted");
    event.as_object_mut().unwrap().remove("version");
    let samples = [item(json!({ "to": "event", "what": event }), json!({}))];
    feed("outbox item", &samples, |_: OutboxItem| {});
    let samples = [
        item(
            json!({ "to": "alert", "what": golden("alert-failure") }),
            json!({}),
        ),
        item(
            json!({ "to": "resolution", "what": golden("resolution") }),
            json!({}),
        ),
    ];
    feed("outbox item of an alert", &samples, |_: OutboxItem| {});
    let more = json!({
        "version": 3, "claimed_until": RECENT, "open_pk": "o", "open_at": RECENT,
        "recent_pk": "r", "recent_at": RECENT,
    });
    feed(
        "cause item",
        &[item(golden("cause"), more)],
        |_: CauseItem| {},
    );
}

#[test]
fn what_is_watched() {
    let more = json!({
        "open_pk": "o", "open_at": RECENT, "since": "2026-11-24T02:00:00Z",
    });
    feed(
        "watch item",
        &[item(golden("watch"), more)],
        |_: WatchItem| {},
    );
    feed(
        "sizes item",
        &[item(golden("sizes"), json!({}))],
        |_: SizesItem| {},
    );
    let flat = |body: Value| {
        let mut item = json!({ "pk": "a", "sk": "b" });
        let fields = item.as_object_mut().unwrap();
        fields.extend(body.as_object().unwrap().clone());
        item
    };
    let samples = [flat(golden("anomaly-open")), flat(golden("anomaly-meant"))];
    feed("anomaly item", &samples, |_: AnomalyItem| {});
    let usage =
        flat(json!({ "bytes": -7, "listed_at": "2026-11-24T02:00:00Z", "level": "ninety" }));
    feed("usage item", &[usage], |_: UsageItem| {});
}

#[test]
fn schedules_and_configurations() {
    let schedule = golden("schedule")["schedule"].clone();
    let more = json!({ "due_pk": "d", "due_at": "2026-11-24T02:00:00.000Z" });
    feed(
        "schedule item",
        &[item(schedule, more)],
        |item: ScheduleItem| {
            let _ = item.into_state();
        },
    );
    let scopes = golden("configuration")["scopes"].clone();
    let scope = match &scopes {
        Value::Array(list) => list[0].clone(),
        other => other.as_object().unwrap().values().next().unwrap().clone(),
    };
    feed(
        "scope item",
        &[item(scope, json!({}))],
        |_: ConfigItem<Scope>| {},
    );
}

#[test]
fn times_in_keys() {
    Fuzz::new("time in a key", 20_000)
        .sample("2026-11-24T02:00:00.000Z")
        .run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Some(at) = unstamp(&text) {
                let again = crate::keys::stamp(at);
                assert_eq!(
                    unstamp(&again).map(|at| at.timestamp_millis()),
                    Some(at.timestamp_millis())
                );
            }
        });
}

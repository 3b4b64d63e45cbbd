//! Events as a bus delivers them: once for each scope, then again, late, out of order, and from strangers.

use std::collections::BTreeSet;

use chrono::Utc;
use logisedge_domain::event::Event;
use logisedge_domain::run::{Run, RunState};
use serde_json::json;

use crate::support::alerts::{Alerts, Tap};
use crate::support::database::sqlite;
use crate::support::stack::{Stack, rare};
use crate::support::wait::wait_for;

/// Each preset, and a table for each of its patterns.
const PRESETS: [(&str, &[&str]); 6] = [
    ("full-database", &[]),
    ("customers", &["customer_address"]),
    ("items", &["item", "stock_level", "supplier", "warehouse"]),
    (
        "transactions",
        &[
            "purchase_order",
            "sales_order",
            "shipment",
            "stock_movement",
        ],
    ),
    (
        "financial",
        &["account", "invoice", "journal_entry", "payment", "tax_rate"],
    ),
    ("documents", &["document"]),
];
const REPEATED: usize = 5;

#[tokio::test]
async fn every_scope_of_a_schedule_gets_one_event_and_one_run() {
    let stack = Stack::deploy("fan").await;
    let erp = stack.path("erp.db");
    let every_table: Vec<&str> = PRESETS
        .iter()
        .flat_map(|(_, tables)| *tables)
        .copied()
        .collect();
    sqlite(&erp, &every_table, 50);
    let mut text = format!(
        "version = 1\n[sources.erp]\nkind = \"sqlite\"\npath = \"{}\"\n{}",
        erp.display(),
        stack.location()
    );
    for (preset, _) in PRESETS {
        text += &format!("[scopes.{preset}]\npreset = \"{preset}\"\n");
    }
    let scopes = PRESETS.map(|(preset, _)| preset);
    text += &rare(&scopes, "{ last = 2 }");
    stack.apply(&stack.write("all.toml", &text));
    let tap = Tap::on(&stack).await;

    let runs = stack
        .cli(&["run", "rare", "--force", "--wait", "--json"])
        .json();
    let runs: Vec<Run> = serde_json::from_value(runs).unwrap();
    assert!(
        runs.iter().all(|run| run.state == RunState::Succeeded),
        "{runs:#?}"
    );
    let ran: BTreeSet<&str> = runs.iter().map(|run| run.scope.as_str()).collect();
    assert_eq!(ran, BTreeSet::from(scopes));
    assert_eq!(runs.len(), scopes.len());
    assert_eq!(stack.runs().await.len(), scopes.len());

    let requested = tap.of_type("BackupRequested").await;
    assert_eq!(requested.len(), scopes.len(), "{requested:#?}");
    let of: BTreeSet<&str> = requested
        .iter()
        .map(|detail| detail["scope"].as_str().unwrap())
        .collect();
    assert_eq!(of, BTreeSet::from(scopes));

    for (preset, expected) in PRESETS {
        let shown = stack
            .cli(&["show", "latest", "--scope", preset, "--json"])
            .json();
        let tables = shown["manifest"]["tables"].as_array().unwrap();
        let names: BTreeSet<&str> = tables.iter().map(|t| t["name"].as_str().unwrap()).collect();
        let expected = if expected.is_empty() {
            &every_table
        } else {
            expected
        };
        assert_eq!(names, expected.iter().copied().collect(), "{preset}");
    }
    stack.delete().await;
}

#[tokio::test]
async fn repeated_late_and_unreadable_events_change_nothing() {
    let stack = Stack::deploy("again").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 2000);
    let config = stack.sqlite_config(&erp, &[("customers", "customer")], "{ last = 9 }");
    stack.apply(&stack.write("config.toml", &config));
    let alerts = Alerts::of(&stack).await;

    // The same request many times at once, while it is worked on.
    let request = json!({ "do": "run", "scopes": ["customers"], "token": "first" });
    let answer = stack.invoke("Dispatcher", &request).await;
    let event: Event = serde_json::from_value(answer["events"][0].clone()).unwrap();
    for _ in 0..REPEATED {
        stack.publish("BackupRequested", &event.to_detail()).await;
    }
    let record = stack.judged("customers").await;

    // And when all is over, with what followed from it in the wrong order.
    let committed = Event::SnapshotCommitted {
        run: record.run.clone(),
        snapshot: record.id,
        scope: record.scope.clone(),
        location: record.location.clone(),
        chain: record.chain.clone(),
    };
    for _ in 0..REPEATED {
        stack
            .publish("SnapshotCommitted", &committed.to_detail())
            .await;
        stack.publish("BackupRequested", &event.to_detail()).await;
    }
    // A direct invocation answers when the event is handled.
    let detail: serde_json::Value = serde_json::from_str(&event.to_detail()).unwrap();
    let late = stack.invoke("Backup", &json!({ "detail": detail })).await;
    assert_eq!(late["nothing"], "the run has ended already");
    let runs = stack.runs().await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, RunState::Succeeded);
    assert_eq!(runs[0].attempts, 1);
    let records = stack.snapshots("customers");
    assert_eq!(records.len(), 1);
    let keys = stack.keys(&stack.prefix("customers")).await;
    assert!(
        keys.iter()
            .all(|key| key.starts_with(&stack.prefix(record.chain.as_str()))),
        "an attempt too many left something: {keys:?}"
    );

    // The operator's request is delivered twice as well, the second time seconds later.
    let envelope = json!({
        "source": "logisedge.cli",
        "detail-type": "DispatchRequested",
        "time": Utc::now().to_rfc3339(),
        "detail": { "do": "run", "scopes": ["customers"], "token": "second" },
    });
    let answer = stack.invoke("Dispatcher", &envelope).await;
    assert_eq!(answer["requested"].as_array().unwrap().len(), 1, "{answer}");
    let second = Utc::now().timestamp();
    let later = async || (Utc::now().timestamp() > second).then_some(());
    wait_for("another second", 5, later).await;
    let answer = stack.invoke("Dispatcher", &envelope).await;
    assert_eq!(answer["requested"], json!([]), "{answer}");
    let all_ended = async || {
        let runs = stack.runs().await;
        (runs.len() >= 2 && runs.iter().all(|run| run.state.is_final())).then_some(runs)
    };
    wait_for("the second request to end", 60, all_ended).await;

    strangers(&stack, &alerts).await;

    let run = stack.run("customers");
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let manual = |token: &str| format!("manual-{token}.");
    let runs = stack.runs().await;
    let of_second = runs
        .iter()
        .filter(|run| run.id.as_str().starts_with(&manual("second")));
    assert_eq!(of_second.count(), 1, "{runs:#?}");
    assert_eq!(runs.len(), 3, "{runs:#?}");
    stack.delete().await;
}

/// What nobody can read is told, each once, and stops nothing.
async fn strangers(stack: &Stack, alerts: &Alerts) {
    let future = json!({ "version": 99, "type": "BackupRequested", "run": "later" });
    stack.publish("BackupRequested", &future.to_string()).await;
    let told = alerts.expect("dead_letter", "version is 99").await;
    assert!(
        told.alert.to_string().contains("deploy the same version"),
        "{told:?}"
    );

    stack
        .publish("SnapshotCommitted", r#"{"snapshot": 7}"#)
        .await;
    alerts.expect("dead_letter", "has no version").await;

    stack
        .publish(
            "PruneRequested",
            r#"{"version":1,"type":"PruneRequested","scope":"../etc"}"#,
        )
        .await;
    alerts.expect("dead_letter", "../etc").await;

    let unknown = Event::BackupRequested {
        run: "manual-nobody.20200101T000000Z.customers".parse().unwrap(),
        scope: "customers".parse().unwrap(),
    };
    stack.publish("BackupRequested", &unknown.to_detail()).await;
    alerts
        .expect("dead_letter", "there is no run manual-nobody")
        .await;

    stack
        .publish_as("logisedge.cli", "DispatchRequested", r#"{"do":"dance"}"#)
        .await;
    alerts.expect("dead_letter", "dance").await;
    let scope = r#"{"do":"run","scopes":["nowhere"]}"#;
    stack
        .publish_as("logisedge.cli", "DispatchRequested", scope)
        .await;
    alerts
        .expect("dead_letter", "there is no scope nowhere")
        .await;

    for payload in [
        json!(null),
        json!([1, 2]),
        json!("text"),
        json!({ "detail": [] }),
    ] {
        for function in ["Dispatcher", "Backup", "Verify", "Prune"] {
            let answer = stack.invoke(function, &payload).await;
            assert!(
                answer["failed"].is_string(),
                "{function} took {payload}: {answer}"
            );
        }
    }
}

//! The main thing: a PostgreSQL database is backed up, verified, alerted of, read by stock restic and psql, and
//! restored; and on the way no secret shows anywhere.

use std::fs;
use std::process::Command;

use chrono::{TimeDelta, Utc};
use logisedge_domain::run::RunState;
use logisedge_domain::snapshot::Trust;
use serde_json::Value;

use crate::support::alerts::{Alerts, Tap};
use crate::support::database::Postgres;
use crate::support::restic::Restic;
use crate::support::said;
use crate::support::stack::Stack;

const DATABASE_PASSWORD: &str = "Kx7-a-database-password-that-nobody-may-see";

#[tokio::test]
async fn a_postgresql_database_is_backed_up_verified_and_restored() {
    let erp = Postgres::with_erp("main", 4);
    let stack = Stack::deploy("main").await;
    let alerts = Alerts::of(&stack).await;
    let tap = Tap::on(&stack).await;

    // From nothing to a configuration in force.
    let file = stack.path("logisedge.toml").display().to_string();
    let secret = stack.secret("database", DATABASE_PASSWORD).await;
    let setup = [
        "setup",
        "--postgres",
        &erp.url(),
        "--database-secret",
        &secret,
        "--out",
        &file,
    ];
    stack.cli(&setup).good();
    let again = stack.cli(&setup).refused(5);
    assert!(again.contains("--overwrite"), "{again}");
    not_due_soon(&file);
    stack.apply(file.as_ref());
    assert!(stack.cli(&["apply", &file]).good().contains("No change."));

    // Not due, then all the same.
    let early = stack.cli(&["run", "daily"]).refused(5);
    assert!(early.contains("--force"), "{early}");
    let runs = stack
        .cli(&["run", "daily", "--force", "--wait", "--json"])
        .json();
    assert_eq!(runs[0]["state"], "succeeded", "{runs}");

    // Read back by the pipeline itself, because of the event alone.
    let record = stack.judged("full-database").await;
    assert_eq!(record.trust, Trust::Verified);
    assert_eq!(runs[0]["snapshot"], record.id.to_string());

    let told = alerts.expect("success", &record.id.to_string()).await;
    assert!(told.subject.contains("full-database"), "{}", told.subject);
    assert_eq!(told.attributes["kind"]["Value"], "success");
    assert_eq!(told.attributes["scope"]["Value"], "full-database");
    assert_eq!(told.alert["schedule"], "daily");

    shown_to_people_and_programs(&stack, &record.id.to_string());

    // With none of our code.
    let restic = Restic::of(&stack, record.chain.as_str()).await;
    restic.check();
    let folder = stack.path("restored");
    restic.restore(&folder);
    let by_psql = Postgres::create("bypsql");
    let mut psql = Command::new("psql");
    psql.args([
        "-Xq",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &by_psql.url(),
        "-f",
        "restore.sql",
    ]);
    said(psql.current_dir(&folder));
    assert_eq!(by_psql.content(), erp.content());

    // With ours, which compares.
    let ours = Postgres::create("ours");
    let restore = ["restore", "latest", "--to", &ours.url(), "--json"];
    let restored = stack.cli(&restore).json();
    let tables = restored["tables"].as_array().unwrap();
    assert_eq!(tables.len() as u64, record.tables);
    for table in tables {
        assert_eq!(table["rows"], table["rows_expected"], "{table}");
        assert_eq!(table["content"], table["content_expected"], "{table}");
    }
    assert_eq!(ours.content(), erp.content());

    let occupied = stack.cli(&restore).refused(5);
    assert!(occupied.contains("--overwrite"), "{occupied}");
    ours.sql("CREATE TABLE left_over AS SELECT 1 AS id");
    let mut overwrite = restore.to_vec();
    overwrite.push("--overwrite");
    stack.cli(&overwrite).good();
    assert_eq!(ours.content(), erp.content());

    no_secret_shows(&stack, &alerts, &tap).await;
    stack.delete().await;
}

/// Moves the daily run away from the present, whatever time of day it is.
fn not_due_soon(file: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("at = \"02:00\""), "{text}");
    let before = (Utc::now() - TimeDelta::hours(2)).format("at = \"%H:%M\"");
    let changed = text.replace("at = \"02:00\"", &before.to_string());
    fs::write(file, changed).unwrap();
}

fn shown_to_people_and_programs(stack: &Stack, id: &str) {
    let status = stack.cli(&["status", "--json"]).json();
    assert_eq!(status["schedules"][0]["schedule"]["name"], "daily");
    assert_eq!(status["runs"][0]["state"], "succeeded");
    assert_eq!(status["runs"][0]["snapshot"], id);
    let scopes = status["scopes"].as_array().unwrap();
    let full = scopes
        .iter()
        .find(|scope| scope["scope"] == "full-database");
    assert_eq!(full.unwrap()["newest"]["id"], id);
    assert!(stack.cli(&["status"]).good().contains("succeeded"));

    let listed = stack.cli(&["snapshots"]).good();
    assert!(
        listed.contains(&id[..8]) && listed.contains("verified"),
        "{listed}"
    );
    let shown = stack.cli(&["show", &id[..8], "--json"]).json();
    assert_eq!(shown["record"]["id"], id);
    assert_eq!(shown["findings"], Value::Array(Vec::new()));
    assert!(shown["manifest"]["tables"].as_array().unwrap().len() > 5);
}

/// Everything that a run leaves behind is searched for the two passwords.
async fn no_secret_shows(stack: &Stack, alerts: &Alerts, tap: &Tap) {
    let repository_password = stack.repository_password().await;
    let secrets = [DATABASE_PASSWORD, repository_password.as_str()];
    let logs = stack.logs().await;
    assert!(
        logs.iter().any(|line| line.contains("succeeded")),
        "no logs: {logs:?}"
    );
    let items: Vec<String> = stack
        .items()
        .await
        .iter()
        .map(|item| format!("{item:?}"))
        .collect();
    assert!(items.len() > 5);
    let events: Vec<String> = tap.all().await.iter().map(Value::to_string).collect();
    assert!(
        events
            .iter()
            .any(|event| event.contains("SnapshotCommitted")),
        "{events:?}"
    );
    let alerts: Vec<String> = alerts
        .all()
        .await
        .iter()
        .map(|told| format!("{told:?}"))
        .collect();
    for (place, texts) in [
        ("log", logs),
        ("item", items),
        ("event", events),
        ("alert", alerts),
    ] {
        for text in texts {
            for secret in secrets {
                assert!(!text.contains(secret), "a secret is in a {place}: {text}");
            }
        }
    }
    assert!(
        stack
            .runs()
            .await
            .iter()
            .all(|run| run.state == RunState::Succeeded)
    );
}

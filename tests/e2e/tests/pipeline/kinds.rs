//! A schedule with a rhythm: a full begins the chain, incrementals and differentials go on with it, and stock
//! restic and psql restore each of them.

use std::path::Path;
use std::process::Command;

use logisedge_domain::run::{Run, RunState};
use logisedge_domain::snapshot::{Kind, SnapshotRecord};

use crate::support::alerts::Alerts;
use crate::support::database::Postgres;
use crate::support::restic::Restic;
use crate::support::said;
use crate::support::stack::{Stack, rare};

const SCOPE: &str = "full-database";

/// Runs the schedule, or one kind of it, and returns the run with its snapshot.
async fn run(stack: &Stack, kind: Option<&str>) -> (Run, SnapshotRecord) {
    let mut arguments = vec!["run", "rare", "--force", "--wait", "--json"];
    arguments.extend(kind.iter().flat_map(|kind| ["--kind", kind]));
    let runs: Vec<Run> = serde_json::from_value(stack.cli(&arguments).json()).unwrap();
    let run = runs.into_iter().next().unwrap();
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let record = stack.judged(SCOPE).await;
    assert_eq!(run.snapshot, Some(record.id));
    assert_eq!(run.chain.as_ref(), Some(&record.chain));
    (run, record)
}

/// A new database, rebuilt by psql from what restic restored.
fn rebuilt(folder: &Path) -> Postgres {
    let database = Postgres::create("kinds");
    let mut psql = Command::new("psql");
    psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f", "restore.sql", "-d"]);
    said(psql.arg(database.url()).current_dir(folder));
    database
}

#[tokio::test]
async fn a_schedule_with_a_rhythm_takes_a_full_and_then_what_it_says() {
    let erp = Postgres::with_erp("kinds", 4);
    let stack = Stack::deploy("kinds").await;
    let alerts = Alerts::of(&stack).await;
    let config = format!(
        "version = 1\ntime_zone = \"UTC\"\n[sources.erp]\n{}{}[scopes.{SCOPE}]\npreset = \"{SCOPE}\"\n{}\
         kind = \"incremental\"\nfull = \"monthly\"\n",
        erp.source(),
        stack.location(),
        rare(&[SCOPE], "{ last = 9 }"),
    );
    let config = stack.write("config.toml", &config);
    stack.apply(&config);

    let (first, full) = run(&stack, None).await;
    assert_eq!((first.kind, full.kind), (Kind::Incremental, Kind::Full));
    let why = first.kind_reason.unwrap();
    assert!(why.contains("no earlier full"), "{why}");
    let told = alerts.expect("success", &full.id.to_string()).await;
    assert!(told.alert["details"].to_string().contains(&why), "{told:?}");
    assert!(stack.cli(&["status"]).good().contains(&why));
    let shown = stack.cli(&["show", &full.id.short()]).good();
    assert!(shown.contains(&why), "{shown}");
    let status = stack.cli(&["status", "--json"]).json();
    assert_eq!(status["runs"][0]["kind_reason"], why);
    assert_eq!(status["scopes"][0]["newest"]["kind_reason"], why);
    let states = [(full.id, erp.content())];

    let mut states = states.to_vec();
    for (n, kind) in [None, Some("differential"), None].into_iter().enumerate() {
        erp.sql(&format!(
            "CREATE TABLE IF NOT EXISTS later (id int PRIMARY KEY, note text);
             INSERT INTO later SELECT i, md5(i::text) FROM generate_series({n} * 1000, {n} * 1000 + 999) i;
             DELETE FROM later WHERE id % 7 = {n}"
        ));
        let (run, record) = run(&stack, kind).await;
        let expected = kind.map_or(Kind::Incremental, |kind| kind.parse().unwrap());
        assert_eq!((run.kind, run.kind_taken), (expected, Some(expected)));
        assert_eq!((record.kind, &record.chain), (expected, &full.chain));
        assert_eq!(run.kind_reason, None);
        let stats = run.stats.unwrap();
        assert!(stats.bytes_new < stats.bytes_shared, "{stats:?}");
        assert!(stats.bytes_stored < full.bytes_stored, "{stats:?}");
        assert!(stats.rows >= full.rows, "{stats:?}");
        states.push((record.id, erp.content()));
    }

    // With none of our code, each one.
    let restic = Restic::of(&stack, full.chain.as_str()).await;
    restic.check();
    for (id, content) in &states {
        let folder = stack.path(&id.short());
        restic.restore_snapshot(&id.to_string(), &folder);
        assert_eq!(rebuilt(&folder).content(), *content, "{}", id.short());
    }

    // A full when it is asked for: another chain, and the next incremental builds on that.
    let (_, alone) = run(&stack, Some("full")).await;
    assert_ne!(alone.chain, full.chain);
    let (_, next) = run(&stack, None).await;
    assert_eq!((next.kind, next.chain), (Kind::Incremental, alone.chain));
    stack.delete().await;
}

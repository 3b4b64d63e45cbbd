//! Schedules that fire by themselves, through the minute rule alone.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use logisedge_domain::run::{Cause, Run, RunState};
use serde_json::json;

use crate::support::alerts::Tap;
use crate::support::database::sqlite;
use crate::support::stack::Stack;
use crate::support::wait::wait_for;

/// Two slots a minute apart, the wait for the first, and a slow machine. The emulator fires the rule every 60 to 70 s.
const TWO_SLOTS_SECONDS_MAX: u64 = 330;

/// Ticks beside the rule's own, all at once.
const TICKS: usize = 6;

#[tokio::test]
async fn a_schedule_fires_each_minute_and_no_slot_twice() {
    let stack = Stack::deploy("minute").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 100);
    let config = stack.sqlite_config(&erp, &[("customers", "customer")], "{ last = 9 }");
    let config = config.replace(
        "every = \"year\"\ndate = \"02-29\"\nat = \"00:00\"",
        "every = \"1 minute\"",
    );
    stack.apply(&stack.write("config.toml", &config));
    let tap = Tap::on(&stack).await;

    let runs = wait_for("two slots to succeed", TWO_SLOTS_SECONDS_MAX, async || {
        let tick = json!({ "do": "tick" });
        if stack.runs().await.is_empty() {
            return None; // nobody but the rule starts the first one
        }
        // From then on, dispatchers race for each slot.
        join_all((0..TICKS).map(|_| stack.invoke("Dispatcher", &tick))).await;
        let runs = stack.runs().await;
        (succeeded(&runs).len() >= 2).then_some(runs)
    })
    .await;

    let mut by_slot: BTreeMap<_, usize> = BTreeMap::new();
    for run in &runs {
        let Cause::Schedule { slot, .. } = run.cause else {
            panic!("{run:?}");
        };
        *by_slot.entry(slot).or_default() += 1;
        assert_eq!(slot.timestamp() % 60, 0);
        assert!(run.requested_at >= slot, "before its time: {run:?}");
    }
    assert!(by_slot.values().all(|count| *count == 1), "{by_slot:?}");
    let records = stack.snapshots("customers");
    for run in succeeded(&runs) {
        let of_run = records.iter().filter(|record| record.run == run.id);
        assert_eq!(of_run.count(), 1, "{run:?}");
        assert_eq!(run.attempts, 1, "{run:?}");
        let events = tap.of_type("BackupRequested").await;
        let of_run = events
            .iter()
            .filter(|event| event["run"] == run.id.as_str());
        assert_eq!(of_run.count(), 1, "{events:?}");
    }
    stack.delete().await;
}

fn succeeded(runs: &[Run]) -> Vec<&Run> {
    runs.iter()
        .filter(|run| run.state == RunState::Succeeded)
        .collect()
}

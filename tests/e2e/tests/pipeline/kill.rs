//! The backup function killed at random instants: whatever it leaves, the next attempt succeeds from there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::Utc;
use logisedge_domain::run::{Run, RunState};
use serde_json::json;

use crate::support::database::sqlite;
use crate::support::output;
use crate::support::restic::Restic;
use crate::support::stack::Stack;
use crate::support::wait::wait_for;

/// Scopes, each killed once in its first attempt.
const KILLS: usize = 10;

/// Rows of the table that each scope holds: enough work to be killed in the middle of it.
const ROWS: u32 = 60_000;

/// The time that one that is not killed takes, on a slow machine.
const ONE_ENDS_WITHIN_SECONDS: u64 = 60;

/// The emulator looks after a process ten times a second, but not after one that waits for work.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// A lease of 90 s, a pause before the next attempt, the attempt itself, and a slow machine.
const ALL_END_WITHIN: Duration = Duration::from_secs(220);

/// Numbers that look random and repeat for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[tokio::test]
async fn a_backup_killed_at_any_instant_is_made_good_by_the_next_attempt() {
    let seed = std::env::var("LOGISEDGE_TEST_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |seed| seed.parse().expect("LOGISEDGE_TEST_SEED is a number"),
    );
    println!("LOGISEDGE_TEST_SEED={seed}");
    let mut random = Random(seed);

    let stack = Stack::deploy("kill").await;
    let erp = stack.path("erp.db");
    let tables: Vec<String> = (0..=KILLS).map(|n| format!("table_{n}")).collect();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    sqlite(&erp, &tables, ROWS);
    let names: Vec<String> = (0..=KILLS).map(|n| format!("scope-{n}")).collect();
    let scopes: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(tables).collect();
    let config = stack.sqlite_config(&erp, &scopes, "{ last = 9 }");
    stack.apply(&stack.write("config.toml", &config));

    // The first lives, and tells how long a backup takes on this machine. The others die one after the other, each in
    // its own part of that time: where one dies while it starts, the emulator ends all of its function's processes.
    let (unharmed, killed) = names.split_first().unwrap();
    let life = life_of_one(&stack, unharmed).await;
    let mut deaths = Vec::new();
    for (part, scope) in killed.iter().enumerate() {
        let after = life.mul_f64((part as f64 + random.share()) / KILLS as f64);
        stack.cli(&["run", "--scope", scope]).good();
        kill_after(&stack, after).await;
        deaths.push(after);
    }
    println!("killed after {deaths:?} of {life:?}");

    let runs = all_final(&stack).await;
    let interrupted = runs.iter().filter(|run| run.attempts > 1).count();
    println!("{interrupted} runs lost an attempt");
    assert!(
        interrupted >= KILLS / 4,
        "nearly every kill came too early or too late: {deaths:?} of {life:?}"
    );

    for run in &runs {
        assert_eq!(run.state, RunState::Succeeded, "seed {seed}: {run:?}");
        let records = stack.snapshots(run.scope.as_str());
        assert_eq!(records.len(), 1, "seed {seed}: {records:?}");
        assert_eq!(run.snapshot, Some(records[0].id));
        let restic = Restic::of(&stack, records[0].chain.as_str()).await;
        restic.check();
    }
    what_was_never_committed_is_not_offered(&stack, &runs).await;

    // What died leaves nothing held: each scope backs up again at once.
    let run = stack.run(&killed[0]);
    assert_eq!(run.state, RunState::Succeeded, "seed {seed}: {run:?}");
    assert_eq!(run.attempts, 1);
    stack.delete().await;
}

/// From the request of a backup that nothing disturbs to its end.
async fn life_of_one(stack: &Stack, scope: &str) -> Duration {
    stack.cli(&["run", "--scope", scope]).good();
    let asked = Utc::now();
    let ended = wait_for("the first backup", ONE_ENDS_WITHIN_SECONDS, async || {
        stack.runs().await.first()?.ended_at
    });
    (ended.await - asked).to_std().unwrap()
}

/// Kills the backup function some time after it was asked for, or as soon as it is there, and lets the emulator see
/// it: what it ends then is not what runs next.
async fn kill_after(stack: &Stack, after: Duration) {
    tokio::time::sleep(after).await;
    let processes = wait_for("the backup function", ONE_ENDS_WITHIN_SECONDS, async || {
        Some(stack.processes("Backup")).filter(|processes| !processes.is_empty())
    });
    let processes = processes.await;
    for pid in &processes {
        // One that the emulator ended in the same moment is none to kill.
        output(Command::new("kill").args(["-9", &pid.to_string()]));
    }
    let give_up = Instant::now() + SEEN_WITHIN;
    while Instant::now() < give_up && processes.iter().any(|pid| is_listed(*pid)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process lives, or its parent has yet to see that it died.
fn is_listed(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Every run, once all have ended. The minute rule alone would do; more ticks only hurry it.
async fn all_final(stack: &Stack) -> Vec<Run> {
    let give_up = Instant::now() + ALL_END_WITHIN;
    loop {
        stack.invoke("Dispatcher", &json!({ "do": "tick" })).await;
        let runs = stack.runs().await;
        if runs.len() == KILLS + 1 && runs.iter().all(|run| run.state.is_final()) {
            return runs;
        }
        assert!(Instant::now() < give_up, "not all ended: {runs:#?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// An attempt that died between writing its snapshot object and the commit leaves a snapshot that is whole: it is
/// not offered, prune names it and deletes nothing of it, and only a rebuild of the catalog would take it up.
async fn what_was_never_committed_is_not_offered(stack: &Stack, runs: &[Run]) {
    let committed: BTreeSet<&str> = runs
        .iter()
        .map(|run| run.chain.as_ref().unwrap().as_str())
        .collect();
    let plans = stack
        .cli(&["prune", "--dry-run", "--json"])
        .json()
        .to_string();
    let root = stack.prefix("").replace("//", "/");
    for key in stack.keys(&root).await {
        let chain = key.strip_prefix(&root).unwrap().split_once("/snapshots/");
        let Some((chain, _)) = chain.filter(|(chain, _)| !committed.contains(chain)) else {
            continue;
        };
        println!("{chain} was whole and never committed");
        Restic::of(stack, chain).await.check();
        assert!(
            plans.contains(chain),
            "prune does not name {chain}: {plans}"
        );
    }
}

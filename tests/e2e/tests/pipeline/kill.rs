//! The backup function killed at random instants: whatever it leaves, the next attempt succeeds from there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use logisedge_domain::run::{Run, RunState};
use serde_json::json;

use crate::support::database::sqlite;
use crate::support::output;
use crate::support::restic::Restic;
use crate::support::stack::Stack;

/// Scopes that are backed up side by side, and so kills.
const KILLS: usize = 10;

/// Rows of the table that each scope holds: some seconds of work when ten share two cores.
const ROWS: u32 = 60_000;

/// Within this of its first work each process is killed.
const KILLED_WITHIN_MS: u64 = 3_000;

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
    let tables: Vec<String> = (0..KILLS).map(|n| format!("table_{n}")).collect();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    sqlite(&erp, &tables, ROWS);
    let names: Vec<String> = (0..KILLS).map(|n| format!("scope-{n}")).collect();
    let scopes: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(tables).collect();
    let config = stack.sqlite_config(&erp, &scopes, "{ last = 9 }");
    stack.apply(&stack.write("config.toml", &config));

    stack.cli(&["run", "rare", "--force"]).good();
    let killed = kill_each_process(&stack, &mut random).await;
    println!("killed after {killed:?}");

    let runs = all_final(&stack).await;
    assert_eq!(runs.len(), KILLS);
    let interrupted = runs.iter().filter(|run| run.attempts > 1).count();
    println!("{interrupted} runs lost an attempt");
    assert!(
        interrupted >= KILLS / 4,
        "nearly every kill came too early or too late: {killed:?}"
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
    let run = stack.run(&names[0]);
    assert_eq!(run.state, RunState::Succeeded, "seed {seed}: {run:?}");
    assert_eq!(run.attempts, 1);
    stack.delete().await;
}

/// Kills each process of the backup function some random time after it was first seen, until enough have been
/// killed or all runs have ended.
async fn kill_each_process(stack: &Stack, random: &mut Random) -> Vec<u64> {
    let mut due: BTreeMap<u32, (Instant, u64)> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    let mut killed = Vec::new();
    let give_up = Instant::now() + Duration::from_secs(60);
    while killed.len() < KILLS && Instant::now() < give_up {
        for pid in stack.processes("Backup") {
            due.entry(pid).or_insert_with(|| {
                let after = random.next() % KILLED_WITHIN_MS;
                (Instant::now() + Duration::from_millis(after), after)
            });
        }
        for (pid, (at, after)) in &due {
            if *at <= Instant::now() && dead.insert(*pid) {
                // One that the emulator ended in the same moment is no kill.
                let sent = output(Command::new("kill").args(["-9", &pid.to_string()]));
                if sent.status.success() {
                    killed.push(*after);
                }
            }
        }
        if due.len() == dead.len() && due.len() >= KILLS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        !killed.is_empty(),
        "no process of the backup function was seen"
    );
    killed
}

/// Every run, once all have ended. The minute rule alone would do; more ticks only hurry it.
async fn all_final(stack: &Stack) -> Vec<Run> {
    let give_up = Instant::now() + ALL_END_WITHIN;
    loop {
        stack.invoke("Dispatcher", &json!({ "do": "tick" })).await;
        let runs = stack.runs().await;
        if runs.len() == KILLS && runs.iter().all(|run| run.state.is_final()) {
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

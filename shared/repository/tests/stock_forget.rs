//! Our retention against stock `restic forget`, on the same snapshots of a real repository.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use chrono::TimeDelta;
use logisedge_domain::Instant;
use logisedge_domain::id::{ScheduleName, SnapshotId};
use logisedge_domain::retention::{Retention, Rules, Span, plan_prune};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::{KnownBlobs, Snapshot};
use serde_json::json;
use world::World;

/// Numbers that are the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The ids that restic would keep. Its clock reads UTC, as ours does.
fn restic_keeps(repository: &Path, rules: &Retention) -> BTreeSet<String> {
    let mut arguments = vec![];
    let count = |count: Option<u32>| count.map(|n| n.to_string());
    let span = |span: Option<Span>| span.map(Span::as_restic);
    for (name, value) in [
        ("last", count(rules.keep_last)),
        ("hourly", count(rules.keep_hourly)),
        ("daily", count(rules.keep_daily)),
        ("weekly", count(rules.keep_weekly)),
        ("monthly", count(rules.keep_monthly)),
        ("yearly", count(rules.keep_yearly)),
        ("within", span(rules.keep_within)),
        ("within-hourly", span(rules.keep_within_hourly)),
        ("within-daily", span(rules.keep_within_daily)),
        ("within-weekly", span(rules.keep_within_weekly)),
        ("within-monthly", span(rules.keep_within_monthly)),
        ("within-yearly", span(rules.keep_within_yearly)),
    ] {
        arguments.extend(value.map(|value| format!("--keep-{name}={value}")));
    }
    let output = Command::new("restic")
        .args(["--no-cache", "--no-lock", "--json", "--repo"])
        .arg(repository)
        .args(["forget", "--dry-run", "--group-by", ""])
        .args(&arguments)
        .env("RESTIC_PASSWORD", world::PASSWORD)
        .env("TZ", "UTC")
        .output()
        .expect("restic must be installed: apt-get install restic");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
    let groups = text.lines().find(|line| line.starts_with('['));
    let groups = groups.unwrap_or_else(|| panic!("{arguments:?}: {text}{errors}"));
    let groups: serde_json::Value = serde_json::from_str(groups).unwrap();
    let groups = groups.as_array().unwrap();
    assert_eq!(groups.len(), 1, "{arguments:?}");
    let kept = groups[0]["keep"].as_array().unwrap().iter();
    kept.map(|snapshot| snapshot["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Since 0.16 a tier that is not full keeps the oldest snapshot, and so do we
/// (<https://github.com/restic/restic/pull/4366>).
fn restic_keeps_the_oldest() -> bool {
    let output = Command::new("restic").arg("version").output();
    let said = String::from_utf8(output.expect("restic must be installed").stdout).unwrap();
    let version = said.split(' ').nth(1).unwrap_or_default();
    let mut numbers = version
        .split('.')
        .map(|number| number.parse::<u32>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (0, 16)
}

fn record(id: SnapshotId, at: Instant) -> SnapshotRecord {
    serde_json::from_value(json!({
        "id": id,
        "scope": "customers",
        "location": "main",
        "chain": "customers/2022-01-01/full_20220101_000000",
        "kind": "full",
        "run": "daily.20220101T000000Z.customers",
        "schedule": "daily",
        "taken_at": at,
        "tables": 1,
        "rows": 1,
        "bytes": 1,
        "bytes_stored": 1,
        "trust": "verified",
    }))
    .unwrap()
}

fn we_keep(records: &[SnapshotRecord], rules: &Retention, now: Instant) -> BTreeSet<String> {
    let schedules: BTreeMap<ScheduleName, Retention> = [("daily".parse().unwrap(), *rules)].into();
    let scope = "customers".parse().unwrap();
    let plan = plan_prune(
        &scope,
        &Rules::from(schedules),
        records,
        &BTreeSet::new(),
        now,
    );
    let kept = plan.decisions.iter().filter(|decision| decision.keep);
    kept.map(|decision| decision.snapshot.to_string()).collect()
}

/// Years of snapshots: bursts within hours, daily runs, and gaps of months.
fn random_times(dice: &mut Dice) -> BTreeSet<Instant> {
    let mut at: Instant = "2022-01-01T00:00:00Z".parse().unwrap();
    let end: Instant = "2025-06-30T00:00:00Z".parse().unwrap();
    let mut times = BTreeSet::new();
    while times.len() < 90 && at < end {
        let minutes = match dice.below(10) {
            0..4 => 1 + dice.below(180),
            4..8 => 600 + dice.below(3_000),
            8 => 10_000 + dice.below(40_000),
            _ => 80_000 + dice.below(200_000),
        };
        at += TimeDelta::minutes(minutes as i64);
        times.insert(at);
    }
    times
}

fn random_rules(dice: &mut Dice) -> Retention {
    let mut rules = Retention::default();
    for count in [
        &mut rules.keep_last,
        &mut rules.keep_hourly,
        &mut rules.keep_daily,
        &mut rules.keep_weekly,
        &mut rules.keep_monthly,
        &mut rules.keep_yearly,
    ] {
        if dice.one_in(4) {
            *count = Some(1 + dice.below(20) as u32);
        }
    }
    for span in [
        &mut rules.keep_within,
        &mut rules.keep_within_hourly,
        &mut rules.keep_within_daily,
        &mut rules.keep_within_weekly,
        &mut rules.keep_within_monthly,
        &mut rules.keep_within_yearly,
    ] {
        if dice.one_in(5) {
            let (years, months) = (dice.below(3), dice.below(8));
            let (days, hours) = (1 + dice.below(40), dice.below(48));
            let text = format!("{years}y{months}m{days}d{hours}h");
            *span = Some(text.parse().unwrap());
        }
    }
    // With no rule at all restic refuses to forget.
    if rules.is_unlimited() {
        rules.keep_last = Some(1);
    }
    rules
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_agrees_with_restic_forget() {
    let mut dice = Dice(0x5eed_0f5e_ed0f_5eed);
    // restic's clock; to both, a snapshot after it would be one of the future.
    let now = chrono::Utc::now();
    let keeps_the_oldest = restic_keeps_the_oldest();
    let mut compared = 0;
    for _ in 0..3 {
        let world = World::new().await;
        let writer = world.repository.writer(KnownBlobs::none());
        let tree = world::store_files(&writer, &[]).await.unwrap();
        writer.finish().await.unwrap();
        let mut records = Vec::new();
        for at in random_times(&mut dice) {
            let snapshot = Snapshot::new(tree, at, [("run", "nightly")]);
            let id = world.repository.commit(snapshot).await.unwrap();
            records.push(record(id, at));
        }
        for _ in 0..25 {
            let rules = random_rules(&mut dice);
            let (ours, theirs) = (
                we_keep(&records, &rules, now),
                restic_keeps(world.folder.path(), &rules),
            );
            let at = |id: &String| {
                let record = records.iter().find(|record| record.id.to_string() == *id);
                record.unwrap().taken_at
            };
            let mut only_ours: Vec<Instant> = ours.difference(&theirs).map(at).collect();
            if !keeps_the_oldest {
                only_ours.retain(|at| *at != records[0].taken_at);
            }
            let only_theirs: Vec<Instant> = theirs.difference(&ours).map(at).collect();
            assert!(
                only_ours.is_empty() && only_theirs.is_empty(),
                "{}: only we keep {only_ours:?}, only restic keeps {only_theirs:?}",
                rules.describe()
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 75);
}

//! What a dispatcher's tick costs: `cargo run --release -p logisedge-engine --example tick SCHEDULES DUE`,
//! against the DynamoDB and EventBridge of the environment. It makes a table with so many schedules of one
//! scope, of which so many are due, and prints as JSON what one tick and its publishing needed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Instant as Stopwatch;

use chrono::{TimeDelta, Utc};
use logisedge_catalog::Catalog;
use logisedge_domain::config::Config;
use logisedge_domain::id::ScheduleName;
use logisedge_domain::schedule::Schedule;
use logisedge_engine::dispatch::{tell_due, tick};
use logisedge_runtime::Aws;

/// Every account and every emulator has it.
const BUS: &str = "default";

const CONFIG: &str = concat!(
    include_str!("../tests/begin.toml"),
    r#"
[scopes.everything]
preset = "full-database"
[schedules.daily]
every = "day"
at = "02:00"
scopes = ["everything"]
"#
);

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|n| n.parse::<usize>().unwrap());
    let (schedules, due) = (numbers.next().unwrap(), numbers.next().unwrap());
    let aws = Aws::from_env().await;
    let name = format!("tick-{:016x}", getrandom::u64().unwrap());
    let catalog = Catalog::create_table(aws.dynamodb(), name).await.unwrap();

    let now = Utc::now();
    let mut config = Config::parse(CONFIG, "tick.toml").unwrap();
    let pattern = config.schedules.remove(0);
    config.schedules = (0..schedules)
        .map(|n| Schedule {
            name: ScheduleName::new(format!("s{n:06}")).unwrap(),
            ..pattern.clone()
        })
        .collect();
    let slot = |n| match n < due {
        true => now - TimeDelta::seconds(30),
        false => now + TimeDelta::days(1),
    };
    let names = config
        .schedules
        .iter()
        .map(|schedule| schedule.name.clone());
    let slots: BTreeMap<_, _> = names
        .enumerate()
        .map(|(n, name)| (name, Some(slot(n))))
        .collect();
    catalog.apply(&config, now, &slots).await.unwrap();

    let before = catalog.spent();
    let began = Stopwatch::now();
    let mut done = tick(&catalog, now).await.unwrap();
    tell_due(&catalog, now, &mut done).await;
    let tick_s = began.elapsed().as_secs_f64();
    let spent = catalog.spent() - before;
    assert!(done.failure.is_none(), "{:?}", done.failure);
    assert_eq!(done.requested.len(), due);
    let began = Stopwatch::now();
    aws.publish(BUS, &done.events).await.unwrap();
    let publish_s = began.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "catalog_requests": spent.requests,
            "read_units": spent.read_units,
            "write_units": spent.write_units,
            "events": done.events.len(),
            "tick_s": tick_s,
            "publish_s": publish_s,
        })
    );
}

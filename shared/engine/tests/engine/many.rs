//! Many schedules, many scopes, much at once: a tick costs what is due, and never more than it can do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use futures_util::stream::{self, StreamExt};
use logisedge_catalog::{Catalog, DUE_AT_ONCE_MAX, RUNS_AT_ONCE_MAX, Settled, Spent};
use logisedge_domain::alert::{Alert, AlertKind, Quiet, Telling};
use logisedge_domain::config::Config;
use logisedge_domain::id::{RunId, ScheduleName, ScopeName};
use logisedge_domain::run::RunState;
use logisedge_domain::schedule::Schedule;
use logisedge_engine::dispatch::{self, Dispatched};

use crate::dispatching::is_nothing;
use crate::world::{World, at, catalog, config, scope, tick};

/// A tick with nothing due, one with ten due, and one after those ten have ended.
async fn costs_among(schedules: usize) -> [Spent; 3] {
    let catalog = catalog().await;
    let mut config = config("");
    let pattern = config.schedules.remove(0);
    config.schedules = (0..schedules)
        .map(|n| Schedule {
            name: ScheduleName::new(format!("s{n:05}")).unwrap(),
            ..pattern.clone()
        })
        .collect();
    let slot = |n| if n < 10 { at(0) } else { at(86_400) };
    let names = config.schedules.iter().map(|schedule| &schedule.name);
    let slots: BTreeMap<_, _> = names
        .enumerate()
        .map(|(n, name)| (name.clone(), Some(slot(n))))
        .collect();
    catalog.apply(&config, at(-60), &slots).await.unwrap();

    let (idle, done) = cost(&catalog, -1).await;
    assert!(done.is_empty());
    let (busy, done) = cost(&catalog, 5).await;
    assert_eq!(done.len(), 10 * pattern.scopes.len());
    for id in &done {
        let ended = catalog.end_run(id, RunState::Failed, "no reason", at(30), &[]);
        assert!(ended.await.unwrap());
    }
    let (after, done) = cost(&catalog, 3600).await;
    assert!(done.is_empty());
    [idle, busy, after]
}

async fn cost(catalog: &Catalog, second: i64) -> (Spent, Vec<RunId>) {
    let before = catalog.spent();
    let done = tick(catalog, at(second)).await.unwrap();
    assert!(done.failure.is_none() && done.republished.is_empty());
    (catalog.spent() - before, done.requested)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_costs_what_is_due_however_many_schedules_there_are() {
    let few = costs_among(10).await;
    let many = costs_among(10_000).await;
    assert_eq!(few, many, "requests and capacity units");
    let [idle, busy, after] = few;
    assert_eq!(idle.requests, 5, "one query for each kind of thing");
    assert_eq!(busy.requests, 5 + 10, "one transaction for each schedule");
    assert_eq!(
        after.requests, idle.requests,
        "runs that have ended cost nothing"
    );
    assert!(busy.read_units > 0.0 && busy.write_units > 0.0);
}

/// One schedule of so many scopes that no transaction takes a slot of it whole.
const SCOPES: usize = 120;

fn config_of_many_scopes() -> Config {
    let mut text = String::from(
        "version = 1\n[sources.erp]\nkind = \"sqlite\"\npath = \"/erp.db\"\n[locations.main]\nkind = \"folder\"\n\
         path = \"/backups\"\nrepository_password = { env = \"PASSWORD\" }\n",
    );
    let names: Vec<String> = (0..SCOPES).map(|n| format!("s{n:03}")).collect();
    for name in &names {
        writeln!(text, "[scopes.{name}]\ninclude = [\"{name}\"]").unwrap();
    }
    writeln!(
        text,
        "[schedules.daily]\nevery = \"day\"\nat = \"02:00\"\nscopes = {names:?}"
    )
    .unwrap();
    Config::parse(&text, "many.toml").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_many_scopes_are_recorded_once_and_told_once_whoever_dispatches_them() {
    let world = World::with("enabled = false").await;
    let catalog = &world.catalog;
    let config = config_of_many_scopes();
    let applied = logisedge_engine::configure::apply(catalog, &config, at(-86_400)).await;
    applied.unwrap();
    let (spent, done) = cost(catalog, 5).await;
    assert_eq!(done.len(), SCOPES);
    let transactions = SCOPES.div_ceil(RUNS_AT_ONCE_MAX) as u64;
    assert_eq!(spent.requests, 5 + transactions);

    let now = at(3 * 86_400 + 60);
    let (one, two) = tokio::join!(tick(catalog, now), tick(catalog, now));
    let mut ids: Vec<RunId> = Vec::new();
    for done in [one.unwrap(), two.unwrap()] {
        assert!(done.failure.is_none(), "{:?}", done.failure);
        ids.extend([done.requested, done.missed].concat());
    }
    let once: BTreeSet<&RunId> = ids.iter().collect();
    assert_eq!((ids.len(), once.len()), (3 * SCOPES, 3 * SCOPES));
    assert_eq!(world.alerts_of(AlertKind::Missed).await.len(), 1);
    assert!(is_nothing(
        &tick(catalog, at(3 * 86_400 + 90)).await.unwrap()
    ));
}

/// More than a tick may look at.
const TOO_MANY: usize = DUE_AT_ONCE_MAX + 10;

async fn look(catalog: &Catalog) -> Spent {
    let (before, mut done) = (catalog.spent(), Dispatched::default());
    dispatch::tell_due(catalog, at(86_400), &mut done).await;
    assert!(done.failure.is_none(), "{:?}", done.failure);
    catalog.spent() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_watched_scopes_a_tick_looks_at_some_after_all_that_concerns_runs() {
    let catalog = catalog().await;
    let names: Vec<ScopeName> = (0..TOO_MANY).map(|n| scope(&format!("s{n:05}"))).collect();
    catalog.watch(&names, at(-60)).await.unwrap();
    let due = async || catalog.watches_due(at(86_400)).await.unwrap().0.len();
    assert_eq!(due().await, DUE_AT_ONCE_MAX);
    let before = catalog.spent();
    dispatch::tick(&catalog, at(86_400)).await.unwrap();
    let spent = catalog.spent() - before;
    assert_eq!(spent.requests, 3, "what it returns waits for no look");
    // No scope of these is configured: each is read and not watched any more.
    let spent = look(&catalog).await;
    assert_eq!(spent.requests, 2 + 1 + 2 * DUE_AT_ONCE_MAX as u64);
    assert_eq!(due().await, TOO_MANY - DUE_AT_ONCE_MAX);
    look(&catalog).await;
    assert_eq!(due().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_causes_a_tick_looks_after_some() {
    let catalog = catalog().await;
    let remember = async |n: usize| {
        // Words without digits, by which causes differ.
        let word: String = n
            .to_string()
            .chars()
            .map(|c| (c as u8 + b'a' - b'0') as char)
            .collect();
        let alert = Alert::dead_letter("m", "q", &word, at(0));
        let Telling::Tell(_, state) = Telling::of(&alert, None, Quiet::default(), at(0)) else {
            panic!("not told");
        };
        let known = catalog.cause(&state.cause).await.unwrap();
        let settled = Settled {
            state: Some(&state),
            due_at: Some(at(60)),
            delivered: None,
        };
        assert!(
            catalog
                .settle_cause(&known, settled, &[], at(0))
                .await
                .unwrap()
        );
    };
    stream::iter(0..TOO_MANY)
        .map(remember)
        .buffer_unordered(16)
        .collect::<()>()
        .await;
    let due = async || catalog.causes_due(at(86_400)).await.unwrap().len();
    assert_eq!(due().await, DUE_AT_ONCE_MAX);
    look(&catalog).await;
    assert_eq!(due().await, TOO_MANY - DUE_AT_ONCE_MAX);
    look(&catalog).await;
    assert_eq!(due().await, 0);
}

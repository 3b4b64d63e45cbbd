//! Backups of every kind while a database is written: each snapshot holds one state, and no half of a
//! transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use chrono::Utc;
use logisedge_domain::chain::Wanted;
use logisedge_domain::id::{ChainPath, RunId};
use logisedge_domain::scope::{Scope, Selection};
use logisedge_domain::snapshot::{Kind, SnapshotRecord};
use logisedge_engine::Progress;
use logisedge_engine::backup::{Order, Taken, take_on};
use logisedge_engine::base::{choose_at, look, open_source};
use logisedge_engine::restore;
use logisedge_sources::Source;
use logisedge_sources::postgres::PostgresTarget;
use logisedge_storage::{FolderStore, ObjectStore};

use crate::server::Database;
use crate::world::{options, password, scope};

const ACCOUNTS: i64 = 5_000;
const BALANCE: i64 = 1_000;
const WRITERS: u64 = 3;

/// Backups begin until this has passed; the restores come after.
const WRITTEN_FOR: Duration = Duration::from_secs(10);

/// Transfers between accounts, as pgbench makes them, each with its line in the history. No transfer
/// changes the sum of all balances.
async fn transfer(url: String, seed: u64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |bound: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as i64 % bound
    };
    while !stop.load(Ordering::Relaxed) {
        let (a, b, amount) = (next(ACCOUNTS), next(ACCOUNTS), next(100));
        // In one order, so that no two wait for each other.
        let (first, second) = (a.min(b), a.max(b));
        let transfer = format!(
            "BEGIN;
             UPDATE accounts SET balance = balance - {amount} WHERE id = {first};
             INSERT INTO history (account, delta) VALUES ({first}, -{amount}), ({second}, {amount});
             UPDATE accounts SET balance = balance + {amount} WHERE id = {second};
             COMMIT"
        );
        client.batch_execute(&transfer).await.unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

pub(crate) async fn back_up(
    source: &dyn Source,
    store: &Arc<dyn ObjectStore>,
    kind: Kind,
) -> Taken {
    let now = Utc::now();
    let name = scope("everything");
    let order = Order {
        run: RunId::manual("load", now, &name),
        schedule: None,
        chain: ChainPath::new(&name, now),
        scope: Scope {
            name: name.clone(),
            source: "erp".parse().unwrap(),
            selection: Selection::Everything,
            retention: None,
            rpo_seconds: None,
            anomaly_ignore: Vec::new(),
        },
        location: "main".parse().unwrap(),
        options: options(),
        memory_bytes_max: None,
        lock: None,
    };
    let wanted = Wanted {
        kind,
        full: None,
        scope: &name,
        location: &order.location,
    };
    let password = password();
    let choice = choose_at(store, &password, &wanted, now).await.unwrap();
    let basis = look(store, &password, order.options, &order.scope, choice);
    let basis = basis.await.unwrap();
    let (snapshot, basis) = open_source(source, &order.scope, basis).await.unwrap();
    let progress = Progress::new();
    let taken = take_on(
        snapshot,
        &basis,
        store.clone(),
        &password,
        &order,
        &progress,
    );
    taken.await.unwrap()
}

/// A new database with what the snapshot holds, compared with what its source held.
pub(crate) async fn restored(store: &Arc<dyn ObjectStore>, record: &SnapshotRecord) -> Database {
    let password = password();
    let opened = restore::open(store.clone(), &password, &record.chain, record.id);
    let copy = Database::create();
    let target = Arc::new(PostgresTarget::new(copy.options()));
    let opened = opened.await.unwrap();
    let restored = opened
        .restore(target, false, &Progress::new())
        .await
        .unwrap();
    assert!(restored.agrees(), "{restored:?}");
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn every_snapshot_taken_under_load_has_the_exact_sum() {
    let database = Database::create();
    database.sql(&format!(
        "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler text);
         CREATE TABLE history (id bigserial PRIMARY KEY, account int, delta bigint, at timestamptz DEFAULT now());
         INSERT INTO accounts SELECT i, {BALANCE}, repeat('x', 80) FROM generate_series(0, {ACCOUNTS} - 1) i"
    ));
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(FolderStore::create(folder.path()).unwrap());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|seed| {
            let (stop, done) = (stop.clone(), Arc::clone(&done));
            tokio::spawn(transfer(database.url(), seed + 1, stop, done))
        })
        .collect();

    let began = Stopwatch::now();
    let kinds = [
        Kind::Full,
        Kind::Incremental,
        Kind::Differential,
        Kind::Incremental,
    ];
    let mut taken = Vec::new();
    for kind in kinds.into_iter().cycle() {
        if began.elapsed() > WRITTEN_FOR && taken.len() >= kinds.len() {
            break;
        }
        taken.push(back_up(&database.source(), &store, kind).await);
        // Chains are named by the second.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let transfers = done.load(Ordering::Relaxed);
    let kinds: BTreeMap<&str, usize> = taken.iter().fold(BTreeMap::new(), |mut kinds, taken| {
        *kinds.entry(taken.record.kind.as_str()).or_default() += 1;
        kinds
    });
    println!("{transfers} transfers, {kinds:?}");
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert!(transfers > 100, "hardly any load: {transfers} transfers");

    for taken in &taken {
        let record = &taken.record;
        let copy = restored(&store, record).await;
        let sum = copy.sql("SELECT sum(balance), count(*) FROM accounts");
        assert_eq!(sum, format!("{}|{ACCOUNTS}\n", ACCOUNTS * BALANCE));
        // And every balance is what its history says: the two tables are of one instant.
        let wrong = copy.sql(&format!(
            "SELECT count(*) FROM accounts
             LEFT JOIN (SELECT account, sum(delta) AS moved FROM history GROUP BY 1) h ON account = id
             WHERE balance <> {BALANCE} + coalesce(moved, 0)"
        ));
        assert_eq!(wrong, "0\n", "{}", record.kind.as_str());
    }
}

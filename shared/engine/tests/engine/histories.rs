//! Random histories: backups of all kinds, prunes and kills in any order. After every step stock restic
//! finds each chain clean, and every kept snapshot restores to what the database held at its time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant as Stopwatch};

use chrono::{TimeDelta, Utc};
use logisedge_domain::id::RunId;
use logisedge_domain::run::RunState;
use logisedge_domain::snapshot::{Kind, SnapshotRecord};
use logisedge_engine::Progress;
use logisedge_engine::attempt::{Attempted, LEASE};
use logisedge_engine::prune::prune;
use logisedge_engine::verify::verify;
use logisedge_sources::Source;

use crate::server::{Database, said};
use crate::world::{World, password, scope};

const SCOPE: &str = "everything";

/// A history ends after so many steps, or after this time with fewer.
const STEPS: usize = 24;
const TIME_MAX: Duration = Duration::from_secs(22);
/// However slow the machine is.
const STEPS_MIN: usize = 4;

/// Numbers that look random and repeat for the same seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Of the seed that is asked for, or of another one every time; it is printed.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("LOGISEDGE_TEST_SEED").map_or_else(
            |_| u64::from(std::process::id()),
            |seed| seed.parse().expect("LOGISEDGE_TEST_SEED is a number"),
        );
        println!("LOGISEDGE_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Every row of every table, sorted.
type Content = BTreeMap<String, Vec<String>>;

/// A database that changes.
enum Changing {
    Sqlite,
    Postgres(Database),
}

impl Changing {
    fn postgres() -> Self {
        let database = Database::create();
        database.sql(
            "CREATE TABLE customers (id serial PRIMARY KEY, name text, note text);
             CREATE TABLE events (id serial, happened text);
             INSERT INTO customers (name, note) SELECT 'Customer ' || i, md5(i::text) FROM generate_series(1, 900) i;
             INSERT INTO events (happened) SELECT repeat(md5(i::text), 6) FROM generate_series(1, 400) i",
        );
        Self::Postgres(database)
    }

    fn source(&self, world: &World) -> Box<dyn Source> {
        match self {
            Self::Sqlite => world.source(),
            Self::Postgres(database) => Box::new(database.source()),
        }
    }

    fn change(&self, world: &World, random: &mut Random) {
        let (at, n) = (random.below(800), random.below(60) + 1);
        let sql = match random.below(4) {
            0 => format!("UPDATE customers SET note = note || {n} WHERE id % 50 = {at} % 50"),
            1 => format!("DELETE FROM customers WHERE id BETWEEN {at} AND {at} + {n}"),
            2 => format!(
                "INSERT INTO customers (name, note) SELECT 'More {at}', name || '{n}' FROM customers LIMIT {n}"
            ),
            _ => format!("UPDATE customers SET name = 'Renamed {n}' WHERE id > {at} + 100"),
        };
        match self {
            Self::Sqlite => {
                let db = rusqlite::Connection::open(world.database()).unwrap();
                db.execute(&sql, []).unwrap();
            }
            Self::Postgres(database) => {
                database.sql(&sql);
            }
        }
    }

    fn content(&self, world: &World) -> Content {
        match self {
            Self::Sqlite => rows_of_file(&world.database()),
            Self::Postgres(database) => ["customers", "events"]
                .into_iter()
                .map(|table| {
                    let rows = database.sql(&format!("COPY {table} TO STDOUT"));
                    (format!("public.{table}"), sorted(rows.lines()))
                })
                .collect(),
        }
    }

    /// What a folder holds that stock restic restored a snapshot into.
    fn restored(&self, folder: &Path) -> Content {
        match self {
            Self::Sqlite => rows_of_file(&folder.join("database/erp.db")),
            Self::Postgres(_) => rows_of_copies(&folder.join("data")),
        }
    }
}

fn sorted<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<String> {
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

fn rows_of_file(path: &Path) -> Content {
    let db = rusqlite::Connection::open(path).unwrap();
    let text = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    text("SELECT name FROM sqlite_master WHERE type = 'table'")
        .into_iter()
        .map(|table| {
            let columns = text(&format!(
                "SELECT group_concat('quote(' || name || ')', ' || char(9) || ') FROM pragma_table_info('{table}')"
            ));
            let mut rows = text(&format!("SELECT {} FROM {table}", columns[0]));
            rows.sort();
            (table, rows)
        })
        .collect()
}

/// `<schema>.<table>[.<part>].copy`, with all parts of a table together.
fn rows_of_copies(folder: &Path) -> Content {
    let mut content = Content::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let table: Vec<&str> = name.split('.').take(2).collect();
        let rows = std::fs::read_to_string(&path).unwrap();
        let all = content.entry(table.join(".")).or_default();
        all.extend(rows.lines().map(str::to_owned));
    }
    content.values_mut().for_each(|rows| rows.sort());
    content
}

struct History {
    world: World,
    database: Changing,
    random: Random,
    /// What the database held during each run. An attempt that is cut off may have succeeded without
    /// our hearing of it.
    states: BTreeMap<RunId, Content>,
    told: Vec<String>,
}

impl History {
    async fn step(&mut self) {
        if self.random.below(3) > 0 {
            self.database.change(&self.world, &mut self.random);
        }
        match self.random.below(100) {
            0..8 => self.back_up(Kind::Full).await,
            8..40 => self.back_up(Kind::Incremental).await,
            40..60 => self.back_up(Kind::Differential).await,
            60..78 => self.prune().await,
            _ => self.kill().await,
        }
        self.check().await;
    }

    async fn back_up(&mut self, kind: Kind) {
        let id = self.world.request_kind(SCOPE, Some(kind)).await;
        self.attempt(&id).await;
    }

    /// Attempts a run until it has ended, and remembers what the database held.
    async fn attempt(&mut self, id: &RunId) {
        let content = self.database.content(&self.world);
        self.states.insert(id.clone(), content);
        for _ in 0..20 {
            let source = self.database.source(&self.world);
            match self.world.attempt_from(id, source).await {
                Attempted::Succeeded(taken) => {
                    let record = taken.record;
                    self.told
                        .push(format!("{} {}", record.kind.as_str(), record.id.short()));
                    return;
                }
                Attempted::Nothing(_) if self.world.run(id).await.state.is_final() => return,
                // As the dispatcher does when the time to try again has come.
                Attempted::Nothing(_) if self.world.run(id).await.retry_at.is_some() => {
                    let later = Utc::now() + TimeDelta::hours(1);
                    let touched = self.world.catalog.touch_open_run(id, later, later);
                    touched.await.unwrap();
                }
                // Two chains in one second.
                Attempted::WillRetry(error) => {
                    assert!(error.message.contains("already"), "{error}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("it does not end: {:?}", self.world.run(id).await);
    }

    async fn prune(&mut self) {
        let locations = self.world.locations();
        let (_, done) = prune(&self.world.catalog, &scope(SCOPE), &locations, "test", None)
            .await
            .unwrap();
        self.told.push(format!("prune of {}", done.snapshots.len()));
    }

    /// An attempt that is cut off at any moment, then the next one at the same run.
    async fn kill(&mut self) {
        let kind = [Kind::Full, Kind::Incremental, Kind::Differential];
        let kind = kind[self.random.below(3) as usize];
        let id = self.world.request_kind(SCOPE, Some(kind)).await;
        let after = Duration::from_millis(self.random.below(400));
        let source = self.database.source(&self.world);
        let content = self.database.content(&self.world);
        self.states.insert(id.clone(), content);
        let _ = tokio::time::timeout(after, self.world.attempt_from(&id, source)).await;
        self.told.push(format!("kill after {after:?}"));
        // A write that was under way still ends, as a request does that is on the wire.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let run = self.world.run(&id).await;
        if run.state == RunState::Running {
            // Its lease ran out just now, or longer ago than any function lives.
            let ago = [100, 1800][self.random.below(2) as usize];
            let then = Utc::now() - TimeDelta::seconds(ago);
            let (name, fence) = (scope(SCOPE), run.fence.unwrap());
            let catalog = &self.world.catalog;
            let beat = catalog.heartbeat(&id, &name, fence, then, LEASE, run.progress);
            if let Err(error) = beat.await {
                let run = self.world.run(&id).await;
                assert!(run.state.is_final(), "{error}");
            }
        }
        if self.world.run(&id).await.state.is_final() {
            return;
        }
        self.attempt(&id).await;
    }

    /// Every chain is clean, and every snapshot that is offered is what it was.
    async fn check(&mut self) {
        let records = self.world.catalog.snapshots(&scope(SCOPE)).await.unwrap();
        let mut chains: Vec<_> = records.iter().map(|record| &record.chain).collect();
        chains.sort();
        chains.dedup();
        for chain in chains {
            let chain = self.world.location().join(chain.as_str());
            let said = restic(&chain, &["check", "--read-data"]);
            assert!(
                said.contains("no errors were found"),
                "{:?}: {said}",
                self.told
            );
        }
        for record in &records {
            assert_eq!(record.deleting_since, None);
            // What a killed attempt left beside it is no damage, and prune's when it is a day old.
            let (store, progress) = (self.world.store.clone(), Progress::new());
            let found = verify(store, &password(), record, &progress).await.unwrap();
            assert!(found.is_good(), "{:?}: {:?}", self.told, found.findings);
        }
        // One by stock restic in each step; all of them at the end.
        if !records.is_empty() {
            let one = self.random.below(records.len() as u64) as usize;
            self.restores(&records[one]);
        }
    }

    fn restores(&self, record: &SnapshotRecord) {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().to_str().unwrap();
        let chain = self.world.location().join(record.chain.as_str());
        restic(
            &chain,
            &["restore", &record.id.to_string(), "--target", into],
        );
        let restored = self.database.restored(folder.path());
        let expected = self.states.get(&record.run);
        assert_eq!(Some(&restored), expected, "{:?}", self.told);
    }
}

fn restic(chain: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("restic");
    command
        .args(["--no-cache", "--repo"])
        .arg(chain)
        .args(arguments)
        .env("RESTIC_PASSWORD", crate::world::PASSWORD);
    said(&mut command)
}

async fn history(database: Changing) {
    let random = Random::seeded();
    let world = World::with("keep = { last = 3 }").await;
    let mut history = History {
        world,
        database,
        random,
        states: BTreeMap::new(),
        told: Vec::new(),
    };
    let began = Stopwatch::now();
    for _ in 0..STEPS {
        history.step().await;
        if began.elapsed() > TIME_MAX && history.told.len() > STEPS_MIN {
            break;
        }
    }
    println!("{:?}", history.told);
    let records = history
        .world
        .catalog
        .snapshots(&scope(SCOPE))
        .await
        .unwrap();
    for record in &records {
        history.restores(record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_history_of_a_sqlite_database_stays_restorable() {
    history(Changing::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_history_of_a_postgresql_database_stays_restorable() {
    history(Changing::postgres()).await;
}

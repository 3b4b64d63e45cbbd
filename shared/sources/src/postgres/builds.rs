//! Running a planned script: builds side by side on several connections, the rest in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::failure::refused;
use super::post_data::{Build, BuildKind, Lock, Plan, Stage, Statement, TableName};
use super::replay::{Script, unknown_setting};
use super::session::Session;
use crate::SourceError;

/// Every partition, and the partitioned table at the top of its tree.
const PARTITIONS: &str = "SELECT pn.nspname::text, p.relname::text, rn.nspname::text, r.relname::text \
     FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace \
     JOIN pg_class r ON r.oid = pg_partition_root(p.oid) JOIN pg_namespace rn ON rn.oid = r.relnamespace \
     WHERE p.relispartition AND p.relkind IN ('r', 'p')";

/// The largest value of `max_parallel_maintenance_workers`.
const HELPERS_MAX: usize = 1024;

/// A script on its way into a database.
pub(super) struct Builds<'a> {
    pub(super) script: &'a Script<'a>,
    pub(super) plan: Plan<'a>,
    /// How large tables are: the largest are built first, so that none of them is left to one
    /// connection at the end.
    pub(super) bytes: HashMap<TableName, u64>,
    /// At least one.
    pub(super) workers: Vec<Worker>,
}

/// A connection, and how the script has set it up.
pub(super) struct Worker {
    pub(super) session: Session,
    /// How many of the plan's settings are in effect.
    settings: AtomicUsize,
    /// The processes of the server that may help it at the moment.
    helpers: AtomicUsize,
}

impl Worker {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            settings: AtomicUsize::new(0),
            helpers: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Builds<'_> {
    /// Runs everything; returns what was tolerated. The first failure stops all the rest.
    pub(super) async fn run(&self) -> Result<Vec<String>, SourceError> {
        let mut tolerated = Vec::new();
        for stage in &self.plan.stages {
            let given_up = self.build_side_by_side(stage).await?;
            let alone = given_up.iter().map(|build| &build.statement);
            for statement in alone.chain(&stage.tail) {
                let done = self.execute(&self.workers[0], *statement).await;
                tolerated.extend(self.script.judged(statement.text, done)?);
            }
        }
        Ok(tolerated)
    }

    /// Returns the builds that the server gave up to end a deadlock, to be tried again alone. There
    /// are none unless something locks what its statement does not name, as a function in an index
    /// could.
    async fn build_side_by_side<'s>(
        &'s self,
        stage: &'s Stage<'_>,
    ) -> Result<Vec<&'s Build<'s>>, SourceError> {
        let mut builds: Vec<&Build<'_>> = stage.builds.iter().collect();
        builds.sort_by_key(|build| Reverse(self.bytes.get(&build.table).copied().unwrap_or(0)));
        let mut waiting: BTreeMap<usize, &Build<'_>> = builds.into_iter().enumerate().collect();
        let mut locks = Locks::new(self.partitions(stage).await?);
        let mut idle: Vec<usize> = (0..self.workers.len()).rev().collect();
        let (mut running, mut given_up) = (FuturesUnordered::new(), Vec::new());
        loop {
            while let Some(&at) = idle.last() {
                let next = waiting.iter().find(|(_, build)| locks.allow(build));
                let Some((&position, &build)) = next else {
                    break;
                };
                idle.pop();
                waiting.remove(&position);
                locks.take(build);
                // More processes than connections were not asked for.
                let helpers = idle.len().saturating_sub(waiting.len());
                running.push(async move {
                    let done = self.build(&self.workers[at], build, helpers).await;
                    (at, build, done)
                });
            }
            let Some((at, build, done)) = running.next().await else {
                return Ok(given_up);
            };
            locks.give_back(build);
            idle.push(at);
            match done {
                Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
                    given_up.push(build);
                }
                done => {
                    if let Err(error) = self.script.judged(build.statement.text, done) {
                        drop(running);
                        self.cancel_all_but(&idle).await;
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn cancel_all_but(&self, idle: &[usize]) {
        for (at, worker) in self.workers.iter().enumerate() {
            if !idle.contains(&at) {
                worker.session.cancel().await;
            }
        }
    }

    /// A foreign key of a partitioned table locks its partitions too: the tables at their top stand
    /// for them.
    async fn partitions(
        &self,
        stage: &Stage<'_>,
    ) -> Result<HashMap<TableName, TableName>, SourceError> {
        if stage.kind != BuildKind::ForeignKeys || self.workers.len() == 1 {
            return Ok(HashMap::new());
        }
        let client = &self.workers[0].session.client;
        let rows = client.query(PARTITIONS, &[]).await;
        let rows = rows.map_err(|error| refused("look for", "partitions", error))?;
        Ok(rows
            .iter()
            .map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3))))
            .collect())
    }

    async fn build(&self, worker: &Worker, build: &Build<'_>, helpers: usize) -> Result<(), Error> {
        let helpers = helpers.min(HELPERS_MAX);
        if worker.helpers.swap(helpers, Relaxed) != helpers {
            let set = format!("SET max_parallel_maintenance_workers = {helpers}");
            worker.session.client.batch_execute(&set).await?;
        }
        self.execute(worker, build.statement).await
    }

    /// Runs a statement under the settings that it stands under in the script.
    async fn execute(&self, worker: &Worker, statement: Statement<'_>) -> Result<(), Error> {
        let client = &worker.session.client;
        let before = worker.settings.swap(statement.settings, Relaxed);
        if before != statement.settings {
            for change in self.plan.change(before, statement.settings) {
                if !unknown_setting(&change, worker.session.version) {
                    client.batch_execute(&change).await?;
                }
            }
        }
        client.batch_execute(statement.text).await
    }
}

/// The tables that running builds keep others from.
struct Locks {
    stands_for: HashMap<TableName, TableName>,
    /// By how many at the same time; [`usize::MAX`] is one alone.
    held: HashMap<TableName, usize>,
}

const ALONE: usize = usize::MAX;

impl Locks {
    fn new(stands_for: HashMap<TableName, TableName>) -> Self {
        Self {
            stands_for,
            held: HashMap::new(),
        }
    }

    fn table<'a>(&'a self, name: &'a TableName) -> &'a TableName {
        self.stands_for.get(name).unwrap_or(name)
    }

    /// Whether a build could begin now.
    fn allow(&self, build: &Build<'_>) -> bool {
        let held = |name| self.held.get(self.table(name)).copied().unwrap_or(0);
        match &build.lock {
            Lock::Shared => held(&build.table) != ALONE,
            Lock::Alone => held(&build.table) == 0,
            Lock::AloneWith(other) => held(&build.table) == 0 && held(other) == 0,
        }
    }

    fn take(&mut self, build: &Build<'_>) {
        let table = self.table(&build.table).clone();
        match &build.lock {
            Lock::Shared => *self.held.entry(table).or_insert(0) += 1,
            Lock::Alone => {
                self.held.insert(table, ALONE);
            }
            Lock::AloneWith(other) => {
                self.held.insert(self.table(other).clone(), ALONE);
                self.held.insert(table, ALONE);
            }
        }
    }

    fn give_back(&mut self, build: &Build<'_>) {
        let table = self.table(&build.table).clone();
        match self.held.get_mut(&table) {
            Some(held) if *held != ALONE && *held > 1 => *held -= 1,
            _ => {
                self.held.remove(&table);
            }
        }
        if let Lock::AloneWith(other) = &build.lock {
            let other = self.table(other).clone();
            self.held.remove(&other);
        }
    }
}

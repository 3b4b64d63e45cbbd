//! `direct`: backs up, lists, verifies and restores at a location, with no catalog, no bus and no
//! functions.

use chrono::Utc;
use logisedge_domain::chain::Wanted;
use logisedge_domain::format;
use logisedge_domain::id::{ChainPath, LocationName, RunId, ScopeName, SourceName};
use logisedge_domain::scope::Scope;
use logisedge_domain::snapshot::{Kind, SnapshotRecord};
use logisedge_engine::backup::{Order, Taken, take_on};
use logisedge_engine::base::{choose_at, look, open_source};
use logisedge_engine::rebuild::find_snapshots;
use logisedge_engine::verify::verify;
use logisedge_engine::{EngineError, Progress};
use logisedge_repository::{Options, Password};
use logisedge_runtime::Aws;
use logisedge_sources::Source;
use logisedge_storage::{Counting, ObjectStore};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use crate::args::{At, DirectCommand};
use crate::bar::during;
use crate::commands::{restore, snapshots, verify as verify_command};
use crate::error::CliError;
use crate::output::Output;
use crate::places;

/// What a location is called where no configuration names it.
const LOCATION: &str = "direct";

pub(crate) async fn direct(
    aws: &Aws,
    command: DirectCommand,
    output: Output,
) -> Result<(), CliError> {
    match command {
        DirectCommand::Backup {
            at,
            from,
            scope,
            include,
            exclude,
            kind,
            read_all,
            connections,
            pg_dump,
            zstd_level,
            memory_bytes_max,
        } => {
            let source = places::source(&from, connections, &pg_dump, read_all)?;
            let selection = places::selection(&scope, &include, &exclude)?;
            let (store, password) = places::location(&at, aws, true).await?;
            let now = Utc::now();
            let order = Order {
                run: RunId::manual(&format!("{:x}", std::process::id()), now, &scope),
                schedule: None,
                chain: ChainPath::new(&scope, now),
                scope: Scope {
                    name: scope,
                    source: name(LOCATION)?,
                    selection,
                    retention: None,
                    rpo_seconds: None,
                    anomaly_ignore: Vec::new(),
                },
                location: location_name()?,
                options: Options {
                    zstd_level,
                    ..Options::default()
                },
                memory_bytes_max,
                lock: None,
            };
            let progress = Progress::new();
            let work = back_up(source.as_ref(), &store, &password, &order, kind, &progress);
            let taken = during("backing up", &progress, work).await?;
            let lies_at = store.locate(taken.record.chain.as_str());
            output.show(&Shown::from(&taken, lies_at), text);
            Ok(())
        }
        DirectCommand::Snapshots { at } => {
            let (store, password) = places::location(&at, aws, false).await?;
            let records = list(&store, &password).await?;
            output.show(&records, |records| snapshots::as_table(records));
            Ok(())
        }
        DirectCommand::Verify {
            at,
            snapshot,
            scope,
        } => {
            let (store, password, record) = find(&at, aws, &snapshot, scope.as_ref()).await?;
            let progress = Progress::new();
            let work = verify(store, &password, &record, &progress);
            let verification = during("verifying", &progress, work).await?;
            verify_command::tell(output, &record, &verification)
        }
        DirectCommand::Restore {
            at,
            snapshot,
            scope,
            to,
        } => {
            let (store, password, record) = find(&at, aws, &snapshot, scope.as_ref()).await?;
            restore::into_target(output, store, &password, &record, &to).await
        }
    }
}

/// Takes what is asked for, on the scope's newest chain at the location where it may share.
async fn back_up(
    source: &dyn Source,
    store: &Arc<dyn ObjectStore>,
    password: &Password,
    order: &Order,
    kind: Kind,
    progress: &Progress,
) -> Result<Taken, EngineError> {
    let began = Stopwatch::now();
    let wanted = Wanted {
        kind,
        full: None,
        scope: &order.scope.name,
        location: &order.location,
    };
    let counting = Arc::new(Counting::new(store.clone()));
    let store: Arc<dyn ObjectStore> = counting.clone();
    let choice = choose_at(&store, password, &wanted, Utc::now()).await?;
    let basis = look(&store, password, order.options, &order.scope, choice).await?;
    let (snapshot, basis) = open_source(source, &order.scope, basis).await?;
    let taken = take_on(snapshot, &basis, store, password, order, progress).await?;
    Ok(taken.since(began, counting.requests()))
}

fn name(text: &str) -> Result<SourceName, CliError> {
    SourceName::new(text).map_err(|e| CliError::failed(e.to_string()))
}

fn location_name() -> Result<LocationName, CliError> {
    LocationName::new(LOCATION).map_err(|e| CliError::failed(e.to_string()))
}

async fn list(
    store: &Arc<dyn ObjectStore>,
    password: &Password,
) -> Result<Vec<SnapshotRecord>, CliError> {
    let progress = Progress::new();
    let name = location_name()?;
    let work = find_snapshots(&name, store, password, &progress);
    let (mut records, unreadable) = during("reading the location", &progress, work).await?;
    if let (true, Some((_, why))) = (records.is_empty(), unreadable.first()) {
        return Err(CliError::failed(why.clone()));
    }
    for (chain, why) in &unreadable {
        eprintln!("warning: cannot read {chain}: {why}");
    }
    records.reverse();
    Ok(records)
}

async fn find(
    at: &At,
    aws: &Aws,
    wanted: &str,
    scope: Option<&ScopeName>,
) -> Result<(Arc<dyn ObjectStore>, Password, SnapshotRecord), CliError> {
    let (store, password) = places::location(at, aws, false).await?;
    let records = list(&store, &password).await?;
    let record = places::pick(wanted, scope, records)?;
    Ok((store, password, record))
}

#[derive(Serialize)]
struct Shown {
    snapshot: SnapshotRecord,
    stats: logisedge_domain::run::RunStats,
    lies_at: String,
    notes: Vec<String>,
}

impl Shown {
    fn from(taken: &Taken, lies_at: String) -> Self {
        Self {
            snapshot: taken.record.clone(),
            stats: taken.stats,
            lies_at,
            notes: taken.manifest.notes.clone(),
        }
    }
}

fn text(shown: &Shown) -> String {
    let mut lines: Vec<String> = shown
        .notes
        .iter()
        .map(|note| format!("note: {note}"))
        .collect();
    if let Some(why) = &shown.snapshot.kind_reason {
        lines.push(format!("note: a full was taken: {why}"));
    }
    lines.push(format!(
        "Snapshot {} ({}) of {} tables, {} rows: {} in {}\nIt lies at {}",
        shown.snapshot.id.short(),
        shown.snapshot.kind.as_str(),
        shown.snapshot.tables,
        format::count(shown.stats.rows),
        shown.stats.describe(),
        format::duration(Duration::from_millis(shown.stats.duration_ms)),
        shown.lies_at
    ));
    lines.join("\n")
}

//! `status`: what is scheduled, how each scope stands, and how the last runs ended.

use chrono::NaiveDate;
use logisedge_domain::format;
use logisedge_domain::run::Run;
use logisedge_domain::schedule::ScheduleState;
use logisedge_domain::snapshot::SnapshotRecord;
use serde::Serialize;

use crate::args;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

#[derive(Serialize)]
struct Status {
    schedules: Vec<ScheduleState>,
    scopes: Vec<ScopeStatus>,
    locations: Vec<LocationStatus>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct LocationStatus {
    location: String,
    bytes_used: u64,
    capacity_bytes_max: Option<u64>,
    full_on: Option<NaiveDate>,
}

#[derive(Serialize)]
struct ScopeStatus {
    scope: String,
    snapshots: usize,
    newest: Option<SnapshotRecord>,
}

pub(crate) async fn status(context: &Context, args: &args::Status) -> Result<(), CliError> {
    let schedules = context.catalog.schedules().await?;
    let mut scopes = Vec::new();
    for scope in context.catalog.scopes().await? {
        let records = context.catalog.snapshots(&scope.name).await?;
        scopes.push(ScopeStatus {
            scope: scope.name.to_string(),
            snapshots: records.len(),
            newest: records
                .into_iter()
                .find(|record| record.deleting_since.is_none()),
        });
    }
    let mut locations = Vec::new();
    for (name, config) in &context.catalog.load_config().await?.locations {
        let usage = context.catalog.usage(name).await?;
        let max = config.capacity_bytes_max();
        locations.push(LocationStatus {
            location: name.to_string(),
            bytes_used: usage.bytes(),
            capacity_bytes_max: max,
            full_on: max.and_then(|max| usage.full_on(max)),
        });
    }
    let runs = context.catalog.recent_runs(args.runs).await?;
    context.output.show(
        &Status {
            schedules,
            scopes,
            locations,
            runs,
        },
        text,
    );
    Ok(())
}

fn text(status: &Status) -> String {
    if status.schedules.is_empty() && status.scopes.is_empty() {
        return "Nothing is configured yet: `logisedge-backup setup` writes a file to start from."
            .to_owned();
    }
    let schedules = table(
        &["SCHEDULE", "WHEN", "KIND", "SCOPES", "LOCATION", "NEXT"],
        status.schedules.iter().map(|state| {
            let schedule = &state.schedule;
            let scopes: Vec<&str> = schedule.scopes.iter().map(|s| s.as_str()).collect();
            vec![
                schedule.name.to_string(),
                schedule.calendar.describe(schedule.zone),
                match schedule.full {
                    Some(full) => format!("{}, {full} full", schedule.kind.as_str()),
                    None => schedule.kind.as_str().to_owned(),
                },
                scopes.join(", "),
                schedule.location.to_string(),
                state.next_slot.map_or("disabled".to_owned(), utc),
            ]
        }),
        &[],
    );
    let scopes = table(
        &["SCOPE", "SNAPSHOTS", "NEWEST", "TRUST", "TAKEN"],
        status.scopes.iter().map(|scope| match &scope.newest {
            None => vec![
                scope.scope.clone(),
                "0".into(),
                "none".into(),
                String::new(),
                String::new(),
            ],
            Some(newest) => vec![
                scope.scope.clone(),
                scope.snapshots.to_string(),
                newest.id.short(),
                newest.trust.as_str().to_owned(),
                utc(newest.taken_at),
            ],
        }),
        &[1],
    );
    let locations = table(
        &["LOCATION", "USED", "OF", "SHARE", "FULL ON"],
        status.locations.iter().map(|location| {
            let used = location.bytes_used;
            let share = |max: u64| format!("{} %", u128::from(used) * 100 / u128::from(max.max(1)));
            let max = location.capacity_bytes_max;
            vec![
                location.location.clone(),
                format::bytes(used),
                max.map_or("no limit".to_owned(), format::bytes),
                max.map_or(String::new(), share),
                location
                    .full_on
                    .map_or(String::new(), |day| day.to_string()),
            ]
        }),
        &[1, 2, 3],
    );
    let runs = table(
        &[
            "RUN",
            "STATE",
            "REQUESTED",
            "KIND",
            "READ",
            "NEW",
            "SNAPSHOT OR REASON",
        ],
        status.runs.iter().map(|run| {
            let outcome = match (run.snapshot, &run.reason) {
                (Some(snapshot), _) => match &run.kind_reason {
                    Some(why) => format!("{} (a full, because {why})", snapshot.short()),
                    None => snapshot.short(),
                },
                (None, Some(reason)) => reason.clone(),
                (None, None) => String::new(),
            };
            vec![
                run.id.to_string(),
                run.state.as_str().to_owned(),
                utc(run.requested_at),
                run.kind_taken.unwrap_or(run.kind).as_str().to_owned(),
                format::bytes(run.stats.map_or(run.progress.bytes_read, |s| s.bytes_read)),
                run.stats
                    .map_or(String::new(), |stats| format::bytes(stats.bytes_new)),
                outcome,
            ]
        }),
        &[4, 5],
    );
    format!("{schedules}\n\n{scopes}\n\n{locations}\n\n{runs}")
}

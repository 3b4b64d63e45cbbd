//! `retention preview`: which snapshots will exist, which go, and what it costs.

use chrono::{Days, NaiveTime, TimeDelta, Utc};
use logisedge_domain::Instant;
use logisedge_domain::config::{Config, LocationConfig};
use logisedge_domain::format;
use logisedge_domain::id::ScopeName;
use logisedge_domain::preview::{
    Assumptions, ClassCost, Dropped, KeepingPreview, MonthCost, Sizes, State, preview_keeping,
};
use logisedge_domain::prices::{PRICES_AS_OF, PRICES_PAGE};
use logisedge_domain::retention::Rules;
use logisedge_domain::schedule::Schedule;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_domain::storage::{Transition, Transitions};
use serde::Serialize;

use crate::args::RetentionPreview;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

/// Rows of a table that people are shown; --json has all.
const ROWS_MAX: usize = 40;

/// When the stack's daily prune runs, unless it was deployed with another `PruneAllSchedule`.
const PRUNE_AT: NaiveTime = match NaiveTime::from_hms_opt(6, 23, 0) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

#[derive(Serialize)]
struct Shown {
    prices_as_of: &'static str,
    prices_page: &'static str,
    scopes: Vec<KeepingPreview>,
}

pub(crate) async fn preview(context: &Context, args: &RetentionPreview) -> Result<(), CliError> {
    let config = context.config(args.file.as_deref()).await?;
    let now = args.from.unwrap_or_else(Utc::now);
    let points = points(args, now)?;
    let mut scopes = Vec::new();
    for scope in wanted(&config, args.scope.as_ref())? {
        let existing = if args.file.is_none() || args.existing {
            context.catalog.snapshots(&scope).await?
        } else {
            Vec::new()
        };
        scopes.push(of_scope(&config, &scope, &existing, args, now, &points)?);
    }
    let shown = Shown {
        prices_as_of: PRICES_AS_OF,
        prices_page: PRICES_PAGE,
        scopes,
    };
    context.output.show(&shown, text);
    Ok(())
}

/// The instants that are asked about.
fn points(args: &RetentionPreview, now: Instant) -> Result<Vec<Instant>, CliError> {
    if args.on.is_empty() {
        let days = args.days.iter().map(|days| TimeDelta::days((*days).into()));
        return Ok(days.map(|days| now + days).collect());
    }
    let ends = args.on.iter().map(|day| {
        let midnight = day.checked_add_days(Days::new(1));
        let midnight = midnight.map(|next| next.and_time(NaiveTime::MIN).and_utc());
        let end = midnight.filter(|end| *end > now && *end - now <= TimeDelta::days(3660));
        end.ok_or_else(|| {
            CliError::failed(format!(
                "{day} is not within the ten years from {} on",
                utc(now)
            ))
        })
    });
    ends.collect()
}

fn wanted(config: &Config, only: Option<&ScopeName>) -> Result<Vec<ScopeName>, CliError> {
    let scheduled = config.scopes.keys().filter(|name| {
        let schedules = &config.schedules;
        schedules
            .iter()
            .any(|schedule| schedule.scopes.contains(name))
    });
    let scopes: Vec<ScopeName> = match only {
        Some(scope) if !config.scopes.contains_key(scope) => {
            let message = format!("the configuration has no scope {scope}");
            return Err(CliError::not_found(message));
        }
        Some(scope) => vec![scope.clone()],
        None => scheduled.cloned().collect(),
    };
    if scopes.is_empty() {
        return Err(CliError::not_found("no schedule names a scope yet"));
    }
    Ok(scopes)
}

fn of_scope(
    config: &Config,
    scope: &ScopeName,
    existing: &[SnapshotRecord],
    args: &RetentionPreview,
    now: Instant,
    points: &[Instant],
) -> Result<KeepingPreview, CliError> {
    let measured = Sizes::measured(existing);
    let full_bytes = args.full_bytes.or(measured.map(|sizes| sizes.full_bytes));
    let Some(full_bytes) = full_bytes else {
        return Err(CliError::refused(format!(
            "scope {scope} has no snapshot yet whose size could be taken: say what a full stores with \
             --full-bytes, for example 16GB (about a third of the database's rows as text)"
        )));
    };
    let change = measured.map(|sizes| sizes.change_bytes);
    let of_scope = |schedule: &&Schedule| {
        let took = |record: &SnapshotRecord| record.schedule.as_ref() == Some(&schedule.name);
        schedule.scopes.contains(scope) || existing.iter().any(took)
    };
    let schedules: Vec<&Schedule> = config.schedules.iter().filter(of_scope).collect();
    let rules = Rules {
        schedules: schedules
            .iter()
            .map(|schedule| (schedule.name.clone(), schedule.retention))
            .collect(),
        scope: config.scopes.get(scope).and_then(|scope| scope.retention),
    };
    let last = points.iter().max().copied().unwrap_or(now);
    let is_in_s3 = schedules.iter().any(|schedule| {
        let location = config.locations.get(&schedule.location);
        matches!(location, Some(LocationConfig::S3 { .. }))
    });
    let assumptions = Assumptions {
        now,
        until: last,
        sizes: Sizes {
            full_bytes,
            change_bytes: args.change_bytes.or(change).unwrap_or(full_bytes),
        },
        pack_bytes: logisedge_repository::Options::default().pack_bytes as u64,
        grace_days: if is_in_s3 { args.grace_days } else { 0 },
        prune_at: PRUNE_AT,
        transitions: args.moves.transitions().map_err(CliError::refused)?,
    };
    let preview = preview_keeping(scope, &schedules, &rules, existing, &assumptions, points);
    let mut preview = preview.map_err(|e| CliError::refused(e.to_string()))?;
    if !is_in_s3 {
        preview.months.clear();
        preview.classes.clear();
    }
    Ok(preview)
}

fn text(shown: &Shown) -> String {
    let scopes: Vec<String> = shown.scopes.iter().map(scope_text).collect();
    let scopes = scopes.join("\n\n");
    if shown.scopes.iter().all(|scope| scope.months.is_empty()) {
        return scopes;
    }
    format!(
        "{scopes}\n\nPrices in USD: {}, {}. Only S3's storage and requests; no functions, no restores.",
        shown.prices_as_of, shown.prices_page
    )
}

fn scope_text(preview: &KeepingPreview) -> String {
    let assumed = &preview.assumptions;
    let mut parts = vec![format!(
        "Scope {} from {} on: {} in {}. Assumed: every run succeeds and is verified; a full stores \
         {}, any other {}; what is pruned {}.",
        preview.scope,
        utc(assumed.now),
        format::counted(preview.runs as u64, "run"),
        days(assumed.days()),
        format::bytes(assumed.sizes.full_bytes),
        format::bytes(assumed.sizes.change_bytes),
        after_prune(preview),
    )];
    let held = match preview.locks.is_empty() {
        true => "in their days of grace",
        false => "in their days of grace or locked",
    };
    parts.extend(preview.states.iter().map(|state| state_text(state, held)));
    if !preview.dropped.is_empty() {
        parts.push(dropped_text(&preview.dropped));
    }
    if preview.months.is_empty() {
        parts.push("No prices: what it stores lies in no bucket of S3.".to_owned());
    } else {
        parts.push(months_text(&preview.months, &assumed.transitions));
        parts.push(classes_text(&preview.classes));
    }
    parts.join("\n\n")
}

/// What becomes of bytes that nothing needs any more.
fn after_prune(preview: &KeepingPreview) -> String {
    let grace = match preview.assumptions.grace_days {
        0 => "is gone at once".to_owned(),
        days => format!("stays {} more", format::counted(days.into(), "day")),
    };
    if preview.locks.is_empty() {
        return grace;
    }
    let locks = preview.locks.iter();
    let locks: Vec<String> = locks
        .map(|(schedule, length)| format!("{schedule} for {length}"))
        .collect();
    format!(
        "{grace}, and until its chain's lock is over ({})",
        locks.join(", ")
    )
}

fn more(rows: usize) -> String {
    match rows.checked_sub(ROWS_MAX) {
        None | Some(0) => String::new(),
        Some(more) => {
            let more = format::count(more as u64);
            format!("\n  … and {more} more (--json shows all)")
        }
    }
}

fn state_text(state: &State, held: &str) -> String {
    let snapshots = table(
        &["TAKEN", "SCHEDULE", "KIND", "WHY"],
        state.snapshots.iter().take(ROWS_MAX).map(|snapshot| {
            let schedule = snapshot.schedule.as_ref();
            vec![
                utc(snapshot.taken_at),
                schedule.map_or("none".to_owned(), ToString::to_string),
                snapshot.kind.as_str().to_owned(),
                snapshot.reason.clone(),
            ]
        }),
        &[],
    );
    format!(
        "At {}: {}, {} kept and {} {held}\n{snapshots}{}",
        utc(state.at),
        format::counted(state.snapshots.len() as u64, "snapshot"),
        format::bytes(state.bytes_kept),
        format::bytes(state.bytes_in_grace),
        more(state.snapshots.len())
    )
}

fn dropped_text(dropped: &[Dropped]) -> String {
    let rows = table(
        &["DELETED", "TAKEN", "WHY"],
        dropped.iter().take(ROWS_MAX).map(|dropped| {
            vec![
                utc(dropped.dropped_at),
                utc(dropped.snapshot.taken_at),
                dropped.snapshot.reason.clone(),
            ]
        }),
        &[],
    );
    format!(
        "{} will be deleted\n{rows}{}",
        format::counted(dropped.len() as u64, "snapshot"),
        more(dropped.len())
    )
}

fn usd(amount: f64) -> String {
    // A sum of nothing is -0.
    format!("{:.2}", amount + 0.0)
}

/// Days, a part of one to a tenth.
fn number(days: f64) -> String {
    ((days * 10.0).round() / 10.0).to_string()
}

fn days(days: f64) -> String {
    let number = number(days);
    let noun = if number == "1" { "day" } else { "days" };
    format!("{number} {noun}")
}

fn months_text(months: &[MonthCost], transitions: &Transitions) -> String {
    // A column for each class that rows are moved to.
    let moves = [transitions.cold, transitions.archive];
    let is_used = |moves: &&Transition| {
        let class = moves.class.name;
        months.iter().any(|month| month.classes.contains_key(class))
    };
    let moves: Vec<&Transition> = moves.iter().filter(is_used).collect();
    let rows = months.iter().map(|month| {
        let mut row = vec![
            month.month.clone(),
            number(month.days),
            format::bytes(month.bytes_average),
        ];
        row.extend(moves.iter().map(|moves| {
            let bytes = month.classes.get(moves.class.name);
            format::bytes(bytes.copied().unwrap_or_default())
        }));
        row.extend([
            usd(month.storage),
            format::count(month.puts),
            format::count(month.gets),
        ]);
        if !moves.is_empty() {
            row.push(format::count(month.transitions));
        }
        row.extend([usd(month.requests), usd(month.storage + month.requests)]);
        row
    });
    let in_classes: Vec<String> = moves
        .iter()
        .map(|moves| format!("IN {}", moves.class.name))
        .collect();
    let mut headings = vec!["MONTH", "DAYS", "STORED"];
    headings.extend(in_classes.iter().map(String::as_str));
    headings.extend(["STORAGE", "PUTS", "GETS"]);
    headings.extend((!moves.is_empty()).then_some("MOVED"));
    headings.extend(["REQUESTS", "USD"]);
    let numbers: Vec<usize> = (1..headings.len()).collect();
    let rows = table(&headings, rows, &numbers);
    if moves.is_empty() {
        return format!(
            "Cost per month in S3 STANDARD; STORED is the average, with what is pruned and not gone yet\n{rows}"
        );
    }
    let moved: Vec<String> = moves
        .iter()
        .map(|moves| {
            let days = format::counted(moves.after_days.into(), "day");
            format!("{} after {days}", moves.class.name)
        })
        .collect();
    format!(
        "Cost per month in S3 STANDARD and, where schedules say so, {}; STORED is the average, with \
         what is pruned and not gone yet\n{rows}",
        moved.join(" or ")
    )
}

fn classes_text(classes: &[ClassCost]) -> String {
    let rows = classes.iter().map(|cost| {
        let class = cost.class;
        let thaw = if class.archived {
            "must be thawed before it is read"
        } else {
            ""
        };
        vec![
            class.name.to_owned(),
            usd(cost.storage),
            usd(cost.requests),
            usd(cost.storage + cost.requests),
            class.days_min.to_string(),
            thaw.to_owned(),
        ]
    });
    let headings = ["CLASS", "STORAGE", "REQUESTS", "USD", "DAYS CHARGED", ""];
    let rows = table(&headings, rows, &[1, 2, 3, 4]);
    format!(
        "The last 30 days, had everything been written to one storage class and been verified as it is \
         there\n{rows}"
    )
}

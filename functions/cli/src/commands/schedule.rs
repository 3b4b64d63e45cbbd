//! `schedule preview`: the next runs of each schedule.

use chrono::{TimeDelta, Utc};
use logisedge_domain::id::ScheduleName;
use logisedge_domain::preview::{SlotPreview, preview_slots};
use serde::Serialize;

use crate::args::SchedulePreview;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

#[derive(Serialize)]
struct Shown {
    schedule: ScheduleName,
    rule: String,
    enabled: bool,
    runs: Vec<SlotPreview>,
}

pub(crate) async fn preview(context: &Context, args: &SchedulePreview) -> Result<(), CliError> {
    let config = context.config(args.file.as_deref()).await?;
    // A run that is due at just the time that is asked about is one of them.
    let from = args.from.map(|from| from - TimeDelta::nanoseconds(1));
    let from = from.unwrap_or_else(Utc::now);
    let wanted = |name: &ScheduleName| args.schedule.as_ref().is_none_or(|only| only == name);
    let shown: Vec<Shown> = config
        .schedules
        .iter()
        .filter(|schedule| wanted(&schedule.name))
        .map(|schedule| Shown {
            schedule: schedule.name.clone(),
            rule: schedule.calendar.describe(schedule.zone),
            enabled: schedule.enabled,
            runs: preview_slots(schedule, from, args.runs as usize),
        })
        .collect();
    if shown.is_empty() {
        let which = args.schedule.as_ref();
        let which = which.map_or("schedule yet".to_owned(), |name| format!("schedule {name}"));
        return Err(CliError::not_found(format!(
            "the configuration has no {which}"
        )));
    }
    context.output.show(&shown, |shown| {
        shown.iter().map(text).collect::<Vec<_>>().join("\n\n")
    });
    Ok(())
}

fn text(shown: &Shown) -> String {
    let disabled = if shown.enabled {
        ""
    } else {
        "; disabled, so none of these will run"
    };
    let runs = table(
        &["LOCAL", "UTC", "NOTES"],
        shown
            .runs
            .iter()
            .map(|run| vec![run.local.clone(), utc(run.slot), run.notes.join("; ")]),
        &[],
    );
    format!(
        "Schedule {}: {}{disabled}\n{runs}",
        shown.schedule, shown.rule
    )
}

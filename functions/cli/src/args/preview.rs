//! What previews are told.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand};
use logisedge_domain::Instant;
use logisedge_domain::id::{ScheduleName, ScopeName};
use logisedge_domain::prices::{STANDARD_IA, StorageClass};
use logisedge_domain::storage::{Transition, Transitions};

use crate::parse;

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// The next runs in local time and UTC, with what changes of the clocks do to them.
    Preview(SchedulePreview),
}

#[derive(Debug, Args)]
pub(crate) struct SchedulePreview {
    /// Only this schedule.
    pub(crate) schedule: Option<ScheduleName>,
    /// Of this configuration file, without AWS, instead of the applied configuration.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// How many runs of each schedule.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) runs: u32,
    /// From this time on instead of now: 2026-12-01 or 2026-12-01T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse::instant)]
    pub(crate) from: Option<Instant>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// Which snapshots will exist, when and why others go, and what it costs per month.
    Preview(RetentionPreview),
}

#[derive(Debug, Args)]
pub(crate) struct RetentionPreview {
    /// Only this scope.
    pub(crate) scope: Option<ScopeName>,
    /// Of this configuration file, without AWS, instead of the applied configuration.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// With --file: begin with the snapshots that the catalog holds, and with their sizes.
    #[arg(long, requires = "file")]
    pub(crate) existing: bool,
    /// What exists at the end of this day (UTC): 2027-03-31. May be repeated.
    #[arg(long, value_name = "DATE", conflicts_with = "days")]
    pub(crate) on: Vec<NaiveDate>,
    /// What exists after so many days; several with commas.
    #[arg(long, value_delimiter = ',', default_values_t = [30, 90, 365],
          value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub(crate) days: Vec<u32>,
    /// What a full stores, compressed: 16GB, 500MB. Else as the scope's newest full measured.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub(crate) full_bytes: Option<u64>,
    /// What an incremental or differential stores. Else as the scope's measured, or as a full.
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub(crate) change_bytes: Option<u64>,
    /// Days for which the bucket keeps what was pruned (the stack's GraceDays).
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) grace_days: u32,
    #[command(flatten)]
    pub(crate) moves: Moves,
    /// From this time on instead of now: 2026-12-01 or 2026-12-01T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse::instant)]
    pub(crate) from: Option<Instant>,
}

/// Where the stack moves rows.
#[derive(Debug, Args)]
pub(crate) struct Moves {
    /// Where rows of schedules with storage = "cold" go (the stack's ColdClass).
    #[arg(long, value_name = "CLASS", default_value = Transitions::default().cold.class.name,
          value_parser = parse::readable_class)]
    cold_class: StorageClass,
    /// After how many days (the stack's ColdAfterDays).
    #[arg(long, value_name = "DAYS", default_value_t = Transitions::default().cold.after_days,
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    cold_after_days: u32,
    /// Where rows of schedules with storage = "archive" go (the stack's ArchiveClass).
    #[arg(long, value_name = "CLASS", default_value = Transitions::default().archive.class.name,
          value_parser = parse::archived_class)]
    archive_class: StorageClass,
    /// After how many days (the stack's ArchiveAfterDays).
    #[arg(long, value_name = "DAYS", default_value_t = Transitions::default().archive.after_days,
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    archive_after_days: u32,
}

/// Days before which S3 moves nothing to STANDARD_IA:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html>.
const INFREQUENT_AFTER_DAYS_MIN: u32 = 30;

impl Moves {
    /// As lifecycle rules.
    ///
    /// # Errors
    /// Where S3 would not take such a rule.
    pub(crate) fn transitions(&self) -> Result<Transitions, String> {
        let is_infrequent = self.cold_class.name == STANDARD_IA.name;
        if is_infrequent && self.cold_after_days < INFREQUENT_AFTER_DAYS_MIN {
            return Err(format!(
                "S3 moves nothing to STANDARD_IA before {INFREQUENT_AFTER_DAYS_MIN} days: say \
                 --cold-after-days {INFREQUENT_AFTER_DAYS_MIN}, or --cold-class GLACIER_IR"
            ));
        }
        Ok(Transitions {
            cold: Transition {
                class: self.cold_class,
                after_days: self.cold_after_days,
            },
            archive: Transition {
                class: self.archive_class,
                after_days: self.archive_after_days,
            },
        })
    }
}

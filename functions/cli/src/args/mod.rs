//! The command line as types. Secrets are never arguments: they come from the environment, a file or
//! Secrets Manager.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use logisedge_domain::Instant;
use logisedge_domain::id::{LocationName, ScheduleName, ScopeName};
use logisedge_domain::snapshot::Kind;
use logisedge_domain::storage::ThawSpeed;
use logisedge_engine::thaw::THAW_DAYS;

use crate::parse;

/// Backups of an ERP's database and documents that are proven to restore.
#[derive(Debug, Parser)]
#[command(name = "logisedge-backup", version, about, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print one JSON document instead of tables; progress and errors go to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The catalog's DynamoDB table (output TableName of the stack).
    #[arg(
        long,
        global = true,
        env = "LOGISEDGE_TABLE",
        default_value = "logisedge-backup"
    )]
    pub(crate) table: String,

    /// The event bus (output BusName of the stack).
    #[arg(
        long,
        global = true,
        env = "LOGISEDGE_BUS",
        default_value = "logisedge-backup"
    )]
    pub(crate) bus: String,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 verify has findings or a restored table differs;
4 something named does not exist; 5 refused (a target that is not empty, a scope that is busy).

AWS credentials, region and endpoint come from the standard AWS environment and configuration.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration file to start from.
    Setup(Setup),
    /// Check a configuration file and make it the one in force.
    Apply(Apply),
    /// Start backups now.
    Run(Run),
    /// Show what is scheduled, what runs, and how the last runs ended.
    Status(Status),
    /// Show which causes of alerts go on, how often each was told, and what was held back.
    Alerts,
    /// Show what changed more than usual and keeps scopes from being pruned.
    Anomaly {
        #[command(subcommand)]
        command: Option<AnomalyCommand>,
    },
    /// List snapshots, newest first.
    Snapshots {
        /// Only of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
    },
    /// Show one snapshot with its tables and findings.
    Show {
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
    },
    /// Read a snapshot back whole and record what is found.
    Verify {
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
    },
    /// Apply retention: delete what no rule keeps.
    Prune {
        /// Only this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Print the plan with a reason for each snapshot, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// List what prune deleted and the bucket still keeps, or bring one of it back and hold it.
    Undelete {
        /// The snapshot's id, or enough of its beginning; lists all that can be brought back if none.
        snapshot: Option<String>,
        /// Only of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Print what would come back, and change nothing.
        #[arg(long, requires = "snapshot")]
        dry_run: bool,
        /// Why it is held afterwards, without which the next prune would delete it again.
        #[arg(long, default_value = "brought back")]
        reason: String,
        /// Who holds it; the login name if left out.
        #[arg(long, env = "USER", default_value = "an operator")]
        by: String,
    },
    /// Keep a snapshot whatever retention says, until it is released.
    Hold {
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Who holds it; the login name if left out.
        #[arg(long, env = "USER", default_value = "an operator")]
        by: String,
    },
    /// End a snapshot's hold: retention decides again.
    Release {
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
    },
    /// Restore a snapshot and compare what arrived with what the source held.
    Restore(Restore),
    /// See when schedules will run.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// See what will be kept.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Work on the catalog itself.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Work on a location without any AWS service beside it.
    Direct(Direct),
}

#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Where to write it.
    #[arg(long, default_value = "logisedge.toml")]
    pub(crate) out: PathBuf,
    /// Back up this SQLite file.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "postgres",
        required_unless_present = "postgres"
    )]
    pub(crate) sqlite: Option<PathBuf>,
    /// Back up this PostgreSQL database: postgres://user@host:port/database?sslmode=verify-full
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// Secrets Manager's name or ARN of the database password, for --postgres.
    #[arg(long, value_name = "NAME", requires = "postgres")]
    pub(crate) database_secret: Option<String>,
    /// The bucket to store in (output BucketName of the stack).
    #[arg(long, env = "LOGISEDGE_BUCKET", required_unless_present = "folder")]
    pub(crate) bucket: Option<String>,
    /// Secrets Manager's name or ARN of the repository password (output RepositorySecretArn).
    #[arg(
        long,
        value_name = "NAME",
        env = "LOGISEDGE_REPOSITORY_SECRET",
        required_unless_present = "folder"
    )]
    pub(crate) repository_secret: Option<String>,
    /// Store in a local folder instead; the repository password is then read from the environment
    /// variable LOGISEDGE_REPOSITORY_PASSWORD.
    #[arg(long, conflicts_with_all = ["bucket", "repository_secret"])]
    pub(crate) folder: Option<PathBuf>,
    /// The IANA time zone of the schedules.
    #[arg(long, default_value = "UTC")]
    pub(crate) time_zone: String,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The configuration file.
    pub(crate) file: PathBuf,
    /// Show the difference and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not connect to the sources to check the scopes' patterns and show foreign keys that leave
    /// them (the functions may reach databases that this machine cannot).
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The schedule whose scopes are run.
    #[arg(required_unless_present = "scope")]
    pub(crate) schedule: Option<ScheduleName>,
    /// Only this scope; may be repeated.
    #[arg(long)]
    pub(crate) scope: Vec<ScopeName>,
    /// Take this kind: full, incremental or differential; the schedule's own if none.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// Run now although no slot is due.
    #[arg(long)]
    pub(crate) force: bool,
    /// Stay until the runs have ended; the exit code tells how.
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) wait_seconds_max: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// How many of the last runs to show.
    #[arg(long, default_value_t = 10)]
    pub(crate) runs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The snapshot's id, or enough of its beginning, or `latest`.
    pub(crate) snapshot: String,
    /// With `latest`: of this scope.
    #[arg(long)]
    pub(crate) scope: Option<ScopeName>,
    #[command(flatten)]
    pub(crate) to: To,
}

/// Where a restore goes.
#[derive(Debug, Args)]
pub(crate) struct To {
    /// postgres://user@host/database (password from PGPASSWORD), an SQLite file (sqlite:PATH, or a
    /// path ending in .db or .sqlite), a script (PATH.sql), or a folder (PATH/).
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// Replace what the target holds.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Restore into PostgreSQL although roles that own things or hold rights there are missing;
    /// what they owned then belongs to the connecting role.
    #[arg(long)]
    pub(crate) skip_missing_roles: bool,
    /// Parallel connections into PostgreSQL.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) connections: u32,
    /// Ask S3 to thaw rows that lie in an archived storage class. Without it a restore says how long
    /// that takes and what it costs. When they are readable, the same command restores.
    #[arg(long, value_name = "SPEED", value_enum)]
    pub(crate) thaw: Option<Speed>,
    /// For how many days they stay readable.
    #[arg(long, value_name = "DAYS", default_value_t = THAW_DAYS, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub(crate) thaw_days: u32,
    /// Stay until they are readable, hours or days, and restore then.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// How fast S3 thaws.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Speed {
    /// Within minutes; not from DEEP_ARCHIVE.
    Expedited,
    /// Within 5 hours from GLACIER, 12 from DEEP_ARCHIVE.
    Standard,
    /// Within 12 hours from GLACIER, 48 from DEEP_ARCHIVE; the cheapest.
    Bulk,
}

impl From<Speed> for ThawSpeed {
    fn from(speed: Speed) -> Self {
        match speed {
            Speed::Expedited => Self::Expedited,
            Speed::Standard => Self::Standard,
            Speed::Bulk => Self::Bulk,
        }
    }
}

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
    #[arg(long, default_value_t = 14)]
    pub(crate) grace_days: u32,
    /// From this time on instead of now: 2026-12-01 or 2026-12-01T06:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse::instant)]
    pub(crate) from: Option<Instant>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AnomalyCommand {
    /// Say that you looked: the scope is pruned again. The change was meant, and later snapshots are
    /// compared with what it left.
    Confirm {
        /// The scope.
        scope: ScopeName,
        /// It was not meant and is undone: compare with what was before.
        #[arg(long)]
        undone: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Find every snapshot at the configured locations and record those that the catalog lacks.
    Rebuild {
        /// Only this location.
        #[arg(long)]
        location: Option<LocationName>,
        /// A configuration file to apply first, for a catalog that lost everything.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Direct {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: DirectCommand,
}

/// The location that a direct command works on.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The location: a folder's path, or s3://bucket/prefix.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) at: String,
    /// A file whose first line is the repository password; otherwise the environment variable
    /// LOGISEDGE_REPOSITORY_PASSWORD is read.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DirectCommand {
    /// Back a database up into the location.
    Backup {
        #[command(flatten)]
        at: At,
        /// postgres://user@host/database (password from PGPASSWORD) or an SQLite file.
        #[arg(long, value_name = "SOURCE")]
        from: String,
        /// The scope's name at the location.
        #[arg(long, default_value = "full-database")]
        scope: ScopeName,
        /// Only tables that match this pattern; may be repeated. A preset's patterns apply where the
        /// scope has a preset's name and no pattern is given.
        #[arg(long, value_name = "PATTERN")]
        include: Vec<String>,
        /// No tables that match this pattern; may be repeated.
        #[arg(long, value_name = "PATTERN", requires = "include")]
        exclude: Vec<String>,
        /// An incremental shares what the scope's newest chain at the location holds, a differential
        /// what that chain's full holds. Where there is no usable chain a full is taken.
        #[arg(long, value_name = "KIND", default_value = "full")]
        kind: Kind,
        /// Read every row, also where page ranges of PostgreSQL tables are proven unchanged.
        #[arg(long)]
        read_all: bool,
        /// Parallel connections to PostgreSQL.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
        connections: u32,
        /// The pg_dump to run for the schema.
        #[arg(long, default_value = "pg_dump")]
        pg_dump: String,
        /// zstd's level.
        #[arg(long, default_value_t = logisedge_repository::Options::default().zstd_level,
              value_parser = clap::value_parser!(i32).range(1..=19))]
        zstd_level: i32,
        /// Bytes of memory that it may use; about 96 MB over two connections if left out.
        #[arg(long, value_name = "BYTES")]
        memory_bytes_max: Option<u64>,
    },
    /// List the snapshots at the location.
    Snapshots {
        #[command(flatten)]
        at: At,
    },
    /// Read a snapshot back whole.
    Verify {
        #[command(flatten)]
        at: At,
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
    },
    /// Restore a snapshot and compare what arrived.
    Restore {
        #[command(flatten)]
        at: At,
        /// The snapshot's id, or enough of its beginning, or `latest`.
        snapshot: String,
        /// With `latest`: of this scope.
        #[arg(long)]
        scope: Option<ScopeName>,
        #[command(flatten)]
        to: To,
    },
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    fn each(command: &Command, path: &str, see: &mut impl FnMut(&str, &Command)) {
        see(path, command);
        for below in command.get_subcommands() {
            each(below, &format!("{path} {}", below.get_name()), see);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// What stands in an argument can be read in the process list by everybody.
    #[test]
    fn no_argument_takes_a_secret() {
        // These take a file's path and names in Secrets Manager.
        let names = ["password-file", "database-secret", "repository-secret"];
        let words = ["password", "secret", "token", "credential", "key"];
        each(&Cli::command(), "", &mut |path, command| {
            for argument in command.get_arguments() {
                let long = argument.get_long().unwrap_or(argument.get_id().as_str());
                let suspicious = words.iter().any(|word| long.contains(word));
                assert!(!suspicious || names.contains(&long), "{path} --{long}");
            }
        });
    }

    #[test]
    fn every_command_and_argument_is_explained() {
        each(&Cli::command(), "", &mut |path, command| {
            assert!(path.is_empty() || command.get_about().is_some(), "{path}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                assert!(
                    help.is_some_and(|help| !help.is_empty()),
                    "{path} {argument}"
                );
            }
        });
    }
}

//! The command line as types. Secrets are never arguments: they come from the environment, a file or
//! Secrets Manager.

mod direct;
mod preview;
mod restore;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use logisedge_domain::id::{LocationName, ScheduleName, ScopeName};
use logisedge_domain::snapshot::Kind;

pub(crate) use self::direct::{At, Direct, DirectCommand};
pub(crate) use self::preview::{
    RetentionCommand, RetentionPreview, ScheduleCommand, SchedulePreview,
};
pub(crate) use self::restore::{Restore, To};

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
    #[arg(
        long,
        value_name = "NAME",
        requires = "postgres",
        conflicts_with = "sqlite"
    )]
    pub(crate) database_secret: Option<String>,
    /// The bucket to store in (output BucketName of the stack); LOGISEDGE_BUCKET if left out.
    // The variables are read by the command itself: to the parser they would be in --folder's way, as if
    // somebody had typed them.
    #[arg(long)]
    pub(crate) bucket: Option<String>,
    /// Secrets Manager's name or ARN of the repository password (output RepositorySecretArn);
    /// LOGISEDGE_REPOSITORY_SECRET if left out.
    #[arg(long, value_name = "NAME")]
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

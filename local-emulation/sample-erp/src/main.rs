//! `sample-erp`: makes a seeded sample ERP database, or works a day's business into one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use logisedge_sample_erp::change::{Change, Spread};
use logisedge_sample_erp::{SampleError, Summary, change, postgres, sqlite};

/// Makes a realistic ERP database, the same for the same seed and size.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes an SQLite file.
    Sqlite {
        /// The file; must not exist.
        file: PathBuf,
        #[command(flatten)]
        size: Size,
    },
    /// Fills an empty PostgreSQL database.
    Postgres {
        /// `postgres://user@host:port/name`; a password is better in PGPASSWORD.
        #[arg(env = "SAMPLE_ERP_URL", hide_env_values = true)]
        url: String,
        #[command(flatten)]
        size: Size,
    },
    /// Changes rows of a database made before, as a day's business would.
    Change {
        #[command(subcommand)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
enum Database {
    /// In an SQLite file.
    Sqlite {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        business: Business,
    },
    /// In a PostgreSQL database.
    Postgres {
        /// As for `sample-erp postgres`.
        #[arg(env = "SAMPLE_ERP_URL", hide_env_values = true)]
        url: String,
        #[command(flatten)]
        business: Business,
    },
}

#[derive(Debug, Args)]
struct Size {
    /// Millions of bytes of rows, as PostgreSQL COPY text; met within a tenth.
    #[arg(long, default_value_t = 50)]
    megabytes: u64,
    /// The same seed and size give the same database.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Business {
    /// Percent of the rows of each changeable table to update.
    #[arg(long, default_value_t = 1.0)]
    percent: f64,
    /// About how many rows to add over all tables.
    #[arg(long, default_value_t = 0)]
    insert: u64,
    /// Update rows all over each table.
    #[arg(long, conflicts_with = "clustered")]
    scattered: bool,
    /// Update the newest rows of each table (the default).
    #[arg(long)]
    clustered: bool,
}

impl From<Business> for Change {
    fn from(business: Business) -> Self {
        Self {
            percent: business.percent,
            insert: business.insert,
            spread: if business.scattered {
                Spread::Scattered
            } else {
                Spread::Clustered
            },
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok((what, summary)) => {
            println!(
                "{what} {} rows in {} tables, {} bytes as COPY text",
                summary.rows, summary.tables, summary.bytes
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sample-erp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<(&'static str, Summary), SampleError> {
    Ok(match verb {
        Verb::Sqlite { file, size } => ("made", sqlite::create(&file, size.seed, size.megabytes)?),
        Verb::Postgres { url, size } => {
            ("made", postgres::create(&url, size.seed, size.megabytes)?)
        }
        Verb::Change {
            database: Database::Sqlite { file, business },
        } => ("changed", change::sqlite(&file, business.into())?),
        Verb::Change {
            database: Database::Postgres { url, business },
        } => ("changed", postgres::change(&url, business.into())?),
    })
}

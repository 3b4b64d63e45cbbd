//! `logisedge-backup`: the operator's command line. Parses, calls one command, tells the exit code.

mod args;
mod bar;
mod commands;
mod error;
mod output;
mod parse;
mod places;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logisedge_runtime::trace_to_stderr();
    match commands::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.message);
            ExitCode::from(error.exit)
        }
    }
}

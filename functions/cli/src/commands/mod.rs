//! One module a command.

mod apply;
mod catalog;
mod direct;
mod prune;
mod restore;
mod run;
mod setup;
mod snapshots;
mod status;
mod verify;

use logisedge_catalog::Catalog;
use logisedge_domain::config::LocationConfig;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::Password;
use logisedge_runtime::Aws;
use logisedge_storage::ObjectStore;
use std::sync::Arc;

use crate::args::{CatalogCommand, Cli, Command};
use crate::error::CliError;
use crate::output::Output;
use crate::places;

/// What the commands that use AWS share.
pub(crate) struct Context {
    pub(crate) aws: Aws,
    pub(crate) catalog: Catalog,
    pub(crate) bus: String,
    pub(crate) output: Output,
}

pub(crate) async fn run(cli: Cli) -> Result<(), CliError> {
    let output = Output { json: cli.json };
    let aws = Aws::from_env().await;
    let catalog = Catalog::new(aws.dynamodb(), &cli.table);
    let context = Context {
        aws,
        catalog,
        bus: cli.bus,
        output,
    };
    match cli.command {
        Command::Setup(setup) => setup::setup(&setup, output),
        Command::Apply(apply) => apply::apply(&context, &apply).await,
        Command::Run(run) => run::run(&context, &run).await,
        Command::Status(status) => status::status(&context, &status).await,
        Command::Snapshots { scope } => snapshots::list(&context, scope.as_ref()).await,
        Command::Show { snapshot, scope } => {
            snapshots::show(&context, &snapshot, scope.as_ref()).await
        }
        Command::Verify { snapshot, scope } => {
            verify::verify(&context, &snapshot, scope.as_ref()).await
        }
        Command::Prune { scope, dry_run } => prune::prune(&context, scope.as_ref(), dry_run).await,
        Command::Restore(restore) => restore::restore(&context, &restore).await,
        Command::Catalog(CatalogCommand::Rebuild { location, config }) => {
            catalog::rebuild(&context, location.as_ref(), config.as_deref()).await
        }
        Command::Direct(direct) => direct::direct(&context.aws, direct.command, output).await,
    }
}

impl Context {
    /// The one snapshot that a text names.
    pub(crate) async fn pick(
        &self,
        wanted: &str,
        scope: Option<&ScopeName>,
    ) -> Result<SnapshotRecord, CliError> {
        let records = match scope {
            Some(scope) => self.catalog.snapshots(scope).await?,
            None => self.catalog.all_snapshots().await?,
        };
        places::pick(wanted, scope, records)
    }

    /// A configured location, opened.
    pub(crate) async fn location(
        &self,
        name: &LocationName,
    ) -> Result<(Arc<dyn ObjectStore>, Password), CliError> {
        Ok(self
            .aws
            .open_location(&self.location_config(name).await?)
            .await?)
    }

    /// How a configured location is reached.
    pub(crate) async fn location_config(
        &self,
        name: &LocationName,
    ) -> Result<LocationConfig, CliError> {
        self.catalog.location(name).await?.ok_or_else(|| {
            CliError::not_found(format!(
                "location {name} is not configured any more: apply a configuration that has it"
            ))
        })
    }
}

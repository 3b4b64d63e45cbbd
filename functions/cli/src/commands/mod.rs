//! One module a command.

mod alerts;
mod anomaly;
mod apply;
mod catalog;
mod direct;
mod hold;
mod prune;
mod restore;
mod retention;
mod run;
mod schedule;
mod setup;
mod snapshots;
mod status;
mod undelete;
mod verify;

use chrono::{TimeDelta, Utc};
use logisedge_catalog::Catalog;
use logisedge_domain::config::{Config, LocationConfig};
use logisedge_domain::id::{LocationName, ScopeName, SnapshotId};
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_repository::Password;
use logisedge_runtime::Aws;
use logisedge_storage::ObjectStore;
use std::path::Path;
use std::sync::Arc;

use crate::args::{
    AnomalyCommand, CatalogCommand, Cli, Command, RetentionCommand, ScheduleCommand,
};
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
        Command::Alerts => alerts::alerts(&context).await,
        Command::Anomaly { command: None } => anomaly::list(&context).await,
        Command::Anomaly {
            command: Some(AnomalyCommand::Confirm { scope, undone }),
        } => anomaly::confirm(&context, &scope, undone).await,
        Command::Snapshots { scope } => snapshots::list(&context, scope.as_ref()).await,
        Command::Show { snapshot, scope } => {
            snapshots::show(&context, &snapshot, scope.as_ref()).await
        }
        Command::Verify { snapshot, scope } => {
            verify::verify(&context, &snapshot, scope.as_ref()).await
        }
        Command::Prune { scope, dry_run } => prune::prune(&context, scope.as_ref(), dry_run).await,
        Command::Undelete {
            snapshot,
            scope,
            dry_run,
            reason,
            by,
        } => {
            let wanted = undelete::Wanted {
                snapshot: snapshot.as_deref(),
                scope: scope.as_ref(),
                dry_run,
                reason: &reason,
                by: &by,
            };
            undelete::undelete(&context, &wanted).await
        }
        Command::Hold {
            snapshot,
            scope,
            reason,
            by,
        } => hold::hold(&context, &snapshot, scope.as_ref(), &reason, &by).await,
        Command::Release { snapshot, scope } => {
            hold::release(&context, &snapshot, scope.as_ref()).await
        }
        Command::Restore(restore) => restore::restore(&context, &restore).await,
        Command::Schedule(ScheduleCommand::Preview(args)) => {
            schedule::preview(&context, &args).await
        }
        Command::Retention(RetentionCommand::Preview(args)) => {
            retention::preview(&context, &args).await
        }
        Command::Catalog(CatalogCommand::Rebuild { location, config }) => {
            catalog::rebuild(&context, location.as_ref(), config.as_deref()).await
        }
        Command::Direct(direct) => direct::direct(&context.aws, direct.command, output).await,
    }
}

/// How long a command may read a snapshot before prune no longer regards it as in use.
pub(crate) const IN_USE_FOR: TimeDelta = TimeDelta::hours(24);

/// A snapshot that prune leaves alone while a command reads it.
pub(crate) struct InUse {
    scope: ScopeName,
    id: SnapshotId,
    holder: String,
}

impl InUse {
    pub(crate) async fn release(self, context: &Context) -> Result<(), CliError> {
        context
            .catalog
            .release_use(&self.scope, &self.id, &self.holder)
            .await?;
        Ok(())
    }
}

impl Context {
    /// Keeps a snapshot from being pruned until it is released, for so long at the most.
    pub(crate) async fn hold(
        &self,
        record: &SnapshotRecord,
        at_most: TimeDelta,
    ) -> Result<InUse, CliError> {
        let now = Utc::now();
        let until = now + at_most;
        let holder = format!("cli-{:x}-{}", now.timestamp_millis(), std::process::id());
        let (scope, id) = (record.scope.clone(), record.id);
        if !self
            .catalog
            .hold_in_use(&scope, &id, &holder, until)
            .await?
        {
            return Err(CliError::refused(format!(
                "snapshot {} is being deleted by prune: choose another",
                id.short()
            )));
        }
        Ok(InUse { scope, id, holder })
    }

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

    /// The configuration in a file, or the one in force.
    pub(crate) async fn config(&self, file: Option<&Path>) -> Result<Config, CliError> {
        match file {
            Some(file) => apply::read(file),
            None => Ok(self.catalog.load_config().await?),
        }
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

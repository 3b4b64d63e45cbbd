//! `hold` and `release`: a snapshot that stays whatever retention says, and the end of that.

use chrono::Utc;
use logisedge_domain::id::ScopeName;
use logisedge_domain::snapshot::{Hold, SnapshotRecord};
use logisedge_engine::hold::{hold as keep, release as let_go};

use crate::commands::Context;
use crate::error::CliError;

pub(crate) async fn hold(
    context: &Context,
    wanted: &str,
    scope: Option<&ScopeName>,
    reason: &str,
    by: &str,
) -> Result<(), CliError> {
    let hold = Hold::new(reason, by, Utc::now()).map_err(CliError::refused)?;
    let record = context.pick(wanted, scope).await?;
    let (store, password) = context.location(&record.location).await?;
    keep(&context.catalog, store, &password, &record, &hold).await?;
    let held = SnapshotRecord {
        hold: Some(hold),
        ..record
    };
    context.output.show(&held, |held| {
        let hold = held.hold.as_ref().map(ToString::to_string);
        format!(
            "Snapshot {} of {} is {}",
            held.id.short(),
            held.scope,
            hold.unwrap_or_default()
        )
    });
    Ok(())
}

pub(crate) async fn release(
    context: &Context,
    wanted: &str,
    scope: Option<&ScopeName>,
) -> Result<(), CliError> {
    let record = context.pick(wanted, scope).await?;
    let (store, _) = context.location(&record.location).await?;
    let_go(&context.catalog, store, &record).await?;
    let released = SnapshotRecord {
        hold: None,
        ..record
    };
    context.output.show(&released, |released| {
        format!(
            "Snapshot {} of {} is released: retention decides about it again",
            released.id.short(),
            released.scope
        )
    });
    Ok(())
}

//! `verify`: reads a snapshot back whole and records what is found.

use logisedge_domain::format;
use logisedge_domain::id::ScopeName;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_engine::Progress;
use logisedge_engine::verify::{Verification, verify_recorded};

use crate::bar::during;
use crate::commands::{Context, IN_USE_FOR};
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn verify(
    context: &Context,
    wanted: &str,
    scope: Option<&ScopeName>,
) -> Result<(), CliError> {
    let record = context.pick(wanted, scope).await?;
    let (store, password) = context.location(&record.location).await?;
    let progress = Progress::new();
    let in_use = context.hold(&record, IN_USE_FOR).await?;
    let work = verify_recorded(&context.catalog, store, &password, &record, &progress);
    let verification = during("verifying", &progress, work).await;
    in_use.release(context).await?;
    let verification = verification?;
    tell(context.output, &record, &verification)
}

/// Prints a verification; findings that are damage decide the exit code.
pub(crate) fn tell(
    output: Output,
    record: &SnapshotRecord,
    verification: &Verification,
) -> Result<(), CliError> {
    output.show(verification, |verification| text(record, verification));
    if verification.is_good() {
        return Ok(());
    }
    let others =
        "verify older ones with `logisedge-backup verify` and restore from one that is good";
    Err(CliError::findings(format!(
        "snapshot {} is damaged and must not be relied on: {others}",
        record.id.short()
    )))
}

fn text(record: &SnapshotRecord, verification: &Verification) -> String {
    let mut lines: Vec<String> = verification
        .findings
        .iter()
        .map(|finding| format!("finding: {finding}"))
        .collect();
    let verdict = if verification.is_good() {
        "is good"
    } else {
        "has findings"
    };
    lines.push(format!(
        "Snapshot {} {verdict}: read {} in {} packs, {} blobs; {} tables with {} rows",
        record.id.short(),
        format::bytes(verification.bytes_read),
        verification.packs,
        format::count(verification.blobs),
        verification.tables,
        format::count(verification.rows),
    ));
    if verification.packs_archived > 0 {
        lines.push(format!(
            "Not read: {} in archived storage classes, of which only the length was compared. To read \
             them too, thaw them first (`restore --thaw`)",
            format::counted(verification.packs_archived, "pack"),
        ));
    }
    lines.join("\n")
}

//! `snapshots` and `show`: what there is, and what is in it.

use logisedge_domain::finding::Finding;
use logisedge_domain::format;
use logisedge_domain::id::ScopeName;
use logisedge_domain::manifest::Manifest;
use logisedge_domain::snapshot::SnapshotRecord;
use logisedge_engine::restore;
use serde::Serialize;

use crate::commands::Context;
use crate::error::CliError;
use crate::output::{table, utc};

pub(crate) async fn list(context: &Context, scope: Option<&ScopeName>) -> Result<(), CliError> {
    let records = match scope {
        Some(scope) => context.catalog.snapshots(scope).await?,
        None => context.catalog.all_snapshots().await?,
    };
    context.output.show(&records, |records| as_table(records));
    Ok(())
}

/// Snapshots as people read them.
pub(crate) fn as_table(records: &[SnapshotRecord]) -> String {
    if records.is_empty() {
        return "There is no snapshot yet.".to_owned();
    }
    table(
        &[
            "SNAPSHOT", "SCOPE", "KIND", "TAKEN", "TABLES", "ROWS", "CONTENT", "STORED", "TRUST",
        ],
        records.iter().map(|record| {
            let trust = match record.deleting_since {
                Some(_) => "being deleted".to_owned(),
                None if record.hold.is_some() => format!("{}, held", record.trust.as_str()),
                None => record.trust.as_str().to_owned(),
            };
            vec![
                record.id.short(),
                record.scope.to_string(),
                record.kind.as_str().to_owned(),
                utc(record.taken_at),
                record.tables.to_string(),
                format::count(record.rows),
                format::bytes(record.bytes),
                format::bytes(record.bytes_stored),
                trust,
            ]
        }),
        &[4, 5, 6, 7],
    )
}

#[derive(Serialize)]
struct Shown {
    record: SnapshotRecord,
    lies_at: String,
    manifest: Manifest,
    findings: Vec<Finding>,
}

pub(crate) async fn show(
    context: &Context,
    wanted: &str,
    scope: Option<&ScopeName>,
) -> Result<(), CliError> {
    let record = context.pick(wanted, scope).await?;
    let (store, password) = context.location(&record.location).await?;
    let lies_at = store.locate(record.chain.as_str());
    let opened = restore::open(store, &password, &record.chain, record.id).await?;
    let findings = context.catalog.findings(&record.id).await?;
    let shown = Shown {
        record,
        lies_at,
        manifest: opened.manifest,
        findings,
    };
    context.output.show(&shown, text);
    Ok(())
}

fn kind_in_words(record: &SnapshotRecord) -> String {
    let kind = record.kind.as_str();
    match (&record.kind_reason, &record.base) {
        (Some(why), _) => format!("{kind}, because {why}"),
        (None, Some(base)) => format!("{kind}, on {}", base.short()),
        (None, None) => kind.to_owned(),
    }
}

fn text(shown: &Shown) -> String {
    let Shown {
        record,
        lies_at,
        manifest,
        findings,
    } = shown;
    let verified = match record.verified_at {
        Some(at) => format!("{}, read back {}", record.trust.as_str(), utc(at)),
        None => record.trust.as_str().to_owned(),
    };
    let mut lines = vec![
        format!("Snapshot {}", record.id),
        format!("  scope     {}", record.scope),
        format!("  kind      {}", kind_in_words(record)),
        format!(
            "  source    {} ({} {}, database {})",
            manifest.source.name,
            manifest.source.engine,
            manifest.source.engine_version,
            manifest.source.database
        ),
        format!("  taken     {}", utc(record.taken_at)),
        format!("  run       {}", record.run),
        format!("  trust     {verified}"),
        format!("  lies at   {lies_at}"),
        format!(
            "  size      {} rows, {} of content, {} stored",
            format::count(record.rows),
            format::bytes(record.bytes),
            format::bytes(record.bytes_stored)
        ),
    ];
    let locked = record.locked_until.iter();
    lines.extend(locked.map(|until| format!("  locked    until {}", utc(*until))));
    if !record.tier.is_standard() {
        let tier = record.tier.as_str();
        lines.push(format!("  storage   its rows end up in the {tier} class"));
    }
    lines.extend(record.hold.iter().map(|hold| format!("  hold      {hold}")));
    lines.extend(
        manifest
            .notes
            .iter()
            .map(|note| format!("  note      {note}")),
    );
    lines.extend(manifest.outside_references.iter().map(|edge| {
        format!(
            "  leaves    {} refers to {} ({})",
            edge.from, edge.to, edge.constraint
        )
    }));
    lines.extend(
        findings
            .iter()
            .map(|finding| format!("  finding   {finding}")),
    );
    lines.push(String::new());
    lines.push(table(
        &["TABLE", "ROWS", "BYTES", "CONTENT HASH"],
        manifest.tables.iter().map(|t| {
            vec![
                format!("{}.{}", t.schema, t.name),
                format::count(t.rows),
                format::bytes(t.bytes),
                t.content.to_string(),
            ]
        }),
        &[1, 2],
    ));
    lines.join("\n")
}

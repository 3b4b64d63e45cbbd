//! `undelete`: what prune deleted and the bucket still keeps, and one of it brought back.

use chrono::Utc;
use logisedge_domain::format;
use logisedge_domain::id::{LocationName, ScopeName};
use logisedge_domain::snapshot::Hold;
use logisedge_engine::prune::Location;
use logisedge_engine::undelete::{BroughtBack, Deleted, Found, find, plan, undelete as bring_back};
use logisedge_engine::{EngineErrorKind, Progress};
use logisedge_repository::undelete::Undeletion;
use serde::Serialize;

use crate::bar::during;
use crate::commands::Context;
use crate::commands::prune::open_locations;
use crate::error::CliError;
use crate::output::{table, utc};

/// What the command line asks for.
pub(crate) struct Wanted<'a> {
    pub(crate) snapshot: Option<&'a str>,
    pub(crate) scope: Option<&'a ScopeName>,
    pub(crate) dry_run: bool,
    pub(crate) reason: &'a str,
    pub(crate) by: &'a str,
}

/// What one location still keeps of one scope.
#[derive(Serialize)]
struct At {
    scope: ScopeName,
    location: LocationName,
    /// Why nothing can be brought back there.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(flatten)]
    found: Found,
    #[serde(skip)]
    opened: Location,
}

pub(crate) async fn undelete(context: &Context, wanted: &Wanted<'_>) -> Result<(), CliError> {
    let hold = Hold::new(wanted.reason, wanted.by, Utc::now()).map_err(CliError::refused)?;
    let places = look(context, wanted.scope).await?;
    let Some(text) = wanted.snapshot else {
        context.output.show(&places, |places| listing(places));
        return Ok(());
    };
    let (place, deleted) = pick(text, &places)?;
    if wanted.dry_run {
        let undeletion = plan(&place.opened, deleted).await?;
        context.output.show(&undeletion, |undeletion| {
            format!("{}. Nothing was changed (--dry-run).", told(undeletion))
        });
        return Ok(());
    }
    let holder = format!("cli-{}", std::process::id());
    let progress = Progress::new();
    let (catalog, at) = (&context.catalog, &place.opened);
    let work = bring_back(catalog, at, deleted, &hold, &holder, &progress);
    let back = during("bringing back and verifying", &progress, work).await?;
    context.output.show(&back, said);
    if back.verification.is_good() {
        return Ok(());
    }
    Err(CliError::findings(format!(
        "snapshot {} is back and is damaged: `logisedge-backup show {}` lists the findings",
        back.record.id.short(),
        back.record.id.short()
    )))
}

/// Looks at every location of every scope.
async fn look(context: &Context, only: Option<&ScopeName>) -> Result<Vec<At>, CliError> {
    let scopes = match only {
        Some(scope) => vec![scope.clone()],
        None => {
            let scopes = context.catalog.scopes().await?.into_iter();
            scopes.map(|scope| scope.name).collect()
        }
    };
    let mut places = Vec::new();
    for scope in scopes {
        for (name, opened) in open_locations(context, &scope).await? {
            let (found, refused) = match find(&scope, &name, &opened).await {
                Ok(found) => (found, None),
                Err(error) if error.kind == EngineErrorKind::Refused => {
                    (Found::default(), Some(error.message))
                }
                Err(error) => return Err(error.into()),
            };
            places.push(At {
                scope: scope.clone(),
                location: name,
                refused,
                found,
                opened,
            });
        }
    }
    Ok(places)
}

fn pick<'p>(text: &str, places: &'p [At]) -> Result<(&'p At, &'p Deleted), CliError> {
    let text = text.to_ascii_lowercase();
    let all = places
        .iter()
        .flat_map(|place| place.found.snapshots.iter().map(move |s| (place, s)));
    let mut matching = all.filter(|(_, s)| s.record.id.to_string().starts_with(&text));
    match (matching.next(), matching.count()) {
        (Some(one), 0) => Ok(one),
        (Some(_), more) => Err(CliError::not_found(format!(
            "{} deleted snapshots begin with {text}: write more of it",
            more + 1
        ))),
        (None, _) => {
            let refused = places.iter().filter_map(|place| place.refused.as_ref());
            let refused: Vec<String> = refused.map(|why| format!("\n  {why}")).collect();
            let message = format!(
                "there is no deleted snapshot {text} that can be brought back; `logisedge-backup \
                 undelete` lists what can{}",
                refused.concat()
            );
            Err(CliError::not_found(message))
        }
    }
}

fn listing(places: &[At]) -> String {
    let mut lines = Vec::new();
    let all = || places.iter().flat_map(|place| &place.found.snapshots);
    if all().next().is_none() {
        lines.push("Nothing that was deleted can be brought back.".to_owned());
    } else {
        lines.push(table(
            &[
                "SNAPSHOT",
                "SCOPE",
                "LOCATION",
                "KIND",
                "TAKEN",
                "CONTENT",
                "DELETED",
                "GONE FROM",
            ],
            all().map(|deleted| {
                let record = &deleted.record;
                vec![
                    record.id.short(),
                    record.scope.to_string(),
                    record.location.to_string(),
                    record.kind.as_str().to_owned(),
                    utc(record.taken_at),
                    format::bytes(record.bytes),
                    utc(deleted.deleted_at),
                    utc(deleted.gone_from),
                ]
            }),
            &[5],
        ));
    }
    for place in places {
        let At {
            scope, location, ..
        } = place;
        lines.extend(
            place
                .refused
                .iter()
                .map(|why| format!("  {scope} at {location}: {why}")),
        );
        let unreadable = place.found.unreadable.iter();
        lines.extend(unreadable.map(|(chain, why)| format!("  {chain} at {location}: {why}")));
    }
    lines.join("\n")
}

fn told(undeletion: &Undeletion) -> String {
    if !undeletion.changes_something() {
        return format!("Snapshot {} lies there whole", undeletion.snapshot.short());
    }
    format!(
        "Snapshot {} comes back with {} packs and {} objects in all, {}",
        undeletion.snapshot.short(),
        undeletion.packs(),
        undeletion.objects.len() + usize::from(undeletion.snapshot_object.is_some()),
        format::bytes(undeletion.bytes)
    )
}

fn said(back: &BroughtBack) -> String {
    let hold = back.record.hold.as_ref();
    let hold = hold.map(ToString::to_string).unwrap_or_default();
    let verification = &back.verification;
    let verdict = match verification.is_good() {
        true => "every byte of it was read back and is good",
        false => "reading it back has findings",
    };
    [
        format!("{}.", told(&back.undeletion)),
        format!(
            "  It is recorded, and {verdict}: {} in {} packs, {} tables with {} rows.",
            format::bytes(verification.bytes_read),
            verification.packs,
            verification.tables,
            format::count(verification.rows)
        ),
        format!("  It is {hold}."),
        format!(
            "  `logisedge-backup release {}` leaves it to retention again.",
            back.record.id.short()
        ),
    ]
    .join("\n")
}

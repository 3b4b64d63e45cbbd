//! Anomalies: judging a new snapshot by the sizes of those before it, and confirming what was found.

use logisedge_catalog::{Catalog, CatalogError, Judged, Message, SIZES_KEPT};
use logisedge_domain::Instant;
use logisedge_domain::alert::Resolution;
use logisedge_domain::anomaly::{Anomaly, OpenAnomaly, Sizes, anomalies};
use logisedge_domain::id::{ScopeName, SnapshotId};
use logisedge_domain::scope::{PatternError, Scope, TablePattern};
use tracing::warn;

use crate::backup::Taken;
use crate::{EngineError, EngineErrorKind};

/// What is known of a snapshot that is about to be committed.
pub(crate) struct Seen {
    /// What is recorded with it.
    pub(crate) judged: Judged,
    /// What is unusual of it.
    pub(crate) anomalies: Vec<Anomaly>,
    /// The sizes that are kept no longer, once these are recorded.
    surplus: Vec<(Instant, SnapshotId)>,
}

/// Judges a snapshot. None where that fails: no backup is given up because its history cannot be read.
pub(crate) async fn judge(catalog: &Catalog, scope: &Scope, taken: &Taken) -> Option<Seen> {
    let seen = look(catalog, scope, taken).await;
    seen.inspect_err(|error| warn!(%error, scope = %scope.name, "its sizes are not judged"))
        .ok()
}

async fn look(catalog: &Catalog, scope: &Scope, taken: &Taken) -> Result<Seen, CatalogError> {
    let known = catalog.sizes(&scope.name).await?;
    let state = catalog.anomaly(&scope.name).await?;
    let mut sizes = Sizes::of(&taken.manifest, taken.record.id);
    let ignores = ignores(scope);
    let found = anomalies(state.history(&known), &sizes, |name| match &ignores {
        Ok(ignores) => ignores(name),
        Err(_) => false,
    });
    sizes.unusual = !found.is_empty();
    let open = state.after(&sizes, &found).open;
    let mut surplus = Vec::new();
    if known.len() >= SIZES_KEPT {
        let all = std::iter::once(&sizes).chain(&known);
        let old = state.surplus(all).into_iter();
        surplus.extend(old.map(|sizes| (sizes.taken_at, sizes.snapshot)));
    }
    Ok(Seen {
        judged: Judged { sizes, open },
        anomalies: found,
        surplus,
    })
}

/// Which tables may be as they like: those that the scope ignores, and those that it does not select any
/// more.
fn ignores(scope: &Scope) -> Result<impl Fn(&str) -> bool, PatternError> {
    let patterns = scope
        .anomaly_ignore
        .iter()
        .map(|pattern| TablePattern::new(pattern))
        .collect::<Result<Vec<_>, _>>()?;
    let selected = scope.selection.matcher()?;
    Ok(move |name: &str| {
        let (schema, table) = name.split_once('.').unwrap_or(("", name));
        let ignored = patterns.iter().any(|p| p.matches(schema, table));
        ignored || !selected.selects(schema, table)
    })
}

/// Forgets the sizes that nothing is compared with any more, now that a new snapshot's are there.
pub(crate) async fn forget_old_sizes(catalog: &Catalog, scope: &ScopeName, seen: &Seen) {
    if let Err(error) = catalog.forget_sizes(scope, &seen.surplus).await {
        warn!(%error, %scope, "old sizes stay");
    }
}

/// Confirms a scope's anomaly, from which on it is pruned again: it was meant, and later snapshots are
/// compared with what it left; or it was undone, and they are compared with what was before.
pub async fn confirm(
    catalog: &Catalog,
    scope: &ScopeName,
    was_meant: bool,
    now: Instant,
) -> Result<OpenAnomaly, EngineError> {
    let state = catalog.anomaly(scope).await?;
    let (Some(open), Some(confirmed)) = (&state.open, state.confirmed(was_meant, now)) else {
        return Err(EngineError::not_found(format!(
            "there is no unconfirmed anomaly of scope {scope}"
        )));
    };
    let resolution = Message::Resolution(Resolution::confirmed(scope, was_meant, now));
    let done = catalog
        .confirm_anomaly(scope, open, &confirmed, now, &[resolution])
        .await?;
    if !done {
        return Err(EngineError::new(
            EngineErrorKind::Refused,
            format!("the anomaly of scope {scope} was confirmed by somebody else just now"),
        ));
    }
    Ok(open.clone())
}

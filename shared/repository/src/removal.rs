//! Deleting snapshots: first a plan that can be shown, then its steps in the reverse order of
//! writing. Works on a store alone: whoever removes needs no password.
//!
//! When other snapshots of the chain are kept, only the snapshot objects go: what the others need of
//! the packs is for [`crate::prune`] to find out, which has to read their directories.

use logisedge_domain::id::SnapshotId;
use logisedge_storage::ObjectStore;
use serde::Serialize;

use crate::error::RepositoryError;
use crate::layout::{self, ObjectName};

/// What a step of a removal deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Snapshot objects: from here on nothing is visible.
    Snapshots,
    /// Index files: from here on nothing is found.
    Index,
    /// Packs.
    Data,
    /// restic's locks that were left behind.
    Locks,
    /// Key files.
    Keys,
    /// `config`: what made the place a repository goes last.
    Config,
}

/// What a removal would delete, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The steps with the object keys of each. A step begins when the one before it is complete.
    pub steps: Vec<(Step, Vec<String>)>,
    /// Bytes of all these objects.
    pub bytes: u64,
    /// How many other snapshots the chain keeps. None: the whole chain goes.
    pub snapshots_kept: usize,
    /// Objects below the chain whose names are no part of the format, and holds of snapshots that are
    /// not there. They are left alone.
    pub foreign: Vec<String>,
}

/// Plans the removal of snapshots from the chain that lies in `store`. Snapshots that are gone
/// already are no error, so an interrupted removal is planned again and finishes.
pub async fn plan(
    store: &dyn ObjectStore,
    snapshots: &[SnapshotId],
) -> Result<Removal, RepositoryError> {
    let listed = store.list(layout::SNAPSHOTS).await?;
    let kept = listed
        .iter()
        .filter(|meta| match ObjectName::of(&meta.key) {
            ObjectName::Snapshot(id) => !snapshots.contains(&id),
            _ => false,
        })
        .count();
    let whole_chain = kept == 0;
    let objects = if whole_chain {
        store.list("").await?
    } else {
        listed
    };
    let mut removal = Removal {
        steps: Vec::new(),
        bytes: 0,
        snapshots_kept: kept,
        foreign: Vec::new(),
    };
    let mut chosen = Vec::new();
    for meta in objects {
        let step = match ObjectName::of(&meta.key) {
            ObjectName::Snapshot(id) if snapshots.contains(&id) => Step::Snapshots,
            // It came after the first listing: someone writes this chain.
            ObjectName::Snapshot(_) => {
                removal.snapshots_kept += usize::from(whole_chain);
                continue;
            }
            ObjectName::Index(_) => Step::Index,
            ObjectName::Pack(_) => Step::Data,
            ObjectName::Lock => Step::Locks,
            ObjectName::Key(_) => Step::Keys,
            ObjectName::Config => Step::Config,
            // Of a snapshot that goes it was released before; else whoever holds is to look.
            ObjectName::Hold(_) | ObjectName::Foreign => {
                removal.foreign.push(meta.key);
                continue;
            }
        };
        chosen.push((step, meta.key, meta.bytes));
    }
    if removal.snapshots_kept > 0 {
        chosen.retain(|(step, ..)| *step == Step::Snapshots);
    }
    chosen.sort();
    for (step, key, bytes) in chosen {
        removal.bytes += bytes;
        match removal.steps.last_mut() {
            Some((last, keys)) if *last == step => keys.push(key),
            _ => removal.steps.push((step, vec![key])),
        }
    }
    Ok(removal)
}

/// Plans the removal of snapshot objects alone, whatever else is left of the chain.
pub async fn plan_snapshots(
    store: &dyn ObjectStore,
    snapshots: &[SnapshotId],
) -> Result<Removal, RepositoryError> {
    let mut removal = Removal {
        steps: Vec::new(),
        bytes: 0,
        snapshots_kept: 0,
        foreign: Vec::new(),
    };
    let mut keys = Vec::new();
    for meta in store.list(layout::SNAPSHOTS).await? {
        match ObjectName::of(&meta.key) {
            ObjectName::Snapshot(id) if snapshots.contains(&id) => {
                removal.bytes += meta.bytes;
                keys.push(meta.key);
            }
            ObjectName::Snapshot(_) => removal.snapshots_kept += 1,
            _ => removal.foreign.push(meta.key),
        }
    }
    if !keys.is_empty() {
        removal.steps.push((Step::Snapshots, keys));
    }
    Ok(removal)
}

/// Carries a plan out, step after step. Stops at the first error; what is left can be planned anew.
pub async fn apply(store: &dyn ObjectStore, removal: &Removal) -> Result<(), RepositoryError> {
    for (_, keys) in &removal.steps {
        store.delete(keys).await?;
    }
    Ok(())
}

//! The small objects of a chain: config, key files, index files; and names that do not belong.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::finding::FindingKind;
use logisedge_storage::ObjectMeta;

use super::Findings;
use crate::error::RepositoryError;
use crate::id::{PackId, sha256};
use crate::index::{Index, IndexFile};
use crate::layout::{self, ObjectName};
use crate::pack::PackedBlob;
use crate::repository::{Repository, decode_config, decode_json, get};
use crate::unpacked::Fault;
use crate::writer::off_runtime;

/// Index files that are read at the same time.
const INDEX_FILES_AT_ONCE: usize = 4;

/// What the intact index files say.
pub(super) struct Catalogue {
    pub(super) index: Index,
    /// The blobs of each pack, by offset.
    pub(super) packs: BTreeMap<PackId, Vec<PackedBlob>>,
}

pub(super) async fn check_config(
    repository: &Repository,
    findings: &Findings,
) -> Result<(), RepositoryError> {
    let object = get(&**repository.store(), layout::CONFIG).await;
    let Some(object) = findings.keep(object)? else {
        return Ok(());
    };
    match decode_config(&object, repository.cipher()) {
        Ok(config) if config.id == repository.id() => {}
        Ok(_) => findings.add(
            FindingKind::Malformed,
            layout::CONFIG,
            "it names another repository than when it was opened",
        ),
        Err(fault) => findings.add_fault(layout::CONFIG, fault),
    }
    Ok(())
}

pub(super) async fn check_keys(
    repository: &Repository,
    listed: &[ObjectMeta],
    findings: &Findings,
) -> Result<(), RepositoryError> {
    let mut keys = 0;
    for meta in listed {
        let ObjectName::Key(hash) = ObjectName::of(&meta.key) else {
            continue;
        };
        keys += 1;
        let file = get(&**repository.store(), &meta.key).await;
        let file = findings.keep(file)?;
        if file.is_some_and(|file| sha256(&file) != hash) {
            let detail = "its SHA-256 is not its name: it was altered";
            findings.add(FindingKind::WrongHash, &meta.key, detail);
        }
    }
    if keys == 0 {
        let detail = "there is no key file, without which nobody can decrypt anything";
        findings.add(FindingKind::Missing, layout::KEYS, detail);
    }
    Ok(())
}

pub(super) async fn read_index_files(
    repository: &Repository,
    listed: &[ObjectMeta],
    findings: &Findings,
) -> Result<Catalogue, RepositoryError> {
    let ids = listed
        .iter()
        .filter_map(|meta| match ObjectName::of(&meta.key) {
            ObjectName::Index(id) => Some(id),
            _ => None,
        });
    let files: Vec<_> = futures_util::stream::iter(ids.collect::<Vec<_>>())
        .map(async |id| {
            let key = layout::index(&id);
            let object = get(&**repository.store(), &key).await;
            let Some(object) = findings.keep(object)? else {
                return Ok(None);
            };
            let cipher = Arc::clone(repository.cipher());
            let decoded: Result<IndexFile, Fault> =
                off_runtime(move || Ok(decode_json(&object, &id.0, &cipher))).await?;
            match decoded {
                Ok(file) => Ok(Some((id, file))),
                Err(fault) => {
                    findings.add_fault(&key, fault);
                    Ok::<_, RepositoryError>(None)
                }
            }
        })
        .buffer_unordered(INDEX_FILES_AT_ONCE)
        .try_filter_map(async |file| Ok(file))
        .try_collect()
        .await?;
    off_runtime(move || {
        let mut packs: BTreeMap<PackId, Vec<PackedBlob>> = BTreeMap::new();
        for pack in files.iter().flat_map(|(_, file)| &file.packs) {
            let blobs = pack.blobs.iter().map(PackedBlob::from);
            packs.entry(pack.id).or_default().extend(blobs);
        }
        for blobs in packs.values_mut() {
            // Index files may overlap: two may name one pack.
            blobs.sort_unstable();
            blobs.dedup();
        }
        Ok(Catalogue {
            index: Index::merge(files),
            packs,
        })
    })
    .await
}

/// Packs that no index names, and names that are none of the format's. They do no harm: an upload
/// that was cut short, or one that runs at this moment, leaves such packs.
pub(super) fn find_unreferenced(listed: &[ObjectMeta], catalogue: &Catalogue, findings: &Findings) {
    for meta in listed {
        let detail = match ObjectName::of(&meta.key) {
            ObjectName::Pack(id) if !catalogue.packs.contains_key(&id) => {
                "no index names this pack"
            }
            ObjectName::Foreign => "its name is no part of the format",
            _ => continue,
        };
        findings.add(FindingKind::Unreferenced, &meta.key, detail);
    }
}

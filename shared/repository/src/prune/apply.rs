//! Carrying a plan out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use logisedge_storage::{ObjectStore, Put};
use serde::Serialize;

use super::{Guard, PackFate, Prepared, Work, fresh_lock, is_denied};
use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::{IdSet, IndexId, PackId, sha256};
use crate::index::{BlobKind, IndexFile, IndexedPack};
use crate::layout;
use crate::pack::{PackBuilder, PackedBlob, SealedPack};
use crate::repository::get;
use crate::unpacked::{BlobOpener, encode_object};
use crate::upload::CipherBox;
use crate::writer::off_runtime;

/// What was done to a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Packs deleted, those included that were written anew.
    pub packs_deleted: u64,
    /// Packs that were written anew.
    pub packs_rewritten: u64,
    /// Objects deleted: packs and index files.
    pub objects_deleted: u64,
    /// Their bytes; a versioned bucket keeps them for the grace days.
    pub bytes_deleted: u64,
    /// Bytes written: packs and index files.
    pub bytes_written: u64,
    /// What was left for the next prune, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

impl Work {
    /// Keeps a pack that turned out to be damaged, and every other that holds one of its needed blobs: that
    /// may be the last good copy.
    fn keep_with_copies(&mut self, number: usize, needed: &[PackedBlob]) {
        self.choice.keep(number);
        for blob in needed {
            let (_, copies) = self.index.table(blob.kind).find(&blob.id);
            for copy in copies {
                self.choice.keep(copy.value.pack as usize);
            }
        }
    }

    /// Index files that name a pack which goes, is rewritten or is not there.
    pub(super) fn replaced(&self) -> Vec<IndexId> {
        let goes = |pack: &PackId| match self.index.pack_ids().binary_search(pack) {
            Ok(number) => self.choice.fate(number) != PackFate::Keep,
            Err(_) => false,
        };
        let named = self
            .files
            .iter()
            .filter(|(_, packs)| packs.iter().any(goes));
        named.map(|(id, _)| *id).collect()
    }
}

impl Prepared {
    /// Does what the plan says, in the order that this module describes. Stops where `guard` says so;
    /// what is left then is for the next prune, and nothing is lost.
    ///
    /// Memory: the blobs' places once more, a pack that is read and one that is written.
    pub async fn apply(mut self, guard: &dyn Guard) -> Result<Applied, RepositoryError> {
        let mut applied = Applied {
            left: self.plan.held.clone(),
            ..Applied::default()
        };
        let Some(mut work) = self.work.take() else {
            return Ok(applied);
        };
        if !self.plan.changes_something() {
            return Ok(applied);
        }
        match self.steps(&mut work, guard, &mut applied).await {
            Ok(()) => {}
            Err(Stop::Left(why)) => applied.left = Some(why),
            // Nothing was deleted of what was to be replaced, so nothing is amiss.
            Err(Stop::Failed(error)) if is_denied(&error) && error.operation == "write" => {
                applied.left = Some(format!(
                    "{error}; the prune function may, and goes on where this one stopped"
                ));
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
        Ok(applied)
    }

    async fn steps(
        &self,
        work: &mut Work,
        guard: &dyn Guard,
        applied: &mut Applied,
    ) -> Result<(), Stop> {
        self.unread(guard).await?;
        let written = self.rewrite(work, guard, applied).await?;
        let replaced = work.replaced();
        if !replaced.is_empty() {
            guard.may_go_on().await.map_err(Stop::Left)?;
            self.write_index(work, &replaced, written, applied).await?;
            self.unread(guard).await?;
            let keys: Vec<String> = replaced.iter().map(layout::index).collect();
            self.delete(&keys, applied).await?;
        }
        let going = |number: &usize| {
            matches!(
                work.choice.fate(*number),
                PackFate::Delete | PackFate::Rewrite
            )
        };
        let ids = work.index.pack_ids();
        let numbers: Vec<usize> = (0..ids.len()).filter(going).collect();
        let mut keys: Vec<String> = numbers
            .iter()
            .map(|number| layout::pack(&ids[*number]))
            .collect();
        let mut bytes: u64 = numbers
            .iter()
            .map(|number| work.choice.stored_bytes(*number))
            .sum();
        for decision in work.choice.unindexed() {
            keys.push(layout::pack(&decision.pack));
            bytes += decision.bytes;
        }
        if keys.is_empty() {
            return Ok(());
        }
        // Once more: whoever began before the old index files went may still go by them.
        self.unread(guard).await?;
        self.delete(&keys, applied).await?;
        applied.packs_deleted += keys.len() as u64;
        applied.bytes_deleted += bytes;
        Ok(())
    }

    async fn unread(&self, guard: &dyn Guard) -> Result<(), Stop> {
        guard.may_go_on().await.map_err(Stop::Left)?;
        guard.is_unread().await.map_err(Stop::Left)?;
        match fresh_lock(&**self.repository.store(), self.terms.now).await? {
            Some(lock) => Err(Stop::Left(lock)),
            None => Ok(()),
        }
    }

    async fn delete(&self, keys: &[String], applied: &mut Applied) -> Result<(), Stop> {
        let deleted = self.repository.store().delete(keys).await;
        deleted.map_err(RepositoryError::from)?;
        applied.objects_deleted += keys.len() as u64;
        Ok(())
    }

    /// Writes what is needed of the packs that are rewritten into new ones. A blob's encrypted form
    /// is taken over as it is, after it was opened and found to be good.
    async fn rewrite(
        &self,
        work: &mut Work,
        guard: &dyn Guard,
        applied: &mut Applied,
    ) -> Result<Vec<IndexedPack>, Stop> {
        let mut written = Vec::new();
        let mut open: BTreeMap<BlobKind, PackBuilder> = BTreeMap::new();
        for (number, blobs) in work.choice.to_rewrite(&work.index, &work.needed) {
            if work.choice.fate(number) != PackFate::Rewrite {
                // It stays for the sake of a damaged one.
                continue;
            }
            if let Err(why) = guard.may_begin() {
                applied.left = Some(why);
                work.choice.keep(number);
                continue;
            }
            guard.may_go_on().await.map_err(Stop::Left)?;
            let key = layout::pack(&work.index.pack_ids()[number]);
            let read = match get(&**self.repository.store(), &key).await {
                Ok(pack) => self.good_blobs(&key, pack, &blobs).await,
                Err(error) => Err(error),
            };
            let pack = match read {
                Ok(pack) => pack,
                // What is damaged stays as it is: verify tells of it, and a part may be saved.
                Err(error) if error.finding().is_some() => {
                    applied.left = Some(format!("{error}; the pack stays as it is"));
                    work.keep_with_copies(number, &blobs);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            applied.packs_rewritten += 1;
            for blob in &blobs {
                let sealed = slice(&pack, blob);
                let pack_bytes = self.repository.pack_bytes() as usize;
                let begin = || PackBuilder::new(BytesMut::new(), pack_bytes);
                let builder = open.entry(blob.kind).or_insert_with(begin);
                if !builder.fits(sealed.len(), pack_bytes) {
                    let full = std::mem::replace(builder, begin());
                    written.push(self.put_pack(full, applied).await?);
                }
                let builder = open.entry(blob.kind).or_insert_with(begin);
                builder.append(blob.kind, blob.id, blob.uncompressed, sealed);
            }
        }
        for (_, builder) in open {
            if !builder.is_empty() {
                written.push(self.put_pack(builder, applied).await?);
            }
        }
        Ok(written)
    }

    /// Checks the blobs of a pack, and gives the pack back.
    async fn good_blobs(
        &self,
        key: &str,
        pack: Bytes,
        blobs: &[PackedBlob],
    ) -> Result<Bytes, RepositoryError> {
        let cipher = Arc::clone(self.repository.cipher());
        let (key, blobs) = (key.to_owned(), blobs.to_vec());
        off_runtime(move || {
            let mut opener = BlobOpener::new().map_err(|error| cannot_encode(error.to_string()))?;
            let (mut copy, mut plaintext) = (Vec::new(), Vec::new());
            for blob in &blobs {
                copy.clear();
                copy.extend_from_slice(slice(&pack, blob));
                let (length, id) = (blob.uncompressed, &blob.id);
                let opened = opener.open(&mut copy, length, id, &cipher.0, &mut plaintext);
                opened.map_err(|fault| {
                    let detail = format!("blob {}: {}", blob.id.short(), fault.detail);
                    RepositoryError::damaged(fault.kind, &key, detail)
                })?;
            }
            Ok(pack)
        })
        .await
    }

    async fn put_pack(
        &self,
        builder: PackBuilder,
        applied: &mut Applied,
    ) -> Result<IndexedPack, RepositoryError> {
        let cipher = Arc::clone(self.repository.cipher());
        let SealedPack { id, bytes, blobs } = off_runtime(move || {
            builder
                .seal(&cipher.0)
                .map_err(|error| cannot_encode(error.to_string()))
        })
        .await?;
        applied.bytes_written += bytes.len() as u64;
        let put = Put {
            sha256: Some(id.0),
            ..Put::default()
        };
        self.repository
            .store()
            .put(&layout::pack(&id), bytes, put)
            .await?;
        Ok(IndexedPack {
            id,
            blobs: blobs.iter().map(Into::into).collect(),
        })
    }

    /// Writes index files that name the new packs, and every pack that stays and that only the
    /// replaced files name.
    async fn write_index(
        &self,
        work: &Work,
        replaced: &[IndexId],
        mut packs: Vec<IndexedPack>,
        applied: &mut Applied,
    ) -> Result<(), RepositoryError> {
        let (mut staying, mut elsewhere) = (IdSet::default(), IdSet::default());
        for (id, named) in &work.files {
            match replaced.contains(id) {
                true => staying.extend(named.iter().copied()),
                false => elsewhere.extend(named.iter().copied()),
            }
        }
        let ids = work.index.pack_ids();
        let mut blobs: BTreeMap<u32, Vec<PackedBlob>> = (0..ids.len())
            .filter(|number| work.choice.fate(*number) == PackFate::Keep)
            .filter(|number| staying.contains(&ids[*number]) && !elsewhere.contains(&ids[*number]))
            .map(|number| (number as u32, Vec::new()))
            .collect();
        for kind in [BlobKind::Data, BlobKind::Tree] {
            for row in work.index.table(kind).rows() {
                if let Some(blobs) = blobs.get_mut(&row.value.pack) {
                    blobs.push(PackedBlob::of(kind, row));
                }
            }
        }
        for (number, mut blobs) in blobs {
            blobs.sort_unstable();
            packs.push(IndexedPack {
                id: ids[number as usize],
                blobs: blobs.iter().map(Into::into).collect(),
            });
        }
        for file in IndexFile::of_packs(packs) {
            self.put_index(file, applied).await?;
        }
        Ok(())
    }

    async fn put_index(
        &self,
        file: IndexFile,
        applied: &mut Applied,
    ) -> Result<(), RepositoryError> {
        let store = &**self.repository.store();
        applied.bytes_written += put_index(store, self.repository.cipher(), file).await?;
        Ok(())
    }
}

/// Why the steps ended before their end.
enum Stop {
    Left(String),
    Failed(RepositoryError),
}

impl From<RepositoryError> for Stop {
    fn from(error: RepositoryError) -> Self {
        Self::Failed(error)
    }
}

/// Writes an index file, and says how many bytes it has.
pub(crate) async fn put_index(
    store: &dyn ObjectStore,
    cipher: &Arc<CipherBox>,
    file: IndexFile,
) -> Result<u64, RepositoryError> {
    let cipher = Arc::clone(cipher);
    let object = off_runtime(move || {
        let json = crate::golang::json(&file).map_err(|error| cannot_encode(error.to_string()))?;
        encode_object(&json, true, &cipher.0).map_err(|error| cannot_encode(error.to_string()))
    });
    let object = object.await?;
    let id = IndexId(sha256(&object));
    let bytes = object.len() as u64;
    let put = Put {
        sha256: Some(id.0),
        ..Put::default()
    };
    store
        .put(&layout::index(&id), Bytes::from(object), put)
        .await?;
    Ok(bytes)
}

/// A blob's encrypted form. A pack has its blobs inside: its size was compared with their sum.
fn slice<'p>(pack: &'p [u8], blob: &PackedBlob) -> &'p [u8] {
    let start = blob.offset as usize;
    pack.get(start..start + blob.length as usize)
        .unwrap_or_default()
}

fn cannot_encode(message: String) -> RepositoryError {
    RepositoryError::new(
        RepositoryErrorKind::Unsupported,
        "encode",
        "a pack",
        message,
    )
}

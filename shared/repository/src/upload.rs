//! Packs on their way into the store: a bounded number in flight, a ledger of what is durable, and
//! index files written as they fill, always after the packs that they name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use logisedge_domain::storage::StorageTier;
use logisedge_storage::{ObjectStore, Put};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::crypto::Cipher;
use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::{IndexId, sha256};
use crate::index::{INDEX_BLOBS_MAX, IndexFile, IndexedPack};
use crate::layout;
use crate::pack::SealedPack;
use crate::unpacked::encode_object;

/// Sends packs. Shared by all streams of a writer.
#[derive(Debug)]
pub(crate) struct Uploader {
    store: Arc<dyn ObjectStore>,
    cipher: Arc<CipherBox>,
    runtime: Handle,
    uploads: u32,
    /// One permit a pack in flight. Closed when an upload fails, which wakes everyone who waits.
    permits: Arc<Semaphore>,
    ledger: Mutex<Ledger>,
    failure: Mutex<Option<RepositoryError>>,
    /// Buffers of packs that are durable, for the next packs.
    spare: Mutex<Vec<BytesMut>>,
}

/// A cipher that does not show itself.
pub(crate) struct CipherBox(pub(crate) Cipher);

impl std::fmt::Debug for CipherBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(…)")
    }
}

#[derive(Debug, Default)]
struct Ledger {
    /// Packs that were sent, and of them those that are durable.
    sent: u64,
    durable: u64,
    /// Durable packs that no index file names yet.
    unindexed: Vec<IndexedPack>,
    unindexed_blobs: usize,
    objects: u64,
    bytes: u64,
}

/// Objects and bytes that a writer stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// Leave to send one pack, given back when dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

impl Uploader {
    /// Keeps the present runtime's handle, on which uploads run.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, cipher: Arc<CipherBox>, uploads: usize) -> Self {
        Self {
            store,
            cipher,
            runtime: Handle::current(),
            uploads: uploads as u32,
            permits: Arc::new(Semaphore::new(uploads)),
            ledger: Mutex::default(),
            failure: Mutex::default(),
            spare: Mutex::default(),
        }
    }

    /// The first failure, if there was one. Everyone who asks gets it.
    pub(crate) fn check(&self) -> Result<(), RepositoryError> {
        match &*lock(&self.failure) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Ends the writer: nothing more is sent, and everyone is told why.
    pub(crate) fn fail(&self, error: RepositoryError) {
        lock(&self.failure).get_or_insert(error);
        self.permits.close();
    }

    /// A buffer for the next pack.
    pub(crate) fn buffer(&self) -> BytesMut {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Waits until a pack may be sent. Blocks its thread, which must be none of the runtime's own.
    pub(crate) fn wait(&self) -> Result<Slot, RepositoryError> {
        let permits = Arc::clone(&self.permits);
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => Ok(permit),
            Err(_) => self.runtime.block_on(permits.acquire_owned()),
        };
        match permit {
            Ok(permit) => Ok(permit),
            Err(_) => Err(self.why_closed()),
        }
    }

    fn why_closed(&self) -> RepositoryError {
        self.check().err().unwrap_or_else(|| {
            RepositoryError::new(
                RepositoryErrorKind::Aborted,
                "write",
                "packs",
                "the writer was ended before; begin a new one",
            )
        })
    }

    /// Sends a pack in the background. Its failure is told by the next call of anything here.
    pub(crate) fn send(self: &Arc<Self>, pack: SealedPack, tier: StorageTier, slot: Slot) {
        lock(&self.ledger).sent += 1;
        let this = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(error) = this.put(pack, tier).await {
                this.fail(error);
            }
            drop(slot);
        });
    }

    async fn put(&self, pack: SealedPack, tier: StorageTier) -> Result<(), RepositoryError> {
        let put = Put {
            sha256: Some(pack.id.0),
            tier,
            ..Put::default()
        };
        let (key, bytes) = (layout::pack(&pack.id), pack.bytes.len() as u64);
        self.store.put(&key, pack.bytes.clone(), put).await?;
        let full = {
            let mut ledger = lock(&self.ledger);
            ledger.durable += 1;
            ledger.objects += 1;
            ledger.bytes += bytes;
            ledger.unindexed_blobs += pack.blobs.len();
            ledger.unindexed.push(IndexedPack {
                id: pack.id,
                blobs: pack.blobs.iter().map(Into::into).collect(),
            });
            (ledger.unindexed_blobs >= INDEX_BLOBS_MAX).then(|| ledger.take_unindexed())
        };
        // Where the store keeps no reference, the memory serves the next pack.
        if let Ok(buffer) = pack.bytes.try_into_mut() {
            lock(&self.spare).push(buffer);
        }
        match full {
            Some(packs) => self.put_index(packs).await,
            None => Ok(()),
        }
    }

    async fn put_index(&self, packs: Vec<IndexedPack>) -> Result<(), RepositoryError> {
        let failed = |message: String| {
            RepositoryError::new(
                RepositoryErrorKind::Unsupported,
                "write",
                "an index",
                message,
            )
        };
        let file = IndexFile {
            supersedes: Vec::new(),
            packs,
        };
        let json = crate::golang::json(&file).map_err(|e| failed(e.to_string()))?;
        let object =
            encode_object(&json, true, &self.cipher.0).map_err(|e| failed(e.to_string()))?;
        let id = IndexId(sha256(&object));
        let bytes = object.len() as u64;
        let put = Put {
            sha256: Some(id.0),
            ..Put::default()
        };
        let key = layout::index(&id);
        self.store.put(&key, Bytes::from(object), put).await?;
        let mut ledger = lock(&self.ledger);
        ledger.objects += 1;
        ledger.bytes += bytes;
        Ok(())
    }

    /// Waits until all that was sent is durable, then writes the last index file.
    pub(crate) async fn finish(&self) -> Result<Stored, RepositoryError> {
        let all = self.permits.acquire_many(self.uploads).await;
        let _all = all.map_err(|_| self.why_closed())?;
        self.check()?;
        let packs = {
            let mut ledger = lock(&self.ledger);
            // An upload that ended without a word (a panic, a runtime shut down) is no success.
            if ledger.sent != ledger.durable {
                return Err(RepositoryError::new(
                    RepositoryErrorKind::Aborted,
                    "write",
                    "packs",
                    format!(
                        "{} of {} uploads ended without a result; run the backup again",
                        ledger.sent - ledger.durable,
                        ledger.sent
                    ),
                ));
            }
            ledger.take_unindexed()
        };
        if !packs.is_empty() {
            self.put_index(packs).await?;
        }
        let ledger = lock(&self.ledger);
        Ok(Stored {
            objects: ledger.objects,
            bytes: ledger.bytes,
        })
    }
}

impl Ledger {
    fn take_unindexed(&mut self) -> Vec<IndexedPack> {
        self.unindexed_blobs = 0;
        std::mem::take(&mut self.unindexed)
    }
}

/// None of what is locked here can be left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

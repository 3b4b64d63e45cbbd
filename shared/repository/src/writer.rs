//! Writing a snapshot's content: what all its streams share. One open pack for data and one for
//! trees; full ones go to the uploader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use logisedge_domain::storage::StorageTier;

use crate::blobs::{Claims, KnownBlobs};
use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::file_writer::{Bench, FileWriter, StoredFile};
use crate::id::BlobId;
use crate::index::BlobKind;
use crate::options::Options;
use crate::pack::PackBuilder;
use crate::tree::Directory;
use crate::upload::{CipherBox, Uploader};

/// What a writer did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Bytes of plaintext that were new to the chain.
    pub bytes_new: u64,
    /// Bytes of plaintext that were known already, or came twice.
    pub bytes_shared: u64,
    /// Bytes of all objects stored: packs and index files.
    pub bytes_stored: u64,
    /// Objects stored.
    pub objects_stored: u64,
    /// Blobs stored.
    pub blobs: u64,
}

/// Writes the content of one snapshot, from any number of streams at the same time. Cheap to clone.
///
/// At most `uploads` + 1 packs of data, one of small files, one of trees, and a few times the largest blob for each
/// open [`FileWriter`] are in memory. Nothing that it stores is visible before
/// [`Repository::commit`](crate::Repository::commit): a writer that is dropped leaves only objects
/// that nothing refers to.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    cipher: Arc<CipherBox>,
    claims: Claims,
    uploader: Arc<Uploader>,
    open: [Mutex<Option<PackBuilder>>; Place::ALL.len()],
    bytes_new: AtomicU64,
    bytes_shared: AtomicU64,
    blobs: AtomicU64,
    benches: Mutex<Vec<Bench>>,
}

/// Which packs a blob goes into. Packs of rows may be archived, the others never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Rows,
    Small,
    Trees,
}

impl Place {
    const ALL: [Self; 3] = [Self::Rows, Self::Small, Self::Trees];

    fn kind(self) -> BlobKind {
        match self {
            Self::Rows | Self::Small => BlobKind::Data,
            Self::Trees => BlobKind::Tree,
        }
    }
}

impl Writer {
    pub(crate) fn new(
        uploader: Uploader,
        cipher: Arc<CipherBox>,
        known: KnownBlobs,
        options: Options,
    ) -> Self {
        Self(Arc::new(Shared {
            options,
            cipher,
            claims: Claims::new(known),
            uploader: Arc::new(uploader),
            open: Default::default(),
            bytes_new: AtomicU64::new(0),
            bytes_shared: AtomicU64::new(0),
            blobs: AtomicU64::new(0),
            benches: Mutex::default(),
        }))
    }

    /// Begins a file of rows. One a stream; its calls block, so it lives on a thread of `spawn_blocking`
    /// (or any other that is none of the runtime's workers).
    pub fn file(&self) -> FileWriter {
        FileWriter::new(Arc::clone(&self.0), Place::Rows)
    }

    /// Stores a small file whole: what says how the rows are to be read.
    pub async fn store_bytes(&self, bytes: Bytes) -> Result<StoredFile, RepositoryError> {
        let place = match self.0.options.tier {
            StorageTier::Standard => Place::Rows,
            StorageTier::Cold | StorageTier::Archive => Place::Small,
        };
        let mut file = FileWriter::new(Arc::clone(&self.0), place);
        off_runtime(move || {
            file.write(&bytes)?;
            file.finish()
        })
        .await
    }

    /// Stores the directories that hold `files` under absolute paths, and returns their root.
    /// Directories get mode 0700, files 0600, owner 0, and `taken_at` as their times. Paths that
    /// are relative, come twice or cannot be file names are refused.
    pub async fn tree(
        &self,
        files: Vec<(String, StoredFile)>,
        taken_at: logisedge_domain::Instant,
    ) -> Result<BlobId, RepositoryError> {
        let shared = Arc::clone(&self.0);
        off_runtime(move || {
            let root = Directory::of(files).map_err(|(path, why)| {
                RepositoryError::new(RepositoryErrorKind::Unsupported, "store", path, why)
            })?;
            let mut bench = shared.bench()?;
            let root = root.store(taken_at, &mut |json: Vec<u8>| {
                shared.store(Place::Trees, &json, &mut bench)
            });
            shared.give_back(bench);
            root
        })
        .await
    }

    /// Sends what is left, waits until all of it is durable, and writes the index. After it a
    /// commit may follow. All files must be finished before: one that is not is lost.
    pub async fn finish(self) -> Result<WriterStats, RepositoryError> {
        let shared = Arc::clone(&self.0);
        off_runtime(move || {
            Place::ALL
                .into_iter()
                .try_for_each(|place| shared.flush(place))
        })
        .await?;
        let stored = self.0.uploader.finish().await?;
        Ok(WriterStats {
            bytes_new: self.0.bytes_new.load(Ordering::Relaxed),
            bytes_shared: self.0.bytes_shared.load(Ordering::Relaxed),
            blobs: self.0.blobs.load(Ordering::Relaxed),
            bytes_stored: stored.bytes,
            objects_stored: stored.objects,
        })
    }
}

impl Shared {
    /// Stores a blob, unless it is known or another stream has taken it on.
    pub(crate) fn store(
        &self,
        place: Place,
        plaintext: &[u8],
        bench: &mut Bench,
    ) -> Result<BlobId, RepositoryError> {
        let id = BlobId::of(plaintext);
        let bytes = plaintext.len() as u64;
        if u32::try_from(bytes).is_err() {
            return Err(RepositoryError::new(
                RepositoryErrorKind::TooLarge,
                "store",
                "a blob",
                format!("{bytes} bytes are more than the format's 4 GiB"),
            ));
        }
        if !self.claims.claim(place.kind(), id) {
            self.bytes_shared.fetch_add(bytes, Ordering::Relaxed);
            return Ok(id);
        }
        let stored = bench
            .sealer
            .seal(plaintext, &self.cipher.0)
            .map_err(cannot_encode)
            .and_then(|(sealed, uncompressed)| self.append(place, id, uncompressed, sealed));
        if let Err(error) = stored {
            // The claim keeps every other stream from storing this blob, so all must fail.
            self.uploader.fail(error.clone());
            return Err(error);
        }
        self.bytes_new.fetch_add(bytes, Ordering::Relaxed);
        self.blobs.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    fn append(
        &self,
        place: Place,
        id: BlobId,
        uncompressed: u32,
        sealed: &[u8],
    ) -> Result<(), RepositoryError> {
        let kind = place.kind();
        let pack_bytes = self.options.pack_bytes;
        let begin = || PackBuilder::new(self.uploader.buffer(), pack_bytes);
        let mut open = self.open_pack(place).lock().map_err(|_| poisoned())?;
        let pack = open.get_or_insert_with(begin);
        if pack.fits(sealed.len(), pack_bytes) {
            pack.append(kind, id, uncompressed, sealed);
            return Ok(());
        }
        // Waiting with the lock held is the back-pressure: no stream gets further than its next
        // blob, and no second full pack comes up meanwhile.
        let slot = self.uploader.wait()?;
        let full = std::mem::replace(pack, begin());
        pack.append(kind, id, uncompressed, sealed);
        drop(open);
        self.send(full, place, slot)
    }

    fn open_pack(&self, place: Place) -> &Mutex<Option<PackBuilder>> {
        let [rows, small, trees] = &self.open;
        match place {
            Place::Rows => rows,
            Place::Small => small,
            Place::Trees => trees,
        }
    }

    fn send(
        &self,
        pack: PackBuilder,
        place: Place,
        slot: crate::upload::Slot,
    ) -> Result<(), RepositoryError> {
        let tier = match place {
            Place::Rows => self.options.tier,
            Place::Small | Place::Trees => StorageTier::Standard,
        };
        let sealed = pack
            .seal(&self.cipher.0)
            .map_err(|e| cannot_encode(e.into()))?;
        self.uploader.send(sealed, tier, slot);
        Ok(())
    }

    fn flush(&self, place: Place) -> Result<(), RepositoryError> {
        let open = self.open_pack(place).lock();
        let pack = open.map_err(|_| poisoned())?.take();
        match pack.filter(|pack| !pack.is_empty()) {
            Some(pack) => self.send(pack, place, self.uploader.wait()?),
            None => self.uploader.check(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), RepositoryError> {
        self.uploader.check()
    }

    /// Working memory for one stream, used before where there is some.
    pub(crate) fn bench(&self) -> Result<Bench, RepositoryError> {
        let used = self.benches.lock().map_err(|_| poisoned())?.pop();
        match used {
            Some(bench) => Ok(bench),
            None => Bench::new(self.options.zstd_level).map_err(|e| cannot_encode(e.into())),
        }
    }

    pub(crate) fn give_back(&self, bench: Bench) {
        if let Ok(mut benches) = self.benches.lock() {
            benches.push(bench);
        }
    }
}

fn cannot_encode(fault: crate::unpacked::EncodeFault) -> RepositoryError {
    RepositoryError::new(
        RepositoryErrorKind::Unsupported,
        "encode",
        "a blob",
        fault.to_string(),
    )
}

fn poisoned() -> RepositoryError {
    RepositoryError::new(
        RepositoryErrorKind::Aborted,
        "write",
        "packs",
        "another stream of this writer panicked; begin a new one",
    )
}

/// Runs what computes or blocks on a thread that may.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepositoryError> + Send + 'static,
) -> Result<T, RepositoryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(RepositoryError::new(
            RepositoryErrorKind::Aborted,
            "process",
            "blobs",
            "a worker thread panicked or the program is ending",
        )
        .because(error)),
    }
}

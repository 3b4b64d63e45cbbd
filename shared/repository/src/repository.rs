//! A repository: creating and opening it, its snapshots, and the commit of a new one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use logisedge_domain::finding::FindingKind;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::manifest::Chunking;
use logisedge_storage::{ObjectMeta, ObjectStore, Put, StorageError, StorageErrorKind};

use crate::blobs::KnownBlobs;
use crate::chunker::Bounds;
use crate::config::Config;
use crate::crypto::MasterKey;
use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::{IndexId, sha256};
use crate::index::{Index, IndexPart};
use crate::keyfile::{self, Password, Unlock};
use crate::layout::{self, ObjectName};
use crate::options::Options;
use crate::reader::Reader;
use crate::snapshot::Snapshot;
use crate::unpacked::{Fault, decode_object, encode_object};
use crate::upload::{CipherBox, Uploader};
use crate::writer::{Writer, off_runtime};

/// Snapshot objects that are read at the same time.
const READS_AT_ONCE: usize = 16;
/// Index files that are read and decoded at the same time: each is some megabytes of JSON for a moment.
const INDEX_FILES_AT_ONCE: usize = 6;
/// How often the index files are listed while they are replaced under their reader's hands.
const LISTINGS_MAX: usize = 5;

/// An open repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn ObjectStore>,
    cipher: Arc<CipherBox>,
    config: Config,
    options: Options,
}

impl Repository {
    /// Makes a new repository: `config` first, which fails where there is one (so of two that
    /// create the same, one does), then a key file for `password`.
    pub async fn create(
        store: Arc<dyn ObjectStore>,
        password: &Password,
        options: Options,
    ) -> Result<Self, RepositoryError> {
        options.check()?;
        let failed = |message: String| {
            let place = store.locate("");
            RepositoryError::new(RepositoryErrorKind::Unsupported, "create", place, message)
        };
        let master = MasterKey::generate().map_err(|e| failed(e.to_string()))?;
        let config = Config::generate().map_err(|e| failed(e.to_string()))?;
        let cipher = Arc::new(CipherBox(master.cipher()));
        let json = crate::golang::json(&config).map_err(|e| failed(e.to_string()))?;
        let object = encode_object(&json, false, &cipher.0).map_err(|e| failed(e.to_string()))?;
        put_new(&*store, layout::CONFIG, object)
            .await
            .map_err(|error| match error.kind {
                StorageErrorKind::AlreadyExists => RepositoryError::new(
                    RepositoryErrorKind::AlreadyExists,
                    "create",
                    store.locate(""),
                    "there is a repository already; open it, or create another elsewhere",
                ),
                _ => error.into(),
            })?;
        let password = password.clone();
        let created = chrono::Utc::now();
        let file =
            off_runtime(move || keyfile::create(&master, &password, options.key_cost, created))
                .await?;
        put_new(&*store, &layout::key(&sha256(&file)), file).await?;
        Ok(Self::assemble(store, cipher, config, options))
    }

    /// Opens a repository, ours or one that restic wrote. Each key file is tried in turn: about
    /// 0.1 s each at the default cost.
    ///
    /// Fails with `NoRepository`, `WrongPassword`, `Unsupported` (a version beyond 2, options out
    /// of bounds) or `Damaged`. Version 1 can be read and not written.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        password: &Password,
        options: Options,
    ) -> Result<Self, RepositoryError> {
        options.check()?;
        let object = match store.get(layout::CONFIG).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                return Err(RepositoryError::new(
                    RepositoryErrorKind::NoRepository,
                    "open",
                    store.locate(""),
                    "there is no repository here: it has no config object",
                ));
            }
            other => other?,
        };
        let master = unlock(&store, password).await?;
        let cipher = Arc::new(CipherBox(master.cipher()));
        let config = decode_config(&object, &cipher)
            .map_err(|f| RepositoryError::damaged(f.kind, layout::CONFIG, f.detail))?;
        if !config.is_supported() {
            return Err(RepositoryError::new(
                RepositoryErrorKind::Unsupported,
                "open",
                store.locate(""),
                format!(
                    "it has format version {}; this program speaks 1 and 2: use a newer one",
                    config.version
                ),
            ));
        }
        Ok(Self::assemble(store, cipher, config, options))
    }

    fn assemble(
        store: Arc<dyn ObjectStore>,
        cipher: Arc<CipherBox>,
        config: Config,
        options: Options,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            cipher,
            config,
            options,
        }))
    }

    /// The same, whose writers fill packs of at most `pack_bytes_max` and send at most `uploads_max`
    /// of them at the same time.
    #[must_use]
    pub fn within(&self, pack_bytes_max: usize, uploads_max: usize) -> Self {
        let inner = &self.0;
        let options = Options {
            pack_bytes: inner.options.pack_bytes.min(pack_bytes_max),
            uploads: inner.options.uploads.min(uploads_max),
            ..inner.options
        };
        let (store, cipher) = (Arc::clone(&inner.store), Arc::clone(&inner.cipher));
        Self::assemble(store, cipher, inner.config.clone(), options)
    }

    /// The same, seen through another store.
    pub(crate) fn in_store(&self, store: Arc<dyn ObjectStore>) -> Self {
        let inner = &self.0;
        let cipher = Arc::clone(&inner.cipher);
        Self::assemble(store, cipher, inner.config.clone(), inner.options)
    }

    /// Its random id, 64 hexadecimal digits, which stays the same wherever it is copied to.
    pub fn id(&self) -> &str {
        &self.0.config.id
    }

    /// How this repository's writers cut content, as manifests record it.
    pub fn chunking(&self) -> Chunking {
        Bounds::around(self.0.options.chunk_bytes_average).recorded()
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.0.store
    }

    pub(crate) fn cipher(&self) -> &Arc<CipherBox> {
        &self.0.cipher
    }

    /// Reads all index files, some at the same time. List or choose snapshots before: an index
    /// that was read first may not know a snapshot that came meanwhile.
    ///
    /// Memory: [`Index`]'s own, and while it is read six index files, of 5 MB where we wrote them.
    pub async fn load_index(&self) -> Result<Index, RepositoryError> {
        let parts = self.index_parts().await?;
        off_runtime(move || Ok(Index::of_parts(parts))).await
    }

    /// Every index file, decoded. One that is gone by the time it is read was replaced by prune, and
    /// what it named is in a newer one: so all are listed again.
    pub(crate) async fn index_parts(&self) -> Result<Vec<IndexPart>, RepositoryError> {
        let mut listed = self.0.store.list(layout::INDEX).await?;
        for _ in 1..LISTINGS_MAX {
            match self.read_index_parts(&listed).await {
                Err(error) if error.kind == RepositoryErrorKind::Damaged(FindingKind::Missing) => {
                    listed = self.0.store.list(layout::INDEX).await?;
                    if listed.iter().any(|meta| meta.key == error.object) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
        self.read_index_parts(&listed).await
    }

    async fn read_index_parts(
        &self,
        listed: &[ObjectMeta],
    ) -> Result<Vec<IndexPart>, RepositoryError> {
        let ids: Vec<IndexId> = listed
            .iter()
            .filter_map(|meta| match ObjectName::of(&meta.key) {
                ObjectName::Index(id) => Some(id),
                _ => None,
            })
            .collect();
        futures_util::stream::iter(ids)
            .map(async |id| {
                let key = layout::index(&id);
                let object = get(&*self.0.store, &key).await?;
                let cipher = Arc::clone(&self.0.cipher);
                off_runtime(move || {
                    decode_json(&object, &id.0, &cipher)
                        .map(|file| IndexPart::new(id, file))
                        .map_err(|fault| RepositoryError::damaged(fault.kind, key, fault.detail))
                })
                .await
            })
            .buffer_unordered(INDEX_FILES_AT_ONCE)
            .try_collect()
            .await
    }

    /// Every snapshot, oldest first.
    pub async fn snapshots(&self) -> Result<Vec<(SnapshotId, Snapshot)>, RepositoryError> {
        let listed = self.0.store.list(layout::SNAPSHOTS).await?;
        let mut snapshots: Vec<_> = futures_util::stream::iter(listed)
            .filter_map(async |meta| match ObjectName::of(&meta.key) {
                ObjectName::Snapshot(id) => Some(id),
                _ => None,
            })
            .map(async |id| Ok::<_, RepositoryError>((id, self.snapshot(id).await?)))
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
        Ok(snapshots)
    }

    /// One snapshot. `NotFound` where there is none of this id.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, RepositoryError> {
        match self.read_json(&layout::snapshot(&id), id.as_bytes()).await {
            Err(RepositoryError {
                kind: RepositoryErrorKind::Damaged(FindingKind::Missing),
                object,
                ..
            }) => Err(RepositoryError::new(
                RepositoryErrorKind::NotFound,
                "read",
                object,
                "there is no such snapshot; it may have been pruned",
            )),
            other => other,
        }
    }

    /// Begins to write a snapshot's content. Blobs that are known are not stored again. Must be
    /// called inside a Tokio runtime, where the uploads then run.
    pub fn writer(&self, known: KnownBlobs) -> Writer {
        let inner = &self.0;
        let uploader = Uploader::new(
            Arc::clone(&inner.store),
            Arc::clone(&inner.cipher),
            inner.options.uploads,
        );
        if let Err(error) = self.check_writable() {
            uploader.fail(error);
        }
        Writer::new(uploader, Arc::clone(&inner.cipher), known, inner.options)
    }

    /// Makes a snapshot visible. The last of all writes: its tree and everything below must be
    /// durable, which [`Writer::finish`] having returned means.
    pub async fn commit(&self, snapshot: Snapshot) -> Result<SnapshotId, RepositoryError> {
        self.check_writable()?;
        let failed = |message: String| {
            RepositoryError::new(
                RepositoryErrorKind::Unsupported,
                "write",
                "a snapshot",
                message,
            )
        };
        let json = crate::golang::json(&snapshot).map_err(|e| failed(e.to_string()))?;
        let object =
            encode_object(&json, true, &self.0.cipher.0).map_err(|e| failed(e.to_string()))?;
        let id = SnapshotId::from_bytes(sha256(&object));
        put_new(&*self.0.store, &layout::snapshot(&id), object).await?;
        Ok(id)
    }

    /// Reads files through an index.
    pub fn reader(&self, index: Index) -> Reader {
        Reader::new(self.clone(), index)
    }

    /// A snapshot that was listed: its absence is damage.
    pub(crate) async fn existing_snapshot(
        &self,
        id: SnapshotId,
    ) -> Result<Snapshot, RepositoryError> {
        self.read_json(&layout::snapshot(&id), id.as_bytes()).await
    }

    /// Bytes at which a pack is full.
    pub(crate) fn pack_bytes(&self) -> u64 {
        self.0.options.pack_bytes as u64
    }

    pub(crate) fn why_not_writable(&self) -> Option<&'static str> {
        (!self.0.config.is_writable()).then_some(
            "a repository of version 1 can only be read; run `restic migrate upgrade_repo_v2`",
        )
    }

    pub(crate) fn check_writable(&self) -> Result<(), RepositoryError> {
        match self.why_not_writable() {
            None => Ok(()),
            Some(why) => Err(RepositoryError::new(
                RepositoryErrorKind::Unsupported,
                "write to",
                self.0.store.locate(""),
                why,
            )),
        }
    }

    async fn read_json<T: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        key: &str,
        hash: &[u8; 32],
    ) -> Result<T, RepositoryError> {
        let object = get(&*self.0.store, key).await?;
        let cipher = Arc::clone(&self.0.cipher);
        let (key, hash) = (key.to_owned(), *hash);
        off_runtime(move || {
            decode_json(&object, &hash, &cipher)
                .map_err(|fault| RepositoryError::damaged(fault.kind, key, fault.detail))
        })
        .await
    }
}

/// Reads an object that must be there: its absence is damage.
pub(crate) async fn get(store: &dyn ObjectStore, key: &str) -> Result<Bytes, RepositoryError> {
    store.get(key).await.map_err(|error| missing(error, key))
}

/// What a failed read of an object that must be there amounts to.
pub(crate) fn missing(error: StorageError, key: &str) -> RepositoryError {
    match error.kind {
        StorageErrorKind::NotFound => {
            RepositoryError::damaged(FindingKind::Missing, key, "it is not there").because(error)
        }
        StorageErrorKind::Corrupted => {
            RepositoryError::damaged(FindingKind::WrongSize, key, error.message.clone())
                .because(error)
        }
        _ => error.into(),
    }
}

async fn put_new(store: &dyn ObjectStore, key: &str, object: Vec<u8>) -> Result<(), StorageError> {
    let put = Put {
        create_only: true,
        sha256: Some(sha256(&object)),
        ..Put::default()
    };
    store.put(key, Bytes::from(object), put).await
}

pub(crate) fn decode_config(object: &[u8], cipher: &CipherBox) -> Result<Config, Fault> {
    let json = decode_object(object, &cipher.0)?;
    serde_json::from_slice(&json)
        .map_err(|e| Fault::new(FindingKind::Malformed, format!("its JSON: {e}")))
}

/// Checks an unpacked object against its name and decodes it.
pub(crate) fn decode_json<T: serde::de::DeserializeOwned>(
    object: &[u8],
    hash: &[u8; 32],
    cipher: &CipherBox,
) -> Result<T, Fault> {
    let actual = sha256(object);
    if actual != *hash {
        let detail = match decode_object(object, &cipher.0) {
            Ok(_) => format!(
                "it holds the intact object {} under another's name",
                hex::encode(actual)
            ),
            Err(_) => format!("its SHA-256 is {}: it was altered", hex::encode(actual)),
        };
        return Err(Fault::new(FindingKind::WrongHash, detail));
    }
    let json = decode_object(object, &cipher.0)?;
    serde_json::from_slice(&json)
        .map_err(|e| Fault::new(FindingKind::Malformed, format!("its JSON: {e}")))
}

async fn unlock(
    store: &Arc<dyn ObjectStore>,
    password: &Password,
) -> Result<MasterKey, RepositoryError> {
    let mut unusable = None;
    let mut tried = 0;
    for meta in store.list(layout::KEYS).await? {
        let ObjectName::Key(hash) = ObjectName::of(&meta.key) else {
            continue;
        };
        let file = get(&**store, &meta.key).await?;
        let altered = sha256(&file) != hash;
        let password = password.clone();
        let tried_key = off_runtime(move || Ok(keyfile::unlock(&file, &password))).await?;
        match tried_key {
            Ok(Unlock::Opened(master)) => return Ok(master),
            Ok(Unlock::WrongPassword) if !altered => tried += 1,
            _ if altered => {
                let message = "it was altered after it was written: restore an earlier version";
                unusable = Some((FindingKind::WrongHash, meta.key, message.to_owned()));
            }
            Ok(Unlock::WrongPassword) => {}
            Err(message) => unusable = Some((FindingKind::Malformed, meta.key, message)),
        }
    }
    Err(match unusable {
        Some((kind, key, message)) => RepositoryError::damaged(kind, key, message),
        None if tried == 0 => RepositoryError::damaged(
            FindingKind::Missing,
            layout::KEYS,
            "it has no key file: restore one, without which nothing can be decrypted",
        ),
        None => RepositoryError::new(
            RepositoryErrorKind::WrongPassword,
            "open",
            store.locate(""),
            format!("none of its {tried} keys opens with this password"),
        ),
    })
}

//! One stream on its way in: cut, hash, skip what is known, compress, encrypt, pack.

use std::sync::Arc;

use crate::chunker::{Bounds, Chunker};
use crate::error::RepositoryError;
use crate::id::BlobId;
use crate::unpacked::BlobSealer;
use crate::writer::{Place, Shared};

/// A file whose content is stored, or will be when its writer has finished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredFile {
    /// Its blobs in order.
    pub content: Vec<BlobId>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Working memory of one stream: a zstd context, room for an encrypted blob, and the part of the
/// present blob that came with earlier pieces. Grows to about three of the largest blobs.
pub(crate) struct Bench {
    pub(crate) sealer: BlobSealer,
    held: Vec<u8>,
}

impl Bench {
    pub(crate) fn new(level: i32) -> std::io::Result<Self> {
        Ok(Self {
            sealer: BlobSealer::new(level)?,
            held: Vec::new(),
        })
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bench({} bytes held)", self.held.len())
    }
}

/// Writes one file. Its calls compute and block (until a pack may be sent), so it belongs on a
/// thread of `spawn_blocking`; on a worker of the runtime they panic. Dropped before
/// [`finish`](Self::finish), the file is forgotten.
#[derive(Debug)]
pub struct FileWriter {
    shared: Arc<Shared>,
    chunker: Chunker,
    /// Taken from the writer's with the first piece, and given back at the end.
    bench: Option<Bench>,
    file: StoredFile,
    place: Place,
}

impl FileWriter {
    pub(crate) fn new(shared: Arc<Shared>, place: Place) -> Self {
        let bounds = Bounds::around(shared.options.chunk_bytes_average);
        Self {
            chunker: Chunker::new(bounds),
            shared,
            bench: None,
            file: StoredFile::default(),
            place,
        }
    }

    /// Takes the stream's next bytes, of any length: cuts do not depend on it. Pieces of a few
    /// hundred KiB cost least. Fails when any upload of this writer has failed.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), RepositoryError> {
        self.shared.check()?;
        let mut bench = match self.bench.take() {
            Some(bench) => bench,
            None => self.shared.bench()?,
        };
        let result = self.write_with(piece, &mut bench);
        self.bench = Some(bench);
        result
    }

    fn write_with(&mut self, mut piece: &[u8], bench: &mut Bench) -> Result<(), RepositoryError> {
        self.file.bytes += piece.len() as u64;
        while let Some(cut) = self.chunker.next_cut(piece) {
            let (chunk, rest) = piece.split_at(cut);
            if bench.held.is_empty() {
                // The whole blob lies in this piece: no copy.
                self.store(chunk, bench)?;
            } else {
                bench.held.extend_from_slice(chunk);
                self.store_held(bench)?;
            }
            piece = rest;
        }
        bench.held.extend_from_slice(piece);
        Ok(())
    }

    fn store_held(&mut self, bench: &mut Bench) -> Result<(), RepositoryError> {
        let mut held = std::mem::take(&mut bench.held);
        let result = self.store(&held, bench);
        held.clear();
        bench.held = held;
        result
    }

    fn store(&mut self, chunk: &[u8], bench: &mut Bench) -> Result<(), RepositoryError> {
        let id = self.shared.store(self.place, chunk, bench)?;
        self.file.content.push(id);
        Ok(())
    }

    /// Ends the file: what is left is its last blob. Durable only when the writer has finished.
    pub fn finish(mut self) -> Result<StoredFile, RepositoryError> {
        self.shared.check()?;
        if let Some(mut bench) = self.bench.take() {
            if !bench.held.is_empty() {
                self.store_held(&mut bench)?;
            }
            self.bench = Some(bench);
        }
        Ok(std::mem::take(&mut self.file))
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if let Some(mut bench) = self.bench.take() {
            bench.held.clear();
            self.shared.give_back(bench);
        }
    }
}

//! A pack that is read piece by piece, whatever its size, as long as nothing is wrong with it. What
//! exactly is wrong with others is for `packs` to find out, which looks at a pack as a whole.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::OnBlob;
use super::objects::Catalogue;
use super::packs::Trees;
use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::id::PackId;
use crate::index::BlobKind;
use crate::layout;
use crate::pack::{PackedBlob, pack_bytes, read_tail};
use crate::repository::{Repository, missing};
use crate::unpacked::BlobOpener;
use crate::upload::CipherBox;
use crate::writer::off_runtime;

/// Bytes of a pack that are asked for at once, unless a single blob is bigger.
pub(super) const PIECE_BYTES: u64 = 4 << 20;

/// What a sound pack held.
pub(super) struct Sound {
    pub(super) trees: Trees,
    pub(super) blobs: u64,
}

/// Contexts and buffers that no pack uses at the moment.
#[derive(Default)]
pub(super) struct Benches(Mutex<Vec<Bench>>);

struct Bench {
    opener: BlobOpener,
    piece: Vec<u8>,
    plaintext: Vec<u8>,
}

impl Benches {
    fn take(&self) -> Result<Bench, RepositoryError> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(bench) => Ok(bench),
            None => Ok(Bench {
                opener: BlobOpener::new().map_err(|e| {
                    RepositoryError::new(
                        RepositoryErrorKind::Unsupported,
                        "check",
                        "a pack",
                        e.to_string(),
                    )
                })?,
                piece: Vec::new(),
                plaintext: Vec::new(),
            }),
        }
    }

    fn give_back(&self, bench: Bench) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bench);
    }
}

/// What all packs of a check share.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) repository: Repository,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) on_blob: OnBlob,
    pub(super) benches: Arc<Benches>,
}

/// How far the reading of a pack is.
struct Progress {
    hash: Sha256,
    sound: Sound,
    bench: Bench,
}

impl Streams {
    /// Reads a pack of `bytes` bytes. None: something is wrong with it.
    pub(super) async fn read(
        &self,
        id: PackId,
        bytes: u64,
    ) -> Result<Option<Sound>, RepositoryError> {
        let blobs = self.blobs(&id);
        if blobs.is_empty() || pack_bytes(blobs) != bytes || !are_contiguous(blobs) {
            return Ok(None);
        }
        let key = layout::pack(&id);
        let mut progress = Progress {
            hash: Sha256::new(),
            sound: Sound {
                trees: Trees::default(),
                blobs: 0,
            },
            bench: self.benches.take()?,
        };
        for (blobs, range) in pieces(blobs, bytes) {
            let expected = range.end - range.start;
            let piece = &mut progress.bench.piece;
            let got = self.repository.store().get_range_into(&key, range, piece);
            match got.await.map_err(|error| missing(error, &key)) {
                Ok(()) if piece.len() as u64 == expected => {}
                Err(error) if error.finding().is_none() => return Err(error),
                _ => return Ok(None),
            }
            let this = self.clone();
            let examined = off_runtime(move || this.examine(id, blobs, progress)).await?;
            match examined {
                Some(further) => progress = further,
                None => return Ok(None),
            }
        }
        self.benches.give_back(progress.bench);
        let hash: [u8; 32] = progress.hash.finalize().into();
        Ok((hash == id.0).then_some(progress.sound))
    }

    fn blobs(&self, id: &PackId) -> &[PackedBlob] {
        self.catalogue.packs.get(id).map_or(&[], Vec::as_slice)
    }

    /// Opens the blobs of the piece on the bench, and the header where it is the last. Computes; for
    /// a worker thread.
    fn examine(
        &self,
        id: PackId,
        range: Range<usize>,
        mut progress: Progress,
    ) -> Result<Option<Progress>, RepositoryError> {
        let Bench {
            opener,
            piece,
            plaintext,
        } = &mut progress.bench;
        progress.hash.update(&*piece);
        let cipher = self.repository.cipher();
        let all = self.blobs(&id);
        let blobs = &all[range.start..range.end];
        let before = blobs.first().map_or(0, |blob| blob.offset);
        for blob in blobs {
            let start = (blob.offset - before) as usize;
            let Some(sealed) = piece.get_mut(start..start + blob.length as usize) else {
                return Ok(None);
            };
            let opened = opener.open(sealed, blob.uncompressed, &blob.id, &cipher.0, plaintext);
            if opened.is_err() {
                return Ok(None);
            }
            progress.sound.blobs += 1;
            match blob.kind {
                BlobKind::Data => (self.on_blob)(blob.id, plaintext),
                BlobKind::Tree => {
                    progress.sound.trees.insert(blob.id, plaintext.clone());
                }
            }
        }
        let is_last = range.end == all.len();
        let agrees = !is_last || header_agrees(piece, u64::from(before), all, cipher);
        Ok(agrees.then_some(progress))
    }
}

fn header_agrees(tail: &[u8], before: u64, expected: &[PackedBlob], cipher: &CipherBox) -> bool {
    read_tail(tail, before, &cipher.0).is_ok_and(|header| header == expected)
}

fn are_contiguous(blobs: &[PackedBlob]) -> bool {
    let mut end = 0;
    blobs.iter().all(|blob| {
        let follows = u64::from(blob.offset) == end;
        end += u64::from(blob.length);
        follows
    })
}

/// Blobs that are asked for at once, by position, and where they lie. The last piece reaches to the
/// pack's end.
fn pieces(blobs: &[PackedBlob], pack_bytes: u64) -> Vec<(Range<usize>, Range<u64>)> {
    let mut pieces: Vec<(Range<usize>, Range<u64>)> = Vec::new();
    for (position, blob) in blobs.iter().enumerate() {
        let start = u64::from(blob.offset);
        let end = start + u64::from(blob.length);
        match pieces.last_mut() {
            Some((blobs, range)) if end - range.start <= PIECE_BYTES => {
                blobs.end = position + 1;
                range.end = end;
            }
            _ => pieces.push((position..position + 1, start..end)),
        }
    }
    if let Some((_, range)) = pieces.last_mut() {
        range.end = pack_bytes;
    }
    pieces
}

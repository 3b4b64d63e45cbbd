//! Packs: objects of many blobs, each encrypted on its own, with an encrypted header at the end
//! that says what is inside.

use bytes::{Bytes, BytesMut};

use crate::crypto::{Cipher, IV_BYTES, MAC_BYTES, NoRandom, OVERHEAD_BYTES};
use crate::id::{BlobId, PackId, sha256};
use crate::index::{BlobKind, Entry};
use crate::table::Row;

/// Bytes of the length field that ends a pack.
const LENGTH_BYTES: usize = 4;
/// Bytes of a pack beside its blobs and their entries in the header.
pub(crate) const FRAME_BYTES: usize = OVERHEAD_BYTES + LENGTH_BYTES;
/// Type, length, plaintext hash.
const PLAIN_ENTRY_BYTES: usize = 1 + 4 + 32;
/// Type, length, plaintext length, plaintext hash.
const COMPRESSED_ENTRY_BYTES: usize = PLAIN_ENTRY_BYTES + 4;

/// One blob inside a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PackedBlob {
    /// Where its encrypted form begins.
    pub(crate) offset: u32,
    /// Bytes of its encrypted form.
    pub(crate) length: u32,
    /// Bytes of its plaintext where it is compressed; 0 where it is not.
    pub(crate) uncompressed: u32,
    pub(crate) kind: BlobKind,
    pub(crate) id: BlobId,
}

impl PackedBlob {
    /// A row of an index as what it is in its pack.
    pub(crate) fn of(kind: BlobKind, row: &Row<Entry>) -> Self {
        Self {
            offset: row.value.offset,
            length: row.value.length,
            uncompressed: row.value.uncompressed,
            kind,
            id: row.id,
        }
    }

    /// Bytes of its entry in the header.
    pub(crate) fn entry_bytes(&self) -> usize {
        match self.uncompressed {
            0 => PLAIN_ENTRY_BYTES,
            _ => COMPRESSED_ENTRY_BYTES,
        }
    }
}

/// Bytes of a whole pack with these blobs, which lie one after another from its start.
pub(crate) fn pack_bytes(blobs: &[PackedBlob]) -> u64 {
    let content: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    let header: usize = blobs.iter().map(PackedBlob::entry_bytes).sum();
    content + (header + FRAME_BYTES) as u64
}

/// A pack that is being filled.
#[derive(Debug)]
pub(crate) struct PackBuilder {
    bytes: BytesMut,
    blobs: Vec<PackedBlob>,
}

/// A pack that is complete and has its name.
#[derive(Debug)]
pub(crate) struct SealedPack {
    pub(crate) id: PackId,
    pub(crate) bytes: Bytes,
    pub(crate) blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// An empty pack in `buffer`, whose content is dropped and whose memory is used again.
    pub(crate) fn new(mut buffer: BytesMut, pack_bytes: usize) -> Self {
        buffer.clear();
        buffer.reserve(pack_bytes);
        Self {
            bytes: buffer,
            blobs: Vec::new(),
        }
    }

    /// Whether a blob of `length` encrypted bytes still fits. A blob that is bigger than any pack
    /// gets one of its own.
    pub(crate) fn fits(&self, length: usize, pack_bytes: usize) -> bool {
        let header = (self.blobs.len() + 1) * COMPRESSED_ENTRY_BYTES;
        let ends = self.bytes.len() + length + header + OVERHEAD_BYTES + LENGTH_BYTES;
        self.blobs.is_empty() || ends <= pack_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Appends an encrypted blob. Offsets fit 32 bits since [`crate::Options`] bounds a pack and
    /// a single blob in it is below 4 GiB.
    pub(crate) fn append(&mut self, kind: BlobKind, id: BlobId, uncompressed: u32, sealed: &[u8]) {
        self.blobs.push(PackedBlob {
            offset: self.bytes.len() as u32,
            length: sealed.len() as u32,
            uncompressed,
            kind,
            id,
        });
        self.bytes.extend_from_slice(sealed);
    }

    /// Ends the pack with its header and names it by its hash. Costs a SHA-256 over all of it.
    pub(crate) fn seal(mut self, cipher: &Cipher) -> Result<SealedPack, NoRandom> {
        let mut header = encode_header(&self.blobs);
        cipher.seal(&mut header)?;
        self.bytes.extend_from_slice(&header);
        self.bytes
            .extend_from_slice(&(header.len() as u32).to_le_bytes());
        Ok(SealedPack {
            id: PackId(sha256(&self.bytes)),
            bytes: self.bytes.freeze(),
            blobs: self.blobs,
        })
    }
}

/// The header's plaintext, with room for its IV before and its MAC behind.
fn encode_header(blobs: &[PackedBlob]) -> Vec<u8> {
    let mut header = Vec::with_capacity(blobs.len() * COMPRESSED_ENTRY_BYTES + OVERHEAD_BYTES);
    header.extend_from_slice(&[0; IV_BYTES]);
    for blob in blobs {
        let base = match blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        header.push(if blob.uncompressed == 0 {
            base
        } else {
            base + 2
        });
        header.extend_from_slice(&blob.length.to_le_bytes());
        if blob.uncompressed != 0 {
            header.extend_from_slice(&blob.uncompressed.to_le_bytes());
        }
        header.extend_from_slice(&blob.id.0);
    }
    header.extend_from_slice(&[0; MAC_BYTES]);
    header
}

/// What is wrong with a pack's header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderFault {
    #[error("its header's length field of {length} does not fit a pack of {bytes} bytes")]
    Length { length: u32, bytes: usize },
    #[error("its header's authentication code does not match")]
    Mac,
    #[error("its header is malformed: {0}")]
    Content(&'static str),
}

impl HeaderFault {
    /// The same fault, seen by someone who knows the index: a header whose code does not match and
    /// whose length is another than its blobs give has a wrong length field.
    pub(crate) fn with_index(self, pack: &[u8], blobs: &[PackedBlob]) -> Self {
        let header: usize = blobs.iter().map(PackedBlob::entry_bytes).sum();
        match (&self, pack.last_chunk::<LENGTH_BYTES>()) {
            (Self::Mac, Some(length)) => {
                let length = u32::from_le_bytes(*length);
                if length as usize == header + OVERHEAD_BYTES {
                    return self;
                }
                let bytes = pack.len();
                Self::Length { length, bytes }
            }
            _ => self,
        }
    }
}

/// Reads the header of a whole pack.
pub(crate) fn read_header(pack: &[u8], cipher: &Cipher) -> Result<Vec<PackedBlob>, HeaderFault> {
    read_tail(pack, 0, cipher)
}

/// Reads the header of a pack whose first `before` bytes are not at hand.
pub(crate) fn read_tail(
    tail: &[u8],
    before: u64,
    cipher: &Cipher,
) -> Result<Vec<PackedBlob>, HeaderFault> {
    let pack = tail;
    let (rest, length) = pack
        .split_last_chunk::<LENGTH_BYTES>()
        .ok_or(HeaderFault::Length {
            length: 0,
            bytes: pack.len(),
        })?;
    let length = u32::from_le_bytes(*length);
    let start = (length as usize >= OVERHEAD_BYTES)
        .then(|| rest.len().checked_sub(length as usize))
        .flatten()
        .ok_or(HeaderFault::Length {
            length,
            bytes: pack.len(),
        })?;
    let mut sealed = rest[start..].to_vec();
    let header = cipher.open(&mut sealed).map_err(|_| HeaderFault::Mac)?;
    let blobs = decode_header(header).map_err(HeaderFault::Content)?;
    let content: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    if content != before + start as u64 {
        return Err(HeaderFault::Content(
            "its blobs do not fill the pack exactly",
        ));
    }
    Ok(blobs)
}

pub(crate) fn decode_header(mut header: &[u8]) -> Result<Vec<PackedBlob>, &'static str> {
    const SHORT: &str = "it ends inside an entry";
    let mut blobs = Vec::with_capacity(header.len() / PLAIN_ENTRY_BYTES);
    let mut offset = 0u32;
    while let Some((&tag, rest)) = header.split_first() {
        let kind = match tag {
            0 | 2 => BlobKind::Data,
            1 | 3 => BlobKind::Tree,
            _ => return Err("an entry has an unknown type"),
        };
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (uncompressed, rest) = match tag {
            2 | 3 => rest.split_first_chunk::<4>().ok_or(SHORT)?,
            _ => (&[0; 4], rest),
        };
        if matches!(tag, 2 | 3) && *uncompressed == [0; 4] {
            return Err("an entry of a compressed blob says that it unpacks to nothing");
        }
        let (id, rest) = rest.split_first_chunk::<32>().ok_or(SHORT)?;
        let length = u32::from_le_bytes(*length);
        blobs.push(PackedBlob {
            offset,
            length,
            uncompressed: u32::from_le_bytes(*uncompressed),
            kind,
            id: BlobId(*id),
        });
        offset = offset
            .checked_add(length)
            .ok_or("its blobs are longer than 4 GiB together")?;
        header = rest;
    }
    Ok(blobs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use proptest::prelude::*;

    type Content = Vec<(bool, u32, Vec<u8>)>;

    fn build(content: &Content, cipher: &Cipher) -> (SealedPack, Vec<PackedBlob>) {
        let mut builder = PackBuilder::new(BytesMut::new(), 1 << 16);
        for (tree, uncompressed, sealed) in content {
            let kind = if *tree {
                BlobKind::Tree
            } else {
                BlobKind::Data
            };
            builder.append(kind, BlobId::of(sealed), *uncompressed, sealed);
        }
        let blobs = builder.blobs.clone();
        (builder.seal(cipher).unwrap(), blobs)
    }

    proptest! {
        #[test]
        fn a_packs_header_tells_what_was_put_in(
            content in prop::collection::vec(
                (any::<bool>(), prop_oneof![Just(0), any::<u32>()],
                 prop::collection::vec(any::<u8>(), 32..200)), 1..50),
        ) {
            let cipher = MasterKey::generate().unwrap().cipher();
            let (pack, blobs) = build(&content, &cipher);
            prop_assert_eq!(pack.bytes.len() as u64, pack_bytes(&blobs));
            prop_assert_eq!(pack.id, PackId(sha256(&pack.bytes)));
            prop_assert_eq!(read_header(&pack.bytes, &cipher).unwrap(), blobs);
        }

        #[test]
        fn no_bytes_make_the_header_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let cipher = MasterKey::generate().unwrap().cipher();
            prop_assert!(read_header(&bytes, &cipher).is_err());
            let _ = decode_header(&bytes);
        }
    }

    #[test]
    fn each_damage_of_a_header_is_told_apart() {
        let cipher = MasterKey::generate().unwrap().cipher();
        let (pack, _) = build(&vec![(false, 0, vec![1; 40])], &cipher);
        let mut altered = pack.bytes.to_vec();
        let end = altered.len();
        altered[end - 6] ^= 1;
        assert_eq!(read_header(&altered, &cipher), Err(HeaderFault::Mac));
        altered[end - 1] ^= 1;
        assert!(matches!(
            read_header(&altered, &cipher),
            Err(HeaderFault::Length { .. })
        ));
    }
}

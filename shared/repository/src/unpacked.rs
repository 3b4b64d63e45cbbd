//! How plaintexts become objects and blobs, and the way back: zstd and encryption in one place,
//! with buffers and contexts that are used again.

use std::io::Read;

use logisedge_domain::finding::FindingKind;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::crypto::{Cipher, IV_BYTES, MAC_BYTES, OVERHEAD_BYTES};
use crate::id::BlobId;

/// Marks an unpacked object (index, snapshot) whose JSON is compressed.
const COMPRESSED: u8 = 2;
/// Most bytes of JSON that an unpacked object may grow to: ours have 3 MB, restic's index files about 10.
const JSON_BYTES_MAX: u64 = 128 << 20;
/// Most bytes of one blob that we unpack: far above any writer's largest (restic's data: 8 MiB).
pub(crate) const BLOB_BYTES_MAX: u64 = 1 << 30;
/// zstd's level for objects: they are small, and read more often than written.
const JSON_LEVEL: i32 = 3;

/// The level that is tuned for rows.
const FASTEST_LEVEL: i32 = 1;
/// Logarithm of the places in that level's table of matches. zstd would take 14, a table of 64 KiB;
/// one of 8 KiB leaves the first-level cache to the rest, and costs rows nothing: 500 MB of an ERP's
/// shrank to 32.1 % instead of 32.0 % in 84 % of the time.
const FASTEST_HASH_LOG: u32 = 11;

/// Why a plaintext could not become an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeFault {
    #[error("{0}")]
    Zstd(#[from] std::io::Error),
    #[error("{0}")]
    Random(#[from] crate::crypto::NoRandom),
}

/// What is wrong with an object or blob that was read: a kind, and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FindingKind,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(kind: FindingKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    fn mac() -> Self {
        Self::new(
            FindingKind::WrongMac,
            "its authentication code does not match: it was altered, or belongs to another key",
        )
    }
}

/// Compresses (index, snapshot) or leaves (config) a JSON document, and encrypts it.
pub(crate) fn encode_object(
    json: &[u8],
    compress: bool,
    cipher: &Cipher,
) -> Result<Vec<u8>, EncodeFault> {
    let mut object = vec![0; IV_BYTES];
    if compress {
        object.push(COMPRESSED);
        object.extend_from_slice(&zstd::bulk::compress(json, JSON_LEVEL)?);
    } else {
        object.extend_from_slice(json);
    }
    object.extend_from_slice(&[0; MAC_BYTES]);
    cipher.seal(&mut object)?;
    Ok(object)
}

/// Checks, decrypts and decompresses an object into its JSON.
pub(crate) fn decode_object(object: &[u8], cipher: &Cipher) -> Result<Vec<u8>, Fault> {
    let malformed = |detail: String| Fault::new(FindingKind::Malformed, detail);
    let mut object = object.to_vec();
    let plaintext = cipher.open(&mut object).map_err(|_| Fault::mac())?;
    match plaintext.split_first() {
        Some((b'{' | b'[', _)) => Ok(plaintext.to_vec()),
        Some((&COMPRESSED, frame)) => {
            let mut json = Vec::new();
            zstd::stream::Decoder::with_buffer(frame)
                .and_then(|decoder| decoder.take(JSON_BYTES_MAX + 1).read_to_end(&mut json))
                .map_err(|e| malformed(format!("zstd: {e}")))?;
            if json.len() as u64 > JSON_BYTES_MAX {
                return Err(malformed(format!(
                    "it unpacks to more than {JSON_BYTES_MAX} bytes"
                )));
            }
            Ok(json)
        }
        _ => Err(malformed(
            "its encoding is neither JSON nor version 2".to_owned(),
        )),
    }
}

/// Compresses and encrypts blobs. One a thread; its buffer and zstd context are used again.
pub(crate) struct BlobSealer {
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
}

impl BlobSealer {
    pub(crate) fn new(level: i32) -> std::io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        if level == FASTEST_LEVEL {
            compressor.set_parameter(CParameter::HashLog(FASTEST_HASH_LOG))?;
        }
        Ok(Self {
            compressor,
            buffer: Vec::new(),
        })
    }

    /// The blob's encrypted form, and its plaintext's length where it was compressed, else 0. What
    /// does not shrink is stored as it is.
    pub(crate) fn seal(
        &mut self,
        plaintext: &[u8],
        cipher: &Cipher,
    ) -> Result<(&[u8], u32), EncodeFault> {
        let room = OVERHEAD_BYTES + zstd::zstd_safe::compress_bound(plaintext.len());
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let body = &mut self.buffer[IV_BYTES..room - MAC_BYTES];
        let packed = self.compressor.compress_to_buffer(plaintext, body)?;
        let (length, uncompressed) = if packed < plaintext.len() {
            (packed, plaintext.len() as u32)
        } else {
            body[..plaintext.len()].copy_from_slice(plaintext);
            (plaintext.len(), 0)
        };
        let sealed = &mut self.buffer[..length + OVERHEAD_BYTES];
        cipher.seal(sealed)?;
        Ok((sealed, uncompressed))
    }
}

/// Checks, decrypts and decompresses blobs. One a thread.
pub(crate) struct BlobOpener {
    decompressor: Decompressor<'static>,
}

impl BlobOpener {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            decompressor: Decompressor::new()?,
        })
    }

    /// Turns an encrypted blob, which is decrypted in place, into its plaintext: `plaintext` is
    /// overwritten. `uncompressed` is 0 for a blob that is not compressed.
    pub(crate) fn open(
        &mut self,
        sealed: &mut [u8],
        uncompressed: u32,
        id: &BlobId,
        cipher: &Cipher,
        plaintext: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let body = cipher.open(sealed).map_err(|_| Fault::mac())?;
        plaintext.clear();
        if uncompressed == 0 {
            plaintext.extend_from_slice(body);
        } else {
            if u64::from(uncompressed) > BLOB_BYTES_MAX {
                let detail = format!("a blob of {uncompressed} bytes is past any writer's bound");
                return Err(Fault::new(FindingKind::Malformed, detail));
            }
            let zstd = |e: std::io::Error| Fault::new(FindingKind::Malformed, format!("zstd: {e}"));
            match zstd::zstd_safe::get_frame_content_size(body) {
                Ok(Some(bytes)) if bytes == u64::from(uncompressed) => {
                    plaintext.reserve(uncompressed as usize);
                    self.decompressor
                        .decompress_to_buffer(body, plaintext)
                        .map_err(zstd)?;
                }
                // A frame without a length grows as it is read, and no further than promised.
                Ok(None) => {
                    zstd::stream::Decoder::with_buffer(&*body)
                        .and_then(|decoder| {
                            let mut decoder = decoder.take(u64::from(uncompressed) + 1);
                            decoder.read_to_end(plaintext)
                        })
                        .map_err(zstd)?;
                }
                _ => {
                    let detail = format!("its zstd frame is none of {uncompressed} bytes");
                    return Err(Fault::new(FindingKind::Malformed, detail));
                }
            }
            if plaintext.len() != uncompressed as usize {
                let detail = format!(
                    "it unpacks to {} bytes where {uncompressed} were promised",
                    plaintext.len()
                );
                return Err(Fault::new(FindingKind::Malformed, detail));
            }
        }
        if BlobId::of(plaintext) != *id {
            let detail = "its plaintext has another hash than its id";
            return Err(Fault::new(FindingKind::BlobWrongHash, detail));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;

    #[test]
    fn objects_survive_with_and_without_compression() {
        let cipher = MasterKey::generate().unwrap().cipher();
        for compress in [false, true] {
            let object = encode_object(br#"{"a":1}"#, compress, &cipher).unwrap();
            assert_eq!(decode_object(&object, &cipher).unwrap(), br#"{"a":1}"#);
            let mut altered = object.clone();
            altered[20] ^= 1;
            assert_eq!(
                decode_object(&altered, &cipher).unwrap_err().kind,
                FindingKind::WrongMac
            );
        }
        let garbage = encode_object(b"\x02garbage", false, &cipher).unwrap();
        let fault = decode_object(&garbage, &cipher).unwrap_err();
        assert_eq!(fault.kind, FindingKind::Malformed);
    }

    #[test]
    fn blobs_survive_whether_they_shrink_or_not() {
        let cipher = MasterKey::generate().unwrap().cipher();
        let mut sealer = BlobSealer::new(1).unwrap();
        let mut opener = BlobOpener::new().unwrap();
        let noise = crate::crypto::random::<5000>().unwrap();
        for (plaintext, shrinks) in [(vec![b'a'; 100_000], true), (noise.to_vec(), false)] {
            let id = BlobId::of(&plaintext);
            let (sealed, uncompressed) = sealer.seal(&plaintext, &cipher).unwrap();
            assert_eq!(uncompressed > 0, shrinks);
            let mut out = Vec::new();
            let sealed = sealed.to_vec();
            opener
                .open(&mut sealed.clone(), uncompressed, &id, &cipher, &mut out)
                .unwrap();
            assert_eq!(out, plaintext);
            let other = BlobId::of(b"other");
            let fault = opener.open(&mut sealed.clone(), uncompressed, &other, &cipher, &mut out);
            assert_eq!(fault.unwrap_err().kind, FindingKind::BlobWrongHash);
            if shrinks {
                let fault = opener.open(&mut sealed.clone(), 99, &id, &cipher, &mut out);
                assert_eq!(fault.unwrap_err().kind, FindingKind::Malformed);
            }
        }
    }
}

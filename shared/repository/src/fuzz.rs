//! Tests: every parser of what is stored gets altered and random bytes. It fails with words or yields
//! a valid value, panics never, and believes no length that it cannot afford.
//!
//! Two who alter: one without the key, whose alterations all fail authentication; and one with it (a
//! broken writer), whose objects are authentic and whose content is anything.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use logisedge_fuzz::Fuzz;

use crate::config::Config;
use crate::crypto::{Cipher, IV_BYTES, MAC_BYTES, MasterKey};
use crate::id::{BlobId, IndexId, PackId, sha256};
use crate::index::{BlobKind, Index, IndexFile, IndexPart, IndexedPack};
use crate::keyfile::{self, KeyCost, Password, Unlock};
use crate::layout::ObjectName;
use crate::pack::{PackBuilder, PackedBlob, decode_header, read_header};
use crate::repository::{decode_config, decode_json};
use crate::snapshot::Snapshot;
use crate::tree::{Directory, Tree};
use crate::unpacked::{BlobOpener, BlobSealer, decode_object, encode_object};
use crate::upload::CipherBox;

fn cipher() -> Cipher {
    MasterKey::generate().unwrap().cipher()
}

/// Authentic bytes with this plaintext.
fn sealed(plaintext: &[u8], cipher: &Cipher) -> Vec<u8> {
    let mut bytes = vec![0; IV_BYTES];
    bytes.extend_from_slice(plaintext);
    bytes.extend_from_slice(&[0; MAC_BYTES]);
    cipher.seal(&mut bytes).unwrap();
    bytes
}

fn index_json() -> Vec<u8> {
    let blob = |n: u32, kind| PackedBlob {
        offset: n * 100,
        length: 100,
        uncompressed: n * 300,
        kind,
        id: BlobId([n as u8; 32]),
    };
    let pack = |n: u8, kind| IndexedPack {
        id: PackId([n; 32]),
        blobs: (0..3).map(|at| (&blob(at, kind)).into()).collect(),
    };
    let file = IndexFile {
        supersedes: vec![IndexId([9; 32])],
        packs: vec![pack(1, BlobKind::Data), pack(2, BlobKind::Tree)],
    };
    crate::golang::json(&file).unwrap()
}

fn trees() -> Vec<Vec<u8>> {
    let file = |n: u8| crate::file_writer::StoredFile {
        content: vec![BlobId([n; 32]); n.into()],
        bytes: n.into(),
    };
    let files = [
        ("/a\"\\é\n.copy", 1),
        ("/data/b.copy", 3),
        ("/data/empty", 0),
    ];
    let files = files.map(|(path, n)| (path.to_owned(), file(n)));
    let mut found = Vec::new();
    let root = Directory::of(files.into()).unwrap();
    root.store(chrono::DateTime::UNIX_EPOCH, &mut |json| {
        let id = BlobId::of(&json);
        found.push(json);
        Ok(id)
    })
    .unwrap();
    found
}

#[test]
fn whatever_is_altered_without_the_key_is_refused() {
    let cipher = CipherBox(cipher());
    let config = crate::golang::json(&Config::generate().unwrap()).unwrap();
    let config = encode_object(&config, false, &cipher.0).unwrap();
    let index = encode_object(&index_json(), true, &cipher.0).unwrap();
    let name = sha256(&index);
    Fuzz::new("config, altered", 20_000)
        .sample(config.clone())
        .run(|bytes| {
            let read = decode_config(bytes, &cipher);
            assert_eq!(read.is_ok(), bytes == config);
        });
    Fuzz::new("index, altered", 20_000)
        .sample(index.clone())
        .run(|bytes| {
            let read = decode_json::<IndexFile>(bytes, &name, &cipher);
            assert_eq!(read.is_ok(), bytes == index);
            // Under its own name it still is of no key.
            let read = decode_json::<IndexFile>(bytes, &sha256(bytes), &cipher);
            assert_eq!(read.is_ok(), bytes == index);
        });
}

#[test]
fn a_config_is_valid_or_refused() {
    let cipher = CipherBox(cipher());
    Fuzz::new("config", 20_000)
        .sample(crate::golang::json(&Config::generate().unwrap()).unwrap())
        .run(|json| {
            if let Ok(config) = decode_config(&sealed(json, &cipher.0), &cipher) {
                let again = crate::golang::json(&config).unwrap();
                assert_eq!(serde_json::from_slice::<Config>(&again).unwrap(), config);
                let _ = (config.is_supported(), config.is_writable());
            }
        });
}

#[test]
fn a_key_file_opens_as_it_was_or_not_at_all() {
    let cost = KeyCost {
        n_log2: 4,
        r: 1,
        p: 1,
    };
    let master = MasterKey::generate().unwrap();
    let password = Password::new("a password".to_owned());
    let created = chrono::DateTime::UNIX_EPOCH;
    let file = keyfile::create(&master, &password, cost, created).unwrap();
    // What scrypt itself may take is bounded where it is asked for.
    Fuzz::new("key file", 4_000)
        .memory_bytes_max(1 << 30)
        .sample(file)
        .run(|bytes| {
            if let Ok(Unlock::Opened(key)) = keyfile::unlock(bytes, &password) {
                assert_eq!(*key.to_json().unwrap(), *master.to_json().unwrap());
            }
        });
    Fuzz::new("master key", 20_000)
        .sample(master.to_json().unwrap().to_vec())
        .run(|json| {
            if let Some(key) = MasterKey::from_json(json) {
                let again = MasterKey::from_json(&key.to_json().unwrap()).unwrap();
                assert_eq!(*again.to_json().unwrap(), *key.to_json().unwrap());
            }
        });
}

#[test]
fn an_index_is_valid_or_refused_and_leads_nowhere_wrong() {
    Fuzz::new("index", 30_000).sample(index_json()).run(|json| {
        let Ok(file) = serde_json::from_slice::<IndexFile>(json) else {
            return;
        };
        let again = crate::golang::json(&file).unwrap();
        assert_eq!(serde_json::from_slice::<IndexFile>(&again).unwrap(), file);
        let blobs = file.packs.iter().flat_map(|pack| &pack.blobs);
        let blobs: Vec<PackedBlob> = blobs.map(Into::into).collect();
        let parts = vec![
            IndexPart::new(IndexId([1; 32]), file.clone()),
            IndexPart::new(IndexId([2; 32]), file),
        ];
        let index = Index::of_all_parts(parts);
        let known = index.known();
        for blob in blobs {
            let found = index.locate(blob.kind, &blob.id).unwrap();
            assert!(known.contains(blob.kind, &blob.id));
            let _ = found.plain_bytes();
        }
    });
}

#[test]
fn a_tree_is_valid_or_refused_and_names_nothing_outside_of_itself() {
    let mut fuzz = Fuzz::new("tree", 40_000);
    for json in trees() {
        fuzz = fuzz.sample(json);
    }
    fuzz.run(|json| {
        let Ok(tree) = serde_json::from_slice::<Tree>(json) else {
            return;
        };
        let again = crate::golang::json(&tree).unwrap();
        assert_eq!(serde_json::from_slice::<Tree>(&again).unwrap(), tree);
        for name in tree.nodes.iter().filter_map(|node| node.name()) {
            let path = std::path::Path::new("/root/of/restore").join(&name);
            assert_eq!(path.parent().unwrap(), "/root/of/restore", "{name:?}");
        }
    });
    Fuzz::new("a name as Go quotes it", 40_000)
        .sample(r#"plain\a\b\f\n\r\t\v\\\"\'\x41\u00e9\U0001f600\101"#)
        .run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Some(name) = crate::golang::unquote(&text) {
                let again = crate::golang::unquote(&crate::golang::quote(&name));
                assert_eq!(again, Some(name));
            }
        });
}

#[test]
fn a_snapshot_object_is_valid_or_refused() {
    let at = chrono::DateTime::from_timestamp(1_795_000_000, 120_000_000).unwrap();
    let snapshot = Snapshot::new(
        BlobId([1; 32]),
        at,
        [("run", "nightly.x"), ("kind", "full")],
    );
    Fuzz::new("snapshot", 40_000)
        .sample(crate::golang::json(&snapshot).unwrap())
        .run(|json| {
            let Ok(snapshot) = serde_json::from_slice::<Snapshot>(json) else {
                return;
            };
            let again = crate::golang::json(&snapshot).unwrap();
            assert_eq!(
                serde_json::from_slice::<Snapshot>(&again).unwrap(),
                snapshot
            );
            let _ = (snapshot.fact("run"), snapshot.fact(""));
        });
}

#[test]
fn a_packs_header_is_valid_or_refused() {
    let cipher = cipher();
    let mut builder = PackBuilder::new(BytesMut::new(), 1 << 16);
    for (n, uncompressed) in [(1u8, 0), (2, 500)] {
        builder.append(BlobKind::Data, BlobId([n; 32]), uncompressed, &[n; 50]);
    }
    let pack = builder.seal(&cipher).unwrap();
    Fuzz::new("pack, altered", 30_000)
        .sample(pack.bytes.to_vec())
        .run(|bytes| {
            // What lies before the header is not its business, as long as its length is right.
            if let Ok(blobs) = read_header(bytes, &cipher) {
                assert_eq!(blobs, pack.blobs);
                assert_eq!(bytes.len(), pack.bytes.len());
            }
        });
    let end = pack.bytes.len() - 4;
    let start = 100;
    let mut header = pack.bytes[start..end].to_vec();
    let header = cipher.open(&mut header).unwrap().to_vec();
    Fuzz::new("pack header", 30_000)
        .sample(header)
        .run(|bytes| {
            if let Ok(blobs) = decode_header(bytes) {
                let lengths: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
                assert!(lengths <= u64::from(u32::MAX));
                assert!(blobs.iter().map(PackedBlob::entry_bytes).sum::<usize>() == bytes.len());
            }
        });
}

#[test]
fn an_objects_compression_is_undone_or_refused() {
    let cipher = cipher();
    let json = index_json();
    let mut plain = vec![2];
    plain.extend(zstd::bulk::compress(&json, 3).unwrap());
    Fuzz::new("object", 20_000)
        .sample(plain)
        .sample(json.clone())
        .run(|bytes| {
            let _ = decode_object(&sealed(bytes, &cipher), &cipher);
        });
    // 64 MB of zeros in a few KB: what an object may grow to is bounded.
    let mut bomb = vec![2];
    bomb.extend(zstd::bulk::compress(&vec![0; 300 << 20], 19).unwrap());
    assert!(bomb.len() < 100_000);
    let refused = decode_object(&sealed(&bomb, &cipher), &cipher).unwrap_err();
    assert!(
        refused.detail.contains("unpacks to more than"),
        "{refused:?}"
    );
}

#[test]
fn a_blob_is_what_its_id_says_or_refused() {
    let cipher = cipher();
    let mut sealer = BlobSealer::new(3).unwrap();
    let mut opener = BlobOpener::new().unwrap();
    let plaintext = b"1\tCustomer 1\t2026-11-24\n".repeat(40);
    let id = BlobId::of(&plaintext);
    let (blob, length) = sealer.seal(&plaintext, &cipher).unwrap();
    let blob = blob.to_vec();
    let mut out = Vec::new();
    Fuzz::new("blob, altered", 20_000)
        .sample(blob.clone())
        .run(|bytes| {
            let opened = opener.open(&mut bytes.to_vec(), length, &id, &cipher, &mut out);
            assert_eq!(opened.is_ok(), bytes == blob);
        });
    let mut opener = BlobOpener::new().unwrap();
    let frame = cipher.open(&mut blob.clone()).unwrap().to_vec();
    let mut out = Vec::new();
    let mut claims = logisedge_fuzz::Random::new(1);
    Fuzz::new("blob, recompressed", 20_000)
        .sample(frame)
        .run(|bytes| {
            for claim in [
                length,
                0,
                1,
                u32::MAX,
                claims.number() as u32,
                claims.number() as u32 >> 12,
            ] {
                let mut sealed = sealed(bytes, &cipher);
                if opener
                    .open(&mut sealed, claim, &id, &cipher, &mut out)
                    .is_ok()
                {
                    assert!(out == plaintext && (claim == length || claim == 0));
                }
            }
        });
}

#[test]
fn an_objects_name_is_one_of_the_formats_or_foreign() {
    let hash = "ab".repeat(32);
    let mut fuzz = Fuzz::new("object key", 40_000).sample("config");
    for folder in [
        "keys/",
        "data/ab/",
        "index/",
        "snapshots/",
        "holds/",
        "locks/",
    ] {
        fuzz = fuzz.sample(format!("{folder}{hash}"));
    }
    fuzz.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let again = match ObjectName::of(&text) {
            ObjectName::Config => crate::layout::CONFIG.to_owned(),
            ObjectName::Key(id) => crate::layout::key(&id),
            ObjectName::Pack(id) => crate::layout::pack(&id),
            ObjectName::Index(id) => crate::layout::index(&id),
            ObjectName::Snapshot(id) => crate::layout::snapshot(&id),
            ObjectName::Hold(id) => crate::layout::hold(&id),
            ObjectName::Lock | ObjectName::Foreign => return,
        };
        assert_eq!(again, text);
    });
}

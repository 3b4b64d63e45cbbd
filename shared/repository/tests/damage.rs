//! The matrix of damages: each kind of object, each kind of harm, and the findings that it gives.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use logisedge_domain::finding::FindingKind::{self, *};
use logisedge_domain::id::SnapshotId;
use logisedge_repository::check::{CheckReport, check_snapshot};
use logisedge_repository::{BlobId, KnownBlobs, Repository, RepositoryErrorKind};
use world::{World, noise, rows};

fn content() -> Vec<(String, Vec<u8>)> {
    vec![
        ("/data/public.rows.copy".to_owned(), rows(2_000_000, 1)),
        ("/data/public.noise.copy".to_owned(), noise(6_000_000, 2)),
    ]
}

async fn check(repository: &Repository, snapshot: SnapshotId) -> CheckReport {
    check_snapshot(repository, snapshot, Arc::new(|_, _| {}), Arc::new(|_| {}))
        .await
        .unwrap()
}

fn objects(world: &World, folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![world.folder.path().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The packs, biggest first: the first two hold data, the last holds the trees.
fn packs(world: &World) -> Vec<PathBuf> {
    let mut packs = objects(world, "data");
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    assert_eq!(packs.len(), 3);
    packs
}

fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, at: isize) {
    alter(path, |bytes| {
        let at = if at < 0 {
            bytes.len() as isize + at
        } else {
            at
        };
        bytes[at as usize] ^= 0x10;
    });
}

struct Case {
    name: &'static str,
    damage: fn(&World),
    /// The findings' kinds, and the beginning of the object of each.
    expected: &'static [(FindingKind, &'static str)],
}

const CASES: &[Case] = &[
    Case {
        name: "nothing",
        damage: |_| {},
        expected: &[],
    },
    Case {
        name: "config: a flipped byte",
        damage: |w| flip(&w.folder.path().join("config"), 40),
        expected: &[(WrongMac, "config")],
    },
    Case {
        name: "config: missing",
        damage: |w| fs::remove_file(w.folder.path().join("config")).unwrap(),
        expected: &[(Missing, "config")],
    },
    Case {
        name: "key: a flipped byte",
        damage: |w| flip(&objects(w, "keys")[0], 30),
        expected: &[(WrongHash, "keys/")],
    },
    Case {
        name: "key: missing",
        damage: |w| fs::remove_file(&objects(w, "keys")[0]).unwrap(),
        expected: &[(Missing, "keys/")],
    },
    Case {
        name: "snapshot: a flipped byte",
        damage: |w| flip(&objects(w, "snapshots")[0], 30),
        expected: &[(WrongHash, "snapshots/")],
    },
    Case {
        name: "snapshot: missing",
        damage: |w| fs::remove_file(&objects(w, "snapshots")[0]).unwrap(),
        expected: &[(Missing, "snapshots/")],
    },
    Case {
        name: "index: a flipped byte",
        damage: |w| flip(&objects(w, "index")[0], 30),
        expected: &[
            (WrongHash, "index/"),
            (BlobMissing, "/"),
            (Unreferenced, "data/"),
            (Unreferenced, "data/"),
            (Unreferenced, "data/"),
        ],
    },
    Case {
        name: "index: missing",
        damage: |w| fs::remove_file(&objects(w, "index")[0]).unwrap(),
        expected: &[
            (BlobMissing, "/"),
            (Unreferenced, "data/"),
            (Unreferenced, "data/"),
            (Unreferenced, "data/"),
        ],
    },
    Case {
        name: "pack: a flipped byte in a data blob",
        damage: |w| flip(&packs(w)[0], 100_000),
        expected: &[(WrongHash, "data/"), (WrongMac, "data/")],
    },
    Case {
        name: "pack: a flipped byte in a tree blob",
        damage: |w| flip(&packs(w)[2], 20),
        expected: &[
            (WrongHash, "data/"),
            (WrongMac, "data/"),
            (TreeBroken, "/data"),
        ],
    },
    Case {
        name: "pack: a flipped byte in the header",
        damage: |w| flip(&packs(w)[0], -10),
        expected: &[(WrongHash, "data/"), (WrongMac, "data/")],
    },
    Case {
        name: "pack: a flipped byte in the header's length",
        damage: |w| flip(&packs(w)[0], -3),
        expected: &[(WrongHash, "data/"), (Malformed, "data/")],
    },
    Case {
        name: "pack: a header's length beyond the pack",
        damage: |w| flip(&packs(w)[0], -1),
        expected: &[(WrongHash, "data/"), (Malformed, "data/")],
    },
    Case {
        name: "pack: truncated between two blobs or inside one",
        damage: |w| alter(&packs(w)[0], |bytes| bytes.truncate(bytes.len() / 2)),
        expected: &[(WrongSize, "data/")],
    },
    Case {
        name: "pack: empty",
        damage: |w| alter(&packs(w)[0], Vec::clear),
        expected: &[(WrongSize, "data/")],
    },
    Case {
        name: "pack: a byte appended",
        damage: |w| alter(&packs(w)[0], |bytes| bytes.push(0)),
        expected: &[(WrongSize, "data/")],
    },
    Case {
        name: "pack: missing",
        damage: |w| fs::remove_file(&packs(w)[0]).unwrap(),
        expected: &[(Missing, "data/")],
    },
    Case {
        name: "pack: the one with the trees missing",
        damage: |w| fs::remove_file(&packs(w)[2]).unwrap(),
        expected: &[(Missing, "data/"), (TreeBroken, "/")],
    },
    Case {
        name: "packs: two swapped",
        damage: |w| {
            let packs = packs(w);
            let (a, b) = (fs::read(&packs[0]).unwrap(), fs::read(&packs[1]).unwrap());
            fs::write(&packs[0], b).unwrap();
            fs::write(&packs[1], a).unwrap();
        },
        expected: &[(WrongHash, "data/"), (WrongHash, "data/")],
    },
    Case {
        name: "garbage beside it",
        damage: |w| {
            fs::write(w.folder.path().join("notes.txt"), "x").unwrap();
            fs::write(w.folder.path().join("data/00.bak"), "x").unwrap();
            let pack = w
                .folder
                .path()
                .join(format!("data/ff/ff{}", "0".repeat(62)));
            fs::create_dir_all(pack.parent().unwrap()).unwrap();
            fs::write(pack, "x").unwrap();
        },
        expected: &[
            (Unreferenced, "data/00.bak"),
            (Unreferenced, "data/ff/ff"),
            (Unreferenced, "notes.txt"),
        ],
    },
    Case {
        name: "a lock that restic left behind",
        damage: |w| {
            fs::create_dir_all(w.folder.path().join("locks")).unwrap();
            fs::write(w.folder.path().join("locks").join("0".repeat(64)), "x").unwrap();
        },
        expected: &[],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_damage_gives_its_own_findings() {
    for case in CASES {
        let world = World::new().await;
        let (id, _) = world.back_up(KnownBlobs::none(), &content()).await.unwrap();
        (case.damage)(&world);
        let report = check(&world.repository, id).await;
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|f| (f.kind, f.object.as_str()))
            .collect();
        assert_eq!(
            found.len(),
            case.expected.len(),
            "{}: {:#?}",
            case.name,
            report.findings
        );
        for (kind, object) in case.expected {
            let met = found
                .iter()
                .any(|(k, o)| k == kind && o.starts_with(object));
            assert!(
                met,
                "{}: {kind:?} {object}: {:#?}",
                case.name, report.findings
            );
        }
        let damaged = case.expected.iter().any(|(kind, _)| kind.is_damage());
        assert_eq!(report.findings.iter().any(|f| f.kind.is_damage()), damaged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_snapshot_shows_every_blob_to_the_caller() {
    let world = World::new().await;
    let files = content();
    let (id, stats) = world.back_up(KnownBlobs::none(), &files).await.unwrap();
    let seen = Arc::new(Mutex::new(std::collections::HashMap::new()));
    let (blobs, steps) = (seen.clone(), Arc::new(Mutex::new(Vec::new())));
    let taken = steps.clone();
    let report = check_snapshot(
        &world.repository,
        id,
        Arc::new(move |id: BlobId, bytes: &[u8]| {
            blobs.lock().unwrap().insert(id, bytes.to_vec());
        }),
        Arc::new(move |step| taken.lock().unwrap().push(step)),
    )
    .await
    .unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.packs, report.blobs), (3, stats.blobs));
    assert_eq!(report.files.len(), files.len() + 1);
    let seen = seen.lock().unwrap();
    for (path, content) in &files {
        let (_, node) = report.files.iter().find(|(p, _)| p == path).unwrap();
        let whole: Vec<u8> = node
            .content
            .iter()
            .flat_map(|id| seen[id].clone())
            .collect();
        assert!(whole == *content, "{path}");
    }
    let last = *steps
        .lock()
        .unwrap()
        .iter()
        .max_by_key(|s| s.packs_done)
        .unwrap();
    assert_eq!((last.packs_done, last.packs), (3, 3));
}

/// Every bit of every object is covered by something: flips at random places are all noticed.
#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_byte_goes_unnoticed() {
    let world = World::new().await;
    let (id, _) = world.back_up(KnownBlobs::none(), &content()).await.unwrap();
    let folders = ["config", "keys", "snapshots", "index", "data"];
    let paths: BTreeSet<_> = folders.iter().flat_map(|f| objects(&world, f)).collect();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for path in paths {
        let intact = fs::read(&path).unwrap();
        for _ in 0..5 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            flip(&path, ((state >> 33) as usize % intact.len()) as isize);
            let report = check(&world.repository, id).await;
            assert!(
                report.findings.iter().any(|f| f.kind.is_damage()),
                "{path:?}"
            );
            fs::write(&path, &intact).unwrap();
        }
    }
    assert_eq!(check(&world.repository, id).await.findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_says_why() {
    let world = World::new().await;
    let path = world.folder.path();
    let reopen = async |password: &str| {
        let password = logisedge_repository::Password::new(password.into());
        let opened = Repository::open(world.store.clone(), &password, world::options()).await;
        opened.map(|_| ()).map_err(|e| (e.kind, e.to_string()))
    };
    assert_eq!(reopen(world::PASSWORD).await, Ok(()));
    assert_eq!(
        reopen("wrong").await.unwrap_err().0,
        RepositoryErrorKind::WrongPassword
    );
    let (_, message) = reopen("wrong").await.unwrap_err();
    assert!(message.contains("none of its 1 keys opens"), "{message}");
    assert!(!message.contains("wrong"), "{message}");

    let again = Repository::create(world.store.clone(), &world::password(), world::options()).await;
    assert_eq!(again.unwrap_err().kind, RepositoryErrorKind::AlreadyExists);

    let key = objects(&world, "keys").remove(0);
    let intact = fs::read(&key).unwrap();
    flip(&key, -100);
    let damaged = RepositoryErrorKind::Damaged(WrongHash);
    assert_eq!(reopen(world::PASSWORD).await.unwrap_err().0, damaged);
    fs::remove_file(&key).unwrap();
    let missing = RepositoryErrorKind::Damaged(Missing);
    assert_eq!(reopen(world::PASSWORD).await.unwrap_err().0, missing);
    fs::write(&key, intact).unwrap();
    flip(&path.join("config"), 20);
    let damaged = RepositoryErrorKind::Damaged(WrongMac);
    assert_eq!(reopen(world::PASSWORD).await.unwrap_err().0, damaged);
    fs::remove_file(path.join("config")).unwrap();
    let none = RepositoryErrorKind::NoRepository;
    assert_eq!(reopen(world::PASSWORD).await.unwrap_err().0, none);
}

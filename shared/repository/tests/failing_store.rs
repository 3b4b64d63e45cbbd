//! What failing stores, lost races and forgotten streams do to writers: an error, and never a wait
//! without end or a snapshot that is not whole.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use logisedge_repository::check::check_snapshot;
use logisedge_repository::{
    KnownBlobs, Options, Repository, RepositoryError, RepositoryErrorKind, removal,
};
use logisedge_storage::{Fault, Faulty, ObjectStore};
use world::{World, noise, rows};

fn content() -> Vec<(String, Vec<u8>)> {
    vec![
        ("/data/a.copy".to_owned(), noise(13_000_000, 1)),
        ("/data/b.copy".to_owned(), noise(12_000_000, 2)),
        ("/data/c.copy".to_owned(), rows(3_000_000, 3)),
    ]
}

/// Runs a backup on a store that dies after `operations`, then looks at what is left.
async fn killed_after(operations: u64) -> bool {
    let world = World::new().await;
    let faulty = Arc::new(Faulty::new(
        world.store.clone(),
        Fault::DiesAfter(operations),
    ));
    let opened = Repository::open(faulty, &world::password(), world::options()).await;
    let Ok(repository) = opened else { return false };
    let files = content();
    let backup = world::back_up(&repository, KnownBlobs::none(), &files);
    let backup = tokio::time::timeout(Duration::from_secs(60), backup)
        .await
        .expect("a failed upload must not leave anyone waiting");
    let snapshots = world.repository.snapshots().await.unwrap();
    match backup {
        Ok((id, _)) => {
            let report =
                check_snapshot(&world.repository, id, Arc::new(|_, _| {}), Arc::new(|_| {})).await;
            assert_eq!(report.unwrap().findings, []);
            assert_eq!(snapshots.len(), 1);
            true
        }
        Err(error) => {
            assert!(
                matches!(error.kind, RepositoryErrorKind::Storage(_)),
                "{error:?}"
            );
            assert_eq!(snapshots, [], "after {operations} operations");
            // The next attempt on the same chain succeeds.
            let (id, _) = world.back_up(KnownBlobs::none(), &content()).await.unwrap();
            let restored = world.repository.snapshot(id).await;
            assert!(restored.is_ok());
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_dies_at_any_operation_leaves_no_half_snapshot() {
    let mut operations = 0;
    while !killed_after(operations).await {
        operations += 1;
        assert!(operations < 40, "it never succeeds");
    }
    // config, list of keys, key; seven packs, index, snapshot.
    assert!(operations >= 11, "{operations}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_stream_hears_of_a_failed_upload() {
    let world = World::new().await;
    let faulty = Arc::new(Faulty::new(world.store.clone(), Fault::DiesAfter(3)));
    let options = Options {
        uploads: 1,
        ..world::options()
    };
    let repository = Repository::open(faulty, &world::password(), options)
        .await
        .unwrap();
    let writer = repository.writer(KnownBlobs::none());
    let streams: Vec<_> = (0..4)
        .map(|seed| {
            let mut file = writer.file();
            tokio::task::spawn_blocking(move || {
                (0..).find_map(|i| file.write(&noise(500_000, seed * 1000 + i)).err())
            })
        })
        .collect();
    for stream in streams {
        let heard = tokio::time::timeout(Duration::from_secs(60), stream).await;
        let error = heard.unwrap().unwrap().unwrap();
        assert!(
            matches!(error.kind, RepositoryErrorKind::Storage(_)),
            "{error:?}"
        );
    }
    assert!(writer.finish().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_comes_twice_is_stored_once() {
    let world = World::new().await;
    let same = noise(3_000_000, 9);
    let files = [
        ("/a".to_owned(), same.clone()),
        ("/b".to_owned(), same.clone()),
        ("/c".to_owned(), same),
    ];
    let (_, stats) = world.back_up(KnownBlobs::none(), &files).await.unwrap();
    assert!(stats.bytes_shared >= 6_000_000, "{stats:?}");
    assert!(stats.bytes_stored < 3_100_000, "{stats:?}");
}

/// Each pack in turn is damaged or gone while the content of all of them has a second copy.
#[tokio::test(flavor = "multi_thread")]
async fn content_with_two_copies_is_read_from_the_good_one() {
    let world = World::new().await;
    let files = [("/data/a.copy".to_owned(), noise(9_000_000, 4))];
    let (id, _) = world.back_up(KnownBlobs::none(), &files).await.unwrap();
    let is_readable = async || {
        let snapshot = world.repository.snapshot(id).await.unwrap();
        let reader = world
            .repository
            .load_index()
            .await
            .map(|index| world.repository.reader(index))
            .unwrap();
        let found = reader.files(&snapshot).await.unwrap();
        let stored = reader.stored_packs().await?;
        reader.check_packs(found.iter().map(|(_, node)| node), &stored)?;
        let read = reader
            .read_small(&snapshot, "/data/a.copy", 10_000_000)
            .await?;
        assert_eq!(read, files[0].1);
        Ok::<(), RepositoryError>(())
    };
    // As a differential does: what another snapshot of the chain holds is stored again.
    let packs = async || {
        let listed = world.store.list("data/").await.unwrap();
        listed
            .into_iter()
            .map(|meta| world.folder.path().join(meta.key))
            .collect::<BTreeSet<_>>()
    };
    let first = packs().await;
    world.back_up(KnownBlobs::none(), &files).await.unwrap();
    let all = packs().await;
    assert!(first.len() >= 2 && all.len() >= 2 * first.len());
    for pack in &all {
        let whole = std::fs::read(pack).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        std::fs::write(pack, damaged).unwrap();
        is_readable().await.unwrap();
        std::fs::remove_file(pack).unwrap();
        is_readable().await.unwrap();
        std::fs::write(pack, &whole[..whole.len() / 2]).unwrap();
        is_readable().await.unwrap();
        std::fs::write(pack, whole).unwrap();
    }
    // With both copies gone it is missing, and said to be.
    let snapshot = world.repository.snapshot(id).await.unwrap();
    let reader = world
        .repository
        .reader(world.repository.load_index().await.unwrap());
    let found = reader.files(&snapshot).await.unwrap();
    for pack in &all {
        std::fs::remove_file(pack).unwrap();
    }
    let nodes = found.iter().map(|(_, node)| node);
    let stored = reader.stored_packs().await.unwrap();
    let error = reader.check_packs(nodes, &stored).unwrap_err();
    assert!(
        error.to_string().contains("not there or too short"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_removed_whole_and_in_order() {
    let world = World::new().await;
    let (first, _) = world.back_up(KnownBlobs::none(), &content()).await.unwrap();
    let known = world.repository.load_index().await.unwrap().known();
    let more = [("/data/d.copy".to_owned(), noise(100_000, 8))];
    let (second, _) = world.back_up(known, &more).await.unwrap();
    std::fs::write(world.folder.path().join("notes.txt"), "x").unwrap();
    let store: &dyn ObjectStore = &*world.store;

    let plan = removal::plan(store, &[first]).await.unwrap();
    assert_eq!((plan.snapshots_kept, plan.steps.len()), (1, 1));
    removal::apply(store, &plan).await.unwrap();
    let left = world.repository.snapshots().await.unwrap();
    assert_eq!(left.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [second]);

    // The first is gone already, which is no error.
    let plan = removal::plan(store, &[first, second]).await.unwrap();
    let order: Vec<_> = plan.steps.iter().map(|(step, _)| *step).collect();
    use removal::Step::*;
    assert_eq!(order, [Snapshots, Index, Data, Keys, Config]);
    assert_eq!(plan.foreign, ["notes.txt"]);
    // Cut short after each step, it can be planned again and finishes.
    for (_, keys) in &plan.steps {
        store.delete(keys).await.unwrap();
        removal::plan(store, &[first, second]).await.unwrap();
    }
    let left = store.list("").await.unwrap();
    assert_eq!(left.len(), 1);
    let again = removal::plan(store, &[second]).await.unwrap();
    assert!(again.steps.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_left_stops() {
    let world = World::new().await;
    let (id, _) = world.back_up(KnownBlobs::none(), &content()).await.unwrap();
    let snapshot = world.repository.snapshot(id).await.unwrap();
    let reader = world
        .repository
        .reader(world.repository.load_index().await.unwrap());
    let files = reader.files(&snapshot).await.unwrap();
    let (path, node) = &files[1];
    let (sink, pieces) = tokio::sync::mpsc::channel(1);
    drop(pieces);
    let error = reader.read_file(node, sink).await.unwrap_err();
    assert_eq!(error.kind, RepositoryErrorKind::Aborted);
    let small = reader.read_small(&snapshot, path, 1000).await.unwrap_err();
    assert_eq!(small.kind, RepositoryErrorKind::TooLarge);
    let none = reader
        .read_small(&snapshot, "/nope", 1000)
        .await
        .unwrap_err();
    assert_eq!(none.kind, RepositoryErrorKind::NotFound);
    assert_eq!(
        &reader.read_small(&snapshot, "/README", 5).await.unwrap()[..],
        b"hello"
    );
}

//! What stands in its way: readers, locks, damage.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::chain::{self, Chain, Free, Step, terms};
use async_trait::async_trait;
use logisedge_domain::finding::FindingKind;
use logisedge_repository::check::check_snapshot;
use logisedge_repository::prune::{Guard, PackFate, Prepared, prepare};
use logisedge_repository::{BlobKind, KnownBlobs, Location};

use crate::histories::runtime;
use crate::world::{World, noise};

/// Somebody reads, from the time on that so many questions were asked.
struct ReadAfter(std::sync::atomic::AtomicU32);

#[async_trait]
impl Guard for ReadAfter {
    fn may_begin(&self) -> Result<(), String> {
        Ok(())
    }

    async fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    async fn is_unread(&self) -> Result<(), String> {
        let left = self.0.load(std::sync::atomic::Ordering::Relaxed);
        self.0
            .store(left.saturating_sub(1), std::sync::atomic::Ordering::Relaxed);
        match left {
            0 => Err("a test reads it".to_owned()),
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_an_old_index_finds_what_it_names() {
    for asked in 0..3 {
        let mut chain = Chain::begin(41).await;
        chain.incremental(1, 60).await;
        chain.incremental(2, 60).await;
        let old = chain.world.repository.load_index().await.unwrap();
        let packs = chain.packs().await;
        chain.drop_number(1).await;
        let prepared = chain.prepare(&terms(100, false)).await;
        assert!(prepared.plan().changes_something());
        let applied = prepared.apply(&ReadAfter(asked.into())).await.unwrap();
        assert_eq!(applied.left.as_deref(), Some("a test reads it"));
        assert_eq!(
            (applied.packs_deleted, applied.objects_deleted > 0),
            (0, asked == 2)
        );
        assert!(packs.is_subset(&chain.packs().await));
        chain.every_snapshot_restores_by(&old).await;
        chain.every_snapshot_restores().await;
        chain.prune(100, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_restics_holds_packs_while_it_is_fresh() {
    let mut chain = Chain::begin(51).await;
    chain.incremental(1, 100).await;
    chain.drop_number(0).await;
    let lock = chain
        .world
        .folder
        .path()
        .join("locks")
        .join("ab".repeat(32));
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    std::fs::write(&lock, "a lock").unwrap();
    let now = terms(50, false);
    let now = logisedge_repository::prune::Terms {
        now: chrono::Utc::now(),
        ..now
    };
    let held = chain.prepare(&now).await;
    let why = held.plan().held.clone().unwrap();
    assert!(why.contains("restic works on it (locks/abab"), "{why}");
    let packs = chain.packs().await;
    let applied = held.apply(&Free).await.unwrap();
    assert_eq!(applied.left, Some(why));
    assert_eq!(chain.packs().await, packs);
    let old = SystemTime::now() - Duration::from_secs(31 * 60);
    std::fs::File::open(&lock)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let free = chain.prepare(&now).await;
    assert_eq!(free.apply(&Free).await.unwrap().left, None);
    assert!(chain.packs().await.len() < packs.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_something_needed_is_damaged_nothing_goes_and_the_plan_says_why() {
    type Harm = fn(&std::path::Path);
    let damage: [(&str, Harm, FindingKind); 6] = [
        (
            "index/",
            |path| std::fs::write(path, b"x").unwrap(),
            FindingKind::WrongHash,
        ),
        (
            "snapshots/",
            |path| std::fs::write(path, b"x").unwrap(),
            FindingKind::WrongHash,
        ),
        (
            "trees",
            |path| std::fs::remove_file(path).unwrap(),
            FindingKind::Missing,
        ),
        ("trees", |path| chain::flip(path), FindingKind::WrongMac),
        (
            "data",
            |path| std::fs::remove_file(path).unwrap(),
            FindingKind::Missing,
        ),
        (
            "data",
            |path| chain::cut_short(path),
            FindingKind::WrongSize,
        ),
    ];
    for (what, harm, kind) in damage {
        let mut chain = Chain::begin(61).await;
        chain.incremental(1, 100).await;
        chain.drop_number(0).await;
        let path = match what {
            "trees" => chain.pack_of(BlobKind::Tree).await,
            "data" => chain.pack_of(BlobKind::Data).await,
            folder => chain.keys(folder).await.first().unwrap().clone(),
        };
        harm(&chain.world.folder.path().join(&path));
        let packs = chain.packs().await;
        let prepared = chain.prepare(&terms(50, false)).await;
        let plan = prepared.plan().clone();
        let finding = plan
            .damage
            .clone()
            .unwrap_or_else(|| panic!("{what} {kind:?}: {plan:#?}"));
        assert_eq!(finding.kind, kind, "{what}: {finding}");
        assert!(
            plan.held
                .unwrap()
                .contains("it is not known what kept snapshots need")
        );
        let applied = prepared.apply(&Free).await.unwrap();
        assert!(applied.left.is_some() && applied.objects_deleted == 0);
        assert_eq!(chain.packs().await, packs, "{what}");
    }
}

/// One pack holds what only it has, beside a blob of which another pack, else of no use, has a copy.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_copy_of_what_turns_out_to_be_damaged_stays() {
    let world = World::with(chain::options()).await;
    let files = |seeds: &[u64]| -> Vec<(String, Vec<u8>)> {
        let file = |seed: &u64| (format!("/data/{seed}.copy"), noise(20_000, *seed));
        seeds.iter().map(file).collect()
    };
    let (first, _) = world
        .back_up(KnownBlobs::none(), &files(&[1, 2, 3]))
        .await
        .unwrap();
    let (second, _) = world
        .back_up(KnownBlobs::none(), &files(&[1, 4, 5]))
        .await
        .unwrap();
    let kept = files(&[1, 2]);
    let known = world.repository.load_index().await.unwrap().known();
    let (third, _) = world.back_up(known, &kept).await.unwrap();
    let dropped = [first, second].map(|id| format!("snapshots/{id}"));
    world.store.delete(&dropped).await.unwrap();
    let nobody = BTreeSet::new();
    let terms = terms(100, false);
    let prepared = prepare(&world.repository, &nobody, &nobody, &terms);
    let prepared = prepared.await.unwrap();

    // The first file's first blob, where it would be taken from.
    let index = world.repository.load_index().await.unwrap();
    let snapshot = world.repository.snapshot(third).await.unwrap();
    let reader = world.repository.reader(index.clone());
    let found = reader.files(&snapshot).await.unwrap();
    let blob = found[0].1.content[0];
    let copies: Vec<Location> = index.copies(BlobKind::Data, &blob).collect();
    assert_eq!(copies.len(), 2);
    let fate = |copy: &Location| {
        let packs = &prepared.plan().packs;
        packs
            .iter()
            .find(|pack| pack.pack == copy.pack)
            .unwrap()
            .fate
    };
    let (home, other): (Vec<_>, Vec<_>) = copies
        .iter()
        .partition(|copy| fate(copy) == PackFate::Rewrite);
    assert_eq!((home.len(), fate(other[0])), (1, PackFate::Delete));
    let key = format!("data/{}/{}", &home[0].pack.to_string()[..2], home[0].pack);
    let file = world.folder.path().join(key);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[home[0].offset as usize + 20] ^= 1;
    std::fs::write(&file, &bytes).unwrap();

    let applied = prepared.apply(&Free).await.unwrap();
    assert!(applied.left.unwrap().contains("the pack stays as it is"));
    let reader = world
        .repository
        .reader(world.repository.load_index().await.unwrap());
    for (path, content) in kept {
        let read = reader.read_small(&snapshot, &path, 1 << 20).await.unwrap();
        assert_eq!(read, content, "{path}");
    }
}

/// A chain of which only the newest snapshot is left, that needs a part of each earlier one's pack.
async fn partly_needed() -> Chain {
    let mut chain = Chain::begin(71).await;
    for seed in 1..=3 {
        chain.incremental(seed, 30).await;
    }
    for _ in 0..3 {
        chain.drop_number(0).await;
    }
    chain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_is_not_rewritten_and_the_others_are() {
    let chain = partly_needed().await;
    let prepared = chain.prepare(&terms(100, false)).await;
    let rewritten: Vec<String> = prepared
        .plan()
        .packs
        .iter()
        .filter(|pack| pack.fate == PackFate::Rewrite)
        .map(|pack| format!("data/{}/{}", &pack.pack.to_string()[..2], pack.pack))
        .collect();
    assert!(rewritten.len() > 1, "{rewritten:?}");
    // A blob that is needed, somewhere in the middle: a listing shows nothing of it.
    let location = chain.location_in(&rewritten[0]).await;
    let file = chain.world.folder.path().join(&rewritten[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[location.offset as usize + 20] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let applied = prepared.apply(&Free).await.unwrap();
    let left = applied.left.unwrap();
    assert!(left.contains("the pack stays as it is"), "{left}");
    assert_eq!(applied.packs_rewritten as usize, rewritten.len() - 1);
    assert!(file.exists());
}

/// There is time for so many packs.
struct TimeFor(AtomicU64);

#[async_trait]
impl Guard for TimeFor {
    fn may_begin(&self) -> Result<(), String> {
        let (one_less, order) = (|left: u64| left.checked_sub(1), Ordering::Relaxed);
        match self.0.fetch_update(order, order, one_less) {
            Ok(_) => Ok(()),
            Err(_) => Err("the time is over".to_owned()),
        }
    }

    async fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    async fn is_unread(&self) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rewritten_before_the_time_was_over_takes_its_place() {
    let mut chain = partly_needed().await;
    let rewritten = |prepared: &Prepared| {
        let packs = prepared.plan().packs.iter();
        packs.filter(|pack| pack.fate == PackFate::Rewrite).count()
    };
    let prepared = chain.prepare(&terms(100, false)).await;
    let all = rewritten(&prepared);
    assert!(all > 1, "{all}");
    let applied = prepared.apply(&TimeFor(AtomicU64::new(1))).await.unwrap();
    assert_eq!(applied.packs_rewritten, 1);
    assert_eq!(applied.left.as_deref(), Some("the time is over"));
    let index = chain.world.repository.load_index().await.unwrap();
    assert_eq!(index.packs(), chain.packs().await.len(), "no pack is lost");
    let prepared = chain.prepare(&terms(100, false)).await;
    assert!(
        rewritten(&prepared) < all,
        "the next one goes on from there"
    );
    chain.prune(100, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_a_prune_overtakes_looks_again() {
    let mut chain = Chain::begin(21).await;
    let percent = 70;
    chain.take(&Step::Incremental { seed: 1, percent }).await;
    chain.take(&Step::Incremental { seed: 2, percent }).await;
    let kept = chain.newest();
    chain.drop_number(0).await;
    let repository = chain.world.repository.clone();
    let chain = Mutex::new(chain);
    let packs = Arc::new(AtomicU64::new(0));
    let counted = packs.clone();
    // After the first pack: by then the listing and the index files have been read.
    let on_pack = move |_| {
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            std::thread::scope(|scope| {
                let pruned = scope.spawn(|| {
                    let mut chain = chain.lock().unwrap();
                    runtime().block_on(chain.prune_killed(u64::MAX, 100, false))
                });
                assert!(pruned.join().unwrap());
            });
        }
    };
    let report = check_snapshot(&repository, kept, Arc::new(|_, _| {}), Arc::new(on_pack));
    let report = report.await.unwrap();
    assert_eq!(report.findings, []);
    assert!(
        packs.load(Ordering::Relaxed) > report.packs,
        "the test does not test"
    );
}

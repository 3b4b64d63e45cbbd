//! Pruning inside a chain: random chains, drops and deaths, and what stands in its way.
#![allow(clippy::unwrap_used, missing_docs)]

mod chain;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chain::{Chain, Free, Step, far_ahead, terms};
use logisedge_domain::finding::FindingKind;
use logisedge_repository::check::check_snapshot;
use logisedge_repository::prune::{Guard, PackFate, Prices, prepare};
use logisedge_repository::{BlobKind, KnownBlobs, removal};
use logisedge_storage::ObjectStore;
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<u64>(), 1u8..=100).prop_map(|(seed, percent)| Step::Incremental { seed, percent }),
        3 => (any::<u64>(), 1u8..=100).prop_map(|(seed, percent)| Step::Differential { seed, percent }),
        1 => any::<u64>().prop_map(|seed| Step::Abandoned { seed }),
        4 => any::<u8>().prop_map(|n| Step::Drop(n.into())),
        4 => (0u64..45, 0u32..=100, any::<bool>()).prop_map(|(operations, percent, soon)| {
            Step::PruneKilled { operations, percent, soon }
        }),
        2 => (0u32..=100, any::<bool>()).prop_map(|(percent, soon)| Step::Prune { percent, soon }),
    ];
    prop::collection::vec(step, 3..14)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_kept_snapshot_restores_and_a_finished_prune_leaves_nothing_over(
        seed in any::<u64>(),
        steps in steps(),
    ) {
        runtime().block_on(async {
            let mut chain = Chain::begin(seed).await;
            for step in &steps {
                chain.take(step).await;
            }
            chain.take(&Step::Prune { percent: 50, soon: false }).await;
        });
    }
}

/// The same with stock restic as the judge, after every step.
#[tokio::test(flavor = "multi_thread")]
async fn restic_finds_nothing_wrong_after_any_step() {
    for seed in [1, 2] {
        let mut chain = Chain::begin(seed).await;
        let steps = [
            Step::Incremental {
                seed: 3,
                percent: 40,
            },
            Step::Differential {
                seed: 4,
                percent: 60,
            },
            Step::Drop(1),
            Step::PruneKilled {
                operations: 9 + seed * 4,
                percent: 90,
                soon: false,
            },
            Step::Incremental {
                seed: 5,
                percent: 20,
            },
            Step::Abandoned { seed: 6 },
            Step::Drop(0),
            Step::PruneKilled {
                operations: 15 + seed * 4,
                percent: 100,
                soon: false,
            },
            Step::Prune {
                percent: 80,
                soon: false,
            },
            Step::Incremental {
                seed: 7,
                percent: 5,
            },
        ];
        for step in steps {
            chain.take(&step).await;
            chain.restic_is_content();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_that_dies_at_any_operation_is_finished_by_the_next() {
    let mut died = 0;
    for operations in 0.. {
        let mut chain = Chain::begin(11).await;
        for step in [
            Step::Incremental {
                seed: 1,
                percent: 70,
            },
            Step::Differential {
                seed: 2,
                percent: 70,
            },
            Step::Drop(1),
        ] {
            chain.take(&step).await;
        }
        let ended = chain.prune_killed(operations, 100, false).await;
        chain.every_snapshot_restores().await;
        chain
            .take(&Step::Prune {
                percent: 100,
                soon: false,
            })
            .await;
        if ended {
            break;
        }
        died += 1;
    }
    // Reads, packs, the index, old index files and packs one by one.
    assert!(died > 15, "{died}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_packs_go_that_nobody_needs_and_the_rest_is_not_touched() {
    let mut chain = Chain::begin(21).await;
    let before = chain.packs().await;
    chain
        .take(&Step::Incremental {
            seed: 1,
            percent: 30,
        })
        .await;
    let with_second = chain.packs().await;
    chain
        .take(&Step::Incremental {
            seed: 2,
            percent: 30,
        })
        .await;
    let with_third = chain.packs().await;
    let second: BTreeSet<_> = with_second.difference(&before).cloned().collect();
    // The third shares blobs with the second, so dropping it frees its directories alone.
    let index = chain.world.repository.load_index().await.unwrap();
    let files = index.packs();
    chain.drop_number(1).await;
    let prepared = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &terms(0, false),
    )
    .await
    .unwrap();
    let plan = prepared.plan().clone();
    assert_eq!((plan.held.as_deref(), plan.damage.as_ref()), (None, None));
    let going: BTreeSet<_> = plan
        .packs
        .iter()
        .filter(|pack| pack.fate == PackFate::Delete)
        .map(|pack| format!("data/{}/{}", &pack.pack.to_string()[..2], pack.pack))
        .collect();
    assert!(!going.is_empty() && going.is_subset(&second), "{plan:#?}");
    assert!(plan.packs.iter().all(|pack| !pack.reason.is_empty()));
    assert_eq!(plan.packs_whole as usize + plan.packs.len(), files);
    assert_eq!(plan.index_files.len(), 1, "the other index files stay");
    let indexes = chain.keys("index/").await;
    let applied = prepared.apply(&Free).await.unwrap();
    assert_eq!(applied.left, None);
    assert_eq!(applied.bytes_deleted, plan.bytes_freed());
    let left = chain.packs().await;
    assert_eq!(left, with_third.difference(&going).cloned().collect());
    let now = chain.keys("index/").await;
    assert_eq!(indexes.intersection(&now).count(), indexes.len() - 1);
    chain.every_snapshot_restores().await;
    let again = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &terms(0, false),
    )
    .await
    .unwrap();
    assert!(!again.plan().changes_something(), "{:#?}", again.plan());
    let json = serde_json::to_value(again.plan()).unwrap();
    assert!(json["packs_whole"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pay_is_not_rewritten_and_the_plan_shows_the_sum() {
    let mut chain = Chain::begin(31).await;
    chain
        .take(&Step::Incremental {
            seed: 1,
            percent: 80,
        })
        .await;
    chain.drop_number(0).await;
    let mut terms = terms(100, false);
    terms.prices = Prices::s3(14);
    terms.remaining = chrono::TimeDelta::days(1);
    let plan_of = async |terms: &_| {
        let prepared = prepare(
            &chain.world.repository,
            &BTreeSet::new(),
            &BTreeSet::new(),
            terms,
        )
        .await
        .unwrap();
        prepared.plan().clone()
    };
    let plan = plan_of(&terms).await;
    let partly = plan
        .packs
        .iter()
        .find(|pack| pack.bytes_needed > 0)
        .unwrap();
    assert_eq!(partly.fate, PackFate::Keep);
    assert!(
        partly.reason.contains("rewriting does not pay"),
        "{}",
        partly.reason
    );
    assert!(partly.saving.unwrap().net_usd() < 0.0);
    terms.remaining = chrono::TimeDelta::days(900);
    let plan = plan_of(&terms).await;
    assert!(plan.bytes_rewritten() > 0, "{plan:#?}");
    terms.rewrite_bytes_max = 10;
    let plan = plan_of(&terms).await;
    assert_eq!(plan.bytes_rewritten(), 0);
    assert!(
        plan.packs
            .iter()
            .any(|pack| pack.reason.contains("the next prune goes on"))
    );
}

/// Somebody reads, from the time on that so many questions were asked.
struct ReadAfter(std::sync::atomic::AtomicU32);

#[async_trait]
impl Guard for ReadAfter {
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
        chain
            .take(&Step::Incremental {
                seed: 1,
                percent: 60,
            })
            .await;
        chain
            .take(&Step::Incremental {
                seed: 2,
                percent: 60,
            })
            .await;
        let old = chain.world.repository.load_index().await.unwrap();
        let packs = chain.packs().await;
        chain.drop_number(1).await;
        let prepared = prepare(
            &chain.world.repository,
            &BTreeSet::new(),
            &BTreeSet::new(),
            &terms(100, false),
        )
        .await
        .unwrap();
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
        chain
            .take(&Step::Prune {
                percent: 100,
                soon: false,
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_restics_holds_packs_while_it_is_fresh() {
    let mut chain = Chain::begin(51).await;
    chain
        .take(&Step::Incremental {
            seed: 1,
            percent: 100,
        })
        .await;
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
    let held = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &now,
    )
    .await
    .unwrap();
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
    let free = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &now,
    )
    .await
    .unwrap();
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
        chain
            .take(&Step::Incremental {
                seed: 1,
                percent: 100,
            })
            .await;
        chain.drop_number(0).await;
        let path = match what {
            "trees" => chain.pack_of(BlobKind::Tree).await,
            "data" => chain.pack_of(BlobKind::Data).await,
            folder => chain.keys(folder).await.first().unwrap().clone(),
        };
        harm(&chain.world.folder.path().join(&path));
        let packs = chain.packs().await;
        let prepared = prepare(
            &chain.world.repository,
            &BTreeSet::new(),
            &BTreeSet::new(),
            &terms(50, false),
        )
        .await
        .unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_is_not_rewritten_and_the_others_are() {
    let mut chain = Chain::begin(71).await;
    chain
        .take(&Step::Incremental {
            seed: 1,
            percent: 70,
        })
        .await;
    chain.drop_number(0).await;
    let empty = BTreeSet::new();
    let prepared = prepare(&chain.world.repository, &empty, &empty, &terms(100, false))
        .await
        .unwrap();
    let rewritten: Vec<String> = prepared
        .plan()
        .packs
        .iter()
        .filter(|pack| pack.fate == PackFate::Rewrite)
        .map(|pack| format!("data/{}/{}", &pack.pack.to_string()[..2], pack.pack))
        .collect();
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

#[tokio::test(flavor = "multi_thread")]
async fn what_no_index_names_goes_only_when_nobody_can_be_writing_it() {
    let mut chain = Chain::begin(81).await;
    chain.take(&Step::Abandoned { seed: 5 }).await;
    let packs = chain.packs().await;
    let mut terms = terms(50, false);
    terms.abandoned_before = chrono::Utc::now() - chrono::TimeDelta::hours(24);
    let young = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &terms,
    )
    .await
    .unwrap();
    assert!(!young.plan().changes_something());
    assert!(
        young
            .plan()
            .packs
            .iter()
            .any(|pack| pack.reason.contains("may be written just now"))
    );
    terms.abandoned_before = far_ahead();
    let old = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &terms,
    )
    .await
    .unwrap();
    let applied = old.apply(&Free).await.unwrap();
    assert_eq!((applied.left, applied.packs_deleted), (None, 1));
    assert_eq!(chain.packs().await.len(), packs.len() - 1);
    chain.every_snapshot_restores().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_gone_and_not_needed_is_no_longer_named() {
    let mut chain = Chain::begin(91).await;
    let first = chain.packs().await;
    chain.back_up(KnownBlobs::none()).await;
    chain.drop_number(0).await;
    for pack in &first {
        std::fs::remove_file(chain.world.folder.path().join(pack)).unwrap();
    }
    let named = chain.world.repository.load_index().await.unwrap().packs();
    chain
        .take(&Step::Prune {
            percent: 50,
            soon: false,
        })
        .await;
    // Else an incremental would take its blobs for stored.
    let left = chain.world.repository.load_index().await.unwrap().packs();
    assert!(left < named);
    chain
        .take(&Step::Incremental {
            seed: 2,
            percent: 1,
        })
        .await;
    chain.every_snapshot_restores().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_a_kept_snapshot_is_not_pruned_but_removed() {
    let mut chain = Chain::begin(99).await;
    chain.drop_number(0).await;
    let prepared = prepare(
        &chain.world.repository,
        &BTreeSet::new(),
        &BTreeSet::new(),
        &terms(50, false),
    )
    .await
    .unwrap();
    assert!(
        prepared
            .plan()
            .held
            .as_ref()
            .unwrap()
            .contains("removed as a whole")
    );
    let store: Arc<dyn ObjectStore> = chain.world.store.clone();
    let plan = removal::plan(&*store, &[]).await.unwrap();
    removal::apply(&*store, &plan).await.unwrap();
    assert!(store.list("").await.unwrap().is_empty());
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

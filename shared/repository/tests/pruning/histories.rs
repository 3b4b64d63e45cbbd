//! Random chains, drops and deaths.

use crate::chain::{Chain, Step};
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

pub(crate) fn runtime() -> tokio::runtime::Runtime {
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
            chain.prune(50, false).await;
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
        chain.prune(100, false).await;
        if ended {
            break;
        }
        died += 1;
    }
    // Reads, packs, the index, old index files and packs one by one.
    assert!(died > 15, "{died}");
}

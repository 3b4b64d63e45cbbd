//! Which chain an attempt writes, what is remembered of attempts without an end, and withdrawing.

use std::collections::BTreeMap;

use logisedge_catalog::{AttemptEnd, Begin, Catalog, Commit, UNENDED_FOR, Writing};
use logisedge_domain::Instant;
use logisedge_domain::id::{ChainPath, Fence};
use logisedge_domain::run::{Run, RunState, RunStats};
use logisedge_domain::snapshot::Kind;

use crate::support::{LEASE, at, begin, catalog, run, snapshot, started};

fn chain(number: i64) -> ChainPath {
    ChainPath::new(&run(0).scope, at(-86_400 * number))
}

async fn writes(
    catalog: &Catalog,
    run: &Run,
    fence: Fence,
    chain: &ChainPath,
    now: Instant,
) -> bool {
    let writing = Writing {
        chain: chain.clone(),
        kind: Kind::Full,
        kind_reason: Some("the weekly full is due".to_owned()),
    };
    let begun = catalog.begin_writing(&run.id, &run.scope, fence, &writing, now, LEASE);
    begun.await.unwrap()
}

async fn unended(catalog: &Catalog, now: Instant) -> BTreeMap<ChainPath, Instant> {
    let unended = catalog.unended_chains(&run(0).scope, now).await;
    unended.unwrap()
}

#[tokio::test]
async fn an_attempt_says_what_it_writes_and_holds_on_to_its_lease() {
    let catalog = catalog().await;
    let run = run(0);
    let fence = started(&catalog, &run, at(0)).await;
    let first = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(first.chain, Some(ChainPath::new(&run.scope, at(0))));
    assert_eq!(first.kind_taken, None);
    assert!(writes(&catalog, &run, fence, &chain(1), at(50)).await);
    let told = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(told.chain, Some(chain(1)));
    assert_eq!(told.kind_taken, Some(Kind::Full));
    assert_eq!(told.kind_reason.as_deref(), Some("the weekly full is due"));
    assert_eq!(begin(&catalog, &run, at(109)).await, Begin::HeldBySameRun);
    assert!(catalog.open_runs_due(at(109)).await.unwrap().is_empty());

    // A later attempt still knows what the first wrote, until it says what it writes itself.
    let Begin::Started { fence: next, .. } = begin(&catalog, &run, at(111)).await else {
        panic!("the lease ran out");
    };
    let again = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!((again.chain, again.attempts), (Some(chain(1)), 2));
    assert!(!writes(&catalog, &run, fence, &chain(2), at(112)).await);
    assert!(writes(&catalog, &run, next, &chain(2), at(112)).await);
}

#[tokio::test]
async fn what_attempts_without_an_end_wrote_is_remembered_for_a_while() {
    let catalog = catalog().await;
    let runs = [run(0), run(1), run(2), run(3)];
    let mut second = 0;
    for (number, run) in runs.iter().enumerate() {
        let fence = started(&catalog, run, at(second)).await;
        // The last one never comes to write.
        if number < 3 {
            assert!(writes(&catalog, run, fence, &chain(number as i64), at(second)).await);
        }
        // Its own chain is no unended one.
        assert_eq!(unended(&catalog, at(second)).await.len(), number);
        second += 61;
    }
    // Prune takes the lease, frees it, and nothing is forgotten.
    let scope = runs[0].scope.clone();
    let fence = catalog
        .begin_exclusive(&scope, "prune", at(second), LEASE)
        .await
        .unwrap()
        .unwrap();
    assert!(catalog.release(&scope, fence).await.unwrap());
    let until = |number: i64| (chain(number), at(61 * number + 60) + UNENDED_FOR);
    let all: BTreeMap<_, _> = [until(0), until(1), until(2)].into();
    assert_eq!(unended(&catalog, at(second)).await, all);
    let rest: BTreeMap<_, _> = [until(1), until(2)].into();
    assert_eq!(unended(&catalog, until(0).1).await, rest);
    assert!(unended(&catalog, until(2).1).await.is_empty());
}

#[tokio::test]
async fn an_attempt_that_ends_leaves_nothing_to_remember() {
    let catalog = catalog().await;
    let (first, second, third) = (run(0), run(1), run(2));
    let fence = started(&catalog, &first, at(0)).await;
    assert!(writes(&catalog, &first, fence, &chain(1), at(1)).await);
    let record = snapshot(&first, 1, at(1));
    let stats = RunStats::default();
    let commit = catalog.commit_snapshot(
        &first.id,
        fence,
        Commit {
            record: &record,
            stats: &stats,
            bytes_written: 7,
            judged: None,
        },
        at(2),
        &[],
    );
    commit.await.unwrap();

    let fence = started(&catalog, &second, at(3)).await;
    assert!(writes(&catalog, &second, fence, &chain(1), at(4)).await);
    let end = AttemptEnd::Failed {
        reason: "no route".to_owned(),
    };
    let ended = catalog.end_attempt(&second.id, &second.scope, fence, end, at(5), &[]);
    ended.await.unwrap();
    started(&catalog, &third, at(1000)).await;
    assert!(unended(&catalog, at(1001)).await.is_empty());
}

#[tokio::test]
async fn a_withdrawn_snapshot_cannot_be_committed_and_a_committed_one_not_withdrawn() {
    let catalog = catalog().await;
    let run = run(0);
    let old = started(&catalog, &run, at(0)).await;
    let Begin::Started { fence, .. } = begin(&catalog, &run, at(61)).await else {
        panic!("the lease ran out");
    };
    let (withdrawn, adopted) = (snapshot(&run, 1, at(1)), snapshot(&run, 2, at(2)));
    let stats = RunStats::default();
    let commit = |record, fence| {
        catalog.commit_snapshot(
            &run.id,
            fence,
            Commit {
                record,
                stats: &stats,
                bytes_written: 7,
                judged: None,
            },
            at(62),
            &[],
        )
    };
    assert!(commit(&withdrawn, old).await.unwrap_err().is_fenced());
    assert!(catalog.withdraw_snapshot(&withdrawn, at(63)).await.unwrap());
    assert!(!catalog.withdraw_snapshot(&withdrawn, at(64)).await.unwrap());
    assert!(commit(&withdrawn, fence).await.unwrap_err().is_fenced());
    let now = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(now.state, RunState::Running);

    commit(&adopted, fence).await.unwrap();
    assert!(!catalog.withdraw_snapshot(&adopted, at(65)).await.unwrap());
    let records = catalog.snapshots(&run.scope).await.unwrap();
    let marked: Vec<_> = records.iter().map(|r| (r.id, r.deleting_since)).collect();
    assert_eq!(marked, [(adopted.id, None), (withdrawn.id, Some(at(63)))]);
}

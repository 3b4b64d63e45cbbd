//! Runs, attempts and leases.

use std::collections::BTreeSet;

use logisedge_catalog::{
    AttemptEnd, Begin, Catalog, CatalogError, CatalogErrorKind, Commit, Message,
};
use logisedge_domain::Instant;
use logisedge_domain::event::Event;
use logisedge_domain::id::{ChainPath, Fence};
use logisedge_domain::run::{Run, RunProgress, RunState, RunStats};
use logisedge_domain::snapshot::SnapshotRecord;

use crate::support::{LEASE, at, begin, catalog, run, run_of, scope, snapshot, started};

fn stats() -> RunStats {
    RunStats {
        rows: 9,
        duration_ms: u64::MAX,
        ..RunStats::default()
    }
}

/// Commits a snapshot of seven bytes, of which nothing is told.
async fn commit(
    catalog: &Catalog,
    run: &Run,
    fence: Fence,
    record: &SnapshotRecord,
    now: Instant,
) -> Result<(), CatalogError> {
    let commit = Commit {
        record,
        stats: &stats(),
        bytes_written: 7,
        judged: None,
    };
    catalog
        .commit_snapshot(&run.id, fence, commit, now, &[])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_recorded_once() {
    let catalog = catalog().await;
    let run = run(0);
    let mut recorded = Vec::new();
    for _ in 0..10 {
        let (catalog, run) = (catalog.clone(), run.clone());
        recorded.push(tokio::spawn(async move {
            catalog.record_run(&run, Some(at(60)), &[]).await.unwrap()
        }));
    }
    let mut new = 0;
    for handle in recorded {
        new += u32::from(handle.await.unwrap());
    }
    assert_eq!(new, 1);
    assert_eq!(catalog.run(&run.id).await.unwrap(), Some(run.clone()));

    // A duplicate of the dispatcher's write cannot bring a running run back.
    started_after_record(&catalog, &run).await;
    assert!(!catalog.record_run(&run, Some(at(60)), &[]).await.unwrap());
    let now = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(now.state, RunState::Running);
}

async fn started_after_record(
    catalog: &logisedge_catalog::Catalog,
    run: &logisedge_domain::run::Run,
) {
    assert!(matches!(
        begin(catalog, run, at(1)).await,
        Begin::Started { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_attempts_at_once_one_starts() {
    let catalog = catalog().await;
    let run = run(0);
    assert!(catalog.record_run(&run, Some(at(60)), &[]).await.unwrap());
    let mut attempts = Vec::new();
    for _ in 0..20 {
        let (catalog, run) = (catalog.clone(), run.clone());
        attempts.push(tokio::spawn(
            async move { begin(&catalog, &run, at(1)).await },
        ));
    }
    let mut started = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Begin::Started { fence, attempt } => started.push((fence, attempt)),
            Begin::HeldBySameRun => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(started, [(Fence(1), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_runs_of_a_scope_one_starts() {
    let catalog = catalog().await;
    let mut attempts = Vec::new();
    for slot in 0..10 {
        let catalog = catalog.clone();
        attempts.push(tokio::spawn(async move {
            let run = run(slot);
            assert!(catalog.record_run(&run, Some(at(60)), &[]).await.unwrap());
            (run.id.clone(), begin(&catalog, &run, at(20)).await)
        }));
    }
    let mut winners = BTreeSet::new();
    let mut holders = BTreeSet::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            (id, Begin::Started { .. }) => assert!(winners.insert(id)),
            (_, Begin::HeldByOther { run, since }) => {
                assert_eq!(since, at(20));
                holders.insert(run);
            }
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(winners, holders);
    // Another scope's lease is its own.
    started(&catalog, &run_of("items", 0), at(20)).await;
}

#[tokio::test]
async fn a_commit_makes_everything_visible_at_once() {
    let catalog = catalog().await;
    let run = run(0);
    let fence = started(&catalog, &run, at(1)).await;
    let record = snapshot(&run, 1, at(2));
    let event = Message::Event(Event::SnapshotCommitted {
        run: run.id.clone(),
        snapshot: record.id,
        scope: run.scope.clone(),
        location: run.location.clone(),
        chain: record.chain.clone(),
    });
    let outbox = [event.clone()];
    let stats = stats();
    let commit = || {
        catalog.commit_snapshot(
            &run.id,
            fence,
            Commit {
                record: &record,
                stats: &stats,
                bytes_written: 7,
                judged: None,
            },
            at(30),
            &outbox,
        )
    };
    commit().await.unwrap();
    // The answer was lost and the commit is asked for again.
    commit().await.unwrap();

    let done = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(done.state, RunState::Succeeded);
    assert_eq!(done.snapshot, Some(record.id));
    assert_eq!(done.stats, Some(stats));
    assert_eq!(done.ended_at, Some(at(30)));
    assert_eq!(done.started_at, Some(at(1)));
    assert_eq!(done.chain, Some(ChainPath::new(&run.scope, at(1))));
    assert_eq!((done.attempts, done.fence), (1, Some(fence)));
    assert_eq!(
        catalog.snapshots(&run.scope).await.unwrap(),
        std::slice::from_ref(&record)
    );
    let stored: Vec<Message> = catalog
        .outbox(10)
        .await
        .unwrap()
        .into_iter()
        .map(|(_, m)| m)
        .collect();
    assert_eq!(stored, [event]);
    assert!(
        catalog
            .open_runs_due(at(1_000_000))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        begin(&catalog, &run, at(31)).await,
        Begin::RunIsFinal(RunState::Succeeded)
    );

    // The lease is free, and its next number is larger.
    let next = self::run(60);
    assert_eq!(started(&catalog, &next, at(61)).await, Fence(fence.0 + 1));
}

#[tokio::test]
async fn a_snapshot_that_a_rebuild_found_first_is_committed_all_the_same() {
    let catalog = catalog().await;
    let run = run(0);
    let fence = started(&catalog, &run, at(1)).await;
    let record = snapshot(&run, 1, at(2));
    assert!(catalog.put_snapshot(&record).await.unwrap());
    let stats = stats();
    let commit = catalog.commit_snapshot(
        &run.id,
        fence,
        Commit {
            record: &record,
            stats: &stats,
            bytes_written: 7,
            judged: None,
        },
        at(30),
        &[],
    );
    commit.await.unwrap();
    let done = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(done.state, RunState::Succeeded);
    assert_eq!(
        catalog.snapshots(&run.scope).await.unwrap(),
        std::slice::from_ref(&record)
    );
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_can_do_nothing() {
    let catalog = catalog().await;
    let run = run(0);
    let old = started(&catalog, &run, at(0)).await;
    let record = snapshot(&run, 1, at(1));

    // Its heartbeat did not come; another attempt takes over.
    assert_eq!(begin(&catalog, &run, at(59)).await, Begin::HeldBySameRun);
    let Begin::Started {
        fence: new,
        attempt,
    } = begin(&catalog, &run, at(61)).await
    else {
        panic!("the lease ran out");
    };
    assert_eq!((new, attempt), (Fence(old.0 + 1), 2));

    let late = commit(&catalog, &run, old, &record, at(62)).await;
    let late = late.unwrap_err();
    assert!(late.is_fenced());
    assert!(!late.retry().is_transient());
    insta::assert_snapshot!(late, @"cannot commit run daily.20261124T020000Z.customers: the lease is lost: it expired, and another attempt may hold it by now");
    let progress = RunProgress::default();
    let beat = catalog
        .heartbeat(&run.id, &run.scope, old, at(62), LEASE, progress)
        .await;
    assert!(!beat.unwrap());
    let end = AttemptEnd::Failed {
        reason: "late".to_owned(),
    };
    let ended = catalog
        .end_attempt(&run.id, &run.scope, old, end, at(62), &[])
        .await;
    assert_eq!(ended.unwrap_err().kind, CatalogErrorKind::Fenced);
    assert!(!catalog.release(&run.scope, old).await.unwrap());
    assert!(catalog.snapshots(&run.scope).await.unwrap().is_empty());

    // The new one is undisturbed.
    commit(&catalog, &run, new, &record, at(63)).await.unwrap();
    assert_eq!(catalog.snapshots(&run.scope).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lease_taken_by_another_run_fences_the_first() {
    let catalog = catalog().await;
    let (first, second) = (run(0), run(60));
    let old = started(&catalog, &first, at(0)).await;
    let new = started(&catalog, &second, at(61)).await;
    assert!(new > old);
    let record = snapshot(&first, 1, at(1));
    let late = commit(&catalog, &first, old, &record, at(62)).await;
    assert!(late.unwrap_err().is_fenced());
    assert!(
        matches!(begin(&catalog, &first, at(63)).await, Begin::HeldByOther { run, .. } if run == second.id)
    );
    // The dispatcher gives up on the first, which nobody works on.
    assert!(
        catalog
            .end_run(&first.id, RunState::Failed, "killed", at(64), &[])
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .end_run(&second.id, RunState::Failed, "killed", at(64), &[])
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_heartbeat_keeps_the_lease_and_tells_progress() {
    let catalog = catalog().await;
    let run = run(0);
    let fence = started(&catalog, &run, at(0)).await;
    let progress = RunProgress {
        bytes_read: 5,
        bytes_expected: 10,
        parts_done: 1,
        parts: 2,
    };
    for second in [40, 80, 120] {
        let beat = catalog
            .heartbeat(&run.id, &run.scope, fence, at(second), LEASE, progress)
            .await;
        assert!(beat.unwrap());
        assert!(
            catalog
                .open_runs_due(at(second + 59))
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(begin(&catalog, &run, at(179)).await, Begin::HeldBySameRun);
    assert_eq!(
        catalog.run(&run.id).await.unwrap().unwrap().progress,
        progress
    );
    let due = catalog.open_runs_due(at(180)).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].state, RunState::Running);
}

#[tokio::test]
async fn a_failed_attempt_is_asked_for_again_or_ends_the_run() {
    let catalog = catalog().await;
    let run = run(0);
    let fence = started(&catalog, &run, at(0)).await;
    let end = AttemptEnd::RetryAt {
        reason: "lost connection".to_owned(),
        at: at(30),
    };
    catalog
        .end_attempt(&run.id, &run.scope, fence, end, at(5), &[])
        .await
        .unwrap();
    let waiting = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(waiting.state, RunState::Requested);
    assert_eq!(waiting.reason.as_deref(), Some("lost connection"));
    assert!(catalog.open_runs_due(at(29)).await.unwrap().is_empty());
    assert_eq!(catalog.open_runs_due(at(30)).await.unwrap().len(), 1);

    let Begin::Started { fence, attempt } = begin(&catalog, &run, at(31)).await else {
        panic!("the lease was freed");
    };
    assert_eq!(attempt, 2);
    let end = AttemptEnd::Failed {
        reason: "wrong password".to_owned(),
    };
    catalog
        .end_attempt(&run.id, &run.scope, fence, end, at(32), &[])
        .await
        .unwrap();
    let failed = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(
        (failed.state, failed.ended_at),
        (RunState::Failed, Some(at(32)))
    );
    assert!(catalog.open_runs_due(at(9999)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_dispatchers_one_looks_after_a_run() {
    let catalog = catalog().await;
    let run = run(0);
    assert!(catalog.record_run(&run, Some(at(60)), &[]).await.unwrap());
    assert!(
        !catalog
            .touch_open_run(&run.id, at(59), at(180))
            .await
            .unwrap()
    );
    let (a, b) = tokio::join!(
        catalog.touch_open_run(&run.id, at(61), at(180)),
        catalog.touch_open_run(&run.id, at(62), at(180)),
    );
    assert_eq!(u32::from(a.unwrap()) + u32::from(b.unwrap()), 1);
    assert!(catalog.open_runs_due(at(179)).await.unwrap().is_empty());
    assert!(
        catalog
            .end_run(&run.id, RunState::Skipped, "why", at(200), &[])
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .end_run(&run.id, RunState::Failed, "why not", at(201), &[])
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .touch_open_run(&run.id, at(999), at(1180))
            .await
            .unwrap()
    );
    let ended = catalog.run(&run.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.reason.as_deref()),
        (RunState::Skipped, Some("why"))
    );
}

#[tokio::test]
async fn pruning_and_attempts_exclude_each_other() {
    let catalog = catalog().await;
    let run = run(0);
    let scope = scope("customers");
    let fence = catalog
        .begin_exclusive(&scope, "prune", at(0), LEASE)
        .await
        .unwrap()
        .unwrap();
    assert!(
        catalog
            .begin_exclusive(&scope, "other", at(1), LEASE)
            .await
            .unwrap()
            .is_none()
    );
    assert!(catalog.record_run(&run, Some(at(60)), &[]).await.unwrap());
    let held = Begin::HeldExclusively {
        holder: "prune".to_owned(),
        until: at(60),
    };
    assert_eq!(begin(&catalog, &run, at(2)).await, held);
    assert!(
        catalog
            .extend_exclusive(&scope, fence, at(50), LEASE)
            .await
            .unwrap()
    );
    assert!(catalog.release(&scope, fence).await.unwrap());
    assert!(
        !catalog
            .extend_exclusive(&scope, fence, at(51), LEASE)
            .await
            .unwrap()
    );
    let Begin::Started { fence: next, .. } = begin(&catalog, &run, at(52)).await else {
        panic!("released");
    };
    assert!(next > fence);
    assert!(
        catalog
            .begin_exclusive(&scope, "prune", at(53), LEASE)
            .await
            .unwrap()
            .is_none()
    );
    // The attempt died; its lease runs out.
    assert!(
        catalog
            .begin_exclusive(&scope, "prune", at(113), LEASE)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let catalog = catalog().await;
    let run = run(0);
    assert_eq!(catalog.run(&run.id).await.unwrap(), None);
    assert_eq!(begin(&catalog, &run, at(0)).await, Begin::NotFound);
    assert!(
        !catalog
            .end_run(&run.id, RunState::Failed, "", at(0), &[])
            .await
            .unwrap()
    );
    assert!(!catalog.touch_open_run(&run.id, at(0), at(1)).await.unwrap());
    assert!(!catalog.release(&run.scope, Fence(1)).await.unwrap());
}

#[tokio::test]
async fn the_newest_runs_come_first() {
    let catalog = catalog().await;
    for slot in [30, 10, 20, 0] {
        assert!(catalog.record_run(&run(slot), None, &[]).await.unwrap());
    }
    let recent = catalog.recent_runs(3).await.unwrap();
    let ids: Vec<_> = recent.iter().map(|r| r.id.clone()).collect();
    assert_eq!(ids, [run(30).id, run(20).id, run(10).id]);
    assert!(catalog.open_runs_due(at(9999)).await.unwrap().is_empty());
}

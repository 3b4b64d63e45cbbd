//! Snapshots, their verification, and prune against readers.

use logisedge_catalog::{FINDING_DETAIL_BYTES_MAX, FINDINGS_MAX};
use logisedge_domain::finding::{Finding, FindingKind};
use logisedge_domain::snapshot::{Hold, SnapshotRecord, Trust};

use crate::support::{LEASE, at, catalog, run, run_of, snapshot};

fn finding(n: usize) -> Finding {
    Finding {
        kind: FindingKind::WrongHash,
        object: format!("data/{n:04}"),
        detail: "é".repeat(FINDING_DETAIL_BYTES_MAX),
    }
}

#[tokio::test]
async fn snapshots_are_listed_newest_first() {
    let catalog = catalog().await;
    let (customers, items) = (run(0), run_of("items", 0));
    let records = [
        snapshot(&customers, 0xa1, at(10)),
        snapshot(&customers, 0xa2, at(30)),
        snapshot(&items, 0xb1, at(20)),
    ];
    for record in &records {
        assert!(catalog.put_snapshot(record).await.unwrap());
        assert!(!catalog.put_snapshot(record).await.unwrap());
    }
    let [old, new, other] = &records;
    assert_eq!(
        catalog.snapshots(&customers.scope).await.unwrap(),
        [new.clone(), old.clone()]
    );
    assert_eq!(
        catalog.all_snapshots().await.unwrap(),
        [new.clone(), other.clone(), old.clone()]
    );
    assert_eq!(
        catalog.find_snapshot("A").await.unwrap(),
        [new.clone(), old.clone()]
    );
    assert_eq!(
        catalog.find_snapshot("b1b1").await.unwrap(),
        std::slice::from_ref(other)
    );
    assert!(catalog.find_snapshot("c").await.unwrap().is_empty());
}

async fn only(catalog: &logisedge_catalog::Catalog, record: &SnapshotRecord) -> SnapshotRecord {
    let mut found = catalog.snapshots(&record.scope).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[tokio::test]
async fn a_verification_replaces_the_one_before() {
    let catalog = catalog().await;
    let record = snapshot(&run(0), 1, at(0));
    assert!(catalog.put_snapshot(&record).await.unwrap());
    assert!(catalog.findings(&record.id).await.unwrap().is_empty());

    let many: Vec<Finding> = (0..FINDINGS_MAX + 5).map(finding).collect();
    assert!(
        catalog
            .record_verification(&record, Trust::Damaged, &many, at(1), &[])
            .await
            .unwrap()
    );
    let damaged = only(&catalog, &record).await;
    assert_eq!(
        (damaged.trust, damaged.verified_at),
        (Trust::Damaged, Some(at(1)))
    );
    assert_eq!(damaged.findings, FINDINGS_MAX as u64 + 5);
    let stored = catalog.findings(&record.id).await.unwrap();
    assert_eq!(stored.len(), FINDINGS_MAX);
    assert_eq!(
        stored[FINDINGS_MAX - 1].object,
        format!("data/{:04}", FINDINGS_MAX - 1)
    );
    assert!(stored[0].detail.len() <= FINDING_DETAIL_BYTES_MAX + '…'.len_utf8());

    // A verification that knows nothing of the one before it is late and changes nothing.
    assert!(
        !catalog
            .record_verification(&record, Trust::Verified, &[], at(2), &[])
            .await
            .unwrap()
    );

    assert!(
        catalog
            .record_verification(&damaged, Trust::Verified, &[], at(3), &[])
            .await
            .unwrap()
    );
    let good = only(&catalog, &record).await;
    assert_eq!((good.trust, good.findings), (Trust::Verified, 0));
    assert!(catalog.findings(&record.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_read_is_not_deleted_and_what_is_deleted_is_not_read() {
    let catalog = catalog().await;
    let record = snapshot(&run(0), 1, at(0));
    let (scope, id) = (&record.scope, &record.id);
    assert!(catalog.put_snapshot(&record).await.unwrap());

    // Prune has to hold the scope.
    assert!(
        catalog
            .mark_deleting(&record, at(1))
            .await
            .unwrap_err()
            .is_fenced()
    );
    let fence = catalog
        .begin_exclusive(scope, "prune", at(1), LEASE)
        .await
        .unwrap()
        .unwrap();

    assert!(
        catalog
            .hold_in_use(scope, id, "restore", at(30))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .hold_in_use(scope, id, "verify", at(20))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .snapshots_in_use(scope, at(29))
            .await
            .unwrap()
            .contains(id)
    );
    assert!(!catalog.mark_deleting(&record, at(2)).await.unwrap());
    catalog.release_use(scope, id, "restore").await.unwrap();
    catalog
        .release_use(scope, id, "never held it")
        .await
        .unwrap();
    assert!(
        !catalog.mark_deleting(&record, at(3)).await.unwrap(),
        "verify still reads"
    );
    // Verify died: its hold runs out.
    assert!(
        catalog
            .snapshots_in_use(scope, at(31))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        !catalog.delete_snapshot(scope, id).await.unwrap(),
        "it is not marked"
    );
    assert!(catalog.mark_deleting(&record, at(31)).await.unwrap());
    assert!(
        catalog
            .mark_deleting(&only(&catalog, &record).await, at(32))
            .await
            .unwrap()
    );

    let marked = only(&catalog, &record).await;
    assert_eq!(marked.deleting_since, Some(at(31)));
    assert!(
        !catalog
            .hold_in_use(scope, id, "restore", at(99))
            .await
            .unwrap()
    );
    assert!(catalog.delete_snapshot(scope, id).await.unwrap());
    assert!(!catalog.delete_snapshot(scope, id).await.unwrap());
    assert!(
        !catalog
            .hold_in_use(scope, id, "restore", at(99))
            .await
            .unwrap()
    );
    assert!(!catalog.mark_deleting(&record, at(33)).await.unwrap());
    assert!(catalog.snapshots(scope).await.unwrap().is_empty());
    assert!(catalog.release(scope, fence).await.unwrap());
}

#[tokio::test]
async fn a_forgotten_snapshot_takes_its_findings_along() {
    let catalog = catalog().await;
    let record = snapshot(&run(0), 1, at(0));
    assert!(catalog.put_snapshot(&record).await.unwrap());
    let found = [finding(1)];
    assert!(
        catalog
            .record_verification(&record, Trust::Damaged, &found, at(1), &[])
            .await
            .unwrap()
    );
    catalog
        .begin_exclusive(&record.scope, "prune", at(2), LEASE)
        .await
        .unwrap()
        .unwrap();
    assert!(
        catalog
            .mark_deleting(&only(&catalog, &record).await, at(3))
            .await
            .unwrap()
    );
    assert!(
        catalog
            .delete_snapshot(&record.scope, &record.id)
            .await
            .unwrap()
    );
    assert!(catalog.findings(&record.id).await.unwrap().is_empty());
    let late = catalog
        .record_verification(&record, Trust::Verified, &[], at(4), &[])
        .await;
    assert!(!late.unwrap());
}

#[tokio::test]
async fn prune_cannot_mark_what_is_held_and_nobody_holds_what_is_marked() {
    let catalog = catalog().await;
    let record = snapshot(&run(0), 1, at(0));
    let (scope, id) = (&record.scope, &record.id);
    let hold = |by: &str| Hold::new("audit", by, at(5)).unwrap();
    assert!(
        !catalog
            .hold_snapshot(scope, id, &hold("anna"))
            .await
            .unwrap()
    );
    assert!(!catalog.release_hold(scope, id).await.unwrap());
    assert!(catalog.put_snapshot(&record).await.unwrap());
    assert!(
        catalog
            .hold_snapshot(scope, id, &hold("anna"))
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .hold_snapshot(scope, id, &hold("bert"))
            .await
            .unwrap(),
        "the first stays"
    );
    assert_eq!(only(&catalog, &record).await.hold, Some(hold("anna")));
    let fence = catalog.begin_exclusive(scope, "prune", at(10), LEASE).await;
    let fence = fence.unwrap().unwrap();
    assert!(!catalog.mark_deleting(&record, at(11)).await.unwrap());
    assert!(catalog.release_hold(scope, id).await.unwrap());
    assert!(catalog.release_hold(scope, id).await.unwrap());
    assert!(catalog.mark_deleting(&record, at(12)).await.unwrap());
    assert!(
        !catalog
            .hold_snapshot(scope, id, &hold("anna"))
            .await
            .unwrap()
    );

    // Brought back: the record is as it was, under the lease alone.
    let back = SnapshotRecord {
        hold: Some(hold("anna")),
        ..record.clone()
    };
    assert!(catalog.put_undeleted(&back, at(13)).await.unwrap());
    assert_eq!(only(&catalog, &record).await, back);
    assert!(!catalog.put_undeleted(&back, at(14)).await.unwrap());
    assert!(catalog.release(scope, fence).await.unwrap());
    assert!(catalog.put_undeleted(&back, at(15)).await.is_err());
}

//! What goes, and what is not worth it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chain::{Chain, Free, Step, far_ahead, terms};
use logisedge_repository::prune::{PackFate, Prices};
use logisedge_repository::{KnownBlobs, removal};
use logisedge_storage::ObjectStore;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_packs_go_that_nobody_needs_and_the_rest_is_not_touched() {
    let mut chain = Chain::begin(21).await;
    let before = chain.packs().await;
    chain.incremental(1, 30).await;
    let with_second = chain.packs().await;
    chain.incremental(2, 30).await;
    let with_third = chain.packs().await;
    let second: BTreeSet<_> = with_second.difference(&before).cloned().collect();
    // The third shares blobs with the second, so dropping it frees its directories alone.
    let index = chain.world.repository.load_index().await.unwrap();
    let files = index.packs();
    chain.drop_number(1).await;
    let prepared = chain.prepare(&terms(0, false)).await;
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
    let again = chain.prepare(&terms(0, false)).await;
    assert!(!again.plan().changes_something(), "{:#?}", again.plan());
    let json = serde_json::to_value(again.plan()).unwrap();
    assert!(json["packs_whole"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pay_is_not_rewritten_and_the_plan_shows_the_sum() {
    let mut chain = Chain::begin(31).await;
    chain.incremental(1, 80).await;
    chain.drop_number(0).await;
    let mut terms = terms(100, false);
    terms.prices = Prices::s3(14);
    terms.remaining = chrono::TimeDelta::days(1);
    let plan_of = async |terms: &_| {
        let prepared = chain.prepare(terms).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_no_index_names_goes_only_when_nobody_can_be_writing_it() {
    let mut chain = Chain::begin(81).await;
    chain.take(&Step::Abandoned { seed: 5 }).await;
    let packs = chain.packs().await;
    let mut terms = terms(50, false);
    terms.abandoned_before = chrono::Utc::now() - chrono::TimeDelta::hours(24);
    let young = chain.prepare(&terms).await;
    assert!(!young.plan().changes_something());
    assert!(
        young
            .plan()
            .packs
            .iter()
            .any(|pack| pack.reason.contains("may be written just now"))
    );
    terms.abandoned_before = far_ahead();
    let old = chain.prepare(&terms).await;
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
    chain.prune(50, false).await;
    // Else an incremental would take its blobs for stored.
    let left = chain.world.repository.load_index().await.unwrap().packs();
    assert!(left < named);
    chain.incremental(2, 1).await;
    chain.every_snapshot_restores().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_a_kept_snapshot_is_not_pruned_but_removed() {
    let mut chain = Chain::begin(99).await;
    chain.drop_number(0).await;
    let prepared = chain.prepare(&terms(50, false)).await;
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

//! Causes of alerts: counted once, told by one, gone with what tells of it.

use chrono::TimeDelta;
use logisedge_catalog::{Catalog, Message, OutboxId, Settled};
use logisedge_domain::alert::{Alert, CauseState, Quiet, Telling};
use logisedge_domain::run::{Run, RunState};

use crate::support::{at, catalog, run_of, scope};

fn failure(scope_name: &str, second: i64) -> Alert {
    let failed = Run {
        state: RunState::Failed,
        reason: Some("no reason".to_owned()),
        ..run_of(scope_name, second)
    };
    Alert::run_failed(&failed, at(second))
}

/// The state after an alert was told.
fn told(alert: &Alert) -> CauseState {
    match Telling::of(alert, None, Quiet::default(), alert.at) {
        Telling::Tell(_, state) => *state,
        other => panic!("{other:?}"),
    }
}

async fn stored(catalog: &Catalog, alert: &Alert) -> OutboxId {
    catalog
        .enqueue(&[Message::Alert(alert.clone())])
        .await
        .unwrap();
    let all = catalog.outbox(100).await.unwrap();
    let mine = all
        .into_iter()
        .find(|(_, m)| *m == Message::Alert(alert.clone()));
    mine.unwrap().0
}

#[tokio::test]
async fn one_of_many_tells_of_a_cause_and_counts_its_message_once() {
    let catalog = catalog().await;
    let alert = failure("customers", 0);
    let id = stored(&catalog, &alert).await;
    let known = catalog.cause(&alert.cause()).await.unwrap();
    assert_eq!(known.state, None);
    let until = at(90);
    let first = catalog
        .claim_cause(&known, &id, until)
        .await
        .unwrap()
        .unwrap();
    assert!(
        catalog
            .claim_cause(&known, &id, until)
            .await
            .unwrap()
            .is_none()
    );
    let claimed = catalog.cause(&alert.cause()).await.unwrap();
    assert!(claimed.is_claimed(at(89)) && !claimed.is_claimed(at(90)));
    assert_eq!(claimed.state, None, "not told yet");

    let state = told(&alert);
    let settled = Settled {
        state: Some(&state),
        due_at: None,
        delivered: Some(&id),
    };
    assert!(
        catalog
            .settle_cause(&first, settled, &[], at(1))
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .settle_cause(&first, settled, &[], at(1))
            .await
            .unwrap()
    );
    assert!(catalog.outbox(10).await.unwrap().is_empty());
    let known = catalog.cause(&alert.cause()).await.unwrap();
    assert_eq!(known.state.as_ref(), Some(&state));
    assert!(!known.is_claimed(at(2)));
    // The message is gone: nobody tells it again, and nobody counts it again.
    assert!(
        catalog
            .claim_cause(&known, &id, until)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        !catalog
            .settle_cause(&known, settled, &[], at(2))
            .await
            .unwrap()
    );
    assert_eq!(catalog.cause(&alert.cause()).await.unwrap(), known);
}

#[tokio::test]
async fn a_claim_whose_holder_died_is_found_and_taken_over() {
    let catalog = catalog().await;
    let alert = failure("customers", 0);
    let id = stored(&catalog, &alert).await;
    let known = catalog.cause(&alert.cause()).await.unwrap();
    catalog
        .claim_cause(&known, &id, at(90))
        .await
        .unwrap()
        .unwrap();
    assert!(catalog.causes_due(at(89)).await.unwrap().is_empty());
    let due = catalog.causes_due(at(90)).await.unwrap();
    assert_eq!(due.len(), 1);
    let again = catalog.claim_cause(&due[0], &id, at(200)).await.unwrap();
    assert!(again.is_some());
    assert!(
        catalog.all_causes().await.unwrap().is_empty(),
        "not told yet"
    );
}

#[tokio::test]
async fn causes_are_found_by_their_scope_and_when_they_are_due() {
    let catalog = catalog().await;
    for (scope_name, held_back) in [("customers", 2), ("items", 0)] {
        let alert = failure(scope_name, 0);
        let state = CauseState {
            held_back,
            ..told(&alert)
        };
        let known = catalog.cause(&alert.cause()).await.unwrap();
        let settled = Settled {
            state: Some(&state),
            due_at: state.due_at(Quiet::default()),
            delivered: None,
        };
        assert!(
            catalog
                .settle_cause(&known, settled, &[], at(0))
                .await
                .unwrap()
        );
    }
    let names = |causes: Vec<CauseState>| -> Vec<String> {
        causes.iter().map(|c| c.cause.to_string()).collect()
    };
    let mut all = names(catalog.all_causes().await.unwrap());
    all.sort();
    assert_eq!(all, ["failure.customers.daily", "failure.items.daily"]);
    let of = catalog.causes_of(Some(&scope("items"))).await.unwrap();
    assert_eq!(of.len(), 1);
    assert!(catalog.causes_of(None).await.unwrap().is_empty());
    let hours = |n: i64| at(0) + TimeDelta::hours(n);
    assert!(catalog.causes_due(hours(3)).await.unwrap().is_empty());
    let due = catalog.causes_due(hours(4)).await.unwrap();
    assert_eq!(due.len(), 1);

    // It goes, and what tells of that comes, in one step.
    let state = due[0].state.clone().unwrap();
    let gone = Settled {
        state: None,
        due_at: None,
        delivered: None,
    };
    let end = [Message::Alert(state.resolved("it works", hours(4)))];
    assert!(
        catalog
            .settle_cause(&due[0], gone, &end, hours(4))
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .settle_cause(&due[0], gone, &end, hours(4))
            .await
            .unwrap()
    );
    assert_eq!(catalog.outbox(10).await.unwrap().len(), 1);
    assert_eq!(
        names(catalog.all_causes().await.unwrap()),
        ["failure.items.daily"]
    );
    assert!(catalog.causes_due(hours(99)).await.unwrap().is_empty());
}

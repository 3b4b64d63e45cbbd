//! The outbox.

use logisedge_catalog::Message;
use logisedge_domain::event::Event;
use logisedge_domain::run::RunState;

use crate::support::{at, catalog, run, run_of, scope};

fn prune(scope_name: &str) -> Message {
    Message::Event(Event::PruneRequested {
        scope: scope(scope_name),
    })
}

#[tokio::test]
async fn messages_come_oldest_first_and_go_when_delivered() {
    let catalog = catalog().await;
    let sent: Vec<Message> = (0..130).map(|n| prune(&format!("s{n}"))).collect();
    catalog.enqueue(&sent[..3]).await.unwrap();
    catalog.enqueue(&sent[3..]).await.unwrap();
    let first = catalog.outbox(2).await.unwrap();
    assert_eq!(first.len(), 2);
    let ids: Vec<_> = first.iter().map(|(id, _)| id.clone()).collect();
    catalog.delivered(&ids).await.unwrap();
    catalog.delivered(&ids).await.unwrap();
    let rest = catalog.outbox(1000).await.unwrap();
    assert_eq!(rest.len(), 128);
    assert!(
        rest.iter()
            .all(|(id, message)| !ids.contains(id) && sent.contains(message))
    );
    let ids: Vec<_> = rest.into_iter().map(|(id, _)| id).collect();
    catalog.delivered(&ids).await.unwrap();
    assert!(catalog.outbox(1000).await.unwrap().is_empty());
    catalog.enqueue(&[]).await.unwrap();
    catalog.delivered(&[]).await.unwrap();
}

#[tokio::test]
async fn a_refused_change_tells_nothing() {
    let catalog = catalog().await;
    let told = [prune("a"), prune("a"), prune("b")];
    assert!(catalog.record_run(&run(0), None, &told).await.unwrap());
    assert_eq!(
        catalog.outbox(10).await.unwrap().len(),
        2,
        "a message told twice is one"
    );
    assert!(
        !catalog
            .record_run(&run(0), None, &[prune("c")])
            .await
            .unwrap()
    );
    let gone = run_of("items", 0).id;
    assert!(
        !catalog
            .end_run(&gone, RunState::Failed, "", at(0), &[prune("d")])
            .await
            .unwrap()
    );
    assert_eq!(catalog.outbox(10).await.unwrap().len(), 2);
}

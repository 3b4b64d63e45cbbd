//! What is published on the bus.

use std::collections::BTreeSet;

use logisedge_domain::event::{DispatchInput, EVENT_SOURCE, Event};
use logisedge_domain::id::ScopeName;

use crate::emulated::emulated;

pub(crate) fn prune(n: usize) -> Event {
    Event::PruneRequested {
        scope: ScopeName::new(format!("s{n}")).unwrap(),
    }
}

#[tokio::test]
async fn events_arrive_in_their_form() {
    let emulated = emulated().await;
    let (bus, url) = emulated.bus(EVENT_SOURCE).await;
    // More than one request takes.
    let events: Vec<Event> = (0..23).map(prune).collect();
    emulated.aws.publish(&bus, &events).await.unwrap();
    let arrived = emulated.receive(&url, events.len()).await;
    assert_eq!(arrived.len(), events.len());
    let mut scopes = BTreeSet::new();
    for envelope in arrived {
        assert_eq!(envelope["detail-type"], "PruneRequested");
        let event = Event::from_detail(&envelope["detail"]).unwrap();
        assert!(events.contains(&event));
        scopes.insert(event.scope().clone());
    }
    assert_eq!(scopes.len(), events.len());
}

#[tokio::test]
async fn a_request_to_the_dispatcher_arrives() {
    let emulated = emulated().await;
    let (bus, url) = emulated.bus("logisedge.cli").await;
    emulated
        .aws
        .publish_dispatch(&bus, &DispatchInput::Tick)
        .await
        .unwrap();
    let arrived = emulated.receive(&url, 1).await;
    assert_eq!(arrived[0]["detail-type"], "DispatchRequested");
    let input: DispatchInput = serde_json::from_value(arrived[0]["detail"].clone()).unwrap();
    assert_eq!(input, DispatchInput::Tick);
}

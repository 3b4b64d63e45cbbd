//! Publishing on the event bus.

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use logisedge_domain::event::{DispatchInput, EVENT_SOURCE, Event};
use logisedge_domain::retry::Retry;

use crate::{Aws, RuntimeError, RuntimeErrorKind};

/// Entries of one PutEvents request:
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>.
pub(crate) const PUT_EVENTS_ENTRIES_MAX: usize = 10;

/// The `source` of what an operator's command line asks for.
pub(crate) const CLI_SOURCE: &str = "logisedge.cli";

/// The `detail-type` of a request to the dispatcher.
pub(crate) const DISPATCH_REQUESTED: &str = "DispatchRequested";

impl Aws {
    /// Publishes events. An error says that at least one did not reach the bus; the others did, and
    /// publishing all of them again is harmless.
    pub async fn publish(&self, bus: &str, events: &[Event]) -> Result<(), RuntimeError> {
        let entries = events.iter().map(|event| {
            entry(bus, EVENT_SOURCE, event.detail_type(), event.to_detail())
        });
        self.put_events(bus, entries.collect()).await
    }

    /// Asks the dispatcher for something, through the bus.
    pub async fn publish_dispatch(
        &self,
        bus: &str,
        input: &DispatchInput,
    ) -> Result<(), RuntimeError> {
        let detail = serde_json::to_string(input).map_err(|e| failed(bus, e.to_string()))?;
        self.put_events(bus, vec![entry(bus, CLI_SOURCE, DISPATCH_REQUESTED, detail)]).await
    }

    async fn put_events(
        &self,
        bus: &str,
        entries: Vec<PutEventsRequestEntry>,
    ) -> Result<(), RuntimeError> {
        for batch in entries.chunks(PUT_EVENTS_ENTRIES_MAX) {
            let request = self.eventbridge().put_events().set_entries(Some(batch.to_vec()));
            let answer = request.send().await.map_err(|error| {
                let message = match error.as_service_error() {
                    Some(e) if e.meta().code() == Some("AccessDeniedException") => {
                        "the role needs events:PutEvents on it".to_owned()
                    }
                    Some(e) => e.meta().message().unwrap_or("the service refused").to_owned(),
                    None => "EventBridge did not answer: check the network, the region and the credentials".to_owned(),
                };
                let retry =
                    if error.as_service_error().is_none() { Retry::SOON } else { Retry::Permanent };
                RuntimeError { retry, source: Some(Box::new(error)), ..failed(bus, message) }
            })?;
            // The request may succeed while single entries do not.
            if let Some(refused) =
                answer.entries().iter().find(|entry| entry.error_code().is_some())
            {
                let code = refused.error_code().unwrap_or_default();
                let why = refused.error_message().unwrap_or_default();
                return Err(RuntimeError {
                    retry: Retry::SOON,
                    ..failed(bus, format!("an event was refused: {code}: {why}"))
                });
            }
        }
        Ok(())
    }
}

fn entry(bus: &str, source: &str, detail_type: &str, detail: String) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(source)
        .detail_type(detail_type)
        .detail(detail)
        .build()
}

fn failed(bus: &str, message: impl Into<String>) -> RuntimeError {
    RuntimeError::new(RuntimeErrorKind::Bus, "publish to", format!("bus {bus}"), message)
}

//! Publishing on the event bus.

use std::time::Duration;

use aws_sdk_eventbridge::config::http::HttpResponse;
use aws_sdk_eventbridge::error::SdkError;
use aws_sdk_eventbridge::operation::put_events::PutEventsError;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use futures_util::stream::{self, StreamExt};
use logisedge_domain::event::{DispatchInput, EVENT_SOURCE, Event};
use logisedge_domain::retry::Retry;

use crate::passing::retry_of;
use crate::{Aws, RuntimeError, RuntimeErrorKind};

/// Entries of one PutEvents request:
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>.
pub(crate) const PUT_EVENTS_ENTRIES_MAX: usize = 10;

/// Requests that are on their way at the same time.
const BATCHES_AT_ONCE: usize = 4;

/// Tries at entries that the bus refused one by one, and the pause after the first.
const PUT_EVENTS_TRIES_MAX: u32 = 3;
const PUT_EVENTS_PAUSE: Duration = Duration::from_millis(200);

/// The `source` of what an operator's command line asks for.
pub(crate) const CLI_SOURCE: &str = "logisedge.cli";

/// The `detail-type` of a request to the dispatcher.
pub(crate) const DISPATCH_REQUESTED: &str = "DispatchRequested";

impl Aws {
    /// Publishes events. An error says that at least one did not reach the bus; the others did, and
    /// publishing all of them again is harmless.
    pub async fn publish(&self, bus: &str, events: &[Event]) -> Result<(), RuntimeError> {
        let entries = events
            .iter()
            .map(|event| entry(bus, EVENT_SOURCE, event.detail_type(), event.to_detail()));
        self.put_events(bus, entries.collect()).await
    }

    /// Asks the dispatcher for something, through the bus.
    pub async fn publish_dispatch(
        &self,
        bus: &str,
        input: &DispatchInput,
    ) -> Result<(), RuntimeError> {
        let detail = serde_json::to_string(input).map_err(|e| failed(bus, e.to_string()))?;
        self.put_events(
            bus,
            vec![entry(bus, CLI_SOURCE, DISPATCH_REQUESTED, detail)],
        )
        .await
    }

    async fn put_events(
        &self,
        bus: &str,
        entries: Vec<PutEventsRequestEntry>,
    ) -> Result<(), RuntimeError> {
        let mut failure = None;
        let batches = entries.chunks(PUT_EVENTS_ENTRIES_MAX);
        let batches = batches.map(|batch| self.put_batch(bus, batch.to_vec()));
        let mut sent = stream::iter(batches).buffer_unordered(BATCHES_AT_ONCE);
        while let Some(outcome) = sent.next().await {
            // One batch that does not go through keeps no other back.
            if let Err(error) = outcome {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Publishes one batch. The request may succeed while single entries do not: those go again.
    async fn put_batch(
        &self,
        bus: &str,
        mut entries: Vec<PutEventsRequestEntry>,
    ) -> Result<(), RuntimeError> {
        for tries in 1.. {
            let request = self
                .eventbridge()
                .put_events()
                .set_entries(Some(entries.clone()));
            let answer = request.send().await.map_err(|error| refused(bus, error))?;
            let told = answer.entries();
            let Some(first) = told.iter().find(|entry| entry.error_code().is_some()) else {
                break;
            };
            if tries == PUT_EVENTS_TRIES_MAX {
                let code = first.error_code().unwrap_or_default();
                let why = first.error_message().unwrap_or_default();
                return Err(RuntimeError {
                    retry: Retry::SOON,
                    ..failed(bus, format!("an event was refused: {code}: {why}"))
                });
            }
            // The answer's entries are in the request's order.
            let mut told = told.iter();
            entries.retain(|_| told.next().is_none_or(|entry| entry.error_code().is_some()));
            tokio::time::sleep(PUT_EVENTS_PAUSE * tries).await;
        }
        Ok(())
    }
}

pub(crate) fn refused(bus: &str, error: SdkError<PutEventsError, HttpResponse>) -> RuntimeError {
    let message = match error.as_service_error() {
        Some(e) => match e.meta().code().unwrap_or_default() {
            "AccessDeniedException" => "the role needs events:PutEvents on it",
            "ResourceNotFoundException" => {
                "there is no such bus: deploy infra/template.yaml, or correct LOGISEDGE_BUS"
            }
            _ => e.meta().message().unwrap_or("the service refused"),
        },
        None => "EventBridge did not answer: check the network, the region and the credentials",
    };
    let message = message.to_owned();
    RuntimeError {
        retry: retry_of(&error),
        source: Some(Box::new(error)),
        ..failed(bus, message)
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
    RuntimeError::new(
        RuntimeErrorKind::Bus,
        "publish to",
        format!("bus {bus}"),
        message,
    )
}

//! The dispatcher: woken by a rule every minute, by the daily rules, by operators, and by dead letters.

use chrono::{DateTime, Utc};
use logisedge_catalog::Message;
use logisedge_domain::Instant;
use logisedge_domain::alert::Alert;
use logisedge_domain::event::DispatchInput;
use logisedge_engine::dispatch::{prune_all, run_now, tell_due, tick, verify_all};
use logisedge_runtime::{Failure, Function, Invocation};
use serde_json::{Value, json};
use tracing::{error, info};

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    Function::start("dispatcher").await?.serve(handle).await
}

async fn handle(function: Function, invocation: Invocation) -> Result<Value, Failure> {
    if let Some(letters) = invocation.payload.get("Records").and_then(Value::as_array) {
        return tell_of_dead_letters(&function, letters).await;
    }
    let input: DispatchInput = serde_json::from_value(invocation.detail().clone())
        .map_err(|error| Failure::permanent(format!("not a request to the dispatcher: {error}")))?;
    let (catalog, now) = (&function.catalog, Utc::now());
    let spent = catalog.spent();
    let mut dispatched = match &input {
        DispatchInput::Tick => tick(catalog, now).await,
        DispatchInput::VerifyAll => verify_all(catalog).await,
        DispatchInput::PruneAll => prune_all(catalog).await,
        DispatchInput::Run {
            schedule,
            scopes,
            kind,
            token,
        } => {
            let token = token.as_deref().unwrap_or(&invocation.request_id);
            // A run is named by its token and time. The event's own time is the same in every
            // delivery, so that a second one finds the runs of the first.
            let asked_at = published_at(&invocation).unwrap_or(now);
            run_now(catalog, schedule.as_ref(), scopes, *kind, token, asked_at).await
        }
    }?;
    let published = function
        .aws
        .publish(&function.settings.bus, &dispatched.events)
        .await;
    // Only now: what could be dispatched is on its way, however much there is to look at.
    if matches!(input, DispatchInput::Tick) {
        tell_due(catalog, now, &mut dispatched).await;
    }
    let spent = catalog.spent() - spent;
    info!(
        requested = dispatched.requested.len(),
        republished = dispatched.republished.len(),
        given_up = dispatched.given_up.len(),
        missed = dispatched.missed.len() as u64 + dispatched.missed_uncounted,
        late = dispatched.late.len(),
        catalog_requests = spent.requests,
        catalog_read_units = spent.read_units,
        catalog_write_units = spent.write_units,
        "dispatched"
    );
    match (published, dispatched.failure.take()) {
        (Ok(()), None) => Ok(json!(dispatched)),
        (Ok(()), Some(error)) => Err(error.into()),
        (Err(unpublished), failed) => {
            if let Some(error) = failed {
                error!(%error, "a part of the dispatch failed too");
            }
            Err(unpublished.into())
        }
    }
}

/// When the bus took the event, where the invocation came by one.
fn published_at(invocation: &Invocation) -> Option<Instant> {
    let time = invocation.payload.get("time")?.as_str()?;
    Some(DateTime::parse_from_rfc3339(time).ok()?.to_utc())
}

/// Events that nobody could handle, from the dead-letter queue: each becomes an alert.
async fn tell_of_dead_letters(function: &Function, letters: &[Value]) -> Result<Value, Failure> {
    let alerts: Vec<Message> = letters
        .iter()
        .map(|letter| {
            let text = |key: &str| letter.get(key).and_then(Value::as_str).unwrap_or_default();
            let queue = text("eventSourceARN")
                .rsplit(':')
                .next()
                .unwrap_or_default();
            let alert = Alert::dead_letter(text("messageId"), queue, text("body"), Utc::now());
            Message::Alert(alert)
        })
        .collect();
    function.catalog.enqueue(&alerts).await?;
    Ok(json!({ "dead_letters": alerts.len() }))
}

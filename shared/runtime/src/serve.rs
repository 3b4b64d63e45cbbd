//! Serving Lambda: one invocation in, one answer out, and an error's retry class as Lambda's answer.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::{LambdaEvent, service_fn};
use logisedge_catalog::{Catalog, CatalogError, Message};
use logisedge_domain::alert::Alert;
use logisedge_domain::event::EventError;
use logisedge_domain::retry::Retry;
use logisedge_engine::EngineError;
use serde_json::Value;
use tracing::{error, warn};

use crate::{Aws, Delivered, RuntimeError, Settings, deliver_outbox, trace_to_cloudwatch};

/// The longest that delivering the outbox may keep a function from answering.
const DELIVER_WITHIN: Duration = Duration::from_secs(20);

/// Time kept back for the answer itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long a message may wait in the outbox before that is told by other means than the outbox: many
/// ticks, each of which tried it.
const STUCK_AFTER: chrono::TimeDelta = chrono::TimeDelta::minutes(15);

/// Says so in the log, in these words, from which the template makes a metric and an alarm.
fn tell_if_stuck(delivered: &Delivered) {
    let Some(oldest) = delivered.oldest_kept else {
        return;
    };
    if chrono::Utc::now() - oldest > STUCK_AFTER {
        error!(%oldest, kept = delivered.kept, "the outbox is stuck");
    }
}

/// What a function was invoked with.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// An EventBridge envelope, a rule's constant input, or a batch of an SQS queue.
    pub payload: Value,
    /// Lambda's id of the request: unique, so it names the holder of a lease.
    pub request_id: String,
    /// How long the function may still go on.
    pub time_left: Duration,
}

impl Invocation {
    /// The `detail` of an EventBridge envelope, or the payload itself where there is no envelope.
    pub fn detail(&self) -> &Value {
        self.payload.get("detail").unwrap_or(&self.payload)
    }
}

/// Why an invocation did not do its work.
#[derive(Debug)]
pub struct Failure {
    /// What happened and what to do about it.
    pub message: String,
    /// Transient: Lambda is told, tries again, and hands the event to the dead-letter queue in the
    /// end. Permanent: trying again is useless, so an alert is stored and Lambda hears of success.
    pub retry: Retry,
}

impl Failure {
    /// A failure that trying again does not help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: Retry::Permanent,
        }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self {
            message: error.to_string(),
            retry: error.retry(),
        }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        Self {
            message: error.to_string(),
            retry: error.retry,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self {
            message: error.message,
            retry: error.retry,
        }
    }
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        Self::permanent(error.to_string())
    }
}

/// A function at work: what every handler needs.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its environment.
    pub settings: Settings,
    /// AWS clients.
    pub aws: Aws,
    /// The catalog.
    pub catalog: Catalog,
    name: &'static str,
}

impl Function {
    /// Tracing, settings and clients of the function `name`. Contacts nothing. Every invocation asks the
    /// catalog, so its client is made here, which reads the system's certificates: about half of a cold
    /// start, paid once. The other clients wait until they are needed.
    pub async fn start(name: &'static str) -> Result<Self, RuntimeError> {
        trace_to_cloudwatch();
        let settings = Settings::from_env()?;
        let aws = Aws::from_env().await;
        let catalog = Catalog::new(aws.dynamodb(), &settings.table);
        Ok(Self {
            settings,
            aws,
            catalog,
            name,
        })
    }

    /// Answers invocations until Lambda ends the process. After every one the outbox is delivered,
    /// so that what it committed goes out at once and not with the next minute.
    pub async fn serve<F>(
        self,
        handle: impl Fn(Self, Invocation) -> F,
    ) -> Result<(), lambda_runtime::Error>
    where
        F: Future<Output = Result<Value, Failure>>,
    {
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
            let invocation = Invocation {
                time_left: event
                    .context
                    .deadline()
                    .duration_since(SystemTime::now())
                    .unwrap_or(Duration::ZERO),
                request_id: event.context.request_id,
                payload: event.payload,
            };
            let request_id = invocation.request_id.clone();
            let ends_at = Instant::now() + invocation.time_left;
            // Boxed, because a handler's future nests deeper than the compiler lays out at once.
            let answer = Box::pin(handle(self.clone(), invocation)).await;
            let answer = self.answer(&request_id, answer).await;
            let time_left = ends_at.saturating_duration_since(Instant::now());
            let time_max = time_left.saturating_sub(ANSWER_WITHIN).min(DELIVER_WITHIN);
            let delivered = deliver_outbox(&self.aws, &self.settings, &self.catalog, time_max);
            match delivered.await {
                Ok(delivered) => tell_if_stuck(&delivered),
                Err(error) => warn!(%error, "the outbox waits for the next tick"),
            }
            answer
        }))
        .await
    }

    async fn answer(
        &self,
        request_id: &str,
        answer: Result<Value, Failure>,
    ) -> Result<Value, lambda_runtime::Error> {
        let failure = match answer {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if failure.retry.is_transient() {
            warn!(error = failure.message, "failed; Lambda will try again");
            return Err(failure.message.into());
        }
        error!(error = failure.message, "failed; trying again is useless");
        let place = format!("the function {}", self.name);
        let alert = Alert::dead_letter(request_id, &place, &failure.message, chrono::Utc::now());
        match self.catalog.enqueue(&[Message::Alert(alert)]).await {
            Ok(()) => Ok(serde_json::json!({ "failed": failure.message })),
            // Not even the alert could be stored: the dead-letter queue has to tell.
            Err(error) => Err(format!("{}; and the alert: {error}", failure.message).into()),
        }
    }
}

//! Where the product meets AWS: clients, environment, secrets, tracing, events, alerts, and how a
//! function answers Lambda.

mod alerts;
mod aws;
mod bus;
mod error;
mod outbox;
mod passing;
mod places;
mod secret;
mod serve;
mod settings;
mod telling;
mod trace;

pub use aws::Aws;
pub use error::{RuntimeError, RuntimeErrorKind};
pub use outbox::{Delivered, deliver_outbox};
pub use secret::Secret;
pub use serve::{Failure, Function, Invocation};
pub use settings::Settings;
pub use trace::{trace_to_cloudwatch, trace_to_stderr};

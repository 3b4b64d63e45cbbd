//! The catalog against DynamoDB: every test makes a table of its own.

#![allow(clippy::unwrap_used)]

mod attempts;
mod causes;
mod configuration;
mod keys;
mod outbox;
mod sequences;
mod snapshots;
mod support;
mod writing;

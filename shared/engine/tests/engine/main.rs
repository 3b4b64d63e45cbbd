//! The use cases against a real catalog (DynamoDB), folders as locations and SQLite files as sources.
//! Every test makes a table and folders of its own.

#![allow(clippy::unwrap_used)]

mod alerting;
mod archived;
mod attempts;
mod bucket;
mod capacity;
mod configuring;
mod dispatching;
mod doubles;
mod dying;
mod histories;
mod holding;
mod kinds;
mod locking;
mod many;
mod pruning;
mod pruning_chains;
mod restoring;
mod server;
mod skipping;
mod takeovers;
mod timing;
mod undeleting;
mod under_load;
mod unusual;
mod verifying;
mod world;
mod year;

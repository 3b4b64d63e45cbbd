//! The use cases against a real catalog (DynamoDB), folders as locations and SQLite files as sources.
//! Every test makes a table and folders of its own.

#![allow(clippy::unwrap_used)]

mod attempts;
mod dispatching;
mod doubles;
mod dying;
mod pruning;
mod restoring;
mod takeovers;
mod verifying;
mod world;

//! Pruning inside a chain: random chains, drops and deaths, and what stands in its way.
#![allow(clippy::unwrap_used, missing_docs)]

mod chain;
mod choosing;
mod hindrances;
mod histories;
#[path = "../world/mod.rs"]
mod world;

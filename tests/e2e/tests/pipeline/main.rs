//! The whole product, end to end: the template deployed to an AWS emulator, the real programs, real databases,
//! and stock restic and psql as the judges.
//!
//! Each test is a story with a stack of its own. They need what tests/run starts.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod abandoned;
mod archived;
mod busy;
mod events;
mod keeping;
mod kill;
mod kinds;
mod main_thing;
mod passwords;
mod refusals;
mod schedule;
mod support;

//! The command line as its users meet it: real databases, real folders, the program itself. Only
//! what needs no AWS.

#![allow(clippy::unwrap_used, missing_docs)]

mod desk;
mod direct;
mod exit_codes;
mod memory;
mod previews;
mod setup;

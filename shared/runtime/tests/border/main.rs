//! The border to AWS against an emulator: what is published arrives, and what cannot be says why.

#![allow(clippy::unwrap_used)]

mod alerts;
mod emulated;
mod events;
mod places;

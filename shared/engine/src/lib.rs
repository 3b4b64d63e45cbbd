//! The use cases: dispatch, back up, verify, prune, hold, bring back, thaw, restore, rebuild the catalog. Each module is one
//! verb and reads as its own procedure.
//!
//! What comes in are ports (a source, a store, a target) and the catalog; what goes out are values,
//! among them the events and alerts that the caller publishes. Nothing here names an AWS client.

mod adopt;
pub mod anomaly;
pub mod attempt;
pub mod backup;
pub mod base;
mod capacity;
pub mod configure;
mod digest;
pub mod dispatch;
mod error;
pub mod hold;
mod loads;
mod progress;
pub mod prune;
mod quieting;
pub mod rebuild;
mod relocation;
pub mod restore;
mod rpo;
mod stream;
pub mod thaw;
mod unconfigured;
pub mod undelete;
pub mod verify;

pub use error::{EngineError, EngineErrorKind};
pub use progress::{Progress, ProgressView};

/// `logisedge-backup 0.1.0`: how this program names itself in manifests and snapshots.
pub const PROGRAM: &str = concat!("logisedge-backup ", env!("CARGO_PKG_VERSION"));

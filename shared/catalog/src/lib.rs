//! The catalog in one DynamoDB table: configuration, runs, leases, snapshots, and what still has to
//! be told. The only place that writes DynamoDB's expressions; [`keys`] says what lies where.
//!
//! The catalog is an index: the locations are the truth about snapshots, and what is lost here is
//! read again from there. Every state changes under a condition, so that a repeated, late or
//! reordered request changes nothing.

mod anomalies;
mod attempts;
mod causes;
mod configuration;
mod error;
mod expression;
#[cfg(test)]
mod fuzz;
pub mod keys;
mod meter;
mod outbox;
mod runs;
mod schedules;
mod scope_lease;
mod slots;
mod snapshots;
mod table;
mod usage;
mod verification;
mod watches;

pub use anomalies::{Judged, SIZES_KEPT};
pub use attempts::{AttemptEnd, Begin, Commit, Writing};
pub use causes::{KnownCause, Settled};
pub use configuration::Applied;
pub use error::{CatalogError, CatalogErrorKind};
pub use meter::Spent;
pub use outbox::{Message, OutboxId};
pub use schedules::DUE_AT_ONCE_MAX;
pub use scope_lease::UNENDED_FOR;
pub use slots::{Move, NewRun, RUNS_AT_ONCE_MAX, Recorded};
pub use table::{
    BATCH_WRITES_MAX, Catalog, ITEM_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_WRITES_MAX,
};
pub use verification::{FINDING_DETAIL_BYTES_MAX, FINDINGS_MAX};
pub use watches::{DueDigest, DueWatch};

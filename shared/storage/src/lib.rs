//! Where objects lie: the [`ObjectStore`] port, its implementations, and the wrappers around them.
//!
//! Keys are relative, `/`-separated, without a leading slash. A store knows nothing of what the
//! bytes mean.

mod error;
mod store;

pub use error::{StorageError, StorageErrorKind};
pub use store::{ObjectMeta, ObjectStore, Prefixed, Put};

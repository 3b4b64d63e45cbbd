//! Where objects lie: the [`ObjectStore`] port, its implementations, and the wrappers around them.
//!
//! Keys are relative, `/`-separated, without a leading slash. A store knows nothing of what the
//! bytes mean.

mod counting;
mod deleted;
mod error;
mod faulty;
mod folder;
mod key;
mod locking;
mod retrying;
mod s3;
mod store;

pub use counting::Counting;
pub use deleted::{DeletedObject, Undeleted};
pub use error::{StorageError, StorageErrorKind};
pub use faulty::{Fault, Faulty};
pub use folder::FolderStore;
pub use key::{KEY_BYTES_MAX, SEGMENT_BYTES_MAX};
pub use locking::Locking;
pub use retrying::{RetryPolicy, Retrying};
pub use s3::{DELETE_KEYS_MAX, PUT_BYTES_MAX, S3Store};
pub use store::{ObjectMeta, ObjectStore, Prefixed, Put, Readiness};

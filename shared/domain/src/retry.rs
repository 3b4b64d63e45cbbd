//! Whether trying again can help: what every crate's error says of itself.

use std::time::Duration;

/// What a failure means for whoever might try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request may succeed after the delay: throttling, a lost connection, a lock.
    Transient {
        /// How long to wait at the least.
        after: Duration,
    },
    /// Someone has to change something first: a password, a permission, a table.
    Permanent,
}

impl Retry {
    /// Transient, with the usual delay of five seconds.
    pub const SOON: Self = Self::Transient {
        after: Duration::from_secs(5),
    };

    /// Whether trying again can help.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Transient { .. })
    }
}

//! A seeded generator of a realistic ERP database, for tests, benchmarks and the demo.
//!
//! It makes tables for every preset scope of LogisEdge Backup (customers, items, transactions,
//! financial, documents) with keys, foreign keys (also across scopes, and one cycle), indexes,
//! views and a trigger, in SQLite or PostgreSQL. The same seed and size always give the same rows:
//! no clock and no system randomness is read.
//!
//! [`schema`] says which tables there are, [`rows`] what is in them; [`sink`] is how rows reach a
//! database. [`sqlite`] and [`postgres`] build databases, [`change`] works a day's business into one.

pub mod change;
mod error;
pub mod postgres;
mod rng;
pub mod rows;
pub mod schema;
pub mod sink;
pub mod sqlite;
mod words;

pub use error::SampleError;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Tables.
    pub tables: usize,
    /// Rows in all of them.
    pub rows: u64,
    /// Bytes of all rows as PostgreSQL COPY text.
    pub bytes: u64,
}

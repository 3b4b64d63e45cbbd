//! SQLite: a file that others may be writing to, as a source; a new file, as a target.
//!
//! The full database is the file itself, copied by SQLite's online backup. A selection of tables is
//! their schema and one `INSERT` statement a row. Both describe rows by the same text, so that
//! counts and content hashes of either can be held against any restored file.

mod catalog;
mod connect;
mod copy;
mod failure;
mod literal;
mod rows;
mod scripts;
mod source;
mod target;

pub use source::SqliteSource;
pub use target::SqliteTarget;

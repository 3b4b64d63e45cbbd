//! Scopes: named parts of a source that are backed up as one unit.

use serde::{Deserialize, Serialize};

use crate::id::{ScopeName, SourceName};

/// A named part of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Its name, part of every object key below a location.
    pub name: ScopeName,
    /// The source it selects from.
    pub source: SourceName,
    /// Which part of the source.
    pub selection: Selection,
}

/// Which part of a source a scope holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "select")]
pub enum Selection {
    /// All of it.
    Everything,
    /// The tables that an include pattern matches and no exclude pattern does.
    ///
    /// Patterns are globs over `schema.table` (`public.cust*`, `*.invoice?`); one without a dot
    /// means any schema. SQLite's tables are in the schema `main`.
    Tables {
        /// At least one.
        include: Vec<String>,
        /// May be empty.
        #[serde(default)]
        exclude: Vec<String>,
    },
}

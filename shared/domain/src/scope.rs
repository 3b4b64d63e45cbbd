//! Scopes: named parts of a source that are backed up as one unit.

use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::id::{ScopeName, SourceName};
use crate::retention::Retention;

/// A named part of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Its name, part of every object key below a location.
    pub name: ScopeName,
    /// The source it selects from.
    pub source: SourceName,
    /// Which part of the source.
    pub selection: Selection,
    /// How long its snapshots are kept, counted over all schedules, beside what each schedule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How old its newest good snapshot may become, in seconds: what the company can afford to lose.
    /// None: nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<u64>,
    /// Tables, as patterns, whose sizes may change as they like; see [`crate::anomaly`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomaly_ignore: Vec<String>,
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

impl Selection {
    /// Prepares to ask which tables are selected.
    pub fn matcher(&self) -> Result<TableMatcher, PatternError> {
        let all = |patterns: &[String]| -> Result<Vec<TablePattern>, PatternError> {
            patterns.iter().map(|p| TablePattern::new(p)).collect()
        };
        Ok(match self {
            Self::Everything => TableMatcher {
                include: None,
                exclude: Vec::new(),
            },
            Self::Tables { include, exclude } => TableMatcher {
                include: Some(all(include)?),
                exclude: all(exclude)?,
            },
        })
    }
}

/// Answers which tables a selection holds.
#[derive(Debug, Clone)]
pub struct TableMatcher {
    /// None: every table.
    include: Option<Vec<TablePattern>>,
    exclude: Vec<TablePattern>,
}

impl TableMatcher {
    /// Whether a table (names unquoted) is selected.
    pub fn selects(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[TablePattern]| patterns.iter().any(|p| p.matches(schema, table));
        self.include.as_deref().is_none_or(any) && !any(&self.exclude)
    }

    /// The patterns (include and exclude) that match none of these tables: most likely a mistake.
    pub fn unmatched<'t>(
        &self,
        tables: impl IntoIterator<Item = (&'t str, &'t str)> + Clone,
    ) -> Vec<&str> {
        let patterns = self.include.iter().flatten().chain(&self.exclude);
        patterns
            .filter(|p| !tables.clone().into_iter().any(|(s, t)| p.matches(s, t)))
            .map(|p| p.text.as_str())
            .collect()
    }
}

/// One pattern: `table` or `schema.table`, with `*`, `?`, `[a-z]`, `{a,b}`, and `\` before a
/// character that is meant as it is. Case counts.
#[derive(Debug, Clone)]
pub struct TablePattern {
    text: String,
    schema: Option<GlobMatcher>,
    table: GlobMatcher,
}

/// Why a text is no table pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no table pattern: {reason}")]
pub struct PatternError {
    /// The text as given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl TablePattern {
    /// Reads a pattern. The first dot separates the schema, so a table's own dots are matched too.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let compile = |glob: &str| match glob {
            "" => Err(PatternError {
                pattern: text.to_owned(),
                reason: "a name is missing; '*' means any".to_owned(),
            }),
            _ => GlobBuilder::new(glob)
                .backslash_escape(true)
                .build()
                .map(|glob: Glob| glob.compile_matcher())
                .map_err(|e| PatternError {
                    pattern: text.to_owned(),
                    reason: e.kind().to_string(),
                }),
        };
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(compile(schema)?), compile(table)?),
            None => (None, compile(text)?),
        };
        Ok(Self {
            text: text.to_owned(),
            schema,
            table,
        })
    }

    /// Whether a table (names unquoted) matches.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        self.table.is_match(table) && self.schema.as_ref().is_none_or(|s| s.is_match(schema))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn tables(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect();
        Selection::Tables {
            include: owned(include),
            exclude: owned(exclude),
        }
    }

    #[test]
    fn a_pattern_without_a_dot_means_any_schema() {
        let matcher = tables(&["customer*"], &["*_old", "archive.*"])
            .matcher()
            .unwrap();
        assert!(matcher.selects("public", "customers"));
        assert!(matcher.selects("sales", "customer_addresses"));
        assert!(!matcher.selects("public", "customers_old"));
        assert!(!matcher.selects("archive", "customers"));
        assert!(!matcher.selects("public", "Customers"), "case counts");
        assert!(!matcher.selects("public", "all_customers"));
    }

    #[test]
    fn names_may_hold_dots_slashes_and_stars() {
        let matcher = tables(&[r"public.a.b/c\*"], &[]).matcher().unwrap();
        assert!(matcher.selects("public", "a.b/c*"));
        assert!(!matcher.selects("public", "a.b/cd"));
    }

    #[test]
    fn everything_selects_everything() {
        let matcher = Selection::Everything.matcher().unwrap();
        assert!(matcher.selects("any", "thing"));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_named() {
        let matcher = tables(&["customer*", "custmer*"], &["old_*"])
            .matcher()
            .unwrap();
        let unmatched = matcher.unmatched([("public", "customers"), ("public", "items")]);
        assert_eq!(unmatched, ["custmer*", "old_*"]);
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["", ".", "public.", ".x", "a[", "{a", "public.[z-a]"] {
            assert!(TablePattern::new(pattern).is_err(), "{pattern:?}");
        }
    }
}

//! Which tables a selection names: its glob patterns held against the tables that exist.
//!
//! A pattern is split at its first dot into a glob for the schema and one for the table; without a
//! dot it is a glob for the table in any schema. `*` is any run of characters, `?` any single one,
//! `[abc]` and `[!a-c]` are classes, `{a,b}` alternatives, and a backslash takes the special
//! meaning away. Both globs must match the whole name, letter case counts, and names are compared
//! as the catalog holds them, without SQL's quotes. A dot inside a schema's name is written `?`.

use globset::{Glob, GlobMatcher};
use logisedge_domain::scope::Selection;

/// One pattern, ready to be asked.
struct Pattern {
    schema: Option<GlobMatcher>,
    table: GlobMatcher,
}

impl Pattern {
    /// None where a part is no valid glob: such a pattern matches nothing.
    fn parse(text: &str) -> Option<Self> {
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, text),
        };
        let matcher = |glob: &str| Some(Glob::new(glob).ok()?.compile_matcher());
        Some(Self {
            schema: match schema {
                Some(schema) => Some(matcher(schema)?),
                None => None,
            },
            table: matcher(table)?,
        })
    }

    fn matches(&self, (schema, table): &(String, String)) -> bool {
        self.schema
            .as_ref()
            .is_none_or(|glob| glob.is_match(schema))
            && self.table.is_match(table)
    }
}

/// The tables that `selection` names, as indexes into `tables` (schema and name), in their order.
///
/// Fails with the include patterns that contribute no table, be it that they match nothing, are no
/// valid globs, or that every table they match is excluded. An exclude pattern may match nothing:
/// it is written for tables that come and go.
pub fn select(
    selection: &Selection,
    tables: &[(String, String)],
) -> Result<Vec<usize>, Vec<String>> {
    let Selection::Tables { include, exclude } = selection else {
        return Ok((0..tables.len()).collect());
    };
    let mut fruitless: Vec<String> = exclude
        .iter()
        .filter(|text| Pattern::parse(text).is_none())
        .cloned()
        .collect();
    let exclude: Vec<Pattern> = exclude.iter().filter_map(|p| Pattern::parse(p)).collect();
    let mut chosen = vec![false; tables.len()];
    for text in include {
        let pattern = Pattern::parse(text);
        let mut found = false;
        for (index, table) in tables.iter().enumerate() {
            let named = pattern.as_ref().is_some_and(|p| p.matches(table));
            if named && !exclude.iter().any(|p| p.matches(table)) {
                found = true;
                chosen[index] = true;
            }
        }
        if !found {
            fruitless.push(text.clone());
        }
    }
    if fruitless.is_empty() {
        Ok((0..tables.len()).filter(|&index| chosen[index]).collect())
    } else {
        Err(fruitless)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tables() -> Vec<(String, String)> {
        [
            ("public", "customers"),
            ("public", "customer_notes"),
            ("public", "items"),
            ("sales", "invoice1"),
            ("sales", "invoice22"),
            ("Büro", "we.ird table"),
        ]
        .map(|(schema, table)| (schema.to_owned(), table.to_owned()))
        .to_vec()
    }

    fn named(include: &[&str], exclude: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let selection = Selection::Tables {
            include: owned(include),
            exclude: owned(exclude),
        };
        let tables = tables();
        Ok(select(&selection, &tables)?
            .into_iter()
            .map(|index| tables[index].1.clone())
            .collect())
    }

    #[test]
    fn everything_is_all_of_it() {
        assert_eq!(select(&Selection::Everything, &tables()).unwrap().len(), 6);
    }

    #[test]
    fn globs_match_whole_names() {
        assert_eq!(
            named(&["public.cust*"], &[]).unwrap(),
            ["customers", "customer_notes"]
        );
        assert_eq!(named(&["*.invoice?"], &[]).unwrap(), ["invoice1"]);
        assert_eq!(
            named(&["{items,invoice*}"], &["*22"]).unwrap(),
            ["items", "invoice1"]
        );
        assert_eq!(named(&["Büro.we.ird*"], &[]).unwrap(), ["we.ird table"]);
    }

    #[test]
    fn the_order_is_that_of_the_tables() {
        assert_eq!(
            named(&["items", "customers"], &[]).unwrap(),
            ["customers", "items"]
        );
    }

    #[test]
    fn patterns_without_a_table_are_named() {
        let missing = named(
            &["public.cust", "ITEMS", "items", "[", "sales.*"],
            &["invoice*"],
        );
        assert_eq!(
            missing.unwrap_err(),
            ["public.cust", "ITEMS", "[", "sales.*"]
        );
    }

    #[test]
    fn an_exclude_pattern_may_match_nothing_but_must_be_a_glob() {
        assert_eq!(named(&["items"], &["temporary_*"]).unwrap(), ["items"]);
        assert_eq!(named(&["items"], &["{a"]).unwrap_err(), ["{a"]);
    }
}

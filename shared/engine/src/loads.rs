//! What a restore loads at a time: files of rows, or all files of a table as one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use logisedge_domain::manifest::{FileEntry, TableEntry};
use logisedge_repository::FileNode;

/// One stream into a target.
pub(crate) struct Load {
    /// The file's path, or the first one's.
    pub(crate) path: String,
    /// Its content, or that of all files one after another.
    pub(crate) node: FileNode,
    /// Whether it holds all rows of its table.
    pub(crate) is_whole_table: bool,
}

/// What a target can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takes {
    /// Loads at the same time, at least 1.
    pub(crate) parallelism: usize,
    /// [`logisedge_sources::Target::takes_whole_tables`].
    pub(crate) whole_tables: bool,
}

/// Plans the loads of `files`, which stand in the order of `tables`. They keep it where a target
/// takes one at a time; else the largest tables come first, so that none is left to one worker alone
/// at the end. A table comes as one where the target takes that, unless it is so large that a single
/// worker would be busy with it longer than all others with the rest.
///
/// Err is the path of a file that the snapshot lacks.
pub(crate) fn plan<'a>(
    tables: &[TableEntry],
    files: &[&'a FileEntry],
    nodes: &BTreeMap<String, FileNode>,
    takes: Takes,
) -> Result<Vec<Load>, &'a str> {
    let numbered = tables.iter().enumerate();
    let table_of: HashMap<&str, usize> = numbered
        .flat_map(|(index, table)| table.files.iter().map(move |path| (path.as_str(), index)))
        .collect();
    let mut by_table: Vec<(Option<usize>, Vec<&'a FileEntry>)> = Vec::new();
    for &file in files {
        let table = table_of.get(file.path.as_str()).copied();
        match by_table.last_mut() {
            Some((last, files)) if table.is_some() && *last == table => files.push(file),
            _ => by_table.push((table, vec![file])),
        }
    }
    let bytes = |files: &[&FileEntry]| files.iter().map(|file| file.bytes).sum::<u64>();
    if takes.parallelism > 1 {
        by_table.sort_by_key(|(_, files)| Reverse(bytes(files)));
    }
    let fair_share = bytes(files) / takes.parallelism as u64;
    let mut loads = Vec::new();
    for (table, files) in by_table {
        let whole = takes.whole_tables && bytes(&files) <= fair_share;
        let all = table.is_some_and(|table| tables[table].files.len() == files.len());
        let at_once = if whole { files.len() } else { 1 };
        for together in files.chunks(at_once) {
            let mut node = FileNode {
                content: Vec::new(),
                bytes: 0,
            };
            for file in together {
                let found = nodes.get(&file.path).ok_or(file.path.as_str())?;
                node.content.extend_from_slice(&found.content);
                node.bytes += found.bytes;
            }
            loads.push(Load {
                path: together[0].path.clone(),
                node,
                is_whole_table: all && together.len() == files.len(),
            });
        }
    }
    Ok(loads)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use logisedge_domain::manifest::{ContentHash, RowFormat};

    use super::*;

    /// Tables by the bytes of their files, planned: `path+bytes` of each load, whole ones with `!`.
    fn planned(tables: &[(&str, &[u64])], takes: Takes) -> String {
        let path = |name: &str, number: usize| format!("/data/{name}.{number}");
        let entries: Vec<TableEntry> = tables
            .iter()
            .map(|(name, files)| TableEntry {
                schema: "public".to_owned(),
                name: (*name).to_owned(),
                columns: Vec::new(),
                format: RowFormat::PostgresCopyText,
                files: (0..files.len()).map(|number| path(name, number)).collect(),
                rows: 0,
                bytes: files.iter().sum(),
                content: ContentHash(0),
                storage: None,
                ranges: Vec::new(),
            })
            .collect();
        let mut files = Vec::new();
        for (name, bytes) in tables {
            for (number, bytes) in bytes.iter().enumerate() {
                files.push(FileEntry {
                    path: path(name, number),
                    bytes: *bytes,
                });
            }
        }
        let nodes = files.iter().map(|file| {
            let node = FileNode {
                content: Vec::new(),
                bytes: file.bytes,
            };
            (file.path.clone(), node)
        });
        let files: Vec<&FileEntry> = files.iter().collect();
        let loads = plan(&entries, &files, &nodes.clone().collect(), takes).unwrap();
        let shown = loads.iter().map(|load| {
            let whole = if load.is_whole_table { "!" } else { "" };
            format!("{}+{}{whole}", &load.path[6..], load.node.bytes)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tables_come_whole_unless_one_worker_would_be_left_alone_with_one() {
        let takes = |parallelism, whole_tables| Takes {
            parallelism,
            whole_tables,
        };
        let even: &[(&str, &[u64])] = &[("a", &[5]), ("b", &[9, 9, 2]), ("c", &[9, 9])];
        assert_eq!(planned(even, takes(2, true)), "b.0+20! c.0+18! a.0+5!");
        assert_eq!(
            planned(even, takes(4, true)),
            "b.0+9 b.1+9 b.2+2 c.0+9 c.1+9 a.0+5!"
        );
        assert_eq!(
            planned(even, takes(1, false)),
            "a.0+5! b.0+9 b.1+9 b.2+2 c.0+9 c.1+9"
        );
        let one: &[(&str, &[u64])] = &[("a", &[1]), ("b", &[9, 9, 9, 0])];
        assert_eq!(
            planned(one, takes(2, true)),
            "b.0+9 b.1+9 b.2+9 b.3+0 a.0+1!"
        );
    }

    #[test]
    fn a_file_that_the_snapshot_lacks_is_named() {
        let file = FileEntry {
            path: "/data/x".to_owned(),
            bytes: 1,
        };
        let takes = Takes {
            parallelism: 1,
            whole_tables: false,
        };
        let lacking = plan(&[], &[&file], &BTreeMap::new(), takes);
        assert_eq!(lacking.err(), Some("/data/x"));
    }
}

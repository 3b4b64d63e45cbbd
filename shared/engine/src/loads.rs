//! What a restore loads at a time: files of rows, or all files of a table as one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use logisedge_domain::manifest::{FileEntry, Manifest};
use logisedge_repository::FileNode;
use logisedge_sources::Target;

/// One stream into a target.
pub(crate) struct Load {
    /// The file's path, or the first one's.
    pub(crate) path: String,
    /// Its content, or that of all files one after another.
    pub(crate) node: FileNode,
    /// Whether it holds all rows of its table.
    pub(crate) is_whole_table: bool,
}

/// Plans the loads of `files`, in their order: the order of the manifest's tables where a target
/// takes one at a time, else the largest tables first, so that none is left to one worker alone at
/// the end. A table comes as one where the target takes that, unless it is so large that a single
/// worker would be busy with it longer than all others with the rest.
///
/// Err is the path of a file that the snapshot lacks.
pub(crate) fn plan<'a>(
    manifest: &Manifest,
    files: &[&'a FileEntry],
    nodes: &BTreeMap<String, FileNode>,
    target: &dyn Target,
) -> Result<Vec<Load>, &'a str> {
    let tables = manifest.tables.iter().enumerate();
    let table_of: HashMap<&str, usize> = tables
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
    let parallelism = target.parallelism().max(1);
    if parallelism > 1 {
        by_table.sort_by_key(|(_, files)| Reverse(bytes(files)));
    }
    let fair_share = bytes(files) / parallelism as u64;
    let mut loads = Vec::new();
    for (table, files) in by_table {
        let whole = target.takes_whole_tables() && bytes(&files) <= fair_share;
        let all = table.is_some_and(|table| manifest.tables[table].files.len() == files.len());
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

//! The directories of a snapshot: every one read, every entry understood.

use logisedge_domain::finding::FindingKind;

use super::Findings;
use super::packs::{PackCheck, Trees};
use crate::error::RepositoryError;
use crate::id::BlobId;
use crate::index::BlobKind;
use crate::reader::{DEPTH_MAX, FileNode};
use crate::tree::Tree;

/// Reads all trees below `root`, checking the packs that hold them on the way, and returns the
/// regular files. A tree that cannot be read is one finding; its siblings are still read.
pub(super) async fn walk(
    root: BlobId,
    packs: &PackCheck<'_>,
    findings: &Findings,
) -> Result<Vec<(String, FileNode)>, RepositoryError> {
    let mut files = Vec::new();
    let mut known = Trees::default();
    let mut open = vec![(String::new(), root, 0)];
    while let Some((path, id, depth)) = open.pop() {
        let shown = if path.is_empty() { "/" } else { &path };
        let broken = |detail: String| findings.add(FindingKind::TreeBroken, shown, detail);
        let Some(location) = packs.index().locate(BlobKind::Tree, &id) else {
            let detail = format!("its tree {id} is in no index");
            findings.add(FindingKind::BlobMissing, shown, detail);
            continue;
        };
        known.extend(packs.check(location.pack).await?);
        let Some(json) = known.get(&id) else {
            broken(format!(
                "its tree {id} in pack {} cannot be read",
                location.pack
            ));
            continue;
        };
        let tree: Tree = match serde_json::from_slice(json) {
            Ok(tree) => tree,
            Err(error) => {
                broken(format!("the JSON of its tree: {error}"));
                continue;
            }
        };
        if depth > DEPTH_MAX {
            broken("its directories are nested too deeply".to_owned());
            continue;
        }
        for node in tree.nodes {
            let Some(name) = node.name() else {
                broken("an entry has no valid name".to_owned());
                continue;
            };
            let path = format!("{path}/{name}");
            match (node.node_type.as_str(), node.subtree, node.content) {
                ("dir", Some(subtree), _) => open.push((path, subtree, depth + 1)),
                ("dir", None, _) => findings.add(FindingKind::TreeBroken, path, "it has no tree"),
                ("file", _, content) => {
                    let node = FileNode {
                        content: content.unwrap_or_default(),
                        bytes: node.size,
                    };
                    files.push((path, node));
                }
                _ => {}
            }
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

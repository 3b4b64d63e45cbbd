//! Trees: directories as restic's JSON describes them, and the building of nested ones from paths.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{RepositoryError, RepositoryErrorKind};
use crate::file_writer::StoredFile;
use crate::id::BlobId;

/// Go's `os.ModeDir`.
const MODE_DIRECTORY: u32 = 1 << 31;
/// Directories and files are for their owner alone: they hold a company's books.
const MODE_OF_DIRECTORIES: u32 = MODE_DIRECTORY | 0o700;
const MODE_OF_FILES: u32 = 0o600;

/// A tree blob's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    #[serde(default)]
    pub(crate) nodes: Vec<Node>,
}

/// One entry of a directory. The order of the fields is restic's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// As Go quotes it; see [`Node::name`].
    #[serde(rename = "name")]
    quoted_name: String,
    #[serde(rename = "type")]
    pub(crate) node_type: String,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    mtime: String,
    #[serde(default)]
    atime: String,
    #[serde(default)]
    ctime: String,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) content: Option<Vec<BlobId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subtree: Option<BlobId>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Node {
    /// The entry's name; None where it is malformed, or no name but a way out of the directory.
    pub(crate) fn name(&self) -> Option<String> {
        crate::golang::unquote(&self.quoted_name)
            .filter(|name| !name.is_empty() && name != "." && name != "..")
            .filter(|name| !name.contains(['/', '\0']))
    }

    fn new(name: &str, node_type: &str, mode: u32, time: &str) -> Self {
        Self {
            quoted_name: crate::golang::quote(name),
            node_type: node_type.to_owned(),
            mode,
            mtime: time.to_owned(),
            atime: time.to_owned(),
            ctime: time.to_owned(),
            uid: 0,
            gid: 0,
            size: 0,
            content: None,
            subtree: None,
        }
    }
}

/// A directory while it is built. Its entries are sorted by their bytes, as restic wants them.
#[derive(Debug, Default)]
pub(crate) struct Directory(BTreeMap<String, Entry>);

#[derive(Debug)]
enum Entry {
    Directory(Directory),
    File(StoredFile),
}

impl Directory {
    /// Arranges files by their absolute paths. The error says which path cannot be, and why.
    pub(crate) fn of(files: Vec<(String, StoredFile)>) -> Result<Self, (String, &'static str)> {
        let mut root = Self::default();
        for (path, file) in files {
            if let Err(why) = root.add(&path, file) {
                return Err((path, why));
            }
        }
        Ok(root)
    }

    fn add(&mut self, path: &str, file: StoredFile) -> Result<(), &'static str> {
        let rest = path
            .strip_prefix('/')
            .ok_or("it does not begin with a slash")?;
        let (folders, name) = rest.rsplit_once('/').unwrap_or(("", rest));
        let mut directory = self;
        for folder in folders.split('/').filter(|_| !folders.is_empty()) {
            check_name(folder)?;
            let entry = directory
                .0
                .entry(folder.to_owned())
                .or_insert_with(|| Entry::Directory(Self::default()));
            match entry {
                Entry::Directory(inner) => directory = inner,
                Entry::File(_) => return Err("a part of it is a file"),
            }
        }
        check_name(name)?;
        match directory.0.insert(name.to_owned(), Entry::File(file)) {
            None => Ok(()),
            Some(_) => Err("it is there twice"),
        }
    }

    /// Encodes the tree from the leaves up, gives each blob to `store`, and returns the root's id.
    pub(crate) fn store(
        self,
        taken_at: logisedge_domain::Instant,
        store: &mut dyn FnMut(Vec<u8>) -> Result<BlobId, RepositoryError>,
    ) -> Result<BlobId, RepositoryError> {
        let time = crate::golang::time(taken_at);
        let mut nodes = Vec::with_capacity(self.0.len());
        for (name, entry) in self.0 {
            nodes.push(match entry {
                Entry::Directory(inner) => Node {
                    subtree: Some(inner.store(taken_at, store)?),
                    ..Node::new(&name, "dir", MODE_OF_DIRECTORIES, &time)
                },
                Entry::File(file) => Node {
                    size: file.bytes,
                    content: Some(file.content),
                    ..Node::new(&name, "file", MODE_OF_FILES, &time)
                },
            });
        }
        let mut json = crate::golang::json(&Tree { nodes }).map_err(|e| {
            RepositoryError::new(
                RepositoryErrorKind::Unsupported,
                "store",
                "a directory",
                e.to_string(),
            )
        })?;
        // As Go's json.Encoder leaves it; restic's own trees end so too.
        json.push(b'\n');
        store(json)
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("a part of it is empty"),
        "." | ".." => Err("a part of it is a dot or two"),
        // The longest name that common file systems take, so that a restore to a folder works.
        name if name.len() > 255 => Err("a part of it is longer than 255 bytes"),
        name if name.contains('\0') => Err("a part of it holds a zero byte"),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(bytes: u64) -> StoredFile {
        StoredFile {
            content: (0..bytes).map(|b| BlobId([b as u8; 32])).collect(),
            bytes,
        }
    }

    fn store(files: Vec<(&str, StoredFile)>) -> Vec<String> {
        let files = files.into_iter().map(|(p, f)| (p.to_owned(), f)).collect();
        let mut blobs = Vec::new();
        let taken_at = chrono::DateTime::UNIX_EPOCH;
        Directory::of(files)
            .unwrap()
            .store(taken_at, &mut |json| {
                let id = BlobId::of(&json);
                blobs.push(String::from_utf8(json).unwrap());
                Ok(id)
            })
            .unwrap();
        blobs
    }

    #[test]
    fn a_tree_is_restics_json() {
        let blobs = store(vec![
            ("/manifest.json", file(1)),
            ("/data/b.copy", file(0)),
            ("/data/a\"<.copy", file(0)),
        ]);
        insta::assert_snapshot!(blobs.concat());
        let tree: Tree = serde_json::from_str(&blobs[0]).unwrap();
        assert_eq!(tree.nodes[0].name().unwrap(), "a\"<.copy");
    }

    #[test]
    fn paths_that_cannot_be_are_refused() {
        for (paths, why) in [
            (vec!["a"], "slash"),
            (vec!["/"], "empty"),
            (vec!["/a//b"], "empty"),
            (vec!["/../b"], "dot"),
            (vec!["/a", "/a"], "twice"),
            (vec!["/a", "/a/b"], "a file"),
            (vec!["/a/b", "/a"], "twice"),
        ] {
            let files = paths.iter().map(|p| ((*p).to_owned(), file(0))).collect();
            let (_, message) = Directory::of(files).unwrap_err();
            assert!(message.contains(why), "{paths:?}: {message}");
        }
        let long = format!("/{}", "x".repeat(256));
        assert!(Directory::of(vec![(long, file(0))]).is_err());
    }

    #[test]
    fn names_that_lead_out_of_their_directory_are_no_names() {
        for quoted in ["..", "", "a/b", r"\x00", r"\x2e."] {
            let node = Node {
                quoted_name: quoted.to_owned(),
                ..Node::new("x", "file", 0, "")
            };
            assert_eq!(node.name(), None, "{quoted}");
        }
    }
}

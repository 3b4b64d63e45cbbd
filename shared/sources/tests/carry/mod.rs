//! Carries a snapshot from a source to a target in memory, the way the engine does it through a
//! repository: manifest, small files, rows in small pieces.

#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use logisedge_domain::id::{RunId, ScopeName, SourceName};
use logisedge_domain::manifest::{
    Chunking, ContentHash, FileEntry, MANIFEST_VERSION, Manifest, RangeEntry, RowFormat,
    SourceFacts, TableEntry,
};
use logisedge_domain::scope::Selection;
use logisedge_domain::snapshot::Kind;
use logisedge_domain::storage::StorageTier;
use logisedge_sources::{RestoreFile, RowHasher, Source, SourceError, Target, add};
use tokio::sync::mpsc;

/// A snapshot held in memory.
pub struct Carried {
    pub manifest: Manifest,
    /// Why no part could be proven unchanged.
    pub all_read_because: Option<String>,
    /// Parts that were proven unchanged and came from the base.
    pub skipped: Vec<String>,
    /// The small files.
    pub schema: BTreeMap<String, Bytes>,
    /// The parts.
    pub data: BTreeMap<String, Vec<u8>>,
}

pub fn tables(include: &[&str]) -> Selection {
    Selection::Tables {
        include: include.iter().map(|&text| text.to_owned()).collect(),
        exclude: Vec::new(),
    }
}

/// Reads everything that `selection` names.
pub async fn take(source: &dyn Source, selection: &Selection) -> Result<Carried, SourceError> {
    take_on(source, selection, None).await
}

/// Reads what `selection` names and cannot be proven to be as it is in `base`.
pub async fn take_on(
    source: &dyn Source,
    selection: &Selection,
    base: Option<&Carried>,
) -> Result<Carried, SourceError> {
    let snapshot = source
        .open(selection, base.map(|base| &base.manifest))
        .await?;
    let facts = snapshot.facts().clone();
    let mut data = BTreeMap::new();
    let mut skipped = Vec::new();
    let mut found: Vec<(Vec<String>, u64, u64, ContentHash)> =
        vec![(Vec::new(), 0, 0, ContentHash(0)); facts.tables.len()];
    let mut ranges: Vec<Vec<RangeEntry>> = vec![Vec::new(); facts.tables.len()];
    for part in &facts.parts {
        let (sink, mut pieces) = mpsc::channel::<Bytes>(2);
        let collect = async {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend_from_slice(&piece);
            }
            all
        };
        let all = match (snapshot.unchanged(part).await?, base) {
            (Some(file), Some(base)) => {
                skipped.push(part.path.clone());
                base.data[&file].clone()
            }
            _ => {
                let (bytes, all) = tokio::join!(snapshot.read(part, sink), collect);
                assert_eq!(bytes?, all.len() as u64);
                all
            }
        };
        if let Some(table) = part.table {
            let mut hasher = RowHasher::default();
            hasher.update(&all);
            let (rows, hash) = hasher.result();
            let entry = &mut found[table];
            entry.0.push(part.path.clone());
            entry.1 += rows;
            entry.2 += all.len() as u64;
            entry.3 = add(entry.3, hash);
            ranges[table].extend(part.pages.map(|pages| RangeEntry {
                file: part.path.clone(),
                pages,
                rows,
                bytes: all.len() as u64,
                content: hash,
            }));
        }
        data.insert(part.path.clone(), all);
    }
    snapshot.close().await?;
    let tables = facts.tables.iter().zip(found).zip(ranges).map(
        |((table, (files, rows, bytes, content)), ranges)| {
            let (rows, content) = table.counted.unwrap_or((rows, content));
            TableEntry {
                schema: table.schema.clone(),
                name: table.name.clone(),
                columns: table.columns.clone(),
                format: table.format,
                files: if table.format == RowFormat::DatabaseFile {
                    data.keys().cloned().collect()
                } else {
                    files
                },
                rows,
                bytes,
                content,
                storage: table.storage.clone(),
                ranges: table.storage.iter().flat_map(|_| ranges.clone()).collect(),
            }
        },
    );
    let schema: BTreeMap<String, Bytes> = facts.files.iter().cloned().collect();
    let mut files: Vec<FileEntry> = schema
        .iter()
        .map(|(path, content)| FileEntry {
            path: path.clone(),
            bytes: content.len() as u64,
        })
        .chain(data.iter().map(|(path, content)| FileEntry {
            path: path.clone(),
            bytes: content.len() as u64,
        }))
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let scope: ScopeName = "test".parse().unwrap();
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        program: "test".to_owned(),
        run: RunId::manual("test", facts.taken_at, &scope),
        schedule: None,
        scope,
        selection: selection.clone(),
        kind: Kind::Full,
        kind_reason: None,
        base: None,
        tier: StorageTier::Standard,
        taken_at: facts.taken_at,
        source: SourceFacts {
            name: "erp".parse::<SourceName>().unwrap(),
            engine: facts.engine.to_owned(),
            engine_version: facts.engine_version.clone(),
            database: facts.database.clone(),
            encoding: facts.encoding.clone(),
            details: facts.details.clone(),
            lineage: facts.lineage.clone(),
        },
        chunking: Chunking {
            algorithm: "fastcdc".to_owned(),
            bytes_min: 1,
            bytes_average: 2,
            bytes_max: 3,
        },
        tables: tables.collect(),
        files,
        outside_references: facts.outside_references.clone(),
        notes: facts.notes.clone(),
    };
    Ok(Carried {
        manifest,
        all_read_because: facts.all_read_because.clone(),
        skipped,
        schema,
        data,
    })
}

/// Restores into `target`, in pieces of `piece_bytes`.
pub async fn give(
    carried: &Carried,
    target: &dyn Target,
    overwrite: bool,
    piece_bytes: usize,
) -> Result<(), SourceError> {
    target
        .begin(&carried.manifest, &carried.schema, overwrite)
        .await?;
    for (path, content) in &carried.data {
        let (sink, pieces) = mpsc::channel(2);
        let file = RestoreFile {
            path: path.clone(),
            bytes: content.len() as u64,
            is_whole_table: carried
                .manifest
                .tables
                .iter()
                .any(|table| table.files == [path.as_str()]),
            content: pieces,
        };
        let send = async move {
            for piece in content.chunks(piece_bytes) {
                if sink.send(Bytes::copy_from_slice(piece)).await.is_err() {
                    break;
                }
            }
        };
        let (loaded, ()) = tokio::join!(target.load(&carried.manifest, file), send);
        loaded?;
    }
    target.finish(&carried.manifest, &carried.schema).await
}

/// What the manifest says of its tables, for holding against `read_back`.
pub fn expected(manifest: &Manifest) -> Vec<(u64, ContentHash)> {
    manifest
        .tables
        .iter()
        .map(|table| (table.rows, table.content))
        .collect()
}

/// Writes the files of a snapshot below `folder`, as stock restic would restore them.
pub fn unpack(carried: &Carried, folder: &Path) {
    let small = carried
        .schema
        .iter()
        .map(|(path, content)| (path, content.to_vec()));
    let large = carried
        .data
        .iter()
        .map(|(path, content)| (path, content.clone()));
    for (path, content) in small.chain(large) {
        let path = folder.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Runs stock `sqlite3 database < script` in `folder`; fails where it fails or says anything.
pub fn stock_sqlite3(folder: &Path, database: &Path, script: &Path) {
    let output = Command::new("sqlite3")
        .current_dir(folder)
        .arg(database)
        .stdin(Stdio::from(std::fs::File::open(script).unwrap()))
        .output()
        .expect("sqlite3 does not start: install it (Debian: apt-get install sqlite3)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "sqlite3: {said}"
    );
}

//! `[sources.<name>]`: the databases.

use super::reader::Section;
use super::values::{secret, word};
use super::{Effort, SourceConfig, SslMode};
use crate::memory::Division;

/// PostgreSQL's port where none is given.
pub const POSTGRESQL_PORT: u16 = 5432;

/// Parallel connections where no number is given.
pub const CONNECTIONS: u32 = 2;

/// zstd's levels that need no more memory to read than to write.
const ZSTD_LEVEL_MAX: u32 = 19;

/// More connections than this only queue up in the server.
const CONNECTIONS_MAX: u32 = 64;

#[derive(Clone, Copy)]
enum SourceKind {
    Postgresql,
    Sqlite,
}

const KINDS: [(&str, SourceKind); 2] = [
    ("postgresql", SourceKind::Postgresql),
    ("sqlite", SourceKind::Sqlite),
];

pub(super) const SSL_MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

pub(super) fn read(section: Section<'_, '_>) -> Option<SourceConfig> {
    if !section.has("kind") {
        section.missing("kind", "\"postgresql\"");
        return None;
    }
    match word(&section, "kind", &KINDS)? {
        SourceKind::Postgresql => postgresql(section),
        SourceKind::Sqlite => sqlite(section),
    }
}

fn postgresql(section: Section<'_, '_>) -> Option<SourceConfig> {
    for (key, example) in [
        ("host", "\"db.example.com\""),
        ("database", "\"erp\""),
        ("user", "\"backup\""),
    ] {
        if !section.has(key) {
            section.missing(key, example);
        }
    }
    let host = section.text("host");
    if let Some(host) = &host
        && host.value.contains("://")
    {
        host.problem(
            section.reader,
            "must be a host name, an address, or the folder of a Unix socket, not a URL; the \
             other parts of the URL have keys of their own",
        );
    }
    let database = section.text("database");
    let user = section.text("user");
    let password = secret(&section, "password");
    let port = section.number("port", 1..=65535);
    let sslmode = word(&section, "sslmode", &SSL_MODES);
    let ca_file = section.text("ca_file");
    let pg_dump = section.text("pg_dump");
    let connections = section.number("connections", 1..=CONNECTIONS_MAX);
    let skip_unchanged = section.boolean("skip_unchanged");
    let effort = effort(&section, connections.unwrap_or(CONNECTIONS));
    section.finish();
    let host = host?.value.to_owned();
    Some(SourceConfig::Postgresql {
        port: port.map_or(Some(POSTGRESQL_PORT), |port| u16::try_from(port).ok())?,
        database: database?.value.to_owned(),
        user: user?.value.to_owned(),
        password,
        sslmode: sslmode.unwrap_or_else(|| default_ssl_mode(&host)),
        ca_file: ca_file.map(|path| path.value.to_owned()),
        pg_dump: pg_dump.map_or("pg_dump", |path| path.value).to_owned(),
        connections: connections.unwrap_or(CONNECTIONS),
        skip_unchanged: skip_unchanged.unwrap_or(true),
        effort,
        host,
    })
}

/// The keys that every kind of source has.
fn effort(section: &Section<'_, '_>, connections: u32) -> Effort {
    let zstd_level = section.number("zstd_level", 1..=ZSTD_LEVEL_MAX);
    let memory = section.bytes("memory_bytes_max");
    if let Some(memory) = &memory
        && let Err(error) = Division::of(Some(memory.value), connections as usize)
    {
        memory.problem(
            section.reader,
            format!(
                "must be at least {} where connections = {connections}, not {}",
                error.0, memory.value
            ),
        );
    }
    Effort {
        zstd_level: zstd_level.and_then(|level| i32::try_from(level).ok()),
        memory_bytes_max: memory.map(|memory| memory.value),
    }
}

/// A network between us and the server gets full verification; the machine itself needs none, and
/// a Unix socket cannot have TLS.
pub(super) fn default_ssl_mode(host: &str) -> SslMode {
    match host {
        "localhost" | "127.0.0.1" | "::1" => SslMode::Prefer,
        socket if socket.starts_with('/') => SslMode::Disable,
        _ => SslMode::VerifyFull,
    }
}

fn sqlite(section: Section<'_, '_>) -> Option<SourceConfig> {
    let path = section.text("path");
    if !section.has("path") {
        section.missing("path", "\"/var/lib/pos/pos.db\"");
    }
    let effort = effort(&section, 1);
    section.finish();
    Some(SourceConfig::Sqlite {
        path: path?.value.to_owned(),
        effort,
    })
}

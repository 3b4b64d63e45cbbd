//! A day's business: rows updated and rows added, for measuring what incremental backups cost.

use std::path::Path;

use rusqlite::Connection;

use crate::rows::World;
use crate::schema::TABLES;
use crate::{SampleError, Summary};

/// Which rows are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// The newest of each table, as business mostly does.
    Clustered,
    /// Rows all over each table, the worst case for any backup.
    Scattered,
}

/// What to change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Percent of the rows of each changeable table to update, 0 to 100.
    pub percent: f64,
    /// About how many rows to add over all tables, each table in its usual share.
    pub insert: u64,
    /// Which rows are updated.
    pub spread: Spread,
}

/// What business changes in a row: table, assignments. `{stamp}` is the new time.
const UPDATES: &[(&str, &str)] = &[
    (
        "customers",
        "credit_limit = credit_limit + 100, updated_at = {stamp}",
    ),
    (
        "items",
        "weight_grams = coalesce(weight_grams, 0) + 1, updated_at = {stamp}",
    ),
    ("stock_levels", "on_hand = on_hand + 7"),
    ("sales_orders", "status = 'invoiced', updated_at = {stamp}"),
    (
        "sales_order_lines",
        "discount_percent = discount_percent + 1",
    ),
    ("purchase_order_lines", "received = received + 1"),
    ("shipments", "delivered_at = {stamp}"),
    ("stock_movements", "note = 'checked'"),
    ("invoices", "status = 'reminded'"),
    ("invoice_lines", "quantity = quantity + 1"),
    ("payments", "bank_reference = 'matched'"),
    ("tax_entries", "base = base + 1"),
    ("journal_entries", "description = 'corrected'"),
    ("journal_lines", "account_id = 1 + (account_id + 1) % 140"),
    ("documents", "file_name = 'renamed.pdf'"),
];
/// 2026-01-02 08:00:00 UTC: after the ten years that a fresh database spans.
const STAMP: &str = "'2026-01-02 08:00:00'";

pub(crate) fn world_of_size(seed: u64, megabytes: u64) -> Result<World, SampleError> {
    match megabytes {
        1..=1_000_000 => Ok(World::of_size(seed, megabytes)),
        _ => Err(SampleError::Size(megabytes)),
    }
}

/// The settings in which a database remembers its world.
pub(crate) fn settings(world: World) -> [(&'static str, u64); 3] {
    [
        ("sample_seed", world.seed),
        ("sample_orders", world.orders),
        ("sample_orders_now", world.orders_now),
    ]
}

/// The world that settings describe.
pub(crate) fn world_of(settings: &[(String, String)]) -> Option<World> {
    let get = |name: &str| {
        let (_, value) = settings.iter().find(|(key, _)| key == name)?;
        value.parse().ok()
    };
    Some(World {
        seed: get("sample_seed")?,
        orders: get("sample_orders")?,
        orders_now: get("sample_orders_now")?,
    })
}

/// The world after about `rows` more rows.
pub(crate) fn grown(world: World, rows: u64) -> World {
    let per_mille: u64 = TABLES.iter().map(|table| table.per_mille).sum();
    World {
        orders_now: world.orders_now + (rows * 1000).div_ceil(per_mille),
        ..world
    }
}

/// The statements that update rows.
pub(crate) fn updates(change: Change) -> Vec<String> {
    if change.percent <= 0.0 {
        return Vec::new();
    }
    let share = change.percent / 100.0;
    UPDATES
        .iter()
        .map(|(table, set)| {
            let id = if *table == "stock_levels" {
                "item_id"
            } else {
                "id"
            };
            let set = set.replace("{stamp}", STAMP);
            let which = match change.spread {
                Spread::Clustered => {
                    format!(
                        "{id} > (SELECT max({id}) FROM {table}) * {:.6}",
                        1.0 - share
                    )
                }
                // Knuth's multiplicative hash: even over the table, the same in both dialects.
                Spread::Scattered => format!(
                    "({id} * 2654435761) % 1000003 < {}",
                    (share * 1_000_003.0).round() as u64
                ),
            };
            format!("UPDATE {table} SET {set} WHERE {which}")
        })
        .collect()
}

pub(crate) fn remember_sqlite(db: &Connection, world: World) -> Result<(), SampleError> {
    for (name, value) in settings(world) {
        db.execute(
            "INSERT OR REPLACE INTO company_settings (name, value) VALUES (?, ?)",
            (name, value.to_string()),
        )?;
    }
    Ok(())
}

/// Changes an SQLite file in one transaction. Returns rows changed and added.
pub fn sqlite(path: &Path, change: Change) -> Result<Summary, SampleError> {
    let mut db = crate::sqlite::open(path)?;
    db.execute_batch("PRAGMA foreign_keys = ON")?;
    let tx = db.transaction()?;
    let world = {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut statement = tx.prepare("SELECT name, value FROM company_settings")?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read()
            .ok()
            .and_then(|settings| world_of(&settings))
            .ok_or_else(|| SampleError::NotASample(path.display().to_string()))?
    };
    let mut summary = Summary {
        tables: TABLES.len(),
        rows: 0,
        bytes: 0,
    };
    for statement in updates(change) {
        summary.rows += tx.execute(&statement, [])? as u64;
    }
    let new = grown(world, change.insert);
    // Customers and their addresses refer to each other.
    tx.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    for (at, table) in TABLES.iter().enumerate() {
        let range = table.rows(world.orders_now)..table.rows(new.orders_now);
        summary.rows += range.end - range.start;
        summary.bytes += crate::sqlite::insert(&tx, at, range, new)?;
    }
    remember_sqlite(&tx, new)?;
    tx.commit()?;
    Ok(summary)
}

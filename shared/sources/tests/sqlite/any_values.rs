//! Any values in any table.

use crate::carry::{expected, give, stock_sqlite3, tables, take, unpack};
use logisedge_sources::{SqliteSource, SqliteTarget, Target};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::nasty::place;

fn any_value() -> impl Strategy<Value = Value> {
    let special = proptest::collection::vec(
        prop_oneof![
            Just('\n'),
            Just('\r'),
            Just('\0'),
            Just('\\'),
            Just('\''),
            Just('n'),
            Just('0'),
            Just(';'),
            Just('1'),
            any::<char>()
        ],
        0..12,
    );
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(|bits| Value::Real(f64::from_bits(bits))),
        any::<i32>().prop_map(|n| Value::Real(f64::from(n) / 100.0)),
        special.prop_map(|chars| Value::Text(chars.into_iter().collect())),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Blob),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_values_in_any_table_come_back(
        name in "[^\0\r\n]{1,12}",
        types in proptest::collection::vec(prop_oneof![Just(""), Just("TEXT"), Just("REAL"), Just("INTEGER"), Just("NUMERIC"), Just("BLOB")], 1..5),
        rows in proptest::collection::vec(proptest::collection::vec(any_value(), 5), 0..20),
    ) {
        prop_assume!(!name.to_lowercase().starts_with("sqlite_"));
        let (folder, from, to) = place();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let columns: Vec<_> = types.iter().enumerate().map(|(at, kind)| format!("\"c {at}\" {kind}")).collect();
        let db = Connection::open(&from).unwrap();
        db.execute_batch(&format!("CREATE TABLE {quoted} ({})", columns.join(","))).unwrap();
        let marks = vec!["?"; types.len()].join(",");
        for row in &rows {
            db.execute(&format!("INSERT INTO {quoted} VALUES ({marks})"), rusqlite::params_from_iter(&row[..types.len()])).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let carried = take(&SqliteSource::new(&from), &tables(&["*"])).await.unwrap();
            let target = SqliteTarget::new(&to);
            give(&carried, &target, false, 5).await.unwrap();
            assert_eq!(target.read_back(&carried.manifest).await.unwrap().unwrap(), expected(&carried.manifest));
            let unpacked = folder.path().join("files");
            unpack(&carried, &unpacked);
            let stock = folder.path().join("stock.db");
            stock_sqlite3(&unpacked, &stock, &unpacked.join("restore.sql"));
            assert_eq!(SqliteTarget::new(&stock).read_back(&carried.manifest).await.unwrap().unwrap(), expected(&carried.manifest));
        });
    }
}

//! Ids: what is taken, what is refused, and that each survives being written and read.
#![allow(clippy::unwrap_used)]

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

#[test]
fn names_have_a_narrow_alphabet() {
    for good in [
        "a",
        "orders-2026",
        "full-database",
        &"x".repeat(NAME_BYTES_MAX),
    ] {
        assert_eq!(ScopeName::new(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "A",
        "1a",
        "-a",
        "a_b",
        "a.b",
        "a/b",
        "a b",
        "ä",
        &"x".repeat(NAME_BYTES_MAX + 1),
    ] {
        assert!(ScopeName::new(bad).is_err(), "{bad:?}");
    }
    assert_snapshot!(ScopeName::new("Orders 2026").unwrap_err(), @r#""Orders 2026" is not a valid scope name: use 1 to 64 of a-z, 0-9 and '-', starting with a letter"#);
}

#[test]
fn run_ids_say_what_they_are_of() {
    let at = "2026-11-24T01:00:00Z".parse().unwrap();
    let scope = ScopeName::new("customers").unwrap();
    let daily = ScheduleName::new("daily").unwrap();
    assert_snapshot!(RunId::scheduled(&daily, at, &scope), @"daily.20261124T010000Z.customers");
    assert_snapshot!(RunId::manual("8D2f-41/x", at, &scope), @"manual-8d2f41x.20261124T010000Z.customers");
    for bad in [
        "",
        "daily",
        "daily.20261124T010000Z",
        "daily.20261124T010000Z.",
        "daily.20261124T010000Z.Customers",
        "daily.20261124T010000Z.customers.x",
        ".20261124T010000Z.customers",
        "Daily.20261124T010000Z.customers",
        "daily.20261324T010000Z.customers",
        "daily.2026-11-24T01:00:00Z.customers",
        "../x.20261124T010000Z.customers",
    ] {
        assert!(bad.parse::<RunId>().is_err(), "{bad:?}");
    }
    assert_snapshot!("daily".parse::<RunId>().unwrap_err(), @r#""daily" is not a valid run id: <schedule>.<YYYYMMDDTHHMMSSZ>.<scope>"#);
}

#[test]
fn chain_paths_lie_below_their_scope_and_day() {
    let at = "2026-11-24T01:00:15Z".parse().unwrap();
    let scope = ScopeName::new("customers").unwrap();
    let chain = ChainPath::new(&scope, at);
    assert_snapshot!(chain, @"customers/2026-11-24/full_20261124_010015");
    assert_eq!(chain.scope(), scope);
    assert_eq!(chain.started_at(), at);
    for bad in [
        "",
        "customers/2026-11-24",
        "/customers/2026-11-24/full_20261124_010015",
        "customers/2026-11-24/full_20261124_010015/",
        "customers/2026-11-24/incremental_20261124_010015",
        "customers/2026-11-24/full_20261124",
        "customers/2026-11-24/full_x_20261124_010015",
        "customers/2026-11-23/full_20261124_010015",
        "../2026-11-24/full_20261124_010015",
    ] {
        assert!(bad.parse::<ChainPath>().is_err(), "{bad:?}");
    }
}

#[test]
fn snapshot_ids_are_sha_256_in_hexadecimal() {
    let id = SnapshotId::from_bytes([0xab; 32]);
    assert_eq!(id.short(), "abababab");
    assert_eq!(format!("{id:?}"), "SnapshotId(abababab)");
    for bad in ["", "ab", &"x".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
        assert!(bad.parse::<SnapshotId>().is_err(), "{bad:?}");
    }
    assert_snapshot!("ab".parse::<SnapshotId>().unwrap_err(), @r#""ab" is not a valid snapshot id: 64 hexadecimal digits"#);
}

proptest! {
    #[test]
    fn ids_survive_being_written_and_read(
        scope in "[a-z][a-z0-9-]{0,63}",
        schedule in "[a-z][a-z0-9-]{0,63}",
        token in "\\PC{0,40}",
        seconds in 0..4_000_000_000i64,
        bytes in any::<[u8; 32]>(),
    ) {
        let scope = ScopeName::new(scope).unwrap();
        let schedule = ScheduleName::new(schedule).unwrap();
        let at = Instant::from_timestamp(seconds, 0).unwrap();
        for run in [RunId::scheduled(&schedule, at, &scope), RunId::manual(&token, at, &scope)] {
            prop_assert_eq!(&run.to_string().parse::<RunId>().unwrap(), &run);
            let json = serde_json::to_string(&run).unwrap();
            prop_assert_eq!(&serde_json::from_str::<RunId>(&json).unwrap(), &run);
        }
        let chain = ChainPath::new(&scope, at);
        prop_assert_eq!(&chain.to_string().parse::<ChainPath>().unwrap(), &chain);
        prop_assert_eq!(chain.scope(), scope);
        prop_assert_eq!(chain.started_at(), at);
        let id = SnapshotId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse::<SnapshotId>().unwrap(), id);
    }

    /// A text is refused, or it is written again exactly as it came.
    #[test]
    fn what_is_read_is_what_is_written(text in "[a-z0-9.TZ_/-]{0,60}") {
        if let Ok(run) = text.parse::<RunId>() {
            prop_assert_eq!(run.to_string(), text.clone());
        }
        if let Ok(chain) = text.parse::<ChainPath>() {
            prop_assert_eq!(ChainPath::new(&chain.scope(), chain.started_at()).to_string(), text);
        }
    }

    /// Compact times sort as the times do.
    #[test]
    fn compact_times_sort(a in 0..200_000_000_000i64, b in 0..200_000_000_000i64) {
        let (a, b) = (Instant::from_timestamp(a, 0).unwrap(), Instant::from_timestamp(b, 0).unwrap());
        prop_assert_eq!(compact(a).cmp(&compact(b)), a.cmp(&b));
    }
}

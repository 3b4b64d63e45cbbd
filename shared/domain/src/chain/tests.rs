#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::samples::{at, schedule, snapshot};

/// Snapshot `number` of the chain that began on a day, an hour later for each number.
fn taken(number: u8, kind: Kind, began: &str) -> SnapshotRecord {
    let began = at(&format!("{began}T01:00:15Z"));
    let sample = snapshot(number);
    SnapshotRecord {
        chain: ChainPath::new(&sample.scope, began),
        kind,
        taken_at: began + chrono::TimeDelta::hours(number.into()),
        trust: Trust::Unverified,
        ..sample
    }
}

/// A full, two incrementals and a differential.
fn chain(began: &str) -> Vec<SnapshotRecord> {
    vec![
        taken(1, Kind::Full, began),
        taken(2, Kind::Incremental, began),
        taken(3, Kind::Incremental, began),
        taken(4, Kind::Differential, began),
    ]
}

struct Asked {
    kind: Kind,
    full: Option<Rhythm>,
    held: BTreeMap<ChainPath, Instant>,
    now: Instant,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            kind: Kind::Incremental,
            full: None,
            held: BTreeMap::new(),
            now: at("2026-11-25T02:00:00Z"),
        }
    }
}

fn chosen(asked: &Asked, records: &[SnapshotRecord]) -> Choice {
    let sample = snapshot(1);
    let wanted = Wanted {
        kind: asked.kind,
        full: asked.full.map(|rhythm| (rhythm, schedule().zone)),
        scope: &sample.scope,
        location: &sample.location,
    };
    choose(&wanted, records, &asked.held, asked.now)
}

fn why(asked: &Asked, records: &[SnapshotRecord]) -> String {
    match chosen(asked, records) {
        Choice::Full(Some(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

fn base(asked: &Asked, records: &[SnapshotRecord]) -> u8 {
    match chosen(asked, records) {
        Choice::On(candidate) => {
            assert_eq!(candidate.kind, asked.kind);
            let based = records.iter().find(|r| r.id == candidate.base).unwrap();
            assert_eq!(based.chain, candidate.chain);
            candidate.base.as_bytes()[0]
        }
        Choice::Full(why) => panic!("{why:?}"),
    }
}

fn differential() -> Asked {
    Asked {
        kind: Kind::Differential,
        ..Asked::default()
    }
}

#[test]
fn an_incremental_builds_on_the_newest_and_a_differential_on_the_full() {
    let mut records = chain("2026-11-24");
    assert_eq!(base(&Asked::default(), &records), 4);
    assert_eq!(base(&differential(), &records), 1);
    records.reverse();
    assert_eq!(base(&Asked::default(), &records), 4);
    assert_eq!(base(&differential(), &records), 1);
}

#[test]
fn a_full_needs_no_reason_where_it_was_asked_for() {
    let asked = Asked {
        kind: Kind::Full,
        ..Asked::default()
    };
    assert_eq!(chosen(&asked, &chain("2026-11-24")), Choice::Full(None));
    assert_eq!(chosen(&asked, &[]), Choice::Full(None));
}

#[test]
fn only_the_newest_chain_of_the_scope_at_the_location_counts() {
    let mut records = chain("2026-11-20");
    let newest = taken(9, Kind::Full, "2026-11-23");
    records.insert(1, newest);
    assert_eq!(base(&Asked::default(), &records), 9);
    insta::assert_snapshot!(why(&Asked::default(), &[]), @"there is no earlier full of the scope at this location");
    for record in &mut records {
        record.location = "office".parse().unwrap();
    }
    assert_eq!(
        chosen(&Asked::default(), &records),
        Choice::Full(Some(WhyFull::NoChain))
    );
    let mut other = chain("2026-11-24");
    for record in &mut other {
        record.scope = "items".parse().unwrap();
    }
    assert_eq!(
        chosen(&differential(), &other),
        Choice::Full(Some(WhyFull::NoChain))
    );
}

#[test]
fn a_chain_without_its_full_is_not_built_on() {
    let mut records = chain("2026-11-24");
    records[0].deleting_since = Some(at("2026-11-25T01:00:00Z"));
    for asked in [Asked::default(), differential()] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(why(&asked, &records), @"the full of its chain was deleted");
        }
    }
    records.remove(0);
    assert_eq!(
        chosen(&differential(), &records),
        Choice::Full(Some(WhyFull::FullGone))
    );
    // An incremental that is being deleted is none to build on either.
    let mut records = chain("2026-11-24");
    records[3].deleting_since = Some(at("2026-11-25T01:00:00Z"));
    assert_eq!(base(&Asked::default(), &records), 3);
}

#[test]
fn damage_is_not_built_on_where_it_could_be_shared() {
    let mut records = chain("2026-11-24");
    records[1].trust = Trust::Damaged;
    insta::assert_snapshot!(why(&Asked::default(), &records), @"snapshot 02020202 of its chain is damaged");
    assert_eq!(base(&differential(), &records), 1);
    records[0].trust = Trust::Damaged;
    insta::assert_snapshot!(why(&differential(), &records), @"snapshot 01010101 of its chain is damaged");
}

#[test]
fn a_chain_that_a_lost_attempt_may_still_write_is_left_alone_for_a_while() {
    let records = chain("2026-11-24");
    let chain = records[0].chain.clone();
    let until = at("2026-11-25T02:00:01Z");
    let mut asked = Asked {
        held: [(chain, until)].into(),
        ..Asked::default()
    };
    insta::assert_snapshot!(why(&asked, &records), @"an attempt that ended without a word may write to its chain until 2026-11-25 02:00:01 UTC");
    asked.now = until;
    assert_eq!(base(&asked, &records), 4);
    // Another chain than the newest.
    asked.held = [(taken(1, Kind::Full, "2026-11-01").chain, until)].into();
    asked.now = at("2026-11-25T02:00:00Z");
    assert_eq!(base(&asked, &records), 4);
}

#[test]
fn the_rhythm_says_when_a_full_is_due() {
    // A Tuesday, 02:00:15 in Berlin with an hour for the record's number.
    let records = chain("2026-11-24");
    for (rhythm, still_incremental, due) in [
        // Midnight in Berlin is 23:00 UTC.
        (
            Rhythm::Daily,
            "2026-11-24T22:59:59Z",
            "2026-11-24T23:00:00Z",
        ),
        (
            Rhythm::Weekly,
            "2026-11-29T22:59:59Z",
            "2026-11-29T23:00:00Z",
        ),
        (
            Rhythm::Monthly,
            "2026-11-30T22:59:59Z",
            "2026-11-30T23:00:00Z",
        ),
        (
            Rhythm::Days(10),
            "2026-12-03T22:59:59Z",
            "2026-12-03T23:00:00Z",
        ),
    ] {
        let at_time = |now: &str| Asked {
            full: Some(rhythm),
            now: at(now),
            ..Asked::default()
        };
        assert_eq!(base(&at_time(still_incremental), &records), 4, "{rhythm}");
        let Choice::Full(Some(reason)) = chosen(&at_time(due), &records) else {
            panic!("{rhythm}");
        };
        let last = records[0].taken_at;
        assert_eq!(reason, WhyFull::Due { rhythm, last });
    }
    let of = |rhythm| {
        let asked = Asked {
            full: Some(rhythm),
            now: at("2027-01-25T02:00:00Z"),
            ..Asked::default()
        };
        why(&asked, &records)
    };
    insta::assert_snapshot!(of(Rhythm::Weekly), @"the weekly full is due, the last is of 2026-11-24 02:00:15 UTC");
    insta::assert_snapshot!(of(Rhythm::Days(3)), @"a full is due after 3 days, the last is of 2026-11-24 02:00:15 UTC");
}

#[test]
fn weeks_and_months_go_on_over_the_year() {
    let zone = schedule().zone;
    let due = |rhythm: Rhythm, last: &str, now: &str| {
        rhythm.is_due(
            at(&format!("{last}T12:00:00Z")),
            at(&format!("{now}T12:00:00Z")),
            zone,
        )
    };
    // The week of Monday 28 December 2026 to Sunday 3 January 2027.
    assert!(!due(Rhythm::Weekly, "2026-12-28", "2027-01-03"));
    assert!(due(Rhythm::Weekly, "2026-12-28", "2027-01-04"));
    assert!(due(Rhythm::Monthly, "2026-12-31", "2027-01-01"));
    // A clock that went back makes nothing due.
    for rhythm in [
        Rhythm::Daily,
        Rhythm::Weekly,
        Rhythm::Monthly,
        Rhythm::Days(2),
    ] {
        assert!(!due(rhythm, "2027-01-04", "2026-12-20"), "{rhythm}");
    }
}

#[test]
fn rhythms_are_read_as_they_are_written() {
    for text in ["daily", "weekly", "monthly", "2 days", "366 days"] {
        assert_eq!(text.parse::<Rhythm>().unwrap().to_string(), text);
    }
    assert_eq!("10days".parse::<Rhythm>(), Ok(Rhythm::Days(10)));
    for wrong in [
        "", "Weekly", "1 days", "367 days", "days", "-3 days", "10", "3 weeks",
    ] {
        assert!(wrong.parse::<Rhythm>().is_err(), "{wrong}");
    }
    insta::assert_snapshot!("often".parse::<Rhythm>().unwrap_err(), @r#""often" is none of "daily", "weekly", "monthly", and no number of days from "2 days" to "366 days""#);
}

fn facts() -> SourceFacts {
    let details = |id: &str| [(SYSTEM_IDENTIFIER.to_owned(), id.to_owned())].into();
    SourceFacts {
        details: details("7012"),
        ..crate::golden::manifest().source
    }
}

#[test]
fn what_a_look_at_the_chain_finds() {
    let manifest = crate::golden::manifest();
    let good = ChainFacts {
        is_writable: true,
        packs_lacking: 0,
        manifest: &manifest,
    };
    let present = Present {
        source: &manifest.source.name,
        selection: &manifest.selection,
        chunking: &manifest.chunking,
    };
    assert_eq!(unfit(&good, &present), None);
    let old = ChainFacts {
        is_writable: false,
        ..good
    };
    insta::assert_snapshot!(unfit(&old, &present).unwrap(), @"its chain's repository is of version 1, which is only read");
    let lacking = ChainFacts {
        packs_lacking: 1,
        ..good
    };
    insta::assert_snapshot!(unfit(&lacking, &present).unwrap(), @"the location lacks 1 pack of its chain or holds them with another length: verify its snapshots");
    insta::assert_snapshot!(WhyFull::PacksArchived(2), @"2 packs of its chain lie in archived storage classes");
    insta::assert_snapshot!(WhyFull::ToBeArchived, @"it is to be archived, and what is archived depends on nothing else");
    let source = "crm".parse().unwrap();
    let other = Present {
        source: &source,
        ..present
    };
    insta::assert_snapshot!(unfit(&good, &other).unwrap(), @"its chain holds erp, and the source is crm by now");
    let other = Present {
        selection: &Selection::Everything,
        ..present
    };
    insta::assert_snapshot!(unfit(&good, &other).unwrap(), @"the scope selects something else than when its chain was written");
    let chunking = Chunking {
        bytes_average: 4096,
        ..manifest.chunking.clone()
    };
    let other = Present {
        chunking: &chunking,
        ..present
    };
    insta::assert_snapshot!(unfit(&good, &other).unwrap(), @"content is cut into blobs otherwise than when its chain was written");
}

#[test]
fn another_database_under_the_same_name_is_noticed() {
    let then = facts();
    assert_eq!(other_source(&then, &then), None);
    let mut now = facts();
    now.engine_version = "16.1".to_owned();
    assert_eq!(other_source(&then, &now), None);
    now.details.clear();
    assert_eq!(other_source(&then, &now), None, "not every role may ask");
    now.details
        .insert(SYSTEM_IDENTIFIER.to_owned(), "7013".to_owned());
    insta::assert_snapshot!(other_source(&then, &now).unwrap(), @"its chain holds erp (postgresql, database erp, system 7012), and the source is erp (postgresql, database erp, system 7013) by now");
    let mut now = facts();
    now.database = "erp_test".to_owned();
    assert!(other_source(&then, &now).is_some());
}

fn any_record() -> impl Strategy<Value = SnapshotRecord> {
    let kind = prop::sample::select(vec![Kind::Full, Kind::Incremental, Kind::Differential]);
    let trust = prop::sample::select(vec![Trust::Verified, Trust::Unverified, Trust::Damaged]);
    let day = prop::sample::select(vec!["2026-11-20", "2026-11-22", "2026-11-24"]);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (any::<u8>(), kind, trust, day, flags).prop_map(
        |(number, kind, trust, day, (scope, location, deleting))| {
            let mut record = taken(number, kind, day);
            record.trust = trust;
            if scope {
                record.scope = "items".parse().unwrap();
            }
            if location {
                record.location = "office".parse().unwrap();
            }
            record.deleting_since = deleting.then(|| at("2026-11-25T01:00:00Z"));
            record
        },
    )
}

proptest! {
    /// Whatever the records: what is built on is sound, of this scope at this location, and its chain
    /// has a full that stays; and the answer does not depend on their order.
    #[test]
    fn a_base_is_always_sound(
        records in prop::collection::vec(any_record(), 0..12),
        kind in prop::sample::select(vec![Kind::Incremental, Kind::Differential]),
        swap in any::<bool>(),
    ) {
        let mut records = records;
        // Ids are hashes: no two snapshots share one.
        records.sort_by_key(|r| r.id);
        records.dedup_by_key(|r| r.id);
        let asked = Asked { kind, ..Asked::default() };
        let choice = chosen(&asked, &records);
        if swap {
            records.reverse();
            prop_assert_eq!(&chosen(&asked, &records), &choice);
        }
        let sample = snapshot(1);
        let ours = |r: &&SnapshotRecord| r.scope == sample.scope && r.location == sample.location
            && r.deleting_since.is_none();
        let ours: Vec<_> = records.iter().filter(ours).collect();
        match choice {
            Choice::On(found) => {
                let base = ours.iter().find(|r| r.id == found.base).unwrap();
                prop_assert_eq!(&base.chain, &found.chain);
                prop_assert!(ours.iter().all(|r| r.chain <= found.chain));
                prop_assert!(base.trust != Trust::Damaged);
                let of_chain: Vec<_> = ours.iter().filter(|r| r.chain == found.chain).collect();
                prop_assert!(of_chain.iter().any(|r| r.kind == Kind::Full));
                if kind == Kind::Differential {
                    prop_assert_eq!(base.kind, Kind::Full);
                } else {
                    prop_assert!(of_chain.iter().all(|r| r.trust != Trust::Damaged));
                    prop_assert!(of_chain.iter().all(|r| r.taken_at <= base.taken_at));
                }
            }
            Choice::Full(why) => prop_assert!(why.is_some()),
        }
    }
}

//! Retention: what stays, what goes, and what never goes.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use chrono::TimeDelta;

use super::*;
use crate::plan::DroppedSince;
use crate::samples::{at, snapshot};

fn taken(number: u8, day: &str, trust: Trust) -> SnapshotRecord {
    SnapshotRecord {
        taken_at: at(&format!("{day}T01:00:15Z")),
        trust,
        ..snapshot(number)
    }
}

fn plan(retention: Retention, snapshots: &[SnapshotRecord], now: &str) -> Vec<(u8, bool, String)> {
    let retentions: BTreeMap<ScheduleName, Retention> =
        [("daily".parse().unwrap(), retention)].into();
    plan_by(retentions.into(), snapshots, now)
}

fn plan_by(rules: Rules, snapshots: &[SnapshotRecord], now: &str) -> Vec<(u8, bool, String)> {
    let scope = "customers".parse().unwrap();
    let plan = plan_prune(&scope, &rules, snapshots, &BTreeSet::new(), at(now));
    let told = plan.decisions.into_iter();
    told.map(|d| (d.snapshot.as_bytes()[0], d.keep, d.reason))
        .collect()
}

fn kept(decisions: &[(u8, bool, String)]) -> Vec<u8> {
    decisions.iter().filter(|d| d.1).map(|d| d.0).collect()
}

#[test]
fn every_decision_has_its_reason() {
    let retention = Retention {
        keep_days: Some(2),
        keep_last: Some(2),
        ..Retention::default()
    };
    let gone = SnapshotRecord {
        schedule: Some("old".parse().unwrap()),
        ..taken(7, "2026-01-01", Trust::Verified)
    };
    let manual = SnapshotRecord {
        schedule: None,
        ..taken(8, "2025-01-01", Trust::Verified)
    };
    let snapshots = [
        taken(1, "2026-11-24", Trust::Unverified),
        taken(2, "2026-11-23", Trust::Damaged),
        taken(3, "2026-11-22", Trust::Damaged),
        taken(4, "2026-11-21", Trust::Verified),
        taken(5, "2026-11-20", Trust::Damaged),
        taken(6, "2026-11-19", Trust::Verified),
        gone,
        manual,
    ];
    let decisions = plan(retention, &snapshots, "2026-11-24T12:00:00Z");
    let lines = decisions.iter().map(|(number, keep, reason)| {
        let verb = if *keep { "keep" } else { "delete" };
        format!("{verb} {number}: {reason}")
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    keep 1: taken within 2 days; number 1 of the last 2
    keep 2: damaged, but no newer one is verified; taken within 2 days
    keep 3: damaged, but no newer one is verified
    keep 4: the scope's newest verified snapshot; number 2 of the last 2
    delete 5: damaged, and a newer one is verified
    delete 6: schedule daily keeps 2 days, the last 2
    keep 7: its schedule old is gone
    keep 8: no schedule's retention applies to it
    ");
}

#[test]
fn a_held_one_stays_whatever_else_is_known_of_it() {
    let rules = || Retention {
        keep_last: Some(1),
        ..Retention::default()
    };
    let hold = crate::snapshot::Hold::new(" audit of 2025 ", "anna", at("2026-11-20T00:00:00Z"));
    let hold = Some(hold.unwrap());
    let snapshots = [
        taken(1, "2026-11-24", Trust::Verified),
        taken(2, "2026-11-23", Trust::Verified),
        SnapshotRecord {
            hold: hold.clone(),
            ..taken(3, "2026-11-22", Trust::Damaged)
        },
        SnapshotRecord {
            hold,
            deleting_since: Some(at("2026-11-23T00:00:00Z")),
            ..taken(4, "2026-11-21", Trust::Verified)
        },
    ];
    let decisions = plan(rules(), &snapshots, "2026-11-24T12:00:00Z");
    assert_eq!(kept(&decisions), [1, 3, 4]);
    assert_eq!(
        decisions[2].2,
        "held since 2026-11-20 00:00:00 UTC by anna: audit of 2025"
    );
}

#[test]
fn days_are_counted_in_hours_and_the_edge_stays() {
    let retention = Retention {
        keep_days: Some(1),
        ..Retention::default()
    };
    let snapshots = [
        taken(1, "2026-11-24", Trust::Verified),
        taken(2, "2026-11-23", Trust::Verified),
    ];
    assert_eq!(
        kept(&plan(retention, &snapshots, "2026-11-24T01:00:15Z")),
        [1, 2]
    );
    assert_eq!(
        kept(&plan(retention, &snapshots, "2026-11-24T01:00:16Z")),
        [1]
    );
    // A clock behind the snapshots deletes none of them.
    assert_eq!(
        kept(&plan(retention, &snapshots, "2026-01-01T00:00:00Z")),
        [1, 2]
    );
}

#[test]
fn tiers_keep_the_newest_of_each_period_and_the_oldest_while_some_are_left() {
    let days = [
        "2026-11-24",
        "2026-11-23",
        "2026-11-22",
        "2026-11-16",
        "2026-10-31",
        "2026-10-01",
        "2025-12-31",
    ];
    let snapshots: Vec<SnapshotRecord> = days
        .iter()
        .zip(1..)
        .map(|(day, number)| taken(number, day, Trust::Verified))
        .collect();
    let now = "2026-11-24T12:00:00Z";
    let tier = |retention| kept(&plan(retention, &snapshots, now));
    let none = Retention::default();
    assert_eq!(
        tier(Retention {
            keep_daily: Some(2),
            ..none
        }),
        [1, 2]
    );
    // 24 and 23 November are in the week from the 23rd; 22 and 16 in the one before.
    assert_eq!(
        tier(Retention {
            keep_weekly: Some(2),
            ..none
        }),
        [1, 3]
    );
    assert_eq!(
        tier(Retention {
            keep_monthly: Some(3),
            ..none
        }),
        [1, 5, 7]
    );
    assert_eq!(
        tier(Retention {
            keep_yearly: Some(3),
            ..none
        }),
        [1, 7]
    );
    // Two months are wanted of one: the oldest snapshot stays besides the newest.
    let november = &snapshots[..4];
    let two = Retention {
        keep_monthly: Some(2),
        ..none
    };
    assert_eq!(kept(&plan(two, november, now)), [1, 4]);
}

#[test]
fn without_any_verified_snapshot_the_newest_sound_one_stays() {
    let retention = Retention {
        keep_days: Some(1),
        ..Retention::default()
    };
    let now = "2027-11-24T12:00:00Z";
    let unverified = [
        taken(1, "2026-11-23", Trust::Unverified),
        taken(2, "2026-11-22", Trust::Unverified),
    ];
    assert_eq!(kept(&plan(retention, &unverified, now)), [1]);
    let damaged = [
        taken(1, "2026-11-23", Trust::Damaged),
        taken(2, "2026-11-22", Trust::Verified),
        taken(3, "2026-11-21", Trust::Damaged),
    ];
    assert_eq!(kept(&plan(retention, &damaged, now)), [1, 2]);
}

#[test]
fn a_deletion_that_began_is_finished_and_protects_nothing() {
    let retention = Retention {
        keep_last: Some(1),
        ..Retention::default()
    };
    let begun = SnapshotRecord {
        deleting_since: Some(at("2026-11-24T04:00:00Z")),
        ..taken(1, "2026-11-24", Trust::Verified)
    };
    let whole = taken(2, "2026-11-23", Trust::Verified);
    let decisions = plan(retention, &[begun.clone(), whole], "2026-11-24T12:00:00Z");
    assert_eq!(kept(&decisions), [2]);
    assert_eq!(
        decisions[0].2,
        "its deletion began at 2026-11-24 04:00:00 UTC"
    );
    assert!(kept(&plan(retention, &[begun], "2026-11-24T12:00:00Z")).is_empty());
}

#[test]
fn other_scopes_are_passed_over() {
    let other = SnapshotRecord {
        scope: "items".parse().unwrap(),
        ..snapshot(1)
    };
    assert!(plan(Retention::default(), &[other], "2026-11-24T12:00:00Z").is_empty());
}

#[test]
fn within_counts_from_the_newest_and_never_from_now() {
    let snapshots = [
        taken(1, "2026-11-24", Trust::Verified),
        taken(2, "2026-11-18", Trust::Verified),
        taken(3, "2026-11-17", Trust::Verified),
        taken(4, "2026-05-24", Trust::Verified),
    ];
    let within = |span: &str| Retention {
        keep_within: Some(span.parse().unwrap()),
        ..Retention::default()
    };
    // Years after the last backup nothing more has gone.
    for now in ["2026-11-24T12:00:00Z", "2029-01-01T00:00:00Z"] {
        assert_eq!(kept(&plan(within("7 days"), &snapshots, now)), [1, 2]);
        assert_eq!(kept(&plan(within("7d1h"), &snapshots, now)), [1, 2, 3]);
    }
    // A damaged snapshot is no newest one to count from.
    let mut damaged = snapshots.clone();
    damaged[0].trust = Trust::Damaged;
    let now = "2026-11-24T12:00:00Z";
    assert_eq!(kept(&plan(within("7 days"), &damaged, now)), [1, 2, 3]);
}

#[test]
fn some_proven_ones_always_stay() {
    let snapshots = [
        taken(1, "2026-11-24", Trust::Unverified),
        taken(2, "2026-11-23", Trust::Verified),
        taken(3, "2026-11-22", Trust::Damaged),
        taken(4, "2026-11-21", Trust::Verified),
        taken(5, "2026-11-20", Trust::Verified),
    ];
    let retention = Retention {
        keep_last: Some(1),
        proven: Some(2),
        ..Retention::default()
    };
    let decisions = plan(retention, &snapshots, "2026-11-24T12:00:00Z");
    assert_eq!(kept(&decisions), [1, 2, 4]);
    assert_eq!(decisions[3].2, "number 2 of the 2 proven that always stay");
    assert_eq!(
        decisions[4].2,
        "schedule daily keeps the last 1, at least 2 proven"
    );
    // A floor is no rule: alone it lets nothing go.
    let floor = Retention {
        proven: Some(1),
        ..Retention::default()
    };
    assert_eq!(
        kept(&plan(floor, &snapshots, "2026-11-24T12:00:00Z")),
        [1, 2, 3, 4, 5]
    );
}

#[test]
fn a_scopes_rules_count_all_its_snapshots() {
    let manual = SnapshotRecord {
        schedule: None,
        ..taken(2, "2026-11-23", Trust::Verified)
    };
    let snapshots = [
        taken(1, "2026-11-24", Trust::Verified),
        manual,
        taken(3, "2026-11-22", Trust::Verified),
        SnapshotRecord {
            schedule: None,
            ..taken(4, "2026-10-01", Trust::Verified)
        },
    ];
    let daily = Retention {
        keep_last: Some(1),
        ..Retention::default()
    };
    let rules = |scope| Rules {
        schedules: [("daily".parse().unwrap(), daily)].into(),
        scope,
    };
    let now = "2026-11-24T12:00:00Z";
    let scope = Retention {
        keep_last: Some(2),
        ..Retention::default()
    };
    let decisions = plan_by(rules(Some(scope)), &snapshots, now);
    assert_eq!(kept(&decisions), [1, 2]);
    assert_eq!(decisions[1].2, "number 2 of the last 2 (the scope's rule)");
    assert_eq!(
        decisions[2].2,
        "schedule daily keeps the last 1; the scope keeps the last 2"
    );
    assert_eq!(decisions[3].2, "the scope keeps the last 2");
    // Without rules of the scope, or with a floor alone, what people asked for stays.
    let floor = Retention {
        proven: Some(3),
        ..Retention::default()
    };
    assert_eq!(kept(&plan_by(rules(None), &snapshots, now)), [1, 2, 4]);
    assert_eq!(
        kept(&plan_by(rules(Some(floor)), &snapshots, now)),
        [1, 2, 3, 4]
    );
}

#[test]
fn what_goes_is_told_since_when() {
    let retention = Retention {
        keep_days: Some(2),
        keep_last: Some(2),
        ..Retention::default()
    };
    let snapshots = [
        taken(1, "2026-11-24", Trust::Verified),
        taken(2, "2026-11-23", Trust::Verified),
        taken(3, "2026-11-20", Trust::Verified),
        taken(4, "2026-11-19", Trust::Verified),
        taken(5, "2026-11-18", Trust::Damaged),
        SnapshotRecord {
            deleting_since: Some(at("2026-11-24T03:00:00Z")),
            ..taken(6, "2026-11-10", Trust::Verified)
        },
    ];
    let rules: Rules = BTreeMap::from([("daily".parse().unwrap(), retention)]).into();
    let scope = "customers".parse().unwrap();
    let now = at("2026-11-24T12:00:00Z");
    let mut plan = plan_prune(&scope, &rules, &snapshots, &BTreeSet::new(), now);
    date_plan(&mut plan, &rules, &snapshots);
    let told = |number: usize| match plan.decisions[number - 1].since.clone() {
        Some(DroppedSince::At(at)) => at.to_string(),
        Some(DroppedSince::Unknown(why)) => why,
        None => "kept".to_owned(),
    };
    assert_eq!(told(2), "kept");
    // Two days old on the 22nd, and the last two until the 24th came.
    assert_eq!(told(3), "2026-11-24 01:00:15 UTC");
    assert_eq!(told(4), "2026-11-23 01:00:15 UTC");
    assert!(told(5).starts_with("it is damaged"), "{}", told(5));
    assert_eq!(told(6), "2026-11-24 03:00:00 UTC");
}

fn any_retention() -> impl Strategy<Value = Retention> {
    let rule = || proptest::option::of(1..12u32);
    let span = || {
        proptest::option::weighted(0.2, (0..2u32, 0..4u32, 1..40u32)).prop_map(|parts| {
            parts.map(|(years, months, days)| {
                let text = format!("{years}y{months}m{days}d");
                text.parse::<Span>().unwrap()
            })
        })
    };
    let counts = (rule(), rule(), rule(), rule(), rule(), rule(), rule());
    let spans = (span(), span(), span(), span(), span(), span());
    (counts, spans, rule()).prop_map(|(counts, spans, proven)| Retention {
        keep_days: counts.0,
        keep_last: counts.1,
        keep_hourly: counts.2,
        keep_daily: counts.3,
        keep_weekly: counts.4,
        keep_monthly: counts.5,
        keep_yearly: counts.6,
        keep_within: spans.0,
        keep_within_hourly: spans.1,
        keep_within_daily: spans.2,
        keep_within_weekly: spans.3,
        keep_within_monthly: spans.4,
        keep_within_yearly: spans.5,
        proven,
    })
}

fn any_snapshots() -> impl Strategy<Value = Vec<SnapshotRecord>> {
    let trust = proptest::sample::select(vec![Trust::Verified, Trust::Unverified, Trust::Damaged]);
    let schedule = proptest::sample::select(vec![
        None,
        Some("daily"),
        Some("daily"),
        Some("weekly"),
        Some("gone"),
    ]);
    let deleting = proptest::bool::weighted(0.1);
    let one = (0..60_000i64, trust, schedule, deleting);
    proptest::collection::vec(one, 0..40).prop_map(|parts| {
        let records =
            parts
                .into_iter()
                .zip(0..)
                .map(
                    |((hours, trust, schedule, deleting), number)| SnapshotRecord {
                        taken_at: at("2026-11-24T12:00:00Z") - TimeDelta::hours(hours),
                        trust,
                        schedule: schedule.map(|name: &str| name.parse().unwrap()),
                        deleting_since: deleting.then(|| at("2026-11-24T04:00:00Z")),
                        ..snapshot(number)
                    },
                );
        records.collect()
    })
}

fn keeps(
    retentions: &BTreeMap<ScheduleName, Retention>,
    snapshots: &[SnapshotRecord],
    in_use: &BTreeSet<SnapshotId>,
    now: Instant,
) -> BTreeSet<SnapshotId> {
    let scope = "customers".parse().unwrap();
    let rules = Rules::from(retentions.clone());
    let plan = plan_prune(&scope, &rules, snapshots, in_use, now);
    let kept = plan.decisions.iter().filter(|d| d.keep);
    kept.map(|d| d.snapshot).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_must_stay_stays(
        daily in any_retention(),
        weekly in any_retention(),
        snapshots in any_snapshots(),
        used in proptest::collection::btree_set(0..40u8, 0..5),
        later in 0..10_000i64,
        shuffle in any::<prop::sample::Index>(),
    ) {
        let retentions: BTreeMap<ScheduleName, Retention> =
            [("daily".parse().unwrap(), daily), ("weekly".parse().unwrap(), weekly)].into();
        let in_use: BTreeSet<SnapshotId> =
            used.into_iter().map(|n| SnapshotId::from_bytes([n; 32])).collect();
        let now = at("2026-11-24T12:00:00Z");
        let scope = "customers".parse().unwrap();
        let rules = Rules::from(retentions.clone());
        let plan = plan_prune(&scope, &rules, &snapshots, &in_use, now);
        let kept = keeps(&retentions, &snapshots, &in_use, now);

        // Each snapshot is decided once, newest first, with a reason.
        prop_assert_eq!(plan.decisions.len(), snapshots.len());
        let of = |id: &SnapshotId| snapshots.iter().find(|s| s.id == *id).unwrap();
        let times: Vec<Instant> = plan.decisions.iter().map(|d| of(&d.snapshot).taken_at).collect();
        prop_assert!(times.is_sorted_by(|a, b| a >= b));
        prop_assert!(plan.decisions.iter().all(|d| !d.reason.is_empty()));

        // The newest verified, whatever is in use, and something at all.
        let whole = || snapshots.iter().filter(|s| s.deleting_since.is_none());
        let verified = whole().filter(|s| s.trust == Trust::Verified);
        if let Some(newest) = verified.max_by_key(|s| (s.taken_at, s.id)) {
            prop_assert!(kept.contains(&newest.id));
        }
        for snapshot in &snapshots {
            let is_used = in_use.contains(&snapshot.id);
            if snapshot.deleting_since.is_some() {
                prop_assert_eq!(kept.contains(&snapshot.id), is_used);
            } else if is_used || snapshot.schedule.is_none() {
                prop_assert!(kept.contains(&snapshot.id));
            }
        }
        prop_assert!(whole().count() == 0 || !kept.is_empty());

        // So many of the last, damaged ones not counted.
        let sound = whole().filter(|s| {
            s.trust != Trust::Damaged && s.schedule.as_ref().is_some_and(|n| n.as_str() == "daily")
        });
        let sound: Vec<&SnapshotRecord> = sound.collect();
        let kept_sound = sound.iter().filter(|s| kept.contains(&s.id)).count();
        prop_assert!(kept_sound >= sound.len().min(daily.keep_last.unwrap_or(0) as usize));

        // The order in which they come does not matter.
        let mut turned = snapshots.clone();
        turned.rotate_left(shuffle.index(snapshots.len().max(1)));
        prop_assert_eq!(&plan_prune(&scope, &rules, &turned, &in_use, now), &plan);

        // Doing it again deletes nothing more.
        let mut left = snapshots.clone();
        left.retain(|s| kept.contains(&s.id));
        prop_assert_eq!(&keeps(&retentions, &left, &in_use, now), &kept);

        // Time deletes, it brings nothing back.
        let then = now + TimeDelta::hours(later);
        prop_assert!(keeps(&retentions, &snapshots, &in_use, then).is_subset(&kept));
    }

    #[test]
    fn more_generous_rules_never_delete_more(
        daily in any_retention(),
        more in any_retention(),
        snapshots in any_snapshots(),
    ) {
        // A rule added to none at all is not more generous: none keeps everything.
        prop_assume!(!daily.is_unlimited());
        let add = |rule: Option<u32>, more: Option<u32>| match (rule, more) {
            (Some(rule), Some(more)) => Some(rule + more),
            (rule, more) => rule.or(more),
        };
        let generous = Retention {
            keep_days: add(daily.keep_days, more.keep_days),
            keep_last: add(daily.keep_last, more.keep_last),
            keep_hourly: add(daily.keep_hourly, more.keep_hourly),
            keep_daily: add(daily.keep_daily, more.keep_daily),
            keep_weekly: add(daily.keep_weekly, more.keep_weekly),
            keep_monthly: add(daily.keep_monthly, more.keep_monthly),
            keep_yearly: add(daily.keep_yearly, more.keep_yearly),
            keep_within: daily.keep_within.or(more.keep_within),
            keep_within_hourly: daily.keep_within_hourly.or(more.keep_within_hourly),
            keep_within_daily: daily.keep_within_daily.or(more.keep_within_daily),
            keep_within_weekly: daily.keep_within_weekly.or(more.keep_within_weekly),
            keep_within_monthly: daily.keep_within_monthly.or(more.keep_within_monthly),
            keep_within_yearly: daily.keep_within_yearly.or(more.keep_within_yearly),
            proven: add(daily.proven, more.proven),
        };
        let now = at("2026-11-24T12:00:00Z");
        let kept = |retention| {
            keeps(&[("daily".parse().unwrap(), retention)].into(), &snapshots, &BTreeSet::new(), now)
        };
        prop_assert!(kept(daily).is_subset(&kept(generous)));
    }

    /// Just before the instant that is told something kept it, from then on nothing does.
    #[test]
    fn since_is_the_first_instant(
        daily in any_retention(),
        snapshots in any_snapshots(),
        later in 0..2_000i64,
    ) {
        let mut snapshots = snapshots;
        snapshots.retain(|s| s.deleting_since.is_none());
        let rules: Rules = BTreeMap::from([("daily".parse().unwrap(), daily)]).into();
        let scope = "customers".parse().unwrap();
        let now = at("2026-11-24T12:00:00Z") + TimeDelta::hours(later);
        let none = BTreeSet::new();
        let mut plan = plan_prune(&scope, &rules, &snapshots, &none, now);
        date_plan(&mut plan, &rules, &snapshots);
        for decision in &plan.decisions {
            prop_assert_eq!(decision.keep, decision.since.is_none());
            let Some(DroppedSince::At(since)) = decision.since else { continue };
            let kept_at = |at: Instant| {
                let mut then = snapshots.clone();
                then.retain(|s| s.taken_at <= at);
                let plan = plan_prune(&scope, &rules, &then, &none, at);
                plan.decisions.iter().any(|d| d.snapshot == decision.snapshot && d.keep)
            };
            let taken_at = snapshots.iter().find(|s| s.id == decision.snapshot).unwrap().taken_at;
            prop_assert!(since >= taken_at && since <= now);
            prop_assert!(!kept_at(since) && !kept_at(now));
            let before = since - TimeDelta::nanoseconds(1);
            prop_assert!(before < taken_at || kept_at(before), "{} was kept no longer before", decision.snapshot);
        }
    }
}

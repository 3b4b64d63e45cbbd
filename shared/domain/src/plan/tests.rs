//! Slots under outages and clocks that jump.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::calendar::Calendar;
use crate::samples::{at, schedule};

fn state(next_slot: &str) -> ScheduleState {
    ScheduleState {
        schedule: schedule(),
        next_slot: Some(at(next_slot)),
    }
}

#[test]
fn nothing_is_due_before_its_slot_nor_when_disabled() {
    let mut state = state("2026-11-24T01:00:00Z");
    assert_eq!(plan_slot(&state, at("2026-11-24T00:59:59Z")), None);
    assert!(plan_slot(&state, at("2026-11-24T01:00:00Z")).is_some());
    state.schedule.enabled = false;
    assert_eq!(plan_slot(&state, at("2026-11-24T01:00:00Z")), None);
    state.schedule.enabled = true;
    state.next_slot = None;
    assert_eq!(plan_slot(&state, at("2026-11-24T01:00:00Z")), None);
}

#[test]
fn the_newest_slot_runs_inside_the_window_and_older_ones_are_missed() {
    let state = state("2026-11-22T01:00:00Z");
    let plan = plan_slot(&state, at("2026-11-24T07:00:00Z")).unwrap();
    assert_eq!(plan.run, Some(at("2026-11-24T01:00:00Z")));
    let missed = [at("2026-11-22T01:00:00Z"), at("2026-11-23T01:00:00Z")];
    assert_eq!(plan.missed, missed);
    assert_eq!(plan.next_slot, Some(at("2026-11-25T01:00:00Z")));

    let too_late = plan_slot(&state, at("2026-11-24T07:00:01Z")).unwrap();
    assert_eq!(too_late.run, None);
    assert_eq!(too_late.missed.len(), 3);
}

#[test]
fn a_slot_that_the_calendar_no_longer_names_is_still_due() {
    let state = state("2026-11-24T00:30:00Z");
    let plan = plan_slot(&state, at("2026-11-24T00:31:00Z")).unwrap();
    assert_eq!(plan.run, state.next_slot);
    assert_eq!(plan.next_slot, Some(at("2026-11-24T01:00:00Z")));
}

#[test]
fn a_year_of_missed_minutes_is_counted_not_listed() {
    for expression in [None, Some("* * * * *")] {
        let mut state = state("2025-11-24T01:00:00Z");
        state.schedule.calendar = match expression {
            None => Calendar::Minutes { minutes: 1 },
            Some(text) => Calendar::Cron {
                expression: text.parse().unwrap(),
            },
        };
        state.schedule.zone = chrono_tz::UTC;
        let plan = plan_slot(&state, at("2026-11-24T01:00:30Z")).unwrap();
        assert_eq!(plan.run, Some(at("2026-11-24T01:00:00Z")));
        assert_eq!(plan.missed.len(), MISSED_SLOTS_MAX);
        assert_eq!(plan.missed.last(), Some(&at("2026-11-24T00:59:00Z")));
        let all = 365 * 24 * 60 + 1;
        let told = plan.missed.len() as u64 + plan.missed_uncounted + 1;
        assert_eq!(told, all, "{expression:?}");
    }
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let cron = ["*/7 * * * *", "0 */3 * * *", "30 2 * * *", "15 1 1,15 * *"];
    prop_oneof![
        Just(schedule().calendar),
        (1..=1440u32).prop_map(|minutes| Calendar::Minutes { minutes }),
        proptest::sample::select(cron.to_vec()).prop_map(|text| Calendar::Cron {
            expression: text.parse().unwrap(),
        }),
    ]
}

proptest! {
    /// A dispatcher that is woken at any times, some of them earlier than others: every slot that
    /// came is run or missed exactly once, nothing else is, and runs keep to the window.
    #[test]
    fn every_slot_is_told_exactly_once(
        calendar in any_calendar(),
        start in 0..400i64,
        catch_up_seconds in 300..200_000u64,
        // Mostly minutes; sometimes an outage of days, sometimes a clock that is put back.
        steps in proptest::collection::vec(
            prop_oneof![8 => 1..90i64, 2 => 90..3000i64, 1 => -300..0i64],
            1..40,
        ),
    ) {
        let start = at("2026-02-20T00:00:30Z") + TimeDelta::days(start);
        let mut schedule = schedule();
        schedule.calendar = calendar;
        schedule.catch_up_seconds = catch_up_seconds;
        let next_slot = schedule.calendar.next_after(schedule.zone, start);
        let mut state = ScheduleState { schedule, next_slot };
        let (mut now, mut latest) = (start, start);
        let (mut told, mut uncounted) = (Vec::new(), 0);
        for minutes in steps {
            now += TimeDelta::minutes(minutes);
            latest = latest.max(now);
            let Some(plan) = plan_slot(&state, now) else { continue };
            prop_assert_eq!(plan_slot(&state, now), Some(plan.clone()));
            prop_assert!(plan.missed.len() <= MISSED_SLOTS_MAX);
            prop_assert!(plan.missed_uncounted == 0 || plan.missed.len() == MISSED_SLOTS_MAX);
            prop_assert!(plan.next_slot.is_some_and(|next| next > now));
            if let Some(run) = plan.run {
                prop_assert!(run <= now && (now - run).num_seconds() as u64 <= catch_up_seconds);
                prop_assert!(plan.missed.iter().all(|missed| *missed < run));
            }
            told.extend(plan.missed);
            told.extend(plan.run);
            uncounted += plan.missed_uncounted;
            state.next_slot = plan.next_slot;
        }
        prop_assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        let schedule = &state.schedule;
        let all: Vec<Instant> = schedule.calendar.slots_between(schedule.zone, start, latest).collect();
        // What is due only now, because the clock was put back before it was planned, is not told yet.
        let due = all.iter().filter(|slot| state.next_slot.is_none_or(|next| **slot < next)).count();
        prop_assert_eq!(told.len() as u64 + uncounted, due as u64);
        prop_assert!(told.iter().all(|slot| all.contains(slot)));
    }
}

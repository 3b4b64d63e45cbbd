//! A year of the dispatcher's minutes, played on the real catalog with the product's own planning and
//! transitions, under outages, lost, late, repeated and reordered events, slow runs and functions that
//! are killed. At its end every slot of every schedule has exactly one final state for each scope, and
//! every anomaly its alert.
//!
//! Time is an argument everywhere, so a year needs no waiting. Two things of it are not sent one by one:
//!
//! - A tick in whose minute nothing can be due. Here what a tick does depends on three queries alone: schedules
//!   by their next slot, open runs by when somebody should look after them, runs by their limit. The play
//!   knows the earliest of these instants (a little too early is harmless), and before it all three come
//!   back empty.
//! - A heartbeat that another one follows before anything else happens: only the last one before a step
//!   leaves anything that the step could see.

mod functions;
mod play;
mod reckoning;
mod state;

use std::collections::BTreeSet;

use logisedge_domain::alert::AlertKind;
use logisedge_domain::id::RunId;
use logisedge_domain::run::RunState;

use reckoning::{Told, late_runs_are_told, missed_slots_are_told};
use state::{Year, year_begins, year_ends};

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_a_year_every_slot_has_one_final_state_and_every_anomaly_its_alert() {
    let mut year = Year::begin().await;
    year.play().await;
    let told = Told::of(&year.catalog).await;

    // Every slot, by the calendars alone, has one run a scope, and there is no other run.
    let mut expected = BTreeSet::new();
    for schedule in &year.config.schedules {
        let (zone, ends) = (schedule.zone, year_ends());
        for slot in schedule.calendar.slots_between(zone, year_begins(), ends) {
            let date = slot.with_timezone(&zone).date_naive();
            let is_paused = schedule.pause_until.is_some_and(|until| slot < until);
            if !is_paused && !schedule.skip_dates.contains(&date) {
                let scopes = schedule.scopes.iter();
                expected.extend(scopes.map(|scope| RunId::scheduled(&schedule.name, slot, scope)));
            }
        }
    }
    let known: BTreeSet<RunId> = told.runs.keys().cloned().collect();
    assert_eq!(known, expected);

    // Each is in the final state that it really came to, and was told.
    for (id, run) in &told.runs {
        let fate = &year.fates[id];
        let (state, at) = fate.ended.unwrap_or_else(|| panic!("{id} never ended"));
        assert!(run.state.is_final());
        assert_eq!((run.state, run.ended_at), (state, Some(at)), "{id}");
    }
    let committed: BTreeSet<RunId> = told.committed.iter().cloned().collect();
    assert_eq!(committed.len(), told.committed.len());
    assert_eq!(committed, told.runs_in(RunState::Succeeded));
    assert_eq!(told.runs_with(AlertKind::Success), committed);
    assert_eq!(
        told.runs_with(AlertKind::Failure),
        told.runs_in(RunState::Failed)
    );
    assert_eq!(
        told.runs_with(AlertKind::Skipped),
        told.runs_in(RunState::Skipped)
    );
    let snapshots = year.catalog.all_snapshots().await.unwrap();
    assert_eq!(snapshots.len(), committed.len());
    late_runs_are_told(&year, &told);
    let outages = missed_slots_are_told(&year, &told);

    let count = |state| told.runs_in(state).len();
    println!(
        "{} runs in {} ticks and {} requests: {} succeeded, {} failed, {} skipped, {} missed in {outages} outages; {} late; \
         {} commits refused",
        told.runs.len(),
        year.ticks,
        year.catalog.spent().requests,
        count(RunState::Succeeded),
        count(RunState::Failed),
        count(RunState::Skipped),
        count(RunState::Missed),
        told.alerts
            .iter()
            .filter(|alert| alert.kind == AlertKind::Late)
            .count(),
        year.fenced_commits,
    );
}

//! The dispatcher's side: which step comes next, ticks, and what they send.

use std::collections::BTreeSet;

use chrono::{NaiveDateTime, TimeDelta};
use logisedge_domain::Instant;
use logisedge_domain::event::Event;
use logisedge_domain::id::RunId;
use logisedge_domain::run::{Run, RunState};
use logisedge_domain::schedule::Schedule;
use logisedge_engine::configure;
use logisedge_engine::dispatch::{Dispatched, PICK_UP_WITHIN};

use super::state::{Fate, Happening, Year, seconds, year_ends};
use crate::world::tick;

impl Year {
    /// Until nothing can happen any more.
    pub(super) async fn play(&mut self) {
        let mut is_over = false;
        loop {
            let next = self.happenings.first_key_value().map(|(key, _)| *key);
            let tick_at = self.next_tick();
            let at = next.map(|(at, _)| at).into_iter().chain(tick_at).min();
            if !is_over && at.is_none_or(|at| at >= year_ends()) {
                self.end_schedules().await;
                is_over = true;
                continue;
            }
            let Some(at) = at else { break };
            self.now = at.max(self.now);
            self.send_heartbeats().await;
            match next {
                Some(key) if key.0 == at => {
                    let happening = self.happenings.remove(&key).unwrap();
                    self.happen(happening).await;
                }
                _ => self.tick().await,
            }
        }
    }

    /// The year is over: what is overdue is dispatched by the configuration that ends the schedules.
    pub(super) async fn end_schedules(&mut self) {
        self.now = year_ends();
        self.send_heartbeats().await;
        let mut ended = self.config.clone();
        for schedule in &mut ended.schedules {
            schedule.enabled = false;
        }
        let done = configure::apply(&self.catalog, &ended, self.now).await;
        let done = done.unwrap();
        self.note(&done, self.now);
        self.config = ended;
        self.due.clear();
    }

    pub(super) async fn tick(&mut self) {
        // A rule's event comes a little after its minute.
        self.now += seconds(self.random.below(20));
        self.send_heartbeats().await;
        let (catalog, now) = (&self.catalog, self.now);
        let doubled = self.random.below(10) == 0;
        let dones = match doubled {
            true => {
                let (one, two) = tokio::join!(tick(catalog, now), tick(catalog, now));
                vec![one.unwrap(), two.unwrap()]
            }
            false => vec![tick(catalog, now).await.unwrap()],
        };
        self.ticks += 1;
        self.ticked_at = now;
        self.look_at_schedules();
        let (passed, ahead) = std::mem::take(&mut self.limits)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|(at, ..)| *at <= now);
        self.limits = ahead;
        let again = passed.into_iter().filter(|(.., again)| !again);
        self.limits
            .extend(again.map(|(_, id, _)| (now + seconds(1), id, true)));
        for done in dones {
            assert!(done.failure.is_none(), "{:?}", done.failure);
            let wake = now + TimeDelta::from_std(PICK_UP_WITHIN).unwrap();
            self.note(&done, wake);
            // One dispatcher in twenty is killed before it publishes anything.
            if self.chance(5) {
                continue;
            }
            for event in &done.events {
                let Event::BackupRequested { run, .. } = event else {
                    panic!("{event:?}");
                };
                self.deliver(run);
            }
        }
    }

    /// What a dispatch recorded.
    pub(super) fn note(&mut self, done: &Dispatched, wake: Instant) {
        assert_eq!(done.missed_uncounted, 0, "no outage is that long");
        for id in &done.requested {
            assert!(self.fates.insert(id.clone(), Fate::default()).is_none());
            let (schedule, slot) = self.slot_of(id);
            let limits = [schedule.start_by(slot), schedule.finish_by(slot)];
            let limits = limits.into_iter().flatten();
            self.limits.extend(limits.map(|at| (at, id.clone(), false)));
        }
        for id in done.requested.iter().chain(&done.republished) {
            self.wakes.insert(id.clone(), wake);
        }
        for id in &done.missed {
            let ended = Some((RunState::Missed, self.now));
            let fate = Fate {
                began_at: None,
                ended,
            };
            assert!(self.fates.insert(id.clone(), fate).is_none());
        }
        for id in &done.given_up {
            self.ended(id, RunState::Failed);
        }
    }

    /// The schedule and slot that a run's id names.
    pub(super) fn slot_of(&self, id: &RunId) -> (Schedule, Instant) {
        let mut parts = id.as_str().split('.');
        let (name, slot) = (parts.next().unwrap(), parts.next().unwrap());
        let mut schedules = self.config.schedules.iter();
        let schedule = schedules.find(|schedule| schedule.name.as_str() == name);
        let slot = NaiveDateTime::parse_from_str(slot, "%Y%m%dT%H%M%SZ").unwrap();
        (schedule.unwrap().clone(), slot.and_utc())
    }

    pub(super) async fn run(&self, id: &RunId) -> Run {
        self.catalog.run(id).await.unwrap().unwrap()
    }

    pub(super) fn ended(&mut self, id: &RunId, state: RunState) {
        let fate = self.fates.get_mut(id).unwrap();
        assert_eq!(fate.ended, None, "{id} ends a second time, as {state:?}");
        fate.ended = Some((state, self.now));
        self.wakes.remove(id);
        // What it kept is not looked at any more; a tick later than that finds nothing either way.
        let now = self.now;
        self.limits.retain(|(at, run, _)| run != id || *at <= now);
    }

    /// An event on its way: usually soon, sometimes late and so out of order, or never, or twice.
    pub(super) fn deliver(&mut self, id: &RunId) {
        if self.chance(5) {
            return;
        }
        let copies = if self.chance(10) { 2 } else { 1 };
        for _ in 0..copies {
            let after = match self.random.below(20) {
                0 => self.random.below(3 * 3600),
                1..4 => self.random.below(900),
                _ => 1 + self.random.below(20),
            };
            self.plan(after, Happening::Delivery(id.clone()));
        }
    }
}

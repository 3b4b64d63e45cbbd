//! A schedule's slots: its calendar's, without those that a pause or a skipped date takes out. Such slots
//! do not exist, as those of a disabled schedule do not: nothing is recorded of them.

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};

use super::Schedule;
use crate::Instant;
use crate::calendar::{NewestSlots, instant_of, local_date};

/// What takes slots out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// The schedule is paused until then.
    Pause(Instant),
    /// The date is skipped: that which the zone's clock shows when a slot is due.
    Date(NaiveDate),
}

impl Schedule {
    /// The first slot strictly later than `after`, whether or not the schedule is enabled; none if its
    /// calendar has ended.
    pub fn next_slot_after(&self, after: Instant) -> Option<Instant> {
        let mut after = after;
        // Each turn leaves one gap behind.
        loop {
            let slot = self.calendar.next_after(self.zone, after)?;
            let Some((_, end)) = self.gap_at(slot) else {
                return Some(slot);
            };
            after = just_before(end);
        }
    }

    /// The slots after `after` up to and including `until`, oldest first.
    pub fn slots_between(
        &self,
        after: Instant,
        until: Instant,
    ) -> impl Iterator<Item = Instant> + '_ {
        std::iter::successors(self.next_slot_after(after), |slot| {
            self.next_slot_after(*slot)
        })
        .take_while(move |slot| *slot <= until)
    }

    /// The newest `count` slots after `after` up to and including `until`, and the number of the older
    /// ones. Its cost is that of [`Calendar::newest_slots`](crate::calendar::Calendar::newest_slots),
    /// and grows with the gaps in between.
    pub fn newest_slots(&self, after: Instant, until: Instant, count: usize) -> NewestSlots {
        let mut newest = NewestSlots::default();
        for (after, until) in self.stretches(after, until).into_iter().rev() {
            let wanted = count - newest.slots.len();
            let part = self.calendar.newest_slots(self.zone, after, until, wanted);
            newest.slots.splice(..0, part.slots);
            newest.older += part.older;
        }
        newest
    }

    /// The gaps that take slots out of the time after `after` and up to `until`, in the order of time.
    pub fn gaps_between(&self, after: Instant, until: Instant) -> Vec<Gap> {
        let takes_out = |(_, start, end): &(Gap, Instant, Instant)| {
            let from = after.max(just_before(*start));
            let slot = self.calendar.next_after(self.zone, from);
            slot.is_some_and(|slot| slot < *end && slot <= until)
        };
        let gaps = self.gaps(after, until).into_iter().filter(takes_out);
        gaps.map(|(gap, _, _)| gap).collect()
    }

    /// The gap that an instant lies in, with its end, the first instant after it.
    fn gap_at(&self, at: Instant) -> Option<(Gap, Instant)> {
        self.gaps(at, at)
            .into_iter()
            .find(|(_, start, end)| (*start..*end).contains(&at))
            .map(|(gap, _, end)| (gap, end))
    }

    /// The gaps from the one that `from` may lie in to the one that `to` may, in the order of time: each
    /// with its first instant and the first one after it.
    fn gaps(&self, from: Instant, to: Instant) -> Vec<(Gap, Instant, Instant)> {
        let mut gaps = Vec::new();
        if let Some(until) = self.pause_until.filter(|until| *until > from) {
            gaps.push((Gap::Pause(until), Instant::MIN_UTC, until));
        }
        let dates = (local_date(self.zone, from), local_date(self.zone, to));
        let (Some(first), Some(last)) = dates else {
            return gaps;
        };
        // Where a clock is put back over midnight, it shows the date before once more.
        let last = last.checked_add_days(Days::new(1)).unwrap_or(last);
        for date in self.skip_dates.range(first..=last) {
            let begins = |date: NaiveDate| instant_of(self.zone, date.and_time(NaiveTime::MIN));
            let next = date.checked_add_days(Days::new(1));
            if let (Some(start), Some(end)) = (begins(*date), next.and_then(begins)) {
                gaps.push((Gap::Date(*date), start, end));
            }
        }
        gaps
    }

    /// What the gaps leave of the time after `after` up to and including `until`, each stretch of the
    /// same form, in the order of time.
    fn stretches(&self, after: Instant, until: Instant) -> Vec<(Instant, Instant)> {
        let mut stretches = Vec::new();
        let mut from = after;
        for (_, start, end) in self.gaps(after, until) {
            if start > from {
                stretches.push((from, just_before(start).min(until)));
            }
            from = from.max(just_before(end));
        }
        stretches.push((from, until));
        stretches.retain(|(from, to)| from < to);
        stretches
    }
}

/// Slots are whole seconds.
pub(crate) fn just_before(at: Instant) -> Instant {
    at.checked_sub_signed(TimeDelta::nanoseconds(1))
        .unwrap_or(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::Calendar;
    use crate::samples::{at, schedule};

    fn dates(texts: &[&str]) -> std::collections::BTreeSet<NaiveDate> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_pause_and_skipped_dates_take_slots_out() {
        let mut schedule = schedule();
        schedule.pause_until = Some(at("2026-12-20T01:00:00Z"));
        schedule.skip_dates = dates(&["2026-12-10", "2026-12-21", "2026-12-22", "2026-12-24"]);
        let from = at("2026-12-01T12:00:00Z");
        let slots: Vec<Instant> = schedule
            .slots_between(from, at("2026-12-26T12:00:00Z"))
            .collect();
        // The pause ends with the slot of the 20th, which is one again.
        let expected = ["20", "23", "25", "26"].map(|day| at(&format!("2026-12-{day}T01:00:00Z")));
        assert_eq!(slots, expected);
        let newest = schedule.newest_slots(from, at("2026-12-26T12:00:00Z"), 3);
        assert_eq!((newest.slots.as_slice(), newest.older), (&expected[1..], 1));
        let date = |text: &str| Gap::Date(text.parse().unwrap());
        assert_eq!(
            schedule.gaps_between(from, at("2026-12-23T01:00:00Z")),
            [
                Gap::Pause(at("2026-12-20T01:00:00Z")),
                date("2026-12-10"),
                date("2026-12-21"),
                date("2026-12-22"),
            ]
        );
        assert_eq!(
            schedule.gaps_between(at("2026-12-21T12:00:00Z"), at("2026-12-22T00:00:00Z")),
            []
        );
    }

    #[test]
    fn a_date_is_the_one_that_the_zones_clock_shows() {
        let mut schedule = schedule();
        schedule.calendar = Calendar::Minutes { minutes: 60 };
        schedule.zone = chrono_tz::America::New_York;
        schedule.skip_dates = dates(&["2026-11-01"]);
        // The day on which clocks are put back has 25 hours.
        let next = schedule.next_slot_after(at("2026-11-01T03:00:00Z"));
        assert_eq!(next, Some(at("2026-11-02T05:00:00Z")));
        let newest = schedule.newest_slots(
            at("2026-10-31T04:00:00Z"),
            at("2026-11-03T04:59:59Z"),
            usize::from(u16::MAX),
        );
        assert_eq!(newest.slots.len(), 23 + 1 + 23);
        // Samoa never had this date.
        schedule.zone = chrono_tz::Pacific::Apia;
        schedule.skip_dates = dates(&["2011-12-30"]);
        let next = schedule.next_slot_after(at("2011-12-30T10:00:00Z"));
        assert_eq!(next, Some(at("2011-12-30T11:00:00Z")));
    }

    /// Clocks are put forward from 28 March 2026 23:00 to midnight. 23:30 of the 28th is due then: on the 29th.
    #[test]
    fn a_slot_that_is_moved_over_midnight_belongs_to_the_date_that_it_runs_on() {
        let mut schedule = schedule();
        schedule.zone = chrono_tz::America::Scoresbysund;
        schedule.calendar = Calendar::Day {
            at: NaiveTime::from_hms_opt(23, 30, 0).unwrap(),
        };
        let (from, moved) = (at("2026-03-28T12:00:00Z"), at("2026-03-29T01:00:00Z"));
        schedule.skip_dates = dates(&["2026-03-28"]);
        assert_eq!(schedule.next_slot_after(from), Some(moved));
        schedule.skip_dates = dates(&["2026-03-29"]);
        let next = schedule.next_slot_after(from);
        assert_eq!(next, Some(at("2026-03-31T00:30:00Z")));
    }

    proptest! {
        /// Slots one by one, the newest of a stretch, and the calendar's own without what lies in a gap
        /// are the same.
        #[test]
        fn gaps_take_out_what_lies_in_them_and_nothing_else(
            skipped in proptest::collection::btree_set(0..40u64, 0..12),
            pause_hours in proptest::option::of(0..900i64),
            minutes in prop_oneof![Just(None), (1..1440u32).prop_map(Some)],
            from in 0..400i64,
            hours in 1..900i64,
            count in 0..30usize,
            zone in proptest::sample::select(vec![
                chrono_tz::UTC,
                chrono_tz::Europe::Berlin,
                chrono_tz::America::St_Johns,
                chrono_tz::Australia::Lord_Howe,
            ]),
        ) {
            let start = at("2006-10-01T00:00:00Z");
            let mut schedule = schedule();
            schedule.zone = zone;
            if let Some(minutes) = minutes {
                schedule.calendar = Calendar::Minutes { minutes };
            }
            let first: NaiveDate = "2006-10-01".parse().unwrap();
            schedule.skip_dates = skipped.iter().map(|days| first + Days::new(*days)).collect();
            schedule.pause_until = pause_hours.map(|hours| start + TimeDelta::hours(hours));
            let after = start + TimeDelta::hours(from);
            let until = after + TimeDelta::hours(hours);
            let begins = |date: NaiveDate| instant_of(zone, date.and_time(NaiveTime::MIN)).unwrap();
            let taken_out = |slot: &Instant| {
                schedule.pause_until.is_some_and(|until| *slot < until)
                    || schedule.skip_dates.iter().any(|date| {
                        (begins(*date)..begins(*date + Days::new(1))).contains(slot)
                    })
            };
            let all = schedule.calendar.slots_between(zone, after, until);
            let expected: Vec<Instant> = all.filter(|slot| !taken_out(slot)).collect();
            let slots: Vec<Instant> = schedule.slots_between(after, until).collect();
            prop_assert_eq!(&slots, &expected);
            let newest = schedule.newest_slots(after, until, count);
            let older = expected.len().saturating_sub(count);
            prop_assert_eq!(newest.slots, &expected[older..]);
            prop_assert_eq!(newest.older, older as u64);
        }
    }
}

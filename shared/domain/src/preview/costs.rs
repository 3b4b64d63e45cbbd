//! What stored bytes and requests cost.

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta};
use serde::Serialize;

use super::chains::Piece;
use super::keeping::Assumptions;
use crate::Instant;
use crate::prices::{CLASSES, GIGABYTE, StorageClass};

/// One calendar month, or what of it lies inside the preview, in S3 STANDARD.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthCost {
    /// `2026-12`.
    pub month: String,
    /// Its days inside the preview.
    pub days: u32,
    /// Bytes held, the grace days' included, on average over those days.
    pub bytes_average: u64,
    /// USD for them.
    pub storage: f64,
    /// PUT requests of backups.
    pub puts: u64,
    /// GET requests of verification.
    pub gets: u64,
    /// USD for both.
    pub requests: f64,
}

/// The last 30 days of the preview, had the packs been written to one storage class at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCost {
    /// The class and its prices.
    pub class: StorageClass,
    /// USD for storage, the days included that are charged for objects deleted early.
    pub storage: f64,
    /// USD for requests, and for the bytes that verification reads.
    pub requests: f64,
}

/// Days of [`ClassCost`].
const CLASS_DAYS: i64 = 30;

/// A run, for the requests that it makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) at: Instant,
    /// Bytes stored by it.
    pub(super) stored: u64,
    /// Bytes of all blobs that its snapshot needs, which verification reads.
    pub(super) read: u64,
}

fn packs(bytes: u64, pack_bytes: u64) -> u64 {
    bytes.div_ceil(pack_bytes.max(1))
}

/// Objects of a snapshot beside its packs of data: a pack of trees, an index, the snapshot, and
/// `config` and a key where it begins a chain.
const OTHER_OBJECTS: u64 = 5;

fn puts(work: &Work, assumptions: &Assumptions) -> u64 {
    packs(work.stored, assumptions.pack_bytes) + OTHER_OBJECTS
}

/// Each snapshot is read back once when it is committed.
fn gets(work: &Work, assumptions: &Assumptions) -> u64 {
    packs(work.read, assumptions.pack_bytes) + OTHER_OBJECTS
}

fn midnight(date: NaiveDate) -> Instant {
    date.and_time(NaiveTime::MIN).and_utc()
}

pub(super) fn months(
    pieces: &[Piece],
    work: &[Work],
    daily: &[Work],
    assumptions: &Assumptions,
) -> Vec<MonthCost> {
    let standard = &CLASSES[0];
    let grace = TimeDelta::days(assumptions.grace_days.into());
    let mut months: Vec<MonthCost> = Vec::new();
    let first = assumptions.now.date_naive();
    let days = first.iter_days().skip(1).take(assumptions.days as usize);
    let mut bytes_days = 0u128;
    for day in days {
        let name = day.format("%Y-%m").to_string();
        if months.last().is_none_or(|month| month.month != name) {
            bytes_days = 0;
            months.push(MonthCost {
                month: name,
                days: 0,
                bytes_average: 0,
                storage: 0.0,
                puts: 0,
                gets: 0,
                requests: 0.0,
            });
        }
        let Some(month) = months.last_mut() else {
            continue;
        };
        let noon = midnight(day) + TimeDelta::hours(12);
        let held = pieces.iter().filter(|piece| piece.is_held(noon, grace));
        let bytes: u64 = held.map(|piece| piece.bytes).sum();
        bytes_days += u128::from(bytes);
        month.days += 1;
        month.bytes_average = (bytes_days / u128::from(month.days)) as u64;
        let days_in_month = days_in_month(day);
        month.storage += bytes as f64 / GIGABYTE * standard.gigabyte_month / days_in_month;
        let of_day = |work: &&Work| work.at.date_naive() == day;
        let of_day = |all: &[Work]| all.iter().filter(of_day).copied().collect::<Vec<Work>>();
        for work in of_day(work) {
            month.puts += puts(&work, assumptions);
            month.gets += gets(&work, assumptions);
        }
        for work in of_day(daily) {
            month.gets += gets(&work, assumptions);
        }
    }
    for month in &mut months {
        month.requests = month.puts as f64 / 1000.0 * standard.thousand_puts
            + month.gets as f64 / 1000.0 * standard.thousand_gets;
    }
    months
}

fn days_in_month(day: NaiveDate) -> f64 {
    f64::from(crate::calendar::days_in_month(day.year(), day.month()))
}

pub(super) fn classes(
    pieces: &[Piece],
    work: &[Work],
    daily: &[Work],
    assumptions: &Assumptions,
) -> Vec<ClassCost> {
    let until = assumptions.now + TimeDelta::days(assumptions.days.into());
    let from = until - TimeDelta::days(CLASS_DAYS.min(assumptions.days.into()));
    let grace = TimeDelta::days(assumptions.grace_days.into());
    let of_class = |class: &StorageClass| {
        let least = TimeDelta::days(class.days_min.into());
        let gigabyte_days: f64 = pieces
            .iter()
            .map(|piece| {
                let end = piece.freed.map_or(until, |freed| freed + grace);
                let end = end.max(piece.from + least).min(until);
                let begin = piece.from.max(from);
                let days = (end - begin).num_seconds().max(0) as f64 / 86_400.0;
                piece.bytes as f64 / GIGABYTE * days
            })
            .sum();
        let within = |all: &[Work]| {
            let within = all.iter().filter(|work| work.at > from && work.at <= until);
            within.copied().collect::<Vec<Work>>()
        };
        let (runs, daily) = (within(work), within(daily));
        let written: u64 = runs.iter().map(|work| puts(work, assumptions)).sum();
        let verified = || runs.iter().chain(&daily);
        let read: u64 = verified().map(|work| gets(work, assumptions)).sum();
        let bytes_read: u64 = verified().map(|work| work.read).sum();
        ClassCost {
            class: *class,
            storage: gigabyte_days * class.gigabyte_month / 30.0,
            requests: written as f64 / 1000.0 * class.thousand_puts
                + read as f64 / 1000.0 * class.thousand_gets
                + bytes_read as f64 / GIGABYTE * class.gigabyte_read,
        }
    };
    CLASSES.iter().map(of_class).collect()
}

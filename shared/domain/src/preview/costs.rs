//! What stored bytes and requests cost.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta};
use serde::Serialize;

use super::chains::Piece;
use super::keeping::Assumptions;
use crate::Instant;
use crate::prices::{CLASSES, GIGABYTE, STANDARD, StorageClass};

/// One calendar month, or what of it lies inside the preview.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthCost {
    /// `2026-12`.
    pub month: String,
    /// Its days inside the preview; of the first and the last day that may be a part.
    pub days: f64,
    /// Bytes held, the grace days' included, on average over those days.
    pub bytes_average: u64,
    /// The same by the storage class that they lie in.
    pub classes: BTreeMap<&'static str, u64>,
    /// USD for them, and for the days that a class charges for what is deleted early.
    pub storage: f64,
    /// PUT requests of backups.
    pub puts: u64,
    /// GET requests of verification.
    pub gets: u64,
    /// Packs that lifecycle rules move to another class.
    pub transitions: u64,
    /// USD for the three, and for the bytes that verification reads.
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

const DAY_MILLISECONDS: f64 = 86_400_000.0;

/// A run or a verification, for the requests that it makes.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) at: Instant,
    /// Bytes stored by it.
    pub(super) stored: u64,
    /// All blobs that its snapshot needs, which verification reads.
    pub(super) read: Vec<Part>,
}

/// The daily verification of the newest snapshot.
#[derive(Debug, Clone)]
pub(super) struct Daily {
    pub(super) work: Work,
    /// Whether it reads at all, by the snapshot's own tier.
    pub(super) is_read: bool,
    /// Whether it would where reading is dear.
    pub(super) is_dear: bool,
}

/// Bytes that lie in one class when they are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) bytes: u64,
    pub(super) class: StorageClass,
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

/// GET requests of reading a snapshot back, which happens once when it is committed, and later by the
/// daily rule. Of what is archived a verification reads nothing.
fn gets(work: &Work, assumptions: &Assumptions) -> u64 {
    let readable = work.read.iter().filter(|part| !part.class.archived);
    let packs = readable.map(|part| packs(part.bytes, assumptions.pack_bytes));
    packs.sum::<u64>() + OTHER_OBJECTS
}

/// USD for those requests, and for the bytes.
fn reading(work: &Work, assumptions: &Assumptions) -> f64 {
    let readable = work.read.iter().filter(|part| !part.class.archived);
    let parts = readable.map(|part| {
        let requests = packs(part.bytes, assumptions.pack_bytes) as f64;
        requests / 1000.0 * part.class.thousand_gets
            + part.bytes as f64 / GIGABYTE * part.class.gigabyte_read
    });
    parts.sum::<f64>() + OTHER_OBJECTS as f64 / 1000.0 * STANDARD.thousand_gets
}

fn midnight(date: NaiveDate) -> Instant {
    date.and_time(NaiveTime::MIN).and_utc()
}

/// What a piece costs in time: where it lies when, and until when that is charged.
struct Stay<'p> {
    piece: &'p Piece,
    moves: Option<(Instant, StorageClass)>,
    /// When S3 destroys the bytes.
    gone: Option<Instant>,
}

impl Stay<'_> {
    /// The class that is paid for at an instant, and whether the bytes are there at all.
    fn class(&self, at: Instant) -> Option<(StorageClass, bool)> {
        let is_there = self.piece.from <= at && self.gone.is_none_or(|gone| at < gone);
        match self.moves {
            Some((moves, class)) if moves <= at => {
                let charged = moves + TimeDelta::days(class.days_min.into());
                (is_there || at < charged).then_some((class, is_there))
            }
            _ => is_there.then_some((STANDARD, true)),
        }
    }
}

/// The days of the preview, or what of them lies inside: each with its middle and its length in days.
fn days(assumptions: &Assumptions) -> impl Iterator<Item = (NaiveDate, Instant, f64)> {
    let (now, until) = (assumptions.now, assumptions.until);
    let days = now.date_naive().iter_days().map(move |day| {
        let begin = midnight(day).max(now);
        let end = (midnight(day) + TimeDelta::days(1)).min(until);
        (day, begin, end)
    });
    days.take_while(|(_, begin, end)| begin < end)
        .map(|(day, begin, end)| {
            let length = end - begin;
            let part = length.num_milliseconds() as f64 / DAY_MILLISECONDS;
            (day, begin + length / 2, part)
        })
}

pub(super) fn months(
    pieces: &[Piece],
    work: &[Work],
    daily: &[Daily],
    assumptions: &Assumptions,
) -> Vec<MonthCost> {
    let stays: Vec<Stay<'_>> = pieces
        .iter()
        .map(|piece| Stay {
            piece,
            moves: piece.moves(&assumptions.transitions),
            gone: piece.gone(assumptions.grace_days),
        })
        .collect();
    let mut months: Vec<MonthCost> = Vec::new();
    let mut bytes_days: BTreeMap<&'static str, f64> = BTreeMap::new();
    for (day, middle, part) in days(assumptions) {
        let name = day.format("%Y-%m").to_string();
        if months.last().is_none_or(|month| month.month != name) {
            bytes_days.clear();
            months.push(MonthCost {
                month: name,
                days: 0.0,
                bytes_average: 0,
                classes: BTreeMap::new(),
                storage: 0.0,
                puts: 0,
                gets: 0,
                transitions: 0,
                requests: 0.0,
            });
        }
        let Some(month) = months.last_mut() else {
            continue;
        };
        month.days += part;
        for stay in &stays {
            let bytes = stay.piece.bytes;
            if let Some((class, is_there)) = stay.class(middle) {
                month.storage +=
                    bytes as f64 / GIGABYTE * class.gigabyte_month * part / days_in_month(day);
                let there = if is_there { bytes as f64 * part } else { 0.0 };
                *bytes_days.entry(class.name).or_default() += there;
            }
            let is_today = |(moves, _): &(Instant, StorageClass)| {
                moves.date_naive() == day && (assumptions.now..assumptions.until).contains(moves)
            };
            if let Some((_, class)) = stay.moves.filter(is_today) {
                let packs = packs(bytes, assumptions.pack_bytes);
                month.transitions += packs;
                month.requests += packs as f64 / 1000.0 * class.thousand_puts;
            }
        }
        let average = |bytes: f64| (bytes / month.days).round() as u64;
        month.bytes_average = average(bytes_days.values().sum());
        let averages = bytes_days
            .iter()
            .map(|(class, bytes)| (*class, average(*bytes)));
        month.classes = averages.filter(|(_, bytes)| *bytes > 0).collect();
        for work in work.iter().filter(|work| work.at.date_naive() == day) {
            let puts = puts(work, assumptions);
            month.puts += puts;
            month.requests += puts as f64 / 1000.0 * STANDARD.thousand_puts;
        }
        let daily = daily.iter().filter(|daily| daily.is_read);
        let verified = work.iter().chain(daily.map(|daily| &daily.work));
        for work in verified.filter(|work| work.at.date_naive() == day) {
            month.gets += gets(work, assumptions);
            month.requests += reading(work, assumptions);
        }
    }
    months
}

fn days_in_month(day: NaiveDate) -> f64 {
    f64::from(crate::calendar::days_in_month(day.year(), day.month()))
}

pub(super) fn classes(
    pieces: &[Piece],
    work: &[Work],
    daily: &[Daily],
    assumptions: &Assumptions,
) -> Vec<ClassCost> {
    let until = assumptions.until;
    let from = assumptions.now.max(until - TimeDelta::days(CLASS_DAYS));
    let of_class = |class: &StorageClass| {
        let least = TimeDelta::days(class.days_min.into());
        let gigabyte_days: f64 = pieces
            .iter()
            .map(|piece| {
                let end = piece.gone(assumptions.grace_days).unwrap_or(until);
                let end = end.max(piece.from + least).min(until);
                let begin = piece.from.max(from);
                let days = (end - begin).num_milliseconds().max(0) as f64 / DAY_MILLISECONDS;
                piece.bytes as f64 / GIGABYTE * days
            })
            .sum();
        let is_within = |work: &&Work| (from..until).contains(&work.at);
        let runs = work.iter().filter(is_within);
        let written: u64 = runs.map(|work| puts(work, assumptions)).sum();
        // By the rules that such a schedule has: what is dear to read is read every 30 days, and of what
        // is archived nothing is.
        let is_standard = class.name == STANDARD.name;
        let daily = daily.iter().filter(|daily| is_standard || daily.is_dear);
        let verified = work.iter().chain(daily.map(|daily| &daily.work));
        let (mut read, mut bytes_read) = (0, 0);
        for work in verified.filter(is_within) {
            read += OTHER_OBJECTS;
            if !class.archived {
                let bytes = work.read.iter().map(|part| part.bytes).sum();
                read += packs(bytes, assumptions.pack_bytes);
                bytes_read += bytes;
            }
        }
        ClassCost {
            class: *class,
            storage: gigabyte_days * class.gigabyte_month / CLASS_DAYS as f64,
            requests: written as f64 / 1000.0 * class.thousand_puts
                + read as f64 / 1000.0 * class.thousand_gets
                + bytes_read as f64 / GIGABYTE * class.gigabyte_read,
        }
    };
    CLASSES.iter().map(of_class).collect()
}

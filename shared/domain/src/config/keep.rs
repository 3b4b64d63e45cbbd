//! `keep`: how long snapshots are kept, of a schedule or of a scope.

use super::reader::Section;
use crate::retention::{Retention, Span};

/// Days that a schedule's snapshots are kept where nothing is said.
pub const KEEP_DAYS: u32 = 7;

/// What `setup` writes: a grandfather-father-son rotation over a year.
pub const KEEP_SEED: Retention = Retention {
    keep_days: None,
    keep_last: None,
    keep_hourly: None,
    keep_daily: Some(7),
    keep_weekly: Some(4),
    keep_monthly: Some(12),
    keep_yearly: None,
    keep_within: None,
    keep_within_hourly: None,
    keep_within_daily: None,
    keep_within_weekly: None,
    keep_within_monthly: None,
    keep_within_yearly: None,
    proven: None,
};

/// A century of days, or that many snapshots: more is a typing mistake.
const KEEP_MAX: u32 = 36_525;

/// A schedule's. There must be a rule, or what is old would never go by mistake.
pub(super) fn of_schedule(section: &Section<'_, '_>) -> Option<Retention> {
    if !section.has("keep") {
        return Some(Retention {
            keep_days: Some(KEEP_DAYS),
            ..Retention::default()
        });
    }
    let (retention, keep) = read(section)?;
    let rules = [
        "days",
        "last",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "yearly",
        "within",
        "within_hourly",
        "within_daily",
        "within_weekly",
        "within_monthly",
        "within_yearly",
    ];
    if !rules.iter().any(|key| keep.has(key)) {
        keep.problem("names no rule; for example keep = { days = 7, last = 3 }");
    }
    keep.finish();
    Some(retention)
}

/// A scope's, which may be a floor alone.
pub(super) fn of_scope(section: &Section<'_, '_>) -> Option<Retention> {
    if !section.has("keep") {
        return None;
    }
    let (retention, keep) = read(section)?;
    if keep.is_empty() {
        keep.problem("names no rule; for example keep = { proven = 3, monthly = 24 }");
    }
    keep.finish();
    Some(retention)
}

fn read<'r, 'a>(section: &Section<'r, 'a>) -> Option<(Retention, Section<'r, 'a>)> {
    let keep = section.section("keep")?;
    let number = |key| keep.number(key, 1..=KEEP_MAX);
    let retention = Retention {
        keep_days: number("days"),
        keep_last: number("last"),
        keep_hourly: number("hourly"),
        keep_daily: number("daily"),
        keep_weekly: number("weekly"),
        keep_monthly: number("monthly"),
        keep_yearly: number("yearly"),
        keep_within: span(&keep, "within"),
        keep_within_hourly: span(&keep, "within_hourly"),
        keep_within_daily: span(&keep, "within_daily"),
        keep_within_weekly: span(&keep, "within_weekly"),
        keep_within_monthly: span(&keep, "within_monthly"),
        keep_within_yearly: span(&keep, "within_yearly"),
        proven: number("proven"),
    };
    Some((retention, keep))
}

fn span(keep: &Section<'_, '_>, key: &'static str) -> Option<Span> {
    let text = keep.text(key)?;
    let span = text.value.parse::<Span>();
    span.inspect_err(|e| text.problem(keep.reader, e.to_string()))
        .ok()
}

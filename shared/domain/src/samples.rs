//! Values that the tests of several modules begin with.
#![allow(clippy::unwrap_used)]

use crate::Instant;
use crate::alert::Topics;
use crate::calendar::Calendar;
use crate::id::{ChainPath, Fence, RunId, SnapshotId};
use crate::requests::Requests;
use crate::retention::Retention;
use crate::run::{Cause, Run, RunProgress, RunState, RunStats};
use crate::schedule::{AlertPolicy, Schedule};
use crate::snapshot::{Kind, SnapshotRecord, Trust};
use crate::storage::StorageTier;

pub(crate) fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// Daily at 02:00 in Berlin, catching up for six hours.
pub(crate) fn schedule() -> Schedule {
    Schedule {
        name: "daily".parse().unwrap(),
        calendar: Calendar::Day {
            at: chrono::NaiveTime::from_hms_opt(2, 0, 0).unwrap(),
        },
        zone: chrono_tz::Europe::Berlin,
        kind: Kind::Full,
        full: None,
        scopes: vec!["customers".parse().unwrap()],
        location: "main".parse().unwrap(),
        tier: StorageTier::Standard,
        retention: Retention::default(),
        lock: None,
        alerts: AlertPolicy::default(),
        topics: Topics::default(),
        enabled: true,
        catch_up_seconds: 6 * 3600,
        start_within_seconds: None,
        finish_within_seconds: None,
        pause_until: None,
        skip_dates: Default::default(),
    }
}

/// A run of [`schedule`] on 24 November 2026, just recorded.
pub(crate) fn run() -> Run {
    let slot = at("2026-11-24T01:00:00Z");
    let scope = "customers".parse().unwrap();
    Run {
        id: RunId::scheduled(&"daily".parse().unwrap(), slot, &scope),
        cause: Cause::Schedule {
            schedule: "daily".parse().unwrap(),
            slot,
        },
        scope,
        location: "main".parse().unwrap(),
        kind: Kind::Full,
        kind_taken: None,
        state: RunState::Requested,
        attempts: 0,
        retry_at: None,
        fence: None,
        requested_at: at("2026-11-24T01:00:12Z"),
        start_by: None,
        finish_by: None,
        started_at: None,
        ended_at: None,
        reason: None,
        kind_reason: None,
        chain: None,
        snapshot: None,
        progress: RunProgress::default(),
        stats: None,
    }
}

pub(crate) fn stats() -> RunStats {
    RunStats {
        rows: 1_234_567,
        bytes_read: 1_440_000_000,
        bytes_skipped: 0,
        bytes_new: 1_440_000_000,
        bytes_shared: 0,
        bytes_stored: 443_000_000,
        objects_stored: 30,
        duration_ms: 123_000,
        requests: Requests::default(),
    }
}

/// [`run`] with everything that a run can have.
pub(crate) fn succeeded_run() -> Run {
    Run {
        state: RunState::Succeeded,
        attempts: 2,
        fence: Some(Fence(7)),
        started_at: Some(at("2026-11-24T01:00:14Z")),
        ended_at: Some(at("2026-11-24T01:02:17Z")),
        reason: Some("attempt 1: the server closed the connection".to_owned()),
        kind_reason: Some("the chain has no usable full snapshot".to_owned()),
        chain: Some(snapshot(1).chain),
        snapshot: Some(snapshot(1).id),
        progress: RunProgress {
            bytes_read: 1_440_000_000,
            bytes_expected: 1_500_000_000,
            parts_done: 12,
            parts: 12,
        },
        stats: Some(stats()),
        ..run()
    }
}

/// A verified snapshot of [`run`], told apart by a number.
pub(crate) fn snapshot(number: u8) -> SnapshotRecord {
    let run = run();
    let taken_at = at("2026-11-24T01:00:15Z");
    SnapshotRecord {
        id: SnapshotId::from_bytes([number; 32]),
        chain: ChainPath::new(&run.scope, taken_at),
        scope: run.scope,
        location: run.location,
        kind: Kind::Full,
        kind_reason: None,
        base: None,
        run: run.id,
        schedule: Some("daily".parse().unwrap()),
        tier: StorageTier::Standard,
        taken_at,
        tables: 12,
        rows: 1_234_567,
        bytes: 1_440_000_000,
        bytes_stored: 443_000_000,
        trust: Trust::Verified,
        verified_at: Some(at("2026-11-24T01:05:00Z")),
        findings: 0,
        deleting_since: None,
        hold: None,
        locked_until: None,
    }
}

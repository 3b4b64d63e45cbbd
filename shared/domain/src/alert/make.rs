//! An alert of each kind, from the values that it is about.
//!
//! Ids depend only on what happened, so that an alert that is published twice is recognisable.

use std::time::Duration;

use super::{Alert, AlertKind};
use crate::Instant;
use crate::finding::Finding;
use crate::format;
use crate::id::compact;
use crate::plan::PrunePlan;
use crate::run::{Run, RunStats};
use crate::snapshot::SnapshotRecord;

/// Findings that an alert lists one by one; the others are counted.
pub(super) const FINDINGS_SHOWN_MAX: usize = 10;

/// Bytes of a reason that an alert repeats. It stands in an alert several times, and an alert in each
/// form that SNS is given; all of that together has to stay below SNS's 256 KiB:
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.
pub(super) const REASON_BYTES_MAX: usize = 2000;

/// Words of a reason that tell it from another one, enough to reach the scope in an event's JSON; with
/// [`GIST_WORD_BYTES_MAX`] far below what a key of the catalog may have.
const GIST_WORDS: usize = 24;
const GIST_WORD_BYTES_MAX: usize = 30;

impl Alert {
    /// A snapshot was committed.
    pub fn snapshot_committed(
        run: &Run,
        snapshot: &SnapshotRecord,
        stats: &RunStats,
        now: Instant,
    ) -> Self {
        let size = format!(
            "{}, {}, {}",
            format::counted(snapshot.tables, "table"),
            format::counted(snapshot.rows, "row"),
            format::bytes(snapshot.bytes)
        );
        let took = format::duration(Duration::from_millis(stats.duration_ms));
        let mut details = vec![
            format!("Content: {size}"),
            format!("Stored: {} in {took}", format::bytes(snapshot.bytes_stored)),
            format!("Holds the state of: {}", format::instant(snapshot.taken_at)),
            format!("Location: {}, {}", snapshot.location, snapshot.chain),
        ];
        let kind = snapshot.kind.as_str();
        let reason = snapshot.kind_reason.as_ref().or(run.kind_reason.as_ref());
        details.extend(match (reason, snapshot.base) {
            (Some(why), _) => Some(format!("Kind: {kind} ({why})")),
            (None, Some(base)) => Some(format!(
                "Kind: {kind}, on {}; {} new, {} shared",
                base.short(),
                format::bytes(stats.bytes_new),
                format::bytes(stats.bytes_shared)
            )),
            (None, None) => None,
        });
        Self {
            snapshot: Some(snapshot.id),
            details,
            ..of_run(
                AlertKind::Success,
                run,
                now,
                format!("The backup of {} is stored: {size} in {took}.", run.scope),
            )
        }
    }

    /// A run failed for good.
    pub fn run_failed(run: &Run, now: Instant) -> Self {
        let tries = format::counted(run.attempts.max(1).into(), "attempt");
        let mut details = vec![format!("Reason: {}", reason(run))];
        if run.progress.bytes_read > 0 {
            details.push(format!(
                "Read before it ended: {} of about {}",
                format::bytes(run.progress.bytes_read),
                format::bytes(run.progress.bytes_expected.max(run.progress.bytes_read))
            ));
        }
        Self {
            details,
            action: "Remove the reason, then start the backup again. Earlier snapshots are not \
                     affected."
                .to_owned(),
            command: format!("logisedge-backup run --scope {} --wait", run.scope),
            ..of_run(
                AlertKind::Failure,
                run,
                now,
                format!(
                    "The backup of {} failed after {tries}: {}",
                    run.scope,
                    reason(run)
                ),
            )
        }
    }

    /// A run was skipped because the scope's previous one was still going.
    pub fn skipped(run: &Run, now: Instant) -> Self {
        Self {
            details: vec![format!("Reason: {}", reason(run))],
            action:
                "If this repeats, the schedule is shorter than a backup takes: make it longer, \
                     or give the source more connections."
                    .to_owned(),
            command: "logisedge-backup status".to_owned(),
            ..of_run(
                AlertKind::Skipped,
                run,
                now,
                format!("The backup of {} was skipped: {}", run.scope, reason(run)),
            )
        }
    }

    /// The run's location has no room left. `reason` is what the location answered.
    pub fn storage_full(run: &Run, reason: &str, now: Instant) -> Self {
        let reason = format::bounded(reason, REASON_BYTES_MAX);
        Self {
            details: vec![
                format!("Location: {}", run.location),
                format!("Reason: {reason}"),
            ],
            action: "Make room at the location, or shorten retention and prune; then start the \
                     backup again."
                .to_owned(),
            command: format!("logisedge-backup prune --scope {} --dry-run", run.scope),
            ..of_run(
                AlertKind::StorageFull,
                run,
                now,
                format!(
                    "Location {} is full: the backup of {} was not stored.",
                    run.location, run.scope
                ),
            )
        }
    }

    /// Verify found something wrong with a snapshot.
    pub fn finding(snapshot: &SnapshotRecord, findings: &[Finding], now: Instant) -> Self {
        let damage = findings.iter().any(|finding| finding.kind.is_damage());
        let count = format::counted(findings.len() as u64, "finding");
        let of = format!("snapshot {} of {}", snapshot.id.short(), snapshot.scope);
        let (summary, action) = if damage {
            (
                format!("{count} in {of}: it must not be relied on."),
                "Back the scope up again now. Then see what is wrong: a damaged object may come \
                 back from the bucket's older versions.",
            )
        } else {
            (
                format!(
                    "{count} beside {of}: it can be restored, but objects lie there that nothing needs."
                ),
                "No hurry: the objects do no harm. Find out who put them there.",
            )
        };
        let mut details = vec![
            format!("Holds the state of: {}", format::instant(snapshot.taken_at)),
            format!("Location: {}, {}", snapshot.location, snapshot.chain),
        ];
        let shown = findings.iter().take(FINDINGS_SHOWN_MAX);
        details.extend(shown.map(|finding| format!("Finding: {finding}")));
        if findings.len() > FINDINGS_SHOWN_MAX {
            details.push(format!("and {} more", findings.len() - FINDINGS_SHOWN_MAX));
        }
        Self {
            // Daily verification may find more tomorrow, which is worth telling again.
            id: format!("finding.{}.{}", snapshot.id, now.format("%Y%m%d")),
            kind: AlertKind::Finding,
            at: now,
            scope: Some(snapshot.scope.clone()),
            schedule: snapshot.schedule.clone(),
            run: Some(snapshot.run.clone()),
            snapshot: Some(snapshot.id),
            summary,
            details,
            action: action.to_owned(),
            command: format!("logisedge-backup show {}", snapshot.id.short()),
            about: Some(snapshot.id.to_string()),
            standing: None,
        }
    }

    /// Prune deleted snapshots, or what was left of earlier ones. `bytes` is what that frees; a
    /// versioned bucket keeps it for the grace days.
    pub fn clean_up(plan: &PrunePlan, snapshots: u64, bytes: u64, now: Instant) -> Self {
        let count = format::counted(snapshots, "snapshot");
        let kept = plan
            .decisions
            .iter()
            .filter(|decision| decision.keep)
            .count();
        let mut details = vec![
            format!("Deleted: {count}"),
            format!("Freed: {}", format::bytes(bytes)),
            format!("Kept: {}", format::counted(kept as u64, "snapshot")),
        ];
        let gone = plan.decisions.iter().filter(|decision| !decision.keep);
        details.extend(
            gone.take(FINDINGS_SHOWN_MAX).map(|decision| {
                format!("Deleted {}: {}", decision.snapshot.short(), decision.reason)
            }),
        );
        Self {
            id: format!("clean_up.{}.{}", plan.scope, compact(plan.now)),
            kind: AlertKind::CleanUp,
            at: now,
            scope: Some(plan.scope.clone()),
            schedule: None,
            run: None,
            snapshot: None,
            summary: match snapshots {
                0 => format!(
                    "{} freed that no snapshot of {} needs any more.",
                    format::bytes(bytes),
                    plan.scope
                ),
                _ => format!(
                    "{count} of {} deleted, {} freed.",
                    plan.scope,
                    format::bytes(bytes)
                ),
            },
            details,
            action: String::new(),
            command: format!("logisedge-backup snapshots --scope {}", plan.scope),
            about: None,
            standing: None,
        }
    }

    /// An event could not be delivered or handled. `message_id` is the queue's name for it, and
    /// `reason` says what is known.
    pub fn dead_letter(message_id: &str, queue: &str, reason: &str, now: Instant) -> Self {
        let reason = format::bounded(reason, REASON_BYTES_MAX);
        Self {
            id: format!("dead_letter.{message_id}"),
            kind: AlertKind::DeadLetter,
            at: now,
            scope: None,
            schedule: None,
            run: None,
            snapshot: None,
            summary: format!("An event could not be handled ({queue}): {reason}"),
            details: vec![
                format!("Where: {queue}"),
                format!("Message: {message_id}"),
                format!("Reason: {reason}"),
            ],
            action: "See which runs did not happen, remove the reason, and start them again."
                .to_owned(),
            command: "logisedge-backup status".to_owned(),
            about: Some(format!("{queue}: {}", gist(&reason))),
            standing: None,
        }
    }
}

/// What stays the same of a reason when it comes again: its words without numbers and ids.
fn gist(reason: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '\'');
    let words = reason.split(|c| !is_word(c)).filter(|word| {
        !word.is_empty() && word.len() <= GIST_WORD_BYTES_MAX && !word.contains(char::is_numeric)
    });
    words.take(GIST_WORDS).collect::<Vec<_>>().join(" ")
}

fn reason(run: &Run) -> String {
    let reason = run.reason.as_deref().unwrap_or("no reason was recorded");
    format::bounded(reason, REASON_BYTES_MAX)
}

/// What every alert about a run has.
pub(super) fn of_run(kind: AlertKind, run: &Run, now: Instant, summary: String) -> Alert {
    Alert {
        id: format!("{}.{}", kind.as_str(), run.id),
        kind,
        at: now,
        scope: Some(run.scope.clone()),
        schedule: run.cause.schedule().cloned(),
        run: Some(run.id.clone()),
        snapshot: run.snapshot,
        summary,
        details: Vec::new(),
        action: String::new(),
        command: String::new(),
        about: None,
        standing: None,
    }
}

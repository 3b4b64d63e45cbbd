//! The table's keys and indexes, and which question each one answers. `infra/template.yaml`
//! declares the same ones; a test compares the two.
//!
//! | item | `pk` | `sk` | indexed in |
//! |---|---|---|---|
//! | configuration's version | `config` | `version` | |
//! | source, location, scope | `config` | `source#N`, `location#N`, `scope#N` | |
//! | schedule | `config` | `schedule#N` | `due`, while it has a next slot |
//! | run | `run#ID` | `run` | `recent`; `open`, until it is final; `due`, while it has a limit of time to keep |
//! | a scope's lease | `scope#N` | `lease` | |
//! | a watched scope | `scope#N` | `watch` | `open` |
//! | how large a snapshot's tables are | `scope#N` | `sizes#TIME#ID` | |
//! | a scope's anomalies | `scope#N` | `anomaly` | |
//! | snapshot | `scope#N` | `snapshot#ID` | `recent` |
//! | findings of one verification | `findings#SNAPSHOT` | `TIME#PART` | |
//! | how alerts are told | `config` | `alerts` | |
//! | undelivered event | `outbox` | `TIME#ID` | |
//! | undelivered alert, resolution | `outbox#alerts` | `TIME#ID` | |
//! | the digest | `digest` | `digest` | `open` |
//! | what a scope uses of a location | `usage#LOCATION` | `scope#N` | |
//! | what all used on a day | `usage#LOCATION` | `day#DATE` | |
//! | the level of a location that was told | `usage#LOCATION` | `told` | |
//! | cause of alerts | `causes#SCOPE` | `CAUSE` | `recent`; `open`, while it is due for a look |
//!
//! | question | answered by | cost |
//! |---|---|---|
//! | the whole configuration | query `config` | what is configured, kilobytes |
//! | one source, location, scope, schedule, run, lease | get | one item |
//! | which schedules are due at T | query `due`, `due_at` ≤ T | what is due |
//! | which runs did not keep to their limit at T | query `due`, `due_at` ≤ T | those |
//! | which open runs nobody works on | query `open`, `open_at` ≤ T | those |
//! | the newest runs; all snapshots, newest first | query `recent`, backwards | what is returned |
//! | a scope's snapshots | query `scope#N`, `snapshot#` | the scope's snapshots |
//! | how much of a location is used | query `usage#LOCATION` | its scopes, and some 40 days |
//! | a scope's newest sizes | query `scope#N`, `sizes#`, backwards | what is returned |
//! | a verification's findings | query `findings#SNAPSHOT`, backwards | the findings |
//! | what still has to be delivered | query `outbox`, and `outbox#alerts` | what is returned |
//! | a scope's causes of alerts | query `causes#SCOPE` | those that go on |
//! | which causes are due for a look | query `open`, `open_at` ≤ T | those |
//! | which watched scopes are due for a look | query `open`, `open_at` ≤ T | those |
//! | all causes that go on | query `recent`, backwards | those |
//!
//! The table is read consistently. Indexes lag behind it by about a second, so whatever acts on
//! what an index said does so under a condition on the table.

use chrono::{NaiveDate, SecondsFormat};
use logisedge_domain::Instant;
use logisedge_domain::alert::AlertCause;
use logisedge_domain::id::{LocationName, RunId, ScheduleName, ScopeName, SnapshotId, SourceName};

/// Partition key of the table, a string.
pub const PK: &str = "pk";
/// Sort key of the table, a string.
pub const SK: &str = "sk";

/// An index of the table, with every attribute projected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its partition key, a string.
    pub pk: &'static str,
    /// Its sort key, a string. Items without it are not in the index.
    pub sk: &'static str,
}

/// Schedules by their next slot, and runs by the next limit of time that they have neither kept nor been
/// told of.
pub const DUE: Index = Index {
    name: "due",
    pk: "due_pk",
    sk: "due_at",
};
/// Runs that are not final, causes of alerts and watched scopes, by when somebody should look after them.
pub const OPEN: Index = Index {
    name: "open",
    pk: "open_pk",
    sk: "open_at",
};
/// Runs by when they were requested, snapshots by when they were taken, and causes of alerts by when
/// they were told first.
pub const RECENT: Index = Index {
    name: "recent",
    pk: "recent_pk",
    sk: "recent_at",
};
/// All of them.
pub const INDEXES: [Index; 3] = [DUE, OPEN, RECENT];

/// The `due_pk` of every schedule with a next slot.
pub(crate) const DUE_PK: &str = "schedule";
/// The `due_pk` of every run with a limit of time.
pub(crate) const DUE_RUN: &str = "run";
/// The `open_pk` of every run that is not final.
pub(crate) const OPEN_PK: &str = "run";
/// The `open_pk` of every cause of alerts that is due for a look at some time.
pub(crate) const OPEN_CAUSES: &str = "cause";
/// The `open_pk` of every watched scope, and of the digest.
pub(crate) const OPEN_WATCHES: &str = "watch";
/// The `recent_pk` of causes of alerts.
pub(crate) const RECENT_CAUSES: &str = "cause";
/// The `recent_pk` of runs.
pub(crate) const RECENT_RUNS: &str = "run";
/// The `recent_pk` of snapshots.
pub(crate) const RECENT_SNAPSHOTS: &str = "snapshot";

/// The `pk` and `sk` of the digest.
pub(crate) const DIGEST: &str = "digest";
/// The `pk` of the configuration.
pub(crate) const CONFIG: &str = "config";
/// The `pk` of the outbox's events.
pub(crate) const OUTBOX: &str = "outbox";
/// The `pk` of the outbox's alerts: apart, so that a topic that takes nothing holds up no event.
pub(crate) const OUTBOX_ALERTS: &str = "outbox#alerts";
/// What a snapshot's `sk` begins with.
pub(crate) const SNAPSHOT_PREFIX: &str = "snapshot#";

/// What the `sk` of a snapshot's sizes begins with.
pub(crate) const SIZES_PREFIX: &str = "sizes#";

/// An item's place in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    pub(crate) fn config_version() -> Self {
        Self::new(CONFIG, "version")
    }

    pub(crate) fn source(name: &SourceName) -> Self {
        Self::new(CONFIG, format!("source#{name}"))
    }

    pub(crate) fn location(name: &LocationName) -> Self {
        Self::new(CONFIG, format!("location#{name}"))
    }

    pub(crate) fn scope(name: &ScopeName) -> Self {
        Self::new(CONFIG, format!("scope#{name}"))
    }

    pub(crate) fn schedule(name: &ScheduleName) -> Self {
        Self::new(CONFIG, format!("schedule#{name}"))
    }

    pub(crate) fn run(id: &RunId) -> Self {
        Self::new(format!("run#{id}"), "run")
    }

    pub(crate) fn lease(scope: &ScopeName) -> Self {
        Self::new(scope_pk(scope), "lease")
    }

    pub(crate) fn digest() -> Self {
        Self::new(DIGEST, DIGEST)
    }

    pub(crate) fn watch(scope: &ScopeName) -> Self {
        Self::new(scope_pk(scope), "watch")
    }

    pub(crate) fn anomaly(scope: &ScopeName) -> Self {
        Self::new(scope_pk(scope), "anomaly")
    }

    pub(crate) fn sizes(scope: &ScopeName, taken_at: Instant, id: &SnapshotId) -> Self {
        let sk = format!("{SIZES_PREFIX}{}#{id}", stamp(taken_at));
        Self::new(scope_pk(scope), sk)
    }

    pub(crate) fn snapshot(scope: &ScopeName, id: &SnapshotId) -> Self {
        Self::new(scope_pk(scope), format!("{SNAPSHOT_PREFIX}{id}"))
    }

    pub(crate) fn findings(id: &SnapshotId, verified_at: Instant, part: usize) -> Self {
        Self::new(findings_pk(id), format!("{}#{part:04}", stamp(verified_at)))
    }

    pub(crate) fn outbox(at: Instant, id: &str) -> Self {
        Self::new(OUTBOX, format!("{}#{id}", stamp(at)))
    }

    pub(crate) fn outbox_alert(at: Instant, id: &str) -> Self {
        Self::new(OUTBOX_ALERTS, format!("{}#{id}", stamp(at)))
    }

    pub(crate) fn alert_settings() -> Self {
        Self::new(CONFIG, "alerts")
    }

    pub(crate) fn usage_of_scope(location: &LocationName, scope: &ScopeName) -> Self {
        Self::new(usage_pk(location), format!("scope#{scope}"))
    }

    pub(crate) fn usage_on(location: &LocationName, day: NaiveDate) -> Self {
        Self::new(usage_pk(location), format!("day#{day}"))
    }

    pub(crate) fn usage_told(location: &LocationName) -> Self {
        Self::new(usage_pk(location), "told")
    }

    pub(crate) fn cause(cause: &AlertCause) -> Self {
        Self::new(causes_pk(cause.scope.as_ref()), cause.to_string())
    }
}

pub(crate) fn scope_pk(scope: &ScopeName) -> String {
    format!("scope#{scope}")
}

pub(crate) fn usage_pk(location: &LocationName) -> String {
    format!("usage#{location}")
}

/// Causes without a scope lie together.
pub(crate) fn causes_pk(scope: Option<&ScopeName>) -> String {
    format!("causes#{}", scope.map_or("", ScopeName::as_str))
}

pub(crate) fn findings_pk(id: &SnapshotId) -> String {
    format!("findings#{id}")
}

/// An instant as a text of fixed width that sorts as time: `2026-11-24T02:00:00.000000000Z`.
pub(crate) fn stamp(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Reads a [`stamp`].
pub(crate) fn unstamp(text: &str) -> Option<Instant> {
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(at.to_utc())
}

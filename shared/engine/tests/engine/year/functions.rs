//! The functions' side: attempts that begin, live and end in every way.

use chrono::TimeDelta;
use logisedge_catalog::Commit;
use logisedge_domain::id::{RunId, SnapshotId};
use logisedge_domain::retry::Retry;
use logisedge_domain::run::{RunProgress, RunState, RunStats};
use logisedge_domain::snapshot::{Kind, SnapshotRecord, Trust};
use logisedge_domain::storage::StorageTier;
use logisedge_engine::attempt::{Attempted, Began, LEASE, begin, give_up, succeed};
use logisedge_engine::{EngineError, EngineErrorKind};

use super::state::{Attempt, Ending, Happening, Year, seconds};

impl Year {
    pub(super) async fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Delivery(id) => self.attempt(&id).await,
            Happening::End(attempt, ending) => self.end(*attempt, ending).await,
        }
    }

    pub(super) async fn attempt(&mut self, id: &RunId) {
        let begun = begin(&self.catalog, id, "function", self.now)
            .await
            .unwrap();
        let (run, fence, chain) = match begun {
            Began::Attempt { run, fence, chain } => (*run, fence, chain),
            Began::Ended(Attempted::Skipped) => return self.ended(id, RunState::Skipped),
            Began::Ended(_) => return,
        };
        let fate = self.fates.get_mut(id).unwrap();
        assert_eq!(fate.ended, None, "{id} begins after its end");
        fate.began_at.get_or_insert(self.now);
        self.wakes.remove(id);
        // What comes often is often slow, so that some of it comes while the one before is going.
        let is_often = id.as_str().starts_with("often.");
        let (works_for, ending) = match self.random.below(100) {
            50.. if is_often => (self.random.below(9 * 3600), Ending::Succeeds),
            0..8 => (self.random.below(600), Ending::IsDead),
            8..10 => (self.random.below(600), Ending::WakesUp),
            10..20 => (5 + self.random.below(300), Ending::Stumbles),
            20..23 => (5 + self.random.below(300), Ending::Fails),
            23..29 => (3600 + self.random.below(8 * 3600), Ending::Succeeds),
            _ => (20 + self.random.below(880), Ending::Succeeds),
        };
        let attempt = Box::new(Attempt {
            run,
            fence,
            chain,
            alive_until: self.now + seconds(works_for),
        });
        let hangs_for = match ending {
            Ending::WakesUp => 95 + self.random.below(1800),
            _ => 0,
        };
        self.plan(works_for + hangs_for, Happening::End(attempt, ending));
    }

    /// Those that every living attempt sent since the last step, in the form of the last one.
    pub(super) async fn send_heartbeats(&mut self) {
        for happening in self.happenings.values() {
            let Happening::End(attempt, _) = happening else {
                continue;
            };
            let (run, fence) = (&attempt.run, attempt.fence);
            let at = self.now.min(attempt.alive_until);
            if at < self.now && !self.wakes.contains_key(&run.id) {
                // It hangs: its lease runs out, unless it has ended otherwise.
                let known = &self.fates[&run.id];
                if known.ended.is_none() {
                    let wake = at + TimeDelta::from_std(LEASE).unwrap();
                    self.wakes.insert(run.id.clone(), wake);
                    let progress = RunProgress::default();
                    let sent = self
                        .catalog
                        .heartbeat(&run.id, &run.scope, fence, at, LEASE, progress);
                    sent.await.unwrap();
                }
                continue;
            }
            if at == self.now {
                let progress = RunProgress::default();
                let sent = self
                    .catalog
                    .heartbeat(&run.id, &run.scope, fence, at, LEASE, progress);
                assert!(
                    sent.await.unwrap(),
                    "{} lost its lease while it lived",
                    run.id
                );
            }
        }
    }

    pub(super) async fn end(&mut self, attempt: Attempt, ending: Ending) {
        let id = attempt.run.id.clone();
        match ending {
            Ending::IsDead => {
                let wake = self.now + TimeDelta::from_std(LEASE).unwrap();
                self.wakes.insert(id, wake);
            }
            Ending::Succeeds | Ending::WakesUp => {
                let record = self.snapshot(&attempt);
                let (run, fence, stats) = (&attempt.run, attempt.fence, RunStats::default());
                let commit = Commit {
                    record: &record,
                    stats: &stats,
                    bytes_written: 0,
                    judged: None,
                };
                let done = succeed(&self.catalog, run, fence, commit, Vec::new(), self.now).await;
                match done.unwrap() {
                    true => self.ended(&id, RunState::Succeeded),
                    false => {
                        assert_eq!(
                            ending,
                            Ending::WakesUp,
                            "{id} lost its lease while it lived"
                        );
                        self.fenced_commits += 1;
                    }
                }
            }
            Ending::Stumbles | Ending::Fails => {
                let error = EngineError {
                    retry: match ending {
                        Ending::Stumbles => Retry::SOON,
                        _ => Retry::Permanent,
                    },
                    ..EngineError::new(EngineErrorKind::Source, "no route to host")
                };
                let (run, fence) = (&attempt.run, attempt.fence);
                let ended = give_up(&self.catalog, run, fence, error, self.now).await;
                match ended.unwrap() {
                    Attempted::WillRetry(_) => {
                        let at = self.run(&id).await.retry_at.unwrap();
                        self.wakes.insert(id, at);
                    }
                    Attempted::Failed(_) => self.ended(&id, RunState::Failed),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    pub(super) fn snapshot(&mut self, attempt: &Attempt) -> SnapshotRecord {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let run = &attempt.run;
        SnapshotRecord {
            id: SnapshotId::from_bytes(id),
            scope: run.scope.clone(),
            location: run.location.clone(),
            chain: attempt.chain.clone(),
            kind: Kind::Full,
            kind_reason: None,
            base: None,
            run: run.id.clone(),
            schedule: run.cause.schedule().cloned(),
            tier: StorageTier::Standard,
            taken_at: self.now,
            tables: 1,
            rows: 1,
            bytes: 1,
            bytes_stored: 1,
            trust: Trust::Unverified,
            verified_at: None,
            findings: 0,
            deleting_since: None,
            hold: None,
            locked_until: None,
        }
    }
}

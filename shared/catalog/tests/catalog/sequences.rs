//! Any sequence of attempts, heartbeats, commits, failures and lapses of time, against a model of
//! what may happen.

use logisedge_catalog::{AttemptEnd, Begin, Catalog, Commit};
use logisedge_domain::Instant;
use logisedge_domain::id::Fence;
use logisedge_domain::run::{Run, RunProgress, RunState, RunStats};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{LEASE, at, begin, catalog, run, snapshot};

const RUNS: usize = 3;

/// What some process does. Each works with the newest fence it got, however stale.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Begin(usize),
    Heartbeat(usize),
    Commit(usize),
    Fail(usize),
    Retry(usize),
    EndRun(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => prop_oneof![Just(1), Just(30), Just(61)].prop_map(Step::Wait),
        4 => (0..RUNS).prop_map(Step::Begin),
        2 => (0..RUNS).prop_map(Step::Heartbeat),
        2 => (0..RUNS).prop_map(Step::Commit),
        1 => (0..RUNS).prop_map(Step::Fail),
        1 => (0..RUNS).prop_map(Step::Retry),
        1 => (0..RUNS).prop_map(Step::EndRun),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Debug, Default)]
struct Model {
    second: i64,
    fence: u64,
    /// Which run holds the lease, and until which second.
    held: Option<(usize, i64)>,
    states: [Option<RunState>; RUNS],
    fences: [u64; RUNS],
}

impl Model {
    fn now(&self) -> Instant {
        at(self.second)
    }

    fn alive(&self) -> Option<usize> {
        self.held
            .filter(|(_, until)| *until > self.second)
            .map(|(run, _)| run)
    }

    /// Whether the run's newest attempt still holds the lease's number. Having run out is no loss
    /// as long as nobody else took it.
    fn holds(&self, run: usize) -> bool {
        self.states[run] == Some(RunState::Running)
            && self.held.is_some_and(|(holder, _)| holder == run)
            && self.fences[run] == self.fence
    }

    fn is_final(&self, run: usize) -> bool {
        self.states[run].is_some_and(RunState::is_final)
    }
}

#[test]
fn any_sequence_keeps_the_promises() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 24,
        // Each case makes a table; shrinking would make hundreds.
        max_shrink_iters: 50,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&steps(), |steps| {
        runtime.block_on(play(&steps));
        Ok(())
    });
    result.unwrap();
}

async fn play(steps: &[Step]) {
    let catalog = catalog().await;
    let runs: Vec<Run> = (0..RUNS as i64).map(run).collect();
    let mut model = Model::default();
    for run in &runs {
        assert!(catalog.record_run(run, Some(at(60)), &[]).await.unwrap());
    }
    model.states = [Some(RunState::Requested); RUNS];
    for step in steps {
        take(&catalog, &runs, &mut model, step).await;
        check(&catalog, &runs, &model).await;
    }
}

async fn take(catalog: &Catalog, runs: &[Run], model: &mut Model, step: &Step) {
    let now = model.now();
    let until = model.second + LEASE.as_secs() as i64;
    match *step {
        Step::Wait(seconds) => model.second += seconds,
        Step::Begin(n) => match begin(catalog, &runs[n], now).await {
            Begin::Started { fence, .. } => {
                assert!(!model.is_final(n) && model.alive().is_none());
                assert_eq!(fence.0, model.fence + 1);
                model.fence = fence.0;
                model.fences[n] = fence.0;
                model.held = Some((n, until));
                model.states[n] = Some(RunState::Running);
            }
            Begin::RunIsFinal(state) => assert_eq!(Some(state), model.states[n]),
            Begin::HeldBySameRun => assert_eq!(model.alive(), Some(n)),
            Begin::HeldByOther { run, .. } => {
                let other = model.alive().unwrap();
                assert!(other != n && runs[other].id == run);
            }
            other => panic!("{other:?}"),
        },
        Step::Heartbeat(n) => {
            let fence = Fence(model.fences[n]);
            let (id, scope) = (&runs[n].id, &runs[n].scope);
            let progress = RunProgress::default();
            let beat = catalog
                .heartbeat(id, scope, fence, now, LEASE, progress)
                .await;
            assert_eq!(beat.unwrap(), model.holds(n));
            if model.holds(n) {
                model.held = Some((n, until));
            }
        }
        Step::Commit(n) => {
            let fence = Fence(model.fences[n]);
            let record = snapshot(&runs[n], n as u8, runs[n].requested_at);
            let stats = RunStats::default();
            let done = catalog
                .commit_snapshot(
                    &runs[n].id,
                    fence,
                    Commit {
                        record: &record,
                        stats: &stats,
                        bytes_written: 7,
                        judged: None,
                    },
                    now,
                    &[],
                )
                .await;
            // Asking again for a commit that happened is no error.
            let again = model.states[n] == Some(RunState::Succeeded);
            assert_eq!(done.is_ok(), model.holds(n) || again);
            if model.holds(n) {
                model.states[n] = Some(RunState::Succeeded);
                model.held = None;
            }
        }
        Step::Fail(n) | Step::Retry(n) => {
            let fence = Fence(model.fences[n]);
            let reason = "a reason".to_owned();
            let (end, state) = match step {
                Step::Fail(_) => (AttemptEnd::Failed { reason }, RunState::Failed),
                _ => (AttemptEnd::RetryAt { reason, at: now }, RunState::Requested),
            };
            let done = catalog
                .end_attempt(&runs[n].id, &runs[n].scope, fence, end, now, &[])
                .await;
            assert_eq!(done.is_ok(), model.holds(n));
            if model.holds(n) {
                model.states[n] = Some(state);
                model.held = None;
            }
        }
        Step::EndRun(n) => {
            let done = catalog
                .end_run(&runs[n].id, RunState::Failed, "given up", now, &[])
                .await;
            let may = !model.is_final(n) && model.alive() != Some(n);
            assert_eq!(done.unwrap(), may);
            if may {
                model.states[n] = Some(RunState::Failed);
            }
        }
    }
}

async fn check(catalog: &Catalog, runs: &[Run], model: &Model) {
    let mut committed = 0;
    let mut open = 0;
    for (n, run) in runs.iter().enumerate() {
        let stored = catalog.run(&run.id).await.unwrap().unwrap();
        assert_eq!(Some(stored.state), model.states[n]);
        assert_eq!(stored.ended_at.is_some(), stored.state.is_final());
        assert_eq!(
            stored.snapshot.is_some(),
            stored.state == RunState::Succeeded
        );
        committed += usize::from(stored.state == RunState::Succeeded);
        open += usize::from(!stored.state.is_final());
    }
    // A snapshot is visible exactly where its run succeeded, and every open run is looked after.
    let snapshots = catalog.snapshots(&runs[0].scope).await.unwrap();
    assert_eq!(snapshots.len(), committed);
    let looked_after = catalog.open_runs_due(at(1_000_000)).await.unwrap();
    assert_eq!(looked_after.len(), open);
}

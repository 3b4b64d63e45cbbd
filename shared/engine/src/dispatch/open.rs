//! Looking after runs that have not ended.

use chrono::TimeDelta;
use logisedge_catalog::Catalog;
use logisedge_domain::Instant;
use logisedge_domain::alert::Alert;
use logisedge_domain::run::{ATTEMPTS_MAX, Run, RunState};

use super::{Dispatched, PICK_UP_GIVE_UP, PICK_UP_WITHIN, ask_for};
use crate::EngineError;
use crate::attempt::{alert_if, policy_of};

/// An open run whose time has come: nobody picked it up, its retry is due, or its attempt's lease
/// ran out because its function was killed.
pub(super) async fn look_after(
    catalog: &Catalog,
    run: Run,
    now: Instant,
) -> Result<Dispatched, EngineError> {
    let mut done = Dispatched::default();
    let hopeless = match run.state {
        RunState::Requested if now - run.requested_at > to_delta(PICK_UP_GIVE_UP) => {
            Some(match &run.reason {
                Some(last) => format!("it could not be finished in time; the last try: {last}"),
                None => "no backup function picked it up: look at the function's log and the \
                         dead-letter queue"
                    .to_owned(),
            })
        }
        RunState::Running if run.attempts >= ATTEMPTS_MAX => Some(format!(
            "attempt {} of {ATTEMPTS_MAX} ended without a word: the function was killed, for \
             instance for want of memory; look at its log",
            run.attempts
        )),
        _ => None,
    };
    let Some(reason) = hopeless else {
        if catalog
            .touch_open_run(&run.id, now, now + PICK_UP_WITHIN)
            .await?
        {
            done.events.push(ask_for(&run));
            done.republished.push(run.id);
        }
        return Ok(done);
    };
    let mut failed = run.clone();
    failed.state = RunState::Failed;
    failed.reason = Some(reason.clone());
    failed.ended_at = Some(now);
    let policy = policy_of(catalog, &run).await?;
    let alert = alert_if(policy.failure, || Alert::run_failed(&failed, now));
    if catalog
        .end_run(&run.id, RunState::Failed, &reason, now, &alert)
        .await?
    {
        done.given_up.push(run.id);
    }
    Ok(done)
}

fn to_delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

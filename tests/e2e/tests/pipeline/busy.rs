//! A scope that is being backed up all the time that a prune can wait for it.

use std::time::Duration;

use chrono::Utc;
use logisedge_domain::event::Event;
use logisedge_domain::id::ScopeName;
use logisedge_domain::run::RunState;
use serde_json::Value;

use crate::support::database::sqlite;
use crate::support::stack::Stack;

const SCOPE: &str = "customers";

/// A little less than the waiting time of prune and the time that it wants for the work.
const TIME_SECONDS: i32 = 310;

#[tokio::test]
async fn a_prune_that_never_gets_its_scope_fails_and_is_tried_again() {
    let stack = Stack::deploy("busy").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 100);
    let config = stack.sqlite_config(&erp, &[(SCOPE, "customer")], "{ last = 1 }");
    stack.apply(&stack.write("config.toml", &config));
    let run = stack.run(SCOPE);
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    stack.judged(SCOPE).await;

    stack.give_time("Prune", TIME_SECONDS).await;
    let catalog = stack.catalog();
    let scope: ScopeName = SCOPE.parse().unwrap();
    let held = catalog.begin_exclusive(&scope, "a backup", Utc::now(), Duration::from_secs(300));
    let fence = held.await.unwrap().unwrap();
    let asked = Event::PruneRequested {
        scope: scope.clone(),
    };
    let asked: Value = serde_json::from_str(&asked.to_detail()).unwrap();
    let told = stack.invoke_failing("Prune", &asked).await;
    assert!(told.contains("is being backed up or pruned"), "{told}");
    assert!(told.contains("PruneAllSchedule"), "{told}");

    assert!(catalog.release(&scope, fence).await.unwrap());
    let answer = stack.invoke("Prune", &asked).await;
    assert!(answer["plan"].is_object(), "{answer}");
    stack.delete().await;
}

//! A database that asks for a password: a wrong one is told and shown nowhere, the right one needs no deployment.

use logisedge_domain::run::RunState;

use crate::support::alerts::Alerts;
use crate::support::server::{PASSWORD, Server};
use crate::support::stack::{Stack, rare};
use crate::support::wait::wait_for;

const WRONG: &str = "Zt9-a-wrong-password-that-nobody-may-see";

#[tokio::test]
async fn a_wrong_password_is_told_and_a_corrected_secret_is_enough() {
    let server = Server::start();
    let stack = Stack::deploy("pass").await;
    let alerts = Alerts::of(&stack).await;
    let table = "CREATE TABLE customer AS SELECT i AS id FROM generate_series(1, 100) i";
    wait_for("the server", 60, async || server.try_sql(table)).await;
    let secret = stack.secret("database", WRONG).await;
    let config = format!(
        "version = 1\n[sources.erp]\nkind = \"postgresql\"\nhost = \"127.0.0.1\"\nport = {}\n\
         database = \"postgres\"\nuser = \"postgres\"\nsslmode = \"disable\"\n\
         password = {{ secret = \"{secret}\" }}\n{}[scopes.customers]\ninclude = [\"customer\"]\n{}",
        server.port,
        stack.location(),
        rare(&["customers"], "{ last = 9 }")
    );
    // The command line cannot look into the database either, and says so.
    let applied = stack.apply(&stack.write("config.toml", &config));
    assert!(applied.contains("not checked from here"), "{applied}");

    let failed = stack.run("customers");
    assert_eq!(failed.state, RunState::Failed, "{failed:?}");
    assert_eq!(failed.attempts, 1, "trying again cannot help: {failed:?}");
    let reason = failed.reason.clone().unwrap_or_default();
    assert!(reason.contains("password"), "{reason}");
    let told = alerts.expect("failure", failed.id.as_str()).await;
    assert!(told.alert.to_string().contains("password"), "{told:?}");
    assert!(
        stack.keys(&stack.prefix("customers")).await.is_empty(),
        "a trace of a failed run"
    );

    let secrets = aws_sdk_secretsmanager::Client::new(&stack.config);
    let put = secrets
        .put_secret_value()
        .secret_id(&secret)
        .secret_string(PASSWORD);
    put.send().await.unwrap();
    let run = stack.run("customers");
    assert_eq!(run.state, RunState::Succeeded, "{run:?}\n{}", server.log());

    let mut texts = stack.logs().await;
    texts.extend(stack.items().await.iter().map(|item| format!("{item:?}")));
    texts.extend(alerts.all().await.iter().map(|told| format!("{told:?}")));
    texts.push(applied);
    texts.push(server.log());
    for text in texts {
        assert!(
            !text.contains(WRONG) && !text.contains(PASSWORD),
            "a password shows: {text}"
        );
    }
    stack.delete().await;
}

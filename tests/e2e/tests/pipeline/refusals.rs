//! What cannot be done: each with a message that says what to do, a failed run, an alert, and nothing broken.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use aws_sdk_dynamodb::types::AttributeValue;
use logisedge_domain::run::{Run, RunState};
use logisedge_domain::snapshot::Trust;
use serde_json::json;

use crate::support::alerts::Alerts;
use crate::support::catalog::text;
use crate::support::cli::Ended;
use crate::support::database::{Postgres, psql, server, sqlite, sqlite_rows};
use crate::support::restic::Restic;
use crate::support::stack::{Stack, rare};
use crate::support::wait::wait_for;
use crate::support::{output, program, unused};

#[tokio::test]
async fn what_does_not_exist_or_cannot_be_read_is_told_by_the_command_line() {
    let stack = Stack::deploy("refuse").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 200);
    let empty = stack.cli(&["status"]).good();
    assert!(empty.contains("Nothing is configured yet"), "{empty}");
    let config = stack.sqlite_config(&erp, &[("customers", "customer")], "{ last = 9 }");
    let file = stack.write("config.toml", &config);
    stack.apply(&file);

    for (arguments, said) in [
        (vec!["run", "--scope", "custmers"], "there are: customers"),
        (vec!["run", "nightly"], "there are: rare"),
        (
            vec!["run", "rare", "--scope", "items", "--force"],
            "there is no scope items; there are: customers",
        ),
        (vec!["show", "latest"], "there is no snapshot yet"),
        (vec!["verify", "0123abcd"], "there is no snapshot 0123abcd"),
        (
            vec!["restore", "feed", "--to", "x.db"],
            "there is no snapshot feed",
        ),
        (
            vec!["catalog", "rebuild", "--location", "moon"],
            "there is no location moon",
        ),
    ] {
        let told = stack.cli(&arguments).refused(4);
        assert!(told.contains(said), "{arguments:?}: {told}");
    }

    // Every problem at once, each with its line, and nothing of it in force.
    let wrong = config
        .replace("version = 1", "version = 1\nversoin = 2")
        .replace("scopes = [\"customers\"]", "scopes = [\"custmers\"]")
        .replace("kind = \"s3\"", "kind = \"s4\"")
        .replace("every = \"year\"", "every = \"fortnight\"");
    let wrong_file = stack.write("wrong.toml", &wrong).display().to_string();
    let told = stack.cli(&["apply", &wrong_file]);
    assert_eq!(told.code, 1, "{told:?}");
    for word in ["versoin", "custmers", "\"s4\"", "\"fortnight\""] {
        let line = wrong.lines().position(|line| line.contains(word)).unwrap() + 1;
        let place = format!("wrong.toml:{line}:");
        let found = told
            .stderr
            .lines()
            .any(|l| l.contains(&place) && l.contains(word.trim_matches('"')));
        assert!(found, "no {word} at {place} in {}", told.stderr);
    }
    let nothing = config.replace("include = [\"customer\"]", "include = [\"custmer*\"]");
    let nothing = stack.write("nothing.toml", &nothing).display().to_string();
    let told = stack.cli(&["apply", &nothing]).refused(4);
    assert!(told.contains("no table matches custmer*"), "{told}");
    let unchanged = stack.cli(&["apply", &file.display().to_string()]).good();
    assert!(unchanged.contains("No change."), "{unchanged}");

    another_password_is_no_damage(&stack, &config).await;
    broken_items_are_told(&stack).await;
    what_is_taken_out_stays_and_is_told(&stack);
    stack.delete().await;
}

/// A wrong repository password says nothing about what lies in the location.
async fn another_password_is_no_damage(stack: &Stack, config: &str) {
    let run = stack.run("customers");
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(stack.judged("customers").await.trust, Trust::Verified);
    let other = stack.secret("other", "not the repository's password").await;
    let wrong = config.replace(stack.output("RepositorySecretArn"), &other);
    stack.apply(&stack.write("password.toml", &wrong));
    for arguments in [
        vec!["verify", "latest"],
        vec!["restore", "latest", "--to", "sqlite:never.db"],
    ] {
        let told = stack.cli(&arguments);
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.stderr.contains("password"), "{told:?}");
        assert!(!told.stderr.contains("not the repository's"), "{told:?}");
    }
    assert_eq!(stack.snapshots("customers")[0].trust, Trust::Verified);
    stack.apply(&stack.write("config.toml", config));
    stack.cli(&["verify", "latest"]).good();
}

/// A file without a scope and a location says what becomes of their snapshots, before it is in force.
fn what_is_taken_out_stays_and_is_told(stack: &Stack) {
    let file = stack
        .write("empty.toml", "version = 1\n")
        .display()
        .to_string();
    let told = stack.cli(&["apply", &file, "--dry-run"]).good();
    for said in [
        "warning: scope customers is taken out; left of it: 1 snapshot (",
        "warning: location main is taken out; left there: 1 snapshot (",
    ] {
        assert!(told.contains(said), "{told}");
    }
}

/// An item that nobody of ours wrote is named, and a rebuild makes good what the location knows.
async fn broken_items_are_told(stack: &Stack) {
    let items = stack.items().await;
    let snapshot = items
        .iter()
        .find(|item| text(item, "sk").starts_with("snapshot#"))
        .unwrap();
    for broken in [
        ("taken_at", AttributeValue::S("yesterday".into())),
        ("chain", AttributeValue::N("7".into())),
    ] {
        let mut item = snapshot.clone();
        let put = stack
            .dynamodb()
            .put_item()
            .table_name(stack.output("TableName"));
        let (name, value) = broken;
        let body = item
            .iter()
            .find_map(|(key, held)| held.as_m().ok().map(|_| key.clone()));
        match body.and_then(|key| item.get_mut(&key)) {
            Some(AttributeValue::M(inner)) => inner.insert(name.into(), value),
            _ => item.insert(name.into(), value),
        };
        put.set_item(Some(item)).send().await.unwrap();
        let told = stack.cli(&["snapshots", "--scope", "customers"]);
        assert_ne!(told.code, 0, "{told:?}");
        for said in ["scope customers", "not of the form", "rebuild the catalog"] {
            assert!(told.stderr.contains(said), "{told:?}");
        }
    }
    let sk = text(snapshot, "sk").to_owned();
    stack.delete_items(|item| text(item, "sk") == sk).await;
    stack.cli(&["catalog", "rebuild"]).good();
    assert_eq!(stack.snapshots("customers").len(), 1);
}

/// A source that is wrong in one way, under the name of a scope.
struct Wrong {
    name: &'static str,
    source: String,
    /// What the run's reason and the alert say.
    told: &'static str,
}

#[tokio::test]
async fn a_run_that_cannot_succeed_fails_with_its_reason_and_the_others_go_on() {
    let erp = Postgres::create("wrong");
    erp.sql(
        "CREATE TABLE customer AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 1000) i;
         CREATE TABLE secret_salary AS SELECT 1 AS id;
         CREATE TABLE slow AS SELECT i AS id, repeat(md5(i::text), 20) AS text FROM generate_series(1, 400000) i",
    );
    let role = unused("le_role_");
    psql(&server(), &format!("CREATE ROLE {role} LOGIN"));
    erp.sql(&format!("GRANT SELECT ON customer, slow TO {role}"));
    let stack = Stack::deploy("wrong").await;
    let alerts = Alerts::of(&stack).await;

    let good = erp.source();
    let user = good
        .lines()
        .find(|line| line.starts_with("user"))
        .unwrap()
        .to_owned();
    let port = good
        .lines()
        .find(|line| line.starts_with("port"))
        .unwrap()
        .to_owned();
    let old = old_pg_dump(&stack);
    let cases = [
        Wrong {
            name: "unreadable",
            source: good.replace(&user, &format!("user = \"{role}\"")),
            told: "secret_salary",
        },
        Wrong {
            name: "no-dump",
            source: format!("{good}pg_dump = \"/nowhere/pg_dump\"\n"),
            told: "/nowhere/pg_dump",
        },
        Wrong {
            name: "old-dump",
            source: format!("{good}pg_dump = \"{}\"\n", old.display()),
            told: "9.6",
        },
        Wrong {
            name: "no-database",
            source: good.replace(&erp.name, "le_there_is_no_such_database"),
            told: "le_there_is_no_such_database",
        },
        Wrong {
            name: "unreachable",
            source: good.replace(&port, "port = 1"),
            told: "127.0.0.1",
        },
    ];
    let mut config = format!("version = 1\n{}", stack.location());
    config += &format!(
        "[locations.gone]\nkind = \"s3\"\nbucket = \"le-no-such-bucket\"\nrepository_password = {{ secret = \"{}\" }}\n",
        stack.output("RepositorySecretArn")
    );
    let mut scopes: Vec<&str> = vec!["good", "cut", "dropped"];
    config += &format!("[sources.good]\n{good}");
    config += "[scopes.good]\nsource = \"good\"\ninclude = [\"customer\"]\n";
    config += "[scopes.cut]\nsource = \"good\"\ninclude = [\"slow\"]\n";
    config += "[scopes.dropped]\nsource = \"good\"\ninclude = [\"soon_gone\"]\n";
    config += "[scopes.nowhere]\nsource = \"good\"\ninclude = [\"customer\"]\n";
    for case in &cases {
        config += &format!(
            "[sources.{0}]\n{1}[scopes.{0}]\nsource = \"{0}\"\npreset = \"full-database\"\n",
            case.name, case.source
        );
        scopes.push(case.name);
    }
    config += &rare(&scopes, "{ last = 9 }");
    config += &rare(&["nowhere"], "{ last = 9 }")
        .replace("rare", "lost")
        .replace("\"main\"", "\"gone\"");
    erp.sql("CREATE TABLE soon_gone (id int)");
    stack.apply(&stack.write("config.toml", &config));
    erp.sql("DROP TABLE soon_gone");

    // Everything at once: the transient ones are tried again while the others are looked at.
    stack.cli(&["run", "rare", "--force"]).good();
    cut_the_connection(&erp).await;
    stack.cli(&["run", "lost", "--force"]).good();
    for case in cases.iter().filter(|case| case.name != "unreachable") {
        fails(&stack, &alerts, case.name, case.told).await;
    }
    fails(&stack, &alerts, "dropped", "no table matches soon_gone").await;
    fails(&stack, &alerts, "nowhere", "le-no-such-bucket").await;
    let run = ended(&stack, "good").await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");

    let run = ended(&stack, "cut").await;
    assert_eq!(
        (run.state, run.attempts),
        (RunState::Succeeded, 2),
        "{run:?}"
    );
    fails(&stack, &alerts, "unreachable", "127.0.0.1").await;

    // Nothing that failed is offered, and what succeeded is whole.
    for scope in scopes {
        let records = stack.snapshots(scope);
        assert_eq!(
            records.len(),
            usize::from(matches!(scope, "good" | "cut")),
            "{scope}"
        );
        for record in records {
            Restic::of(&stack, record.chain.as_str()).await.check();
        }
    }
    stack.delete().await;
    drop(erp);
    psql(&server(), &format!("DROP ROLE {role}"));
}

/// Ends the server's side of the copy of the table `slow`, in its middle.
async fn cut_the_connection(erp: &Postgres) {
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = '{}' AND query ILIKE 'copy%slow%' AND state = 'active'",
        erp.name
    );
    wait_for("the copy of the big table", 60, async || {
        psql(&server(), &cut).contains('t').then_some(())
    })
    .await;
}

/// The scope's run, once it has ended. The minute rule alone would do; more ticks only hurry it.
async fn ended(stack: &Stack, scope: &str) -> Run {
    wait_for(&format!("the run of {scope} to end"), 200, async || {
        let runs = stack.runs().await;
        let mut of_scope = runs.into_iter().filter(|run| run.scope.as_str() == scope);
        let found = of_scope.find(|run| run.state.is_final());
        if found.is_none() {
            stack.invoke("Dispatcher", &json!({ "do": "tick" })).await;
        }
        found
    })
    .await
}

async fn fails(stack: &Stack, alerts: &Alerts, scope: &str, told: &str) {
    let run = ended(stack, scope).await;
    assert_eq!(run.state, RunState::Failed, "{run:?}");
    let reason = run.reason.clone().unwrap_or_default();
    assert!(reason.contains(told), "{scope}: {reason}");
    let alert = alerts.expect("failure", run.id.as_str()).await;
    assert!(alert.alert.to_string().contains(told), "{alert:?}");
    assert_eq!(alert.attributes["scope"]["Value"], scope);
}

/// A `pg_dump` of a version that cannot read this server.
fn old_pg_dump(stack: &Stack) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = stack.write(
        "pg_dump",
        "#!/bin/sh\ncase \"$1\" in\n  --version) echo 'pg_dump (PostgreSQL) 9.6.24' ;;\n  \
         *) echo 'pg_dump: error: server version: 15.0; pg_dump version: 9.6.24' >&2\n     \
         echo 'pg_dump: error: aborting because of server version mismatch' >&2; exit 1 ;;\nesac\n",
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A file system of 2 MB that is gone with the process: no rights of root are needed for it.
#[test]
fn a_full_disk_is_told_and_what_lay_there_before_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (small, big) = (folder.path().join("small.db"), folder.path().join("big.db"));
    sqlite(&small, &["customer"], 500);
    sqlite(&big, &["customer"], 100_000);
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let script = r#"
        mount -t tmpfs -o size=2m tmpfs "$DISK" || exit 97
        "$CLI" direct backup --at "$DISK/backups" --from "$SMALL" || exit 98
        sleep 1
        "$CLI" direct backup --at "$DISK/backups" --from "$BIG"
        code=$?
        "$CLI" direct verify --at "$DISK/backups" latest || exit 99
        "$CLI" direct restore --at "$DISK/backups" latest --to "sqlite:$COPY" || exit 96
        "$CLI" --json direct snapshots --at "$DISK/backups" >"$LIST" || exit 95
        exit $code"#;
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .stdin(Stdio::null())
        .env("LOGISEDGE_REPOSITORY_PASSWORD", "a password for a folder")
        .env("CLI", program("logisedge-backup"))
        .env("DISK", path("disk"))
        .env("SMALL", &small)
        .env("BIG", &big)
        .env("COPY", path("copy.db"))
        .env("LIST", path("list.json"));
    let told: Ended = output(&mut command).into();
    assert_eq!(told.code, 1, "{told:?}");
    assert!(
        told.stderr.contains("no room") || told.stderr.contains("full"),
        "{told:?}"
    );
    assert!(told.stderr.contains(&path("disk")), "where? {told:?}");
    assert_eq!(
        sqlite_rows(&folder.path().join("copy.db")),
        sqlite_rows(&small)
    );
    let list: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("list.json")).unwrap()).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

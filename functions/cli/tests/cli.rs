//! The command line as its users meet it: real databases, real folders, the program itself. Only
//! what needs no AWS.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use insta::assert_snapshot;
use tempfile::TempDir;

const PASSWORD: &str = "hunter2-of-the-tests";

/// A folder with a sample ERP, and the program inside it.
struct Desk {
    folder: TempDir,
}

struct Said {
    exit: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        logisedge_sample_erp::sqlite::create(&folder.path().join("erp.db"), 7, 1).unwrap();
        Self { folder }
    }

    /// Without a sample ERP.
    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logisedge-backup"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LOGISEDGE_REPOSITORY_PASSWORD", PASSWORD);
        command
    }

    fn said(&self, output: Output) -> Said {
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let here = self.folder.path().to_str().unwrap();
            let text = stamps_hidden(&text.replace(here, "HERE"));
            assert!(!text.contains(PASSWORD), "a secret was printed: {text}");
            text
        };
        Said {
            exit: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs the program to its end.
    fn run(&self, arguments: &[&str]) -> Said {
        self.said(self.command(arguments).output().unwrap())
    }

    /// Runs it and expects success; returns what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.exit, 0, "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Runs it and expects a failure; returns what it said.
    fn fails(&self, exit: i32, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.exit, exit, "{arguments:?}: {}{}", said.out, said.err);
        assert_eq!(said.out, "", "an error goes to standard error");
        said.err
    }

    fn back_up(&self, scope: &str) {
        self.ok(&[
            "direct", "backup", "--at", "store", "--from", "erp.db", "--scope", scope,
        ]);
    }

    fn restore(&self, exit: i32, to: &str, more: &[&str]) -> Said {
        let mut arguments = vec!["direct", "restore", "--at", "store", "latest", "--to", to];
        arguments.extend(more);
        let said = self.run(&arguments);
        assert_eq!(said.exit, exit, "{arguments:?}: {}{}", said.out, said.err);
        said
    }

    fn rows(&self, database: &str, table: &str) -> i64 {
        let db = rusqlite::Connection::open(self.path(database)).unwrap();
        let query = format!("SELECT count(*) FROM {table}");
        db.query_row(&query, [], |row| row.get(0)).unwrap()
    }
}

/// Chains and times are of the moment.
fn stamps_hidden(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/full_") {
        // `/YYYY-MM-DD/full_YYYYMMDD_HHMMSS`
        hidden.push_str(&rest[..at.saturating_sub(11)]);
        hidden.push_str("/DAY/CHAIN");
        rest = &rest[(at + "/full_YYYYMMDD_HHMMSS".len()).min(rest.len())..];
    }
    hidden + rest
}

/// The biggest file below a folder.
fn biggest(folder: &Path) -> PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| path.metadata().unwrap().len());
    found.pop().unwrap()
}

fn damage(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_whole_database_goes_into_a_folder_and_comes_back() {
    let desk = Desk::new();
    let said = desk.ok(&[
        "direct",
        "backup",
        "--at",
        "store",
        "--from",
        "sqlite:erp.db",
    ]);
    assert!(said.starts_with("Snapshot "), "{said}");
    assert!(
        said.contains("It lies at HERE/store/full-database/DAY/CHAIN"),
        "{said}"
    );

    let listed = desk.ok(&["direct", "snapshots", "--at", "folder:store"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("full-database"), "{listed}");

    let verified = desk.ok(&["direct", "verify", "--at", "store", "latest"]);
    assert!(verified.contains(" is good: read "), "{verified}");

    let restored = desk.restore(0, "back.db", &[]).out;
    assert!(
        restored.contains("tables agree with the source"),
        "{restored}"
    );
    for table in ["customers", "items", "sales_orders"] {
        assert_eq!(desk.rows("back.db", table), desk.rows("erp.db", table));
    }
}

#[test]
fn every_preset_is_a_scope_of_the_sample_erp() {
    let desk = Desk::new();
    let presets = [
        "customers",
        "items",
        "transactions",
        "financial",
        "documents",
    ];
    for preset in presets {
        desk.back_up(preset);
        let into = format!("{preset}.db");
        let restored = desk.restore(0, &into, &["--scope", preset]).out;
        assert!(restored.contains("agree with the source"), "{restored}");
        desk.ok(&[
            "direct", "verify", "--at", "store", "latest", "--scope", preset,
        ]);
    }
    assert_eq!(
        desk.rows("customers.db", "customers"),
        desk.rows("erp.db", "customers")
    );
    let listed = desk.ok(&["direct", "snapshots", "--at", "store"]);
    assert_eq!(listed.lines().count(), 1 + presets.len(), "{listed}");
}

#[test]
fn a_scope_of_ones_own_is_said_with_patterns() {
    let desk = Desk::new();
    desk.ok(&[
        "direct",
        "backup",
        "--at",
        "store",
        "--from",
        "erp.db",
        "--scope",
        "mine",
        "--include",
        "customer*",
        "--include",
        "main.items",
        "--exclude",
        "customer_*",
    ]);
    desk.restore(0, "mine.sqlite", &[]);
    let db = rusqlite::Connection::open(desk.path("mine.sqlite")).unwrap();
    let mut names = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut names: Vec<String> = names.map(Result::unwrap).collect();
    names.retain(|name| !name.starts_with("sqlite_"));
    names.sort();
    assert_eq!(names, ["customers", "items"]);
}

#[test]
fn json_is_one_document_on_standard_output() {
    let desk = Desk::new();
    let parsed = |arguments: &[&str]| -> serde_json::Value {
        let mut all = vec!["--json", "direct"];
        all.extend(arguments);
        let said = desk.ok(&all);
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
    };
    let taken = parsed(&[
        "backup",
        "--at",
        "store",
        "--from",
        "erp.db",
        "--scope",
        "customers",
    ]);
    let id = taken["snapshot"]["id"].as_str().unwrap();
    assert!(taken["stats"]["rows"].as_u64().unwrap() > 0);
    let listed = parsed(&["snapshots", "--at", "store"]);
    assert_eq!(listed[0]["id"], id);
    let verified = parsed(&["verify", "--at", "store", &id[..8]]);
    assert_eq!(verified["findings"].as_array().unwrap().len(), 0);
    let restored = parsed(&["restore", "--at", "store", id, "--to", "back.db"]);
    assert!(
        restored["tables"]
            .as_array()
            .is_some_and(|tables| !tables.is_empty())
    );

    // What is beside it goes to standard error.
    damage(&biggest(&desk.path("store")).clone());
    let damaged = desk.run(&["--json", "direct", "verify", "--at", "store", "latest"]);
    assert_eq!(damaged.exit, 3);
    serde_json::from_str::<serde_json::Value>(&damaged.out).unwrap();
}

#[test]
fn a_folder_and_a_script_are_targets_too() {
    let desk = Desk::new();
    desk.back_up("customers");
    desk.restore(0, "plain/", &[]);
    assert!(desk.path("plain/restore.sql").is_file());
    desk.restore(0, "customers.sql", &[]);
    // The independent reader that the script names itself.
    let script = std::fs::File::open(desk.path("customers.sql")).unwrap();
    let sqlite3 = Command::new("sqlite3")
        .arg(desk.path("new.db"))
        .stdin(script)
        .status()
        .expect("sqlite3 is missing: apt-get install sqlite3");
    assert!(sqlite3.success());
    assert_eq!(
        desk.rows("new.db", "customers"),
        desk.rows("erp.db", "customers")
    );

    for to in ["plain/", "plain", "customers.sql"] {
        desk.restore(5, to, &[]);
        desk.restore(0, to, &["--overwrite"]);
    }
}

#[test]
fn a_target_that_holds_something_is_refused_and_replaced_when_told_to() {
    let desk = Desk::new();
    desk.back_up("documents");
    desk.restore(0, "back.db", &[]);
    let refused = desk.restore(5, "back.db", &[]);
    assert_eq!(refused.out, "");
    assert_snapshot!(refused.err, @r#"error: the target is not empty, it holds 1 tables ("documents"): name an empty one, or say --overwrite to replace what is there"#);
    desk.restore(0, "back.db", &["--overwrite"]);
}

#[test]
fn damage_ends_with_exit_code_three() {
    let desk = Desk::new();
    desk.back_up("customers");
    damage(&biggest(&desk.path("store")));
    let verified = desk.run(&["direct", "verify", "--at", "store", "latest"]);
    assert_eq!(verified.exit, 3, "{}", verified.err);
    assert!(verified.out.contains("finding: "), "{}", verified.out);
    assert!(
        verified
            .err
            .contains("is damaged and must not be relied on"),
        "{}",
        verified.err
    );
    let restored = desk.restore(3, "back.db", &[]);
    assert!(
        restored.err.starts_with("error: cannot read"),
        "{}",
        restored.err
    );
    assert!(!desk.path("back.db").exists());
}

#[test]
fn what_does_not_exist_ends_with_exit_code_four() {
    let desk = Desk::new();
    desk.back_up("documents");
    let fails = |arguments: &[&str]| {
        let mut all = vec!["direct"];
        all.extend(arguments);
        desk.fails(4, &all)
    };
    assert_snapshot!(fails(&["verify", "--at", "store", "beef"]), @"error: there is no snapshot beef; the command `snapshots` lists what there is");
    assert_snapshot!(fails(&["verify", "--at", "store", "latest", "--scope", "items"]), @"error: there is no snapshot of scope items yet");
    assert_snapshot!(fails(&["snapshots", "--at", "nowhere"]), @"error: cannot open nowhere: there is no such folder: create or mount it, or correct the location's path");
    assert_snapshot!(fails(&["backup", "--at", "store", "--from", "none.db"]), @"error: cannot back up none.db: there is no such file or folder; check the path");
    assert_snapshot!(fails(&["backup", "--at", "store", "--from", "erp.db", "--scope", "mine"]), @"error: scope mine is no preset: say with --include which tables it holds");
    assert_snapshot!(fails(&["backup", "--at", "store", "--from", "erp.db", "--include", "custmers"]), @"error: cannot select tables of erp.db: no table matches custmers; correct the scope's patterns (SQLite's tables are in the schema `main`)");
    assert_snapshot!(fails(&["restore", "--at", "store", "latest", "--to", "none/back.db"]), @"error: cannot restore to none/back.db: the folder none does not exist; make it first");
}

#[test]
fn what_fails_ends_with_exit_code_one_and_says_what_to_do() {
    let desk = Desk::new();
    desk.back_up("documents");
    std::fs::write(desk.path("wrong"), "another\n").unwrap();
    let wrong = [
        "direct",
        "verify",
        "--at",
        "store",
        "latest",
        "--password-file",
        "wrong",
    ];
    assert_snapshot!(desk.fails(1, &wrong), @"error: cannot open HERE/store/documents/DAY/CHAIN/: none of its 1 keys opens with this password");

    let mut none = desk.command(&["direct", "snapshots", "--at", "store"]);
    none.env_remove("LOGISEDGE_REPOSITORY_PASSWORD");
    let said = desk.said(none.output().unwrap());
    assert_eq!(said.exit, 1);
    assert_snapshot!(said.err, @"error: no repository password: set LOGISEDGE_REPOSITORY_PASSWORD or name a file with --password-file");

    std::fs::write(desk.path("empty"), "\n").unwrap();
    let empty = [
        "direct",
        "snapshots",
        "--at",
        "store",
        "--password-file",
        "empty",
    ];
    assert_snapshot!(desk.fails(1, &empty), @"error: the repository password is empty");

    std::fs::write(
        desk.path("text.db"),
        "no database at all, but long enough to be read\n",
    )
    .unwrap();
    let unreadable = ["direct", "backup", "--at", "store", "--from", "text.db"];
    assert_snapshot!(desk.fails(1, &unreadable), @"error: cannot back up text.db: it is no SQLite database, or it is encrypted; name a plain SQLite 3 file");

    // The password file is taken where it is right, with whatever line end.
    std::fs::write(desk.path("right"), format!("{PASSWORD}\r\n")).unwrap();
    desk.ok(&[
        "direct",
        "verify",
        "--at",
        "store",
        "latest",
        "--password-file",
        "right",
    ]);
}

#[test]
fn wrong_usage_ends_with_exit_code_two() {
    let desk = Desk::new();
    desk.back_up("documents");
    assert_snapshot!(desk.restore(2, "somewhere", &[]).err, @r#"error: it is not clear what "somewhere" should become: write postgres://…, sqlite:PATH, PATH.sql for a script, or PATH/ for a folder"#);
    for arguments in [
        &["restor"][..],
        &["direct", "backup"],
        &[
            "direct", "backup", "--at", "store", "--from", "erp.db", "--scope", "No Name",
        ],
        &["setup"],
        &[
            "direct",
            "snapshots",
            "--at",
            "store",
            "--password",
            PASSWORD,
        ],
    ] {
        desk.fails_usage(arguments);
    }
}

impl Desk {
    fn fails_usage(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn setup_writes_what_apply_takes_and_replaces_nothing() {
    let desk = Desk::empty();
    let said = desk.ok(&["setup", "--sqlite", "erp.db", "--folder", "store"]);
    assert_snapshot!(said, @"
    Wrote logisedge.toml. Read it, change what you like, then:
      logisedge-backup apply logisedge.toml
    ");
    let written = std::fs::read_to_string(desk.path("logisedge.toml")).unwrap();
    let config = logisedge_domain::config::Config::parse(&written, "logisedge.toml");
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.scopes.len(), 6);

    std::fs::write(desk.path("logisedge.toml"), "mine").unwrap();
    let again = ["setup", "--sqlite", "erp.db", "--folder", "store"];
    assert_snapshot!(desk.fails(5, &again), @"error: logisedge.toml is there already: name another file with --out, or say --overwrite");
    assert_eq!(
        std::fs::read_to_string(desk.path("logisedge.toml")).unwrap(),
        "mine"
    );
    desk.ok(&[
        "setup",
        "--sqlite",
        "erp.db",
        "--folder",
        "store",
        "--overwrite",
    ]);

    let s3 = [
        "setup",
        "--postgres",
        "postgres://backup@db.example.com/erp",
        "--bucket",
        "example-backups",
        "--repository-secret",
        "repository",
        "--database-secret",
        "erp",
        "--time-zone",
        "Europe/Berlin",
        "--out",
        "s3.toml",
    ];
    desk.ok(&s3);
    let written = std::fs::read_to_string(desk.path("s3.toml")).unwrap();
    assert!(logisedge_domain::config::Config::parse(&written, "s3.toml").is_ok());
}

#[test]
fn setup_refuses_a_url_with_a_password_and_does_not_print_it() {
    let desk = Desk::empty();
    for (url, exit) in [
        (
            format!("postgres://backup:{PASSWORD}@db.example.com/erp"),
            5,
        ),
        (
            format!("postgres://backup@db.example.com/erp?password={PASSWORD}"),
            1,
        ),
    ] {
        // `fails` looks for the password in what is printed.
        desk.fails(exit, &["setup", "--postgres", &url, "--folder", "store"]);
        assert!(!desk.path("logisedge.toml").exists());
    }
    let url = format!("postgres://backup:{PASSWORD}@db.example.com/erp");
    let refused = desk.fails(5, &["setup", "--postgres", &url, "--folder", "store"]);
    assert_snapshot!(refused, @"error: the URL holds a password, which would end in the file: leave it out and name a secret of Secrets Manager with --database-secret");
}

#[test]
fn setup_refuses_what_apply_would() {
    let desk = Desk::empty();
    let zone = [
        "setup",
        "--sqlite",
        "erp.db",
        "--folder",
        "store",
        "--time-zone",
        "Berlin",
    ];
    assert_snapshot!(desk.fails(1, &zone), @r#"error: logisedge.toml:5:13: time_zone: "Berlin" is no IANA time zone, such as "Europe/Berlin" or "UTC""#);
    assert!(!desk.path("logisedge.toml").exists());
}

#[test]
fn every_command_has_help() {
    let desk = Desk::empty();
    for command in [
        &[][..],
        &["setup"],
        &["apply"],
        &["run"],
        &["status"],
        &["snapshots"],
        &["show"],
        &["verify"],
        &["prune"],
        &["restore"],
        &["catalog"],
        &["catalog", "rebuild"],
        &["direct"],
        &["direct", "backup"],
        &["direct", "snapshots"],
        &["direct", "verify"],
        &["direct", "restore"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let help = desk.ok(&arguments);
        assert!(
            help.contains("Usage: logisedge-backup"),
            "{command:?}: {help}"
        );
        if let Some((last, above)) = command.split_last() {
            let mut arguments = above.to_vec();
            arguments.push("--help");
            let listed = desk.ok(&arguments);
            assert!(
                listed.contains(&format!("\n  {last} ")),
                "{command:?} is not listed: {listed}"
            );
        }
    }
    assert!(desk.ok(&["--version"]).starts_with("logisedge-backup "));
}

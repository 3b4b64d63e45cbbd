//! `setup`: what it writes, and what it refuses.

use insta::assert_snapshot;

use crate::desk::{Desk, PASSWORD};

#[test]
fn setup_writes_what_apply_takes_and_replaces_nothing() {
    let desk = Desk::empty();
    let said = desk.ok(&["setup", "--sqlite", "erp.db", "--folder", "store"]);
    assert_snapshot!(said, @"
    Wrote logisedge.toml. Read it, change what you like, then:
      logisedge-backup schedule preview --file logisedge.toml
      logisedge-backup direct backup --at store --from erp.db
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
    assert_snapshot!(desk.ok(&s3), @"
    Wrote s3.toml. Read it, change what you like, then:
      logisedge-backup apply s3.toml
    ");
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
    assert_snapshot!(desk.fails(1, &zone), @r#"error: logisedge.toml:5:13: time_zone: "Berlin" is no IANA time zone, such as "Europe/Berlin" or "UTC"; did you mean "Europe/Berlin"?"#);
    assert!(!desk.path("logisedge.toml").exists());
}

#[test]
fn a_folder_wins_over_what_the_environment_says() {
    let desk = Desk::empty();
    let setup = |more: &[&str]| {
        let arguments = [&["setup", "--sqlite", "erp.db", "--overwrite"], more].concat();
        let mut command = desk.command(&arguments);
        command.env("LOGISEDGE_BUCKET", "bucket-of-the-stack");
        command.env("LOGISEDGE_REPOSITORY_SECRET", "repository");
        let said = desk.said(command.output().unwrap());
        assert_eq!(said.exit, 0, "{}", said.err);
        std::fs::read_to_string(desk.path("logisedge.toml")).unwrap()
    };
    assert!(setup(&[]).contains("bucket = \"bucket-of-the-stack\""));
    assert!(setup(&["--bucket", "typed"]).contains("bucket = \"typed\""));
    let folder = setup(&["--folder", "store"]);
    assert!(!folder.contains("bucket-of-the-stack"), "{folder}");
}

#[test]
fn setup_names_what_is_missing_or_does_not_fit() {
    let desk = Desk::empty();
    let sqlite = ["setup", "--sqlite", "erp.db"];
    assert_snapshot!(desk.fails(2, &sqlite), @"error: --bucket is missing: name it, or set LOGISEDGE_BUCKET; or store in a folder with --folder");
    for more in [
        &["--folder", "store", "--bucket", "typed"][..],
        &["--folder", "store", "--database-secret", "q"],
    ] {
        desk.fails_usage(&[&sqlite[..], more].concat());
    }
}

//! Each exit code that `--help` documents, by real cases, with what is said.

use insta::assert_snapshot;

use crate::desk::{Desk, PASSWORD, biggest, damage};

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
        &["restore", "latest", "--to", "copy.db", "--thaw-days", "0"],
        &["restore", "latest", "--to", "copy.db", "--thaw", "soon"],
    ] {
        desk.fails_usage(arguments);
    }
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
        &["schedule"],
        &["schedule", "preview"],
        &["retention"],
        &["retention", "preview"],
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

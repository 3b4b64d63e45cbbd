//! The life of snapshots: kept or pruned, found again without the catalog, and never trusted when damaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use chrono::Utc;
use logisedge_domain::id::SnapshotId;
use logisedge_domain::run::RunState;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};
use serde_json::json;

use crate::support::alerts::Alerts;
use crate::support::catalog::text;
use crate::support::database::{sqlite, sqlite_rows};
use crate::support::restic::Restic;
use crate::support::said;
use crate::support::stack::Stack;
use crate::support::wait::wait_for;

const SCOPE: &str = "customers";

/// Backs up once more, and waits until the pipeline has read it back.
async fn backed_up(stack: &Stack) -> SnapshotRecord {
    // Chains are named by the second in which they begin.
    let second = Utc::now().timestamp();
    wait_for("another second", 5, async || {
        (Utc::now().timestamp() > second).then_some(())
    })
    .await;
    let run = stack.run(SCOPE);
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let record = stack.judged(SCOPE).await;
    assert_eq!(Some(record.id), run.snapshot);
    assert_eq!(record.trust, Trust::Verified);
    record
}

fn restores(stack: &Stack, id: &SnapshotId, original: &Path) {
    let copy = stack.path(&format!("{}.db", id.short()));
    let to = format!("sqlite:{}", copy.display());
    stack.cli(&["restore", &id.to_string(), "--to", &to]).good();
    assert_eq!(sqlite_rows(&copy), sqlite_rows(original));
}

#[tokio::test]
async fn prune_deletes_what_no_rule_keeps_and_the_bucket_keeps_its_bytes() {
    let stack = Stack::deploy("prune").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 500);
    let config = stack.sqlite_config(&erp, &[(SCOPE, "customer")], "{ last = 2 }");
    let file = stack.write("config.toml", &config);
    stack.apply(&file);
    let alerts = Alerts::of(&stack).await;

    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(backed_up(&stack).await);
    }

    let dry = stack
        .cli(&["prune", "--scope", SCOPE, "--dry-run", "--json"])
        .json();
    let decisions = dry[0]["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 4, "{dry}");
    for (decision, record) in decisions.iter().zip(taken.iter().rev()) {
        assert_eq!(decision["snapshot"], record.id.to_string());
        assert!(
            !decision["reason"].as_str().unwrap().is_empty(),
            "{decision}"
        );
    }
    let kept: Vec<bool> = decisions
        .iter()
        .map(|d| d["keep"].as_bool().unwrap())
        .collect();
    assert_eq!(kept, [true, true, false, false]);
    let shown = stack.cli(&["prune", "--scope", SCOPE, "--dry-run"]).good();
    assert!(shown.contains("Nothing was changed"), "{shown}");
    assert_eq!(stack.snapshots(SCOPE).len(), 4);

    // The daily rule's own input.
    stack
        .invoke("Dispatcher", &json!({ "do": "prune_all" }))
        .await;
    wait_for("the prune function", 60, async || {
        (stack.snapshots(SCOPE).len() == 2).then_some(())
    })
    .await;
    let told = alerts.expect("clean_up", &taken[0].id.short()).await;
    assert_eq!(told.attributes["severity"]["Value"], "info");

    for (record, is_kept) in taken.iter().zip([false, false, true, true]) {
        let prefix = stack.prefix(record.chain.as_str());
        assert_eq!(stack.keys(&prefix).await.is_empty(), !is_kept);
        let versions = stack
            .s3()
            .list_object_versions()
            .bucket(stack.output("BucketName"))
            .prefix(&prefix)
            .send()
            .await
            .unwrap();
        assert!(!versions.versions().is_empty(), "bytes are gone: {prefix}");
        assert_eq!(versions.delete_markers().is_empty(), is_kept);
        if !is_kept {
            assert_eq!(versions.delete_markers().len(), versions.versions().len());
        }
    }
    restores(&stack, &taken[2].id, &erp);
    restores(&stack, &taken[3].id, &erp);
    Restic::of(&stack, taken[2].chain.as_str()).await.check();
    let gone = stack.cli(&["show", &taken[0].id.to_string()]).refused(4);
    assert!(gone.contains("there is no snapshot"), "{gone}");

    // The command line does the same, and then has nothing left to do.
    let newest = backed_up(&stack).await;
    let done = stack.cli(&["prune", "--scope", SCOPE, "--json"]).json();
    assert_eq!(done[0]["done"]["snapshots"], json!([taken[2].id]));
    let done = stack.cli(&["prune", "--json"]).json();
    assert_eq!(done[0]["done"]["snapshots"], json!([]));

    the_catalog_is_rebuilt(&stack, &file).await;
    restores(&stack, &newest.id, &erp);
    stack.delete().await;
}

/// A new database, rebuilt by the stock program from what restic restored.
fn by_sqlite(folder: &Path, into: &Path) {
    let script = std::fs::File::open(folder.join("restore.sql")).unwrap();
    let mut sqlite = Command::new("sqlite3");
    said(sqlite.arg(into).stdin(script).current_dir(folder));
}

#[tokio::test]
async fn what_prune_deleted_is_brought_back_and_what_is_held_stays() {
    let stack = Stack::deploy("undelete").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 500);
    let config = stack.sqlite_config(&erp, &[(SCOPE, "customer")], "{ last = 1 }");
    stack.apply(&stack.write("config.toml", &config));
    let (first, second) = (backed_up(&stack).await, backed_up(&stack).await);
    let newest = backed_up(&stack).await;
    let id = |record: &SnapshotRecord| record.id.to_string();

    let held = ["hold", &id(&second), "--reason", "audit", "--by", "anna"];
    stack.cli(&held).good();
    let done = stack.cli(&["prune", "--json"]).json();
    assert_eq!(done[0]["done"]["snapshots"], json!([first.id]));
    let shown = stack.cli(&["snapshots"]).good();
    assert!(shown.contains("verified, held"), "{shown}");
    let shown = stack.cli(&["show", &id(&second)]).good();
    assert!(shown.contains("by anna: audit"), "{shown}");
    Restic::of(&stack, second.chain.as_str()).await.check();

    let listed = stack.cli(&["undelete"]).good();
    assert!(listed.contains(&first.id.short()), "{listed}");
    assert!(!listed.contains(&second.id.short()), "{listed}");
    let listed = stack.cli(&["undelete", "--scope", SCOPE, "--json"]).json();
    assert_eq!(listed[0]["snapshots"][0]["id"], id(&first));
    let dry = stack.cli(&["undelete", &id(&first), "--dry-run"]).good();
    assert!(dry.contains("Nothing was changed"), "{dry}");
    let gone = stack.cli(&["undelete", &id(&newest)]).refused(4);
    assert!(gone.contains("there is no deleted snapshot"), "{gone}");

    let back = ["undelete", &id(&first), "--by", "bert", "--json"];
    let back = stack.cli(&back).json();
    assert_eq!(back["verification"]["findings"], json!([]));
    let shown = stack.cli(&["undelete"]).good();
    assert!(shown.contains("Nothing that was deleted"), "{shown}");
    restores(&stack, &first.id, &erp);
    let restic = Restic::of(&stack, first.chain.as_str()).await;
    restic.check();
    let into = stack.path("by restic");
    restic.restore_snapshot(&id(&first), &into);
    let copy = stack.path("by restic.db");
    by_sqlite(&into, &copy);
    assert_eq!(sqlite_rows(&copy), sqlite_rows(&erp));

    // Neither goes before it is released.
    let done = stack.cli(&["prune", "--json"]).json();
    assert_eq!(done[0]["done"]["snapshots"], json!([]));
    for record in [&first, &second] {
        stack.cli(&["release", &id(record)]).good();
    }
    stack.cli(&["release", &id(&second)]).refused(5);
    let done = stack.cli(&["prune", "--json"]).json();
    assert_eq!(done[0]["done"]["snapshots"], json!([second.id, first.id]));
    stack.delete().await;
}

/// What verify wrote is not in the location; all else comes back as it was.
fn immutable(records: Vec<SnapshotRecord>) -> BTreeMap<SnapshotId, SnapshotRecord> {
    let mut records: BTreeMap<_, _> = records.into_iter().map(|r| (r.id, r)).collect();
    for record in records.values_mut() {
        record.trust = Trust::Unverified;
        record.verified_at = None;
    }
    records
}

async fn the_catalog_is_rebuilt(stack: &Stack, file: &Path) {
    let before = immutable(stack.snapshots(SCOPE));
    assert_eq!(before.len(), 2);
    let file = file.display().to_string();

    stack.delete_items(|_| true).await;
    assert!(stack.items().await.is_empty());
    let lost = stack.cli(&["catalog", "rebuild"]).refused(4);
    assert!(lost.contains("--config"), "{lost}");
    stack.cli(&["catalog", "rebuild", "--config", &file]).good();
    assert_eq!(immutable(stack.snapshots(SCOPE)), before);

    // A second time finds nothing new, and one lost item is found alone.
    let again = stack.cli(&["catalog", "rebuild", "--json"]).json();
    assert_eq!(
        (&again[0]["known"], &again[0]["recorded"]),
        (&json!(2), &json!([]))
    );
    let one = before.keys().next().unwrap().to_string();
    stack
        .delete_items(|item| text(item, "sk").ends_with(&one))
        .await;
    let plan = stack.cli(&["prune", "--dry-run", "--json"]).json();
    assert_eq!(plan[0]["unknown"].as_array().unwrap().len(), 1, "{plan}");
    stack.cli(&["prune", "--json"]).good();
    stack.cli(&["catalog", "rebuild"]).good();
    assert_eq!(immutable(stack.snapshots(SCOPE)), before);
}

/// Something that happens to every object of a folder.
#[derive(Debug)]
enum Damage {
    Flip,
    Truncate,
    Delete,
}

#[tokio::test]
async fn damage_in_the_bucket_is_found_told_and_never_restored() {
    let stack = Stack::deploy("damage").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 500);
    let config = stack.sqlite_config(&erp, &[(SCOPE, "customer")], "{ last = 9 }");
    stack.apply(&stack.write("config.toml", &config));
    let alerts = Alerts::of(&stack).await;
    let healthy = backed_up(&stack).await;

    let cases = [
        ("data/", Damage::Flip),
        ("data/", Damage::Truncate),
        ("data/", Damage::Delete),
        ("index/", Damage::Flip),
        ("index/", Damage::Delete),
        ("snapshots/", Damage::Delete),
        ("keys/", Damage::Delete),
        ("config", Damage::Truncate),
    ];
    for (folder, damage) in cases {
        let record = backed_up(&stack).await;
        let id = record.id.to_string();
        let prefix = format!("{}{folder}", stack.prefix(record.chain.as_str()));
        let keys = stack.keys(&prefix).await;
        assert!(!keys.is_empty(), "{prefix}");
        for key in &keys {
            match damage {
                Damage::Flip => {
                    let mut content = stack.get(key).await;
                    let middle = content.len() / 2;
                    content[middle] ^= 1;
                    stack.put(key, content).await;
                }
                Damage::Truncate => {
                    let mut content = stack.get(key).await;
                    content.truncate(content.len() / 2);
                    stack.put(key, content).await;
                }
                Damage::Delete => stack.remove(key).await,
            }
        }
        let what = format!("{damage:?} {folder}");
        let ended = stack.cli(&["verify", &id, "--json"]);
        assert_eq!(ended.code, 3, "{what}: {ended:?}");
        assert!(
            ended.stderr.contains("must not be relied on"),
            "{what}: {ended:?}"
        );
        let records = stack.snapshots(SCOPE);
        assert_eq!(records[0].id, record.id);
        assert_eq!(records[0].trust, Trust::Damaged, "{what}");
        assert!(records[0].findings > 0, "{what}");

        let copy = stack.path("damaged.db");
        let to = format!("sqlite:{}", copy.display());
        let ended = stack.cli(&["restore", &id, "--to", &to, "--overwrite"]);
        // Failed, damaged, or, without its snapshot object, not there.
        assert!(matches!(ended.code, 1 | 3 | 4), "{what}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{what}: {ended:?}");

        // The pipeline says the same, by event, and tells the operator.
        let event =
            json!({ "version": 1, "type": "VerifyRequested", "scope": SCOPE, "snapshot": id });
        let answer = stack.invoke("Verify", &json!({ "detail": event })).await;
        assert!(
            !answer["findings"].as_array().unwrap().is_empty(),
            "{what}: {answer}"
        );
        let told = alerts.expect("finding", &id).await;
        assert_eq!(told.attributes["severity"]["Value"], "error");
    }
    restores(&stack, &healthy.id, &erp);
    let last = backed_up(&stack).await;
    restores(&stack, &last.id, &erp);
    stack.delete().await;
}

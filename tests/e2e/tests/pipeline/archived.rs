//! Rows in an archived storage class: the whole of the pipeline, from the tag to a restore after a thaw.

use aws_sdk_s3::types::StorageClass;
use chrono::{TimeDelta, Utc};
use logisedge_domain::Instant;
use logisedge_domain::event::Event;
use logisedge_domain::run::RunState;
use logisedge_domain::snapshot::Trust;
use logisedge_domain::storage::StorageTier;
use serde_json::{Value, json};

use crate::support::database::{sqlite, sqlite_rows};
use crate::support::stack::Stack;

const SCOPE: &str = "customers";

/// Moves what has the tag, as the template's rule does some night: the emulator has no nights. Says how
/// many objects these are.
async fn a_night_passes(stack: &Stack, prefix: &str) -> usize {
    let (s3, bucket) = (stack.s3(), stack.output("BucketName"));
    let mut moved = 0;
    for key in stack.keys(prefix).await {
        let tags = s3.get_object_tagging().bucket(bucket).key(&key);
        let tags = tags.send().await.unwrap();
        let wanted = (StorageTier::TAG, StorageTier::Archive.as_str());
        if tags
            .tag_set()
            .iter()
            .any(|tag| (tag.key(), tag.value()) == wanted)
        {
            let copy = s3.copy_object().bucket(bucket).key(&key);
            let copy = copy.copy_source(format!("{bucket}/{key}"));
            let copy = copy.storage_class(StorageClass::DeepArchive);
            copy.send().await.unwrap();
            moved += 1;
        }
    }
    moved
}

#[tokio::test]
async fn a_restore_of_what_is_archived_says_how_long_and_how_much_and_waits() {
    let stack = Stack::deploy("archived").await;
    let erp = stack.path("erp.db");
    sqlite(&erp, &["customer"], 500);
    let keep = "{ last = 2 }\nstorage = \"archive\"";
    let config = stack.sqlite_config(&erp, &[(SCOPE, "customer")], keep);
    stack.apply(&stack.write("config.toml", &config));
    let run = stack.run(SCOPE);
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    let record = stack.judged(SCOPE).await;
    assert_eq!(record.trust, Trust::Verified);
    let prefix = stack.prefix(record.chain.as_str());
    assert_eq!(a_night_passes(&stack, &prefix).await, 1);

    let id = record.id.to_string();
    let shown = stack.cli(&["show", &id]).good();
    assert!(shown.contains("archive"), "{shown}");
    let verified = stack.cli(&["verify", &id]).good();
    assert!(
        verified.contains("Not read: 1 pack in archived"),
        "{verified}"
    );
    assert_eq!(stack.judged(SCOPE).await.trust, Trust::Verified);
    // The daily rule's event names none, and leaves what is dear to read for a month.
    let daily = Event::VerifyRequested {
        scope: SCOPE.parse().unwrap(),
        snapshot: None,
    };
    let daily: Value = serde_json::from_str(&daily.to_detail()).unwrap();
    let answer = stack.invoke("Verify", &json!({ "detail": daily })).await;
    assert_eq!(
        answer["nothing"],
        "its rows are dear to read, and were read within the month"
    );
    stack.cli(&["prune", "--dry-run"]).good();

    let copy = stack.path("copy.db");
    let to = format!("sqlite:{}", copy.display());
    let restore = ["restore", &id, "--to", &to];
    let refused = stack.cli(&restore).refused(5);
    for speed in [
        "--thaw standard   within 12 h",
        "--thaw bulk       within 2 d",
    ] {
        assert!(refused.contains(speed), "{refused}");
    }
    let with = |more: &[&'static str]| [&restore[..], more].concat();
    let refused = stack.cli(&with(&["--thaw", "expedited"])).refused(5);
    assert!(
        refused.contains("nothing is thawed at the expedited speed"),
        "{refused}"
    );
    let asked = stack.cli(&with(&["--thaw", "standard"])).refused(5);
    assert!(asked.contains("Nothing was restored yet"), "{asked}");
    assert!(!copy.exists());
    let before = Utc::now();
    stack.cli(&with(&["--wait"])).good();
    // While it waited, prune would have left the snapshot alone for the longest thaw and a day.
    let items = stack.items().await;
    let until = items.iter().find_map(|item| item.get("in_use_until"));
    let until: Instant = until.unwrap().as_s().unwrap().parse().unwrap();
    assert!(until >= before + TimeDelta::hours(72), "{until}");
    assert_eq!(sqlite_rows(&copy), sqlite_rows(&erp));
    stack.delete().await;
}

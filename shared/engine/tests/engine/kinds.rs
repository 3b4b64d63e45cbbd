//! Kinds: what each may share, and when a full is taken instead.

mod ends;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use insta::assert_snapshot;
use logisedge_domain::id::RunId;
use logisedge_domain::run::{Run, RunStats};
use logisedge_domain::scope::{Scope, Selection};
use logisedge_domain::snapshot::{Kind, SnapshotRecord, Trust};
use logisedge_engine::Progress;
use logisedge_engine::attempt::{Attempted, LEASE, Places};
use logisedge_engine::rebuild::find_snapshots;
use logisedge_sources::SqliteSource;
use logisedge_storage::{Fault, Faulty};

use crate::attempts::is_good;
use crate::server::said;
use crate::world::{PASSWORD, World, daily, password, scope};

const SCOPE: &str = "everything";

/// Chains are named by the second.
async fn next_second() {
    tokio::time::sleep(Duration::from_millis(1050)).await;
}

async fn run_of(world: &World, kind: Kind) -> RunId {
    world.request_kind(SCOPE, Some(kind)).await
}

async fn back_up(world: &World, kind: Kind) -> (Run, SnapshotRecord, RunStats) {
    // What is asked for as an incremental may come to a full in a new chain.
    next_second().await;
    let id = run_of(world, kind).await;
    match world.attempt(&id).await {
        Attempted::Succeeded(taken) => {
            is_good(world, &taken.record).await;
            (world.run(&id).await, taken.record, taken.stats)
        }
        other => panic!("{other:?}"),
    }
}

/// What an incremental comes to that works with other places than it should: the reason for a full.
async fn full_because(world: &World, change: impl FnOnce(&mut Places)) -> String {
    next_second().await;
    let id = run_of(world, Kind::Incremental).await;
    let opened = async |run: Run| {
        let mut places = world.places(&run, world.source()).await;
        change(&mut places);
        Ok(places)
    };
    let ended = world.attempt_with(&id, None, opened).await.unwrap();
    let Attempted::Succeeded(taken) = ended else {
        panic!("{ended:?}");
    };
    let run = world.run(&id).await;
    assert_eq!(
        (run.kind, run.kind_taken),
        (Kind::Incremental, Some(Kind::Full))
    );
    assert_eq!(taken.record.kind, Kind::Full);
    assert_eq!(taken.record.base, None);
    assert_eq!(run.chain.as_ref(), Some(&taken.record.chain));
    assert_eq!(taken.stats.bytes_shared, 0, "a full shares nothing");
    assert_eq!(taken.manifest.kind_reason, run.kind_reason);
    assert_eq!(taken.record.kind_reason, run.kind_reason);
    let alerts = world.alerts().await;
    let reason = run.kind_reason.unwrap();
    let told = alerts
        .iter()
        .filter(|alert| alert.run.as_ref() == Some(&id));
    let told: Vec<_> = told.flat_map(|alert| &alert.details).collect();
    assert!(told.iter().any(|line| line.contains(&reason)), "{told:?}");
    reason
}

/// Adds rows that no blob holds yet.
fn change(world: &World, seed: u32) {
    let db = rusqlite::Connection::open(world.database()).unwrap();
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO customers (name, note) SELECT 'New ' || i || ' of ' || ?1, hex(randomblob(90)) FROM n",
        [seed],
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_shares_what_it_may_and_no_more() {
    let world = World::new().await;
    for seed in 100..104 {
        change(&world, seed);
    }
    let (run, full, _) = back_up(&world, Kind::Incremental).await;
    assert_eq!((full.kind, run.kind_taken), (Kind::Full, Some(Kind::Full)));
    assert_snapshot!(run.kind_reason.unwrap(), @"there is no earlier full of the scope at this location");

    change(&world, 1);
    let (run, first, new) = back_up(&world, Kind::Incremental).await;
    assert_eq!((first.kind, first.base), (Kind::Incremental, Some(full.id)));
    assert_eq!(
        (run.kind_taken, run.kind_reason),
        (Some(Kind::Incremental), None)
    );
    assert_eq!(first.chain, full.chain);
    assert!(
        new.bytes_new > 80_000 && new.bytes_shared > 80_000,
        "{new:?}"
    );
    assert!(new.bytes_stored < full.bytes_stored, "{new:?}");

    // Nothing changed: only the manifest is new.
    let (_, second, none) = back_up(&world, Kind::Incremental).await;
    assert_eq!(second.base, Some(first.id));
    assert!(none.bytes_new < 20_000, "{none:?}");
    assert_eq!(none.bytes_read, new.bytes_read);

    // A differential stores again what the incremental holds and the full does not.
    let (_, differential, again) = back_up(&world, Kind::Differential).await;
    assert_eq!(differential.base, Some(full.id));
    assert_eq!(differential.chain, full.chain);
    let difference = again.bytes_new.abs_diff(new.bytes_new);
    assert!(difference < 20_000, "{again:?} {new:?}");

    // And the next incremental what neither holds.
    let (_, third, none) = back_up(&world, Kind::Incremental).await;
    assert_eq!(third.base, Some(differential.id));
    assert!(none.bytes_new < 20_000, "{none:?}");

    next_second().await;
    let (run, alone, all) = back_up(&world, Kind::Full).await;
    assert_ne!(alone.chain, full.chain);
    assert_eq!((alone.base, run.kind_reason), (None, None));
    assert_eq!(all.bytes_shared, 0);

    // What each is lies at the location too.
    let name = "main".parse().unwrap();
    let (password, progress) = (password(), Progress::new());
    let found = find_snapshots(&name, &world.store, &password, &progress);
    let (found, unreadable) = found.await.unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let mut known = world.catalog.snapshots(&scope(SCOPE)).await.unwrap();
    known.reverse();
    assert_eq!(found, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_speaks_against_a_chain_is_told_and_a_full_is_taken() {
    let world = World::new().await;
    let (_, full, _) = back_up(&world, Kind::Full).await;

    let selection = Selection::Tables {
        include: vec!["items".to_owned(), "customers".to_owned()],
        exclude: vec![],
    };
    let because = full_because(&world, |places| {
        places.scope = Scope {
            selection,
            ..places.scope.clone()
        };
    });
    assert_snapshot!(because.await, @"the scope selects something else than when its chain was written");

    let because = full_because(&world, |places| {
        places.options.chunk_bytes_average = 8 << 10;
    });
    assert_snapshot!(because.await, @"the scope selects something else than when its chain was written");
    let because = full_because(&world, |_| {});
    assert_snapshot!(because.await, @"content is cut into blobs otherwise than when its chain was written");

    let other = world.folder.path().join("other.db");
    std::fs::copy(world.database(), &other).unwrap();
    let because = full_because(&world, |places| {
        places.source = Box::new(SqliteSource::new(&other));
    });
    assert_snapshot!(because.await, @"its chain holds erp (sqlite, database erp.db), and the source is erp (sqlite, database other.db) by now");
    let because = full_because(&world, |places| {
        places.scope.source = "crm".parse().unwrap();
    });
    assert_snapshot!(because.await, @"its chain holds erp, and the source is crm by now");

    // The first chain is as it was.
    is_good(&world, &full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_lost_bytes_is_not_built_on() {
    let world = World::new().await;
    back_up(&world, Kind::Full).await;
    let (_, newest, _) = back_up(&world, Kind::Incremental).await;
    let pack = world
        .objects()
        .await
        .into_iter()
        .find(|key| key.contains("/data/"));
    let pack = world.location().join(pack.unwrap());
    let bytes = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &bytes[..bytes.len() - 1]).unwrap();
    assert_snapshot!(full_because(&world, |_| {}).await, @"the location lacks 1 pack of its chain or holds them with another length: verify its snapshots");

    // Verify found it, or something else, before.
    let (_, full, _) = back_up(&world, Kind::Incremental).await;
    let record = world
        .catalog
        .record_verification(&full, Trust::Damaged, &[], Utc::now(), &[]);
    record.await.unwrap();
    let because = full_because(&world, |_| {}).await;
    assert_eq!(
        because,
        format!("snapshot {} of its chain is damaged", full.id.short())
    );
    assert_ne!(newest.chain, full.chain);

    // Nobody can read it: its password is another by now.
    let (_, full, _) = back_up(&world, Kind::Incremental).await;
    let config = world.location().join(full.chain.as_str()).join("config");
    std::fs::remove_file(config).unwrap();
    let because = full_because(&world, |_| {}).await;
    assert!(
        because.starts_with("its chain cannot be read: "),
        "{because}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_version_1_is_only_read() {
    let world = World::new().await;
    let (_, full, _) = back_up(&world, Kind::Full).await;
    // Stock restic carries the snapshot over into one of version 1, which takes the chain's place.
    let chain = world.location().join(full.chain.as_str());
    let old = world.folder.path().join("version-1");
    let restic = |arguments: &[&str], from: Option<&Path>| {
        let mut command = Command::new("restic");
        command
            .arg("--no-cache")
            .args(arguments)
            .env("RESTIC_REPOSITORY", &old)
            .env("RESTIC_PASSWORD", PASSWORD);
        if let Some(from) = from {
            command
                .env("RESTIC_FROM_REPOSITORY", from)
                .env("RESTIC_FROM_PASSWORD", PASSWORD);
        }
        said(&mut command)
    };
    restic(&["init", "--repository-version", "1"], None);
    restic(&["copy"], Some(&chain));
    std::fs::remove_dir_all(&chain).unwrap();
    std::fs::rename(&old, &chain).unwrap();
    let (name, progress) = ("main".parse().unwrap(), Progress::new());
    let password = password();
    let found = find_snapshots(&name, &world.store, &password, &progress);
    let (found, _) = found.await.unwrap();
    assert_eq!(found.len(), 1);
    forget(&world, &full).await;
    assert!(world.catalog.put_snapshot(&found[0]).await.unwrap());
    is_good(&world, &found[0]).await;
    assert_snapshot!(full_because(&world, |_| {}).await, @"its chain's repository is of version 1, which is only read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_no_reason_for_a_full() {
    let world = World::new().await;
    back_up(&world, Kind::Full).await;
    next_second().await;
    let id = run_of(&world, Kind::Incremental).await;
    let opened = async |run: Run| {
        let places = world.places(&run, world.source()).await;
        let store = Arc::new(Faulty::new(places.store.clone(), Fault::DiesAfter(3)));
        Ok(Places { store, ..places })
    };
    let ended = world.attempt_with(&id, None, opened).await.unwrap();
    assert!(
        matches!(ended, Attempted::Failed(_) | Attempted::WillRetry(_)),
        "{ended:?}"
    );
    let run = world.run(&id).await;
    assert_eq!((run.kind_taken, run.snapshot), (None, None));
    let (_, next, _) = back_up(&world, Kind::Incremental).await;
    assert_eq!(next.kind, Kind::Incremental);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_full_of_another_rhythm_and_a_pruned_one() {
    let world = World::with("kind = \"incremental\"\nfull = \"2 days\"").await;
    let (_, full, _) = back_up(&world, Kind::Full).await;
    let (_, newest, _) = back_up(&world, Kind::Incremental).await;
    // As if it were three days old.
    forget(&world, &full).await;
    let old = SnapshotRecord {
        taken_at: full.taken_at - TimeDelta::days(3),
        ..full.clone()
    };
    assert!(world.catalog.put_snapshot(&old).await.unwrap());
    let because = full_because(&world, |_| {}).await;
    assert!(
        because.starts_with("a full is due after 2 days"),
        "{because}"
    );

    // The catalog knows an incremental of the newest chain and not its full any more.
    let (_, full, _) = back_up(&world, Kind::Full).await;
    next_second().await;
    back_up(&world, Kind::Differential).await;
    forget(&world, &full).await;
    assert_snapshot!(full_because(&world, |_| {}).await, @"the full of its chain was deleted");
    is_good(&world, &newest).await;
}

/// Takes a snapshot out of the catalog, as prune does at its end.
async fn forget(world: &World, record: &SnapshotRecord) {
    let name = scope(SCOPE);
    let fence = world
        .catalog
        .begin_exclusive(&name, "test", Utc::now(), LEASE)
        .await
        .unwrap()
        .unwrap();
    assert!(
        world
            .catalog
            .mark_deleting(record, Utc::now())
            .await
            .unwrap()
    );
    assert!(
        world
            .catalog
            .delete_snapshot(&name, &record.id)
            .await
            .unwrap()
    );
    assert!(world.catalog.release(&name, fence).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_takes_its_kind() {
    let world = World::with("kind = \"differential\"\nfull = \"weekly\"").await;
    let run = world.run(&world.request("customers").await).await;
    assert_eq!(run.kind, Kind::Differential);
    let asked = world
        .request_kind("customers", Some(Kind::Incremental))
        .await;
    assert_eq!(world.run(&asked).await.kind, Kind::Incremental);
    let state = world.catalog.schedule(&daily()).await.unwrap().unwrap();
    assert_eq!(state.schedule.kind, Kind::Differential);
}

//! What `apply` refuses although the file is right.

use chrono::Utc;
use logisedge_domain::config::{Config, LocationConfig};
use logisedge_engine::{EngineErrorKind, configure};

use crate::world::{World, config};

fn elsewhere() -> Config {
    let mut config = config("");
    for location in config.locations.values_mut() {
        if let LocationConfig::S3 { bucket, .. } = location {
            *bucket = "another".to_owned();
        }
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_with_snapshots_keeps_its_place() {
    let world = World::new().await;
    let catalog = &world.catalog;
    // As long as nothing lies there it may lie anywhere.
    configure::apply(catalog, &elsewhere(), Utc::now())
        .await
        .unwrap();
    configure::apply(catalog, &config(""), Utc::now())
        .await
        .unwrap();
    world.back_up("customers").await;
    let refused = configure::apply(catalog, &elsewhere(), Utc::now()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, EngineErrorKind::Refused);
    insta::assert_snapshot!(refused, @"location main would move from s3://the-bucket/ to s3://another/, and the catalog has 1 snapshot at the old one: give the new place a name of its own and keep this one; what you copied there, `logisedge-backup catalog rebuild --location NAME` makes known");
    assert_eq!(catalog.load_config().await.unwrap(), config(""));
    // Another password, another limit: that is no move.
    let mut limited = config("");
    for location in limited.locations.values_mut() {
        if let LocationConfig::S3 {
            capacity_bytes_max, ..
        } = location
        {
            *capacity_bytes_max = Some(1 << 40);
        }
    }
    configure::apply(catalog, &limited, Utc::now())
        .await
        .unwrap();
}

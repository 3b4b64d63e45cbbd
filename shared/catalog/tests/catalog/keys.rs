//! The keys in the code, in the template, and errors that a user sees.

use logisedge_catalog::keys::{INDEXES, PK, SK};
use logisedge_catalog::{Catalog, CatalogErrorKind};

use crate::support::{at, client, run};

/// The template's table is the one that the code expects.
#[test]
fn the_template_declares_the_same_keys() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/template.yaml");
    let template = std::fs::read_to_string(path).unwrap();
    let attributes = INDEXES.iter().flat_map(|index| [index.pk, index.sk]);
    for name in [PK, SK].into_iter().chain(attributes) {
        let said = format!("AttributeName: {name}");
        assert!(
            template.contains(&said),
            "infra/template.yaml lacks {said:?}"
        );
    }
    for index in INDEXES {
        let said = format!("IndexName: {}", index.name);
        assert!(
            template.contains(&said),
            "infra/template.yaml lacks {said:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_table_says_what_to_do() {
    let catalog = Catalog::new(client().await, "no-such-table");
    let read = catalog.run(&run(0).id).await.unwrap_err();
    assert_eq!(read.kind, CatalogErrorKind::TableMissing);
    assert!(!read.retry().is_transient());
    insta::assert_snapshot!(read, @r#"cannot read run daily.20261124T020000Z.customers: there is no table "no-such-table" (or it lacks an index): deploy infra/template.yaml, or correct LOGISEDGE_TABLE"#);
    let write = catalog.record_run(&run(0), None, &[]).await.unwrap_err();
    assert_eq!(write.kind, CatalogErrorKind::TableMissing);
    let list = catalog.due_schedules(at(0)).await.unwrap_err();
    assert_eq!(list.kind, CatalogErrorKind::TableMissing);
}

#[tokio::test]
async fn an_unreachable_service_is_worth_another_try() {
    let config = client()
        .await
        .config()
        .to_builder()
        .endpoint_url("http://127.0.0.1:9");
    let config = config.retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled());
    let catalog = Catalog::new(aws_sdk_dynamodb::Client::from_conf(config.build()), "any");
    let error = catalog.load_config().await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Unavailable);
    assert!(error.retry().is_transient());
    insta::assert_snapshot!(error, @"cannot list the configuration: DynamoDB cannot be reached: Connection refused (os error 111)");
}

//! The catalog, as the product reads it and as raw items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use logisedge_catalog::Catalog;
use logisedge_domain::run::Run;
use logisedge_domain::snapshot::{SnapshotRecord, Trust};

use super::stack::Stack;
use super::wait::wait_for;

/// An item of the table.
pub type Item = HashMap<String, AttributeValue>;

impl Stack {
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.dynamodb(), self.output("TableName"))
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// Every item of the table.
    pub async fn items(&self) -> Vec<Item> {
        let scan = self.dynamodb().scan().table_name(self.output("TableName"));
        let pages = scan.into_paginator().items().send();
        pages.try_collect().await.unwrap()
    }

    /// Deletes the items that `which` accepts, behind the product's back.
    pub async fn delete_items(&self, which: impl Fn(&Item) -> bool) -> usize {
        let mut deleted = 0;
        for item in self.items().await.iter().filter(|item| which(item)) {
            let delete = self.dynamodb().delete_item();
            delete
                .table_name(self.output("TableName"))
                .key("pk", item["pk"].clone())
                .key("sk", item["sk"].clone())
                .send()
                .await
                .unwrap();
            deleted += 1;
        }
        deleted
    }

    /// Every run, newest first.
    pub async fn runs(&self) -> Vec<Run> {
        self.catalog().recent_runs(1000).await.unwrap()
    }

    /// The newest snapshot of a scope, once verify has judged it.
    pub async fn judged(&self, scope: &str) -> SnapshotRecord {
        let scope = scope.parse().unwrap();
        wait_for("the newest snapshot to be read back", 90, async || {
            let records = self.catalog().snapshots(&scope).await.unwrap();
            records
                .into_iter()
                .next()
                .filter(|record| record.trust != Trust::Unverified)
        })
        .await
    }
}

/// A text attribute of an item.
pub fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item[name].as_s().unwrap()
}

//! The table itself: making it, and the few requests that everything else is made of.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CancellationReason, DeleteRequest, GlobalSecondaryIndex,
    KeySchemaElement, KeyType, Projection, ProjectionType, ReturnConsumedCapacity,
    ScalarAttributeType, WriteRequest,
};
use serde::de::DeserializeOwned;

use crate::CatalogError;
use crate::error::{About, Action};
use crate::expression::{Item, KeyCondition, Write};
use crate::keys::{INDEXES, Index, Key, PK, SK};
use crate::meter::{Meter, Spent};

/// Writes in one transaction, and [`TRANSACTION_BYTES_MAX`] bytes:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>.
pub const TRANSACTION_WRITES_MAX: usize = 100;

/// Bytes of all items of a transaction, 4 MB; the same page.
pub const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one item with its attributes' names, 400 KB; the same page.
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// Writes of one BatchWriteItem request:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>.
pub const BATCH_WRITES_MAX: usize = 25;

/// Tries at a write that meets another transaction on the same item, or is left over of a batch.
pub(crate) const CONFLICT_TRIES_MAX: u32 = 8;

/// The catalog in one DynamoDB table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    client: Client,
    table: String,
    meter: Meter,
}

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All writes happened.
    Done,
    /// None did; for each write, whether its condition did not hold.
    Refused(Vec<bool>),
}

impl Outcome {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl Catalog {
    /// The catalog in `table`. Sends nothing.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            meter: Meter::default(),
        }
    }

    /// What the requests of this catalog and its clones have cost so far.
    pub fn spent(&self) -> Spent {
        self.meter.spent()
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Makes the table with its indexes, on demand, and waits until it can be used. For tests and
    /// for accounts without CloudFormation; `infra/template.yaml` also protects and encrypts it.
    pub async fn create_table(
        client: Client,
        name: impl Into<String>,
    ) -> Result<Self, CatalogError> {
        let catalog = Self::new(client, name);
        let about = catalog.about("create", "the table", Action::PutItem);
        let built = |e: aws_sdk_dynamodb::error::BuildError| {
            CatalogError::other("create", "the table", e.to_string())
        };
        let mut request = catalog
            .client
            .create_table()
            .table_name(&catalog.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(key_schema(PK, SK).map_err(built)?));
        let indexed = INDEXES.iter().flat_map(|index| [index.pk, index.sk]);
        for name in [PK, SK].into_iter().chain(indexed) {
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            request = request.attribute_definitions(attribute.build().map_err(built)?);
        }
        for index in INDEXES {
            let all = Projection::builder().projection_type(ProjectionType::All);
            let index = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(key_schema(index.pk, index.sk).map_err(built)?))
                .projection(all.build());
            request = request.global_secondary_indexes(index.build().map_err(built)?);
        }
        request.send().await.map_err(|e| about.failed(e))?;
        loop {
            let told = catalog.client.describe_table().table_name(&catalog.table);
            let told = told.send().await.map_err(|e| about.failed(e))?;
            let status = told.table.and_then(|t| t.table_status);
            if status == Some(aws_sdk_dynamodb::types::TableStatus::Active) {
                return Ok(catalog);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn about<'a>(&'a self, operation: &'static str, object: &'a str, action: Action) -> About<'a> {
        About {
            table: &self.table,
            operation,
            object,
            action,
        }
    }

    /// Reads one item, consistently.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        object: &str,
        key: Key,
    ) -> Result<Option<T>, CatalogError> {
        let about = self.about("read", object, Action::GetItem);
        self.meter.request();
        let answer = self
            .client
            .get_item()
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .table_name(&self.table)
            .set_key(Some(key.into_item()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|e| about.failed(e))?;
        self.meter.read(answer.consumed_capacity());
        answer
            .item
            .map(|item| decode("read", object, item))
            .transpose()
    }

    /// Reads the items of a partition of the table, consistently, or of an index, as of a moment
    /// ago; at most `limit`, if there is one.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        object: &str,
        index: Option<Index>,
        condition: KeyCondition,
        ascending: bool,
        limit: Option<usize>,
    ) -> Result<Vec<T>, CatalogError> {
        let items = self
            .query_items(object, index, condition, ascending, limit)
            .await?;
        items
            .into_iter()
            .map(|item| decode("list", object, item))
            .collect()
    }

    /// As [`Self::query`], for items of several types.
    pub(crate) async fn query_items(
        &self,
        object: &str,
        index: Option<Index>,
        condition: KeyCondition,
        ascending: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, CatalogError> {
        let about = self.about("list", object, Action::Query);
        let (condition, names, values) = condition.parts();
        let limit = limit.unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut from: Option<Item> = None;
        while found.len() < limit {
            let wanted = i32::try_from(limit - found.len()).ok();
            self.meter.request();
            let page = self
                .client
                .query()
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .table_name(&self.table)
                .set_index_name(index.map(|i| i.name.to_owned()))
                .consistent_read(index.is_none())
                .set_key_condition_expression(condition.clone())
                .set_expression_attribute_names(names.clone())
                .set_expression_attribute_values(values.clone())
                .scan_index_forward(ascending)
                .set_limit(wanted)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|e| about.failed(e))?;
            self.meter.read(page.consumed_capacity());
            found.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Does all of `writes` or none of them. A refusal for a condition is no error.
    pub(crate) async fn transact(
        &self,
        operation: &'static str,
        object: &str,
        writes: Vec<Write>,
    ) -> Result<Outcome, CatalogError> {
        debug_assert!((1..=TRANSACTION_WRITES_MAX).contains(&writes.len()));
        let about = self.about(operation, object, Action::UpdateItem);
        let items = writes
            .into_iter()
            .map(|write| write.into_transaction(&self.table))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| CatalogError::other(operation, object, e.to_string()))?;
        for tries in 1..=CONFLICT_TRIES_MAX {
            self.meter.request();
            let answer = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await;
            let error = match answer {
                Ok(answer) => {
                    self.meter.wrote(answer.consumed_capacity());
                    return Ok(Outcome::Done);
                }
                Err(error) => error,
            };
            let cancelled = match error.as_service_error() {
                Some(e) if e.is_transaction_canceled_exception() => Some(reasons(e)),
                Some(e) if e.code() == Some("TransactionConflictException") => Some(Vec::new()),
                _ => None,
            };
            let Some(reasons) = cancelled else {
                return Err(about.failed(error));
            };
            match Cancelled::of(&reasons) {
                Cancelled::Refused(which) => return Ok(Outcome::Refused(which)),
                Cancelled::Conflict => pause(tries).await,
                Cancelled::Other(reason) => {
                    return Err(CatalogError::other(operation, object, reason));
                }
            }
        }
        Err(CatalogError::conflict(operation, object))
    }

    /// Deletes items, whatever they are, in batches.
    pub(crate) async fn delete_all(
        &self,
        object: &str,
        keys: Vec<Key>,
    ) -> Result<(), CatalogError> {
        let about = self.about("delete", object, Action::DeleteItem);
        for chunk in keys.chunks(BATCH_WRITES_MAX) {
            let mut left = chunk
                .iter()
                .map(|key| {
                    let delete = DeleteRequest::builder().set_key(Some(key.clone().into_item()));
                    Ok(WriteRequest::builder()
                        .delete_request(delete.build()?)
                        .build())
                })
                .collect::<Result<Vec<_>, aws_sdk_dynamodb::error::BuildError>>()
                .map_err(|e| CatalogError::other("delete", object, e.to_string()))?;
            let mut tries = 1;
            while !left.is_empty() {
                if tries > CONFLICT_TRIES_MAX {
                    return Err(CatalogError {
                        kind: crate::CatalogErrorKind::Throttled,
                        ..CatalogError::other(
                            "delete",
                            object,
                            "DynamoDB asks to send fewer requests",
                        )
                    });
                }
                if tries > 1 {
                    pause(tries).await;
                }
                self.meter.request();
                let answer = self
                    .client
                    .batch_write_item()
                    .request_items(&self.table, left)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await
                    .map_err(|e| about.failed(e))?;
                self.meter.wrote(answer.consumed_capacity());
                left = answer
                    .unprocessed_items
                    .and_then(|mut items| items.remove(&self.table))
                    .unwrap_or_default();
                tries += 1;
            }
        }
        Ok(())
    }
}

fn key_schema(
    pk: &str,
    sk: &str,
) -> Result<Vec<KeySchemaElement>, aws_sdk_dynamodb::error::BuildError> {
    [(pk, KeyType::Hash), (sk, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        })
        .collect()
}

pub(crate) fn decode<T: DeserializeOwned>(
    operation: &'static str,
    object: &str,
    item: HashMap<String, aws_sdk_dynamodb::types::AttributeValue>,
) -> Result<T, CatalogError> {
    serde_dynamo::from_item(item).map_err(|e| CatalogError::corrupt(operation, object, e))
}

fn reasons(
    error: &aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError,
) -> Vec<CancellationReason> {
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError as E;
    match error {
        E::TransactionCanceledException(e) => e.cancellation_reasons().to_vec(),
        _ => Vec::new(),
    }
}

enum Cancelled {
    Refused(Vec<bool>),
    Conflict,
    Other(String),
}

impl Cancelled {
    /// The codes:
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>.
    fn of(reasons: &[CancellationReason]) -> Self {
        let code = |r: &CancellationReason| r.code().unwrap_or("None").to_owned();
        let codes: Vec<String> = reasons.iter().map(code).collect();
        let passing = [
            "None",
            "ConditionalCheckFailed",
            "TransactionConflict",
            "ThrottlingError",
            "ProvisionedThroughputExceeded",
        ];
        if let Some(at) = codes.iter().position(|c| !passing.contains(&c.as_str())) {
            let text = reasons[at].message().unwrap_or("no reason given");
            return Self::Other(format!(
                "DynamoDB refused write {at}: {}: {text}",
                codes[at]
            ));
        }
        let refused: Vec<bool> = codes
            .iter()
            .map(|c| c == "ConditionalCheckFailed")
            .collect();
        if refused.contains(&true) {
            Self::Refused(refused)
        } else {
            Self::Conflict
        }
    }
}

/// Waits up to 25 ms times two to the number of tries: full jitter.
pub(crate) async fn pause(tries: u32) {
    let share = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
    let most = Duration::from_millis(25) * (1 << tries.min(6));
    tokio::time::sleep(most.mul_f64(share)).await;
}

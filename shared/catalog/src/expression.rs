//! Expressions of DynamoDB, with every name and value behind a placeholder, so that no name
//! collides with one of its reserved words and no value is ever part of the text.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};
use logisedge_domain::Instant;
use serde::Serialize;

use crate::keys::{Key, PK, SK, stamp};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// A value of an expression.
pub(crate) trait IntoValue {
    fn into_value(self) -> AttributeValue;
}

impl IntoValue for &str {
    fn into_value(self) -> AttributeValue {
        AttributeValue::S(self.to_owned())
    }
}

impl IntoValue for String {
    fn into_value(self) -> AttributeValue {
        AttributeValue::S(self)
    }
}

impl IntoValue for u64 {
    fn into_value(self) -> AttributeValue {
        AttributeValue::N(self.to_string())
    }
}

impl IntoValue for u32 {
    fn into_value(self) -> AttributeValue {
        AttributeValue::N(self.to_string())
    }
}

impl IntoValue for AttributeValue {
    fn into_value(self) -> AttributeValue {
        self
    }
}

impl IntoValue for i64 {
    fn into_value(self) -> AttributeValue {
        AttributeValue::N(self.to_string())
    }
}

/// Instants are compared, so they have the fixed width.
impl IntoValue for Instant {
    fn into_value(self) -> AttributeValue {
        AttributeValue::S(stamp(self))
    }
}

/// A value as serde writes it, the same as inside an item's body.
pub(crate) fn typed<T: Serialize>(value: &T) -> Result<AttributeValue, serde_dynamo::Error> {
    serde_dynamo::to_attribute_value(value)
}

/// What a write does to one item, and under which condition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expression {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
    conditions: Vec<String>,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    deletes: Vec<String>,
}

impl Expression {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A path such as `body.state`, as its placeholders.
    fn path(&mut self, path: &str) -> String {
        let parts: Vec<String> = path
            .split('.')
            .map(|part| {
                let placeholder = format!("#{part}");
                self.names.insert(placeholder.clone(), part.to_owned());
                placeholder
            })
            .collect();
        parts.join(".")
    }

    fn value(&mut self, value: impl IntoValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value.into_value());
        placeholder
    }

    /// The item exists.
    pub(crate) fn exists(self) -> Self {
        self.has(PK)
    }

    /// The item does not exist.
    pub(crate) fn absent(self) -> Self {
        self.lacks(PK)
    }

    pub(crate) fn has(mut self, path: &str) -> Self {
        let path = self.path(path);
        self.conditions.push(format!("attribute_exists({path})"));
        self
    }

    pub(crate) fn lacks(mut self, path: &str) -> Self {
        let path = self.path(path);
        self.conditions
            .push(format!("attribute_not_exists({path})"));
        self
    }

    /// `path operator value`, the operator one of `=`, `<>`, `<`, `<=`, `>`, `>=`.
    pub(crate) fn is(mut self, path: &str, operator: &str, value: impl IntoValue) -> Self {
        let path = self.path(path);
        let value = self.value(value);
        self.conditions.push(format!("{path} {operator} {value}"));
        self
    }

    /// The path holds this value, or is absent where it is none.
    pub(crate) fn still(self, path: &str, value: Option<impl IntoValue>) -> Self {
        match value {
            Some(value) => self.is(path, "=", value),
            None => self.lacks(path),
        }
    }

    pub(crate) fn one_of<const N: usize>(mut self, path: &str, values: [&str; N]) -> Self {
        let path = self.path(path);
        let values = values.map(|v| self.value(v)).join(", ");
        self.conditions.push(format!("{path} IN ({values})"));
        self
    }

    /// Either the path is absent or the comparison holds.
    pub(crate) fn lacks_or(mut self, path: &str, operator: &str, value: impl IntoValue) -> Self {
        let path = self.path(path);
        let value = self.value(value);
        self.conditions.push(format!(
            "(attribute_not_exists({path}) OR {path} {operator} {value})"
        ));
        self
    }

    /// Makes one condition of two of which one must hold; the conditions before stay.
    pub(crate) fn either(
        mut self,
        a: impl FnOnce(Self) -> Self,
        b: impl FnOnce(Self) -> Self,
    ) -> Self {
        let before = std::mem::take(&mut self.conditions);
        let mut this = a(self);
        let left = std::mem::take(&mut this.conditions).join(" AND ");
        let mut this = b(this);
        let right = std::mem::replace(&mut this.conditions, before).join(" AND ");
        // AND binds tighter than OR, and DynamoDB refuses parentheses that change nothing.
        this.conditions.push(format!("({left} OR {right})"));
        this
    }

    pub(crate) fn set(mut self, path: &str, value: impl IntoValue) -> Self {
        let path = self.path(path);
        let value = self.value(value);
        self.sets.push(format!("{path} = {value}"));
        self
    }

    /// Sets what is not set yet.
    pub(crate) fn set_once(mut self, path: &str, value: impl IntoValue) -> Self {
        let path = self.path(path);
        let value = self.value(value);
        self.sets
            .push(format!("{path} = if_not_exists({path}, {value})"));
        self
    }

    pub(crate) fn remove(mut self, path: &str) -> Self {
        let path = self.path(path);
        self.removes.push(path);
        self
    }

    /// Adds to a number, which is zero where it is absent.
    pub(crate) fn add_number(mut self, path: &str, number: i64) -> Self {
        let path = self.path(path);
        let value = self.value(number);
        self.adds.push(format!("{path} {value}"));
        self
    }

    /// Adds an element to a set of strings.
    pub(crate) fn add_element(mut self, path: &str, element: &str) -> Self {
        let path = self.path(path);
        let value = self.value(AttributeValue::Ss(vec![element.to_owned()]));
        self.adds.push(format!("{path} {value}"));
        self
    }

    /// Removes an element from a set of strings; an empty set disappears.
    pub(crate) fn delete_element(mut self, path: &str, element: &str) -> Self {
        let path = self.path(path);
        let value = self.value(AttributeValue::Ss(vec![element.to_owned()]));
        self.deletes.push(format!("{path} {value}"));
        self
    }

    fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    fn update(&self) -> String {
        let clauses = [
            ("SET", &self.sets),
            ("REMOVE", &self.removes),
            ("ADD", &self.adds),
            ("DELETE", &self.deletes),
        ];
        let clauses: Vec<String> = clauses
            .iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(word, parts)| format!("{word} {}", parts.join(", ")))
            .collect();
        clauses.join(" ")
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

/// One write of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// Puts the whole item.
    Put(Item, Expression),
    /// Changes an item in place.
    Update(Key, Expression),
    /// Deletes an item.
    Delete(Key, Expression),
    /// Changes nothing; the condition must hold.
    Check(Key, Expression),
}

impl Write {
    pub(crate) fn into_transaction(
        self,
        table: &str,
    ) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let item = TransactWriteItem::builder();
        Ok(match self {
            Self::Put(put, on) => item.put(
                Put::builder()
                    .table_name(table)
                    .set_condition_expression(on.condition())
                    .set_expression_attribute_names(on.names())
                    .set_expression_attribute_values(on.values())
                    .set_item(Some(put))
                    .build()?,
            ),
            Self::Update(key, on) => item.update(
                Update::builder()
                    .table_name(table)
                    .set_key(Some(key.into_item()))
                    .set_condition_expression(on.condition())
                    .update_expression(on.update())
                    .set_expression_attribute_names(on.names())
                    .set_expression_attribute_values(on.values())
                    .build()?,
            ),
            Self::Delete(key, on) => item.delete(
                Delete::builder()
                    .table_name(table)
                    .set_key(Some(key.into_item()))
                    .set_condition_expression(on.condition())
                    .set_expression_attribute_names(on.names())
                    .set_expression_attribute_values(on.values())
                    .build()?,
            ),
            Self::Check(key, on) => item.condition_check(
                ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key.into_item()))
                    .condition_expression(on.condition().unwrap_or_default())
                    .set_expression_attribute_names(on.names())
                    .set_expression_attribute_values(on.values())
                    .build()?,
            ),
        }
        .build())
    }
}

impl Key {
    pub(crate) fn into_item(self) -> Item {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk)),
            (SK.to_owned(), AttributeValue::S(self.sk)),
        ])
    }
}

/// The key condition of a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyCondition(Expression);

impl KeyCondition {
    pub(crate) fn partition(path: &str, value: &str) -> Self {
        Self(Expression::new().is(path, "=", value))
    }

    pub(crate) fn at_most(self, path: &str, value: impl IntoValue) -> Self {
        Self(self.0.is(path, "<=", value))
    }

    pub(crate) fn at_least(self, path: &str, value: impl IntoValue) -> Self {
        Self(self.0.is(path, ">=", value))
    }

    pub(crate) fn begins_with(mut self, path: &str, prefix: &str) -> Self {
        let path = self.0.path(path);
        let value = self.0.value(prefix);
        self.0
            .conditions
            .push(format!("begins_with({path}, {value})"));
        self
    }

    pub(crate) fn parts(
        self,
    ) -> (
        Option<String>,
        Option<HashMap<String, String>>,
        Option<Item>,
    ) {
        (self.0.condition(), self.0.names(), self.0.values())
    }
}

//! What the catalog's requests cost, as DynamoDB says itself.

use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Capacity units are counted in halves: an eventually consistent read of an item costs one.
const PARTS_OF_A_UNIT: f64 = 2.0;

/// Requests and capacity units, reads and writes apart:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-unit-calculations.html>.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Requests; each page of a query is one. What the SDK repeats by itself is not counted again.
    pub requests: u64,
    /// Read request units.
    pub read_units: f64,
    /// Write request units, those of the indexes included.
    pub write_units: f64,
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            read_units: self.read_units - earlier.read_units,
            write_units: self.write_units - earlier.write_units,
        }
    }
}

/// Counts for a catalog and all its clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    read_halves: AtomicU64,
    write_halves: AtomicU64,
}

impl Meter {
    /// A request is sent.
    pub(crate) fn request(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A read was answered.
    pub(crate) fn read(&self, consumed: Option<&ConsumedCapacity>) {
        add(&self.0.read_halves, consumed.as_slice());
    }

    /// Writes were answered.
    pub(crate) fn wrote(&self, consumed: &[ConsumedCapacity]) {
        let consumed: Vec<&ConsumedCapacity> = consumed.iter().collect();
        add(&self.0.write_halves, &consumed);
    }

    pub(crate) fn spent(&self) -> Spent {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let units = |counter: &AtomicU64| read(counter) as f64 / PARTS_OF_A_UNIT;
        Spent {
            requests: read(&self.0.requests),
            read_units: units(&self.0.read_halves),
            write_units: units(&self.0.write_halves),
        }
    }
}

fn add(counter: &AtomicU64, consumed: &[&ConsumedCapacity]) {
    let units = consumed.iter().filter_map(|told| told.capacity_units());
    // Never negative, and far below 2^52.
    let parts = (units.sum::<f64>() * PARTS_OF_A_UNIT).round() as u64;
    counter.fetch_add(parts, Ordering::Relaxed);
}

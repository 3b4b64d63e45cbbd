//! What AWS asks for storage, requests and a function's time: the one table of prices, from which
//! previews, prunes and thaws reckon.
//!
//! List prices of us-east-1 in USD, as of [`PRICES_AS_OF`], from [`PRICES_PAGE`]; the first 50 TB of
//! a month. Other regions cost up to two thirds more. Look them up before you rely on them.

use serde::Serialize;

/// When these prices were written down.
pub const PRICES_AS_OF: &str = "November 2026, us-east-1, list prices";

/// Where they come from.
pub const PRICES_PAGE: &str = "https://aws.amazon.com/s3/pricing/";

/// What S3 counts as a gigabyte.
pub const GIGABYTE: f64 = (1u64 << 30) as f64;

/// Days of a month as S3's prices mean it, on average.
pub const MONTH_DAYS: f64 = 365.25 / 12.0;

/// USD for a GB of a function's memory for a second on arm64, the first 6 billion of a month:
/// <https://aws.amazon.com/lambda/pricing/>.
pub const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;

/// A storage class and its prices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StorageClass {
    /// As S3's API names it.
    pub name: &'static str,
    /// USD for a gigabyte kept for a month.
    pub gigabyte_month: f64,
    /// USD for a thousand PUT, COPY, POST or LIST requests.
    pub thousand_puts: f64,
    /// USD for a thousand GET requests.
    pub thousand_gets: f64,
    /// USD for a gigabyte read.
    pub gigabyte_read: f64,
    /// Days that are charged for an object whenever it is deleted.
    pub days_min: u32,
    /// Whether an object has to be thawed before it can be read.
    pub archived: bool,
}

impl StorageClass {
    /// The class that S3's API calls so.
    pub fn named(name: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.name == name)
    }

    /// Whether what lies in the class that S3's API calls so has to be thawed before it can be read.
    /// None is the store's ordinary one.
    pub fn is_archived(name: Option<&str>) -> bool {
        let class = name.and_then(Self::named);
        class.is_some_and(|class| class.archived)
    }

    /// USD for a byte kept for a day.
    pub fn byte_day(&self) -> f64 {
        self.gigabyte_month / MONTH_DAYS / GIGABYTE
    }
}

/// Where everything is written.
pub const STANDARD: StorageClass = StorageClass {
    name: "STANDARD",
    gigabyte_month: 0.023,
    thousand_puts: 0.005,
    thousand_gets: 0.0004,
    gigabyte_read: 0.0,
    days_min: 0,
    archived: false,
};

/// Rarely read, at once.
pub const STANDARD_IA: StorageClass = StorageClass {
    name: "STANDARD_IA",
    gigabyte_month: 0.0125,
    thousand_puts: 0.01,
    thousand_gets: 0.001,
    gigabyte_read: 0.01,
    days_min: 30,
    archived: false,
};

/// Archived by its name, and read at once.
pub const GLACIER_IR: StorageClass = StorageClass {
    name: "GLACIER_IR",
    gigabyte_month: 0.004,
    thousand_puts: 0.02,
    thousand_gets: 0.01,
    gigabyte_read: 0.03,
    days_min: 90,
    archived: false,
};

/// Archived, thawed within hours.
pub const GLACIER: StorageClass = StorageClass {
    name: "GLACIER",
    gigabyte_month: 0.0036,
    thousand_puts: 0.03,
    thousand_gets: 0.0504,
    gigabyte_read: 0.01,
    days_min: 90,
    archived: true,
};

/// Archived, thawed within half a day or two.
pub const DEEP_ARCHIVE: StorageClass = StorageClass {
    name: "DEEP_ARCHIVE",
    gigabyte_month: 0.00099,
    thousand_puts: 0.05,
    thousand_gets: 0.1004,
    gigabyte_read: 0.02,
    days_min: 180,
    archived: true,
};

/// The classes, STANDARD first. Reads of the archived ones are at the standard retrieval speed.
pub static CLASSES: [StorageClass; 5] = [STANDARD, STANDARD_IA, GLACIER_IR, GLACIER, DEEP_ARCHIVE];

//! What storing and rewriting cost: the arithmetic that decides whether a pack is written anew. The
//! prices are those of [`logisedge_domain::prices`].

use chrono::TimeDelta;
use logisedge_domain::prices::{LAMBDA_GB_SECOND, STANDARD};
use serde::Serialize;

/// Memory of the function that rewrites, in GB, and the bytes that it reads a second: on the safe
/// side of what S3 gives one function.
const LAMBDA_GB: f64 = 1.0;
const LAMBDA_BYTES_A_SECOND: f64 = 40e6;

/// What storing and asking costs at a location.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// USD for a byte kept for a day.
    pub byte_day_usd: f64,
    /// USD for writing an object.
    pub put_usd: f64,
    /// USD for reading an object.
    pub get_usd: f64,
    /// USD for moving one byte through a function.
    pub byte_usd: f64,
    /// Days for which deleted bytes are kept, and paid, as old versions.
    pub grace_days: u32,
}

impl Prices {
    /// Those of S3 Standard with a versioned bucket.
    pub fn s3(grace_days: u32) -> Self {
        Self {
            byte_day_usd: STANDARD.byte_day(),
            put_usd: STANDARD.thousand_puts / 1000.0,
            get_usd: STANDARD.thousand_gets / 1000.0,
            byte_usd: LAMBDA_GB_SECOND * LAMBDA_GB / LAMBDA_BYTES_A_SECOND,
            grace_days,
        }
    }

    /// Those of a folder: room is worth something, writing is free, and what is deleted is gone.
    pub fn folder() -> Self {
        Self {
            put_usd: 0.0,
            get_usd: 0.0,
            byte_usd: 0.0,
            ..Self::s3(0)
        }
    }

    /// Weighs rewriting a pack of `bytes` of which `needed` stay for `remaining`.
    ///
    /// Left alone, `bytes` are stored for the remaining time, and then as an old version for the
    /// grace days. Rewritten, they are an old version from now on, for the grace days; `needed` are
    /// stored for the remaining time and then, as an old version, for the grace days. The difference
    /// is `(bytes - needed) x remaining - needed x grace`.
    pub fn weigh(&self, bytes: u64, needed: u64, remaining: TimeDelta, pack_bytes: u64) -> Saving {
        let days = remaining.num_seconds().max(0) as f64 / 86_400.0;
        let freed = bytes.saturating_sub(needed) as f64;
        let packs_written = needed as f64 / pack_bytes.max(1) as f64;
        Saving {
            storage_usd: freed * days * self.byte_day_usd,
            grace_usd: needed as f64 * f64::from(self.grace_days) * self.byte_day_usd,
            requests_usd: self.get_usd + self.put_usd * packs_written,
            compute_usd: bytes as f64 * self.byte_usd,
            days,
        }
    }
}

/// What rewriting a pack saves and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Saving {
    /// Saved: the freed bytes need not be stored for the remaining days.
    pub storage_usd: f64,
    /// Cost: during the grace days the needed bytes are stored twice.
    pub grace_usd: f64,
    /// Cost: reading the pack, and its share of a new one's writing.
    pub requests_usd: f64,
    /// Cost: the function's time.
    pub compute_usd: f64,
    /// For how many days what stays is reckoned to stay.
    pub days: f64,
}

impl Saving {
    /// What is left of what is saved. Negative: it does not pay.
    pub fn net_usd(&self) -> f64 {
        self.storage_usd - self.grace_usd - self.requests_usd - self.compute_usd
    }

    /// Whether it pays for itself.
    pub fn pays(&self) -> bool {
        self.net_usd() > 0.0
    }

    /// The sum in words.
    pub(super) fn describe(&self) -> String {
        format!(
            "saves {:.7} USD of storage in {:.0} days, costs {:.7} (old versions {:.7}, requests {:.7}, function {:.7})",
            self.storage_usd,
            self.days,
            self.grace_usd + self.requests_usd + self.compute_usd,
            self.grace_usd,
            self.requests_usd,
            self.compute_usd
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: u64 = 16 << 20;

    #[test]
    fn the_sum_is_the_one_that_paper_gives() {
        // 16 MB of which 4 are needed, for 60 days, with 14 of grace.
        let saving = Prices::s3(14).weigh(16_000_000, 4_000_000, TimeDelta::days(60), PACK);
        let byte_day = 0.023 / 30.4375 / (1u64 << 30) as f64;
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(saving.storage_usd, 12e6 * 60.0 * byte_day));
        assert!(near(saving.grace_usd, 4e6 * 14.0 * byte_day));
        assert!(near(
            saving.requests_usd,
            0.0004 / 1000.0 + 0.005 / 1000.0 * 4e6 / PACK as f64
        ));
        assert!(near(saving.compute_usd, 0.4 * 0.000_013_333_4));
        assert!(saving.pays(), "{saving:?}");
    }

    #[test]
    fn it_does_not_pay_for_what_goes_soon_is_nearly_all_needed_or_tiny() {
        let prices = Prices::s3(14);
        let pays = |bytes, needed, days| {
            let remaining = TimeDelta::days(days);
            prices.weigh(bytes, needed, remaining, PACK).pays()
        };
        assert!(pays(16_000_000, 4_000_000, 10));
        assert!(!pays(16_000_000, 4_000_000, 5), "the grace days cost more");
        assert!(!pays(16_000_000, 15_000_000, 60));
        assert!(!pays(2_000, 500, 60), "a request costs more");
        assert!(!pays(16_000_000, 4_000_000, -3));
    }

    #[test]
    fn in_a_folder_any_room_is_worth_it() {
        let saving = Prices::folder().weigh(2_000, 900, TimeDelta::days(1), PACK);
        assert!(saving.pays());
        assert!(
            !Prices::folder()
                .weigh(2_000, 900, TimeDelta::zero(), PACK)
                .pays()
        );
    }
}

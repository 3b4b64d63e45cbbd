//! A small counter-based random generator: every row has its own, so any row can be made alone.

/// SplitMix64 (Steele, Lea, Flood 2014), good enough for sample data and very cheap.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of row `row` of table `table` under `seed`.
    pub(crate) fn of_row(seed: u64, table: u64, row: u64) -> Self {
        let mut rng = Self(seed ^ table.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let mixed = rng.next();
        Self(mixed ^ row.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`; `bound` is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound.max(1))) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }

    /// Mostly small, now and then large: the way order sizes and customers' shares are spread.
    pub(crate) fn skewed(&mut self, bound: u64) -> u64 {
        let a = self.below(bound);
        let b = self.below(a + 1);
        if self.chance(70) { b } else { a }
    }
}

//! Thawing: what of a snapshot lies in archived storage classes, how long it takes until it can be read
//! and what that costs, and asking for it.

use std::collections::BTreeMap;
use std::time::Duration;

use logisedge_domain::format;
use logisedge_domain::prices::PRICES_AS_OF;
use logisedge_domain::storage::ThawSpeed;
use logisedge_repository::StoredPacks;
use logisedge_repository::archive::ArchivedPack;
use serde::Serialize;

use crate::restore::Opened;
use crate::{EngineError, EngineErrorKind};

/// Days for which thawed packs stay readable unless somebody says otherwise: enough for a restore, and a
/// second one.
pub const THAW_DAYS: u32 = 7;

/// How often a wait for a thaw looks again, at first and at last: S3's takes minutes at the least.
const LOOK_AGAIN_FIRST: Duration = Duration::from_secs(2);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(300);

/// The packs of a snapshot that cannot be read as things are.
#[derive(Debug, Clone)]
pub struct Frozen {
    packs: Vec<ArchivedPack>,
}

/// What thawing takes, as far as it was not asked for yet.
#[derive(Debug, Clone, Serialize)]
pub struct ThawPlan {
    /// How fast.
    pub speed: ThawSpeed,
    /// For how many days the packs stay readable.
    pub days: u32,
    /// How many packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// After how many seconds they are typically readable at the latest.
    pub seconds_max: u64,
    /// USD for it, the readable copies included.
    pub usd: f64,
}

impl Frozen {
    /// Whether everything can be read.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// Whether a thaw of all of it was asked for already.
    pub fn is_thawing(&self) -> bool {
        self.packs.iter().all(|pack| pack.thawing)
    }

    /// What thawing at this speed takes and costs.
    ///
    /// # Errors
    /// `Refused` where a class has no such speed.
    pub fn plan(&self, speed: ThawSpeed, days: u32) -> Result<ThawPlan, EngineError> {
        let mut plan = ThawPlan {
            speed,
            days,
            packs: 0,
            bytes: 0,
            seconds_max: 0,
            usd: 0.0,
        };
        for (class, (packs, bytes)) in self.by_class(|pack| !pack.thawing) {
            let thawing = speed.of(class).ok_or_else(|| {
                EngineError::new(
                    EngineErrorKind::Refused,
                    format!(
                        "from {class} nothing is thawed at the {} speed: take standard or bulk",
                        speed.as_str()
                    ),
                )
            })?;
            plan.packs += packs;
            plan.bytes += bytes;
            plan.seconds_max = plan.seconds_max.max(thawing.takes.as_secs());
            plan.usd += thawing.usd(packs, bytes, days);
        }
        Ok(plan)
    }

    /// Packs and bytes of each class.
    fn by_class(&self, which: impl Fn(&ArchivedPack) -> bool) -> BTreeMap<&str, (u64, u64)> {
        let mut classes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for pack in self.packs.iter().filter(|pack| which(pack)) {
            let (packs, bytes) = classes.entry(&pack.class).or_default();
            *packs += 1;
            *bytes += pack.bytes;
        }
        classes
    }

    /// What lies where: `3 packs, 48.1 MB in DEEP_ARCHIVE`.
    pub fn describe(&self) -> String {
        let classes = self.by_class(|_| true);
        let each = classes.iter().map(|(class, (packs, bytes))| {
            let packs = format::counted(*packs, "pack");
            format!("{packs}, {} in {class}", format::bytes(*bytes))
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// The error of who wants to read it: how long each speed takes, and how much.
    pub fn refusal(&self) -> EngineError {
        let what = self.describe();
        let message = if self.is_thawing() {
            format!(
                "the snapshot's rows are being thawed ({what}): try again later, or say --wait to \
                 wait for it here"
            )
        } else {
            let speeds = [ThawSpeed::Expedited, ThawSpeed::Standard, ThawSpeed::Bulk];
            let plans = speeds.map(|speed| self.plan(speed, THAW_DAYS));
            let each = plans.iter().flatten().map(ThawPlan::as_option);
            format!(
                "the snapshot's rows have to be thawed first ({what}):\n{}\nPrices: {PRICES_AS_OF}; \
                 the copies stay readable for {THAW_DAYS} days, or as --thaw-days says",
                each.collect::<Vec<_>>().join("\n")
            )
        };
        EngineError::new(EngineErrorKind::Archived, message)
    }
}

impl ThawPlan {
    /// `3 packs, 48.1 MB, readable within 12 h and for 7 days, about 0.03 USD`.
    pub fn describe(&self) -> String {
        format!(
            "{}, {}, readable within {} and for {}, about {:.2} USD",
            format::counted(self.packs, "pack"),
            format::bytes(self.bytes),
            format::duration(Duration::from_secs(self.seconds_max)),
            format::counted(self.days.into(), "day"),
            self.usd
        )
    }

    /// `--thaw standard   within 12 h, about 0.03 USD`.
    fn as_option(&self) -> String {
        format!(
            "  --thaw {:<10} within {}, about {:.2} USD",
            self.speed.as_str(),
            format::duration(Duration::from_secs(self.seconds_max)),
            self.usd
        )
    }
}

impl Opened {
    /// What of the snapshot cannot be read as things are. Costs a listing, and a request for each pack
    /// that lies in an archived class.
    pub async fn frozen(&self) -> Result<Frozen, EngineError> {
        self.frozen_of(&self.reader().stored_packs().await?).await
    }

    /// The same from a listing that was just made.
    pub(crate) async fn frozen_of(&self, stored: &StoredPacks) -> Result<Frozen, EngineError> {
        let packs = self.reader().archived_packs(self.files(), stored).await?;
        Ok(Frozen { packs })
    }

    /// Asks for what is frozen to be readable for so many days. Asking again changes nothing.
    pub async fn thaw(&self, frozen: &Frozen, plan: &ThawPlan) -> Result<(), EngineError> {
        let asked = self.reader().thaw(&frozen.packs, plan.speed, plan.days);
        Ok(asked.await?)
    }

    /// Waits until everything can be read, for as long as that takes.
    ///
    /// # Errors
    /// `Archived` where nobody asked for a thaw of what still is.
    pub async fn wait_for_thaw(&self) -> Result<(), EngineError> {
        let mut pause = LOOK_AGAIN_FIRST;
        loop {
            let frozen = self.frozen().await?;
            if frozen.is_empty() {
                return Ok(());
            }
            if !frozen.is_thawing() {
                return Err(frozen.refusal());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_MAX);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frozen(packs: &[(u64, &str, bool)]) -> Frozen {
        let packs = packs
            .iter()
            .map(|(mebibytes, class, thawing)| ArchivedPack {
                id: "ab".repeat(32).parse().unwrap(),
                bytes: mebibytes << 20,
                class: (*class).to_owned(),
                thawing: *thawing,
            });
        Frozen {
            packs: packs.collect(),
        }
    }

    #[test]
    fn who_wants_to_read_what_is_archived_is_told_how_long_and_how_much() {
        let both = frozen(&[(4 << 10, "DEEP_ARCHIVE", false), (16, "DEEP_ARCHIVE", true)]);
        insta::assert_snapshot!(both.refusal(), @r"
        the snapshot's rows have to be thawed first (2 packs, 4.3 GB in DEEP_ARCHIVE):
          --thaw standard   within 12 h 00 m, about 0.10 USD
          --thaw bulk       within 2 d 00 h, about 0.03 USD
        Prices: November 2026, us-east-1, list prices; the copies stay readable for 7 days, or as --thaw-days says
        ");
        let faster = frozen(&[(4 << 10, "GLACIER", false)]);
        insta::assert_snapshot!(faster.refusal(), @r"
        the snapshot's rows have to be thawed first (1 pack, 4.3 GB in GLACIER):
          --thaw expedited  within 5 m 00 s, about 0.15 USD
          --thaw standard   within 5 h 00 m, about 0.06 USD
          --thaw bulk       within 12 h 00 m, about 0.02 USD
        Prices: November 2026, us-east-1, list prices; the copies stay readable for 7 days, or as --thaw-days says
        ");
        let thawing = frozen(&[(4 << 10, "GLACIER", true)]);
        insta::assert_snapshot!(thawing.refusal(), @"the snapshot's rows are being thawed (1 pack, 4.3 GB in GLACIER): try again later, or say --wait to wait for it here");
    }

    #[test]
    fn only_what_was_not_asked_for_counts() {
        let plan = frozen(&[(1 << 10, "GLACIER", true), (1 << 10, "GLACIER", false)]);
        let plan = plan.plan(ThawSpeed::Standard, 7).unwrap();
        assert_eq!((plan.packs, plan.bytes), (1, 1 << 30));
        let error = frozen(&[(1, "DEEP_ARCHIVE", false)]).plan(ThawSpeed::Expedited, 7);
        insta::assert_snapshot!(error.unwrap_err(), @"from DEEP_ARCHIVE nothing is thawed at the expedited speed: take standard or bulk");
    }
}

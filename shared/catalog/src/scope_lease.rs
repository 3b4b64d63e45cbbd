//! A scope's lease: who may write its chains now. Whoever takes it gets a fencing number larger
//! than all before, and every commit checks that number.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use logisedge_domain::Instant;
use logisedge_domain::id::{ChainPath, Fence, RunId, ScopeName};
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, Write, typed};
use crate::keys::{Key, stamp, unstamp};
use crate::table::{CONFLICT_TRIES_MAX, pause};
use crate::{Catalog, CatalogError};

/// How long after its lease ran out a holder that never freed it may still write: beyond the 15 minutes
/// that a function lives.
pub const UNENDED_FOR: TimeDelta = TimeDelta::minutes(20);

/// A chain that a holder was writing whose lease ran out without being freed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unended {
    chain: ChainPath,
    /// When the lease ran out.
    at: Instant,
}

/// A lease as an item. A free one keeps its fencing number and has no holder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeaseItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) fence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) holder: Option<String>,
    /// The run whose attempt holds it; none where it is held for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held_for: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
    /// The chain that its holder writes, once it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chain: Option<ChainPath>,
    /// What earlier holders may still write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unended: Vec<Unended>,
}

/// Paths of a lease's attributes.
pub(crate) mod path {
    pub(crate) const FENCE: &str = "fence";
    pub(crate) const HOLDER: &str = "holder";
    pub(crate) const HELD_FOR: &str = "held_for";
    pub(crate) const SINCE: &str = "since";
    pub(crate) const UNTIL: &str = "until";
    pub(crate) const CHAIN: &str = "chain";
    pub(crate) const UNENDED: &str = "unended";
}

impl LeaseItem {
    /// Until when it is held, if it is held at `now`.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        let until = unstamp(self.until.as_deref()?)?;
        (until > now).then_some(until)
    }

    pub(crate) fn since(&self) -> Instant {
        self.since.as_deref().and_then(unstamp).unwrap_or_default()
    }

    /// What holders before the next one may still write, its present one among them where it never
    /// freed the lease.
    fn unended(&self, now: Instant) -> Vec<Unended> {
        let ran_out = self.until.as_deref().and_then(unstamp);
        let last = self.chain.clone().zip(ran_out);
        let last = last.map(|(chain, at)| Unended { chain, at });
        let all = self.unended.iter().cloned().chain(last);
        all.filter(|unended| unended.at + UNENDED_FOR > now)
            .collect()
    }
}

pub(crate) fn lease_object(scope: &ScopeName) -> String {
    format!("the lease of scope {scope}")
}

/// `now` plus a lease's length.
pub(crate) fn lease_end(now: Instant, lease: Duration) -> Instant {
    chrono::TimeDelta::from_std(lease)
        .ok()
        .and_then(|lease| now.checked_add_signed(lease))
        .unwrap_or(Instant::MAX_UTC)
}

impl Expression {
    /// Takes the lease, if it is still as it was read.
    pub(crate) fn take_lease(
        read: Option<&LeaseItem>,
        holder: &str,
        run: Option<&RunId>,
        now: Instant,
        lease: Duration,
    ) -> Result<(Self, Fence), serde_dynamo::Error> {
        let fence = Fence(read.map_or(0, |l| l.fence) + 1);
        let unchanged = match read {
            None => Self::new().absent(),
            Some(read) => Self::new()
                .is(path::FENCE, "=", read.fence)
                .still(path::UNTIL, read.until.as_deref()),
        };
        let taken = unchanged
            .set(path::FENCE, fence.0)
            .set(path::HOLDER, holder)
            .set(path::SINCE, now)
            .set(path::UNTIL, stamp(lease_end(now, lease)));
        let taken = match run {
            Some(run) => taken.set(path::HELD_FOR, run.as_str()),
            None => taken.remove(path::HELD_FOR),
        };
        let unended = read.map_or(Vec::new(), |lease| lease.unended(now));
        let taken = match unended.as_slice() {
            [] => taken.remove(path::UNENDED),
            some => taken.set(path::UNENDED, typed(&some)?),
        };
        Ok((taken.remove(path::CHAIN), fence))
    }

    /// The lease has this number and was not freed.
    pub(crate) fn holds_lease(fence: Fence) -> Self {
        Self::new().is(path::FENCE, "=", fence.0).has(path::UNTIL)
    }

    /// Frees the lease; its number stays, so that the next one is larger.
    pub(crate) fn free_lease(self) -> Self {
        self.remove(path::HOLDER)
            .remove(path::HELD_FOR)
            .remove(path::SINCE)
            .remove(path::UNTIL)
            .remove(path::CHAIN)
    }

    /// No attempt at the run holds the lease.
    pub(crate) fn not_leased_to(run: &RunId, now: Instant) -> Self {
        Self::new().either(
            |e| e.lacks_or(path::HELD_FOR, "<>", run.as_str()),
            |e| e.lacks_or(path::UNTIL, "<=", now),
        )
    }

    /// Somebody holds the lease for something else than a run.
    pub(crate) fn leased_exclusively(now: Instant) -> Self {
        Self::new().is(path::UNTIL, ">", now).lacks(path::HELD_FOR)
    }
}

impl Catalog {
    pub(crate) async fn lease(&self, scope: &ScopeName) -> Result<Option<LeaseItem>, CatalogError> {
        self.get(&lease_object(scope), Key::lease(scope)).await
    }

    /// The chains of a scope that an attempt may still write whose lease ran out without being freed,
    /// each with until when at the latest. Whoever holds the lease neither builds on them nor deletes
    /// packs from them until then.
    pub async fn unended_chains(
        &self,
        scope: &ScopeName,
        now: Instant,
    ) -> Result<BTreeMap<ChainPath, Instant>, CatalogError> {
        let lease = self.lease(scope).await?;
        let unended = lease.map_or(Vec::new(), |lease| lease.unended);
        Ok(unended
            .into_iter()
            .map(|unended| (unended.chain, unended.at + UNENDED_FOR))
            .filter(|(_, until)| *until > now)
            .collect())
    }

    /// Takes a scope's lease for something else than a run, such as pruning. None if somebody holds
    /// it. No attempt begins and no other such work runs until it is released or runs out.
    pub async fn begin_exclusive(
        &self,
        scope: &ScopeName,
        holder: &str,
        now: Instant,
        lease: Duration,
    ) -> Result<Option<Fence>, CatalogError> {
        let object = lease_object(scope);
        for tries in 1..=CONFLICT_TRIES_MAX {
            let read = self.lease(scope).await?;
            if read.as_ref().is_some_and(|l| l.held_until(now).is_some()) {
                return Ok(None);
            }
            let (take, fence) = Expression::take_lease(read.as_ref(), holder, None, now, lease)
                .map_err(|e| CatalogError::corrupt("take", &object, e))?;
            let writes = vec![Write::Update(Key::lease(scope), take)];
            if self.transact("take", &object, writes).await?.is_done() {
                return Ok(Some(fence));
            }
            pause(tries).await;
        }
        Err(CatalogError::conflict("take", object))
    }

    /// Prolongs a lease that [`Self::begin_exclusive`] took. False: it is lost.
    pub async fn extend_exclusive(
        &self,
        scope: &ScopeName,
        fence: Fence,
        now: Instant,
        lease: Duration,
    ) -> Result<bool, CatalogError> {
        let extend = Expression::holds_lease(fence).set(path::UNTIL, lease_end(now, lease));
        let writes = vec![Write::Update(Key::lease(scope), extend)];
        let outcome = self
            .transact("extend", &lease_object(scope), writes)
            .await?;
        Ok(outcome.is_done())
    }

    /// Frees a lease. False if it was lost before; nothing changes then.
    pub async fn release(&self, scope: &ScopeName, fence: Fence) -> Result<bool, CatalogError> {
        let free = Expression::holds_lease(fence).free_lease();
        let writes = vec![Write::Update(Key::lease(scope), free)];
        let outcome = self.transact("free", &lease_object(scope), writes).await?;
        Ok(outcome.is_done())
    }
}

//! What happens to each pack: which copy of a needed blob counts, which packs go, which are rewritten.

use std::cmp::Reverse;

use logisedge_domain::finding::FindingKind;
use logisedge_domain::format;
use logisedge_storage::ObjectMeta;

use super::needed::Needed;
use super::{ChainPlan, PackDecision, PackFate, Saving, Terms};
use crate::error::RepositoryError;
use crate::id::PackId;
use crate::index::{BlobKind, Entry, Index};
use crate::layout;
use crate::pack::PackedBlob;
use crate::table::Row;

const KINDS: [BlobKind; 2] = [BlobKind::Data, BlobKind::Tree];

/// A pack that the index names.
#[derive(Debug, Clone, Default)]
struct Pack {
    /// Bytes of it as it lies there; none: it is not there.
    stored: Option<u64>,
    /// Its storage class where that is not the ordinary one.
    class: Option<String>,
    /// Bytes that it should have, as its blobs add up.
    promised: u64,
    blobs: u64,
    /// Bytes of blobs that are needed, whether or not they lie elsewhere too.
    wanted: u64,
    /// Bytes of needed blobs for which this copy counts.
    needed: u64,
    blobs_needed: u64,
    /// Whether the copy of some needed blob counts that lies here.
    stays: bool,
    fate: Option<(PackFate, String)>,
    saving: Option<Saving>,
}

impl Pack {
    /// Whether its copies can be relied on, as far as a listing tells.
    fn is_sound(&self) -> bool {
        self.stored == Some(self.promised)
    }

    fn percent_needed(&self) -> u64 {
        self.needed * 100 / self.promised.max(1)
    }

    /// Whether it beats `other` as the home of blobs that lie in both: the larger share of it is
    /// wanted. What is not chosen can then go.
    fn is_better_than(&self, other: &Self) -> bool {
        let share = |of: &Self, by: &Self| u128::from(of.wanted) * u128::from(by.promised);
        share(self, other) > share(other, self)
    }
}

/// Decisions about all packs of a chain.
#[derive(Debug)]
pub(super) struct Choice {
    packs: Vec<Pack>,
    /// Packs that no index names.
    unindexed: Vec<PackDecision>,
}

impl Choice {
    pub(super) fn make(
        index: &Index,
        needed: &Needed,
        listed: &[(PackId, ObjectMeta)],
        terms: &Terms,
        pack_bytes: u64,
    ) -> Result<Self, RepositoryError> {
        let ids = index.pack_ids();
        let mut packs = vec![Pack::default(); ids.len()];
        let mut unindexed = Vec::new();
        for (id, meta) in listed {
            match ids.binary_search(id) {
                Ok(number) => {
                    packs[number].stored = Some(meta.bytes);
                    packs[number].class.clone_from(&meta.class);
                }
                Err(_) => unindexed.push(of_no_index(*id, meta, terms)),
            }
        }
        for (pack, (_, bytes)) in packs.iter_mut().zip(index.pack_sizes()) {
            pack.promised = bytes;
        }
        for row in KINDS.iter().flat_map(|kind| index.table(*kind).rows()) {
            packs[row.value.pack as usize].blobs += 1;
        }
        let mut choice = Self { packs, unindexed };
        choice.find_homes(index, needed)?;
        choice.decide(terms, pack_bytes);
        Ok(choice)
    }

    /// Finds the copy that counts of each needed blob, so that as few packs as possible stay.
    fn find_homes(&mut self, index: &Index, needed: &Needed) -> Result<(), RepositoryError> {
        // A blob of one copy makes its pack stay.
        self.each_needed(index, needed, |packs, copies| {
            let mut sound = 0;
            let mut only = None;
            for copy in copies {
                let pack = &mut packs[copy.value.pack as usize];
                pack.wanted += u64::from(copy.value.length);
                if pack.is_sound() {
                    sound += 1;
                    only = Some(copy.value.pack as usize);
                }
            }
            match only {
                None => return Err(unreadable(index, packs, copies)),
                Some(number) if sound == 1 => packs[number].stays = true,
                Some(_) => {}
            }
            Ok(())
        })?;
        // The others lie in one that stays, or make their best one stay.
        self.each_needed(index, needed, |packs, copies| {
            let stays = |copy: &Row<Entry>| {
                let pack = &packs[copy.value.pack as usize];
                pack.stays && pack.is_sound()
            };
            if !copies.iter().any(stays)
                && let Some(number) = best(packs, copies, |pack| pack.is_sound())
            {
                packs[number].stays = true;
            }
            Ok(())
        })?;
        self.each_needed(index, needed, |packs, copies| {
            if let Some((number, copy)) = home(packs, copies) {
                packs[number].needed += u64::from(copy.value.length);
                packs[number].blobs_needed += 1;
            }
            Ok(())
        })
    }

    /// Calls `each` with all copies of each needed blob.
    fn each_needed(
        &mut self,
        index: &Index,
        needed: &Needed,
        mut each: impl FnMut(&mut [Pack], &[Row<Entry>]) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        for kind in KINDS {
            let mut first = 0;
            for copies in index.table(kind).rows().chunk_by(|a, b| a.id == b.id) {
                if needed.has(kind, first) {
                    each(&mut self.packs, copies)?;
                }
                first += copies.len();
            }
        }
        Ok(())
    }

    fn decide(&mut self, terms: &Terms, pack_bytes: u64) {
        let mut candidates = Vec::new();
        for (number, pack) in self.packs.iter_mut().enumerate() {
            let blobs = format::counted(pack.blobs, "blob");
            pack.fate = match pack.stored {
                _ if pack.blobs > 0 && pack.blobs_needed == pack.blobs => None,
                None if pack.blobs_needed == 0 => {
                    let why = "it is not there, and nothing is needed that lay in it alone";
                    Some((PackFate::Forget, why.to_owned()))
                }
                _ if pack.blobs_needed > 0 => {
                    let share = format!(
                        "{} of its {blobs} are needed, {} % of its bytes",
                        pack.blobs_needed,
                        pack.percent_needed()
                    );
                    let is_little = pack.percent_needed() < u64::from(terms.needed_percent_min);
                    let share = match &pack.class {
                        // Reading it costs, it is charged for its least time anyway, and what is written
                        // anew costs more to keep.
                        Some(class) if is_little => {
                            format!("{share}; it lies in {class}, which is never rewritten")
                        }
                        _ => share,
                    };
                    if is_little && pack.class.is_none() {
                        let saving = terms.prices.weigh(
                            pack.promised,
                            pack.needed,
                            terms.remaining,
                            pack_bytes,
                        );
                        candidates.push((number, saving));
                        pack.saving = Some(saving);
                    }
                    Some((PackFate::Keep, share))
                }
                _ if pack.wanted > 0 => {
                    let why = "what is needed of it lies in other packs too".to_owned();
                    Some((PackFate::Delete, why))
                }
                _ => {
                    let why = format!("no kept snapshot needs any of its {blobs}");
                    Some((PackFate::Delete, why))
                }
            };
        }
        // What saves most comes first, should there be more than fits into one prune.
        candidates
            .sort_by_key(|(number, saving)| (Reverse((saving.net_usd() * 1e12) as i64), *number));
        let mut left = terms.rewrite_bytes_max;
        for (number, saving) in candidates {
            let pack = &mut self.packs[number];
            let Some((fate, reason)) = &mut pack.fate else {
                continue;
            };
            let sum = saving.describe();
            if !saving.pays() {
                reason.push_str(&format!("; rewriting does not pay: it {sum}"));
            } else if pack.needed > left {
                reason.push_str("; enough is rewritten this time, the next prune goes on");
            } else {
                left -= pack.needed;
                *fate = PackFate::Rewrite;
                reason.push_str(&format!("; rewriting it {sum}"));
            }
        }
    }

    /// The decisions as a plan.
    pub(super) fn plan(&self, index: &Index) -> ChainPlan {
        let mut plan = ChainPlan::default();
        for (id, pack) in index.pack_ids().iter().zip(&self.packs) {
            let Some((fate, reason)) = &pack.fate else {
                plan.packs_whole += 1;
                plan.bytes_whole += pack.promised;
                continue;
            };
            plan.packs.push(PackDecision {
                pack: *id,
                bytes: pack.stored.unwrap_or_default(),
                bytes_needed: pack.needed,
                fate: *fate,
                reason: reason.clone(),
                saving: pack.saving,
            });
        }
        plan.packs.extend(self.unindexed.iter().cloned());
        plan.packs.sort_by_key(|decision| decision.pack);
        plan
    }

    pub(super) fn fate(&self, number: usize) -> PackFate {
        self.packs[number]
            .fate
            .as_ref()
            .map_or(PackFate::Keep, |(fate, _)| *fate)
    }

    /// Keeps a pack that was to be rewritten.
    pub(super) fn keep(&mut self, number: usize) {
        self.packs[number].fate = None;
    }

    pub(super) fn stored_bytes(&self, number: usize) -> u64 {
        self.packs[number].stored.unwrap_or_default()
    }

    pub(super) fn unindexed(&self) -> impl Iterator<Item = &PackDecision> {
        let going = |pack: &&PackDecision| pack.fate == PackFate::Delete;
        self.unindexed.iter().filter(going)
    }

    /// The needed blobs of each pack that is rewritten, by offset; the packs in the order of their
    /// numbers.
    pub(super) fn to_rewrite(
        &self,
        index: &Index,
        needed: &Needed,
    ) -> Vec<(usize, Vec<PackedBlob>)> {
        let mut blobs = std::collections::BTreeMap::<usize, Vec<PackedBlob>>::new();
        for kind in KINDS {
            let mut first = 0;
            for copies in index.table(kind).rows().chunk_by(|a, b| a.id == b.id) {
                if needed.has(kind, first)
                    && let Some((number, copy)) = home(&self.packs, copies)
                    && self.fate(number) == PackFate::Rewrite
                {
                    blobs
                        .entry(number)
                        .or_default()
                        .push(PackedBlob::of(kind, copy));
                }
                first += copies.len();
            }
        }
        for blobs in blobs.values_mut() {
            blobs.sort_unstable();
        }
        blobs.into_iter().collect()
    }
}

/// The copy of a needed blob that counts: in a pack that stays, and of those the one of which most
/// is wanted.
fn home<'c>(packs: &[Pack], copies: &'c [Row<Entry>]) -> Option<(usize, &'c Row<Entry>)> {
    let number = best(packs, copies, |pack| pack.stays && pack.is_sound())?;
    let copy = copies
        .iter()
        .find(|copy| copy.value.pack as usize == number)?;
    Some((number, copy))
}

fn best(packs: &[Pack], copies: &[Row<Entry>], may: impl Fn(&Pack) -> bool) -> Option<usize> {
    let numbers = copies.iter().map(|copy| copy.value.pack as usize);
    numbers
        .filter(|number| may(&packs[*number]))
        .reduce(
            |best, other| match packs[other].is_better_than(&packs[best]) {
                true => other,
                false => best,
            },
        )
}

fn of_no_index(id: PackId, meta: &ObjectMeta, terms: &Terms) -> PackDecision {
    let (fate, reason) = if meta.modified_at < terms.abandoned_before {
        (
            PackFate::Delete,
            "no index names it: an attempt left it that was killed",
        )
    } else {
        (
            PackFate::Keep,
            "no index names it yet: it may be written just now",
        )
    };
    PackDecision {
        pack: id,
        bytes: meta.bytes,
        bytes_needed: 0,
        fate,
        reason: reason.to_owned(),
        saving: None,
    }
}

fn unreadable(index: &Index, packs: &[Pack], copies: &[Row<Entry>]) -> RepositoryError {
    let Some(copy) = copies.first() else {
        return RepositoryError::damaged(FindingKind::BlobMissing, "a blob", "it has no copy");
    };
    let number = copy.value.pack as usize;
    let key = layout::pack(&index.pack_ids()[number]);
    let pack = &packs[number];
    match pack.stored {
        None => RepositoryError::damaged(
            FindingKind::Missing,
            key,
            "it is not there, and a kept snapshot needs it",
        ),
        Some(stored) => {
            let detail = format!("it has {stored} bytes, the index says {}", pack.promised);
            RepositoryError::damaged(FindingKind::WrongSize, key, detail)
        }
    }
}

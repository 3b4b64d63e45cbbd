//! Which bytes of a chain are still needed: what a snapshot stored goes when nothing that is left
//! shares it.
//!
//! A full's bytes are needed as long as any snapshot of its chain is left, an incremental's or a
//! differential's as long as it or a later incremental of its chain is. That is the safe side: a
//! later snapshot may share less.

use std::collections::BTreeMap;

use crate::Instant;
use crate::prices::{STANDARD, StorageClass};
use crate::snapshot::Kind;
use crate::storage::{StorageTier, Transitions, after_days};

/// What one snapshot stored.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// The chain, by number.
    pub(super) chain: usize,
    pub(super) kind: Kind,
    pub(super) tier: StorageTier,
    pub(super) bytes: u64,
    pub(super) from: Instant,
    /// Whether the snapshot is still there.
    pub(super) live: bool,
    /// Until when nobody can destroy them.
    pub(super) locked_until: Option<Instant>,
    /// When prune deleted the bytes.
    pub(super) freed: Option<Instant>,
}

impl Piece {
    /// When S3 destroys the bytes: when both their lock and the days of grace are over.
    pub(super) fn gone(&self, grace_days: u32) -> Option<Instant> {
        let freed = self.freed?;
        let grace = match grace_days {
            0 => freed,
            days => after_days(freed, days),
        };
        Some(self.locked_until.map_or(grace, |until| until.max(grace)))
    }

    /// Whether S3 holds the bytes at an instant, whether or not a snapshot needs them.
    pub(super) fn is_held(&self, at: Instant, grace_days: u32) -> bool {
        self.from <= at && self.gone(grace_days).is_none_or(|gone| at < gone)
    }

    /// When they move to another class, and to which. What is deleted before does not: lifecycle rules
    /// move what is current.
    pub(super) fn moves(&self, transitions: &Transitions) -> Option<(Instant, StorageClass)> {
        let transition = transitions.of(self.tier)?;
        let moves = transition.at(self.from);
        let is_current = self.freed.is_none_or(|freed| moves < freed);
        is_current.then_some((moves, transition.class))
    }

    /// The class that they lie in at an instant.
    pub(super) fn class(&self, transitions: &Transitions, at: Instant) -> StorageClass {
        let moved = self.moves(transitions).filter(|(moves, _)| *moves <= at);
        moved.map_or(STANDARD, |(_, class)| class)
    }

    /// Whether a snapshot needs the bytes at an instant.
    pub(super) fn is_needed(&self, at: Instant) -> bool {
        self.from <= at && self.freed.is_none_or(|freed| at < freed)
    }
}

/// Frees what no snapshot needs any more; `locks` tells until when each chain is locked. Pieces of one chain
/// are in the order of time.
pub(super) fn free(pieces: &mut [Piece], locks: &BTreeMap<usize, Instant>, now: Instant) {
    // From the newest on: what is seen of a chain is what may still share with the present piece.
    let chains = pieces
        .iter()
        .map(|piece| piece.chain + 1)
        .max()
        .unwrap_or(0);
    let mut any_later = vec![false; chains];
    let mut incremental_later = vec![false; chains];
    for piece in pieces.iter_mut().rev() {
        let chain = piece.chain;
        any_later[chain] |= piece.live;
        let needed = piece.live
            || match piece.kind {
                Kind::Full => any_later[chain],
                Kind::Incremental | Kind::Differential => incremental_later[chain],
            };
        incremental_later[chain] |= piece.live && piece.kind == Kind::Incremental;
        if !needed && piece.freed.is_none() {
            piece.freed = Some(now);
            piece.locked_until = locks.get(&chain).copied();
        }
    }
}

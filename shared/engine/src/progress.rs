//! How far a use case has come: counters that its workers add to and anyone may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use logisedge_domain::run::RunProgress;

/// Shared counters. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    bytes_expected: AtomicU64,
    parts: AtomicU64,
    parts_expected: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgressView {
    /// Bytes done.
    pub bytes: u64,
    /// Bytes expected, an estimate; zero while unknown.
    pub bytes_expected: u64,
    /// Parts (streams, packs, files) done.
    pub parts: u64,
    /// Parts in all; zero while unknown.
    pub parts_expected: u64,
}

impl Progress {
    /// Counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how much there will be.
    pub fn expect(&self, bytes: u64, parts: u64) {
        self.0.bytes_expected.store(bytes, Relaxed);
        self.0.parts_expected.store(parts, Relaxed);
    }

    /// Says that so much of it need not be done.
    pub fn expect_less(&self, bytes: u64) {
        let less = |expected: u64| Some(expected.saturating_sub(bytes));
        // Some(…) is never refused.
        let _ = self.0.bytes_expected.fetch_update(Relaxed, Relaxed, less);
    }

    /// Adds finished bytes.
    pub fn add_bytes(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Relaxed);
    }

    /// Says how far it is, for work that counts by itself.
    pub fn reached(&self, bytes: u64, parts: u64) {
        self.0.bytes.store(bytes, Relaxed);
        self.0.parts.store(parts, Relaxed);
    }

    /// Adds a finished part.
    pub fn add_part(&self) {
        self.0.parts.fetch_add(1, Relaxed);
    }

    /// The counters now.
    pub fn view(&self) -> ProgressView {
        ProgressView {
            bytes: self.0.bytes.load(Relaxed),
            bytes_expected: self.0.bytes_expected.load(Relaxed),
            parts: self.0.parts.load(Relaxed),
            parts_expected: self.0.parts_expected.load(Relaxed),
        }
    }

    /// The counters as a heartbeat stores them.
    pub fn as_run_progress(&self) -> RunProgress {
        let view = self.view();
        RunProgress {
            bytes_read: view.bytes,
            bytes_expected: view.bytes_expected,
            parts_done: view.parts,
            parts: view.parts_expected,
        }
    }
}

//! Proving a snapshot.

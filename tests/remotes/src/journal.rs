//! Every request, in the order of arrival. Entries are appended and completed, never removed
//! (unless a limit is set) and never reordered.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Operation;

/// What became of one row of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A new row.
    Created,
    /// An overwritten row.
    Replaced,
    /// A partly changed row.
    Patched,
    /// A removed row.
    Deleted,
    /// Nothing was committed.
    Refused,
}

/// One row of a write: its keys, what became of it, and with which status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowEffect {
    /// Our id.
    pub external_id: Option<String>,
    /// The remote's id.
    pub remote_id: Option<String>,
    /// What became of it.
    pub effect: Effect,
    /// Whether the row is different from before.
    pub changed: bool,
    /// The row's own status.
    pub status: u16,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number in the order of arrival, from 1.
    pub sequence: u64,
    /// When it had arrived in full, on the wall.
    pub started_at: Timestamp,
    /// The same in microseconds since the simulator's start, by a clock that never jumps.
    pub started_us: u64,
    /// When the remote worked on it, in microseconds since the simulator's start: a delayed write
    /// is applied after one that arrived later.
    pub applied_us: Option<u64>,
    /// When the answer was ready, or the connection was given up.
    pub ended_at: Option<Timestamp>,
    /// The same in microseconds since the simulator's start.
    pub ended_us: Option<u64>,
    /// The HTTP method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The route's template.
    pub route: String,
    /// What it was meant to do.
    pub operation: Operation,
    /// The resource.
    pub resource: Option<String>,
    /// The remote id it named, or that a create was given.
    pub remote_id: Option<String>,
    /// Our ids it touched.
    pub external_ids: Vec<String>,
    /// SHA-256 of the body in hexadecimal digits, if there was a body.
    pub body_sha256: Option<String>,
    /// The size of the body.
    pub body_bytes: usize,
    /// Whether anything was committed.
    pub applied: bool,
    /// What became of each row of a write.
    pub rows: Vec<RowEffect>,
    /// The faults that were injected.
    pub faults: Vec<String>,
    /// The status answered; `None` if there was no answer (yet).
    pub status: Option<u16>,
    /// Whether the client gave up before the answer.
    pub abandoned: bool,
}

/// The entries, and where they begin.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    dropped: u64,
    limit: Option<usize>,
}

impl Journal {
    /// An empty journal that keeps the last `limit` entries, or all.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The number that the next entry gets.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.dropped + u64::try_from(self.entries.len()).unwrap_or(u64::MAX) + 1
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.limit.is_some_and(|limit| self.entries.len() > limit) {
            self.entries.pop_front();
            self.dropped += 1;
        }
    }

    /// An entry to complete; `None` if it has been dropped.
    pub(crate) fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let index = self.index_of(sequence)?;
        self.entries.get_mut(index)
    }

    /// The entries after `sequence`.
    pub(crate) fn since(&self, sequence: u64) -> impl Iterator<Item = &Entry> {
        let skipped = usize::try_from(sequence.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.entries.range(skipped.min(self.entries.len())..)
    }

    /// All entries in one slice.
    pub(crate) fn all(&mut self) -> &[Entry] {
        self.entries.make_contiguous()
    }

    fn index_of(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.dropped + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> Entry {
        Entry {
            sequence,
            started_at: Timestamp::UNIX_EPOCH,
            started_us: 0,
            applied_us: None,
            ended_at: None,
            ended_us: None,
            method: "GET".into(),
            path: "/".into(),
            route: "/".into(),
            operation: Operation::Other,
            resource: None,
            remote_id: None,
            external_ids: Vec::new(),
            body_sha256: None,
            body_bytes: 0,
            applied: false,
            rows: Vec::new(),
            faults: Vec::new(),
            status: None,
            abandoned: false,
        }
    }

    #[test]
    fn a_limited_journal_keeps_the_last_entries_under_their_numbers() {
        let mut journal = Journal::new(Some(2));
        for _ in 0..5 {
            let sequence = journal.next_sequence();
            journal.push(entry(sequence));
        }
        let kept: Vec<_> = journal.since(0).map(|entry| entry.sequence).collect();
        assert_eq!(kept, [4, 5]);
        assert_eq!(journal.since(4).count(), 1);
        assert!(journal.entry_mut(3).is_none());
        assert_eq!(journal.entry_mut(5).map(|entry| entry.sequence), Some(5));
    }
}

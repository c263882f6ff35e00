//! One book for journal, counters and in-flight writes, so that they never disagree; and the
//! signal that lets tests wait for it to grow instead of sleeping.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::in_flight::{Concurrency, InFlight, Key, Overlap};
use crate::journal::{Entry, Journal};
use crate::sync::lock;
use crate::{Counters, Record, Request, Subject};

/// How far the journal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Requests that have arrived in full.
    pub started: u64,
    /// Requests that the remote has worked on, even if the answer is still held back.
    pub applied: u64,
    /// Requests that are over: answered, dropped or given up.
    pub finished: u64,
}

/// The book of one simulator.
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    progress: watch::Sender<Progress>,
    epoch: Instant,
}

#[derive(Debug)]
struct Pages {
    journal: Journal,
    counters: Counters,
    in_flight: InFlight,
}

/// A request's place in the book.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) sequence: u64,
    pub(crate) concurrency: Concurrency,
    keys: Vec<Key>,
}

impl Ledger {
    /// An empty book; `journal_limit` bounds its entries.
    pub(crate) fn new(journal_limit: Option<usize>) -> Self {
        let pages = Pages {
            journal: Journal::new(journal_limit),
            counters: Counters::default(),
            in_flight: InFlight::default(),
        };
        Self {
            pages: Mutex::new(pages),
            progress: watch::Sender::new(Progress::default()),
            epoch: Instant::now(),
        }
    }

    /// A connection was accepted.
    pub(crate) fn connected(&self) {
        lock(&self.pages).counters.connections += 1;
    }

    /// A request has arrived.
    pub(crate) fn begin(&self, request: &Request, subject: &Subject, faults: &[String]) -> Ticket {
        let digest = (!request.body.is_empty()).then(|| hex(&Sha256::digest(&request.body)));
        let keys = in_flight_keys(subject);
        let mut guard = lock(&self.pages);
        let pages = &mut *guard;
        let sequence = pages.journal.next_sequence();
        let concurrency = pages.in_flight.begin(sequence, &keys);
        pages.counters.started(request.method.as_str(), subject, faults);
        pages.journal.push(Entry {
            sequence,
            started_at: Timestamp::now(),
            started_us: self.elapsed_us(),
            applied_us: None,
            ended_at: None,
            ended_us: None,
            method: request.method.to_string(),
            path: request.path.clone(),
            route: subject.route.clone(),
            operation: subject.operation,
            resource: subject.resource.map(str::to_owned),
            remote_id: subject.remote_id.clone(),
            external_ids: subject.external_ids.clone(),
            body_sha256: digest,
            body_bytes: request.body.len(),
            applied: false,
            rows: Vec::new(),
            faults: faults.to_vec(),
            status: None,
            abandoned: false,
        });
        self.progress.send_modify(|progress| progress.started += 1);
        Ticket { sequence, concurrency, keys }
    }

    /// The remote has worked on the request.
    pub(crate) fn applied(&self, ticket: &Ticket, subject: &Subject, record: Record) {
        let mut pages = lock(&self.pages);
        pages.counters.answered(ticket.sequence, subject, &record);
        if let Some(entry) = pages.journal.entry_mut(ticket.sequence) {
            entry.applied = record.applied();
            entry.applied_us = Some(self.elapsed_us());
            if let [row] = record.rows.as_slice()
                && entry.remote_id.is_none()
            {
                entry.remote_id.clone_from(&row.remote_id);
            }
            entry.rows = record.rows;
        }
        self.progress.send_modify(|progress| progress.applied += 1);
    }

    /// The request is over; `status` is what was answered, if anything was.
    pub(crate) fn end(&self, ticket: &Ticket, subject: &Subject, status: Option<u16>) {
        let mut pages = lock(&self.pages);
        let mut answered = status;
        if let Some(entry) = pages.journal.entry_mut(ticket.sequence) {
            answered = status.filter(|_| !entry.abandoned);
            entry.status = answered;
            entry.ended_at = Some(Timestamp::now());
            entry.ended_us = Some(self.elapsed_us());
        }
        pages.counters.ended(subject, answered);
        self.progress.send_modify(|progress| progress.finished += 1);
    }

    /// The request's client has given up.
    pub(crate) fn abandon(&self, ticket: &Ticket) {
        let mut pages = lock(&self.pages);
        pages.in_flight.abandon(ticket.sequence, &ticket.keys);
        if let Some(entry) = pages.journal.entry_mut(ticket.sequence) {
            entry.abandoned = true;
        }
        self.progress.send_modify(|_| ());
    }

    /// The request's writes are no longer in flight.
    pub(crate) fn release(&self, ticket: &Ticket) {
        lock(&self.pages).in_flight.end(ticket.sequence, &ticket.keys);
    }

    /// The totals.
    pub(crate) fn counters(&self) -> Counters {
        let pages = lock(&self.pages);
        let mut counters = pages.counters.clone();
        counters.max_in_flight_of_one = pages.in_flight.max_of_one;
        for overlap in &pages.in_flight.overlaps {
            if overlap.abandoned {
                counters.overlaps_with_abandoned += 1;
            } else {
                counters.overlaps += 1;
            }
        }
        counters
    }

    /// Every overlap.
    pub(crate) fn overlaps(&self) -> Vec<Overlap> {
        lock(&self.pages).in_flight.overlaps.clone()
    }

    /// The entries after `sequence`, at most `limit`.
    pub(crate) fn since(&self, sequence: u64, limit: usize) -> Vec<Entry> {
        lock(&self.pages).journal.since(sequence).take(limit).cloned().collect()
    }

    /// The writes of one entity.
    pub(crate) fn writes_of(&self, resource: &str, external_id: &str) -> Vec<Entry> {
        let is_one = |entry: &&Entry| {
            entry.operation.is_write()
                && entry.resource.as_deref() == Some(resource)
                && entry.external_ids.iter().any(|id| id == external_id)
        };
        lock(&self.pages).journal.since(0).filter(is_one).cloned().collect()
    }

    /// Watches the journal grow.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits until `test` holds, testing whenever the journal moves; the book is not locked
    /// meanwhile.
    pub(crate) async fn wait_for(&self, mut test: impl FnMut() -> bool) {
        let mut progress = self.progress.subscribe();
        while !test() {
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until `test` holds, testing whenever the journal moves.
    pub(crate) async fn wait_until(&self, mut test: impl FnMut(Progress, &[Entry]) -> bool) {
        let mut progress = self.progress.subscribe();
        loop {
            let current = *progress.borrow_and_update();
            if test(current, lock(&self.pages).journal.all()) {
                return;
            }
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The entities a write touches, each once.
fn in_flight_keys(subject: &Subject) -> Vec<Key> {
    let Some(resource) = subject.resource.filter(|_| subject.operation.is_write()) else {
        return Vec::new();
    };
    let mut ids = subject.external_ids.clone();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| (resource, id)).collect()
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

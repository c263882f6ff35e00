//! What has happened: journal, counters, violations, overlaps.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Context;
use crate::{Counters, Overlap, Violation};

/// Entries in one answer, if the caller names no limit.
const PAGE: usize = 10_000;

/// Which part of the journal.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// Entries after this number.
    #[serde(default)]
    since: u64,
    /// At most so many.
    limit: Option<usize>,
    /// Wait so long for the first finished request after `since`.
    wait_ms: Option<u64>,
}

pub(super) async fn info(State(context): State<Context>) -> Json<Value> {
    let core = &context.core;
    Json(json!({
        "remote": core.remote.name(),
        "address": core.listening.address(),
        "resources": core.remote.resources(),
        "progress": *core.ledger.progress().borrow(),
    }))
}

pub(super) async fn entries(
    State(context): State<Context>,
    Query(wanted): Query<Wanted>,
) -> Json<Value> {
    let ledger = &context.core.ledger;
    if let Some(wait_ms) = wanted.wait_ms {
        let grown = ledger.wait_until(|progress, _| progress.finished > wanted.since);
        tokio::select! {
            _ = timeout(Duration::from_millis(wait_ms), grown) => {}
            () = context.stop.cancelled() => {}
        }
    }
    let entries = ledger.since(wanted.since, wanted.limit.unwrap_or(PAGE));
    let next = entries.last().map_or(wanted.since, |entry| entry.sequence);
    Json(json!({ "next": next, "entries": entries }))
}

pub(super) async fn counters(State(context): State<Context>) -> Json<Counters> {
    Json(context.core.ledger.counters())
}

pub(super) async fn violations(State(context): State<Context>) -> Json<Vec<Violation>> {
    Json(context.core.ledger.counters().violations)
}

pub(super) async fn overlaps(State(context): State<Context>) -> Json<Vec<Overlap>> {
    Json(context.core.ledger.overlaps())
}

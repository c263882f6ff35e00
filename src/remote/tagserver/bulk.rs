//! The optional bulk endpoint: rows of one resource in one call, a result per row.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::super::http::{Http, Intent, Method};
use super::answer::{self, Problem};
use super::single;
use super::wire::{self, Resource};
use super::{Action, Failure, Look, Push, PushResult, TagServer, unreadable};
use crate::entity::EntityRef;
use crate::limits::TAGSERVER_BULK_ROWS;
use serde_json::Value;

/// Pushes of one resource that go in one call.
pub(super) struct Rows {
    resource: &'static Resource,
    rows: Vec<Push>,
}

/// Takes out of a batch what can go in bulk: replaces, unless each row is to be read first, and creates that need no look
/// first, of types with more than one of them. What has failed before goes by itself.
pub(super) fn split(batch: Vec<Push>, reads_first: bool) -> (Vec<Rows>, Vec<Push>) {
    let mut by_type: BTreeMap<_, Vec<Push>> = BTreeMap::new();
    let mut singles = Vec::new();
    for push in batch {
        match push.action {
            _ if push.by_itself => singles.push(push),
            Action::Update { .. } if reads_first => singles.push(push),
            Action::Create { look: Look::IfRefused, .. } | Action::Update { .. } => {
                by_type.entry(push.entity.entity_type).or_default().push(push);
            }
            Action::Create { look: Look::First { .. }, .. }
            | Action::Delete { .. }
            | Action::DeleteByKey => singles.push(push),
        }
    }
    let mut bulk = Vec::new();
    for (entity_type, mut pushes) in by_type {
        let Some(resource) = wire::resource(entity_type).filter(|_| pushes.len() > 1) else {
            singles.append(&mut pushes);
            continue;
        };
        while !pushes.is_empty() {
            let rest = pushes.split_off(pushes.len().min(TAGSERVER_BULK_ROWS));
            bulk.push(Rows { resource, rows: std::mem::replace(&mut pushes, rest) });
        }
    }
    (bulk, singles)
}

/// How a row of a bulk call ended.
pub(super) enum RowEnd {
    /// With a result.
    Settled(EntityRef, PushResult),
    /// Not yet: it goes on as a single call.
    GoesOn(Push, Unsettled),
}

/// Why a row goes on as a single call.
pub(super) enum Unsettled {
    /// Nothing was sent for it.
    ByItself,
    /// The call as a whole was refused, which blames no row.
    Refused,
    /// The row violates a constraint: what is there decides.
    Violates(Failure),
}

impl TagServer {
    /// Sends the rows. A lost or unreadable answer makes every row ambiguous; no endpoint, single calls.
    pub(super) async fn push_rows(&self, bulk: Rows) -> Vec<RowEnd> {
        let Rows { resource, rows } = bulk;
        let bodies: Value = rows.iter().filter_map(body_of).collect();
        let Some(first) = rows.iter().min_by_key(|push| push.send_before.at) else {
            return Vec::new();
        };
        let request = |http: &Http| http.request(Method::Post, resource.bulk_path).json(&bodies);
        let answer = match self.call(Intent::Write, &first.send_before, request).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return same_for_all(&rows, &PushResult::NotSent),
            Err(failure) => return same_for_all(&rows, &PushResult::Failed(failure)),
        };
        if answer.status == 404 || answer.status == 405 {
            tracing::info!(
                target.name = "tagserver",
                "The server has no bulk endpoint: single calls from now on"
            );
            self.has_bulk.store(false, Ordering::Relaxed);
            return rows
                .into_iter()
                .map(|push| RowEnd::GoesOn(push, Unsettled::ByItself))
                .collect();
        }
        if !answer.is_success() {
            let failure = answer::failure(&answer, Intent::Write);
            // A refusal of the whole call blames no row, and one row must not take the others along: each goes by
            // itself. A target that is away, busy or refuses us is not asked once per row.
            if matches!(answer.status, 400 | 409 | 413 | 415 | 422 | 500) {
                return rows
                    .into_iter()
                    .map(|push| RowEnd::GoesOn(push, Unsettled::Refused))
                    .collect();
            }
            return same_for_all(&rows, &PushResult::Failed(failure));
        }
        let json = answer.json();
        let results = json.as_ref().and_then(Value::as_array);
        let Some(results) = results.filter(|results| results.len() == rows.len()) else {
            let failure = unreadable("The bulk answer has not a result per row");
            return same_for_all(&rows, &PushResult::Failed(failure));
        };
        rows.into_iter()
            .zip(results)
            .map(|(push, result)| row_end(resource, push, result))
            .collect()
    }
}

fn row_end(resource: &'static Resource, push: Push, result: &Value) -> RowEnd {
    let expected_id = match &push.action {
        Action::Create { .. } => None,
        Action::Update { remote_id, .. } => Some(remote_id.as_str()),
        Action::Delete { .. } | Action::DeleteByKey => {
            return RowEnd::Settled(push.entity, PushResult::NotSent);
        }
    };
    let status = result.get("status").and_then(Value::as_u64).and_then(|s| u16::try_from(s).ok());
    let (Some(status), Some(result)) = (status, result.as_object()) else {
        let failure = unreadable("A bulk row has no status");
        return RowEnd::Settled(push.entity, PushResult::Failed(failure));
    };
    if (200..300).contains(&status) {
        let held = single::held(resource, push.entity, result.get("body"), expected_id);
        return RowEnd::Settled(push.entity, held);
    }
    let problem = Problem::of_row(status, result, expected_id.is_some());
    let failure = problem.failure(Intent::Write);
    let is_create = expected_id.is_none();
    if problem.is_data_access_failure() || is_create && problem.may_be_there_already() {
        return RowEnd::GoesOn(push, Unsettled::Violates(failure));
    }
    RowEnd::Settled(push.entity, PushResult::Failed(failure))
}

/// The row's body: with the record's id to replace, without to create.
fn body_of(push: &Push) -> Option<Value> {
    match &push.action {
        Action::Create { wire, .. } => Some(wire.body.clone()),
        Action::Update { remote_id, wire } => Some(single::with_id(&wire.body, remote_id)),
        Action::Delete { .. } | Action::DeleteByKey => None,
    }
}

fn same_for_all(rows: &[Push], result: &PushResult) -> Vec<RowEnd> {
    rows.iter().map(|push| RowEnd::Settled(push.entity, result.clone())).collect()
}

//! The optional bulk endpoint: rows of one resource in one call, a result per row.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::super::http::{Http, Intent, Method};
use super::answer::{self, Problem};
use super::single;
use super::wire::{self, Resource};
use super::{Action, Look, Push, PushResult, TagServer, unreadable};
use crate::entity::EntityRef;
use crate::limits::TAGSERVER_BULK_ROWS;
use serde_json::Value;

/// Pushes of one resource that go in one call.
pub(super) struct Rows {
    resource: &'static Resource,
    rows: Vec<Push>,
}

/// Takes out of a batch what can go in bulk: replaces, and creates that need no look first, of types with more
/// than one of them.
pub(super) fn split(batch: Vec<Push>) -> (Vec<Rows>, Vec<Push>) {
    let mut by_type: BTreeMap<_, Vec<Push>> = BTreeMap::new();
    let mut singles = Vec::new();
    for push in batch {
        match push.action {
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

impl TagServer {
    /// Sends the rows. A lost or unreadable answer makes every row ambiguous; no endpoint, single calls.
    pub(super) async fn push_rows(&self, bulk: Rows) -> Vec<(EntityRef, PushResult)> {
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
            let calls = rows.into_iter().map(|push| self.push_one(push));
            return futures_util::future::join_all(calls).await;
        }
        if !answer.is_success() {
            let failure = answer::failure(&answer, Intent::Write);
            // A refusal of the whole call blames no row, and one row must not take the others along: each goes by
            // itself. A target that is away, busy or refuses us is not asked once per row.
            if matches!(answer.status, 400 | 409 | 413 | 415 | 422 | 500) {
                let calls = rows.into_iter().map(|push| self.push_single(push, true));
                return futures_util::future::join_all(calls).await;
            }
            return same_for_all(&rows, &PushResult::Failed(failure));
        }
        let json = answer.json();
        let results = json.as_ref().and_then(Value::as_array);
        let Some(results) = results.filter(|results| results.len() == rows.len()) else {
            let failure = unreadable("The bulk answer has not a result per row");
            return same_for_all(&rows, &PushResult::Failed(failure));
        };
        let results = rows.iter().zip(results).map(|(push, result)| async move {
            (push.entity, self.row_result(resource, push, result).await)
        });
        futures_util::future::join_all(results).await
    }

    async fn row_result(
        &self,
        resource: &'static Resource,
        push: &Push,
        result: &Value,
    ) -> PushResult {
        let expected_id = match &push.action {
            Action::Create { .. } => None,
            Action::Update { remote_id, .. } => Some(remote_id.as_str()),
            Action::Delete { .. } | Action::DeleteByKey => return PushResult::NotSent,
        };
        let status =
            result.get("status").and_then(Value::as_u64).and_then(|s| u16::try_from(s).ok());
        let (Some(status), Some(result)) = (status, result.as_object()) else {
            return PushResult::Failed(unreadable("A bulk row has no status"));
        };
        if (200..300).contains(&status) {
            return single::held(resource, push.entity, result.get("body"), expected_id);
        }
        let problem = Problem::of_row(status, result, expected_id.is_some());
        let failure = problem.failure(Intent::Write);
        let is_create = expected_id.is_none();
        if problem.is_data_access_failure() || is_create && problem.may_be_there_already() {
            return self.after_violation(resource, push, failure).await;
        }
        PushResult::Failed(failure)
    }
}

/// The row's body: with the record's id to replace, without to create.
fn body_of(push: &Push) -> Option<Value> {
    match &push.action {
        Action::Create { wire, .. } => Some(wire.body.clone()),
        Action::Update { remote_id, wire } => Some(single::with_id(&wire.body, remote_id)),
        Action::Delete { .. } | Action::DeleteByKey => None,
    }
}

fn same_for_all(rows: &[Push], result: &PushResult) -> Vec<(EntityRef, PushResult)> {
    rows.iter().map(|push| (push.entity, result.clone())).collect()
}

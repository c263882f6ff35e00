//! One entity, one call after the other: create or adopt, replace, delete.

use super::super::http::{Http, Intent, Method};
use super::super::sent::Sent;
use super::wire::{self, Resource};
use super::{
    Action, Failure, FailureClass, Look, Push, PushResult, RemoteRecord, SendBefore, TagServer,
    Wire, answer, unreadable,
};
use crate::entity::EntityRef;
use serde_json::{Value, json};

/// A push that ended early, and how.
type Ended = PushResult;

impl TagServer {
    /// Does one push by single calls; `was_sent` when it was sent in bulk before, so that it may have been applied.
    pub(super) async fn push_single(&self, push: Push, was_sent: bool) -> (EntityRef, PushResult) {
        let entity = push.entity;
        let Some(resource) = wire::resource(entity.entity_type) else {
            let failure = Failure::new(FailureClass::OurFault, "TagServer has no such resource");
            return (entity, PushResult::Failed(failure));
        };
        let sent = Sent::new(was_sent);
        let call = Call { client: self, resource, entity, send_before: &push.send_before, sent };
        let result = match push.action {
            Action::Create { wire, look } => call.create(&wire, look).await,
            Action::Update { remote_id, wire } => call.update(&remote_id, &wire).await,
            Action::Delete { remote_id } => call.delete(&remote_id).await,
            Action::DeleteByKey => call.delete_by_key().await,
        };
        (entity, result.unwrap_or_else(|ended| ended))
    }

    /// Resolves a row of a bulk call that the server refused because a constraint is violated.
    pub(super) async fn after_violation(&self, push: Push, refusal: Failure) -> PushResult {
        let Some(resource) = wire::resource(push.entity.entity_type) else {
            return PushResult::Failed(refusal);
        };
        let (entity, send_before) = (push.entity, &push.send_before);
        let call = Call { client: self, resource, entity, send_before, sent: Sent::new(true) };
        let result = match &push.action {
            Action::Create { wire, .. } => call.adopt_after(refusal, wire).await,
            Action::Update { remote_id, .. } => call.moved_or(refusal, remote_id).await,
            Action::Delete { .. } | Action::DeleteByKey => Ok(PushResult::Failed(refusal)),
        };
        result.unwrap_or_else(|ended| ended)
    }
}

/// The calls for one entity.
struct Call<'a> {
    client: &'a TagServer,
    resource: &'static Resource,
    entity: EntityRef,
    send_before: &'a SendBefore,
    sent: Sent,
}

impl Call<'_> {
    async fn create(&self, wire: &Wire, look: Look) -> Result<PushResult, Ended> {
        if let Look::First { absence_is_proof } = look {
            match self.find().await? {
                Some(found) => return self.adopt(found, wire).await,
                None if !absence_is_proof => return Ok(PushResult::Unsettled),
                None => {}
            }
        }
        let request = |http: &Http| http.request(Method::Post, self.resource.path).json(&wire.body);
        let answer = self.send(Intent::Write, request).await?;
        if answer.is_success() {
            return Ok(self.held(answer.json().as_ref(), None));
        }
        let refusal = answer::failure(&answer, Intent::Write);
        if !answer::may_be_there_already(&answer) {
            return Ok(PushResult::Failed(refusal));
        }
        self.adopt_after(refusal, wire).await
    }

    /// After a create that violates a constraint: whatever carries our key is adopted; if nothing does, the violation
    /// is another one, and the failure stands.
    async fn adopt_after(&self, refusal: Failure, wire: &Wire) -> Result<PushResult, Ended> {
        match self.find().await? {
            Some(found) => self.adopt(found, wire).await,
            None => Ok(PushResult::Failed(refusal)),
        }
    }

    /// After a replace that violates a constraint: if our key stands at another id, the one that we know belongs to
    /// somebody else by now (the server was re-imaged).
    async fn moved_or(&self, refusal: Failure, remote_id: &str) -> Result<PushResult, Ended> {
        Ok(match self.find().await? {
            Some(found) if found.remote_id != remote_id => PushResult::Failed(Failure::new(
                FailureClass::StaleMapping,
                "The record stands under another id",
            )),
            _ => PushResult::Failed(refusal),
        })
    }

    /// Takes a record that carries our key as ours, and writes only if it holds something else.
    async fn adopt(&self, found: RemoteRecord, wire: &Wire) -> Result<PushResult, Ended> {
        if found.wire.hash == wire.hash {
            return Ok(PushResult::Held {
                remote_id: found.remote_id,
                remote_hash: found.wire.hash,
                written: false,
                carried: Vec::new(),
                left_to: None,
            });
        }
        let found = found.remote_id;
        match self.replace(&found, wire).await {
            Ok(PushResult::Failed(failure)) | Err(PushResult::Failed(failure))
                if failure.class != FailureClass::StaleMapping =>
            {
                Ok(PushResult::Failed(failure.with_found(&found)))
            }
            result => result,
        }
    }

    /// Where the server does not say who it is, the id may belong to another row by now: that row is not replaced.
    async fn update(&self, remote_id: &str, wire: &Wire) -> Result<PushResult, Ended> {
        if self.client.identity.reads_first() {
            match self.not_ours(remote_id).await? {
                None => {}
                Some(PushResult::Gone) => {
                    let text = "The record is gone";
                    return Ok(PushResult::Failed(Failure::new(FailureClass::StaleMapping, text)));
                }
                Some(ended) => return Ok(ended),
            }
        }
        self.replace(remote_id, wire).await
    }

    async fn replace(&self, remote_id: &str, wire: &Wire) -> Result<PushResult, Ended> {
        let body = with_id(&wire.body, remote_id);
        let path = self.path_of(remote_id);
        let request = |http: &Http| http.request(Method::Put, &path).json(&body);
        let answer = self.send(Intent::Write, request).await?;
        if answer.is_success() {
            return Ok(self.held(answer.json().as_ref(), Some(remote_id)));
        }
        let failure = answer::failure_of_known(&answer, Intent::Write);
        if answer::is_data_access_failure(&answer) {
            return self.moved_or(failure, remote_id).await;
        }
        Ok(PushResult::Failed(failure))
    }

    /// What is not there under the id that we know may stand under another one by now.
    async fn delete(&self, remote_id: &str) -> Result<PushResult, Ended> {
        match self.not_ours(remote_id).await? {
            None => self.delete_row(remote_id).await,
            Some(PushResult::Gone) => match self.find().await? {
                Some(found) if found.remote_id != remote_id => {
                    self.delete_row(&found.remote_id).await
                }
                Some(_) | None => Ok(PushResult::Gone),
            },
            Some(ended) => Ok(ended),
        }
    }

    /// 204 is done, 404 is done; older servers answer 500 for an unknown id, so that is confirmed by a read.
    async fn delete_row(&self, remote_id: &str) -> Result<PushResult, Ended> {
        let path = self.path_of(remote_id);
        let answer = self.send(Intent::Write, |http| http.request(Method::Delete, &path)).await?;
        if answer.status == 204 || answer::is_not_found(&answer) {
            return Ok(PushResult::Gone);
        }
        let failure = answer::failure_of_known(&answer, Intent::Write);
        if answer.status == 500 {
            let read = self.send(Intent::Read, |http| http.request(Method::Get, &path)).await?;
            if answer::is_not_found(&read) {
                return Ok(PushResult::Gone);
            }
        }
        Ok(PushResult::Failed(failure))
    }

    /// A server that was re-imaged may have given the id to another row: what is deleted is read first.
    async fn not_ours(&self, remote_id: &str) -> Result<Option<PushResult>, Ended> {
        let path = self.path_of(remote_id);
        let answer = self.send(Intent::Read, |http| http.request(Method::Get, &path)).await?;
        if answer::is_not_found(&answer) {
            return Ok(Some(PushResult::Gone));
        }
        if !answer.is_success() {
            let failure = answer::failure_of_known(&answer, Intent::Read);
            return Ok(Some(PushResult::Failed(failure)));
        }
        let row = answer::json_of_read(&answer).map_err(PushResult::Failed)?;
        Ok(match answer::record(self.resource, &row) {
            Some(record) if record.entity == Some(self.entity) => None,
            Some(_) => Some(PushResult::Failed(Failure::new(
                FailureClass::StaleMapping,
                "The id belongs to another record",
            ))),
            None => Some(PushResult::Failed(Failure::new(
                FailureClass::OurFault,
                "The record is not what the contract has",
            ))),
        })
    }

    async fn delete_by_key(&self) -> Result<PushResult, Ended> {
        match self.find().await? {
            Some(found) => match self.not_ours(&found.remote_id).await? {
                None => self.delete_row(&found.remote_id).await,
                Some(ended) => Ok(ended),
            },
            None => Ok(PushResult::Gone),
        }
    }

    async fn find(&self) -> Result<Option<RemoteRecord>, Ended> {
        let found = self.client.find(self.resource, self.entity, self.send_before).await;
        found.map_err(|failure| self.sent.failed(failure))?.ok_or_else(|| self.sent.too_late())
    }

    async fn send(
        &self,
        intent: Intent,
        build: impl Fn(&Http) -> super::Request + Send + Sync,
    ) -> Result<super::Answer, Ended> {
        let answer = self.client.call(intent, self.send_before, build).await;
        let answer = answer.map_err(|f| self.sent.failed(f))?;
        let answer = answer.ok_or_else(|| self.sent.too_late())?;
        self.sent.note(intent);
        Ok(answer)
    }

    fn path_of(&self, remote_id: &str) -> String {
        format!("{}/{remote_id}", self.resource.path)
    }

    /// A success names the record: its id is the one that was meant, and it carries our key.
    fn held(&self, row: Option<&Value>, expected_id: Option<&str>) -> PushResult {
        held(self.resource, self.entity, row, expected_id)
    }
}

/// What a successful write's row proves.
pub(super) fn held(
    resource: &Resource,
    entity: EntityRef,
    row: Option<&Value>,
    expected_id: Option<&str>,
) -> PushResult {
    let Some(record) = row.and_then(|row| answer::record(resource, row)) else {
        let failure = unreadable("The answer to a write can't be read");
        return PushResult::Failed(failure);
    };
    let is_expected = expected_id.is_none_or(|id| id == record.remote_id);
    if record.entity != Some(entity) || !is_expected {
        let failure = Failure::new(FailureClass::StaleMapping, "The answer names another record");
        return PushResult::Failed(failure);
    }
    PushResult::Held {
        remote_id: record.remote_id,
        remote_hash: record.wire.hash,
        written: true,
        carried: Vec::new(),
        left_to: None,
    }
}

/// The body with the record's own id, as a replace wants it.
pub(super) fn with_id(body: &Value, remote_id: &str) -> Value {
    let mut body = body.clone();
    if let (Some(fields), Ok(id)) = (body.as_object_mut(), remote_id.parse::<i64>()) {
        fields.insert("id".to_owned(), json!(id));
    }
    body
}

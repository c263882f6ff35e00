//! Create, replace, patch and delete: one row each, also inside a bulk request.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::audit;
use super::draft::Draft;
use super::field::Digits;
use super::options::{DeleteUnknown, TagServerSettings};
use super::problem::Problem;
use super::resource::Resource;
use super::store::{Fields, Refusal, Store};
use crate::{Effect, Record, RowEffect};

/// What a write works with.
pub(super) struct Desk<'a> {
    pub(super) store: &'a mut Store,
    pub(super) resource: Resource,
    pub(super) settings: &'a TagServerSettings,
    pub(super) digits: Digits,
    pub(super) record: &'a mut Record,
}

/// A committed write.
pub(super) struct Written {
    pub(super) id: i64,
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Desk<'_> {
    /// `POST /api/races`
    pub(super) fn create(&mut self, body: &Value) -> Result<Written, Problem> {
        let body = self.object(body)?;
        audit::fields(self.resource, body, self.record);
        let draft = self.drafted(Draft::whole(self.resource, body))?;
        if draft.id.is_some() {
            self.record.violation("id_in_create", self.resource.segment());
            return Err(Problem::id_exists(self.resource));
        }
        let inserted = self.store.insert(self.resource, None, draft.into_fields());
        let id = inserted.map_err(|refusal| self.refused(&refusal))?;
        Ok(self.written(id, StatusCode::CREATED))
    }

    /// `PUT /api/races/17`; in a bulk request there is no id in a path.
    pub(super) fn replace(
        &mut self,
        path_id: Option<i64>,
        body: &Value,
    ) -> Result<(Written, bool), Problem> {
        let body = self.object(body)?;
        audit::fields(self.resource, body, self.record);
        let draft = self.drafted(Draft::whole(self.resource, body))?;
        let id = self.checked_id(path_id, draft.id)?;
        self.overwrite(id, |_| draft.into_fields())
    }

    /// `PATCH /api/races/17`
    pub(super) fn patch(&mut self, path_id: i64, body: &Value) -> Result<(Written, bool), Problem> {
        let body = self.object(body)?;
        audit::fields(self.resource, body, self.record);
        audit::patch(self.resource, body, self.record);
        let draft = self.drafted(Draft::partial(self.resource, body))?;
        let id = self.checked_id(Some(path_id), draft.id)?;
        self.overwrite(id, |before| draft.patched_onto(before))
    }

    /// `DELETE /api/races/17`; `None` if there was nothing, which is fine here.
    pub(super) fn delete(&mut self, id: i64) -> Result<Option<Fields>, Problem> {
        match self.store.delete(self.resource, id) {
            Ok(fields) => Ok(Some(fields)),
            Err(Refusal::UnknownId) => match self.settings.delete_unknown {
                DeleteUnknown::NoContent => Ok(None),
                DeleteUnknown::ServerError => {
                    Err(Problem::plain(StatusCode::INTERNAL_SERVER_ERROR, "No row with this id"))
                }
            },
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// Notes what became of a row.
    pub(super) fn note(
        &mut self,
        external_id: Option<String>,
        id: Option<i64>,
        effect: Effect,
        changed: bool,
        status: StatusCode,
    ) {
        self.record.rows.push(RowEffect {
            external_id,
            remote_id: id.map(|id| id.to_string()),
            effect,
            changed,
            status: status.as_u16(),
        });
    }

    fn overwrite(
        &mut self,
        id: i64,
        after: impl FnOnce(&Fields) -> Fields,
    ) -> Result<(Written, bool), Problem> {
        let Some(before) = self.store.get(self.resource, id).cloned() else {
            return Err(self.refused(&Refusal::UnknownId));
        };
        let after = after(&before);
        let overwritten = self.store.replace(self.resource, id, after.clone());
        let changed = overwritten.map_err(|refusal| self.refused(&refusal))?;
        audit::overwrite(self.resource, id, &before, &after, self.record);
        Ok((self.written(id, StatusCode::OK), changed))
    }

    fn object<'b>(&mut self, body: &'b Value) -> Result<&'b Map<String, Value>, Problem> {
        body.as_object().ok_or_else(|| {
            self.record.violation("malformed_json", "an object was expected");
            Problem::plain(StatusCode::BAD_REQUEST, "Failed to read request")
        })
    }

    fn drafted(
        &mut self,
        draft: Result<Draft, Vec<super::problem::FieldError>>,
    ) -> Result<Draft, Problem> {
        draft.map_err(|errors| {
            let problem = Problem::validation(errors);
            audit::validation(&problem, self.record);
            problem
        })
    }

    fn checked_id(&mut self, path_id: Option<i64>, id: Option<i64>) -> Result<i64, Problem> {
        let Some(id) = id else {
            self.record.violation("id_missing", self.resource.segment());
            return Err(Problem::id_null(self.resource));
        };
        if path_id.is_some_and(|path_id| path_id != id) {
            self.record.violation("id_mismatch", self.resource.segment());
            return Err(Problem::id_invalid(self.resource));
        }
        Ok(id)
    }

    fn refused(&mut self, refusal: &Refusal) -> Problem {
        audit::refusal(self.resource, refusal, self.record);
        Problem::refusal(refusal, self.resource, self.settings.missing_relation)
    }

    fn written(&self, id: i64, status: StatusCode) -> Written {
        let fields = self.store.get(self.resource, id);
        let body = fields.map(|fields| fields.body(self.resource, id, self.digits));
        Written { id, status, body: body.unwrap_or(Value::Null) }
    }
}

/// The `externalId` that a body brings.
pub(super) fn external_id(body: &Value) -> Option<String> {
    Some(body.get("externalId")?.as_str()?.to_owned())
}

//! `POST /lists/{id}`: up to 500 members in one request, answered with 200 whatever happens.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::address::subscriber_hash;
use super::audit::{self, Verb};
use super::draft::Draft;
use super::member::Status;
use super::problem::{FieldError, Problem};
use super::upsert::{Desk, Written};
use crate::{Effect, RowEffect};

/// How many members one request takes.
const LIMIT: usize = 500;

/// What holds for the whole request.
struct Wishes {
    update_existing: bool,
    sync_tags: bool,
    skip_duplicates: bool,
}

/// Why one member was not written.
enum Failure {
    Exists(String),
    Refused(Problem),
}

impl Desk<'_> {
    /// Writes all members that can be written.
    pub(super) fn bulk(&mut self, body: &Value, skip_duplicates: bool) -> Result<Value, Problem> {
        let members = body.get("members").and_then(Value::as_array).ok_or_else(|| {
            Problem::schema(vec![FieldError::new("members", "This value should not be blank.")])
        })?;
        if members.len() > LIMIT {
            self.record.violation("bulk_too_large", format!("{} members", members.len()));
            let message = "This collection should contain 500 elements or less.";
            return Err(Problem::schema(vec![FieldError::new("members", message)]));
        }
        let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
        let wishes = Wishes {
            update_existing: flag("update_existing"),
            sync_tags: flag("sync_tags"),
            skip_duplicates,
        };
        if wishes.sync_tags {
            self.record.violation("replaces_all_tags", self.list.options.id.as_str());
        }
        let (mut created, mut updated, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for member in members {
            let email = member.get("email_address").and_then(Value::as_str).unwrap_or_default();
            let repeated = !seen.insert(subscriber_hash(email));
            if repeated && wishes.skip_duplicates {
                continue;
            }
            match self.bulk_one(member, repeated, &wishes) {
                Ok(written) if written.effect == Effect::Created => created.push(written.body),
                Ok(written) => updated.push(written.body),
                Err(failure) => errors.push(failure.to_value(email)),
            }
        }
        Ok(json!({
            "total_created": created.len(),
            "total_updated": updated.len(),
            "error_count": errors.len(),
            "new_members": created,
            "updated_members": updated,
            "errors": errors,
            "_links": [],
        }))
    }

    fn bulk_one(
        &mut self,
        body: &Value,
        repeated: bool,
        wishes: &Wishes,
    ) -> Result<Written, Failure> {
        let result = self.bulk_write(body, repeated, wishes);
        let row = match &result {
            Ok(written) => RowEffect {
                external_id: written.ems_id.clone(),
                remote_id: Some(written.id.clone()),
                effect: written.effect,
                changed: written.changed,
                status: 200,
            },
            Err(_) => RowEffect {
                external_id: super::route::sent_ems_id(body),
                remote_id: None,
                effect: Effect::Refused,
                changed: false,
                status: 400,
            },
        };
        self.record.rows.push(row);
        result
    }

    fn bulk_write(
        &mut self,
        body: &Value,
        repeated: bool,
        wishes: &Wishes,
    ) -> Result<Written, Failure> {
        let empty = Map::new();
        let body = body.as_object().unwrap_or(&empty);
        audit::body(self.list, body, self.record);
        let mut draft = Draft::read(body).map_err(Failure::Refused)?;
        let email = draft.email_address.clone().unwrap_or_default();
        if repeated {
            let detail = "Duplicate email address in the request.";
            return Err(Failure::Refused(Problem::invalid(detail)));
        }
        match self.list.find_email(&email).cloned() {
            None => self.create(&draft).map_err(Failure::Refused),
            Some(member) if !wishes.update_existing && member.status != Status::Archived => {
                Err(Failure::Exists(email))
            }
            Some(member) => {
                // The subscription of an existing member changes, too.
                draft.status = draft.status.or(draft.status_if_new);
                draft.email_address = None;
                draft.replaces_tags = wishes.sync_tags;
                self.update(Verb::Bulk, member, &draft).map_err(Failure::Refused)
            }
        }
    }
}

impl Failure {
    fn to_value(&self, email: &str) -> Value {
        let (error, code, field) = match self {
            Self::Exists(email) => {
                let error = format!(
                    "{email} is already a list member, do you want to update? please provide \
                     update_existing:true in the request body"
                );
                (error, "ERROR_CONTACT_EXISTS", None)
            }
            Self::Refused(problem) => {
                (problem.detail.clone(), "ERROR_GENERIC", problem.errors.first())
            }
        };
        json!({
            "email_address": email,
            "error": error,
            "error_code": code,
            "field": field.map_or("", |field| field.field.as_str()),
            "field_message": field.map_or("", |field| field.message.as_str()),
        })
    }
}

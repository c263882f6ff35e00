//! Several persons in one call: a look-up by their addresses, and an edit of those that it finds to be as we know them.
//!
//! Only edits go in a batch, with an id in every row and no id twice: Mautic writes a row without id to another row's
//! contact (contract, section 4). Creates stay single calls, as the contract recommends: a lost answer then leaves one
//! create in doubt, not fifty. What the look-up finds to be otherwise than expected goes by itself.

use std::collections::HashMap;

use serde_json::Value;

use super::super::http::{Http, Intent, Method, after_sending};
use super::Mautic;
use super::answer::{self, Problem};
use super::call::with_id;
use super::contact::{Contact, ahead};
use super::single::Progress;
use super::wire::{self, EMAIL};
use crate::entity::EntityRef;
use crate::limits;
use crate::remote::{Action, Failure, FailureClass, Look, Push, PushResult, SendBefore, Wire};

/// How a push of a batch ended.
pub(super) enum RowEnd {
    /// With a result.
    Settled(EntityRef, PushResult),
    /// Not yet: it goes on as a single call.
    GoesOn(Push, Progress),
}

/// A push that writes, for whose address one look-up for several does.
struct Row {
    push: Push,
    email: String,
}

/// Takes out of a batch what can be looked up together. What has failed before goes by itself.
pub(super) fn split(batch: Vec<Push>) -> (Vec<Vec<Push>>, Vec<Push>) {
    let (mut together, mut singles): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|push| !push.by_itself && email_of(push).is_some());
    let mut chunks = Vec::new();
    while together.len() > 1 {
        let rest = together.split_off(together.len().min(limits::MAUTIC_BATCH_ROWS));
        chunks.push(std::mem::replace(&mut together, rest));
    }
    singles.append(&mut together);
    (chunks, singles)
}

/// The address that a push wants, if it may go with others.
fn email_of(push: &Push) -> Option<String> {
    let wire = match &push.action {
        Action::Create { wire, look: Look::IfRefused } | Action::Update { wire, .. } => wire,
        Action::Create { look: Look::First { .. }, .. }
        | Action::Delete { .. }
        | Action::DeleteByKey => return None,
    };
    wire.body.get(EMAIL).and_then(Value::as_str).map(str::to_owned)
}

impl Mautic {
    /// Looks the pushes up together, and edits together what is as we know it.
    pub(super) async fn push_together(&self, pushes: Vec<Push>) -> Vec<RowEnd> {
        let Some(send_before) = earliest(&pushes) else { return Vec::new() };
        let rows =
            pushes.into_iter().map(|push| Row { email: email_of(&push).unwrap_or_default(), push });
        let rows: Vec<Row> = rows.collect();
        let emails: Vec<&str> = rows.iter().map(|row| row.email.as_str()).collect();
        let found = match self.find_emails(&emails, &send_before).await {
            Ok(Some(Some(found))) => found,
            // One of them, or Mautic's way with the filter, must not hold up the others.
            Ok(Some(None)) => {
                return rows
                    .into_iter()
                    .map(|row| RowEnd::GoesOn(row.push, Progress::None))
                    .collect();
            }
            Ok(None) => {
                return same_for_all(rows.into_iter().map(|r| r.push), &PushResult::NotSent);
            }
            Err(failure) => {
                return same_for_all(
                    rows.into_iter().map(|r| r.push),
                    &PushResult::Failed(failure),
                );
            }
        };
        let mut by_email: HashMap<String, Vec<Contact>> = HashMap::new();
        for contact in found {
            let email = contact.email().unwrap_or_default().to_owned();
            by_email.entry(email).or_default().push(contact);
        }
        let (mut edits, mut ends) = (Vec::new(), Vec::new());
        for Row { push, email } in rows {
            let found = by_email.get(&email).map(Vec::as_slice).unwrap_or_default();
            match as_known(&push, found) {
                Some(edit) => edits.push((push, edit)),
                None => ends.push(RowEnd::GoesOn(push, Progress::LookedUp(found.to_vec()))),
            }
        }
        if edits.len() > 1 {
            ends.extend(self.edit_together(edits).await);
        } else {
            ends.extend(
                edits.into_iter().map(|(push, edit)| {
                    RowEnd::GoesOn(push, Progress::LookedUp(vec![edit.contact]))
                }),
            );
        }
        ends
    }

    async fn edit_together(&self, edits: Vec<(Push, Edit)>) -> Vec<RowEnd> {
        let (pushes, edits): (Vec<Push>, Vec<Edit>) = edits.into_iter().unzip();
        let Some(send_before) = earliest(&pushes) else { return Vec::new() };
        let body: Value =
            edits.iter().map(|edit| with_id(wire::to_edit(&edit.wire), edit.contact.id)).collect();
        let request =
            |http: &Http| http.request(Method::Patch, "/api/contacts/batch/edit").json(&body);
        let answer = match self.call(Intent::Write, &send_before, request).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return same_for_all(pushes.into_iter(), &PushResult::NotSent),
            Err(failure) => {
                return same_for_all(pushes.into_iter(), &PushResult::Failed(failure));
            }
        };
        if !answer.is_success() {
            // A refusal of the whole blames no row, and one row must not take the others along. A Mautic that is away, busy
            // or refuses us is not asked once per row.
            if answer::refuses_the_call(&answer) {
                let goes_on = |push| RowEnd::GoesOn(push, Progress::Sent);
                return pushes.into_iter().map(goes_on).collect();
            }
            let failure = answer::failure(&answer, Intent::Write);
            return same_for_all(pushes.into_iter(), &PushResult::Failed(failure));
        }
        let outcome = Outcome { body: answer.json().unwrap_or_default(), ahead: ahead(&answer) };
        let rows = pushes.into_iter().zip(edits).enumerate();
        rows.map(|(place, (push, edit))| outcome.row(place, push, &edit)).collect()
    }
}

/// What is to be written to a contact.
struct Edit {
    contact: Contact,
    wire: Wire,
}

/// The edit of a contact that is the only one with its address, under the id and with the key that we know.
fn as_known(push: &Push, found: &[Contact]) -> Option<Edit> {
    let Action::Update { remote_id, wire } = &push.action else { return None };
    let [contact] = found else { return None };
    let is_known = contact.id.to_string() == *remote_id
        && contact.key() == Some(push.entity.id.to_string().as_str());
    is_known.then(|| Edit { contact: contact.clone(), wire: wire.clone() })
}

/// The answer to a batch. Its outer status says nothing, and what failed has no contact, so that a list may become a map
/// with holes: rows are told apart by their keys, and by the id that each contact must have (section 4).
struct Outcome {
    body: Value,
    ahead: i64,
}

impl Outcome {
    fn at(&self, part: &str, place: usize) -> Option<&Value> {
        match self.body.get(part)? {
            Value::Array(list) => list.get(place),
            Value::Object(map) => map.get(&place.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    fn row(&self, place: usize, push: Push, edit: &Edit) -> RowEnd {
        let status = self.at("statusCodes", place).and_then(Value::as_u64);
        let Some(status) = status.and_then(|status| u16::try_from(status).ok()) else {
            let text = "A row of a batch has no status";
            let failure = Failure::new(after_sending(Intent::Write), text);
            return RowEnd::Settled(push.entity, PushResult::Failed(failure));
        };
        if !(200..300).contains(&status) {
            let problem = Problem::of_row(status, self.at("errors", place));
            let failure = problem.failure(Intent::Write);
            // By itself it is restricted before it is refused: an opt-out is said whatever becomes of the rest.
            if failure.class == FailureClass::Rejected {
                return RowEnd::GoesOn(push, Progress::LookedUp(vec![edit.contact.clone()]));
            }
            return RowEnd::Settled(push.entity, PushResult::Failed(failure));
        }
        let contact = self.at("contacts", place).and_then(|c| Contact::read(c, self.ahead));
        match contact {
            Some(contact)
                if contact.id == edit.contact.id && contact.key() == edit.contact.key() =>
            {
                RowEnd::GoesOn(push, Progress::Written(contact))
            }
            // Merged meanwhile, mixed up, or unreadable: by itself it shows.
            Some(_) | None => RowEnd::GoesOn(push, Progress::Sent),
        }
    }
}

/// Until when all of them may be sent.
fn earliest(pushes: &[Push]) -> Option<SendBefore> {
    pushes.iter().map(|push| &push.send_before).min_by_key(|before| before.at).cloned()
}

fn same_for_all(pushes: impl Iterator<Item = Push>, result: &PushResult) -> Vec<RowEnd> {
    pushes.map(|push| RowEnd::Settled(push.entity, result.clone())).collect()
}

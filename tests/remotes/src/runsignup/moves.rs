//! Transfer to another event, and delete (contract, sections 7b and 7c).

use serde_json::{Value, json};

use super::auth::Caller;
use super::error::ApiError;
use super::form::{Form, number, rows};
use super::participants::check_event;
use super::rows::{Reason, Registration, Removal};
use super::serve::reachable;
use super::server::RunSignup;
use super::store::Store;
use super::subject::external_id;
use crate::sync::lock;
use crate::{Effect, Record, Remote as _, Request, RowEffect};

/// Registrations of one delete at most.
const MAX_DELETES: usize = 250;

impl RunSignup {
    /// `POST /rest/race/{id}/switch-participant-events`: the registration gets another id.
    pub(super) fn switch_events(
        &self,
        race: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        caller.writes()?;
        let form = Form::read(request);
        let body = form.checked(request, record)?;
        let at = self.now().as_second();
        let mut store = lock(&self.store);
        let race = named_race(&store, race, &form, request)?;
        let with_bib = form.value_or_query(request, "transfer_bibs") == Some("T");
        let moves = rows(&body, "registrations").iter().map(|row| {
            let id = number(row.get("registration_id"));
            let event = number(row.get("new_event_id"));
            let (id, event) = id.zip(event).ok_or_else(|| ApiError::new(3))?;
            let race = store.races.get(&race).ok_or_else(|| ApiError::new(201))?;
            let old = standing(&store, id, race.id).ok_or_else(|| ApiError::new(15))?;
            check_event(&store, race, event)?;
            if old.event_id == event {
                return Err(ApiError::new(3));
            }
            Ok((id, event, external_id(row, &store)))
        });
        let moves: Vec<_> = moves.collect::<Result<_, ApiError>>()?;
        if moves.is_empty() {
            return Err(ApiError::new(3));
        }
        let mut replies = Vec::new();
        for (id, event, external_id) in moves {
            // Named twice, the second finds nothing that stands.
            let new = store.transfer(id, event, with_bib, at);
            let new = new.ok_or_else(|| ApiError::new(15))?;
            replies.push(json!({ "registration_id": new }));
            record.rows.push(RowEffect {
                external_id,
                remote_id: Some(new.to_string()),
                effect: Effect::Replaced,
                changed: true,
                status: 200,
            });
        }
        Ok(json!({ "participants": replies }))
    }

    /// `POST /rest/race/{id}/delete-participants`: what cannot be deleted is only left out of the
    /// answer.
    pub(super) fn delete_participants(
        &self,
        race: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        caller.writes()?;
        let form = Form::read(request);
        let body = form.checked(request, record)?;
        let all = form.value_or_query(request, "allow_non_imports") == Some("T");
        if all {
            record.violation("deletes_non_imports", "allow_non_imports");
        }
        let sent = rows(&body, "registrations");
        if sent.len() > MAX_DELETES {
            record.violation("delete_too_large", format!("{} registrations", sent.len()));
            return Err(ApiError::new(3));
        }
        let settings = self.current_settings();
        let at = self.now().as_second();
        let mut store = lock(&self.store);
        let race = named_race(&store, race, &form, request)?;
        let mut replies = Vec::new();
        for row in sent {
            let Some(id) = number(row.get("registration_id")) else {
                return Err(ApiError::new(3));
            };
            let external_id = external_id(row, &store);
            let is_meant = standing(&store, id, race).is_some_and(|row| all || row.imported);
            let deleted = is_meant && {
                let removal = Removal { reason: Reason::Removed, at, new_registration_id: None };
                if settings.deleted_rows_are_listed {
                    store.end(id, removal)
                } else {
                    store.take(id).is_some()
                }
            };
            if deleted {
                replies.push(json!({ "registration_id": id }));
            }
            record.rows.push(RowEffect {
                external_id,
                remote_id: Some(id.to_string()),
                effect: if deleted { Effect::Deleted } else { Effect::Refused },
                changed: deleted,
                status: if deleted { 200 } else { 15 },
            });
        }
        Ok(json!({ "participants": replies }))
    }
}

/// The race of the path, which the form must name, too.
fn named_race(store: &Store, race: &str, form: &Form, request: &Request) -> Result<i64, ApiError> {
    let id = reachable(store, race)?.id;
    let named = form.value_or_query(request, "race_id").and_then(|text| text.parse().ok());
    if named == Some(id) { Ok(id) } else { Err(ApiError::new(3)) }
}

/// A registration that stands, in an event of this race.
fn standing(store: &Store, id: i64, race: i64) -> Option<&Registration> {
    let row = store.registration(id).filter(|row| row.active)?;
    let event = store.events.get(&row.event_id)?;
    (event.race_id == race).then_some(row)
}

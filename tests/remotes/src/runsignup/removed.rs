//! `GET /rest/race/{id}/removed-participants` (contract, section 4d): another place for the rows,
//! and other formats of dates, than in the list of participants.

use serde_json::{Value, json};

use super::auth::Caller;
use super::clock::{eastern_second, instant};
use super::error::ApiError;
use super::participants::{check_event, order, user, yes};
use super::query::Filter;
use super::rows::{Registration, User};
use super::serve::reachable;
use super::server::RunSignup;
use super::store::Store;
use crate::sync::lock;
use crate::{Record, Request};

impl RunSignup {
    /// `GET /rest/race/{id}/removed-participants`
    pub(super) fn list_removed(
        &self,
        race: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        let filter = Filter::read(request, true, record)?;
        caller.known()?;
        let store = lock(&self.store);
        let race = reachable(&store, race)?;
        let is_meant = |row: &&Registration| {
            row.removal.as_ref().is_some_and(|removal| {
                filter.modified_after.is_none_or(|after| removal.at >= after)
            })
        };
        let elements = filter.events.iter().map(|event| {
            check_event(&store, race, *event)?;
            let rows = store.of_event(*event, filter.after, filter.before);
            let mut rows: Vec<_> = rows.filter(is_meant).collect();
            rows.sort_by(|one, other| order(&store, one, other, &filter));
            let rows: Vec<Value> =
                filter.page_of(rows).map(|row| removed(&store, row, &filter)).collect();
            Ok(json!({ "event": { "event_id": event, "participants": rows } }))
        });
        elements.collect::<Result<Vec<Value>, ApiError>>().map(Value::Array)
    }
}

fn removed(store: &Store, row: &Registration, filter: &Filter) -> Value {
    let nobody = User::default();
    let person = store.users.get(&row.user_id).unwrap_or(&nobody);
    let removal = row.removal.as_ref();
    let at = removal.map(|removal| removal.at);
    json!({
        "user": user(person, filter.supports_nb),
        "registration_id": row.id,
        "age": row.age,
        "registration_date": eastern_second(instant(row.registered_at)),
        "last_modified": at.map(|at| eastern_second(instant(at))),
        "last_modified_ts": at,
        "imported": yes(row.imported),
        "removed_reason": removal.map(|removal| removal.reason.word()),
        "new_registration_id": removal.and_then(|removal| removal.new_registration_id),
    })
}

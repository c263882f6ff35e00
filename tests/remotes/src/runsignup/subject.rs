//! What a request is about, told before anything is applied. Our id of a registration is the
//! response to the race's question `EMS ID`; without it, `reg-` and the registration's id.

use serde_json::Value;

use super::form::{Form, number, rows};
use super::resource::Resource;
use super::route::Route;
use super::store::Store;
use crate::{Operation, Request, Subject};

/// What `request` is about.
pub(super) fn subject(request: &Request, store: &Store) -> Subject {
    let route = Route::of(request);
    let mut subject = Subject::new(Operation::Other, route.template());
    subject.resource = resource(&route).map(Resource::segment);
    if !route.allows(request.method.as_str()) {
        return subject;
    }
    match &route {
        Route::Races => subject.operation = Operation::List,
        Route::Race(id) | Route::User(id) => {
            subject.operation = Operation::Read;
            subject.remote_id = Some(id.clone());
        }
        Route::Participants(_) if request.method == "GET" => {
            subject.operation = read_operation(request);
        }
        Route::RemovedParticipants(_) | Route::ParticipantCounts(_) | Route::BibChip(_) => {
            subject.operation = Operation::List;
        }
        Route::Participants(_) => participants(request, store, &mut subject),
        Route::Switch(_) | Route::Delete(_) => {
            let body = Form::read(request).json().unwrap_or_default();
            named(rows(&body, "registrations"), store, &mut subject);
            let switches = matches!(route, Route::Switch(_));
            subject.operation = if switches { Operation::Replace } else { Operation::Delete };
        }
        Route::SyncSettings(id) => {
            subject.operation = Operation::Patch;
            subject.remote_id = Some(id.clone());
        }
        Route::NewRace => {
            let body = Form::read(request).json().unwrap_or_default();
            let id = number(body.get("race_id"));
            subject.operation = if id.is_some() { Operation::Patch } else { Operation::Create };
            subject.remote_id = id.map(|id| id.to_string());
        }
        Route::Login | Route::RedeemCode | Route::RefreshToken => {
            subject.operation = Operation::Login;
        }
        Route::UnknownMethod | Route::Outside => {}
    }
    subject
}

/// Our id in one row of a write: what the row says, or else what the registration has.
pub(super) fn external_id(row: &Value, store: &Store) -> Option<String> {
    let said = rows(row, "question_responses").iter().find_map(|response| {
        let question = number(response.get("question_id"))?;
        let is_ours = store.races.values().any(|race| race.ems_question() == Some(question));
        let text = response.get("response").filter(|_| is_ours)?;
        text.as_str().map(str::to_owned).or_else(|| Some(text.as_i64()?.to_string()))
    });
    let id = number(row.get("registration_id"));
    let stored = || store.ems_id(store.registration(id?)?).map(str::to_owned);
    said.or_else(stored).or_else(|| Some(format!("reg-{}", id?)))
}

fn resource(route: &Route) -> Option<Resource> {
    match route {
        Route::Races | Route::NewRace | Route::Race(_) | Route::SyncSettings(_) => {
            Some(Resource::Race)
        }
        Route::Participants(_)
        | Route::RemovedParticipants(_)
        | Route::ParticipantCounts(_)
        | Route::BibChip(_)
        | Route::Switch(_)
        | Route::Delete(_) => Some(Resource::Registration),
        Route::User(_) => Some(Resource::User),
        Route::Login
        | Route::RedeemCode
        | Route::RefreshToken
        | Route::UnknownMethod
        | Route::Outside => None,
    }
}

/// A search is a look-up by something of ours; two ids with one between them read that one.
fn read_operation(request: &Request) -> Operation {
    let id = |name| request.query_value(name).and_then(|text| text.parse::<i64>().ok());
    let between = id("before_registration_id").zip(id("after_registration_id"));
    if request.query.iter().any(|(name, _)| name.starts_with("search_")) {
        Operation::Find
    } else if between.is_some_and(|(before, after)| before.saturating_sub(after) == 2) {
        Operation::Read
    } else {
        Operation::List
    }
}

fn participants(request: &Request, store: &Store, subject: &mut Subject) {
    let body = Form::read(request).json().unwrap_or_default();
    let sent = rows(&body, "participants");
    named(sent, store, subject);
    subject.operation = match sent {
        [row] if number(row.get("registration_id")).is_some() => Operation::Patch,
        [_] | [] => Operation::Create,
        _ => Operation::Bulk,
    };
}

fn named(rows: &[Value], store: &Store, subject: &mut Subject) {
    subject.external_ids.extend(rows.iter().filter_map(|row| external_id(row, store)));
    if let [row] = rows {
        subject.remote_id = number(row.get("registration_id")).map(|id| id.to_string());
    }
}

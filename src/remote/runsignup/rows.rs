//! The rows of RunSignup's lists (contract, sections 4a to 4d). An answer of another shape is never an empty one. Pure.

use serde_json::{Map, Value};

use super::normal;
use super::snapshot;
use super::wire::{self, Content};
use crate::entity::{EntityRef, EntityType};
use crate::remote::{Failure, FailureClass};

/// The text of the question that carries our id, where the owner of a race has added it (contract, section 7a).
pub(super) const MARKER_QUESTION: &str = "EMS ID";

/// A registration that stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Registration {
    pub(super) id: i64,
    pub(super) event_id: i64,
    pub(super) user_id: i64,
    /// It came through the API, not from a participant.
    pub(super) imported: bool,
    pub(super) content: Content,
    /// The response to our question.
    pub(super) marker: Option<String>,
    /// When it was changed last, in Unix seconds.
    pub(super) last_modified: Option<i64>,
    /// What else the EMS may take of it.
    pub(super) besides: Map<String, Value>,
}

impl Registration {
    /// The EMS entity that it says it is.
    pub(super) fn entity(&self) -> Option<EntityRef> {
        let id = self.marker.as_ref()?.trim().parse().ok()?;
        Some(EntityRef::new(EntityType::EventParticipant, id))
    }
}

/// A registration that stands no more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Removed {
    pub(super) user_id: Option<i64>,
    pub(super) content: Content,
    pub(super) removal: Removal,
}

/// How a registration went. Its texts are Eastern time, which names an hour twice in autumn: only the number tells an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) id: i64,
    /// In Unix seconds.
    pub(super) last_modified: i64,
    /// `cleared`, `removed`, `transferred` or `deferred`.
    pub(super) reason: String,
    /// Where it was moved to.
    pub(super) new_id: Option<i64>,
}

/// A race (EMS: event) as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RaceRow {
    pub(super) id: i64,
    pub(super) row: Map<String, Value>,
    pub(super) events: Vec<EventRow>,
    /// The question that carries our id.
    pub(super) marker_question: Option<i64>,
}

/// An event (EMS: race) as a race shows it. Calls for volunteers are left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EventRow {
    pub(super) id: i64,
    pub(super) days_id: i64,
    pub(super) row: Map<String, Value>,
}

fn odd(what: &str) -> Failure {
    Failure::new(FailureClass::OurFault, format!("The list {what}"))
}

/// The elements of a list of participants: an event's id and its rows. Every event that was asked for must be there.
fn elements<'a>(body: &'a Value, asked: &[i64]) -> Result<Vec<(i64, &'a Vec<Value>)>, Failure> {
    static NOBODY: Vec<Value> = Vec::new();
    let array = body.as_array().ok_or_else(|| odd("is no array"))?;
    let element = |element: &'a Value| {
        let event = element.get("event")?.as_object()?;
        let id = normal::id(event.get("event_id"))?;
        let rows = element.get("participants").or_else(|| event.get("participants"));
        match rows {
            None | Some(Value::Null) => Some((id, &NOBODY)),
            Some(rows) => Some((id, rows.as_array()?)),
        }
    };
    let found: Option<Vec<_>> = array.iter().map(element).collect();
    let found = found.ok_or_else(|| odd("has an element that can't be read"))?;
    if !asked.iter().all(|event| found.iter().any(|(id, _)| id == event)) {
        return Err(odd("leaves out an event that was asked for"));
    }
    if !found.iter().all(|(id, _)| asked.contains(id)) {
        return Err(odd("has an event that was not asked for"));
    }
    Ok(found)
}

/// A row of a list that is walked: what it shows, or its id where that is all that can be read. Without even that nothing is
/// known of it, and the list is not what the contract has.
pub(super) type Row<T> = Result<T, i64>;

fn walked<T>(
    body: &Value,
    asked: &[i64],
    read: impl Fn(&Value, i64) -> Option<T>,
) -> Result<Vec<Row<T>>, Failure> {
    let mut found = Vec::new();
    for (event, rows) in elements(body, asked)? {
        for row in rows {
            let id = normal::id(row.get("registration_id")).ok_or_else(|| unreadable(row))?;
            found.push(read(row, event).ok_or(id));
        }
    }
    Ok(found)
}

/// The registrations of a list that stand.
pub(super) fn registrations_walked(
    body: &Value,
    asked: &[i64],
    marker_question: Option<i64>,
) -> Result<Vec<Row<Registration>>, Failure> {
    walked(body, asked, |row, event| registration(row, event, marker_question))
}

/// The same, all of them readable.
pub(super) fn registrations(
    body: &Value,
    asked: &[i64],
    marker_question: Option<i64>,
) -> Result<Vec<Registration>, Failure> {
    registrations_walked(body, asked, marker_question)?.into_iter().map(readable).collect()
}

/// What the row shows. A failure names the registration, so that a person can look at it there; nothing of what it holds.
pub(super) fn readable<T>(row: Row<T>) -> Result<T, Failure> {
    row.map_err(|id| odd(&format!("has a row that can't be read: registration {id}")))
}

fn registration(row: &Value, event: i64, marker_question: Option<i64>) -> Option<Registration> {
    let row = row.as_object()?;
    let event_id = match row.get("event_id") {
        None => event,
        said => normal::id(said).filter(|said| *said == event)?,
    };
    let responses = row.get("question_responses").and_then(Value::as_array);
    let marker = responses.into_iter().flatten().find_map(|response| {
        let question = normal::id(response.get("question_id"));
        let is_ours = question.is_some() && question == marker_question;
        response.get("response").filter(|_| is_ours)?.as_str().map(str::to_owned)
    });
    Some(Registration {
        id: normal::id(row.get("registration_id"))?,
        event_id,
        user_id: normal::id(row.get("user")?.get("user_id"))?,
        imported: match row.get("imported")?.as_str()? {
            "T" => true,
            "F" => false,
            _ => return None,
        },
        content: wire::from_row(row, event_id, true)?,
        marker: marker.filter(|marker| !marker.trim().is_empty()),
        last_modified: normal::id(row.get("last_modified")),
        besides: snapshot::besides(row),
    })
}

/// Names the registration, so that a person can look at it there; nothing of what it holds.
fn unreadable(row: &Value) -> Failure {
    match normal::id(row.get("registration_id")) {
        Some(id) => odd(&format!("has a row that can't be read: registration {id}")),
        None => odd("has a row that can't be read"),
    }
}

/// All that a list of those that stand no more shows.
pub(super) fn removals(body: &Value, asked: &[i64]) -> Result<Vec<Row<Removal>>, Failure> {
    walked(body, asked, |row, _| removal(row.as_object()?))
}

fn removal(row: &Map<String, Value>) -> Option<Removal> {
    Some(Removal {
        id: normal::id(row.get("registration_id"))?,
        last_modified: normal::id(row.get("last_modified_ts"))?,
        reason: normal::text(row.get("removed_reason")?.as_str()?)?,
        new_id: normal::id(row.get("new_registration_id")),
    })
}

/// The registration of that id in a list of those that stand no more.
pub(super) fn removed(body: &Value, asked: &[i64], id: i64) -> Result<Option<Removed>, Failure> {
    for (event, rows) in elements(body, asked)? {
        for row in rows {
            if normal::id(row.get("registration_id")) != Some(id) {
                continue;
            }
            let removed = row.as_object().and_then(|row| {
                Some(Removed {
                    user_id: normal::id(row.get("user").and_then(|user| user.get("user_id"))),
                    content: wire::from_row(row, event, false)?,
                    removal: removal(row)?,
                })
            });
            return removed.map(Some).ok_or_else(|| unreadable(row));
        }
    }
    Ok(None)
}

/// The races of a page.
pub(super) fn races(body: &Value) -> Result<Vec<RaceRow>, Failure> {
    let races = body.get("races").and_then(Value::as_array);
    let races = races.ok_or_else(|| odd("has no races"))?;
    races
        .iter()
        .map(|race| self::race(race).ok_or_else(|| odd("has a race that can't be read")))
        .collect()
}

/// The one race of an answer, or of an element of a page.
pub(super) fn race(body: &Value) -> Option<RaceRow> {
    let row = body.get("race")?.as_object()?;
    let events = row.get("events").and_then(Value::as_array).into_iter().flatten();
    let events: Option<Vec<Option<EventRow>>> = events.map(event).collect();
    let questions = row.get("questions").and_then(Value::as_array).into_iter().flatten();
    let marker_question = questions
        .filter(|question| {
            let text = question.get("question_text").and_then(Value::as_str);
            text.is_some_and(|text| text.trim() == MARKER_QUESTION)
        })
        .find_map(|question| normal::id(question.get("question_id")));
    Some(RaceRow {
        id: normal::id(row.get("race_id"))?,
        events: events?.into_iter().flatten().collect(),
        row: row.clone(),
        marker_question,
    })
}

/// `Some(None)` is a call for volunteers.
fn event(row: &Value) -> Option<Option<EventRow>> {
    let row = row.as_object()?;
    if row.get("volunteer").and_then(Value::as_str) == Some("T") {
        return Some(None);
    }
    Some(Some(EventRow {
        id: normal::id(row.get("event_id"))?,
        days_id: normal::id(row.get("race_event_days_id"))?,
        row: row.clone(),
    }))
}

/// The ids that a write's answer names, in the order of its rows.
pub(super) fn written_ids(body: &Value) -> Option<Vec<i64>> {
    let rows = body.get("participants")?.as_array()?;
    rows.iter().map(|row| normal::id(row.get("registration_id"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({"user": {"user_id": 5, "first_name": "A", "last_name": "B", "email": null, "dob": null, "gender": null,
                        "phone": null, "address": null},
               "registration_id": 7, "event_id": 72, "bib_num": "17", "imported": "T",
               "question_responses": [{"question_id": "1", "response": "No"},
                                      {"question_id": "2", "response": "99"}]})
    }

    /// Contract, section 4c, "Decoder rules".
    #[test]
    fn both_places_of_the_rows_are_read_and_all_events() {
        let body = json!([{"event": {"event_id": 71, "participants": []}},
                          {"event": {"event_id": 72}, "participants": [row()]},
                          {"event": {"event_id": 73}}]);
        let found = registrations(&body, &[71, 72, 73], Some(2)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id, found[0].event_id, found[0].user_id), (7, 72, 5));
        assert_eq!(found[0].entity().unwrap().id, 99);
        assert_eq!(registrations(&body, &[71, 72, 73], None).unwrap()[0].marker, None);
    }

    #[test]
    fn an_answer_of_another_shape_is_never_an_empty_list() {
        for body in [
            json!([]),
            json!({"participants": []}),
            json!([{"event": {"event_id": 71}}]),
            json!([{"event": {}}]),
            json!([{"event": {"event_id": 72}, "participants": {}}]),
            json!([{"event": {"event_id": 72}, "participants": [{"registration_id": 7}]}]),
            json!([{"event": {"event_id": 72}}, {"event": {"event_id": 79}}]),
        ] {
            let class = registrations(&body, &[72], None).unwrap_err().class;
            assert_eq!(class, FailureClass::OurFault, "{body}");
        }
        for key in ["registration_id", "user", "imported"] {
            let mut odd = row();
            odd.as_object_mut().unwrap().remove(key);
            let body = json!([{"event": {"event_id": 72}, "participants": [odd]}]);
            assert!(registrations(&body, &[72], None).is_err(), "{key}");
        }
    }

    /// Contract, section 4d: another place and other formats than in the list of those that stand.
    #[test]
    fn removals_are_told_by_number_and_word() {
        let row = json!({"user": {}, "registration_id": 2_645_629, "last_modified": "2021-09-23 09:54:37",
            "last_modified_ts": 1_632_405_277, "removed_reason": "transferred", "new_registration_id": "9"});
        let body = json!([{"event": {"event_id": 72, "participants": [row]}}]);
        let expected = Removal {
            id: 2_645_629,
            last_modified: 1_632_405_277,
            reason: "transferred".to_owned(),
            new_id: Some(9),
        };
        assert_eq!(removals(&body, &[72]).unwrap(), [Ok(expected)]);
        for key in ["registration_id", "last_modified_ts", "removed_reason"] {
            let mut odd = row_of(&body);
            odd.as_object_mut().unwrap().remove(key);
            let body = json!([{"event": {"event_id": 72, "participants": [odd]}}]);
            match removals(&body, &[72]) {
                Ok(rows) => assert_eq!(rows, [Err(2_645_629)], "{key}: the others are shown"),
                Err(_) => assert_eq!(key, "registration_id"),
            }
        }
    }

    fn row_of(body: &Value) -> Value {
        body[0]["event"]["participants"][0].clone()
    }

    #[test]
    fn a_call_for_volunteers_is_no_race() {
        let body = json!({"race": {"race_id": 1, "events": [
            {"event_id": 1, "race_event_days_id": 12, "volunteer": "T"},
            {"event_id": 2, "race_event_days_id": 12, "volunteer": "F"}],
            "questions": [{"question_id": 7, "question_text": " EMS ID "}]}});
        let race = race(&body).unwrap();
        assert_eq!(race.events.iter().map(|event| event.id).collect::<Vec<_>>(), [2]);
        assert_eq!(race.marker_question, Some(7));
    }
}

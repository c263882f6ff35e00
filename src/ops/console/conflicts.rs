//! Conflicts: what the EMS has and what people wrote at the target, side by side, and the decision about it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Answer;
use super::page::{self, Here};
use super::parts::{act, badge, chosen, entity, form, nothing, spoken, table, td, text, when};
use crate::limits;
use crate::ops::conflicts::decide::{self, Adoption, Decided};
use crate::ops::conflicts::{NOT_TAKEN_ADVICE, Row};
use crate::ops::server::Desk;
use crate::ops::server::gate::{Role, Visitor};
use crate::ops::server::routes::{Asked, Fields};
use crate::store::{ConflictFilter, NotTaken};

/// Which are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Which {
    target: String,
}

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Asked(Which { target }): Asked<Which>,
) -> Answer {
    let Some(target) = chosen(&target) else {
        return Ok(page::failure(StatusCode::BAD_REQUEST, "there is no such target"));
    };
    let filter = ConflictFilter { target, ..ConflictFilter::default() };
    let rows = desk.store.conflicts(filter, limits::HELD_SHOWN).await?;
    let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
    let not_taken = desk.store.not_taken(target, None, None, limits::HELD_SHOWN).await?;
    let now = Timestamp::now();
    let body = html! {
        @if rows.is_empty() {
            (nothing("There are no open conflicts."))
        } @else {
            (table(&["Number", "Entity", "Target", "Why", "Fields", "Seen"], &html! {
                @for row in &rows { (line(row, now)) }
            }))
            @if i64::try_from(rows.len()).is_ok_and(|n| n == limits::HELD_SHOWN) {
                p.aside { "The newest " (rows.len()) "; the command line lists more." }
            }
        }
        @if !not_taken.is_empty() {
            h2 { "Not taken in" }
            p { (NOT_TAKEN_ADVICE) }
            (table(&["Entity", "Target", "There", "Why", "Seen"], &html! {
                @for row in &not_taken { (left_there(row, now)) }
            }))
            @if i64::try_from(not_taken.len()).is_ok_and(|n| n == limits::HELD_SHOWN) {
                p.aside { "The newest " (not_taken.len()) "; the command line lists more." }
            }
        }
    };
    Ok(page::page(&visitor, Here::Conflicts, "Conflicts", &body))
}

/// What can't be read, or the EMS refuses, and is no conflict.
fn left_there(row: &NotTaken, now: Timestamp) -> Markup {
    html! {
        tr {
            (td("Entity", &entity(Some(row.entity_type), row.entity_id)))
            (td("Target", &html! { (row.target) }))
            (td("There", &text(Some(&row.remote_id))))
            (td("Why", &html! { (spoken(&row.reason)) @if let Some(error) = &row.error { ": " (text(Some(error))) } }))
            (td("Seen", &when(Some(row.seen_on), now)))
        }
    }
}

fn line(row: &Row, now: Timestamp) -> Markup {
    let fields: Vec<_> = row.fields.iter().map(|field| spoken(&field.field)).collect();
    html! {
        tr {
            (td("Number", &html! { a href={ "/conflicts/" (row.conflict) } { "#" (row.conflict) } }))
            (td("Entity", &entity(Some(row.entity), row.id)))
            (td("Target", &html! { (row.target) }))
            (td("Why", &html! { (spoken(&row.reason)) }))
            (td("Fields", &text(Some(&fields.join(", ")))))
            (td("Seen", &when(Some(row.seen_on), now)))
        }
    }
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path(number): Path<i64>,
) -> Answer {
    let Some(row) = desk.store.conflict(number).await?.map(Row::from) else {
        return Ok(page::failure(StatusCode::NOT_FOUND, "there is no such conflict"));
    };
    let now = Timestamp::now();
    let body = html! {
        p {
            (badge(row.state, &row.reason)) " " (spoken(&row.reason)) " · " (entity(Some(row.entity), row.id)) " at " (row.target)
            " (" (text(Some(&row.remote_id))) ") · seen " (when(Some(row.seen_on), now))
        }
        @if !row.fields.is_empty() {
            (table(&["Field", "The EMS has", "The target had"], &html! {
                @for field in &row.fields {
                    tr {
                        (td("Field", &html! { (spoken(&field.field)) }))
                        (td("The EMS has", &value(&field.ems_value)))
                        (td("The target had", &value(&field.remote_value)))
                    }
                }
            }))
        }
        @match &row.outcome {
            Some(outcome) => p { (spoken(outcome)) " " (when(row.closed_on, now)) " by " (text(row.closed_by.as_deref())) },
            None => (decision(&visitor, &row)),
        }
    };
    Ok(page::page(&visitor, Here::Conflicts, &format!("Conflict {number}"), &body))
}

fn value(value: &Value) -> Markup {
    match value {
        Value::Null => text(None),
        Value::String(string) => text(Some(string)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            text(Some(&value.to_string()))
        }
    }
}

/// What can be decided: a deletion in the EMS stands, whatever the target had.
fn decision(visitor: &Visitor, row: &Row) -> Markup {
    let path = |what: &str| format!("/conflicts/{}/{what}", row.conflict);
    let of = row.candidate_entity.unwrap_or(row.entity);
    let adopt = html! {
        @if !row.candidates.is_empty() {
            fieldset {
                legend { "Whose it is" }
                @for candidate in &row.candidates {
                    label { input type="radio" name="candidate" value=(candidate) required; " " (spoken(of.name())) " " (candidate) }
                }
            }
        } @else {
            label { input type="checkbox" name="anyway" value="yes"; " also if the EMS has changed since" }
        }
        button.primary { "Adopt" }
    };
    html! {
        @if row.reason != "tombstone" {
            p { "Adopt: the EMS takes what the target had. Dismiss: the EMS stays as it is." }
        } @else {
            p { "It is deleted in the EMS, and stays so." }
        }
        @if visitor.role >= Role::Operator {
            div.buttons {
                @if row.reason != "tombstone" { (form(visitor, &path("adopt"), "decision", &adopt)) }
                (act(visitor, &path("dismiss"), &[], "", "Dismiss"))
            }
        }
    }
}

pub(super) async fn adopt(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path(number): Path<i64>,
) -> Answer {
    let candidate = fields.get("candidate").parse().ok();
    let adoption = Adoption { number, candidate, anyway: fields.get("anyway") == "yes" };
    let decided = decide::adopt(&desk.store, &desk.publisher, adoption, &visitor.by()).await?;
    Ok(answered(&desk, &visitor, &decided))
}

pub(super) async fn dismiss(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path(number): Path<i64>,
) -> Answer {
    let decided = decide::dismiss(&desk.store, number, &visitor.by()).await?;
    Ok(answered(&desk, &visitor, &decided))
}

fn answered(desk: &Desk, visitor: &Visitor, decided: &Decided) -> Response {
    let way = format!("/conflicts/{}", decided.conflict);
    let answer = page::done(desk.gate.as_deref(), visitor, &way, &words(decided));
    page::not_done(answer, decided.reason)
}

fn words(decided: &Decided) -> String {
    let why = match decided.reason {
        None => return format!("Conflict {}: {}.", decided.conflict, decided.outcome),
        Some("ems_changed_since") => "the EMS has changed since the conflict was seen",
        Some("no_candidate") => "say whose it is",
        Some("not_open") => "it is decided already",
        Some(other) => decided.detail.as_deref().unwrap_or(other),
    };
    format!("Nothing was changed: {why}.")
}

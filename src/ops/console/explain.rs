//! Search, and why something is there or not: an entity's state at every target, and what happens next.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};

use super::Answer;
use super::page::{self, Here};
use super::parts::{badge, entity, nothing, prose, spoken, table, td, text, when};
use crate::entity::EntityRef;
use crate::ops::explain::{self, Attempt, EventOf, ExplainRow, Found, Named};
use crate::ops::server::Desk;
use crate::ops::server::gate::Visitor;
use crate::ops::server::routes::Fields;
use crate::target::Target;

/// What was searched for comes in a form, not in the address: it may be personal, and addresses are logged.
pub(super) async fn search(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let Some(named) = Named::from_text(fields.get("what")) else {
        return Ok(found(&visitor, &Found::default()));
    };
    let Some(_turn) = desk.turn().await else { return Ok(page::busy(page::TOO_MANY)) };
    let several = explain::find(&desk.store, &named).await?;
    Ok(match several.entities.as_slice() {
        [only] => {
            page::done(None, &visitor, &format!("/explain/{}/{}", only.entity_type, only.id), "")
        }
        _ => found(&visitor, &several),
    })
}

fn found(visitor: &Visitor, several: &Found) -> axum::response::Response {
    let body = html! {
        @if several.entities.is_empty() {
            (nothing("Nothing is known by that."))
            p.aside {
                "Search for a type and an id (" code { "person 42" } "), an e-mail address, a bib number, or a target and the id there ("
                code { (Target::Mautic) ":17" } ")."
            }
        } @else {
            ul.found {
                @for found in &several.entities {
                    li {
                        (entity(Some(found.entity_type), Some(found.id)))
                        @if let Some(event) = EventOf::of(&several.events, *found) { " of " (event.words()) }
                    }
                }
            }
            @if several.more { p.aside { "There are more: these are the newest." } }
        }
    };
    page::page(visitor, Here::Elsewhere, "Found", &body)
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path((entity_type, id)): Path<(String, String)>,
) -> Answer {
    let (Ok(entity_type), Ok(id)) = (entity_type.parse(), id.parse()) else {
        return Ok(page::failure(StatusCode::BAD_REQUEST, "this is no entity type and id"));
    };
    let entity = EntityRef::new(entity_type, id);
    let title = format!("{} {}", spoken(entity.entity_type.name()), entity.id);
    let Some(_turn) = desk.turn().await else { return Ok(page::busy(page::TOO_MANY)) };
    let Some(explanation) = explain::explain(&desk.store, &desk.enabled, entity).await? else {
        let body = nothing("The EMS shows it to no target, and no target has a record of it.");
        return Ok(page::page(&visitor, Here::Elsewhere, &title, &body));
    };
    let now = Timestamp::now();
    let body = html! { div.cards { @for row in &explanation.targets { (card(row, now)) } } };
    Ok(page::page(&visitor, Here::Elsewhere, &title, &body))
}

fn card(row: &ExplainRow, now: Timestamp) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        section.card {
            header { h2 { (row.target) } (badge(row.state, &row.reason)) }
            p.reason { (row.says) " · " (spoken(&row.reason)) }
            p { (prose(&row.next)) }
            @if let Some(advice) = &row.advice { p.advice { (prose(advice)) } }
            @if let Some(error) = &row.last_error { p.detail { (text(Some(error))) } }
            dl {
                @if row.remote_id.is_some() { (fact("Its id there", text(row.remote_id.as_deref()))) }
                @if row.last_change.is_some() { (fact("Changed", when(row.last_change, now))) }
                @if row.last_push.is_some() { (fact("Pushed", when(row.last_push, now))) }
                @if row.last_pull.is_some() { (fact("Pulled", when(row.last_pull, now))) }
                @if row.owed_since.is_some() { (fact("Owed since", when(row.owed_since, now))) }
                @if row.due_on.is_some() { (fact("Due", when(row.due_on, now))) }
                @if let Some(agrees) = row.in_sync_hash {
                    (fact("Hashes", html! { @if agrees { "agree" } @else { "differ" } }))
                }
                @if row.in_doubt { (fact("In doubt", html! { "a write may have happened that nothing confirmed" })) }
                @if let Some(other) = row.waiting_on.as_deref().and_then(|other| other.parse::<EntityRef>().ok()) {
                    (fact("Waits for", entity(Some(other.entity_type), Some(other.id))))
                }
                @if let Some(state) = &row.inbound.state {
                    @let why = row.inbound.reason.as_deref().or(row.inbound.last_error.as_deref());
                    (fact("Coming back", html! { (spoken(state)) ", " (text(why)) }))
                }
                @for number in &row.inbound.conflicts {
                    (fact("Conflict", html! { a href={ "/conflicts/" (number) } { "#" (number) } }))
                }
            }
            @if !row.attempts.is_empty() {
                details { summary { "Last attempts (" (row.attempts.len()) ")" } (attempts(&row.attempts, now)) }
            }
        }
    }
}

/// The last attempts, newest first; nothing where there were none.
pub(super) fn attempts(attempts: &[Attempt], now: Timestamp) -> Markup {
    html! {
        @if !attempts.is_empty() {
            (table(&["Attempt", "Decision", "Outcome", "Took", "Error"], &html! {
                @for attempt in attempts {
                    tr {
                        (td("Attempt", &when(Some(attempt.attempted_on), now)))
                        (td("Decision", &html! { (spoken(&attempt.decision)) }))
                        (td("Outcome", &html! { (spoken(&attempt.outcome)) }))
                        (td("Took", &html! { (attempt.duration_ms) " ms" }))
                        (td("Error", &text(attempt.error.as_deref())))
                    }
                }
            }))
        }
    }
}

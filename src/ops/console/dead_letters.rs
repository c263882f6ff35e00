//! Dead letters: found by what they are, put back or discarded with one click.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{self, Here};
use super::parts::{act, chosen, entity, nothing, prose, spoken, table, td, text, when};
use super::{Answer, explain};
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::ops::dead_letters::change::{self, Pages};
use crate::ops::dead_letters::{Reason, Row};
use crate::ops::explain::Attempt;
use crate::ops::server::Desk;
use crate::ops::server::gate::Visitor;
use crate::ops::server::routes::{Asked, Fields};
use crate::store::Filter;
use crate::target::Target;

/// Which are shown, as it stands in the page's address. What is empty means all.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Which {
    target: String,
    entity: String,
    reason: String,
    error: String,
    after: i64,
}

impl Which {
    /// `None` where a word is not known.
    fn filter(&self) -> Option<Filter> {
        let error = Some(self.error.trim().to_owned()).filter(|text| !text.is_empty());
        let reason = chosen::<Reason>(&self.reason)?.map(|reason| reason.name().to_owned());
        let (target, entity) = (chosen(&self.target)?, chosen(&self.entity)?);
        Some(Filter { target, entity, reason, error, ..Filter::default() })
    }
}

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Asked(which): Asked<Which>,
) -> Answer {
    let Some(filter) = which.filter() else {
        let why = "there is no such target, type or reason";
        return Ok(page::failure(StatusCode::BAD_REQUEST, why));
    };
    let is_all = filter == Filter::default();
    let mut pages = Pages::new(&desk.store, filter, None).after(which.after);
    let page = pages.next(limits::DEAD_LETTERS_ON_PAGE).await?.unwrap_or_default();
    let has_more = pages.next(1).await?.is_some();
    let rows: Vec<Row> = page.into_iter().map(Row::from).collect();
    let now = Timestamp::now();
    let body = html! {
        (filters(&which))
        @if rows.is_empty() {
            (nothing(if is_all { "There are no dead letters." } else { "No dead letter matches." }))
        } @else {
            (all_shown(&visitor, &rows))
            (table(&["Number", "Entity", "Target", "Why", "Tries", "Failed last", ""], &html! {
                @for row in &rows { (line(&visitor, row, now)) }
            }))
            @if let Some(last) = rows.last().filter(|_| has_more) { (next_page(&which, last.dead_letter)) }
        }
    };
    Ok(page::page(&visitor, Here::DeadLetters, "Dead letters", &body))
}

fn filters(which: &Which) -> Markup {
    html! {
        form.filters method="get" action="/dead-letters" {
            label { "Target" select name="target" {
                option value="" { "all" }
                @for target in Target::ALL.map(Target::name) { (option(target, &which.target)) }
            } }
            label { "Entity" select name="entity" {
                option value="" { "all" }
                @for entity in EntityType::ALL.map(EntityType::name) { (option(entity, &which.entity)) }
            } }
            label { "Why" select name="reason" {
                option value="" { "all" }
                @for reason in Reason::all() { (option(reason.name(), &which.reason)) }
            } }
            label { "Text of the error" input type="search" name="error" value=(which.error) maxlength="200"; }
            button { "Show" }
        }
    }
}

fn option(value: &str, chosen: &str) -> Markup {
    html! { option value=(value) selected[value == chosen] { (spoken(value)) } }
}

/// What can be put back of what is shown, at once.
fn all_shown(visitor: &Visitor, rows: &[Row]) -> Markup {
    let numbers: Vec<_> =
        rows.iter().filter(|row| can_replay(row)).map(|row| row.dead_letter.to_string()).collect();
    let label = format!("Replay all {} shown", numbers.len());
    html! {
        @if numbers.len() > 1 {
            div.buttons { (act(visitor, "/dead-letters/replay", &[("numbers", &numbers.join(","))], "", &label)) }
        }
    }
}

fn can_replay(row: &Row) -> bool {
    row.closed_on.is_none() && row.replayed_on.is_none() && row.id.is_some()
}

fn next_page(which: &Which, after: i64) -> Markup {
    let Which { target, entity, reason, error, .. } = which;
    let chosen = [("target", target), ("entity", entity), ("reason", reason), ("error", error)];
    html! {
        form.next method="get" action="/dead-letters" {
            @for (name, value) in chosen {
                @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
            }
            input type="hidden" name="after" value=(after);
            button { "Next page" }
        }
    }
}

fn line(visitor: &Visitor, row: &Row, now: Timestamp) -> Markup {
    html! {
        tr {
            (td("Number", &html! { a href={ "/dead-letters/" (row.dead_letter) } { "#" (row.dead_letter) } }))
            (td("Entity", &entity(row.entity, row.id)))
            (td("Target", &html! { (row.target) }))
            (td("Why", &html! {
                b { (spoken(&row.reason)) }
                @if row.replayed_on.is_some() { " · put back" }
                @if let Some(error) = &row.error { div.error { (text(Some(error))) } }
            }))
            (td("Tries", &html! { (row.attempts) }))
            (td("Failed last", &when(Some(row.last_failed_on), now)))
            (td("", &buttons(visitor, row)))
        }
    }
}

fn buttons(visitor: &Visitor, row: &Row) -> Markup {
    let number = row.dead_letter.to_string();
    let fields = [("numbers", number.as_str())];
    html! {
        @if row.closed_on.is_none() {
            div.buttons {
                @if can_replay(row) { (act(visitor, "/dead-letters/replay", &fields, "primary", "Replay")) }
                (act(visitor, "/dead-letters/discard", &fields, "danger", "Discard"))
            }
        }
    }
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path(number): Path<i64>,
) -> Answer {
    let filter = Filter { number: Some(number), closed_too: true, ..Filter::default() };
    let letter = Pages::new(&desk.store, filter, Some(1)).next(1).await?.and_then(|mut p| p.pop());
    let Some(row) = letter.map(Row::from) else {
        return Ok(page::failure(StatusCode::NOT_FOUND, "there is no such dead letter"));
    };
    let attempts = match (row.entity, row.id) {
        (Some(entity_type), Some(id)) => {
            let of = EntityRef::new(entity_type, id);
            desk.store.attempts(row.target, of, limits::EXPLAIN_ATTEMPTS).await?
        }
        _ => Vec::new(),
    };
    let attempts: Vec<_> = attempts.into_iter().map(Attempt::from).collect();
    let now = Timestamp::now();
    let body = html! {
        (facts(&row, now))
        (buttons(&visitor, &row))
        (explain::attempts(&attempts, now))
    };
    let title = format!("Dead letter {number}");
    Ok(page::page(&visitor, Here::DeadLetters, &title, &body))
}

fn facts(row: &Row, now: Timestamp) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.facts {
            (fact("State", html! { (spoken(row.state)) @if let Some(by) = &row.closed_by { " by " (text(Some(by))) } }))
            (fact("Entity", html! { (entity(row.entity, row.id)) " at " (row.target) }))
            (fact("Why", html! { (spoken(&row.reason)) }))
            (fact("Error", html! { span.error { (text(row.error.as_deref())) } }))
            (fact("What to do", prose(row.advice)))
            (fact("Its record is", html! { (text(row.record_state.as_deref().map(spoken).as_deref())) }))
            (fact("Tries", html! { (row.attempts) @if row.cycles > 1 { " in " (row.cycles) " cycles" } }))
            (fact("Failed", html! { (when(Some(row.first_failed_on), now)) ", last " (when(Some(row.last_failed_on), now)) }))
            @if row.closed_on.is_none() {
                (fact("A sweep tries it", html! {
                    @if row.next_try_on.is_some() { (when(row.next_try_on, now)) } @else { "not before it changes, or is replayed" }
                }))
            }
            @if row.replayed_on.is_some() {
                (fact("Put back", html! { (when(row.replayed_on, now)) " by " (text(row.replayed_by.as_deref())) }))
            }
            @if let (Some(digest), Some(bytes)) = (&row.message_digest, row.message_bytes) {
                (fact("Message", html! { (bytes) " bytes, SHA-256 " code { (digest) } }))
            }
        }
    }
}

pub(super) async fn replay(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let Some(numbers) = numbers(&fields) else { return Ok(no_numbers()) };
    let done = change::put_back(&desk.store, &desk.publisher, &numbers, &visitor.by()).await?;
    let words = words(numbers.len(), done.len(), "put back", "put back before, or over");
    let answer = page::done(desk.gate.as_deref(), &visitor, "/dead-letters", &words);
    Ok(page::not_done(answer, done.is_empty().then_some("put back before, or over")))
}

pub(super) async fn discard(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let Some(numbers) = numbers(&fields) else { return Ok(no_numbers()) };
    let done = change::discard(&desk.store, &numbers, &visitor.by()).await?;
    let words = words(numbers.len(), done.len(), "discarded", "tried at this moment, or over");
    let answer = page::done(desk.gate.as_deref(), &visitor, "/dead-letters", &words);
    Ok(page::not_done(answer, done.is_empty().then_some("tried at this moment, or over")))
}

/// The numbers in a form, each once; at most those of a page.
fn numbers(fields: &Fields) -> Option<Vec<i64>> {
    let numbers: Result<BTreeSet<i64>, _> =
        fields.get("numbers").split(',').map(str::parse).collect();
    let most = usize::try_from(limits::DEAD_LETTERS_ON_PAGE).unwrap_or_default();
    numbers.ok().filter(|numbers| numbers.len() <= most).map(|n| n.into_iter().collect())
}

fn no_numbers() -> Response {
    page::failure(StatusCode::BAD_REQUEST, "no dead letter is named, or too many are")
}

fn words(asked: usize, done: usize, what: &str, left_because: &str) -> String {
    let were = |n: usize| if n == 1 { "dead letter was" } else { "dead letters were" };
    let mut words = format!("{done} {} {what}.", were(done));
    if asked > done {
        words.push_str(&format!(" {} {} {left_because}.", asked - done, were(asked - done)));
    }
    words
}

//! Who did what: people, the breaker and the guard.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use maud::html;

use super::Answer;
use super::page::{self, Here};
use super::parts::{nothing, spoken, table, td, text, when};
use crate::limits;
use crate::ops::server::Desk;
use crate::ops::server::gate::Visitor;

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    let events = desk.store.audit(None, limits::AUDIT_SHOWN).await?;
    let now = Timestamp::now();
    let body = html! {
        @if events.is_empty() { (nothing("Nobody has done anything yet.")) }
        @else {
            (table(&["When", "Target", "What", "More", "By"], &html! {
                @for event in &events {
                    tr {
                        (td("When", &when(Some(event.happened_on), now)))
                        (td("Target", &html! { @if let Some(target) = event.target { (target) } }))
                        (td("What", &html! { (spoken(&event.event)) }))
                        (td("More", &text(event.detail.as_deref())))
                        (td("By", &text(Some(&event.by))))
                    }
                }
            }))
            p.aside { "The newest " (events.len()) ". All of it is in the view " code { "sync.audit" } "." }
        }
    };
    Ok(page::page(&visitor, Here::Audit, "Log", &body))
}

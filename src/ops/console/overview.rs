//! All targets at a glance, and the orders to them.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::Answer;
use super::page::{self, Here};
use super::parts::{act, badge, form, prose, spoken, text, when};
use crate::deliver::breaker::rule::Order;
use crate::ops::orders;
use crate::ops::server::Desk;
use crate::ops::server::gate::{Role, Visitor};
use crate::ops::server::routes::{Asked, Fields};
use crate::ops::status::{self, NeedsPerson, Status, StatusRow};
use crate::ops::words::seconds;
use crate::target::Target;

/// How often the page comes again where a person wants that.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How the page is shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct View {
    /// It comes again by itself.
    watch: Option<String>,
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Asked(View { watch }): Asked<View>,
) -> Answer {
    let Desk { store, publisher, enabled, sweep, .. } = &*desk;
    let status = status::document(store, publisher, enabled, *sweep, status::PATIENCE).await?;
    let now = Timestamp::now();
    let watches = watch.is_some();
    let body = html! {
        p.aside {
            "At " time datetime=(now.to_string()) { (now.strftime("%H:%M:%S").to_string()) " UTC" } " · "
            @if watches { "again every " (AGAIN_AFTER.as_secs()) " s · " a href="/" { "stop" } }
            @else { a href="/?watch=1" { "watch" } }
        }
        (needs(&status))
        div.cards { @for row in &status.targets { (card(&visitor, row, now)) } }
        (backlog(&status))
    };
    let response = page::page(&visitor, Here::Overview, "Overview", &body);
    Ok(if watches { page::again_after(response, AGAIN_AFTER) } else { response })
}

/// What a person must look at, each with the way to it.
fn needs(status: &Status) -> Markup {
    html! {
        @if status.needs_person.is_empty() {
            p.banner.good { "Nothing needs a person." }
        } @else {
            section.banner.bad {
                h2 { "Needs a person" }
                ul {
                    @for needs in &status.needs_person {
                        li {
                            @if let Some(target) = needs.target { b { (target) } ": " }
                            @match place(needs) {
                                Some(path) => a href=(path) { (spoken(needs.reason)) },
                                None => (spoken(needs.reason)),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where a person sees what needs them.
fn place(needs: &NeedsPerson) -> Option<String> {
    let target = needs.target?;
    match needs.reason {
        "dead_letters" | "rejected" => Some(format!("/dead-letters?target={target}")),
        "held" | "inbound_held" => Some(format!("/holds#{target}")),
        "conflicts" | "inbound_rejected" => Some(format!("/conflicts?target={target}")),
        _ => Some(format!("#{target}")),
    }
}

fn card(visitor: &Visitor, row: &StatusRow, now: Timestamp) -> Markup {
    let target = row.target;
    html! {
        section.card id=(target) {
            header { h2 { (target) } (badge(row.state, row.reason)) }
            p.reason { (spoken(row.reason)) }
            @if let Some(detail) = &row.detail { p.detail { (prose(detail)) } }
            @if row.reason != "not_enabled" || row.records > 0 || row.inbound.conflicts > 0 { (facts(row, now)) }
            (buttons(visitor, row))
        }
    }
}

fn facts(row: &StatusRow, now: Timestamp) -> Markup {
    let target = row.target;
    let inbound = &row.inbound;
    html! {
        dl {
            (fact("Oldest unsynced", &html! { (seconds(row.oldest_unsynced_seconds)) }))
            (fact("Breaker", &html! { (spoken(row.breaker)) }))
            (fact("Owed", &html! { (row.owed) " of " (row.records) " records" @if row.waiting > 0 { ", " (row.waiting) " waiting" } }))
            (fact("Queues", &html! { (row.queues.words()) }))
            @if row.dead_letters > 0 {
                (fact("Dead letters", &html! { a href={ "/dead-letters?target=" (target) } { (row.dead_letters) } }))
            }
            @if row.rejected > 0 { (fact("Rejected", &html! { (row.rejected) })) }
            @if row.held > 0 {
                (fact("Held", &html! {
                    a href={ "/holds#" (target) } { (row.held) }
                    @if row.kept > 0 { ", " (row.kept) " of them kept" }
                }))
            }
            @if inbound.held_consents > 0 {
                (fact("Consents held", &html! { a href={ "/holds#" (target) } { (inbound.held_consents) } }))
            }
            @if inbound.conflicts > 0 {
                (fact("Conflicts", &html! { a href={ "/conflicts?target=" (target) } { (inbound.conflicts) } }))
            }
            @if inbound.pending + inbound.waiting + inbound.rejected + inbound.held > 0 {
                (fact("Coming back", &html! {
                    (inbound.pending) " pending, " (inbound.waiting) " waiting, "
                    (inbound.held) " held, " (inbound.rejected) " rejected"
                }))
            }
            (fact("Last sweep", &html! {
                "out " (when(row.last_sweep.outbound, now))
                @if target.is_bidirectional() { ", in " (when(row.last_sweep.inbound, now)) }
            }))
        }
        @for reason in [&inbound.error, &inbound.held_reason].into_iter().flatten() {
            p.detail { "Coming back: " (text(Some(reason))) }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// The orders that make sense now.
fn buttons(visitor: &Visitor, row: &StatusRow) -> Markup {
    let path = format!("/targets/{}/orders", row.target);
    let order = |order: &str, label: &str| act(visitor, &path, &[("order", order)], "", label);
    let is_off = row.reason == "not_enabled";
    let is_disabled = row.breaker == "disabled";
    html! {
        @if visitor.role >= Role::Operator && !is_off {
            div.buttons {
                @if row.reason == "paused_by_person" { (order("resume", "Resume")) }
                @else if !is_disabled { (order("pause", "Pause")) }
                @if is_disabled || row.breaker != "closed" { (order("enable", "Enable")) }
                @if !is_disabled {
                    details {
                        summary { "Disable …" }
                        (form(visitor, &path, "disable", &html! {
                            input type="hidden" name="order" value="disable";
                            label { "Why" input type="text" name="reason" maxlength="200" required; }
                            button.danger { "Disable " (row.target) }
                        }))
                    }
                }
            }
        }
    }
}

fn backlog(status: &Status) -> Markup {
    html! {
        @if status.outbox.rows > 0 {
            p { "Outbox: " (status.outbox.rows) " changes, the oldest for " (seconds(status.outbox.oldest_seconds)) "." }
        }
        @for problem in &status.capture_problems {
            p.refusal { "Changes of " (problem.table) " are not all captured: " (problem.problem) "." }
        }
    }
}

pub(super) async fn order(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path(target): Path<String>,
) -> Answer {
    let reason = Some(fields.get("reason").trim().to_owned()).filter(|reason| !reason.is_empty());
    let order = match fields.get("order") {
        "pause" => Order::Pause,
        "resume" => Order::Resume,
        "enable" => Order::Enable,
        "disable" => Order::Disable(reason),
        _ => return Ok(page::failure(StatusCode::BAD_REQUEST, "there is no such order")),
    };
    let Ok(target) = target.parse::<Target>() else {
        return Ok(page::failure(StatusCode::NOT_FOUND, "there is no such target"));
    };
    let Desk { store, enabled, patience, gate, .. } = &*desk;
    let by = visitor.by();
    let ordered = orders::order(store, target, order, &by, *patience, enabled).await?;
    Ok(page::done(gate.as_deref(), &visitor, "/", &ordered.words()))
}

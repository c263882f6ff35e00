//! What the guard holds, with what would be lost, and the decision about it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};

use super::Answer;
use super::page::{self, Here};
use super::parts::{entity, form, nothing, spoken, table, td, text, when};
use crate::limits;
use crate::ops::holds::{self, Held};
use crate::ops::server::Desk;
use crate::ops::server::gate::{Role, Visitor};
use crate::ops::server::routes::{Fields, Outcome};
use crate::store::{HeldItem, HeldKind, HoldDecision};
use crate::target::Target;

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    let Some(_turn) = desk.turn().await else { return Ok(page::busy(page::TOO_MANY)) };
    let mut all = Vec::new();
    for target in Target::ALL {
        let held = holds::held(&desk.store, target).await?;
        if !held.counts.is_empty() {
            all.push(held);
        }
    }
    let now = Timestamp::now();
    let body = html! {
        @if all.is_empty() { (nothing("Nothing is held.")) }
        @for held in &all { (of_target(&visitor, held, now)) }
    };
    Ok(page::page(&visitor, Here::Holds, "Holds", &body))
}

fn of_target(visitor: &Visitor, held: &Held, now: Timestamp) -> Markup {
    let target = held.target;
    html! {
        section.hold id=(target) {
            h2 { (target) }
            ul {
                @for count in &held.counts {
                    li {
                        b { (count.n) " × " (spoken(count.entity.name())) } " " (would(count.kind, target))
                        @if count.kept { " · rejected: it does not happen" }
                    }
                }
            }
            (decisions(visitor, held))
            (table(&["Entity", "Would", "Loses", "Its id there", "Since"], &html! {
                @for row in &held.rows { (line(row, now)) }
            }))
            @if held.counts.iter().any(|count| count.n > limits::HELD_SHOWN) {
                p.aside { "Of each kind and type the first " (limits::HELD_SHOWN) " are shown." }
            }
        }
    }
}

/// What an approval does.
fn would(kind: HeldKind, target: Target) -> String {
    match kind {
        HeldKind::Delete => format!("to be deleted at {target}"),
        HeldKind::Lessen => format!("to lose consents or fields at {target}"),
        HeldKind::Removal => format!("that were taken out at {target}, the EMS would follow"),
        HeldKind::Consent => {
            format!("whose consent was taken back at {target}, the EMS would follow")
        }
    }
}

fn line(row: &HeldItem, now: Timestamp) -> Markup {
    let loses: Vec<_> = row.loses.iter().map(|name| spoken(name)).collect();
    let what = match row.kind {
        HeldKind::Delete => "be deleted",
        HeldKind::Lessen => "lose",
        HeldKind::Removal => "be taken out of the EMS",
        HeldKind::Consent => "be opted out in the EMS",
    };
    html! {
        tr.kept[row.kept] {
            (td("Entity", &entity(Some(row.entity), row.id)))
            (td("Would", &html! { (what) @if row.kept { " · rejected" } }))
            (td("Loses", &text(Some(&loses.join(", ")).filter(|loses| !loses.is_empty()).map(String::as_str))))
            (td("Its id there", &text(row.remote_id.as_deref())))
            (td("Since", &when(row.since, now)))
        }
    }
}

fn decisions(visitor: &Visitor, held: &Held) -> Markup {
    let path = format!("/holds/{}/decision", held.target);
    let decision = |order: &str, label: String, class: &str| {
        html! {
            input type="hidden" name="order" value=(order);
            input type="hidden" name="seen" value=(held.seen);
            @if order != "reject" {
                label { input type="checkbox" name="sure" value="yes" required; " I have looked at it" }
            }
            button class=(class) { (label) }
        }
    };
    let n = held.undecided;
    let kept: i64 = held.counts.iter().filter(|count| count.kept).map(|count| count.n).sum();
    html! {
        @if visitor.role >= Role::Operator {
            div.buttons {
                @if n > 0 {
                    (form(visitor, &path, "decision", &decision("approve", format!("Approve {n}"), "danger")))
                    (form(visitor, &path, "decision", &decision("reject", format!("Reject {n}"), "primary")))
                }
                @if kept > 0 {
                    (form(visitor, &path, "decision",
                        &decision("approve_kept", format!("Approve {} after all", n + kept), "danger")))
                }
            }
            p.aside { "This decides about what is shown and counted here. What joins later stays held." }
        }
    }
}

pub(super) async fn decide(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path(target): Path<String>,
) -> Answer {
    let Ok(target) = target.parse::<Target>() else {
        return Ok(page::failure(StatusCode::NOT_FOUND, "there is no such target"));
    };
    let (approves, kept) = match fields.get("order") {
        "approve" => (true, false),
        "approve_kept" => (true, true),
        "reject" => (false, false),
        _ => return Ok(page::failure(StatusCode::BAD_REQUEST, "there is no such decision")),
    };
    if approves && fields.get("sure") != "yes" {
        return Ok(page::failure(StatusCode::BAD_REQUEST, "it was not looked at"));
    }
    let gate = desk.gate.as_deref();
    let way = format!("/holds#{target}");
    let by = visitor.by();
    // What came after the page was made has not been looked at, and stays held.
    let seen = Some(fields.get("seen"));
    let decision = HoldDecision { target, approves, kept, by: &by, seen };
    let decided = holds::decide(&desk.store, &desk.publisher, &desk.enabled, decision).await?;
    let why = decided.is_none().then_some("what was looked at has changed");
    let words = decided.map_or_else(|| holds::not_as_seen(target), |decided| decided.words());
    let mut answer = page::done(gate, &visitor, &way, &words);
    answer.extensions_mut().insert(Outcome(words.replace('\n', "; ")));
    Ok(page::not_done(answer, why))
}

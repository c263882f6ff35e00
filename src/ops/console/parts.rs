//! What several pages are made of: forms, badges, instants, and tables that fold on a phone.

use std::str::FromStr;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::entity::EntityType;
use crate::ops::server::gate::{Role, Visitor};
use crate::ops::status::state::Shown;
use crate::ops::words::{cell, from_now, instant};

/// A form that is ours: with the secret of this person's login.
pub(super) fn form(visitor: &Visitor, path: &str, class: &str, content: &Markup) -> Markup {
    html! {
        form method="post" action=(path) class=(class) {
            input type="hidden" name="csrf" value=(visitor.csrf);
            (content)
        }
    }
}

/// A button that acts, with what it sends; nothing for whoever may not act.
pub(super) fn act(
    visitor: &Visitor,
    path: &str,
    fields: &[(&str, &str)],
    class: &str,
    label: &str,
) -> Markup {
    let content = html! {
        @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
        button class=(class) { (label) }
    };
    html! { @if visitor.role >= Role::Operator { (form(visitor, path, "act", &content)) } }
}

/// How much a state asks of a person: the colour of its badge.
const fn tone(state: Shown) -> &'static str {
    match state {
        Shown::Synced => "good",
        Shown::Pending | Shown::Waiting | Shown::Leased | Shown::Retrying => "moving",
        Shown::Skipped => "quiet",
        Shown::Parked | Shown::Throttled | Shown::Held => "warn",
        Shown::BreakerOpen | Shown::Rejected | Shown::DeadLetter | Shown::Disabled => "bad",
    }
}

/// A state, with its reason: what nobody has turned on asks for nothing.
pub(super) fn badge(state: Shown, reason: &str) -> Markup {
    let tone = if reason == "not_enabled" { "quiet" } else { tone(state) };
    html! { span.badge.(tone) { (spoken(state.name())) } }
}

/// A name of the program as people say it.
pub(super) fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

/// What was chosen of a closed list: empty means all; `None` where it is not in the list.
#[expect(clippy::option_option, reason = "nothing chosen is no unknown word")]
pub(super) fn chosen<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

/// An instant, from now; the exact one when a person points at it.
pub(super) fn when(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @match at {
            Some(at) => time datetime=(at.to_string()) title=(instant(Some(at))) { (from_now(at, now)) },
            None => span.none { "–" },
        }
    }
}

/// Text of somebody else's; a dash for none.
pub(super) fn text(text: Option<&str>) -> Markup {
    html! { @match text { Some(text) => (cell(Some(text))), None => span.none { "–" } } }
}

/// A sentence of ours, in which commands stand between backticks.
pub(super) fn prose(text: &str) -> Markup {
    let text = cell(Some(text));
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// An entity, with the way to its explanation.
pub(super) fn entity(entity: Option<EntityType>, id: Option<i64>) -> Markup {
    html! {
        @match (entity, id) {
            (Some(entity), Some(id)) => a href={ "/explain/" (entity) "/" (id) } { (spoken(entity.name())) " " (id) },
            (Some(entity), None) => { (spoken(entity.name())) " (not known which)" },
            (None, _) => span.none { "–" },
        }
    }
}

/// A cell of a table; `label` stands before it where the table folds.
pub(super) fn td(label: &str, content: &Markup) -> Markup {
    html! { td data-label=(label) { div { (content) } } }
}

/// A table with these heads.
pub(super) fn table(heads: &[&str], rows: &Markup) -> Markup {
    html! {
        table {
            thead { tr { @for head in heads { th scope="col" { (head) } } } }
            tbody { (rows) }
        }
    }
}

/// There is nothing of it, which is good.
pub(super) fn nothing(words: &str) -> Markup {
    html! { p.nothing { (words) } }
}

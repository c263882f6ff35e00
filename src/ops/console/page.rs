//! The frame of every page: head, navigation, search, and who is logged in.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::parts::form;
use crate::ops::server::gate::{Gate, Visitor};
use crate::ops::server::later;
use crate::ops::server::routes::NotDone;

/// What a page may load and where its forms may go: its own style and icon, and back to us. No script, whatever slips in.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Where a person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// All targets.
    Overview,
    /// What failed.
    DeadLetters,
    /// What the guard holds.
    Holds,
    /// What was changed on both sides.
    Conflicts,
    /// Who did what.
    Audit,
    /// On a page that the navigation does not name.
    Elsewhere,
}

const PLACES: [(Here, &str, &str); 5] = [
    (Here::Overview, "/", "Overview"),
    (Here::DeadLetters, "/dead-letters", "Dead letters"),
    (Here::Holds, "/holds", "Holds"),
    (Here::Conflicts, "/conflicts", "Conflicts"),
    (Here::Audit, "/audit", "Log"),
];

/// A page for somebody who is let in.
pub(super) fn page(visitor: &Visitor, here: Here, title: &str, body: &Markup) -> Response {
    let content = html! {
        header.top {
            a.brand href="/" { "ems-sync" }
            nav aria-label="Console" {
                @for (place, path, name) in PLACES {
                    a href=(path) aria-current=[(place == here).then_some("page")] { (name) }
                }
            }
            (form(visitor, "/search", "search", &html! {
                input type="search" name="what" required maxlength="200" aria-label="Search"
                    placeholder="person 42, e-mail, bib, mautic:17" autocomplete="off";
                button { "Explain" }
            }))
        }
        main {
            @if let Some(told) = &visitor.told {
                p.told role="status" { @for line in told.lines() { (line) br; } }
            }
            h1 { (title) }
            (body)
        }
        footer {
            span {
                @if visitor.name.is_empty() { "Here as " } @else { b { (visitor.name) } ", " }
                (visitor.role.name())
            }
            @if visitor.has_login {
                (form(visitor, "/logout", "", &html! { button.quiet { "Log out" } }))
            }
        }
    };
    answer(StatusCode::OK, title, &content)
}

/// The same page again after a while, without a script.
pub(super) fn again_after(mut response: Response, seconds: Duration) -> Response {
    if let Ok(value) = HeaderValue::try_from(seconds.as_secs().to_string()) {
        response.headers_mut().insert(HeaderName::from_static("refresh"), value);
    }
    response
}

/// A page for somebody who is not let in.
pub(super) fn outside(code: StatusCode, title: &str, body: &Markup) -> Response {
    let content = html! {
        main.outside {
            p.brand { "ems-sync" }
            h1 { (title) }
            (body)
        }
    };
    answer(code, title, &content)
}

/// Why something was not done.
pub(in crate::ops) fn failure(code: StatusCode, why: &'static str) -> Response {
    let body = html! {
        p { "This was not done: " (why) "." }
        p { a href="/" { "Back to the overview" } }
    };
    let mut response = outside(code, code.canonical_reason().unwrap_or("Failed"), &body);
    response.extensions_mut().insert(NotDone(why));
    response
}

/// Why somebody is to ask later.
pub(in crate::ops) const TOO_MANY: &str = "too many ask at once, try again in some seconds";

/// Too many want the same at once.
pub(in crate::ops) fn busy(why: &'static str) -> Response {
    later(failure(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// What a person began takes longer than they want to wait.
pub(in crate::ops) fn goes_on() -> Response {
    let body = html! {
        p { "This takes longer. It was not broken off: it goes on, and is done altogether or not at all." }
        p { "The " a href="/audit" { "log" } " shows it when it is done, or why it was not." }
        p { a href="/" { "Back to the overview" } }
    };
    outside(StatusCode::ACCEPTED, "Under way", &body)
}

/// The way to the page that shows what became of it.
pub(super) fn done(gate: Option<&Gate>, visitor: &Visitor, path: &str, words: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(path) = HeaderValue::try_from(path) {
        headers.insert(header::LOCATION, path);
    }
    let told = gate.map(|gate| HeaderValue::try_from(gate.tell(words, visitor.is_https)));
    if let Some(Ok(cookie)) = told {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// The same, of something that was not done, and why in short.
pub(super) fn not_done(mut response: Response, why: Option<&'static str>) -> Response {
    if let Some(why) = why {
        response.extensions_mut().insert(NotDone(why));
    }
    response
}

fn answer(code: StatusCode, title: &str, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · ems-sync" }
                link rel="stylesheet" href="/console.css";
                link rel="icon" type="image/svg+xml" href="/console.svg";
            }
            body { (content) }
        }
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // A form says where it comes from, to ourselves.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (code, headers, Html(page.into_string())).into_response()
}

/// The style.
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("console.css"))
}

/// The icon.
pub(super) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("console.svg"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    // An hour: a new version's style is seen soon, and a page does not ask for it each time.
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, text).into_response()
}

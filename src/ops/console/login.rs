//! Logging in with a token, and out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::page;
use crate::ops::server::Desk;
use crate::ops::server::gate::{self, Gate, Visitor};
use crate::ops::server::routes::{Asked, fields};

/// Where to go after a login.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// Asked for by name.
pub(super) async fn form(Asked(Next { next }): Asked<Next>) -> Response {
    page::outside(StatusCode::OK, "Log in", &asks(&next, None))
}

/// In place of a page that needs a login.
pub(in crate::ops) fn asked(parts: &Parts) -> Response {
    // A link on another site: the browser keeps the cookie back, and sends it when our own page asks for the same again.
    let site = parts.headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site == Some("cross-site") && parts.method == axum::http::Method::GET {
        let body = html! { p { "One moment …" } };
        let mut response = page::outside(StatusCode::UNAUTHORIZED, "Log in", &body);
        response
            .headers_mut()
            .insert(HeaderName::from_static("refresh"), HeaderValue::from_static("0"));
        return response;
    }
    // After a form that was sent in vain the person begins anew.
    let next = parts.uri.path_and_query().filter(|_| parts.method == axum::http::Method::GET);
    let next = next.map_or("/", |path| path.as_str());
    page::outside(StatusCode::UNAUTHORIZED, "Log in", &asks(next, None))
}

fn asks(next: &str, refusal: Option<&str>) -> Markup {
    html! {
        @if let Some(refusal) = refusal { p.refusal role="alert" { (refusal) } }
        form.login method="post" action="/login" {
            input type="hidden" name="next" value=(local(next));
            label {
                "Your name" small { "stands beside what you do, so nothing that is secret" }
                input type="text" name="name" maxlength="60" autocomplete="username";
            }
            label { "Token" input type="password" name="token" required autocomplete="current-password" autofocus; }
            button.primary { "Log in" }
        }
    }
}

/// A path of ours: nothing that leads elsewhere.
fn local(next: &str) -> &str {
    let is_local = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if is_local && is_plain { next } else { "/" }
}

/// Takes a token, and gives a cookie for it.
pub(super) async fn log_in(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(gate) = &desk.gate else {
        return page::failure(StatusCode::NOT_FOUND, "nobody can log in here");
    };
    if !gate::is_ours(&parts.headers) {
        return page::failure(
            StatusCode::FORBIDDEN,
            "this form was not sent by a page of this console",
        );
    }
    let Some(fields) = fields(&parts, body).await else {
        return page::failure(StatusCode::BAD_REQUEST, "this is no form of this page");
    };
    let Some(role) = gate.role_of(fields.get("token").trim()) else {
        tracing::warn!("A login to the console was refused");
        let body = asks(fields.get("next"), Some("This token opens nothing."));
        return page::outside(StatusCode::UNAUTHORIZED, "Log in", &body);
    };
    let is_https = gate::is_https(&parts.headers);
    let cookie = gate.log_in(role, fields.get("name"), Timestamp::now(), is_https);
    with_cookie(local(fields.get("next")), &cookie)
}

/// Ends a login.
pub(super) async fn log_out(_: Extension<Visitor>, headers: HeaderMap) -> Response {
    with_cookie("/login", &Gate::log_out(gate::is_https(&headers)))
}

fn with_cookie(path: &str, cookie: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    for (name, value) in [(header::LOCATION, path), (header::SET_COOKIE, cookie)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_no_other_site() {
        for ours in ["/", "/dead-letters?target=mautic", "/explain/person/42"] {
            assert_eq!(local(ours), ours);
        }
        for other in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "x"]
        {
            assert_eq!(local(other), "/", "{other:?}");
        }
    }
}

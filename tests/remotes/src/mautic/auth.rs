//! Who may: the token of client credentials, or basic authentication (section 1).

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::options::{AuthorizationHeader, MauticSettings};
use super::params;
use super::problem::{Problem, invalid_client, invalid_token};
use super::server::Mautic;
use crate::sync::lock;
use crate::{Record, Remote, Request, Response};

/// The tokens of one server: when each was issued.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: HashMap<String, Timestamp>,
    revoked: HashSet<String>,
}

impl Tokens {
    /// A new token; the old ones stay valid.
    pub(super) fn issue(&mut self, now: Timestamp) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.issued.insert(token.clone(), now);
        token
    }

    /// Refuses the token from now on.
    pub(super) fn revoke(&mut self, token: &str) {
        self.revoked.insert(token.to_owned());
    }

    /// Refuses all tokens so far.
    pub(super) fn revoke_all(&mut self) {
        self.issued.clear();
    }

    fn check(&self, token: &str, now: Timestamp, settings: &MauticSettings) -> Result<(), Problem> {
        let issued = self.issued.get(token).filter(|_| !self.revoked.contains(token));
        let issued = issued.ok_or_else(invalid_token)?;
        let life = i64::try_from(settings.token_life_seconds).unwrap_or(i64::MAX);
        if now.as_second() < issued.as_second().saturating_add(life) {
            return Ok(());
        }
        let message = "The access token provided has expired.";
        Err(Problem::oauth(StatusCode::UNAUTHORIZED, "invalid_grant", message))
    }
}

impl Mautic {
    /// `POST /oauth/v2/token`
    pub(super) fn token(
        &self,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        let body = params::body(request, record)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let basic = basic_credentials(request);
        let (id, secret) = match &basic {
            Some((id, secret)) => (id.as_str(), secret.as_str()),
            None => (text("client_id"), text("client_secret")),
        };
        if text("grant_type").is_empty() {
            let message = "Invalid grant_type parameter or parameter missing";
            return Err(Problem::oauth(StatusCode::BAD_REQUEST, "invalid_request", message));
        }
        if id != self.client_id || secret != self.client_secret {
            return Err(invalid_client());
        }
        if text("grant_type") != "client_credentials" {
            let message = "The grant type is unauthorized for this client_id";
            return Err(Problem::oauth(StatusCode::BAD_REQUEST, "unauthorized_client", message));
        }
        let token = lock(&self.tokens).issue(self.now());
        let body = json!({
            "access_token": token,
            "expires_in": settings.token_life_seconds,
            "token_type": "bearer",
            "scope": "",
        });
        Ok(Response::json(StatusCode::OK, &body).header("Cache-Control", "no-store"))
    }

    /// Whether the sender of a request under `/api` may send it.
    pub(super) fn admit(&self, request: &Request, record: &mut Record) -> Result<(), Problem> {
        let settings = self.current_settings();
        if !settings.api_enabled {
            return Err(Problem::set_up("api_disabled", "API is disabled"));
        }
        let passed = settings.authorization == AuthorizationHeader::Passed;
        if let Some((username, password)) = basic_credentials(request).filter(|_| passed) {
            if !settings.basic_auth {
                let message = "Basic authentication is disabled";
                return Err(Problem::set_up("access_denied", message));
            }
            let known = username == self.username && password == self.password;
            let denied = || {
                Problem::oauth(StatusCode::UNAUTHORIZED, "access_denied", "Invalid credentials.")
            };
            return known.then_some(()).ok_or_else(denied);
        }
        let bearer = request.bearer().filter(|_| passed).map(str::to_owned);
        let token = bearer.or_else(|| exposed_token(request, record));
        let Some(token) = token else {
            let message = "OAuth2 authentication required";
            return Err(Problem::oauth(StatusCode::UNAUTHORIZED, "access_denied", message));
        };
        lock(&self.tokens).check(&token, self.now(), &settings)
    }
}

/// A token in the query or the body, where logs and caches see it.
fn exposed_token(request: &Request, record: &mut Record) -> Option<String> {
    let in_query = request.query_value("access_token").map(str::to_owned);
    let token = in_query.or_else(|| {
        let body = params::peek(request);
        body.get("access_token").and_then(Value::as_str).map(str::to_owned)
    })?;
    record.violation("token_exposed", "access_token");
    Some(token)
}

/// User and password of basic authentication.
fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    let decoded = BASE64.decode(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
}

//! Who calls, and what they may (contract, section 1).

use std::collections::HashMap;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::error::ApiError;
use super::form::Form;
use super::options::CallerRegistration;
use super::server::RunSignup;
use crate::sync::lock;
use crate::{Record, Remote as _, Request, Response};

/// How long an access token lives: a month.
const TOKEN_LIFE_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody without credentials.
    Nobody,
    /// Whoever has the key.
    Key,
    /// A user, through OAuth.
    User { writes: bool },
}

/// The tokens of OAuth.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    access: HashMap<String, Token>,
    /// Refresh tokens, and whether they allow writes.
    refresh: HashMap<String, bool>,
}

#[derive(Debug)]
struct Token {
    expires: i64,
    writes: bool,
}

impl Tokens {
    /// A new access token.
    pub(super) fn issue(&mut self, writes: bool, now: Timestamp) -> String {
        let token = Uuid::new_v4().simple().to_string();
        let expires = now.as_second().saturating_add(TOKEN_LIFE_SECONDS);
        self.access.insert(token.clone(), Token { expires, writes });
        token
    }

    /// A new refresh token.
    pub(super) fn issue_refresh(&mut self, writes: bool) -> String {
        let token = Uuid::new_v4().simple().to_string();
        self.refresh.insert(token.clone(), writes);
        token
    }

    /// Refuses an access token from now on.
    pub(super) fn revoke(&mut self, token: &str) {
        self.access.remove(token);
    }

    /// Refuses all access tokens from now on; they can be refreshed.
    pub(super) fn revoke_all(&mut self) {
        self.access.clear();
    }

    fn caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let token = self.access.get(token).filter(|token| now.as_second() < token.expires)?;
        Some(Caller::User { writes: token.writes })
    }
}

impl Caller {
    /// Refuses who has no credentials.
    pub(super) fn known(self) -> Result<(), ApiError> {
        if self == Self::Nobody { Err(ApiError::new(7)) } else { Ok(()) }
    }

    /// Refuses who may not write.
    pub(super) fn writes(self) -> Result<(), ApiError> {
        match self {
            Self::Key | Self::User { writes: true } => Ok(()),
            Self::Nobody | Self::User { writes: false } => Err(ApiError::new(7)),
        }
    }
}

impl RunSignup {
    /// Who sends `request`.
    pub(super) fn caller(
        &self,
        request: &Request,
        record: &mut Record,
    ) -> Result<Caller, ApiError> {
        self.check_registration(request, record)?;
        if let Some(token) = request.bearer() {
            let caller = lock(&self.tokens).caller(token, self.now());
            return caller.ok_or_else(|| ApiError::new(6));
        }
        if request.query_value("api_secret").is_some() {
            record.violation("secret_in_url", "api_secret");
        }
        if request.query_value("tmp_key").is_some() {
            record.violation("deprecated_login", "tmp_key");
            return Err(ApiError::new(6));
        }
        let by_header = |name| {
            let key = request.query_value(name)?;
            Some((key, request.header("x-rsu-api-secret").unwrap_or_default()))
        };
        let by_query = || {
            let key = request.query_value("api_key")?;
            Some((key, request.query_value("api_secret").unwrap_or_default()))
        };
        let sent = by_header("rsu_api_key").or_else(|| by_header("sp_api_key")).or_else(by_query);
        match sent {
            None => Ok(Caller::Nobody),
            Some((key, secret))
                if key == self.api_key
                    && secret == self.api_secret
                    && self.current_settings().key_valid =>
            {
                Ok(Caller::Key)
            }
            Some(_) => Err(ApiError::new(6)),
        }
    }

    /// `POST /rest/v2/auth/…`: OAuth has real statuses, and errors of its own shape.
    pub(super) fn redeem(&self, request: &Request, refresh: bool) -> Response {
        let error = |status, error: &str, description: &str| {
            Response::json(status, &json!({ "error": error, "error_description": description }))
        };
        let form = Form::read(request);
        if form.value("client_id") != Some(self.oauth_client_id.as_str()) {
            let description = "Client authentication failed";
            return error(StatusCode::UNAUTHORIZED, "invalid_client", description);
        }
        let mut tokens = lock(&self.tokens);
        let sent = form.value("refresh_token").filter(|_| refresh).unwrap_or_default().to_owned();
        let Some(writes) = tokens.refresh.get(&sent).copied() else {
            let description = "The code or token is not valid";
            return error(StatusCode::BAD_REQUEST, "invalid_grant", description);
        };
        let token = tokens.issue(writes, self.now());
        let body = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFE_SECONDS,
            "refresh_token": sent,
        });
        Response::json(StatusCode::OK, &body)
    }

    /// The caller's registration: both parts or neither, and right.
    fn check_registration(&self, request: &Request, record: &mut Record) -> Result<(), ApiError> {
        let registration = request.query_value("rsu_api_reg");
        let secret = request.header("x-rsu-api-reg-secret");
        let required = self.current_settings().caller_registration == CallerRegistration::Required;
        match (registration, secret) {
            (None, None) if !required => Ok(()),
            (Some(registration), Some(secret))
                if registration == self.caller_registration
                    && secret == self.caller_registration_secret =>
            {
                Ok(())
            }
            (Some(_), None) | (None, Some(_)) => {
                record.violation("half_caller_registration", "rsu_api_reg");
                Err(ApiError::new(17))
            }
            (None, None) | (Some(_), Some(_)) => Err(ApiError::new(17)),
        }
    }
}

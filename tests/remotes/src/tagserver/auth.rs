//! Who may: the log-in, the probe, and the bearer that everything under `/api` asks for.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::problem::{FieldError, Problem, unauthorized};
use super::server::TagServer;
use crate::sync::lock;
use crate::{Record, Remote, Request, Response};

impl TagServer {
    /// `POST /api/authenticate`
    pub(super) fn login(&self, request: &Request, record: &mut Record) -> Response {
        if request.header("authorization").is_some() {
            record.violation("bearer_on_login", "/api/authenticate");
        }
        // Spring looks at a bearer wherever it is sent, even here.
        if request.bearer().is_some_and(|token| !self.accepts(token)) {
            return unauthorized();
        }
        match self.granted(request, record) {
            Ok(token) => Response::json(StatusCode::OK, &json!({ "id_token": token }))
                .header("Authorization", format!("Bearer {token}")),
            Err(problem) => problem.into_response(&request.path),
        }
    }

    /// `GET /api/authenticate`
    pub(super) fn probe(&self, request: &Request) -> Response {
        match self.refuse_stranger(request) {
            Some(response) => response,
            None => Response::empty(StatusCode::NO_CONTENT),
        }
    }

    /// The answer to a request without a valid bearer.
    pub(super) fn refuse_stranger(&self, request: &Request) -> Option<Response> {
        match request.bearer() {
            Some(token) if self.accepts(token) => None,
            Some(_) => Some(unauthorized()),
            None => {
                let response = Response::empty(StatusCode::UNAUTHORIZED);
                Some(response.header("WWW-Authenticate", "Bearer"))
            }
        }
    }

    /// A token for the server's user.
    pub(super) fn issue(&self) -> String {
        let settings = self.current_settings();
        lock(&self.signer).issue(&self.username, self.now(), &settings)
    }

    fn granted(&self, request: &Request, record: &mut Record) -> Result<String, Problem> {
        let body = self.json_body(request, "application/json", record)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let missing = |field| FieldError { object_name: "loginVM", field, message: "NotNull" };
        let (Some(username), Some(password)) = (text("username"), text("password")) else {
            let fields = ["username", "password"].into_iter().filter(|name| text(name).is_none());
            return Err(Problem::validation(fields.map(missing).collect()));
        };
        if username != self.username || password != self.password {
            return Err(Problem::plain(StatusCode::UNAUTHORIZED, "Bad credentials"));
        }
        Ok(self.issue())
    }

    fn accepts(&self, token: &str) -> bool {
        let settings = self.current_settings();
        lock(&self.signer).accepts(token, self.now(), &settings)
    }
}

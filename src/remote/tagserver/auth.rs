//! The JWT of the login endpoint: renewed before it ends, by one request at a time (contract, "Login").
//!
//! Its life is measured between the server's own clock (`Date`) and the token's `exp`, then kept on our monotonic
//! clock: a wrong local clock neither renews too late nor for ever.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::http::{Http, Intent, Method, Slot};
use super::answer;
use crate::remote::{Failure, FailureClass};

/// Life of a token that does not say when it ends.
const LIFE_WITHOUT_EXP: Duration = Duration::from_secs(30 * 60);
/// A token is renewed this long before it ends, or at 80 % of its life, whichever is first.
const RENEW_BEFORE_END: Duration = Duration::from_secs(60);

/// Refused credentials are not tried again in this time: until every process has seen that the target is disabled.
/// Accounts are locked after a few wrong tries.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A bearer token and when to renew it.
pub(super) struct Token {
    text: SecretString,
    renew_at: Instant,
}

impl Token {
    pub(super) fn text(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The credentials and the token that they gave.
pub(super) struct Login {
    username: String,
    password: SecretString,
    /// Held while a login is under way, so that there is one at a time.
    state: Mutex<State>,
}

/// What the last login came to.
struct State {
    token: Option<Arc<Token>>,
    /// When it failed, and why.
    failed: Option<(Instant, Failure)>,
}

impl Login {
    pub(super) const fn new(username: String, password: SecretString) -> Self {
        Self { username, password, state: Mutex::const_new(State { token: None, failed: None }) }
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// The token, logged in anew when there is none or it is due. `asked` is since when the caller wants it: a login
    /// that failed after that is its answer too, or a batch would try a wrong password once per entity. `anew`: a refusal
    /// from before is no answer: a person may have corrected its reason by now.
    pub(super) async fn token(
        &self,
        http: &Http,
        slot: &Slot,
        asked: Instant,
        anew: bool,
    ) -> Result<Arc<Token>, Failure> {
        let mut state = self.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(Arc::clone(token));
        }
        let is_answer_too = |(at, failure): &&(Instant, Failure)| {
            let is_refusal = failure.class == FailureClass::Authentication;
            *at >= asked || (is_refusal && !anew && at.elapsed() < REFUSED_FOR)
        };
        if let Some((_, failure)) = state.failed.as_ref().filter(is_answer_too) {
            return Err(failure.clone());
        }
        match self.log_in(http, slot).await {
            Ok(token) => {
                let token = Arc::new(token);
                state.token = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(failure) => {
                let failure = of_the_target(failure);
                state.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Forgets a token that the server refused, unless another one has taken its place.
    pub(super) async fn forget(&self, refused: &Arc<Token>) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            state.token = None;
        }
    }

    async fn log_in(&self, http: &Http, slot: &Slot) -> Result<Token, Failure> {
        let body = serde_json::json!({
            "username": self.username,
            "password": self.password.expose_secret(),
            "rememberMe": false,
        });
        // A login changes nothing at the remote: its loss is transient.
        let request = http.request(Method::Post, "/api/authenticate").json(&body);
        let answer = http.send(slot, Intent::Read, request).await?;
        match answer.status {
            200 => {}
            400 | 401 => {
                return Err(Failure::new(FailureClass::Authentication, "The login was refused"));
            }
            _ => return Err(answer::failure(&answer, Intent::Read)),
        }
        let json = answer.json();
        let token = json.as_ref().and_then(|json| json.get("id_token")?.as_str());
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(Failure::new(FailureClass::OurFault, "The login's answer has no id_token"));
        };
        let now = answer.date().unwrap_or_else(Timestamp::now);
        let life = life(token, now);
        Ok(Token {
            text: SecretString::from(token.to_owned()),
            renew_at: Instant::now() + renew_after(life),
        })
    }
}

/// A login says nothing about the entity that needed it: whatever else its failure looks like, a captive portal's page
/// or a proxy's 404, it is the target that can't be reached.
fn of_the_target(failure: Failure) -> Failure {
    let class = match failure.class {
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Authentication
        | FailureClass::Configuration => failure.class,
        FailureClass::Ambiguous
        | FailureClass::Postponed
        | FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => FailureClass::Transient,
    };
    let text = format!("The login failed: {}", failure.text);
    Failure::new(class, text).with_retry_after(failure.retry_after)
}

/// How long the token lives from `now`, which is the server's clock.
fn life(token: &str, now: Timestamp) -> Duration {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<i64>,
    }
    let claims = token
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
    match claims.and_then(|claims| claims.exp) {
        Some(exp) => {
            let seconds = exp.saturating_sub(now.as_second());
            Duration::from_secs(seconds.try_into().unwrap_or(0))
        }
        None => LIFE_WITHOUT_EXP,
    }
}

fn renew_after(life: Duration) -> Duration {
    life.mul_f64(0.8).min(life.saturating_sub(RENEW_BEFORE_END).max(life.mul_f64(0.5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_life_of_a_token_is_measured_from_the_servers_clock() {
        let server = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(life(&token(r#"{"exp":1000600,"sub":"x"}"#), server), Duration::from_secs(600));
        assert_eq!(life(&token(r#"{"exp":1}"#), server), Duration::ZERO);
        for without in [token(r#"{"sub":"x"}"#), "opaque".to_owned(), "a.b.c".to_owned()] {
            assert_eq!(life(&without, server), LIFE_WITHOUT_EXP);
        }
    }

    #[test]
    fn a_token_is_renewed_a_minute_before_its_end_or_at_80_percent_of_its_life() {
        assert_eq!(renew_after(Duration::from_secs(1_800)), Duration::from_secs(1_440));
        assert_eq!(renew_after(Duration::from_secs(200)), Duration::from_secs(140));
        // A very short life is used to half, or every request would begin with a login.
        assert_eq!(renew_after(Duration::from_secs(30)), Duration::from_secs(15));
        assert_eq!(renew_after(Duration::ZERO), Duration::ZERO);
    }
}

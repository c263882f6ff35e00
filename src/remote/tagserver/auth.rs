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
use tokio::time::Instant;

use super::super::http::{Http, Intent, Method, Slot};
use super::super::login::{LastLogin, Token};
use super::answer;
use crate::remote::{Failure, FailureClass};

/// Life of a token that does not say when it ends.
const LIFE_WITHOUT_EXP: Duration = Duration::from_secs(30 * 60);
/// A token is renewed this long before it ends, or at 80 % of its life, whichever is first.
const RENEW_BEFORE_END: Duration = Duration::from_secs(60);

/// The credentials and the token that they gave.
pub(super) struct Login {
    username: String,
    password: SecretString,
    last: LastLogin,
}

impl Login {
    pub(super) const fn new(username: String, password: SecretString) -> Self {
        Self { username, password, last: LastLogin::new() }
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// The token; `asked` and `anew` as [`LastLogin::token`] has them.
    pub(super) async fn token(
        &self,
        http: &Http,
        slot: &Slot,
        asked: Instant,
        anew: bool,
    ) -> Result<Arc<Token>, Failure> {
        self.last.token(asked, anew, self.log_in(http, slot)).await
    }

    /// Forgets a token that the server refused, unless another one has taken its place.
    pub(super) async fn forget(&self, refused: &Arc<Token>) {
        self.last.forget(refused).await;
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
        Ok(Token::new(token.to_owned(), renew_after(life)))
    }
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

//! Who we are to Mautic: the token of `OAuth2` client credentials, or basic authentication (contract, section 1).

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::super::http::{Answer, Http, Intent, Method, Request, Slot};
use super::super::login::{LastLogin, Token};
use super::answer;
use crate::remote::{Failure, FailureClass};

/// A token is renewed this long before it ends, a short-lived one at half its life.
const RENEW_BEFORE_END: Duration = Duration::from_secs(60);

/// How we prove who we are.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `OAuth2` client credentials.
    Client {
        /// The public half.
        id: String,
        /// The secret half.
        secret: SecretString,
    },
    /// Basic authentication of a user.
    Basic {
        /// The user.
        username: String,
        /// The user's password.
        password: SecretString,
    },
}

impl Credentials {
    /// Who we are, without the secret.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Client { id, .. } => id,
            Self::Basic { username, .. } => username,
        }
    }
}

/// The credentials and the token that they gave.
pub(super) struct Login {
    pub(super) credentials: Credentials,
    last: LastLogin,
}

/// What a request is signed with.
pub(super) enum Pass {
    Bearer(Arc<Token>),
    Basic,
}

impl Login {
    pub(super) const fn new(credentials: Credentials) -> Self {
        Self { credentials, last: LastLogin::new() }
    }

    /// What to sign with; `asked` and `anew` as [`LastLogin::token`] has them.
    pub(super) async fn pass(
        &self,
        http: &Http,
        slot: &Slot,
        asked: Instant,
        anew: bool,
    ) -> Result<Pass, Failure> {
        match &self.credentials {
            Credentials::Client { id, secret } => {
                let log_in = log_in(http, slot, id, secret);
                Ok(Pass::Bearer(self.last.token(asked, anew, log_in).await?))
            }
            Credentials::Basic { .. } => Ok(Pass::Basic),
        }
    }

    pub(super) fn sign(&self, request: Request, pass: &Pass) -> Request {
        match (pass, &self.credentials) {
            (Pass::Bearer(token), _) => request.bearer(token.text()),
            (Pass::Basic, Credentials::Basic { username, password }) => {
                request.basic(username, password)
            }
            (Pass::Basic, Credentials::Client { .. }) => request,
        }
    }

    /// It was refused; whether another one can be had.
    pub(super) async fn renews(&self, refused: &Pass) -> bool {
        match refused {
            Pass::Bearer(token) => {
                self.last.forget(token).await;
                true
            }
            Pass::Basic => false,
        }
    }
}

/// `POST /oauth/v2/token`, which is not under `/api` and has no refresh token (section 1a).
async fn log_in(
    http: &Http,
    slot: &Slot,
    id: &str,
    secret: &SecretString,
) -> Result<Token, Failure> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret.expose_secret()),
    ];
    // A grant changes no contact: its loss is transient.
    let request = http.request(Method::Post, "/oauth/v2/token").form(&form);
    let asked = Instant::now();
    let answer = http.send(slot, Intent::Read, request).await?;
    if !answer.is_success() {
        return Err(refusal(&answer));
    }
    let json = answer.json();
    let get = |key| json.as_ref().and_then(|json| json.get(key));
    let token = get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let life =
        get("expires_in").and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
    let (Some(token), Some(life)) = (token, life) else {
        let text = "The token's answer has no access_token or expires_in";
        return Err(Failure::new(FailureClass::OurFault, text));
    };
    // Its life began before it arrived.
    let left = Duration::from_secs(life).saturating_sub(asked.elapsed());
    Ok(Token::new(token.to_owned(), renew_after(left)))
}

/// A bad client is 400 (section 1a); a page with that status is a proxy's.
fn refusal(answer: &Answer) -> Failure {
    match answer.status {
        400 | 401 if answer.json().is_some() => {
            let text = "The client is refused: check client_id and client_secret";
            Failure::new(FailureClass::Configuration, text)
        }
        _ => answer::failure(answer, Intent::Read),
    }
}

fn renew_after(life: Duration) -> Duration {
    life.saturating_sub(RENEW_BEFORE_END).max(life / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_a_minute_before_its_end_or_at_half_its_life() {
        let renewed = |life| renew_after(Duration::from_secs(life)).as_secs();
        assert_eq!((renewed(3_600), renewed(120), renewed(30), renewed(0)), (3_540, 60, 15, 0));
    }
}

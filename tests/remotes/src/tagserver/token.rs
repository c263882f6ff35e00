//! Tokens: JSON Web Tokens, signed with HS256 and really verified.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::options::{TagServerSettings, TokenExpiry};

/// The signing secret of one run, and the tokens it no longer stands by.
#[derive(Debug)]
pub(super) struct Signer {
    secret: [u8; 32],
    revoked: HashSet<String>,
}

impl Signer {
    /// A signer with a new secret: no token of another one is valid.
    pub(super) fn new() -> Self {
        let mut secret = [0; 32];
        let halves = [Uuid::new_v4(), Uuid::new_v4()];
        let random = halves.iter().flat_map(|half| half.as_bytes());
        secret.iter_mut().zip(random).for_each(|(byte, random)| *byte = *random);
        Self { secret, revoked: HashSet::new() }
    }

    /// A token for `username`.
    pub(super) fn issue(
        &self,
        username: &str,
        now: Timestamp,
        settings: &TagServerSettings,
    ) -> String {
        let issued = now.as_second();
        let mut claims = json!({
            "sub": username,
            "auth": "ROLE_USER",
            "iat": issued,
            "jti": Uuid::new_v4().to_string(),
        });
        if let (TokenExpiry::Stated, Some(claims)) = (settings.token_expiry, claims.as_object_mut())
        {
            claims.insert("exp".to_owned(), json!(expiry(issued, settings)));
        }
        let header = BASE64.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = self.mac(&signed).map(|mac| BASE64.encode(mac.finalize().into_bytes()));
        format!("{signed}.{}", signature.unwrap_or_default())
    }

    /// Whether the token is ours, not revoked and not over.
    pub(super) fn accepts(
        &self,
        token: &str,
        now: Timestamp,
        settings: &TagServerSettings,
    ) -> bool {
        !self.revoked.contains(token)
            && self.claims(token).is_some_and(|claims| {
                let second = |name: &str| claims.get(name).and_then(Value::as_i64);
                let end = second("exp").or_else(|| Some(expiry(second("iat")?, settings)));
                end.is_some_and(|end| now.as_second() < end)
            })
    }

    /// Refuses the token from now on.
    pub(super) fn revoke(&mut self, token: &str) {
        self.revoked.insert(token.to_owned());
    }

    /// The claims of a token with our signature.
    fn claims(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = BASE64.decode(signature).ok()?;
        self.mac(signed)?.verify_slice(&signature).ok()?;
        let (_, payload) = signed.split_once('.')?;
        serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()
    }

    fn mac(&self, signed: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(signed.as_bytes());
        Some(mac)
    }
}

fn expiry(issued: i64, settings: &TagServerSettings) -> i64 {
    issued.saturating_add(i64::try_from(settings.token_life_seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_until_its_expiry_and_only_with_its_own_signature() {
        let signer = Signer::new();
        let settings = TagServerSettings { token_life_seconds: 60, ..Default::default() };
        let now = Timestamp::from_second(1_000_000).unwrap();
        let token = signer.issue("worker", now, &settings);
        let later = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        assert!(signer.accepts(&token, later(59), &settings));
        assert!(!signer.accepts(&token, later(60), &settings));
        assert!(!Signer::new().accepts(&token, now, &settings));
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert!(!signer.accepts(&format!("{signed}."), now, &settings));
        assert!(!signer.accepts("abc", now, &settings));
    }

    #[test]
    fn a_token_without_expiry_is_over_all_the_same() {
        let signer = Signer::new();
        let settings = TagServerSettings {
            token_life_seconds: 60,
            token_expiry: TokenExpiry::Unstated,
            ..Default::default()
        };
        let now = Timestamp::from_second(1_000_000).unwrap();
        let token = signer.issue("worker", now, &settings);
        let claims = signer.claims(&token).unwrap();
        assert!(claims.get("exp").is_none());
        let later = Timestamp::from_second(1_000_061).unwrap();
        assert!(signer.accepts(&token, now, &settings));
        assert!(!signer.accepts(&token, later, &settings));
    }

    #[test]
    fn a_revoked_token_is_refused_and_others_are_not() {
        let mut signer = Signer::new();
        let settings = TagServerSettings::default();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let (one, other) =
            (signer.issue("worker", now, &settings), signer.issue("worker", now, &settings));
        signer.revoke(&one);
        assert!(!signer.accepts(&one, now, &settings));
        assert!(signer.accepts(&other, now, &settings));
    }
}

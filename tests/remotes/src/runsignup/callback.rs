//! The callback to partners (contract, section 8): a form with `json` and its `signature`.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;

use super::server::RunSignup;
use crate::sync::lock;

impl RunSignup {
    /// The form that a callback of this type posts.
    pub(super) fn callback(&self, kind: &str, registration: i64) -> String {
        let event = {
            let store = lock(&self.store);
            store.registration(registration).map(|row| row.event_id)
        };
        let body = json!({ "type": kind, "registration_id": registration, "event_id": event });
        let text = body.to_string();
        let signature = signature(&self.callback_secret, &text);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("json", &text).append_pair("signature", &signature);
        form.finish()
    }
}

/// The HMAC-SHA1 of `text` in hexadecimal digits.
fn signature(secret: &str, text: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_2202() {
        let expected = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), expected);
    }
}

//! Chatwoot's webhooks (its contract, section 6): whether one is genuine, and what it hints at. Pure.
//!
//! A webhook is a hint, never data: it may be lost, forged, doubled, late, and newer or older than what it tells. Of its body only the
//! kind of event, the id and the names of what changed are read; nothing of it is kept or logged.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use crate::entity::EntityType;
use crate::limits;
use crate::remote::inbound::Stream;

/// Something has changed at a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Where to look.
    pub stream: Stream,
    /// The record, if it is known which.
    pub record: Option<(EntityType, String)>,
}

/// What stands in a webhook's headers.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `X-Chatwoot-Timestamp`.
    pub timestamp: &'a str,
    /// `X-Chatwoot-Signature`.
    pub signature: &'a str,
}

impl Signed<'_> {
    /// Whether the headers have the form and the age of a genuine webhook's: the body of any other need not be read.
    #[must_use]
    pub fn may_be_genuine(self, now: Timestamp) -> bool {
        self.is_of(now) && self.digest().is_some()
    }

    /// It was signed a moment ago.
    fn is_of(self, now: Timestamp) -> bool {
        let Ok(seconds) = self.timestamp.parse::<i64>() else { return false };
        Duration::from_secs(now.as_second().abs_diff(seconds)) <= limits::HOOK_AGE_MAX
    }

    fn digest(self) -> Option<Vec<u8>> {
        let digest = self.signature.strip_prefix("sha256=").and_then(from_hex)?;
        (digest.len() == Sha256::output_size()).then_some(digest)
    }
}

/// Whether the body was signed with one of the secrets, a moment ago.
#[must_use]
pub fn is_genuine(
    secrets: &[SecretString],
    signed: Signed<'_>,
    body: &[u8],
    now: Timestamp,
) -> bool {
    let Some(signature) = signed.digest() else { return false };
    let is_signed_with = |secret: &SecretString| {
        // A key may have any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
            return false;
        };
        mac.update(signed.timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        // In constant time.
        mac.verify_slice(&signature).is_ok()
    };
    // Every secret is tried, so that the time does not tell which.
    secrets.iter().fold(false, |is_genuine, secret| is_genuine | is_signed_with(secret))
        && signed.is_of(now)
}

/// What a webhook is known by, should it come again: its number (which is not signed), and what was signed.
#[must_use]
pub fn digests(delivery: Option<&[u8]>, timestamp: &str, body: &[u8]) -> Vec<Vec<u8>> {
    let mut signed = Sha256::new_with_prefix(b"signed\0");
    signed.update(timestamp);
    signed.update(b".");
    signed.update(body);
    let delivery = delivery.map(|delivery| {
        let mut digest = Sha256::new_with_prefix(b"delivery\0");
        digest.update(delivery);
        digest.finalize().to_vec()
    });
    std::iter::once(signed.finalize().to_vec()).chain(delivery).collect()
}

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    changed_attributes: Option<Vec<std::collections::BTreeMap<String, IgnoredAny>>>,
}

/// What an event hints at; `None`: at nothing.
///
/// # Errors
/// When the body is no event.
pub fn hint(body: &[u8]) -> Result<Option<Hint>, serde_json::Error> {
    let event: Event = serde_json::from_slice(body)?;
    Ok(match event.event.as_str() {
        // Every message that comes in fires one of these.
        "contact_updated" if is_of_activity_only(&event) => None,
        "contact_created" | "contact_updated" => {
            let id = event.id.as_i64().filter(|id| *id > 0);
            let record = id.map(|id| (EntityType::Person, id.to_string()));
            Some(Hint { stream: Stream::Contacts, record })
        }
        "conversation_created" | "conversation_updated" | "conversation_status_changed" => {
            // Its id is its number within the account, which is not what we know it by.
            Some(Hint { stream: Stream::Conversations, record: None })
        }
        _ => None,
    })
}

fn is_of_activity_only(event: &Event) -> bool {
    let names: Vec<_> =
        event.changed_attributes.iter().flatten().flat_map(|of| of.keys()).collect();
    !names.is_empty()
        && names.iter().all(|name| matches!(name.as_str(), "last_activity_at" | "updated_at"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        // A sign is no digit, though numbers may have one.
        pair.chars().all(|c| c.is_ascii_hexdigit()).then(|| u8::from_str_radix(pair, 16).ok())?
    });
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's test vector.
    const SECRET: &str = "whsec_test";
    const TIMESTAMP: &str = "1700000000";
    const BODY: &[u8] = br#"{"event":"contact_updated","id":42}"#;
    const SIGNATURE: &str =
        "sha256=3baa408dea921b3538cc9cf3856e2612bd11761b662beee33b1a31fc50faf27e";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn accepts(secrets: &[&str], timestamp: &str, signature: &str, body: &[u8], now: i64) -> bool {
        let secrets: Vec<_> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        is_genuine(&secrets, Signed { timestamp, signature }, body, at(now))
    }

    #[test]
    fn the_signature_is_that_of_the_contract() {
        assert!(accepts(&[SECRET], TIMESTAMP, SIGNATURE, BODY, 1_700_000_000));
        assert!(accepts(&["new", SECRET], TIMESTAMP, SIGNATURE, BODY, 1_700_000_000));
    }

    #[test]
    fn whatever_is_not_signed_so_is_forged() {
        let now = 1_700_000_000;
        let upper = SIGNATURE.replace("sha256=", "");
        assert!(!accepts(&[], TIMESTAMP, SIGNATURE, BODY, now));
        assert!(!accepts(&["whsec_tesT"], TIMESTAMP, SIGNATURE, BODY, now));
        assert!(!accepts(&[SECRET], "1700000001", SIGNATURE, BODY, now));
        assert!(!accepts(&[SECRET], "+1700000000", SIGNATURE, BODY, now));
        assert!(!accepts(
            &[SECRET],
            TIMESTAMP,
            SIGNATURE,
            br#"{"event":"contact_updated","id":43}"#,
            now
        ));
        for signature in
            ["", "sha256=", &upper, "sha256=+f", "sha256=é", &SIGNATURE[..69], "sha1=00"]
        {
            assert!(!accepts(&[SECRET], TIMESTAMP, signature, BODY, now), "{signature}");
            assert!(!Signed { timestamp: TIMESTAMP, signature }.may_be_genuine(at(now)));
        }
        // Of the right form, so the body is looked at.
        let zeros = format!("sha256={}", "0".repeat(64));
        assert!(Signed { timestamp: TIMESTAMP, signature: &zeros }.may_be_genuine(at(now)));
        assert!(!accepts(&[SECRET], TIMESTAMP, &zeros, BODY, now));
    }

    #[test]
    fn a_signature_is_accepted_for_five_minutes_on_both_sides_of_its_time() {
        for (off, accepted) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let is_accepted = accepts(&[SECRET], TIMESTAMP, SIGNATURE, BODY, 1_700_000_000 + off);
            assert_eq!(is_accepted, accepted, "{off}");
            let signed = Signed { timestamp: TIMESTAMP, signature: SIGNATURE };
            assert_eq!(signed.may_be_genuine(at(1_700_000_000 + off)), accepted, "{off}");
        }
    }

    #[test]
    fn one_that_comes_again_is_known_by_its_number_and_by_what_was_signed() {
        let first = digests(Some(b"a"), TIMESTAMP, BODY);
        assert_eq!(first.len(), 2);
        let shares =
            |other: &[Vec<u8>]| other.iter().filter(|digest| first.contains(digest)).count();
        assert_eq!(shares(&digests(Some(b"b"), TIMESTAMP, BODY)), 1);
        assert_eq!(shares(&digests(Some(b"a"), "1700000001", BODY)), 1);
        assert_eq!(shares(&digests(None, TIMESTAMP, BODY)), 1);
        assert_eq!(shares(&digests(Some(b"b"), "1700000001", BODY)), 0);
    }

    #[test]
    fn an_event_hints_at_a_contact_or_at_the_conversations() {
        let hint = |body: &str| super::hint(body.as_bytes()).unwrap();
        let contact = |id: &str| Hint {
            stream: Stream::Contacts,
            record: Some((EntityType::Person, id.to_owned())),
        };
        assert_eq!(
            hint(r#"{"event":"contact_created","id":7,"email":"a@b.c"}"#),
            Some(contact("7"))
        );
        assert_eq!(
            hint(
                r#"{"event":"contact_updated","id":7,"changed_attributes":[{"name":{"current_value":"x"}},{"updated_at":{}}]}"#
            ),
            Some(contact("7"))
        );
        assert_eq!(
            hint(
                r#"{"event":"contact_updated","id":7,"changed_attributes":[{"last_activity_at":{}},{"updated_at":{}}]}"#
            ),
            None
        );
        let unnamed = Hint { stream: Stream::Contacts, record: None };
        assert_eq!(hint(r#"{"event":"contact_updated","id":"7; drop"}"#), Some(unnamed));
        let conversations = Hint { stream: Stream::Conversations, record: None };
        for event in ["conversation_created", "conversation_updated", "conversation_status_changed"]
        {
            assert_eq!(
                hint(&format!(r#"{{"event":"{event}","id":3}}"#)),
                Some(conversations.clone())
            );
        }
        assert_eq!(hint(r#"{"event":"message_created","id":3}"#), None);
        assert!(super::hint(b"[]").is_err());
    }
}

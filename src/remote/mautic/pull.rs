//! Consent that somebody else than we took at Mautic, read back (contract, section 5).
//!
//! Nothing tells which contacts got a do-not-contact entry since: `date_modified` is the contact's own and need not move with one.
//! So all contacts are walked, two hundred at a time; whoever carries an EMS id and an entry that is not ours is told of. Each walk
//! tells the same again: whoever takes it in must not mind.

use super::Mautic;
use super::contact::Contact;
use crate::remote::Failure;
use crate::remote::inbound::{ConsentSeen, PullFrom, Pulled, Subject};

impl Mautic {
    /// One page.
    pub(super) async fn pull_consents(&self, from: &PullFrom) -> Result<Pulled, Failure> {
        let after = from.position.as_ref().and_then(serde_json::Value::as_i64).unwrap_or(0);
        let (contacts, next, server_time) = self.contacts_after(after).await?;
        Ok(Pulled {
            consents: contacts.iter().flat_map(said).collect(),
            position: next.map(Into::into),
            server_time,
            ..Pulled::default()
        })
    }
}

/// What others said of a person's channels. When is told by our clock, which [`super::contact::ahead`] has made of theirs, so that
/// it is not said here; the entry alone counts.
fn said(contact: &Contact) -> Vec<ConsentSeen> {
    let (Some(person), Some(entries)) = (contact.person(), &contact.entries) else {
        return Vec::new();
    };
    let seen = entries.iter().filter_map(|entry| {
        let (channel, state) = entry.said()?;
        let subject = Subject::Channel(channel.to_owned());
        Some(ConsentSeen { person, subject, state, said_on: None })
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::remote::inbound::ConsentState;

    fn of(key: &str, entries: serde_json::Value) -> Vec<(String, ConsentState)> {
        let contact =
            json!({"id": 47, "fields": {"all": {"ems_person_id": key}}, "doNotContact": entries});
        let seen = said(&Contact::read(&contact, 0).unwrap()).into_iter();
        seen.map(|seen| {
            assert_eq!(seen.person, 42);
            let Subject::Channel(channel) = seen.subject else { panic!("no channel") };
            (channel, seen.state)
        })
        .collect()
    }

    #[test]
    fn what_others_said_is_told_and_what_we_said_is_not() {
        let entries = json!([
            {"channel": "email", "reason": 1, "comments": "", "dateAdded": "2026-01-01T00:00:00+00:00"},
            {"channel": "sms", "reason": 3, "comments": "ems-sync", "dateAdded": "2026-01-01T00:00:00+00:00"},
            {"channel": "push", "reason": 1, "comments": "", "dateAdded": "2026-01-01T00:00:00+00:00"},
        ]);
        let email = |state| vec![("EMAIL".to_owned(), state)];
        assert_eq!(of("42", entries), email(ConsentState::Unsubscribed));
        let bounced = json!({"7": {"channel": "email", "reason": "2", "comments": ""}});
        assert_eq!(of("42", bounced), email(ConsentState::Bounced));
        let manual = json!([{"channel": "email", "reason": 3, "comments": "asked on the phone"}]);
        assert_eq!(of("42", manual.clone()), email(ConsentState::Blocked));
        assert_eq!(of("", manual), [], "a contact that is not ours");
        assert_eq!(of("42", json!(null)), [], "what is not shown says nothing");
    }
}

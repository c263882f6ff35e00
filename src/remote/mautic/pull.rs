//! Consent that somebody else than we took at Mautic, read back (contract, section 5).
//!
//! Nothing tells which contacts got a do-not-contact entry since: `date_modified` is the contact's own and need not move with one.
//! So all contacts are walked, two hundred at a time; whoever carries an EMS id and an entry that is not ours is told of. Each walk
//! tells the same again: whoever takes it in must not mind.

use super::Mautic;
use super::consent::{Channel, Restriction};
use super::contact::Contact;
use crate::remote::Failure;
use crate::remote::inbound::{ConsentSeen, ConsentState, PullFrom, Pulled, Subject};

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

/// What others said of a person's channels, and when, by Mautic's clock; and of which channels nobody but we said anything.
fn said(contact: &Contact) -> Vec<ConsentSeen> {
    let (Some(person), Some(entries)) = (contact.person(), &contact.entries) else {
        return Vec::new();
    };
    let seen = |channel: &str, state, said_on| {
        let subject = Subject::Channel(channel.to_owned());
        ConsentSeen {
            person,
            subject,
            record: contact.id.to_string(),
            state,
            said_on,
            at_latest: None,
        }
    };
    let restricted = entries.iter().filter_map(|entry| {
        let (channel, state) = entry.said()?;
        Some(seen(channel, state, entry.dated))
    });
    let is_free = |channel: &Channel| Restriction::of(entries, *channel) != Restriction::Others;
    let lifted = Channel::ALL.into_iter().filter(is_free);
    let lifted = lifted.map(|channel| seen(channel.ems_name(), ConsentState::Lifted, None));
    restricted.chain(lifted).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(key: &str, entries: serde_json::Value) -> Vec<(String, ConsentState)> {
        let contact =
            json!({"id": 47, "fields": {"all": {"ems_person_id": key}}, "doNotContact": entries});
        let seen = said(&Contact::read(&contact, 0).unwrap()).into_iter();
        seen.map(|seen| {
            assert_eq!(seen.person, 42);
            let Subject::Channel(channel) = seen.subject else { panic!("no channel") };
            (channel, seen.state)
        })
        .filter(|(_, state)| *state != ConsentState::Lifted)
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

    #[test]
    fn a_restriction_is_dated_by_mautics_clock_and_a_channel_that_nobody_else_forbids_is_free() {
        let contact = json!({"id": 47, "fields": {"all": {"ems_person_id": "42"}}, "doNotContact": [
            {"channel": "email", "reason": 1, "comments": "", "dateAdded": "2026-01-01T00:02:00+00:00"},
            {"channel": "sms", "reason": 3, "comments": "ems-sync", "dateAdded": "2026-01-01T00:00:00+00:00"},
        ]});
        // Mautic is a minute ahead: whoever stores it corrects that, once.
        let seen = said(&Contact::read(&contact, 60).unwrap());
        let told: Vec<_> = seen.iter().map(|seen| (seen.state, seen.said_on)).collect();
        let on = "2026-01-01T00:02:00Z".parse().unwrap();
        assert_eq!(told, [(ConsentState::Unsubscribed, Some(on)), (ConsentState::Lifted, None)]);
        assert_eq!(seen[1].subject, Subject::Channel("SMS".to_owned()));
    }
}

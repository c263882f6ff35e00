//! Do-not-contact: by its own calls and inside a contact's body (section 5).

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::audit;
use super::contact::{BOUNCED, Contact, DoNotContact, MANUAL, Source, UNSUBSCRIBED};
use super::options::{MauticSettings, Version};
use super::params;
use super::problem::Problem;
use super::route::number;
use super::write::Desk;
use crate::{Effect, Record};

/// The channels that are installed.
const CHANNELS: [&str; 3] = ["email", "sms", "notification"];

/// One wish of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    channel: String,
    /// 0 removes.
    reason: i64,
    comments: String,
    channel_id: Option<i64>,
}

impl Change {
    /// The wishes of `doNotContact`.
    pub(super) fn list(
        sent: Option<&Value>,
        settings: &MauticSettings,
    ) -> Result<Vec<Self>, Problem> {
        let Some(sent) = sent else { return Ok(Vec::new()) };
        if sent.as_array().is_some_and(Vec::is_empty) && settings.version == Version::V3 {
            // 3.x marks the contact though nobody asked.
            return Ok(vec![Self::of("email", &json!({}), MANUAL)]);
        }
        let rows = params::entries(sent);
        rows.into_iter()
            .map(|(_, row)| {
                let channel = row.get("channel").and_then(Value::as_str).unwrap_or("email");
                let change = Self::of(channel, row, MANUAL);
                let known = matches!(change.reason, 0 | UNSUBSCRIBED | BOUNCED | MANUAL)
                    && CHANNELS.contains(&channel);
                let invalid = || ("doNotContact".to_owned(), "This value is not valid.".to_owned());
                known
                    .then_some(change)
                    .ok_or_else(|| Problem::validation(vec![invalid()], settings))
            })
            .collect()
    }

    fn of(channel: &str, body: &Value, default_reason: i64) -> Self {
        let comments = body.get("comments").and_then(Value::as_str).unwrap_or_default();
        Self {
            channel: channel.to_owned(),
            reason: body.get("reason").and_then(number).unwrap_or(default_reason),
            comments: comments.to_owned(),
            channel_id: body.get("channelId").and_then(number),
        }
    }

    /// Does it. A person's own unsubscription is not overwritten.
    pub(super) fn apply(&self, contact: &mut Contact, now: Timestamp, record: &mut Record) {
        if self.reason == 0 {
            remove(contact, &self.channel, record);
            return;
        }
        let entry = contact.do_not_contact.iter_mut().find(|entry| entry.channel == self.channel);
        match entry {
            Some(entry) if entry.reason == self.reason || entry.reason == UNSUBSCRIBED => {}
            Some(entry) => *entry = self.entry(now),
            None => contact.do_not_contact.push(self.entry(now)),
        }
    }

    fn entry(&self, now: Timestamp) -> DoNotContact {
        DoNotContact {
            channel: self.channel.clone(),
            reason: self.reason,
            comments: self.comments.clone(),
            channel_id: self.channel_id,
            source: Source::Api,
            date_added: now,
        }
    }
}

/// Removes one entry of a channel, whatever its reason; tells whether there was one.
fn remove(contact: &mut Contact, channel: &str, record: &mut Record) -> bool {
    let place = contact.do_not_contact.iter().position(|entry| entry.channel == channel);
    let Some(place) = place else { return false };
    let entry = contact.do_not_contact.remove(place);
    audit::removal(contact.id, &entry, record);
    true
}

impl Desk<'_> {
    /// `POST /contacts/{id}/dnc/{channel}/add`
    pub(super) fn dnc_add(&mut self, id: i64, channel: &str, body: &Value) -> Result<(), Problem> {
        let stated = body.get("reason").is_some();
        if !stated {
            self.record.violation("dnc_without_reason", format!("contacts/{id} {channel}"));
        }
        let before = self.known(id)?;
        if !CHANNELS.contains(&channel) {
            self.record.violation("unknown_channel", format!("contacts/{id}"));
            return Err(self.refused(&before, Problem::bad_request("Invalid channel")));
        }
        let does_nothing = !stated && self.settings.version == Version::V3;
        let change = Change::of(channel, body, MANUAL);
        if !matches!(change.reason, UNSUBSCRIBED | BOUNCED | MANUAL) {
            let message = "Invalid reason for do not contact";
            return Err(self.refused(&before, Problem::bad_request(message)));
        }
        let mut after = before;
        if !does_nothing {
            change.apply(&mut after, self.now, self.record);
        }
        self.commit(after, Effect::Patched, StatusCode::OK);
        Ok(())
    }

    /// `POST /contacts/{id}/dnc/{channel}/remove`; tells whether there was one.
    pub(super) fn dnc_remove(&mut self, id: i64, channel: &str) -> Result<bool, Problem> {
        let mut after = self.known(id)?;
        let found = remove(&mut after, channel, self.record);
        self.commit(after, Effect::Patched, StatusCode::OK);
        Ok(found)
    }
}

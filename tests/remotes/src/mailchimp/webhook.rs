//! Webhooks: who wants to know what, and what there is to tell.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::list::List;
use super::member::Member;
use crate::ledger::hex;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Subscribe,
    Unsubscribe,
    Profile,
    Cleaned,
    UpEmail,
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    User,
    Admin,
    Api,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Profile => "profile",
            Self::Cleaned => "cleaned",
            Self::UpEmail => "upemail",
        }
    }
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Api => "api",
        }
    }
}

/// A subscription to events of a list.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) events: BTreeMap<String, bool>,
    pub(super) sources: BTreeMap<String, bool>,
    pub(super) secret: Option<String>,
}

/// One POST that a webhook owes its receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Where to.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body, byte by byte as it is signed.
    pub body: String,
}

impl Webhook {
    /// The webhook as the API shows it; the secret only when it is created.
    pub(super) fn to_value(&self, list_id: &str, with_secret: bool) -> Value {
        let mut body = json!({
            "id": self.id,
            "url": self.url,
            "events": self.events,
            "sources": self.sources,
            "list_id": list_id,
            "signing_enabled": self.secret.is_some(),
            "_links": [],
        });
        if let (Some(body), true, Some(secret)) = (body.as_object_mut(), with_secret, &self.secret)
        {
            body.insert("signing_secret".to_owned(), json!(secret));
        }
        body
    }

    fn wants(&self, event: Event, source: Source) -> bool {
        let on = |switches: &BTreeMap<String, bool>, name| switches.get(name) == Some(&true);
        on(&self.events, event.word()) && on(&self.sources, source.word())
    }

    fn delivery(&self, body: &str, now: Timestamp) -> Delivery {
        let form = "application/x-www-form-urlencoded";
        let mut headers = vec![("Content-Type".to_owned(), form.to_owned())];
        let signed = self.secret.as_deref().map(|secret| signature(secret, now.as_second(), body));
        headers.extend(signed.map(|signature| ("X-Mailchimp-Signature".to_owned(), signature)));
        Delivery { url: self.url.clone(), headers, body: body.to_owned() }
    }
}

impl List {
    /// Owes an event to every webhook that wants it.
    pub(super) fn tell(
        &mut self,
        event: Event,
        source: Source,
        member: &Member,
        old_email: Option<&str>,
        now: Timestamp,
    ) {
        let hooks: Vec<_> =
            self.webhooks.iter().filter(|hook| hook.wants(event, source)).cloned().collect();
        if hooks.is_empty() {
            return;
        }
        let body = self.words(event, member, old_email, now);
        self.deliveries.extend(hooks.iter().map(|hook| hook.delivery(&body, now)));
    }

    fn words(
        &self,
        event: Event,
        member: &Member,
        old_email: Option<&str>,
        now: Timestamp,
    ) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("type", event.word());
        form.append_pair("fired_at", &now.strftime("%Y-%m-%d %H:%M:%S").to_string());
        form.append_pair("data[list_id]", &self.options.id);
        if event == Event::UpEmail {
            form.append_pair("data[new_id]", member.unique_email_id());
            form.append_pair("data[new_email]", &member.email_address);
            form.append_pair("data[old_email]", old_email.unwrap_or_default());
            return form.finish();
        }
        form.append_pair("data[id]", member.unique_email_id());
        form.append_pair("data[email]", &member.email_address);
        form.append_pair("data[email_type]", &member.email_type);
        match event {
            Event::Unsubscribe => {
                form.append_pair("data[action]", "unsub");
                form.append_pair("data[reason]", "manual");
            }
            Event::Cleaned => {
                form.append_pair("data[reason]", "hard");
            }
            Event::Subscribe | Event::Profile | Event::UpEmail => {}
        }
        form.append_pair("data[merges][EMAIL]", &member.email_address);
        for (tag, value) in member.merge_values(self) {
            if let Some(parts) = value.as_object() {
                for (part, value) in parts {
                    let name = format!("data[merges][{tag}][{part}]");
                    form.append_pair(&name, value.as_str().unwrap_or_default());
                }
                continue;
            }
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            form.append_pair(&format!("data[merges][{tag}]"), &text);
        }
        form.finish()
    }
}

/// The header that proves who sent `body`.
fn signature(secret: &str, seconds: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_contract() {
        let body = "type=unsubscribe&fired_at=2026-01-02+03%3A04%3A05&data%5Bid%5D=8a25ff1d98\
                    &data%5Bemail%5D=jane%40corp.org";
        let expected = "t=1700000000,\
                        v1=f90433a387b33c65dc92cc19840767b28f76ee825cdb3e7674493d31cc7e1251";
        assert_eq!(signature("mcsec_test", 1_700_000_000, body), expected);
    }
}

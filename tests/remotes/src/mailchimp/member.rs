//! A member of a list.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::address::subscriber_hash;
use super::list::List;
use super::merge_field::MergeField;
use super::webhook::Source;

/// The merge field that holds the EMS's id.
pub(super) const EMS_ID: &str = "EMSID";

/// How many tags a member's body shows.
const TAGS_SHOWN: usize = 50;

/// Whether a member may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Yes.
    Subscribed,
    /// No longer.
    Unsubscribed,
    /// The address bounces.
    Cleaned,
    /// Not until they confirm.
    Pending,
    /// Only what they ordered.
    Transactional,
    /// Removed; can be restored. The API cannot write it.
    Archived,
}

impl Status {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::Cleaned => "cleaned",
            Self::Pending => "pending",
            Self::Transactional => "transactional",
            Self::Archived => "archived",
        }
    }

    /// The status with this word.
    pub(super) fn of(word: &str) -> Option<Self> {
        serde_json::from_value(json!(word)).ok()
    }
}

/// Why a member must not be subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptOut {
    /// The API unsubscribed them: it may take that back.
    Api,
    /// An administrator did.
    Admin,
    /// They did.
    Member,
    /// They called a message spam.
    Complaint,
    /// Their address bounces.
    Bounce,
}

impl OptOut {
    /// Whether MailChimp itself refuses to subscribe them again.
    pub(super) fn is_compliance(self) -> bool {
        matches!(self, Self::Member | Self::Complaint | Self::Bounce)
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Api => "N/A (Unsubscribed by the API)",
            Self::Admin => "N/A (Unsubscribed by an admin)",
            Self::Member => "No longer interested",
            Self::Complaint => "Reported as spam",
            Self::Bounce => "Bounced",
        }
    }
}

/// A member as tests see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The list.
    pub list_id: String,
    /// The hash of the address.
    pub id: String,
    /// The EMS's id, from the merge field `EMSID`.
    pub ems_id: Option<String>,
    /// The address.
    pub email_address: String,
    /// The status.
    pub status: Status,
    /// Why they must not be subscribed, even while they are archived; the API does not tell.
    pub opt_out: Option<OptOut>,
    /// All tags, as they are spelt.
    pub tags: Vec<String>,
    /// The member as the API shows it.
    pub body: Value,
}

/// A member of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) web_id: u64,
    pub(super) id: String,
    pub(super) contact_id: String,
    pub(super) email_address: String,
    pub(super) email_type: String,
    pub(super) status: Status,
    pub(super) opt_out: Option<OptOut>,
    pub(super) merge_fields: BTreeMap<String, Value>,
    pub(super) interests: BTreeMap<String, bool>,
    /// Keys of the list's tags.
    pub(super) tags: Vec<String>,
    pub(super) language: String,
    pub(super) vip: bool,
    pub(super) location: Map<String, Value>,
    pub(super) marketing_permissions: Vec<Value>,
    /// `ip_signup`, `timestamp_signup`, `ip_opt` and `timestamp_opt`, where set.
    pub(super) origin: BTreeMap<&'static str, String>,
    pub(super) source: String,
    pub(super) last_changed: Timestamp,
    /// The EMS id that the last write named, though the list may have no field for it: for the
    /// journal only.
    pub(super) known_as: Option<String>,
    /// An incomplete address was written: later updates are refused.
    pub(super) blocked: bool,
    /// Who archived them, while they are.
    pub(super) archived_by: Option<Source>,
    /// Whether only MailChimp's support can remove them.
    pub(super) protected: bool,
}

impl Member {
    /// A new member.
    pub(super) fn new(
        web_id: u64,
        id: String,
        email: &str,
        status: Status,
        now: Timestamp,
    ) -> Self {
        Self {
            web_id,
            contact_id: subscriber_hash(&format!("contact {web_id}")),
            id,
            email_address: email.trim().to_owned(),
            email_type: "html".to_owned(),
            status,
            opt_out: None,
            merge_fields: BTreeMap::new(),
            interests: BTreeMap::new(),
            tags: Vec::new(),
            language: String::new(),
            vip: false,
            location: Map::new(),
            marketing_permissions: Vec::new(),
            origin: BTreeMap::new(),
            source: "API - Generic".to_owned(),
            last_changed: now,
            known_as: None,
            blocked: false,
            archived_by: None,
            protected: false,
        }
    }

    /// The EMS's id, if the list has a field for it and it is set.
    pub(super) fn ems_id(&self) -> Option<String> {
        match self.merge_fields.get(EMS_ID)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The id that webhooks name.
    pub(super) fn unique_email_id(&self) -> &str {
        self.contact_id.get(..10).unwrap_or_default()
    }

    /// The EMS's id for the journal.
    pub(super) fn journal_id(&self) -> Option<String> {
        self.ems_id().or_else(|| self.known_as.clone())
    }

    /// The names of all tags, the newest last.
    fn tags<'l>(&'l self, list: &'l List) -> impl Iterator<Item = Value> + 'l {
        self.tags.iter().filter_map(|key| {
            let tag = list.tag(key)?;
            Some(json!({ "id": tag.id, "name": tag.name }))
        })
    }

    /// All tags with their dates, as `GET …/tags` shows them.
    pub(super) fn dated_tags(&self, list: &List) -> Vec<Value> {
        let added = stamp(self.last_changed);
        let dated = self.tags(list).map(|mut tag| {
            if let Some(tag) = tag.as_object_mut() {
                tag.insert("date_added".to_owned(), json!(added));
            }
            tag
        });
        dated.collect()
    }

    /// The member as tests see it.
    pub(super) fn row(&self, list: &List) -> Row {
        let name = |key: &String| list.tag(key).map(|tag| tag.name.clone());
        Row {
            list_id: list.options.id.clone(),
            id: self.id.clone(),
            ems_id: self.ems_id(),
            email_address: self.email_address.clone(),
            status: self.status,
            opt_out: self.opt_out,
            tags: self.tags.iter().filter_map(name).collect(),
            body: self.to_value(list),
        }
    }

    /// All merge fields of the list; unset ones are empty text, whatever their type.
    pub(super) fn merge_values(&self, list: &List) -> Map<String, Value> {
        let fields = list.options.merge_fields.iter();
        let value = |tag: &String| self.merge_fields.get(tag).cloned();
        fields
            .map(|field| (field.tag.clone(), value(&field.tag).unwrap_or_else(MergeField::unset)))
            .collect()
    }

    /// The member as the API shows it.
    pub(super) fn to_value(&self, list: &List) -> Value {
        let merge_fields = self.merge_values(list);
        let part = |tag: &str| merge_fields.get(tag).and_then(Value::as_str).unwrap_or_default();
        let full_name = format!("{} {}", part("FNAME"), part("LNAME")).trim().to_owned();
        // What is not set is empty text, not null.
        let origin = |name: &str| self.origin.get(name).map_or("", String::as_str);
        let number = |name: &str| self.location.get(name).cloned().unwrap_or_else(|| json!(0));
        let mut body = json!({
            "id": self.id,
            "email_address": self.email_address,
            "unique_email_id": self.unique_email_id(),
            "contact_id": self.contact_id,
            "full_name": full_name,
            "web_id": self.web_id,
            "email_type": self.email_type,
            "status": self.status,
            "consents_to_one_to_one_messaging": true,
            "sms_phone_number": "",
            "sms_subscription_status": "",
            "merge_fields": merge_fields,
            "stats": { "avg_open_rate": 0, "avg_click_rate": 0 },
            "ip_signup": origin("ip_signup"),
            "timestamp_signup": origin("timestamp_signup"),
            "ip_opt": origin("ip_opt"),
            "timestamp_opt": origin("timestamp_opt"),
            "member_rating": 2,
            "last_changed": stamp(self.last_changed),
            "language": self.language,
            "vip": self.vip,
            "email_client": "",
            "location": {
                "latitude": number("latitude"),
                "longitude": number("longitude"),
                "gmtoff": 0,
                "dstoff": 0,
                "country_code": "",
                "timezone": "",
                "region": "",
            },
            "source": self.source,
            "tags_count": self.tags.len(),
            "tags": self.tags(list).take(TAGS_SHOWN).collect::<Vec<_>>(),
            "list_id": list.options.id,
            "_links": [{ "rel": "self", "method": "GET", "href": "" }],
        });
        let Some(object) = body.as_object_mut() else { return body };
        if list.interests().next().is_some() {
            let chosen = |id: &str| self.interests.get(id).copied().unwrap_or(false);
            let interests = list.interests().map(|id| (id.to_owned(), json!(chosen(id))));
            object.insert("interests".to_owned(), Value::Object(interests.collect()));
        }
        if !self.marketing_permissions.is_empty() {
            let permissions = json!(self.marketing_permissions);
            object.insert("marketing_permissions".to_owned(), permissions);
        }
        if let (Status::Unsubscribed, Some(opt_out)) = (self.status, self.opt_out) {
            object.insert("unsubscribe_reason".to_owned(), json!(opt_out.reason()));
        }
        body
    }
}

/// An instant as MailChimp writes it: to the second.
pub(super) fn stamp(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

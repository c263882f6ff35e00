//! One contact: what it holds, and how Mautic shows it (section 2b).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::field::{EMAIL, EMS_PERSON_ID, Field, FieldKind};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The client of the API.
    Api,
    /// The person, or somebody at the remote.
    Person,
}

/// An entry that keeps a channel from being used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoNotContact {
    /// `email`, `sms` or `notification`.
    pub channel: String,
    /// 1 unsubscribed, 2 bounced, 3 manual.
    pub reason: i64,
    /// Any text.
    #[serde(default)]
    pub comments: String,
    /// What it was in answer to.
    #[serde(default)]
    pub channel_id: Option<i64>,
    /// Who entered it.
    #[serde(default = "person")]
    pub source: Source,
    /// When, by Mautic's clock.
    #[serde(default)]
    pub date_added: Timestamp,
}

fn person() -> Source {
    Source::Person
}

/// Reason 1: the person unsubscribed.
pub(super) const UNSUBSCRIBED: i64 = 1;
/// Reason 2: mail bounced.
pub(super) const BOUNCED: i64 = 2;
/// Reason 3: somebody decided.
pub(super) const MANUAL: i64 = 3;

/// A contact as tests see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// Mautic's id.
    pub id: i64,
    /// When it was made.
    pub date_added: Timestamp,
    /// When it was last changed.
    pub date_modified: Option<Timestamp>,
    /// When it was last active, as the client said.
    pub last_active: Option<String>,
    /// Points.
    pub points: i64,
    /// The stage.
    pub stage: Option<i64>,
    /// The owner.
    pub owner: Option<i64>,
    /// Field values by alias; what is empty is absent.
    pub values: BTreeMap<String, Value>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// Channels that must not be used.
    pub do_not_contact: Vec<DoNotContact>,
    /// Frequency rules by channel, as they were sent.
    pub frequency_rules: BTreeMap<String, Value>,
    /// Segments it is in.
    pub segments: BTreeSet<i64>,
    /// Segments it was removed from by hand: their filters do not bring it back.
    pub manually_removed: BTreeSet<i64>,
    /// Who made it.
    pub made_by: Source,
    /// The commit that made it: what a create that arrived before cannot have seen.
    pub(super) born: u64,
}

impl Contact {
    /// A contact without anything.
    pub(super) fn new(made_by: Source, now: Timestamp) -> Self {
        Self {
            id: 0,
            date_added: now,
            date_modified: None,
            last_active: None,
            points: 0,
            stage: None,
            owner: None,
            values: BTreeMap::new(),
            tags: BTreeSet::new(),
            do_not_contact: Vec::new(),
            frequency_rules: BTreeMap::new(),
            segments: BTreeSet::new(),
            manually_removed: BTreeSet::new(),
            made_by,
            born: 0,
        }
    }

    /// A field's value as text.
    pub fn text(&self, alias: &str) -> Option<&str> {
        self.values.get(alias)?.as_str()
    }

    /// The EMS id, if it carries one.
    pub fn ems_person_id(&self) -> Option<&str> {
        self.text(EMS_PERSON_ID)
    }

    /// The e-mail address.
    pub fn email(&self) -> Option<&str> {
        self.text(EMAIL)
    }

    /// The reason why a channel must not be used.
    pub fn do_not_contact_reason(&self, channel: &str) -> Option<i64> {
        self.do_not_contact.iter().find(|entry| entry.channel == channel).map(|entry| entry.reason)
    }

    /// Whether the two differ in anything but bookkeeping.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let bookkept = |contact: &Self| Self { date_modified: None, ..contact.clone() };
        bookkept(self) != bookkept(other)
    }

    /// The contact as the API shows it; `minimal` leaves the lists out.
    pub(super) fn to_api(&self, fields: &[Field], minimal: bool) -> Value {
        let mut body = json!({
            "id": self.id,
            "isPublished": true,
            "dateAdded": iso(self.date_added),
            "dateModified": self.date_modified.map(iso),
            "createdBy": 1,
            "points": self.points,
            "lastActive": self.last_active.as_deref().map(iso_of_civil),
            "dateIdentified": self.values.contains_key(EMAIL).then(|| iso(self.date_added)),
            "fields": self.fields_to_api(fields),
        });
        if let (false, Some(body)) = (minimal, body.as_object_mut()) {
            body.insert(
                "owner".to_owned(),
                self.owner.map_or(Value::Null, |id| json!({ "id": id })),
            );
            body.insert(
                "stage".to_owned(),
                self.stage.map_or(Value::Null, |id| json!({ "id": id })),
            );
            let tags = self.tags.iter().zip(1..).map(|(tag, id)| json!({ "id": id, "tag": tag }));
            body.insert("tags".to_owned(), tags.collect());
            let entries = self.do_not_contact.iter().zip(1..).map(|(entry, id)| {
                json!({
                    "id": id,
                    "dateAdded": iso(entry.date_added),
                    "reason": entry.reason,
                    "comments": entry.comments,
                    "channel": entry.channel,
                    "channelId": entry.channel_id,
                })
            });
            body.insert("doNotContact".to_owned(), entries.collect());
            let rules =
                self.frequency_rules.iter().map(|(channel, rule)| rule_to_api(channel, rule));
            body.insert("frequencyRules".to_owned(), rules.collect());
        }
        body
    }

    /// The values by group, and all of them; PHP shows an empty group as `[]`.
    fn fields_to_api(&self, fields: &[Field]) -> Value {
        let mut groups = Map::new();
        for group in ["core", "social", "personal", "professional"] {
            let members: Map<String, Value> = fields
                .iter()
                .filter(|field| field.group == group)
                .map(|field| {
                    let shown = json!({
                        "id": field.id,
                        "label": field.label,
                        "alias": field.alias,
                        "type": field.kind,
                        "group": field.group,
                        "value": self.shown(field),
                    });
                    (field.alias.clone(), shown)
                })
                .collect();
            let shown = if members.is_empty() { json!([]) } else { Value::Object(members) };
            groups.insert(group.to_owned(), shown);
        }
        let mut all: Map<String, Value> =
            fields.iter().map(|field| (field.alias.clone(), self.shown(field))).collect();
        all.insert("id".to_owned(), json!(self.id));
        all.insert("points".to_owned(), json!(self.points));
        groups.insert("all".to_owned(), Value::Object(all));
        Value::Object(groups)
    }

    fn shown(&self, field: &Field) -> Value {
        let Some(value) = self.values.get(&field.alias) else { return Value::Null };
        match (field.kind, value.as_str()) {
            (FieldKind::Datetime, Some(text)) => json!(iso_of_civil(text)),
            _ => value.clone(),
        }
    }

    /// The contact as the control API shows it: flat, as it is planted.
    pub(super) fn to_row(&self) -> Value {
        let mut row: Map<String, Value> = self.values.clone().into_iter().collect();
        let more = json!({
            "id": self.id,
            "dateAdded": iso(self.date_added),
            "dateModified": self.date_modified.map(iso),
            "points": self.points,
            "stage": self.stage,
            "owner": self.owner,
            "tags": self.tags,
            "doNotContact": self.do_not_contact,
            "segments": self.segments,
            "manuallyRemoved": self.manually_removed,
            "madeBy": self.made_by,
        });
        row.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(row)
    }
}

fn rule_to_api(channel: &str, rule: &Value) -> Value {
    let part = |name: &str| rule.get(name).cloned().unwrap_or_default();
    json!({
        "channel": channel,
        "frequencyNumber": part("frequency_number"),
        "frequencyTime": part("frequency_time"),
        "preferredChannel": part("preferred_channel"),
        "pauseFromDate": part("pause_from_date"),
        "pauseToDate": part("pause_to_date"),
    })
}

/// ISO 8601 with an offset, as all dates of answers are (section 6).
pub(super) fn iso(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// A clock's face as the database has it, shown as if it were UTC.
fn iso_of_civil(text: &str) -> String {
    format!("{}+00:00", text.replacen(' ', "T", 1))
}

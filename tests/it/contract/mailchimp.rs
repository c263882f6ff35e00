//! The kit of MailChimp: persons as members of two lists.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use ems_sync::entity::EntityType;
use ems_sync::remote::HttpSettings;
use ems_sync::remote::mailchimp::MailChimp;
use ems_sync_remotes::mailchimp::{ListOptions, MailChimp as Sim, MailChimpOptions, Row, Status};
use ems_sync_remotes::{Fault, Simulator};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::kit::{Content, Kit};

pub(super) struct MailChimpKit(Simulator<Sim>);

/// The lists by their code.
const LISTS: [(&str, &str); 2] = [("news", "a1b2c3d4e5"), ("club", "f6a7b8c9d0")];

impl MailChimpKit {
    /// The members of a person that are not archived, by list code.
    fn members(&self, id: i64) -> impl Iterator<Item = (&'static str, Row)> {
        let member = move |(code, list)| Some((code, self.0.row(list, &id.to_string())?));
        let members = LISTS.into_iter().filter_map(member);
        members.filter(|(_, row)| row.status != Status::Archived)
    }
}

impl Kit for MailChimpKit {
    type Sim = Sim;
    type Client = MailChimp;

    const ENTITY: EntityType = EntityType::Person;
    const LOGS_IN: bool = false;
    const ABSENCE_IS_A_DECISION: bool = true;

    async fn start() -> Self {
        let lists = LISTS.map(|(_, list)| ListOptions::named(list)).into();
        let options = MailChimpOptions { lists, ..MailChimpOptions::default() };
        Self(Sim::start(options).await.unwrap())
    }

    async fn start_elsewhere() -> Self {
        Self::start().await
    }

    fn sim(&self) -> &Simulator<Sim> {
        &self.0
    }

    fn base_url(&self) -> String {
        format!("{}/3.0", self.0.base_url())
    }

    fn concurrency(&self) -> usize {
        9
    }

    fn client(&self, http: &HttpSettings) -> MailChimp {
        let lists = LISTS.map(|(code, list)| (code.to_owned(), list.to_owned()));
        let key = SecretString::from(self.0.api_key().to_owned());
        MailChimp::new(http, key, BTreeMap::from(lists)).unwrap()
    }

    fn projection(&self, id: i64, content: Content) -> Value {
        let (first_name, labels) = match content {
            Content::A => (Some(format!("Thandiwe{id}")), json!(["Marathon", "volunteer"])),
            Content::B => (Some(format!(" Nomvula{id} ")), json!(["Marathon", "Coach"])),
            Content::Cleared => (None, json!([])),
        };
        let optional = |text: &str| (content != Content::Cleared).then(|| text.to_owned());
        let membership = |labels: Value| json!({ "status": "SUBSCRIBED", "labels": labels, "modified_on": "2026-01-02T03:04:05Z" });
        json!({ "first_name": first_name, "last_name": optional("Ndlovu"),
                "email": format!(" Runner{id}@Club.ORG"), "language": optional("en-ZA"),
                "memberships": { "news": membership(labels), "club": membership(json!([])) },
                "email_opted_in": true, "email_opted_in_on": "2026-01-01T00:00:00Z" })
    }

    fn colliding(&self, id: i64, other: i64) -> Option<Value> {
        let mut row = self.projection(id, Content::B);
        row["email"] = self.projection(other, Content::A)["email"].clone();
        Some(row)
    }

    fn held(&self, id: i64) -> Option<Value> {
        let mut body = Map::new();
        for (code, row) in self.members(id) {
            let filled =
                |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let merged = |tag: &str| filled(&row.body["merge_fields"][tag]);
            let wanted = match row.status {
                Status::Subscribed => "subscribed",
                Status::Pending => "pending",
                _ => "out",
            };
            let member = json!({ "email": row.email_address.to_lowercase(), "EMSID": merged("EMSID"),
                "wanted": wanted, "FNAME": merged("FNAME"), "LNAME": merged("LNAME"),
                "language": filled(&row.body["language"]), "tags": row.tags });
            body.insert(code.to_owned(), member);
        }
        (!body.is_empty()).then(|| Self::visible(&Value::Object(body)))
    }

    /// Tags have no case, and since when is not shown.
    fn visible(body: &Value) -> Value {
        let mut body = body.clone();
        for member in body.as_object_mut().expect("an object").values_mut() {
            let member = member.as_object_mut().expect("an object");
            member.remove("since");
            let tags = member.get("tags").and_then(Value::as_array).into_iter().flatten();
            let tags: BTreeSet<_> = tags.filter_map(Value::as_str).map(str::to_lowercase).collect();
            member.insert("tags".to_owned(), json!(tags));
        }
        body
    }

    fn records(&self) -> usize {
        let rows = LISTS.iter().flat_map(|(_, list)| self.0.rows(list));
        let standing = rows.filter(|row| row.status != Status::Archived);
        standing.filter_map(|row| row.ems_id).collect::<BTreeSet<_>>().len()
    }

    fn remove(&self, id: i64) {
        let (_, row) = self.members(id).next().expect("it has a member");
        while self.0.remove(&row.id) {}
    }

    /// Contact ids are never given to others.
    fn swap(&self, _one: i64, _other: i64) -> bool {
        false
    }

    /// It never says for how long (contract, section 0.5).
    fn throttle() -> (Fault, Option<RangeInclusive<Duration>>) {
        (Fault::status(429), None)
    }
}

super::contract!(MailChimpKit);

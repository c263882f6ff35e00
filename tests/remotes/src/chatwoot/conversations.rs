//! Reading conversations and messages (contract, section 5). Agents write them, the worker never.

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::auth::Role;
use super::conversation::Conversation;
use super::filter::{Grammar, Kind, holds};
use super::listing::{database_zone, day, page_number};
use super::options::ChatwootSettings;
use super::refusal::Refusal;
use super::store::Store;
use crate::{Record, Request, Response};

/// The user whose token is used.
const ME: i64 = 1;
/// The newest conversations of a contact: more are not shown.
const OF_CONTACT: usize = 20;

/// The conversations that a role sees.
pub(super) struct Desk<'a> {
    pub(super) store: &'a Store,
    pub(super) settings: &'a ChatwootSettings,
    pub(super) role: Role,
    pub(super) account_id: i64,
    pub(super) now: Timestamp,
}

impl<'a> Desk<'a> {
    /// `GET /conversations`
    pub(super) fn list(&self, request: &Request, record: &mut Record) -> Response {
        let Some(status) = request.query_value("status") else {
            record.violation("conversations_without_status", "status");
            return self.list_of(request, "open");
        };
        self.list_of(request, status)
    }

    fn list_of(&self, request: &Request, status: &str) -> Response {
        let mut found: Vec<&Conversation> = self.visible().collect();
        found.retain(|one| status == "all" || one.status == status);
        if let Some(inbox_id) = request.query_value("inbox_id") {
            found.retain(|one| one.inbox_id.to_string() == inbox_id);
        }
        let within = request.query_value("updated_within").filter(|text| !text.is_empty());
        if let Some(text) = within {
            let window = SignedDuration::from_secs(text.parse().unwrap_or(0));
            // A window that reaches before all time holds everything.
            let start = self.now.checked_sub(window).unwrap_or(Timestamp::MIN);
            found.retain(|one| one.updated_at > start);
        }
        let meta = meta(&found);
        match request.query_value("assignee_type") {
            Some("me") => found.retain(|one| one.assignee_id == Some(ME)),
            Some("assigned") => found.retain(|one| one.assignee_id.is_some()),
            Some("unassigned") => found.retain(|one| one.assignee_id.is_none()),
            _ => {}
        }
        sort(&mut found, request.query_value("sort_by").unwrap_or_default());
        let shown = if within.is_some() { found } else { self.page(found, request) };
        let payload = self.bodies(&shown);
        Response::json(StatusCode::OK, &json!({ "data": { "meta": meta, "payload": payload } }))
    }

    /// `GET /conversations/meta`
    pub(super) fn meta(&self) -> Response {
        let found: Vec<&Conversation> = self.visible().collect();
        Response::json(StatusCode::OK, &json!({ "meta": meta(&found) }))
    }

    /// `POST /conversations/filter`: no `data` around it.
    pub(super) fn filter(
        &self,
        request: &Request,
        body: &Map<String, Value>,
        record: &mut Record,
    ) -> Result<Response, Refusal> {
        let zone = database_zone(self.settings);
        let grammar =
            Grammar { kind_of: &kind_of, of_contacts: false, today: day(self.now, &zone) };
        let conditions = grammar.read(body, record)?;
        let values_of = |one: &Conversation, key: &str| {
            let values: Vec<String> = match key {
                "status" => vec![one.status.clone(), "all".to_owned()],
                "assignee_id" => one.assignee_id.iter().map(i64::to_string).collect(),
                "team_id" => one.team_id.iter().map(i64::to_string).collect(),
                "inbox_id" => vec![one.inbox_id.to_string()],
                "contact_id" => vec![one.contact_id.to_string()],
                "priority" => one.priority.iter().cloned().collect(),
                "labels" => one.labels.iter().cloned().collect(),
                "created_at" => vec![day(one.created_at, &zone).to_string()],
                _ => {
                    let instant = Timestamp::from_second(one.last_activity_at).ok();
                    instant.map(|instant| day(instant, &zone).to_string()).into_iter().collect()
                }
            };
            values
        };
        let mut found: Vec<&Conversation> =
            self.visible().filter(|one| holds(&conditions, |key| values_of(one, key))).collect();
        sort(&mut found, "");
        let mut meta = meta(&found);
        if let Some(meta) = meta.as_object_mut() {
            meta.remove("assigned_count");
        }
        let payload = self.bodies(&self.page(found, request));
        Ok(Response::json(StatusCode::OK, &json!({ "meta": meta, "payload": payload })))
    }

    /// `GET /contacts/{id}/conversations`: the newest, without pages.
    pub(super) fn of_contact(&self, id: &str) -> Result<Response, Refusal> {
        let contact = id.parse().ok().and_then(|id| self.store.contacts.get(id));
        let contact_id = contact.ok_or(Refusal::NotFound)?.id;
        let mut found: Vec<&Conversation> =
            self.visible().filter(|one| one.contact_id == contact_id).collect();
        sort(&mut found, "");
        found.truncate(OF_CONTACT);
        Ok(Response::json(StatusCode::OK, &json!({ "payload": self.bodies(&found) })))
    }

    /// `GET /conversations/{display_id}`
    pub(super) fn read(&self, id: &str) -> Result<Response, Refusal> {
        let conversation = self.find(id)?;
        let contact = self.store.contacts.get(conversation.contact_id);
        Ok(Response::json(StatusCode::OK, &conversation.body(contact, self.account_id)))
    }

    /// `GET /conversations/{display_id}/messages`
    pub(super) fn messages(&self, id: &str, request: &Request) -> Result<Response, Refusal> {
        let conversation = self.find(id)?;
        let bound =
            |name: &str| request.query_value(name).and_then(|text| text.parse::<i64>().ok());
        let (after, before) = (bound("after"), bound("before"));
        let all = conversation.messages.iter().filter(|message| {
            after.is_none_or(|after| message.id > after)
                && before.is_none_or(|before| message.id < before)
        });
        let all: Vec<Value> = all.map(|message| message.body(conversation)).collect();
        let shown = match (after, before) {
            (Some(_), Some(_)) => all.get(..1000).unwrap_or(&all),
            (Some(_), None) => all.get(..100).unwrap_or(&all),
            (None, _) => all.get(all.len().saturating_sub(20)..).unwrap_or(&all),
        };
        let contact = self.store.contacts.get(conversation.contact_id);
        let meta = json!({ "contact": contact.map(|contact| contact.body(false)) });
        Ok(Response::json(StatusCode::OK, &json!({ "meta": meta, "payload": shown })))
    }

    fn visible(&self) -> impl Iterator<Item = &'a Conversation> + use<'a, '_> {
        self.store.conversations.values().filter(|one| {
            self.role != Role::Agent || self.settings.agent_inboxes.contains(&one.inbox_id)
        })
    }

    fn find(&self, id: &str) -> Result<&'a Conversation, Refusal> {
        let id: i64 = id.parse().map_err(|_| Refusal::NotFound)?;
        self.visible().find(|one| one.id == id).ok_or(Refusal::NotFound)
    }

    fn page(&self, found: Vec<&'a Conversation>, request: &Request) -> Vec<&'a Conversation> {
        let size = usize::try_from(self.settings.conversations_per_page).unwrap_or(usize::MAX);
        let (number, _) = page_number(request);
        found.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect()
    }

    fn bodies(&self, conversations: &[&Conversation]) -> Vec<Value> {
        let body = |one: &&Conversation| {
            one.body(self.store.contacts.get(one.contact_id), self.account_id)
        };
        conversations.iter().map(body).collect()
    }
}

fn meta(found: &[&Conversation]) -> Value {
    let assigned = found.iter().filter(|one| one.assignee_id.is_some()).count();
    json!({
        "mine_count": found.iter().filter(|one| one.assignee_id == Some(ME)).count(),
        "assigned_count": assigned,
        "unassigned_count": found.len() - assigned,
        "all_count": found.len(),
    })
}

fn sort(found: &mut [&Conversation], by: &str) {
    match by {
        "created_at_asc" => found.sort_by_key(|one| one.created_at),
        "created_at_desc" => found.sort_by_key(|one| std::cmp::Reverse(one.created_at)),
        "last_activity_at_asc" => found.sort_by_key(|one| one.last_activity_at),
        _ => found.sort_by_key(|one| std::cmp::Reverse(one.last_activity_at)),
    }
}

fn kind_of(key: &str) -> Option<Kind> {
    match key {
        "status" | "assignee_id" | "inbox_id" | "team_id" | "contact_id" | "priority"
        | "labels" => Some(Kind::Words),
        "created_at" | "last_activity_at" => Some(Kind::Day),
        _ => None,
    }
}

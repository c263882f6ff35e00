//! How contacts are found by their keys (contract, section 3): filters, and the search where they may hide one.

use serde_json::{Value, json};

use super::super::http::{Http, Intent, Method};
use super::answer::{self, Contacts};
use super::contact::Contact;
use super::single::{Call, Ended};
use super::wire;
use crate::limits;
use crate::remote::{Failure, FailureClass, PushResult};

/// A field and what it should hold.
type Key<'a> = (&'static str, &'a Value);

impl Call<'_> {
    /// All contacts that share identifier, e-mail address or phone number with `body`, in one filter. With `thorough`, a
    /// contact that nothing but its identifier tells is searched for, too, if the filter has not shown it.
    pub(super) async fn look_up(
        &self,
        body: &Value,
        thorough: bool,
    ) -> Result<Vec<Contact>, Ended> {
        let keys = [wire::IDENTIFIER, wire::EMAIL, wire::PHONE];
        let keys: Vec<Key<'_>> =
            keys.into_iter().filter_map(|name| Some((name, body.get(name)?))).collect();
        let mut found = self.filter(&keys).await?;
        let identifier = body.get(wire::IDENTIFIER).unwrap_or(&Value::Null);
        let is_found = found.iter().any(|contact| contact.holds(wire::IDENTIFIER, identifier));
        if thorough && !is_found {
            found.extend(self.search(identifier).await?);
        }
        Ok(found)
    }

    /// The contact with this person's identifier.
    pub(super) async fn look_up_own(&self, thorough: bool) -> Result<Option<Contact>, Ended> {
        let body = json!({ (wire::IDENTIFIER): wire::identifier(self.person) });
        let found = self.look_up(&body, thorough).await?;
        Ok(found.into_iter().find(|contact| contact.person() == Some(self.person)))
    }

    /// The contacts that hold one of these; the last condition alone has no operator (contract, section 3).
    pub(super) async fn filter(&self, keys: &[Key<'_>]) -> Result<Vec<Contact>, Ended> {
        let keys: Vec<&Key<'_>> = keys.iter().filter(|(_, value)| !value.is_null()).collect();
        let conditions: Vec<Value> = keys
            .iter()
            .enumerate()
            .map(|(n, (name, value))| {
                let is_last = n + 1 == keys.len();
                json!({
                    "attribute_key": name,
                    "filter_operator": "equal_to",
                    "values": [value],
                    "query_operator": if is_last { Value::Null } else { json!("OR") },
                })
            })
            .collect();
        let body = json!({ "payload": conditions });
        let path = self.client.path("/contacts/filter");
        let mut found: Vec<Contact> = Vec::new();
        for page in 1..=limits::CHATWOOT_LOOK_UP_PAGES {
            let page = page.to_string();
            let contacts = self
                .page(|http| http.request(Method::Post, &path).query(&query(&page)).json(&body))
                .await?;
            if contacts.rows.iter().any(|row| !keys.iter().any(|key| fits(row, key))) {
                let text = "The server ignored the filter: absence can't be told";
                return Err(fails(FailureClass::OurFault, text));
            }
            let is_over = contacts.rows.is_empty();
            found.extend(contacts.rows);
            if found.len() >= contacts.count {
                return Ok(found);
            }
            if is_over {
                let text = "The list is shorter than it says";
                return Err(fails(FailureClass::Transient, text));
            }
        }
        let text = "ambiguous: too many contacts have this phone number. Take it off them in Chatwoot; then replay";
        Err(fails(FailureClass::Rejected, text))
    }

    /// The contact with exactly this identifier; the search finds parts of it, newest first.
    async fn search(&self, identifier: &Value) -> Result<Option<Contact>, Ended> {
        let Some(sought) = identifier.as_str() else { return Ok(None) };
        let path = self.client.path("/contacts/search");
        for page in 1..=limits::CHATWOOT_LOOK_UP_PAGES {
            let page = page.to_string();
            let query = [
                ("q", sought),
                ("page", &page),
                ("sort", "-created_at"),
                ("include_contact_inboxes", "false"),
            ];
            let contacts = self.page(|http| http.request(Method::Get, &path).query(&query)).await?;
            let mut rows = contacts.rows.into_iter();
            if let Some(found) = rows.find(|row| row.holds(wire::IDENTIFIER, identifier)) {
                return Ok(Some(found));
            }
            if !contacts.has_more {
                return Ok(None);
            }
        }
        // What is not among the newest was not made a moment ago; the server's uniqueness has the last word.
        Ok(None)
    }

    async fn page(
        &self,
        build: impl Fn(&Http) -> super::Request + Send + Sync,
    ) -> Result<Contacts, Ended> {
        let answer = self.send(Intent::Read, build).await?;
        answer::contacts(&answer).map_err(|failure| self.failure(failure))
    }
}

fn query(page: &str) -> [(&'static str, &str); 3] {
    [("page", page), ("sort", "created_at"), ("include_contact_inboxes", "false")]
}

/// Whether the filter may show this row: it compares without case.
fn fits(row: &Contact, (name, value): &Key<'_>) -> bool {
    let lower = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_lowercase);
    lower(row.wire.body.get(*name)) == lower(Some(value))
}

fn fails(class: FailureClass, text: &str) -> Ended {
    PushResult::Failed(Failure::new(class, text))
}

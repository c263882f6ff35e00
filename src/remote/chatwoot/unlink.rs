//! What a person leaves behind: the contact stays with its history, and is nobody's.

use serde_json::{Map, Value, json};

use super::super::http::{Http, Method};
use super::contact::Contact;
use super::single::{Call, Ended, Written};
use super::{adopt, wire};
use crate::remote::{PushResult, Wire};

impl Call<'_> {
    /// Takes the address, and our marks, off a contact that somebody left behind ([`adopt::may_take_email`]).
    pub(super) async fn take_email(&self, from: &Contact, wire: &Wire) -> Result<(), Ended> {
        if !adopt::may_take_email(from, wire) {
            return Err(self.rejected(adopt::EMAIL_TAKEN));
        }
        self.drop_attribute(from).await?;
        let mut body = Map::from_iter([(wire::EMAIL.to_owned(), Value::Null)]);
        from.note_let_go(&mut body, &Value::Null);
        if from.identifier().is_some() {
            body.extend(no_identifier());
        }
        match self.put(from.id, &body).await? {
            Written::Done(_) | Written::Missing => Ok(()),
            Written::Refused(refusal) => Err(self.failure(refusal.failure)),
        }
    }

    /// A contact is never deleted: that would wipe the support history. It loses our marks, so that nothing takes it for
    /// the person's, and a person with its address who comes later adopts it.
    pub(super) async fn unlink_known(&self, remote_id: &str) -> Result<PushResult, Ended> {
        let contact = self.get(remote_id).await?;
        match contact.filter(|contact| contact.person() == Some(self.person)) {
            Some(contact) => self.unlink(contact).await,
            // It may have been merged into another one, which has our marks then.
            None => self.unlink_own().await,
        }
    }

    pub(super) async fn unlink_own(&self) -> Result<PushResult, Ended> {
        match self.look_up_own(true).await? {
            Some(contact) => self.unlink(contact).await,
            None => Ok(PushResult::Gone),
        }
    }

    /// The identifier last: while it is there, the contact is found by it. With it goes the note that we have let it go.
    async fn unlink(&self, contact: Contact) -> Result<PushResult, Ended> {
        self.drop_attribute(&contact).await?;
        let is_by_identifier = contact.identifier().and_then(wire::person_of_identifier).is_some();
        let mut body = if is_by_identifier { no_identifier() } else { Map::new() };
        if contact.foreign_identifier().is_none() {
            contact.note_let_go(&mut body, contact.email());
        }
        if !body.is_empty()
            && let Written::Refused(refusal) = self.put(contact.id, &body).await?
        {
            return Ok(self.failure(refusal.failure));
        }
        Ok(PushResult::Gone)
    }

    async fn drop_attribute(&self, contact: &Contact) -> Result<(), Ended> {
        if !contact.has_attribute() {
            return Ok(());
        }
        let path = self.client.contact_path(contact.id, "/destroy_custom_attributes");
        let body = json!({ "custom_attributes": [wire::ATTRIBUTE] });
        let request = |http: &Http| http.request(Method::Post, &path).json(&body);
        match self.write(contact.id, request).await? {
            Written::Done(_) | Written::Missing => Ok(()),
            Written::Refused(refusal) => Err(self.failure(refusal.failure)),
        }
    }
}

pub(super) fn no_identifier() -> Map<String, Value> {
    Map::from_iter([(wire::IDENTIFIER.to_owned(), Value::Null)])
}

//! The calls for one person, each with its proof: an answer counts only if it shows the member that was meant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::http::{Answer, Http, Intent, Method, Request};
use super::member::{self, Member, Status};
use super::{MailChimp, answer};
use crate::limits;
use crate::remote::{Failure, FailureClass, PushResult, SendBefore};

/// A push, or a list's part of it, that ended early, and how.
pub(super) type Ended = PushResult;

/// The calls for one person.
pub(super) struct Calls<'a> {
    pub(super) client: &'a MailChimp,
    /// The EMS id.
    pub(super) person: i64,
    /// The same as text.
    pub(super) ems_id: String,
    send_before: &'a SendBefore,
    /// A write was sent for them.
    wrote: AtomicBool,
    /// A write that would have made somebody theirs has no answer: they may be somebody there whom we don't know.
    lost: AtomicBool,
    /// Somebody who was not known was found to be theirs, with the address that they have now.
    found: AtomicBool,
    /// The server's clock when it was last seen.
    clock: Mutex<Option<(Timestamp, Instant)>>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(client: &'a MailChimp, person: i64, send_before: &'a SendBefore) -> Self {
        let [wrote, lost, found] = [const { AtomicBool::new(false) }; 3];
        let ems_id = person.to_string();
        Self { client, person, ems_id, send_before, wrote, lost, found, clock: Mutex::new(None) }
    }

    pub(super) fn note_found(&self) {
        self.found.store(true, Ordering::Relaxed);
    }

    /// What was lost was sent with the address that they have now: nobody else is made before it is found, so it is all of one
    /// push.
    pub(super) fn has_found(&self) -> bool {
        self.found.load(Ordering::Relaxed)
    }

    /// Whether they may be somebody there whom we don't know.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Looks at how the writes ended that would have made somebody theirs.
    pub(super) fn note_lost<T>(&self, end: Result<T, Ended>) -> Result<T, Ended> {
        let is_lost = match &end {
            Err(PushResult::Failed(failure)) if failure.unsent => false,
            Err(PushResult::Failed(failure)) => match failure.class {
                FailureClass::Ambiguous | FailureClass::Transient | FailureClass::OurFault => true,
                FailureClass::Throttled
                | FailureClass::Postponed
                | FailureClass::Authentication
                | FailureClass::Configuration
                | FailureClass::Rejected
                | FailureClass::StaleMapping
                | FailureClass::MissingParent => false,
            },
            Ok(_)
            | Err(
                PushResult::Differs(_)
                | PushResult::Held { .. }
                | PushResult::Gone
                | PushResult::Unsettled
                | PushResult::NotSent,
            ) => false,
        };
        self.lost.fetch_or(is_lost, Ordering::Relaxed);
        end
    }

    pub(super) fn has_written(&self) -> bool {
        self.wrote.load(Ordering::Relaxed)
    }

    /// The server's clock; ours where it does not tell.
    pub(super) fn server_now(&self) -> Timestamp {
        let clock = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.and_then(|(date, at)| date.checked_add(at.elapsed()).ok());
        now.unwrap_or_else(Timestamp::now)
    }

    /// The member at `key`: a hash, a contact id or an encoded address. One that lacks a merge field of ours is no member
    /// that we could write to: what we send would be lost in silence.
    pub(super) async fn get(&self, list: &str, key: &str) -> Result<Option<Member>, Ended> {
        let path = format!("/lists/{list}/members/{key}");
        let answer = self.send(Intent::Read, |http| http.request(Method::Get, &path)).await?;
        if answer::is_not_found(&answer) {
            return Ok(None);
        }
        let mut member = self.shown(&answer, Intent::Read, list)?;
        if member.has_more_tags {
            member.tags = self.all_tags(list, &member.id).await?;
        }
        Ok(Some(member))
    }

    /// The member of an address.
    pub(super) async fn find(&self, list: &str, email: &str) -> Result<Option<Member>, Ended> {
        let found = self.get(list, &member::subscriber_hash(email)).await?;
        self.of_address(found, email)
    }

    /// The same for an address whose hash may be an old one, made before addresses were lowered (contract, section 3).
    pub(super) async fn find_by_address(
        &self,
        list: &str,
        email: &str,
    ) -> Result<Option<Member>, Ended> {
        let found = self.get(list, &encoded(email)).await?;
        self.of_address(found, email)
    }

    fn of_address(&self, found: Option<Member>, email: &str) -> Result<Option<Member>, Ended> {
        match found {
            Some(found) if found.email != email => {
                Err(self.failed(answer::unreadable(Intent::Read)))
            }
            found => Ok(found),
        }
    }

    /// The member that somebody's contact id names; nobody, if it is another person's by now.
    pub(super) async fn get_ours(&self, list: &str, contact_id: &str) -> Result<Known, Ended> {
        Ok(match self.get(list, contact_id).await? {
            None => Known::Forgotten,
            Some(member) if member.contact_id != contact_id => {
                return Err(self.failed(answer::unreadable(Intent::Read)));
            }
            Some(member) if self.is_ours(&member) => Known::Ours(Box::new(member)),
            Some(member) => Known::SomebodyElses(Box::new(member)),
        })
    }

    pub(super) fn is_ours(&self, member: &Member) -> bool {
        member.ems_id.as_ref() == Some(&self.ems_id)
    }

    /// A new member, or what has become of one who came in between.
    pub(super) async fn put_new(
        &self,
        list: &str,
        email: &str,
        body: &Value,
    ) -> Result<Put, Ended> {
        self.note_lost(self.try_put_new(list, email, body).await)
    }

    async fn try_put_new(&self, list: &str, email: &str, body: &Value) -> Result<Put, Ended> {
        let path = format!("/lists/{list}/members/{}", member::subscriber_hash(email));
        let answer = self.put(&path, body).await?;
        if answer::is_there_already(&answer) {
            return Ok(Put::ThereAlready);
        }
        if answer::is_compliance(&answer) {
            return Ok(Put::Restricted);
        }
        let member = self.shown(&answer, Intent::Write, list)?;
        if member.email != email || !self.is_ours(&member) {
            return Err(self.failed(answer::unreadable(Intent::Write)));
        }
        Ok(Put::Done(Box::new(member)))
    }

    /// A member with another address (contract, section 5). There is no status in it: a member who is gone since we looked is
    /// not made anew. `None`: it is refused, since they left or it bounced.
    pub(super) async fn change_address(
        &self,
        list: &str,
        before: &Member,
        email: &str,
    ) -> Result<Option<Member>, Ended> {
        let path = format!("/lists/{list}/members/{}", before.id);
        let answer = self.put(&path, &json!({ "email_address": email })).await?;
        if answer::is_compliance(&answer) {
            return Ok(None);
        }
        let member = self.shown(&answer, Intent::Write, list)?;
        if member.email != email || member.contact_id != before.contact_id {
            return Err(self.failed(answer::unreadable(Intent::Write)));
        }
        Ok(Some(member))
    }

    async fn put(&self, path: &str, body: &Value) -> Result<Answer, Ended> {
        let request = |http: &Http| {
            http.request(Method::Put, path).query(&[("skip_merge_validation", "true")]).json(body)
        };
        self.send(Intent::Write, request).await
    }

    /// A part of a member. `None`: it is refused, since they left or it bounced.
    pub(super) async fn patch(
        &self,
        list: &str,
        before: &Member,
        body: &Value,
    ) -> Result<Option<Member>, Ended> {
        let path = format!("/lists/{list}/members/{}", before.id);
        let request = |http: &Http| {
            http.request(Method::Patch, &path)
                .query(&[("skip_merge_validation", "true")])
                .json(body)
        };
        let answer = self.send(Intent::Write, request).await?;
        if answer::is_not_found(&answer) {
            return Err(self.failed(gone_since()));
        }
        if answer::is_compliance(&answer) {
            return Ok(None);
        }
        let mut member = self.shown(&answer, Intent::Write, list)?;
        if member.contact_id != before.contact_id {
            return Err(self.failed(answer::unreadable(Intent::Write)));
        }
        if member.has_more_tags {
            member.tags.clone_from(&before.tags);
        }
        Ok(Some(member))
    }

    /// The same with their EMS id in it, which the answer must show.
    pub(super) async fn patch_all(
        &self,
        list: &str,
        before: &Member,
        body: &Value,
    ) -> Result<Option<Member>, Ended> {
        match self.patch(list, before, body).await? {
            Some(after) if !self.is_ours(&after) => {
                Err(self.failed(answer::unreadable(Intent::Write)))
            }
            after => Ok(after),
        }
    }

    /// Whether new members of a list must confirm.
    pub(super) async fn double_optin(&self, code: &str, list: &str) -> Result<bool, Ended> {
        let asked = self.client.double_optin(code, list, self.send_before).await;
        asked.map_err(|failure| self.failed(failure))?.ok_or_else(|| self.too_late())
    }

    /// A read of something else than a member.
    pub(super) async fn read(
        &self,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Ended> {
        self.send(Intent::Read, build).await
    }

    /// A member with one status or none, and these merge fields.
    pub(super) async fn patch_fields(
        &self,
        list: &str,
        before: &Member,
        status: Option<Status>,
        fields: Value,
    ) -> Result<Option<Member>, Ended> {
        let mut body = json!({ "merge_fields": fields });
        if let (Some(status), Some(body)) = (status, body.as_object_mut()) {
            body.insert("status".to_owned(), json!(status.word()));
        }
        let after = self.patch(list, before, &body).await?;
        match (status, after) {
            (Some(status), Some(after)) if after.status != status => {
                Err(self.failed(answer::unreadable(Intent::Write)))
            }
            (_, after) => Ok(after),
        }
    }

    /// Archives. `false`: it can't be archived as it stands.
    pub(super) async fn archive(&self, list: &str, member: &Member) -> Result<bool, Ended> {
        let path = format!("/lists/{list}/members/{}", member.id);
        let answer = self.send(Intent::Write, |http| http.request(Method::Delete, &path)).await?;
        if answer.status == 204 || answer::is_not_found(&answer) {
            return Ok(true);
        }
        let failure = answer::failure(&answer, Intent::Write);
        if answer.status == 405 && failure.class != FailureClass::Rejected {
            return Ok(false);
        }
        Err(self.failed(failure))
    }

    /// Sets tags and takes tags away, without starting anything that waits for tags.
    pub(super) async fn post_tags(
        &self,
        list: &str,
        member: &Member,
        tags: &[String],
        status: &str,
    ) -> Result<(), Ended> {
        let path = format!("/lists/{list}/members/{}/tags", member.id);
        let tags: Vec<Value> =
            tags.iter().map(|name| json!({ "name": name, "status": status })).collect();
        let body = json!({ "tags": tags, "is_syncing": true });
        let request = |http: &Http| http.request(Method::Post, &path).json(&body);
        let answer = self.send(Intent::Write, request).await?;
        if answer.status == 204 {
            return Ok(());
        }
        if answer::is_not_found(&answer) {
            return Err(self.failed(gone_since()));
        }
        Err(self.failed(answer::failure(&answer, Intent::Write)))
    }

    async fn all_tags(&self, list: &str, id: &str) -> Result<Vec<String>, Ended> {
        let path = format!("/lists/{list}/members/{id}/tags");
        let count = limits::MAILCHIMP_PAGE_ROWS.to_string();
        let request = |http: &Http| http.request(Method::Get, &path).query(&[("count", &count)]);
        let answer = self.send(Intent::Read, request).await?;
        tags(&answer).map_err(|failure| self.failed(failure))
    }

    /// The member that an answer shows.
    fn shown(&self, answer: &Answer, intent: Intent, list: &str) -> Result<Member, Ended> {
        let member =
            answer::member(answer, intent, list).map_err(|failure| self.failed(failure))?;
        match member.lacks_field {
            None => Ok(member),
            Some(field) => {
                let text = format!("A list has lost its merge field {field}: add one of type text");
                let failure = Failure::new(FailureClass::Configuration, text);
                self.client.alarms.raise(&failure);
                Err(self.failed(failure))
            }
        }
    }

    async fn send(
        &self,
        intent: Intent,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Ended> {
        let answer = self.client.call(intent, self.send_before, build).await;
        if intent == Intent::Write && !matches!(&answer, Ok(None)) {
            let is_unsent = answer.as_ref().is_err_and(|failure| failure.unsent);
            self.wrote.fetch_or(!is_unsent, Ordering::Relaxed);
        }
        let answer = answer.map_err(|f| self.failed(f))?.ok_or_else(|| self.too_late())?;
        if let Some(date) = answer.date() {
            let clock = Some((date, Instant::now()));
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
        }
        Ok(answer)
    }

    /// `NotSent` would be a lie after a write, even after one that was refused (obligation 4). A pause in the middle of a
    /// person is a pause: what was written before it was answered.
    pub(super) fn too_late(&self) -> Ended {
        if self.has_written() && self.client.http.is_quiet() {
            let text = "The server asked for a pause before the rest of the person was home";
            return PushResult::Failed(Failure::new(FailureClass::Throttled, text));
        }
        if self.has_written() {
            let text = "No time was left to bring the rest of the person home";
            return PushResult::Failed(Failure::new(FailureClass::Ambiguous, text));
        }
        PushResult::NotSent
    }

    pub(super) fn failed(&self, failure: Failure) -> Ended {
        let unsent = failure.unsent && !self.has_written();
        PushResult::Failed(Failure { unsent, ..failure })
    }
}

/// What a contact id that we know leads to.
pub(super) enum Known {
    /// The person's member.
    Ours(Box<Member>),
    /// A member who is another person's by now, or nobody's.
    SomebodyElses(Box<Member>),
    /// Nothing: it was deleted for good.
    Forgotten,
}

/// What became of a new member.
pub(super) enum Put {
    /// They are there.
    Done(Box<Member>),
    /// Somebody with that address is there, under another hash.
    ThereAlready,
    /// They left, or the address bounced: they are not made.
    Restricted,
}

/// The names of all tags of a member.
pub(super) fn tags(answer: &Answer) -> Result<Vec<String>, Failure> {
    let json = answer::json(answer, Intent::Read)?;
    let tags = json.get("tags").and_then(Value::as_array);
    let name = |tag: &Value| tag.get("name")?.as_str().map(str::to_owned);
    let tags: Option<Vec<String>> = tags.and_then(|tags| tags.iter().map(name).collect());
    tags.ok_or_else(|| answer::unreadable(Intent::Read))
}

fn gone_since() -> Failure {
    Failure::new(FailureClass::Transient, "The member is gone since it was read")
}

/// An address within a path (RFC 3986): everything but letters, digits, `-`, `.`, `_` and `~` is encoded.
fn encoded(email: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    email
        .bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_path_is_encoded() {
        assert_eq!(encoded("a+b/c?é@club.org"), "a%2Bb%2Fc%3F%C3%A9%40club.org");
    }
}

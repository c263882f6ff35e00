//! One authorised request, and the look-ups that are made of them.

use serde_json::Value;
use tokio::time::Instant;

use super::super::http::{Answer, Http, Intent, Method, Request};
use super::contact::Contact;
use super::wire::EMAIL;
use super::{Mautic, answer};
use crate::limits;
use crate::remote::{Failure, FailureClass, SendBefore};

impl Mautic {
    /// Sends an authorised request: one new token after a 401, then the refusal is final (contract, section 8). `Ok(None)`
    /// means that nothing was sent: `send_before` has passed, Mautic wants to be left alone, or it is another one by now.
    pub(super) async fn call(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        if self.place.is_another() {
            return Ok(None);
        }
        self.authorised(intent, send_before, false, build).await
    }

    /// The same, to whichever Mautic answers; `anew`: a refusal from before is no answer.
    pub(super) async fn authorised(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        anew: bool,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        let result = self.signed(intent, send_before, anew, build).await;
        match &result {
            Err(failure) => self.alarms.raise(failure),
            Ok(Some(answer)) if !answer.is_success() => {
                let failure = answer::failure(answer, intent);
                if let Some(pause) = failure.retry_after {
                    self.http.be_quiet_for(pause);
                }
                self.alarms.raise(&failure);
            }
            Ok(_) => {}
        }
        result
    }

    async fn signed(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        anew: bool,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        let mut asked = Instant::now();
        let Some(slot) = self.http.slot(send_before).await else { return Ok(None) };
        for is_last in [false, true] {
            if !self.http.ready(&slot).await {
                return Ok(None);
            }
            let pass = self.login.pass(&self.http, &slot, asked, anew).await;
            let pass = pass.map_err(|failure| if is_last { failure } else { failure.unsent() })?;
            if !self.http.ready(&slot).await {
                return Ok(None);
            }
            let request = self.login.sign(build(&self.http), &pass);
            let answer = self.http.send(&slot, intent, request).await?;
            if answer.status != 401 {
                return Ok(Some(answer));
            }
            if !self.login.renews(&pass).await {
                break;
            }
            asked = Instant::now();
        }
        let text =
            "401: the credentials are refused, or the web server does not pass `Authorization` on";
        Err(Failure::new(FailureClass::Authentication, text))
    }

    /// Why a request without a lease was not sent.
    pub(super) fn not_sent(&self) -> Failure {
        if self.http.is_quiet() {
            let text = "Mautic asked for a pause a moment ago";
            return Failure::new(FailureClass::Throttled, text).unsent();
        }
        Failure::new(FailureClass::Transient, "No slot in time").unsent()
    }

    /// The contacts whose field is exactly this: a `where` with `eq`, since `search` finds prefixes, nothing or everybody
    /// (section 3). A Mautic that ignores the filter answers with others, which is never absence.
    pub(super) async fn find(
        &self,
        alias: &'static str,
        value: &str,
        send_before: &SendBefore,
    ) -> Result<Option<Vec<Contact>>, Failure> {
        let limit = limits::MAUTIC_TWINS_MAX.to_string();
        let request = |http: &Http| {
            http.request(Method::Get, "/api/contacts").query(&[
                ("where[0][col]", alias),
                ("where[0][expr]", "eq"),
                ("where[0][val]", value),
                ("limit", &limit),
            ])
        };
        let Some(answer) = self.call(Intent::Read, send_before, request).await? else {
            return Ok(None);
        };
        let (contacts, total) = answer::contacts(&answer)?;
        if total > contacts.len() {
            // Also for some seconds after one of them went, where totals are cached (section 7).
            let text = "A look-up shows fewer contacts than it says that it found";
            return Err(Failure::new(FailureClass::Transient, text));
        }
        let is_it = |contact: &Contact| match alias {
            EMAIL => contact.email() == Some(value),
            _ => contact.key() == Some(value),
        };
        // The database compares without case and accents, so that others may be among them (section 3).
        let (ours, others): (Vec<_>, Vec<_>) = contacts.into_iter().partition(is_it);
        if ours.is_empty() && !others.is_empty() {
            let text = format!("Mautic ignored the filter `{alias}`: absence can't be told");
            return Err(Failure::new(FailureClass::OurFault, text));
        }
        Ok(Some(ours))
    }

    /// The contacts with any of these addresses. `Ok(Some(None))` where that can't be told in one call.
    ///
    /// How a list is written in a `where` stands in no document, and a Mautic that takes it for something else would find
    /// nothing, which must not pass for absence: so a contact that is known to be there is looked up with them.
    pub(super) async fn find_emails(
        &self,
        emails: &[&str],
        send_before: &SendBefore,
    ) -> Result<Option<Option<Vec<Contact>>>, Failure> {
        let Some(witness) = self.witness().clone() else { return Ok(Some(None)) };
        let mut emails = emails.to_vec();
        if !emails.contains(&witness.as_str()) {
            emails.push(&witness);
        }
        let limit = limits::MAUTIC_PAGE_ROWS.to_string();
        let names: Vec<String> =
            (0..emails.len()).map(|place| format!("where[0][val][{place}]")).collect();
        let mut query =
            vec![("where[0][col]", EMAIL), ("where[0][expr]", "in"), ("limit", limit.as_str())];
        query.extend(names.iter().map(String::as_str).zip(emails.iter().copied()));
        let request = |http: &Http| http.request(Method::Get, "/api/contacts").query(&query);
        let Some(answer) = self.call(Intent::Read, send_before, request).await? else {
            return Ok(None);
        };
        if answer::refuses_the_call(&answer) {
            return Ok(Some(None));
        }
        let (contacts, total) = answer::contacts(&answer)?;
        let is_asked =
            |contact: &Contact| contact.email().is_some_and(|email| emails.contains(&email));
        let is_witness = |contact: &Contact| contact.email() == Some(&witness);
        if !contacts.iter().any(is_witness) {
            self.witness().take();
            return Ok(Some(None));
        }
        let is_whole = total <= contacts.len() && contacts.iter().all(is_asked);
        Ok(Some(is_whole.then_some(contacts)))
    }
}

/// The path of what is done with one contact.
pub(super) fn path(id: impl std::fmt::Display, action: &str) -> String {
    format!("/api/contacts/{id}{action}")
}

/// The JSON of a body.
pub(super) fn with_id(mut body: serde_json::Map<String, Value>, id: i64) -> Value {
    body.insert("id".to_owned(), Value::from(id));
    Value::Object(body)
}

//! Whether a Chatwoot is set up as the mapping needs it, and who we are there (contract, sections 1, 3 and 6).
//!
//! Nothing tells one installation from another one, nor whose a token is: the account is the address and the account's number.
//! So ids prove nothing by themselves, and a contact is read before it is written to.

use serde_json::{Value, json};

use super::super::http::{Answer, Http, Intent, Method};
use super::answer::{self, Names};
use super::{Chatwoot, Request, no_lease, wire};
use crate::hash::ContentHash;
use crate::remote::{Account, Failure, FailureClass};
use crate::target::Target;

/// Raised when an account's digest is made of something else; the target is then held until it is rebound.
const ACCOUNT_VERSION: u32 = 1;

/// Where people define contacts' attributes; read with the model of contacts.
const DEFINITIONS: &str = "/custom_attribute_definitions";
/// The number of the model of contacts.
const CONTACT_MODEL: &str = "1";

impl Chatwoot {
    /// Looks whether the token is an administrator's, and whether agents can see the EMS id; defines its attribute if it is
    /// missing.
    pub(super) async fn set_up(&self) -> Result<Account, Failure> {
        self.look_for_administrator().await?;
        if !self.has_attribute().await? {
            self.define_attribute().await?;
        }
        let address = json!({ "address": self.http.base_url(), "account_id": self.account_id });
        let login = ContentHash::of(Target::Chatwoot, ACCOUNT_VERSION, &address);
        Ok(Account { login, instance: None })
    }

    /// Only administrators see the account's webhooks.
    pub(super) async fn look_for_administrator(&self) -> Result<(), Failure> {
        let path = self.path("/webhooks");
        let answer = self.ask(Intent::Read, |http| http.request(Method::Get, &path)).await?;
        if !answer.is_success() {
            return Err(answer::failure(&answer, Intent::Read, Names::Account));
        }
        let json = answer.json();
        let webhooks = json.as_ref().and_then(|json| json.get("payload")?.get("webhooks"));
        webhooks.and_then(Value::as_array).map(|_| ()).ok_or_else(|| odd("webhooks"))
    }

    async fn has_attribute(&self) -> Result<bool, Failure> {
        let path = self.path(DEFINITIONS);
        let request = |http: &Http| {
            http.request(Method::Get, &path).query(&[("attribute_model", CONTACT_MODEL)])
        };
        let answer = self.ask(Intent::Read, request).await?;
        if !answer.is_success() {
            return Err(answer::failure(&answer, Intent::Read, Names::Account));
        }
        let json = answer.json();
        let definitions = json.as_ref().and_then(Value::as_array);
        let definitions = definitions.ok_or_else(|| odd("attribute definitions"))?;
        let key = |definition: &Value| definition.get("attribute_key").cloned();
        Ok(definitions.iter().filter_map(key).any(|key| key == wire::ATTRIBUTE))
    }

    /// Several processes may try at once: whoever did it, it must be there afterwards.
    async fn define_attribute(&self) -> Result<(), Failure> {
        let path = self.path(DEFINITIONS);
        let body = json!({
            "attribute_display_name": "EMS person",
            "attribute_key": wire::ATTRIBUTE,
            "attribute_display_type": 0,
            "attribute_model": 1,
        });
        let request = |http: &Http| http.request(Method::Post, &path).json(&body);
        let answer = self.ask(Intent::Write, request).await?;
        if !answer.is_success() && answer.status != 422 {
            return Err(answer::failure(&answer, Intent::Read, Names::Account));
        }
        if self.has_attribute().await? {
            return Ok(());
        }
        let text = format!(
            "The contact attribute `{}` is missing and can't be created: define it in Chatwoot (custom attributes, contact, \
             text)",
            wire::ATTRIBUTE
        );
        Err(Failure::new(FailureClass::Configuration, text))
    }

    /// A request about nobody. That a definition may have been made changes no contact: its loss is transient.
    async fn ask(
        &self,
        intent: Intent,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Failure> {
        match self.request(intent, &no_lease(), build).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.not_sent()),
            Err(failure) if failure.class == FailureClass::Ambiguous => {
                Err(Failure { class: FailureClass::Transient, ..failure })
            }
            Err(failure) => Err(failure),
        }
    }
}

fn odd(what: &str) -> Failure {
    Failure::new(
        FailureClass::Transient,
        format!("The list of {what} is not what the contract has"),
    )
}

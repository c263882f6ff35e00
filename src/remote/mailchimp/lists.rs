//! The account and its lists: who we are there, and whether each list has what the mapping needs (contract, sections 1, 2
//! and 4: a merge field that is missing loses data in silence).

use std::sync::PoisonError;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::http::{Http, Intent, Method};
use super::member::{EMS_ID, EMS_OUT, EMS_TAGS, FIRST_NAME, LAST_NAME};
use super::{MailChimp, answer};
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::{Account, Failure, FailureClass, SendBefore};
use crate::target::Target;

/// Raised when an account's digests are made of something else; the target is then held until it is rebound.
const ACCOUNT_VERSION: u32 = 1;

/// The merge fields that are ours, with their names for people. They are made where they are missing.
const OURS: [(&str, &str); 3] =
    [(EMS_ID, "EMS id"), (EMS_OUT, "EMS opt-out"), (EMS_TAGS, "EMS tags")];

/// What we need to know of a list besides its id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    double_optin: bool,
    read_at: Instant,
}

impl MailChimp {
    /// Asks who we are.
    pub(super) async fn ask_account(&self) -> Result<Account, Failure> {
        let answer = self
            .read(|http| http.request(Method::Get, "/").query(&[("fields", "account_id")]))
            .await?;
        let account = answer::json(&answer, Intent::Read).map_err(of_account)?;
        let id = account.get("account_id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| answer::unreadable(Intent::Read))?;
        let print = |value: Value| ContentHash::of(Target::MailChimp, ACCOUNT_VERSION, &value);
        Ok(Account {
            login: print(json!({ "account": id, "data_centre": self.data_centre() })),
            instance: Some(print(json!({ "account": id }))),
        })
    }

    /// Looks at every configured list, and makes our merge fields where they are missing.
    pub(super) async fn check_lists(&self) -> Result<(), Failure> {
        for (code, list) in &self.lists {
            self.read_settings(code, list, None).await?;
            let mut fields = self.merge_fields(code, list).await?;
            for (tag, name) in OURS {
                if fields.iter().all(|field| field.tag != tag) {
                    self.make_field(list, tag, name).await?;
                    fields = self.merge_fields(code, list).await?;
                }
            }
            check_fields(code, &fields)?;
        }
        Ok(())
    }

    /// Whether new members of a list must confirm. Read again after a while: people may change it. `None`: nothing was sent.
    pub(super) async fn double_optin(
        &self,
        code: &str,
        list: &str,
        send_before: &SendBefore,
    ) -> Result<Option<bool>, Failure> {
        let known = {
            let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            settings.get(code).copied()
        };
        match known.filter(|known| known.read_at.elapsed() < limits::MAILCHIMP_SETTINGS_FOR) {
            Some(known) => Ok(Some(known.double_optin)),
            None => self.read_settings(code, list, Some(send_before)).await,
        }
    }

    async fn read_settings(
        &self,
        code: &str,
        list: &str,
        send_before: Option<&SendBefore>,
    ) -> Result<Option<bool>, Failure> {
        let path = format!("/lists/{list}");
        let request =
            |http: &Http| http.request(Method::Get, &path).query(&[("fields", "id,double_optin")]);
        let answer = match send_before {
            None => self.read(request).await?,
            Some(until) => match self.call(Intent::Read, until, request).await? {
                None => return Ok(None),
                Some(answer) => answer,
            },
        };
        if answer::is_not_found(&answer) {
            return Err(missing_list(code));
        }
        let settings = answer::json(&answer, Intent::Read)?;
        let is_it = settings.get("id").and_then(Value::as_str) == Some(list);
        let double_optin = settings.get("double_optin").and_then(Value::as_bool).filter(|_| is_it);
        let double_optin = double_optin.ok_or_else(|| answer::unreadable(Intent::Read))?;
        let settings = Settings { double_optin, read_at: Instant::now() };
        self.settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(code.to_owned(), settings);
        Ok(Some(double_optin))
    }

    async fn merge_fields(&self, code: &str, list: &str) -> Result<Vec<MergeField>, Failure> {
        let path = format!("/lists/{list}/merge-fields");
        let answer =
            self.read(|http| http.request(Method::Get, &path).query(&[("count", "1000")])).await?;
        if answer::is_not_found(&answer) {
            return Err(missing_list(code));
        }
        let json = answer::json(&answer, Intent::Read)?;
        let fields = json.get("merge_fields").and_then(Value::as_array);
        let total = json.get("total_items").and_then(Value::as_u64);
        let fields: Option<Vec<MergeField>> =
            fields.and_then(|fields| fields.iter().map(MergeField::read).collect());
        let is_whole =
            |fields: &Vec<MergeField>| u64::try_from(fields.len()).is_ok_and(|n| Some(n) == total);
        fields.filter(is_whole).ok_or_else(|| answer::unreadable(Intent::Read))
    }

    /// Makes a merge field. A refusal is no failure yet: another process may have made it a moment ago, which the list that
    /// is read after this tells.
    async fn make_field(&self, list: &str, tag: &str, name: &str) -> Result<(), Failure> {
        let path = format!("/lists/{list}/merge-fields");
        let body =
            json!({"tag": tag, "name": name, "type": "text", "required": false, "public": false});
        let until = SendBefore::from(Instant::now() + limits::LEASE_MIN);
        let request = |http: &Http| http.request(Method::Post, &path).json(&body);
        let answer = self.call(Intent::Write, &until, request).await?;
        let answer = answer.ok_or_else(|| self.not_sent())?;
        if answer.is_success() || answer.status == 400 {
            return Ok(());
        }
        // No entity's record was written: a lost answer is simply asked again.
        let failure = answer::failure(&answer, Intent::Read);
        Err(of_account(failure))
    }
}

/// A merge field of a list.
struct MergeField {
    tag: String,
    kind: String,
}

impl MergeField {
    fn read(row: &Value) -> Option<Self> {
        let text = |name: &str| row.get(name)?.as_str().map(str::to_owned);
        Some(Self { tag: text("tag")?, kind: text("type")? })
    }
}

/// Every field that we write is there and takes text.
fn check_fields(code: &str, fields: &[MergeField]) -> Result<(), Failure> {
    for tag in [FIRST_NAME, LAST_NAME, EMS_ID, EMS_OUT, EMS_TAGS] {
        let text = match fields.iter().find(|field| field.tag == tag) {
            Some(field) if field.kind == "text" => continue,
            Some(_) => format!("The merge field {tag} of list `{code}` must be of type text"),
            None => format!("List `{code}` has no merge field {tag}: add one of type text"),
        };
        return Err(Failure::new(FailureClass::Configuration, text));
    }
    Ok(())
}

fn missing_list(code: &str) -> Failure {
    let text = format!(
        "MailChimp has no list with the id in `targets.mailchimp.lists.{code}`: correct it"
    );
    Failure::new(FailureClass::Configuration, text)
}

/// A refusal here says nothing of an entity: whatever else it looks like, it is the target that can't be used.
fn of_account(failure: Failure) -> Failure {
    let class = match failure.class {
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Authentication
        | FailureClass::Configuration => failure.class,
        FailureClass::Ambiguous
        | FailureClass::Postponed
        | FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => FailureClass::Transient,
    };
    Failure { class, ..failure }
}

//! What subscribers and administrators do, behind the worker's back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::address::subscriber_hash;
use super::list::List;
use super::member::{Member, OptOut, Row, Status, stamp};
use super::options::MailChimpSettings;
use super::store::Store;
use super::webhook::{Event, Source};
use crate::ControlError;

/// One act of a person. On the control API: `{"act": "unsubscribe", "member": …, "list_id": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// They subscribe by a form: whatever they did before, and also if they are nobody yet.
    Subscribe,
    /// They confirm a pending subscription.
    Confirm,
    /// They unsubscribe.
    Unsubscribe,
    /// They report spam.
    Complain,
    /// Their address bounces for good.
    Clean,
    /// An administrator unsubscribes them.
    UnsubscribeByAdmin,
    /// An administrator archives them.
    Archive,
    /// An administrator deletes them for good.
    Forget,
    /// They have another address.
    ChangeAddress {
        /// The new one.
        email_address: String,
    },
    /// An administrator gives them a tag.
    Tag {
        /// Its name.
        name: String,
    },
    /// An administrator takes a tag away.
    Untag {
        /// Its name.
        name: String,
    },
    /// They have subscribed to a lot of lists: new subscriptions are refused this often.
    CrowdSignups {
        /// How often.
        times: u64,
    },
    /// From now on, only MailChimp's support can remove them.
    Protect,
}

/// What the webhooks have to tell of it.
struct Told {
    event: Event,
    source: Source,
}

fn unfit(why: &str) -> ControlError {
    ControlError::Unfit(why.to_owned())
}

/// An act as the control API words it.
pub(super) fn act_by_json(
    store: &mut Store,
    act: &Value,
    settings: &MailChimpSettings,
    now: Timestamp,
) -> Result<Value, ControlError> {
    let mut words = act.as_object().cloned().ok_or_else(|| unfit("an act is an object"))?;
    if words.get("act").and_then(Value::as_str) == Some("take_webhooks") {
        let deliveries = store.take_deliveries();
        return serde_json::to_value(deliveries)
            .map_err(|error| ControlError::Unfit(error.to_string()));
    }
    let mut text = |name: &str| words.remove(name).and_then(|v| v.as_str().map(str::to_owned));
    let (list_id, who) = (text("list_id"), text("member"));
    let who = who.ok_or_else(|| unfit("it names no member"))?;
    let words = Value::Object(words);
    let act: Act = serde_json::from_value(words.clone())
        .map_err(|error| ControlError::Unfit(error.to_string()))?;
    // Serde lets an act without details have any.
    if serde_json::to_value(&act).ok() != Some(words) {
        return Err(unfit("it has more words than the act"));
    }
    let row = perform(store, list_id.as_deref(), &who, &act, settings, now)?;
    Ok(row.map_or(json!({}), |row| row.body))
}

/// Somebody acts; what they are afterwards, if they are still there.
pub(super) fn perform(
    store: &mut Store,
    list_id: Option<&str>,
    who: &str,
    act: &Act,
    settings: &MailChimpSettings,
    now: Timestamp,
) -> Result<Option<Row>, ControlError> {
    let first = store.lists().first().map(|list| list.options.id.clone()).unwrap_or_default();
    let (list, next_web_id) =
        store.split(list_id.unwrap_or(&first)).ok_or_else(|| unfit("there is no such list"))?;
    if let Act::CrowdSignups { times } = act {
        list.crowded.insert(subscriber_hash(who), *times);
        return Ok(None);
    }
    let found = list.find(who).cloned();
    let mut member = match (found, act) {
        (Some(member), _) => member,
        (None, Act::Subscribe) => {
            let id = subscriber_hash(who);
            let member = Member::new(*next_web_id, id, who, Status::Subscribed, now);
            *next_web_id += 1;
            member
        }
        (None, _) => return Err(unfit("there is no such member")),
    };
    let old_email = member.email_address.clone();
    if *act == Act::Forget {
        list.take(member.web_id);
        list.forgotten.insert(subscriber_hash(&old_email));
        return Ok(None);
    }
    let told = change(list, &mut member, act, settings)?;
    if *act == Act::Subscribe {
        member.origin.insert("timestamp_opt", stamp(now));
    }
    let tags_only = matches!(act, Act::Tag { .. } | Act::Untag { .. } | Act::Protect);
    if !tags_only || settings.tags_touch {
        member.last_changed = now;
    }
    let row = member.row(list);
    list.put(member.clone());
    if let Some(Told { event, source }) = told {
        let old_email = (event == Event::UpEmail).then_some(old_email.as_str());
        list.tell(event, source, &member, old_email, now);
    }
    Ok(Some(row))
}

fn change(
    list: &mut List,
    member: &mut Member,
    act: &Act,
    settings: &MailChimpSettings,
) -> Result<Option<Told>, ControlError> {
    let (status, opt_out, event, source) = match act {
        Act::Subscribe => {
            list.forgotten.remove(&subscriber_hash(&member.email_address));
            (Status::Subscribed, None, Event::Subscribe, Source::User)
        }
        Act::Confirm => (Status::Subscribed, None, Event::Subscribe, Source::User),
        Act::Unsubscribe => {
            (Status::Unsubscribed, Some(OptOut::Member), Event::Unsubscribe, Source::User)
        }
        Act::Complain => {
            (Status::Unsubscribed, Some(OptOut::Complaint), Event::Unsubscribe, Source::User)
        }
        Act::Clean => (Status::Cleaned, Some(OptOut::Bounce), Event::Cleaned, Source::Admin),
        Act::UnsubscribeByAdmin => {
            let opt_out = member.opt_out.or(Some(OptOut::Admin));
            (Status::Unsubscribed, opt_out, Event::Unsubscribe, Source::Admin)
        }
        Act::Archive => (Status::Archived, member.opt_out, Event::Unsubscribe, Source::Admin),
        Act::ChangeAddress { email_address } => {
            let id = subscriber_hash(email_address);
            if list.find_email(email_address).is_some_and(|other| other.web_id != member.web_id) {
                return Err(unfit("the address is a member already"));
            }
            member.id = id;
            email_address.trim().clone_into(&mut member.email_address);
            return Ok(Some(Told { event: Event::UpEmail, source: Source::User }));
        }
        Act::Tag { name } => {
            let key = list.tag_key(name, settings.tag_case);
            if !member.tags.contains(&key) {
                member.tags.push(key);
            }
            return Ok(None);
        }
        Act::Untag { name } => {
            member.tags.retain(|key| *key != name.to_lowercase());
            return Ok(None);
        }
        Act::Protect => {
            member.protected = true;
            return Ok(None);
        }
        Act::Forget | Act::CrowdSignups { .. } => return Ok(None),
    };
    member.archived_by = (*act == Act::Archive).then_some(source);
    member.status = status;
    member.opt_out = opt_out;
    Ok(Some(Told { event, source }))
}

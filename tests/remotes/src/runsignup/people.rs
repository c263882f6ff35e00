//! What happens at the remote without the worker: participants register, refund, transfer and
//! edit; rows are planted and torn out.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::resource::Resource;
use super::rows::{Event, Race, Reason, Registration, Removal, User};
use super::server::RunSignup;
use super::store::Store;
use crate::sync::lock;
use crate::{ControlError, Remote as _};

/// What somebody does with a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes it back within 15 minutes.
    Clear,
    /// Has it refunded, or removes it by hand.
    Remove,
    /// Puts it off to another year.
    Defer,
    /// Moves it to another event; it gets another id.
    Transfer {
        /// The other event.
        event_id: i64,
    },
    /// Makes one stand again that was removed.
    Reactivate,
}

/// One act, as the control API takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
enum Act {
    Clear {
        registration_id: i64,
    },
    Remove {
        registration_id: i64,
    },
    Defer {
        registration_id: i64,
    },
    Reactivate {
        registration_id: i64,
    },
    Transfer {
        registration_id: i64,
        event_id: i64,
    },
    /// Make the signed form of a callback to partners.
    Callback {
        registration_id: i64,
        kind: String,
    },
    /// Make an OAuth access token.
    IssueToken {
        writes: bool,
    },
}

impl RunSignup {
    /// All rows of a resource, by id.
    pub(super) fn all_rows(&self, resource: Resource) -> Result<Vec<Value>, ControlError> {
        let store = lock(&self.store);
        let rows = match resource {
            Resource::Race => store.races.values().map(serde_json::to_value).collect(),
            Resource::Event => store.events.values().map(serde_json::to_value).collect(),
            Resource::User => store.users.values().map(serde_json::to_value).collect(),
            Resource::Registration => store.registrations().map(serde_json::to_value).collect(),
        };
        let rows: Result<Vec<Value>, serde_json::Error> = rows;
        rows.map_err(|error| unfit(error.to_string()))
    }

    /// Makes a row, or changes the one with the `id`: what is given is set, null clears. A
    /// registration's `user` is the user's row.
    pub(super) fn plant(&self, resource: Resource, row: &Value) -> Result<Value, ControlError> {
        let given = row.as_object().ok_or_else(|| unfit("a row is an object"))?.clone();
        let now = self.now();
        let mut store = lock(&self.store);
        let id = match given.get("id") {
            None | Some(Value::Null) => None,
            Some(id) => Some(id.as_i64().ok_or_else(|| unfit("id is a whole number"))?),
        };
        let planted = match resource {
            Resource::Race => {
                let old = id.and_then(|id| store.races.get(&id)).cloned();
                let is_new = old.is_none();
                let mut race: Race = merged(old, given.clone())?;
                if is_new && !given.contains_key("created") {
                    race.created = now;
                }
                if !given.contains_key("last_modified") {
                    race.last_modified = now;
                }
                race.id = settled(&mut store, resource, id);
                let shown = serde_json::to_value(&race);
                store.races.insert(race.id, race);
                store.reindex();
                shown
            }
            Resource::Event => {
                let mut event: Event =
                    merged(id.and_then(|id| store.events.get(&id)).cloned(), given)?;
                if !store.races.contains_key(&event.race_id) {
                    return Err(unfit("there is no such race_id"));
                }
                event.id = settled(&mut store, resource, id);
                let shown = serde_json::to_value(&event);
                store.events.insert(event.id, event);
                store.reindex();
                shown
            }
            Resource::User => {
                let user = self.plant_user(&mut store, id, given)?;
                serde_json::to_value(&user)
            }
            Resource::Registration => {
                let planted = self.plant_registration(&mut store, id, given)?;
                serde_json::to_value(&planted)
            }
        };
        planted.map_err(|error| unfit(error.to_string()))
    }

    /// Removes a row without a trace; `false` if it was not there.
    pub(super) fn tear_out(&self, resource: Resource, id: i64) -> bool {
        let mut store = lock(&self.store);
        match resource {
            Resource::Race => store.races.remove(&id).is_some(),
            Resource::Event => store.events.remove(&id).is_some(),
            Resource::User => store.users.remove(&id).is_some(),
            Resource::Registration => store.take(id).is_some(),
        }
    }

    /// Does what somebody does with a registration; the one that then stands for it, if it could
    /// be done.
    pub(super) fn do_with(&self, id: i64, action: Action) -> Option<Registration> {
        let at = self.now().as_second();
        do_with(&mut lock(&self.store), id, action, at)
    }

    /// Does what the control API asks for.
    pub(super) fn perform(&self, act: &Value) -> Result<Value, ControlError> {
        let act: Act = Act::deserialize(act).map_err(|error| unfit(error.to_string()))?;
        let (id, action) = match act {
            Act::Clear { registration_id } => (registration_id, Action::Clear),
            Act::Remove { registration_id } => (registration_id, Action::Remove),
            Act::Defer { registration_id } => (registration_id, Action::Defer),
            Act::Reactivate { registration_id } => (registration_id, Action::Reactivate),
            Act::Transfer { registration_id, event_id } => {
                (registration_id, Action::Transfer { event_id })
            }
            Act::Callback { registration_id, kind } => {
                return Ok(json!({ "form": self.callback(&kind, registration_id) }));
            }
            Act::IssueToken { writes } => {
                return Ok(json!({ "token": lock(&self.tokens).issue(writes, self.now()) }));
            }
        };
        let row = self.do_with(id, action).ok_or_else(|| unfit("it cannot be done with it"))?;
        serde_json::to_value(row).map_err(|error| unfit(error.to_string()))
    }

    fn plant_user(
        &self,
        store: &mut Store,
        id: Option<i64>,
        given: Map<String, Value>,
    ) -> Result<User, ControlError> {
        let mut user: User = merged(id.and_then(|id| store.users.get(&id)).cloned(), given)?;
        user.id = settled(store, Resource::User, id);
        store.users.insert(user.id, user.clone());
        if self.current_settings().profile_edit_touches_registrations {
            let at = self.now().as_second();
            let theirs = store.registrations().filter(|row| row.user_id == user.id);
            for row in theirs.cloned().collect::<Vec<_>>() {
                store.put(Registration { last_modified: at, ..row });
            }
        }
        Ok(user)
    }

    fn plant_registration(
        &self,
        store: &mut Store,
        id: Option<i64>,
        mut given: Map<String, Value>,
    ) -> Result<Registration, ControlError> {
        let at = self.now().as_second();
        let user = given.remove("user");
        let old = id.and_then(|id| store.registration(id)).cloned();
        let (is_new, is_touched) = (old.is_none(), given.keys().any(|name| name != "id"));
        let dated = |name: &str| given.contains_key(name);
        let (registered, modified) = (dated("registered_at"), dated("last_modified"));
        let mut row: Registration = merged(old, given)?;
        if !store.events.contains_key(&row.event_id) {
            return Err(unfit("there is no such event_id"));
        }
        if let Some(user) = user {
            let user = user.as_object().ok_or_else(|| unfit("user is an object"))?.clone();
            let known = (!is_new).then_some(row.user_id);
            row.user_id = self.plant_user(store, known, user)?.id;
        }
        if !store.users.contains_key(&row.user_id) {
            return Err(unfit("there is no such user_id"));
        }
        if is_new && !registered {
            row.registered_at = at;
        }
        if (is_new || is_touched) && !modified {
            row.last_modified = at;
        }
        row.id = settled(store, Resource::Registration, id);
        store.put(row.clone());
        Ok(row)
    }
}

fn do_with(store: &mut Store, id: i64, action: Action, at: i64) -> Option<Registration> {
    let end = |store: &mut Store, reason| {
        store.end(id, Removal { reason, at, new_registration_id: None }).then_some(id)
    };
    let id = match action {
        Action::Clear => end(store, Reason::Cleared),
        Action::Remove => end(store, Reason::Removed),
        Action::Defer => end(store, Reason::Deferred),
        Action::Transfer { event_id } if store.events.contains_key(&event_id) => {
            store.transfer(id, event_id, true, at)
        }
        Action::Transfer { .. } => None,
        Action::Reactivate => {
            let row = store.registration(id).filter(|row| !row.active)?.clone();
            store.put(Registration { active: true, last_modified: at, ..row });
            Some(id)
        }
    }?;
    store.registration(id).cloned()
}

/// The id of a planted row: its own, or the next.
fn settled(store: &mut Store, resource: Resource, id: Option<i64>) -> i64 {
    match id {
        None => store.next_id(resource),
        Some(id) => {
            store.skip_id(resource, id);
            id
        }
    }
}

/// `old`, or a row of defaults, with what is given; null makes it the default.
fn merged<T: Serialize + DeserializeOwned + Default>(
    old: Option<T>,
    given: Map<String, Value>,
) -> Result<T, ControlError> {
    let wrong = |error: serde_json::Error| unfit(error.to_string());
    let mut row = serde_json::to_value(old.unwrap_or_default()).map_err(wrong)?;
    merge(&mut row, given);
    serde_json::from_value(row).map_err(wrong)
}

/// A merge patch (RFC 7396).
fn merge(row: &mut Value, given: Map<String, Value>) {
    if !row.is_object() {
        *row = json!({});
    }
    let Some(fields) = row.as_object_mut() else { return };
    for (name, value) in given {
        match value {
            Value::Null => {
                fields.remove(&name);
            }
            Value::Object(inner) => merge(fields.entry(name).or_insert(Value::Null), inner),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                fields.insert(name, value);
            }
        }
    }
}

fn unfit(why: impl Into<String>) -> ControlError {
    ControlError::Unfit(why.into())
}

//! `POST /rest/race/{id}/participants`: add or edit (contract, section 7a).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::auth::Caller;
use super::clock::eastern;
use super::draft::{self, Context};
use super::error::ApiError;
use super::form::{Form, number, rows};
use super::options::{BatchErrors, RunSignupSettings, UnrestrictedAdd};
use super::resource::Resource;
use super::rows::{Event, Race, Reason, Registration, User};
use super::serve::reachable;
use super::server::RunSignup;
use super::store::Store;
use super::subject::external_id;
use crate::sync::lock;
use crate::{Effect, Record, Remote as _, Request, RowEffect};

/// Rows of one call that the contract advises at most.
const MAX_ROWS: usize = 50;

/// What a write works with.
struct Desk<'a> {
    store: &'a mut Store,
    race: &'a Race,
    event: &'a Event,
    settings: RunSignupSettings,
    now: jiff::Timestamp,
    restricted: bool,
    record: &'a mut Record,
    /// What was there before, to be put back.
    undo: Vec<Undo>,
}

enum Undo {
    User(i64, Option<User>),
    Registration(i64, Option<Registration>),
}

/// A committed row.
struct Written {
    id: i64,
    effect: Effect,
    changed: bool,
}

impl RunSignup {
    /// `POST /rest/race/{id}/participants`
    pub(super) fn write_participants(
        &self,
        race: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        caller.writes()?;
        let form = Form::read(request);
        let body = form.checked(request, record)?;
        let restricted = match form.value_or_query(request, "restrict_potential_dup") {
            Some("T") => true,
            Some("F") => false,
            _ => {
                record.violation("no_restrict_potential_dup", "restrict_potential_dup");
                return Err(ApiError::new(3));
            }
        };
        let event = form.value_or_query(request, "event_id").and_then(|id| id.parse().ok());
        let event: i64 = event.ok_or_else(|| {
            record.violation("no_event_id", "event_id");
            ApiError::new(3)
        })?;
        let sent = rows(&body, "participants");
        if sent.is_empty() {
            record.violation("malformed_request", "participants");
            return Err(ApiError::new(3));
        }
        audit(sent, restricted, record);
        let (now, settings) = (self.now(), self.current_settings());
        let mut store = lock(&self.store);
        let race = reachable(&store, race)?.clone();
        let event = store.events.get(&event).filter(|event| event.race_id == race.id).cloned();
        let event = event.ok_or_else(|| ApiError::new(15))?;
        let desk = Desk {
            store: &mut store,
            race: &race,
            event: &event,
            settings,
            now,
            restricted,
            record,
            undo: Vec::new(),
        };
        desk.write(sent)
    }
}

impl<'a> Desk<'a> {
    fn write(mut self, sent: &[Value]) -> Result<Value, ApiError> {
        let mut replies = Vec::new();
        let mut errors = Vec::new();
        let mut effects = Vec::new();
        for row in sent {
            let named = external_id(row, self.store);
            let known = number(row.get("registration_id")).map(|id| id.to_string());
            let written = match number(row.get("registration_id")) {
                Some(id) => self.edit(id, row),
                None => self.add(row),
            };
            let effect = match &written {
                Ok(written) => RowEffect {
                    external_id: named.or_else(|| Some(format!("reg-{}", written.id))),
                    remote_id: Some(written.id.to_string()),
                    effect: written.effect,
                    changed: written.changed,
                    status: 200,
                },
                Err(error) => RowEffect {
                    external_id: named,
                    remote_id: known,
                    effect: Effect::Refused,
                    changed: false,
                    status: error.code,
                },
            };
            effects.push(effect);
            match written {
                Ok(written) => {
                    replies.push(json!({ "registration_id": written.id }));
                    errors.push(json!({}));
                }
                Err(error) => errors.push(error.row()),
            }
        }
        let failed = replies.len() < sent.len();
        if failed && self.settings.batch_errors == BatchErrors::Atomic {
            self.roll_back();
            for effect in effects.iter_mut().filter(|effect| effect.effect != Effect::Refused) {
                effect.effect = Effect::Refused;
                effect.changed = false;
                effect.status = 11;
            }
        }
        self.record.rows = effects;
        if failed {
            return Err(ApiError { rows: Some(errors), ..ApiError::new(11) });
        }
        Ok(json!({ "participants": replies }))
    }

    fn add(&mut self, row: &Value) -> Result<Written, ApiError> {
        let known = match row.get("user_id").filter(|id| !id.is_null()) {
            None => None,
            id => {
                let user = number(id).and_then(|id| self.store.users.get(&id)).cloned();
                Some(user.ok_or_else(|| ApiError::new(101))?)
            }
        };
        let before = known.clone();
        let mut user = known.unwrap_or_default();
        self.check_safe_sync(row, &user)?;
        let context = self.context();
        draft::personal(row, &mut user, &context)?;
        if user.first_name.is_empty() || user.last_name.is_empty() {
            return Err(ApiError::new(if user.first_name.is_empty() { 104 } else { 106 }));
        }
        let at = self.now.as_second();
        let mut registration = Registration {
            event_id: self.event.id,
            registered_at: at,
            last_modified: at,
            imported: true,
            race_fee_cents: self.event.race_fee_cents,
            amount_paid_cents: 0,
            ..Registration::default()
        };
        draft::seat(row, &user, &mut registration, &context, self.record)?;
        let checked =
            self.restricted || self.settings.unrestricted_add == UnrestrictedAdd::Conflicts;
        if checked && let Some(id) = self.duplicate_of(&user) {
            return Err(ApiError::with_detail(517, id.to_string()));
        }
        if before.is_none() {
            user.id = self.store.next_id(Resource::User);
        }
        registration.id = self.store.next_id(Resource::Registration);
        registration.user_id = user.id;
        let id = registration.id;
        self.keep(user, registration);
        Ok(Written { id, effect: Effect::Created, changed: true })
    }

    fn edit(&mut self, id: i64, row: &Value) -> Result<Written, ApiError> {
        let is_cleared = |row: &Registration| {
            !row.active && row.removal.as_ref().is_some_and(|r| r.reason == Reason::Cleared)
        };
        let before = self.store.registration(id).filter(|row| row.event_id == self.event.id);
        let before = before.filter(|row| !is_cleared(row)).cloned();
        let before = before.ok_or_else(|| ApiError::new(15))?;
        let old_user = self.store.users.get(&before.user_id).cloned().unwrap_or_default();
        self.audit_edit(row, &before, &old_user);
        self.check_safe_sync(row, &old_user)?;
        let context = self.context();
        let mut user = old_user.clone();
        draft::personal(row, &mut user, &context)?;
        if user.email != old_user.email && self.is_an_accounts_email(&user) {
            return Err(ApiError::new(122));
        }
        let mut registration = before.clone();
        draft::seat(row, &user, &mut registration, &context, self.record)?;
        let changed = user != old_user || registration != before;
        registration.last_modified = self.now.as_second();
        self.keep(user, registration);
        Ok(Written { id, effect: Effect::Patched, changed })
    }

    fn context(&self) -> Context<'a> {
        Context {
            race: self.race,
            event: self.event,
            american: self.settings.american_addresses,
            today: self.now.to_zoned(eastern()).date(),
        }
    }

    /// In Safe Sync mode nobody edits the person of an account.
    fn check_safe_sync(&self, row: &Value, user: &User) -> Result<(), ApiError> {
        let is_personal = row.get("user").is_some_and(|user| !user.is_null());
        let refused = self.race.safe_sync && user.has_account && is_personal;
        if refused { Err(ApiError::new(121)) } else { Ok(()) }
    }

    /// The registration in this event of somebody of the same name and day of birth.
    fn duplicate_of(&self, user: &User) -> Option<i64> {
        let same = |one: &str, other: &str| one.trim().eq_ignore_ascii_case(other.trim());
        let mut standing =
            self.store.of_event(self.event.id, i64::MIN, i64::MAX).filter(|row| row.active);
        let duplicate = standing.find(|row| {
            self.store.users.get(&row.user_id).is_some_and(|other| {
                other.dob == user.dob
                    && same(&other.last_name, &user.last_name)
                    && same(&other.first_name, &user.first_name)
            })
        });
        duplicate.map(|row| row.id)
    }

    fn is_an_accounts_email(&self, user: &User) -> bool {
        let Some(email) = &user.email else { return false };
        self.store.users.values().any(|other| {
            other.id != user.id
                && other.has_account
                && other.email.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(email))
        })
    }

    fn audit_edit(&mut self, row: &Value, before: &Registration, user: &User) {
        let email = row.get("user").and_then(|user| user.get("email"));
        if email.is_some_and(|email| email.as_str() != user.email.as_deref()) {
            self.record.violation("email_in_edit", format!("registration {}", before.id));
        }
        if row.get("team_id").is_some_and(|team| team.as_i64() == before.team_id) {
            self.record.violation("team_id_unchanged", format!("registration {}", before.id));
        }
    }

    fn keep(&mut self, user: User, registration: Registration) {
        let old = self.store.registration(registration.id).cloned();
        self.undo.push(Undo::Registration(registration.id, old));
        self.undo.push(Undo::User(user.id, self.store.users.get(&user.id).cloned()));
        self.store.users.insert(user.id, user);
        self.store.put(registration);
    }

    fn roll_back(&mut self) {
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::User(id, None) => drop(self.store.users.remove(&id)),
                Undo::User(id, Some(user)) => drop(self.store.users.insert(id, user)),
                Undo::Registration(id, None) => drop(self.store.take(id)),
                Undo::Registration(_, Some(registration)) => self.store.put(registration),
            }
        }
    }
}

fn audit(sent: &[Value], restricted: bool, record: &mut Record) {
    let ids: Vec<i64> = sent.iter().filter_map(|row| number(row.get("registration_id"))).collect();
    let adds = sent.len() - ids.len();
    if sent.len() > MAX_ROWS {
        record.violation("batch_too_large", format!("{} rows", sent.len()));
    }
    if adds > 0 && sent.len() > 1 {
        record.violation("add_in_batch", format!("{adds} adds of {} rows", sent.len()));
    }
    if adds > 0 && !restricted {
        record.violation("unrestricted_add", "restrict_potential_dup");
    }
    let mut seen = HashSet::new();
    for id in ids.into_iter().filter(|id| !seen.insert(*id)) {
        record.violation("duplicate_in_batch", format!("registration {id}"));
    }
    sent.iter().for_each(|row| draft::audit(row, record));
}

//! What tests say to a running RunSignup in the same process.

use serde_json::{Value, json};

use super::options::{RunSignupOptions, RunSignupSettings};
use super::people::Action;
use super::resource::Resource;
use super::rows::{Event, Race, Registration, User};
use super::server::RunSignup;
use crate::sync::lock;
use crate::{ControlError, Reimage, Remote as _, Simulator, StartError, Upheaval};

impl RunSignup {
    /// Starts a RunSignup on the current Tokio runtime.
    ///
    /// # Errors
    /// If a port is taken or a certificate cannot be made.
    pub async fn start(options: RunSignupOptions) -> Result<Simulator<Self>, StartError> {
        let server = Self::new(&options);
        Simulator::start(server, options.server).await
    }
}

impl Simulator<RunSignup> {
    /// All rows of a resource, by id, as the control API shows them.
    pub fn rows(&self, resource: Resource) -> Vec<Value> {
        self.remote().all_rows(resource).unwrap_or_default()
    }

    /// A race.
    pub fn race(&self, id: i64) -> Option<Race> {
        lock(&self.remote().store).races.get(&id).cloned()
    }

    /// An event.
    pub fn event(&self, id: i64) -> Option<Event> {
        lock(&self.remote().store).events.get(&id).cloned()
    }

    /// A user.
    pub fn user(&self, id: i64) -> Option<User> {
        lock(&self.remote().store).users.get(&id).cloned()
    }

    /// A registration, whether it stands or was removed.
    pub fn registration(&self, id: i64) -> Option<Registration> {
        lock(&self.remote().store).registration(id).cloned()
    }

    /// All registrations, by id, the removed ones too.
    pub fn registrations(&self) -> Vec<Registration> {
        lock(&self.remote().store).registrations().cloned().collect()
    }

    /// The registrations that carry our id in the race's question, by id, the removed ones too.
    pub fn registrations_of(&self, ems_id: &str) -> Vec<Registration> {
        lock(&self.remote().store).of_ems_id(ems_id).cloned().collect()
    }

    /// Makes a row behind the worker's back, or changes the one with the `id`: what is given is
    /// set, null clears.
    ///
    /// # Errors
    /// If a type or a parent does not fit.
    pub fn plant(&self, resource: Resource, row: Value) -> Result<Value, ControlError> {
        self.remote().plant(resource, &row)
    }

    /// Somebody registers for an event: `registration` may bring a `user` of its own. The new
    /// registration's id.
    ///
    /// # Errors
    /// If a type or a parent does not fit.
    pub fn register(&self, event_id: i64, registration: Value) -> Result<i64, ControlError> {
        let mut row = registration;
        if let Some(row) = row.as_object_mut() {
            row.insert("event_id".to_owned(), json!(event_id));
        }
        let planted = self.remote().plant(Resource::Registration, &row)?;
        Ok(planted.get("id").and_then(Value::as_i64).unwrap_or_default())
    }

    /// Does what somebody does with a registration; the one that then stands for it.
    pub fn act(&self, registration: i64, action: Action) -> Option<Registration> {
        self.remote().do_with(registration, action)
    }

    /// Removes a row without a trace, whatever names it; `false` if it was not there.
    pub fn remove(&self, resource: Resource, id: i64) -> bool {
        self.remote().tear_out(resource, id)
    }

    /// Changes the settings; the calls of the minute and the hour are forgotten.
    pub fn configure(&self, change: impl FnOnce(&mut RunSignupSettings)) {
        self.remote().configure(change);
    }

    /// Sets the account up anew: ids mean other rows.
    pub fn reimage(&self, how: Reimage) {
        self.remote().upheave(Upheaval::Reimage(how), None);
    }

    /// A valid OAuth access token, with the scope of writes or without.
    pub fn issue_token(&self, writes: bool) -> String {
        let now = self.remote().now();
        lock(&self.remote().tokens).issue(writes, now)
    }

    /// A valid OAuth refresh token.
    pub fn issue_refresh_token(&self, writes: bool) -> String {
        lock(&self.remote().tokens).issue_refresh(writes)
    }

    /// The signed form of a partner callback about a registration: `registered` or `cleared`.
    pub fn callback(&self, kind: &str, registration: i64) -> String {
        self.remote().callback(kind, registration)
    }
}

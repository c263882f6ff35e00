//! What tests say to a running MailChimp in the same process.

use serde_json::Value;

use super::member::Row;
use super::merge_field::MergeField;
use super::options::{MailChimpOptions, MailChimpSettings};
use super::people::{self, Act};
use super::plant;
use super::server::MailChimp;
use super::webhook::Delivery;
use crate::sync::lock;
use crate::{ControlError, Reimage, Remote as _, Simulator, StartError, Upheaval};

impl MailChimp {
    /// Starts an account on the current Tokio runtime. The API's root is `base_url()` + `/3.0`.
    ///
    /// # Errors
    /// If a port is taken or a certificate cannot be made.
    pub async fn start(options: MailChimpOptions) -> Result<Simulator<Self>, StartError> {
        let account = Self::new(&options);
        let simulator = Simulator::start(account, options.server).await?;
        let base_url = simulator.base_url();
        simulator.remote().base_url.get_or_init(|| base_url);
        Ok(simulator)
    }
}

impl Simulator<MailChimp> {
    /// The account's API key.
    pub fn api_key(&self) -> &str {
        &self.remote().api_key
    }

    /// Which account this is, as in `GET /3.0/`.
    pub fn account_id(&self) -> String {
        self.remote().account_id()
    }

    /// All members of a list, archived ones too, the oldest first.
    pub fn rows(&self, list_id: &str) -> Vec<Row> {
        let store = lock(&self.remote().store);
        let list = store.list(list_id);
        list.map(|list| list.members().map(|member| member.row(list)).collect()).unwrap_or_default()
    }

    /// The member of a list with this EMS id; the oldest, should there be several.
    pub fn row(&self, list_id: &str, ems_id: &str) -> Option<Row> {
        let store = lock(&self.remote().store);
        let list = store.list(list_id)?;
        list.find_ems_id(ems_id).next().map(|member| member.row(list))
    }

    /// The member of a list with this hash, contact id or address.
    pub fn member(&self, list_id: &str, key: &str) -> Option<Row> {
        let store = lock(&self.remote().store);
        let list = store.list(list_id)?;
        list.find(key).map(|member| member.row(list))
    }

    /// Makes a member behind the worker's back, or changes the one with the `id` or the
    /// `email_address`: what is given is set, null clears. Consent is not asked.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn plant(&self, list_id: &str, row: &Value) -> Result<Row, ControlError> {
        let account = self.remote();
        let settings = account.current_settings();
        let now = account.now();
        plant::plant_member(&mut lock(&account.store), Some(list_id), row, &settings, now)
    }

    /// Removes a member of any list without a trace; `false` if it was not there.
    pub fn remove(&self, key: &str) -> bool {
        self.remote().remove_row("members", key).unwrap_or(false)
    }

    /// Lets somebody act; `who` is a hash, contact id or address. What they are afterwards, if
    /// they are still there.
    ///
    /// # Errors
    /// If there is no such list or member.
    pub fn act(&self, list_id: &str, who: &str, act: &Act) -> Result<Option<Row>, ControlError> {
        let account = self.remote();
        let settings = account.current_settings();
        let now = account.now();
        people::perform(&mut lock(&account.store), Some(list_id), who, act, &settings, now)
    }

    /// Adds a merge field to a list, or replaces the one with its tag; `false` without a list.
    pub fn add_merge_field(&self, list_id: &str, field: MergeField) -> bool {
        let mut store = lock(&self.remote().store);
        let Some(list) = store.list_mut(list_id) else { return false };
        list.options.merge_fields.retain(|other| other.tag != field.tag);
        list.options.merge_fields.push(field);
        true
    }

    /// What the webhooks owe their receivers; each is handed out once.
    pub fn take_webhooks(&self) -> Vec<Delivery> {
        lock(&self.remote().store).take_deliveries()
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut MailChimpSettings)) {
        self.remote().configure(change);
    }

    /// Makes it another account.
    pub fn reimage(&self, how: Reimage) {
        self.remote().upheave(Upheaval::Reimage(how), None);
    }
}

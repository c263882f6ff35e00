//! What tests say to a running TagServer in the same process.

use serde_json::Value;
use uuid::Uuid;

use super::options::{TagServerOptions, TagServerSettings};
use super::resource::Resource;
use super::server::TagServer;
use super::store::Row;
use crate::sync::lock;
use crate::{ControlError, Reimage, Remote, Simulator, StartError, Upheaval};

impl TagServer {
    /// Starts a TagServer on the current Tokio runtime.
    ///
    /// # Errors
    /// If a port is taken or a certificate cannot be made.
    pub async fn start(options: TagServerOptions) -> Result<Simulator<Self>, StartError> {
        let server = Self::new(&options);
        Simulator::start(server, options.server).await
    }
}

impl Simulator<TagServer> {
    /// All rows of a resource, by id.
    pub fn rows(&self, resource: Resource) -> Vec<Row> {
        self.remote().all_rows(resource)
    }

    /// The row with this `externalId`.
    pub fn row(&self, resource: Resource, external_id: &str) -> Option<Row> {
        let store = lock(&self.remote().store);
        store.row(resource, store.id_of(resource, external_id)?)
    }

    /// The row with this id.
    pub fn row_by_id(&self, resource: Resource, id: i64) -> Option<Row> {
        lock(&self.remote().store).row(resource, id)
    }

    /// How many rows a resource has.
    pub fn row_count(&self, resource: Resource) -> usize {
        lock(&self.remote().store).ids(resource).len()
    }

    /// Makes a row behind the worker's back, or changes the one with the `id`: what is given is
    /// set, null clears. Nothing is required, not even `externalId`.
    ///
    /// # Errors
    /// If a type, a relation or the uniqueness of `externalId` does not fit.
    pub fn plant(&self, resource: Resource, body: Value) -> Result<Row, ControlError> {
        self.remote().plant(resource, &body)
    }

    /// Removes a row behind the worker's back, whatever names it; `false` if it was not there.
    pub fn remove(&self, resource: Resource, id: i64) -> bool {
        lock(&self.remote().store).tear_out(resource, id)
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut TagServerSettings)) {
        self.remote().configure(change);
    }

    /// Revokes every token early, as a restart with another signing secret does.
    pub fn new_signing_secret(&self) {
        self.remote().upheave(Upheaval::NewSecret, None);
    }

    /// Sets the server up anew: another instance, other tokens, ids that mean other rows.
    pub fn reimage(&self, how: Reimage) {
        self.remote().upheave(Upheaval::Reimage(how), None);
    }

    /// Which installation this is, as in `/management/info`.
    pub fn instance(&self) -> Uuid {
        self.remote().instance()
    }

    /// A valid bearer without a log-in.
    pub fn issue_token(&self) -> String {
        self.remote().issue()
    }
}

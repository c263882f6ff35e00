//! What tests say to a running Chatwoot in the same process.

use serde_json::{Value, json};

use super::delivery::{Delivery, Sent};
use super::options::{ChatwootOptions, ChatwootSettings};
use super::people::Author;
use super::plant::Row;
use super::resource::Resource;
use super::server::Chatwoot;
use crate::sync::lock;
use crate::{ControlError, Reimage, Remote, Simulator, StartError, Upheaval};

impl Chatwoot {
    /// Starts a Chatwoot on the current Tokio runtime.
    ///
    /// # Errors
    /// If a port is taken or a certificate cannot be made.
    pub async fn start(options: ChatwootOptions) -> Result<Simulator<Self>, StartError> {
        let server = Self::new(&options);
        Simulator::start(server, options.server).await
    }
}

impl Simulator<Chatwoot> {
    /// All rows of a resource, by id.
    pub fn rows(&self, resource: Resource) -> Vec<Row> {
        lock(&self.remote().store).rows(resource, self.remote().account_id)
    }

    /// The first contact that carries our id: by its identifier or its custom attribute.
    pub fn contact(&self, ems_id: &str) -> Option<Row> {
        lock(&self.remote().store).contact_of(ems_id)
    }

    /// The row with this id.
    pub fn row_by_id(&self, resource: Resource, id: i64) -> Option<Row> {
        lock(&self.remote().store).row(resource, id, self.remote().account_id)
    }

    /// How many contacts there are.
    pub fn contact_count(&self) -> usize {
        lock(&self.remote().store).contacts.len()
    }

    /// Makes a row, or changes the one with the `id`, as an agent does: webhooks tell of it. What
    /// is given is set, null clears.
    ///
    /// # Errors
    /// If a field is unknown or a key is taken.
    pub fn plant(&self, resource: Resource, row: Value) -> Result<Row, ControlError> {
        let now = self.remote().now();
        let mut store = lock(&self.remote().store);
        let id = store.plant(resource, &row, now)?;
        let row = store.row(resource, id, self.remote().account_id);
        row.ok_or_else(|| ControlError::Unfit("it is gone".to_owned()))
    }

    /// Removes a row as an agent does; nothing tells of it. `false` if it was not there.
    pub fn remove(&self, resource: Resource, id: i64) -> bool {
        lock(&self.remote().store).tear_out(resource, id)
    }

    /// Merges two contacts as an agent does: the mergee vanishes silently.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn merge(&self, base: i64, mergee: i64) -> Result<Value, ControlError> {
        self.remote().merge(base, mergee)
    }

    /// Blocks a contact, or unblocks it.
    ///
    /// # Errors
    /// If it is not there.
    pub fn block(&self, id: i64, blocked: bool) -> Result<Value, ControlError> {
        self.remote().edit_contact(id, &json!({ "id": id, "blocked": blocked }))
    }

    /// Lets a contact come online, or go: online, it cannot be deleted.
    ///
    /// # Errors
    /// If it is not there.
    pub fn set_online(&self, id: i64, online: bool) -> Result<Value, ControlError> {
        self.remote().edit_contact(id, &json!({ "id": id, "online": online }))
    }

    /// Writes a message into a conversation and returns its id.
    ///
    /// # Errors
    /// If the conversation is not there.
    pub fn message(
        &self,
        conversation: i64,
        author: Author,
        content: &str,
    ) -> Result<i64, ControlError> {
        self.remote().write_message(conversation, author, content)
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut ChatwootSettings)) {
        self.remote().configure(change);
    }

    /// Runs the background jobs and returns what Chatwoot would send, in the order of the events:
    /// to be sent, lost, repeated or reordered.
    pub fn run_jobs(&self) -> Vec<Delivery> {
        self.remote().run_jobs()
    }

    /// Runs the background jobs and sends each delivery once, one after the other.
    pub async fn deliver(&self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for delivery in self.run_jobs() {
            sent.push(delivery.send().await);
        }
        sent
    }

    /// Another administrator's token.
    pub fn issue_token(&self) -> String {
        lock(&self.remote().tokens).issue()
    }

    /// Takes a token for good, also one that was revoked: there is no log-in here.
    pub fn accept_token(&self, token: &str) {
        lock(&self.remote().tokens).accept(token);
    }

    /// Revokes every token.
    pub fn revoke_tokens(&self) {
        self.remote().upheave(Upheaval::NewSecret, None);
    }

    /// Sets the server up anew: tokens stay, contact ids mean other contacts.
    pub fn reimage(&self, how: Reimage) {
        self.remote().upheave(Upheaval::Reimage(how), None);
    }
}

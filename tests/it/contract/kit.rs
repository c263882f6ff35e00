//! What a target says about itself and its simulator, so that the suite can be run for it.

use std::ops::RangeInclusive;
use std::time::Duration;

use ems_sync::entity::EntityType;
use ems_sync::remote::{HttpSettings, Remote, RemoteIds};
use ems_sync_remotes::{Fault, Remote as Simulated, Simulator};
use serde_json::Value;

/// What an entity holds in the EMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Every field that the target gets has a value.
    A,
    /// The same, and another value in at least one field.
    B,
    /// As `A`, but every field that may be null is null.
    Cleared,
}

/// A target's simulator and how to read it. Small and plain: no expectations, those are the suite's.
pub(super) trait Kit: Sized + Send + Sync + 'static {
    /// The simulated remote.
    type Sim: Simulated;
    /// The target's client.
    type Client: Remote;

    /// The type that is pushed, listed and deleted here.
    const ENTITY: EntityType;
    /// The client gets itself a token, and a new one after a 401.
    const LOGS_IN: bool;
    /// A record that is not there any more was taken away by a person's decision, which stands: it is not made again.
    const ABSENCE_IS_A_DECISION: bool = false;
    /// Every record shows whose it is. Otherwise only the sync record says so.
    const CARRIES_KEYS: bool = true;
    /// The remote says that nothing was found by a bare `[]`, so that this is no odd answer.
    const NOTHING_IS_EMPTY_LIST: bool = false;

    /// Starts a simulator that is set up as the mapping needs it, without records of ours.
    async fn start() -> Self;

    /// Starts another one, where our login is another account.
    async fn start_elsewhere() -> Self;

    /// The simulator.
    fn sim(&self) -> &Simulator<Self::Sim>;

    /// Where the contract's paths begin.
    fn base_url(&self) -> String {
        self.sim().base_url()
    }

    /// The most requests that the remote lets a client have under way.
    fn concurrency(&self) -> usize {
        16
    }

    /// A client with the right credentials that has sent nothing yet.
    fn client(&self, http: &HttpSettings) -> Self::Client;

    /// The remote ids of what the projections below name.
    fn parents(&self) -> RemoteIds {
        RemoteIds::new()
    }

    /// The projection row of entity `id`, as the target's view gives it. No two ids share a key of the remote.
    fn projection(&self, id: i64, content: Content) -> Value;

    /// The projection row of entity `id` that wants the same key as entity `other` with content `A` (a shared e-mail
    /// address); `None` where a record's key is our id alone.
    fn colliding(&self, id: i64, other: i64) -> Option<Value>;

    /// What the simulator holds of entity `id`, read from its rows (not by the client) and written as [`Remote::wire`] writes
    /// it; `None` if it has no record of it (any more): after a delete there is none, whatever a delete means there.
    fn held(&self, id: i64) -> Option<Value>;

    /// The part of a wire's body that can be seen at the remote, in one form: what [`Kit::held`] must be equal to.
    fn visible(body: &Value) -> Value {
        body.clone()
    }

    /// How many records of ours it holds.
    fn records(&self) -> usize;

    /// Removes the record of entity `id` behind the client's back.
    fn remove(&self, id: i64);

    /// Lets the records of two entities change their remote ids. `false` where a remote id can't come to mean another
    /// record.
    fn swap(&self, one: i64, other: i64) -> bool;

    /// How the remote refuses our credentials.
    fn refusal() -> Fault {
        Fault::status(401)
    }

    /// How the remote asks for a pause, and how long that is, where it says so.
    fn throttle() -> (Fault, Option<RangeInclusive<Duration>>) {
        (Fault::throttled(7), Some(Duration::from_secs(6)..=Duration::from_secs(7)))
    }

    /// A success that shows no record at all, in a form that belongs to another kind of request.
    fn empty_success() -> Value {
        serde_json::json!({})
    }
}

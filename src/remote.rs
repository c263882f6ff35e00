//! How a remote is spoken to: one trait for five targets, and the contract that every client keeps.
//!
//! The consumer decides *what* is to be done; a client only says it in its remote's words and classifies the
//! answer. It is sketched against all five contracts: several remote ids per entity stand in one canonical JSON
//! text; a person that exists only inside registrations has no push of its own; a bulk endpoint gives a result
//! per row; a remote that must never delete answers [`PushResult::Gone`] when it has unlinked.
//!
//! # Obligations of a client
//!
//! 1. **A result per push.** [`Remote::push`] answers every push exactly once, in any order, each as soon as it is
//!    known: one that hangs holds up no other. A failure concerns its own entity only; one that concerns the whole
//!    target says so by its class.
//! 2. **Success is proven.** A push is [`PushResult::Held`] only if the answer parsed, fits its schema and names
//!    the record that was meant. An empty, short or odd answer is never success and never "nothing is there".
//! 3. **The class says whether it may have been applied.** A write whose answer was lost is
//!    [`FailureClass::Ambiguous`]; [`FailureClass::Transient`] promises that nothing was applied.
//! 4. **Nothing is sent late.** Right before each request the client looks at [`Push::send_before`]; after it,
//!    it answers [`PushResult::NotSent`] if nothing was sent for this push, otherwise an ambiguous failure. A client whose
//!    pushes are several calls each begins none that would not come to its end (`pace`).
//! 5. **No second record.** A create that the remote refuses because the record is there is resolved by our key
//!    and adopted. With [`Look::First`] the key is looked up before anything is sent; an empty look-up without
//!    proof of absence is [`PushResult::Unsettled`].
//! 6. **Within the budget.** Every request, logins included, goes out in a slot of the target's [`budget`], which all
//!    processes share. **No retry of its own**, except one login after a 401. No redirect is followed; hosts and links come from
//!    the configuration only. Times and sizes are bounded ([`crate::limits`]).
//! 7. **Mapping is pure and idempotent.** [`Remote::wire`] gives equal bytes for equal meaning; mapping what the
//!    remote answers through the same normalisation gives the `remote_hash`.
//! 8. **Nothing personal leaves by the way.** Errors carry codes and names of fields, never their values.
//! 9. **A partial success is kept.** A failure still says which remote id it has found ([`Failure::found`]); where an
//!    entity has several, those that are known, and whether there may be more ([`Failure::more`]), which the next push is told
//!    ([`Push::besides`]).
//! 10. **The whole target's trouble is told at once.** A pause that the remote asks for and a refusal of us go to
//!     [`Remote::alarms`] when the answer arrives, whatever else is under way.
//! 11. **Ids belong to one remote.** After [`Remote::stay_with`] nothing is written to a remote that has become another
//!     one since: pushes are [`PushResult::NotSent`] and [`Remote::changed`] returns, until it is told to stay with that.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deliver::record::Holds;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::target::Target;
use crate::trace::Trace;

mod account;
pub mod budget;
pub mod chatwoot;
pub mod failure;
mod http;
pub mod inbound;
mod login;
pub mod mailchimp;
pub mod mautic;
mod pace;
mod place;
pub mod runsignup;
mod sent;
pub mod tagserver;

pub use account::Account;
pub use failure::{Failure, FailureClass};
pub use http::{HttpSettings, TlsError};
use inbound::{PullFrom, Pulled, Snapshot, Stream};

/// The remote id of an entity that has several records at its target, or none: here none is wanted, and none is there.
pub const NO_RECORD: &str = "{}";

/// The fields of one projection row, as the EMS has them. May hold personal data: its `Debug` shows names only.
#[derive(Clone, PartialEq)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a projection row.
    #[must_use]
    pub const fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// The field of that column name; `None` where it is null or missing.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column).filter(|value| !value.is_null())
    }

    /// What they hold, by name, as `sync.lessens` understands it: columns that are not blank, and the elements of the
    /// column `consents`. Only texts and numbers can be blanked: a yes or no, a list or an object is no field of its own, and a
    /// moment (`…_on`) is bookkeeping.
    #[must_use]
    pub fn holds(&self) -> Holds {
        let columns =
            self.0.iter().filter(|(name, value)| !name.ends_with("_on") && is_filled(value));
        let consents = self.0.get(CONSENTS).and_then(Value::as_array).into_iter().flatten();
        Holds {
            columns: columns.map(|(name, _)| name.clone()).collect(),
            consents: consents.filter_map(|c| c.as_str().map(str::to_owned)).collect(),
        }
    }
}

/// A text or number that says something.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The column of a projection that lists consents.
const CONSENTS: &str = "consents";

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The remote ids of the entities that a projection names.
pub type RemoteIds = HashMap<EntityRef, String>;

/// What a target should hold of one entity: the content in the target's words, and its hash.
/// The content may hold personal data: its `Debug` shows the hash only.
#[derive(Clone, PartialEq)]
pub struct Wire {
    /// The normalised content, without the remote's own id: an object whose keys are the names that people are shown
    /// where it differs. A client that needs several calls for it takes each from here.
    pub body: Value,
    /// Its data hash.
    pub hash: ContentHash,
    /// What at most one record of its type may hold at the target (a normalised e-mail address), as a digest. Of several
    /// entities with the same key the one with the lowest id owns it; the others have no record there.
    pub match_key: Option<ContentHash>,
    /// Others that want the same key and have no record for it. What still carries their ids at the target they gave up to
    /// this entity, the owner, and only they did: whoever is not named here may hold it rightfully.
    pub given_up_by: Vec<EntityRef>,
}

impl Wire {
    /// The content of a target whose mapping has this version, without a key.
    #[must_use]
    pub fn new(target: Target, mapping_version: u32, body: Value) -> Self {
        let hash = ContentHash::of(target, mapping_version, &body);
        Self { body, hash, match_key: None, given_up_by: Vec::new() }
    }

    /// The same, with the key that its record would hold.
    #[must_use]
    pub fn with_match_key(mut self, key: Option<ContentHash>) -> Self {
        self.match_key = key;
        self
    }

    /// Where in the body a client may put what it needs besides the content, EMS ids above all: it is in no hash and is never
    /// shown as a difference.
    pub const ASIDE: &str = "ems";

    /// The same, with something put aside.
    #[must_use]
    pub fn with_aside(mut self, aside: Value) -> Self {
        if let Value::Object(body) = &mut self.body {
            body.insert(Self::ASIDE.to_owned(), aside);
        }
        self
    }

    /// The names of the fields that differ between two contents, sorted.
    #[must_use]
    pub fn differing_fields(&self, other: &Self) -> Vec<String> {
        let (Value::Object(mine), Value::Object(theirs)) = (&self.body, &other.body) else {
            return Vec::new();
        };
        let names: std::collections::BTreeSet<_> =
            mine.keys().chain(theirs.keys()).filter(|name| *name != Self::ASIDE).collect();
        let differs = |name: &&String| {
            let value = |of: &Map<String, Value>| of.get(*name).cloned().unwrap_or(Value::Null);
            value(mine) != value(theirs)
        };
        names.into_iter().filter(differs).cloned().collect()
    }
}

/// How the entities of a type stand at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Each has a record there, which we write.
    Pushed,
    /// They exist there only within other records, which bring their ids ([`PushResult::Held`]`::carried`).
    Carried,
    /// Their records are written there and only read by us: one without remote id is out of scope, its children too.
    Pulled,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// A projection that the target's words can't express; names the column, not the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Column `{column}` can't be brought to {target}: {reason}")]
pub struct Unmappable {
    /// The target.
    pub target: Target,
    /// The column of the projection.
    pub column: &'static str,
    /// What is wrong with it, in words for an operator.
    pub reason: &'static str,
}

/// Whether an existing record must be looked for before a create is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// No create was ever tried, so nothing of ours can be there, except what the remote's own uniqueness finds.
    IfRefused,
    /// An earlier create may have been applied.
    First {
        /// The earlier create is older than the target's settle time: not found means not there.
        absence_is_proof: bool,
    },
}

/// What is to be done at the remote for one entity.
#[derive(Debug, Clone)]
pub enum Action {
    /// Bring it into being, or adopt what is there.
    Create {
        /// What it should hold.
        wire: Wire,
        /// Whether to look first.
        look: Look,
    },
    /// Make the record hold this.
    Update {
        /// The record.
        remote_id: String,
        /// What it should hold.
        wire: Wire,
    },
    /// Remove the record, as this target understands removal.
    Delete {
        /// The record.
        remote_id: String,
    },
    /// Look for a record under our key and remove it: a create may have been applied.
    DeleteByKey,
}

/// Until when requests may be sent: a moment, or until we are told to stop, whichever is first.
#[derive(Debug, Clone)]
pub struct SendBefore {
    at: Instant,
    stop: CancellationToken,
    /// For what they are sent, in a trace.
    trace: Trace,
}

impl SendBefore {
    /// Until `at`, and not after `stop`.
    #[must_use]
    pub fn new(at: Instant, stop: CancellationToken) -> Self {
        Self { at, stop, trace: Trace::default() }
    }

    /// The same for what stands there in a trace.
    #[must_use]
    pub fn traced(&self, trace: Trace) -> Self {
        Self { trace, ..self.clone() }
    }

    /// Waits until nothing may be sent any more.
    pub async fn passes(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep_until(self.at) => {}
        }
    }

    /// Nothing may be sent any more.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.passes_within(Duration::ZERO)
    }

    /// Nothing may be sent any more after that long.
    #[must_use]
    pub fn passes_within(&self, time: Duration) -> bool {
        self.stop.is_cancelled() || self.at.saturating_duration_since(Instant::now()) <= time
    }
}

impl From<Instant> for SendBefore {
    fn from(at: Instant) -> Self {
        Self::new(at, CancellationToken::new())
    }
}

/// One entity's work at the remote.
#[derive(Debug, Clone)]
pub struct Push {
    /// The entity.
    pub entity: EntityRef,
    /// What is to be done.
    pub action: Action,
    /// Of an entity that may have several records at its target, whether one may be there besides those that its remote id
    /// names: the answer to its create was lost. Says nothing of a [`Action::Create`], which has a look of its own.
    pub besides: Look,
    /// The remote id that it had before, where it has none or another one now. A target that knows by it what people have said there
    /// heeds that; the others need not look at it.
    pub former: Option<String>,
    /// It failed before: it must not share a request with others, which it could take along.
    pub by_itself: bool,
    /// No request may be sent after this: the lease would end before the request's deadline, or we are stopping.
    pub send_before: SendBefore,
    /// What the remote said last that it holds. Where changes also come back from the target, an update reads first, and answers
    /// [`PushResult::Differs`] if it finds neither this nor what is wanted; so does a create that finds a record which would lose
    /// something ([`inbound::would_lose`]). `None`: whatever is there may be written over.
    pub expected: Option<ContentHash>,
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq)]
pub enum PushResult {
    /// The remote holds the record.
    Held {
        /// Its id there.
        remote_id: String,
        /// What it says that it holds.
        remote_hash: ContentHash,
        /// Whether something was written: an adopted record that holds the right content needs no write.
        written: bool,
        /// Entities that exist at the remote only within this one ([`Standing::Carried`]), with their ids there.
        carried: Vec<(EntityRef, String)>,
        /// The remote id of a record that has something which this one should hold and can't have besides: it is left out, and
        /// tried again when that record has changed.
        left_to: Option<String>,
        /// The content that `remote_hash` is of, as a snapshot of it would show it. Of a target whose changes come back always:
        /// what is not as it was sent must not look like people's edit later.
        held: Option<Box<Wire>>,
    },
    /// People changed it there meanwhile, or made the record that a create has found; nothing was written.
    Differs(Box<inbound::Snapshot>),
    /// The remote has no such record (any more).
    Gone,
    /// The key was looked up and not found, but an earlier create may still land: look again later.
    Unsettled,
    /// Nothing was sent: too little of the lease was left, or another one's turn to be sent came first.
    NotSent,
    /// It failed.
    Failed(Failure),
}

/// Where a client puts its results.
#[derive(Debug, Clone)]
pub struct Results(mpsc::UnboundedSender<(EntityRef, PushResult)>);

impl Results {
    /// The two ends. It holds at most a result per push of a batch, so it needs no bound of its own.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<(EntityRef, PushResult)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Hands over how the push of `entity` ended. Nobody listens any more when the batch was given up.
    pub fn put(&self, entity: EntityRef, result: PushResult) {
        self.0.send((entity, result)).ok();
    }
}

/// Where a client says, the moment that it learns it, what concerns the whole target: a pause that it asks for, a refusal.
/// The result of the push says the same, but only when it is written down.
#[derive(Debug, Clone)]
pub struct Alarms(watch::Sender<Option<Failure>>);

impl Default for Alarms {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Alarms {
    /// Passes a failure on, if it concerns the whole target.
    pub fn raise(&self, failure: &Failure) {
        if failure.class.closes_target() {
            self.0.send_replace(Some(failure.clone()));
        }
    }

    /// Waits for the next one. Of several at once the last counts: they say the same.
    pub async fn heard(alarms: &mut watch::Receiver<Option<Failure>>) -> Failure {
        loop {
            if alarms.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let failure = alarms.borrow_and_update().clone();
            if let Some(failure) = failure {
                return failure;
            }
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<Option<Failure>> {
        self.0.subscribe()
    }
}

/// A record as the remote shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteRecord {
    /// Its id there.
    pub remote_id: String,
    /// The EMS entity that it says it is, if it carries an EMS id.
    pub entity: Option<EntityRef>,
    /// What it holds, in the normal form of [`Remote::wire`].
    pub wire: Wire,
}

/// One page of a remote's records. The walk has ended only when `next` is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records of this page.
    pub records: Vec<RemoteRecord>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// A client of one target. See the module's documentation for what an implementation owes.
pub trait Remote: Send + Sync + 'static {
    /// The target that it speaks to.
    fn target(&self) -> Target;

    /// The longest that one request may take; a lease is measured by it.
    fn request_timeout(&self) -> Duration;

    /// What the target should hold of `entity`: pure, and total over everything a projection may contain.
    /// `parents` has a remote id for every entity that the projection names.
    ///
    /// # Errors
    /// [`Unmappable`] when a field can't be expressed; the entity is then held until it changes.
    fn wire(
        &self,
        entity: EntityRef,
        fields: &Fields,
        parents: &RemoteIds,
    ) -> Result<Wire, Unmappable>;

    /// How the entities of a type that the target covers stand there.
    fn standing(&self, _entity_type: EntityType) -> Standing {
        Standing::Pushed
    }

    /// The field of a record's content that names this parent of it; `None` where none does. What is changed in a record is taken
    /// field by field, and the parent with its field.
    fn parent_field(&self, _entity_type: EntityType, _parent: EntityType) -> Option<&'static str> {
        None
    }

    /// Whether records of this type are at most one per match key at the target ([`Wire::match_key`]).
    fn has_match_keys(&self, _entity_type: EntityType) -> bool {
        false
    }

    /// Whether a record that holds `held` is as it should be, where `wanted` is what is wanted of it. Others than equal ones
    /// may be: what a remote forbids besides, by consent, is no difference.
    fn is_as_wanted(&self, wanted: &Wire, held: &Wire) -> bool {
        wanted.hash == held.hash
    }

    /// Whether the record with the id `there` is all that the target shows of the one that we know as `known`: some of what that names may
    /// be kept in mind only.
    fn is_part_of(&self, _there: &str, _known: &str) -> bool {
        false
    }

    /// By what names the record that holds `held` is not as it should be, sorted: those of the content, without what
    /// [`Remote::is_as_wanted`] takes for no difference.
    fn differing_fields(&self, wanted: &Wire, held: &Wire) -> Vec<String> {
        wanted.differing_fields(held)
    }

    /// Whether the target may take a write and leave out of it what it is in charge of, or can't hold, without a word: what a
    /// record holds instead is told by `verify`, though no push changes it.
    fn ignores_in_silence(&self) -> bool {
        false
    }

    /// The hash of a record of which the target has nothing by a decision of people there, though its id is known.
    fn nothing(&self) -> Option<ContentHash> {
        None
    }

    /// Where what an entity had there is left standing, without our marks, when the EMS shows it no more, since nothing is deleted there:
    /// the fields that [`inbound::LET_GO`] vouches for. `None`: it is taken away.
    fn leaves_behind(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether every record of ours carries its EMS id at the target, so that one without has lost it. Where it does not,
    /// the sync record alone says whose it is.
    fn carries_keys(&self) -> bool {
        true
    }

    /// Whether a new entity of this type must wait until what is owed on an older one of the same parent is there.
    fn wants_older_first(&self, entity_type: EntityType) -> bool;

    /// Does the work of a batch, each entity at most once in it, and puts each result into `results` as soon as it is
    /// known. Cancelled by being dropped: what has no result then may or may not have been sent.
    fn push(&self, batch: Vec<Push>, results: Results) -> impl Future<Output = ()> + Send;

    /// One page of what the remote holds of a type, in the order of its ids, from after `from`.
    fn list(
        &self,
        entity_type: EntityType,
        from: Option<&str>,
    ) -> impl Future<Output = Result<Page, Failure>> + Send;

    /// What is pulled from it, in the order in which it is walked.
    fn streams(&self) -> &'static [Stream] {
        &[]
    }

    /// One page of what has changed there. See [`inbound`] for what an implementation owes.
    fn pull(
        &self,
        _stream: Stream,
        _from: &PullFrom,
    ) -> impl Future<Output = Result<Pulled, Failure>> + Send {
        async { Ok(Pulled::default()) }
    }

    /// Reads one record anew, as [`Remote::pull`] would show it; [`inbound::Shape::Gone`] only by the remote's own word.
    fn read(
        &self,
        entity_type: EntityType,
        remote_id: &str,
    ) -> impl Future<Output = Result<Snapshot, Failure>> + Send {
        let failure =
            Failure::new(FailureClass::OurFault, "Nothing is read back from this target").unsent();
        let _ = (entity_type, remote_id);
        async { Err(failure) }
    }

    /// The fields by which a record that carries an id of ours is known for that entity's where the EMS has deleted it: one of these
    /// sets that is as it was when both sides agreed last is enough. Anybody may type a number, and may be of the same family, so
    /// where there are none, the id proves nothing.
    fn identifying_fields(&self, _entity_type: EntityType) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// The precision of the remote's own times: two that are less apart are the same.
    fn clock_precision(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Where it raises an alarm (obligation 10).
    fn alarms(&self) -> &Alarms;

    /// Who the remote is and who we are to it. Asked before the first push, so this is also where a client looks whether
    /// the remote is set up as its mapping needs it (a custom field that is missing would lose data silently): if not, it
    /// answers [`FailureClass::Configuration`] and says what to do. Changes no entity's record.
    fn account(&self) -> impl Future<Output = Result<Account, Failure>> + Send;

    /// From now on nothing is written to any other account (obligation 11).
    fn stay_with(&self, account: Account);

    /// Returns when the remote is found to be another one than the account to stay with.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Whether the remote answers and accepts our credentials. Changes nothing there.
    fn probe(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A client that several parts of a process share, with what it remembers.
impl<R: Remote> Remote for Arc<R> {
    fn target(&self) -> Target {
        R::target(self)
    }

    fn request_timeout(&self) -> Duration {
        R::request_timeout(self)
    }

    fn wire(
        &self,
        entity: EntityRef,
        fields: &Fields,
        parents: &RemoteIds,
    ) -> Result<Wire, Unmappable> {
        R::wire(self, entity, fields, parents)
    }

    fn standing(&self, entity_type: EntityType) -> Standing {
        R::standing(self, entity_type)
    }

    fn parent_field(&self, entity_type: EntityType, parent: EntityType) -> Option<&'static str> {
        (**self).parent_field(entity_type, parent)
    }

    fn has_match_keys(&self, entity_type: EntityType) -> bool {
        R::has_match_keys(self, entity_type)
    }

    fn is_as_wanted(&self, wanted: &Wire, held: &Wire) -> bool {
        R::is_as_wanted(self, wanted, held)
    }

    fn is_part_of(&self, there: &str, known: &str) -> bool {
        R::is_part_of(self, there, known)
    }

    fn differing_fields(&self, wanted: &Wire, held: &Wire) -> Vec<String> {
        R::differing_fields(self, wanted, held)
    }

    fn ignores_in_silence(&self) -> bool {
        R::ignores_in_silence(self)
    }

    fn nothing(&self) -> Option<ContentHash> {
        R::nothing(self)
    }

    fn leaves_behind(&self) -> Option<&'static [&'static str]> {
        R::leaves_behind(self)
    }

    fn carries_keys(&self) -> bool {
        R::carries_keys(self)
    }

    fn wants_older_first(&self, entity_type: EntityType) -> bool {
        R::wants_older_first(self, entity_type)
    }

    async fn push(&self, batch: Vec<Push>, results: Results) {
        R::push(self, batch, results).await;
    }

    async fn list(&self, entity_type: EntityType, from: Option<&str>) -> Result<Page, Failure> {
        R::list(self, entity_type, from).await
    }

    fn streams(&self) -> &'static [Stream] {
        R::streams(self)
    }

    async fn pull(&self, stream: Stream, from: &PullFrom) -> Result<Pulled, Failure> {
        R::pull(self, stream, from).await
    }

    async fn read(&self, entity_type: EntityType, remote_id: &str) -> Result<Snapshot, Failure> {
        R::read(self, entity_type, remote_id).await
    }

    fn identifying_fields(&self, entity_type: EntityType) -> &'static [&'static [&'static str]] {
        R::identifying_fields(self, entity_type)
    }

    fn clock_precision(&self) -> Duration {
        R::clock_precision(self)
    }

    fn alarms(&self) -> &Alarms {
        R::alarms(self)
    }

    async fn account(&self) -> Result<Account, Failure> {
        R::account(self).await
    }

    fn stay_with(&self, account: Account) {
        R::stay_with(self, account);
    }

    async fn changed(&self) {
        R::changed(self).await;
    }

    async fn probe(&self) -> Result<(), Failure> {
        R::probe(self).await
    }
}

//! RunSignup, the third-party registration platform (its contract: `tests/remotes/contracts/runsignup.md`).
//!
//! Its words are turned round: an EMS event is a *race* (with its day), an EMS race an *event*, a participant a
//! *registration*, a person a *user*, who exists only in registrations and takes the id from them.
//!
//! Errors come inside HTTP 200, so nothing is decoded before it was looked at for one (`answer`). There is no key of ours
//! and no idempotency: a registration is searched for by names and day of birth, and by the EMS id where the race has
//! a question for it, before it is added; an add is one row with `restrict_potential_dup=T`. Some of what is written is
//! ignored in silence, so every write is read back: what is wanted is the data hash, what is there the remote hash.
//! RunSignup is in charge of the e-mail address, which goes with an add only. At most two calls are under way.
//!
//! What people do there comes back (`pull`, `read`, `snapshot`); an update that finds it writes nothing (`differs`).

mod adoption;
mod answer;
mod differs;
mod directory;
mod distance;
mod list;
mod lookup;
mod memory;
mod normal;
mod pull;
mod race;
mod read;
mod registration;
mod removal;
mod rows;
mod snapshot;
mod talk;
mod venue;
mod walk;
mod wire;

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::time::Instant;

use self::answer::Refusal;
use self::directory::Directory;
use self::memory::Memory;
use self::talk::{Answered, Stop, Talk};
use super::http::{Http, Intent, Request};
use super::inbound::{PullFrom, Pulled, Snapshot, Stream};
use super::pace::Pace;
use super::place::Place;
use super::{
    Account, Action, Alarms, Failure, FailureClass, Fields, HttpSettings, Page, Push, PushResult,
    Remote, RemoteIds, Results, SendBefore, Standing, TlsError, Unmappable, Wire,
};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::limits;
use crate::target::Target;

/// Raised when an account's digest is made of something else; the target is then held until it is rebound.
const ACCOUNT_VERSION: u32 = 1;

/// How the key of an account and its secret are sent (contract, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyVersion {
    /// The secret in a header, so that no URL holds one.
    #[default]
    V2,
    /// Both in the query, for accounts that have an old key only: proxies and logs at the other end may see the secret.
    V1,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The key of the account.
    pub key: SecretString,
    /// Its secret.
    pub secret: SecretString,
    /// How they are sent.
    pub version: KeyVersion,
    /// The caller registration, `<id>.<token>` and its secret; it says who the program is (contract, section 1).
    pub caller: Option<(String, SecretString)>,
}

/// The client of one account.
pub struct RunSignup {
    http: Http,
    credentials: Credentials,
    /// Events and races are written, too.
    push_races: bool,
    /// Who owns the events that are taken in from there.
    organisation: Option<i64>,
    place: Place,
    directory: Directory,
    memory: Memory,
    pace: Pace,
    alarms: Alarms,
}

impl RunSignup {
    /// A client with these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] when the CA can't be used.
    pub fn new(
        settings: &HttpSettings,
        credentials: Credentials,
        push_races: bool,
    ) -> Result<Self, TlsError> {
        let concurrency = settings.concurrency.min(limits::RUNSIGNUP_CALLS_MAX);
        Ok(Self {
            http: Http::new(&HttpSettings { concurrency, ..settings.clone() })?,
            credentials,
            push_races,
            organisation: None,
            place: Place::new(),
            directory: Directory::default(),
            memory: Memory::default(),
            pace: Pace::new(limits::RUNSIGNUP_PUSHES_AT_ONCE, settings.timeout),
            alarms: Alarms::default(),
        })
    }

    /// The same, where events that are taken in belong to this organisation of the EMS.
    #[must_use]
    pub fn for_organisation(self, organisation: Option<i64>) -> Self {
        Self { organisation, ..self }
    }

    /// Sends a request with our credentials; the JSON of a success.
    async fn call(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answered, Stop> {
        let Some(slot) = self.http.slot(send_before).await else { return Err(Stop::NotSent) };
        let is_elsewhere = intent == Intent::Write && self.place.is_another();
        if is_elsewhere || !self.http.ready(&slot).await {
            return Err(Stop::NotSent);
        }
        let request = self.authorised(build(&self.http));
        let answer = match self.http.send(&slot, intent, request).await {
            Ok(answer) => {
                answer::checked(&answer, intent).map(|body| Answered { body, date: answer.date() })
            }
            Err(failure) => Err(Refusal::from(failure)),
        };
        answer.map_err(|refusal| {
            if refusal.failure.class == FailureClass::Throttled {
                // Code 14 says nothing about how long.
                let pause = refusal.failure.retry_after.unwrap_or(limits::THROTTLE_MIN);
                self.http.be_quiet_for(pause);
            }
            self.alarms.raise(&refusal.failure);
            Stop::Refused(refusal)
        })
    }

    /// With key and secret, and JSON, since the default is XML.
    fn authorised(&self, request: Request) -> Request {
        let Credentials { key, secret, version, caller } = &self.credentials;
        let request = request.query(&[("format", "json")]);
        let request = match version {
            KeyVersion::V2 => request
                .query(&[("rsu_api_key", key.expose_secret())])
                .secret_header("X-RSU-API-SECRET", secret),
            KeyVersion::V1 => request
                .query(&[("api_key", key.expose_secret()), ("api_secret", secret.expose_secret())]),
        };
        match caller {
            Some((id, secret)) => request
                .query(&[("rsu_api_reg", id.as_str())])
                .secret_header("X-RSU-API-REG-SECRET", secret),
            None => request,
        }
    }

    /// How work without a lease ended.
    fn unleased<T>(&self, ended: Result<T, Stop>) -> Result<T, Failure> {
        ended.map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal.failure,
            Stop::NotSent if self.http.is_quiet() => {
                let text = "RunSignup asked for a pause a moment ago";
                Failure::new(FailureClass::Throttled, text).unsent()
            }
            Stop::NotSent => Failure::new(FailureClass::Transient, "No slot in time").unsent(),
        })
    }

    /// Whether the key works: it lists the races that it reaches.
    async fn ask(&self) -> Result<(), Failure> {
        let until = no_lease();
        let body = Talk::new(self, &until).read("/races", &[("results_per_page", "1")]).await;
        rows::races(&self.unleased(body)?).map(drop)
    }

    /// Who we are there: RunSignup does not say who it is, so its address is a part of it.
    fn login_digest(&self) -> ContentHash {
        let key = self.credentials.key.expose_secret();
        let login = json!({ "key": key, "address": self.http.base_url() });
        ContentHash::of(Target::RunSignup, ACCOUNT_VERSION, &login)
    }

    async fn push_one(&self, push: Push) -> PushResult {
        let talk = Talk::new(self, &push.send_before);
        let (entity, expected) = (push.entity, push.expected);
        let result = match entity.entity_type {
            EntityType::EventParticipant => match &push.action {
                Action::Create { wire, look } => talk.create(wire, *look, expected).await,
                Action::Update { remote_id, wire } => talk.update(remote_id, wire, expected).await,
                Action::Delete { remote_id } => talk.delete(remote_id, entity).await,
                Action::DeleteByKey => talk.delete_by_key(entity).await,
            },
            EntityType::Event if self.push_races => {
                talk.push_edition(entity, &push.action, expected).await
            }
            EntityType::Race if self.push_races => talk.push_distance(&push.action, expected).await,
            EntityType::Organisation
            | EntityType::Person
            | EntityType::Event
            | EntityType::Race
            | EntityType::StartGroup
            | EntityType::StartGroupParticipant
            | EntityType::Tag
            | EntityType::Conversation => match push.action {
                // It is the remote's own, or lives in registrations: only our knowledge of it ends.
                Action::Delete { .. } | Action::DeleteByKey => Ok(PushResult::Gone),
                Action::Create { .. } | Action::Update { .. } => {
                    Err(Stop::new(FailureClass::OurFault, "RunSignup is not written such a record"))
                }
            },
        };
        result.unwrap_or_else(|stop| talk.ended(stop))
    }
}

impl Remote for RunSignup {
    fn target(&self) -> Target {
        Target::RunSignup
    }

    fn request_timeout(&self) -> Duration {
        self.http.timeout()
    }

    fn wire(
        &self,
        entity: EntityRef,
        fields: &Fields,
        parents: &RemoteIds,
    ) -> Result<Wire, Unmappable> {
        match entity.entity_type {
            EntityType::EventParticipant => wire::to_wire(entity, fields, parents),
            EntityType::Event => venue::edition(entity, fields),
            EntityType::Race => venue::distance(fields, parents),
            EntityType::Organisation
            | EntityType::Person
            | EntityType::StartGroup
            | EntityType::StartGroupParticipant
            | EntityType::Tag
            | EntityType::Conversation => {
                Err(wire::unmappable("entity_type", "RunSignup has no such record of its own"))
            }
        }
    }

    fn parent_field(&self, entity_type: EntityType, parent: EntityType) -> Option<&'static str> {
        let is_place = (entity_type, parent) == (EntityType::EventParticipant, EntityType::Race);
        is_place.then_some("event_id")
    }

    fn standing(&self, entity_type: EntityType) -> Standing {
        match entity_type {
            EntityType::Person => Standing::Carried,
            EntityType::Event | EntityType::Race if !self.push_races => Standing::Pulled,
            EntityType::Organisation
            | EntityType::Event
            | EntityType::Race
            | EntityType::StartGroup
            | EntityType::EventParticipant
            | EntityType::StartGroupParticipant
            | EntityType::Tag
            | EntityType::Conversation => Standing::Pushed,
        }
    }

    /// E-mail addresses, the bibs of inactive registrations, and what has not its form (contract, sections 5 and 7a).
    fn ignores_in_silence(&self) -> bool {
        true
    }

    /// The day of birth, or both names: a brother who takes over the number has the last name.
    fn identifying_fields(&self, entity_type: EntityType) -> &'static [&'static [&'static str]] {
        match entity_type {
            EntityType::EventParticipant => &[&["dob"], &["first_name", "last_name"]],
            EntityType::Organisation
            | EntityType::Person
            | EntityType::Event
            | EntityType::Race
            | EntityType::StartGroup
            | EntityType::StartGroupParticipant
            | EntityType::Tag
            | EntityType::Conversation => &[],
        }
    }

    /// A registration carries our id only where the race has a question for it.
    fn carries_keys(&self) -> bool {
        false
    }

    fn wants_older_first(&self, _entity_type: EntityType) -> bool {
        false
    }

    async fn push(&self, batch: Vec<Push>, results: Results) {
        let rows = batch.into_iter().map(|push| vec![push]);
        self.pace.push_rows(rows, &results, |push| self.push_one(push)).await;
    }

    async fn list(&self, entity_type: EntityType, from: Option<&str>) -> Result<Page, Failure> {
        let until = no_lease();
        self.unleased(Talk::new(self, &until).list_of(entity_type, from).await)
    }

    /// Races first: registrations are applied once their race is known.
    fn streams(&self) -> &'static [Stream] {
        &[Stream::Races, Stream::Registrations]
    }

    async fn pull(&self, stream: Stream, from: &PullFrom) -> Result<Pulled, Failure> {
        let until = no_lease();
        let talk = Talk::new(self, &until);
        self.unleased(talk.pull_from(stream, from, self.organisation).await)
    }

    async fn read(&self, entity_type: EntityType, remote_id: &str) -> Result<Snapshot, Failure> {
        let until = no_lease();
        let talk = Talk::new(self, &until);
        self.unleased(talk.read_one(entity_type, remote_id, self.organisation).await)
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    async fn account(&self) -> Result<Account, Failure> {
        self.ask().await?;
        let account = Account { login: self.login_digest(), instance: None };
        self.place.seen(account);
        Ok(account)
    }

    fn stay_with(&self, account: Account) {
        self.place.stay_with(account);
    }

    async fn changed(&self) {
        self.place.changed().await;
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.ask().await
    }
}

/// Until when work without a lease may send.
fn no_lease() -> SendBefore {
    SendBefore::from(Instant::now() + limits::LEASE_MIN)
}

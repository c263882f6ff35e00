//! `MailChimp` (its contract: `tests/remotes/contracts/mailchimp.md`): a person is a member of each list that they belong to.
//!
//! Every member is read before it is touched, since its status is consent: what people did there, or `MailChimp` itself, is
//! never taken back. A new member is PUT with `status_if_new`; an existing one is changed by PATCH without any status, so that one who
//! was archived or forgotten in between is neither restored nor made anew. Tags have a call of their own. Whoever lapses is
//! archived, never deleted for good.
//!
//! The bulk endpoint is never used: with `update_existing` it changes the consent of existing members, without it existing
//! members are errors, and each would have to be read first all the same.

mod answer;
mod calls;
mod consent;
mod lists;
mod member;
mod one_list;
mod out;
mod pull;
mod single;
mod walk;
mod wire;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use self::lists::Settings;
use self::walk::Walk;
use super::http::{Answer, Http, Intent, Method, Request};
use super::inbound::{PullFrom, Pulled, Stream};
use super::pace::Pace;
use super::place::Place;
use super::{
    Account, Alarms, Failure, FailureClass, Fields, HttpSettings, Page, Push, Remote, RemoteIds,
    Results, SendBefore, TlsError, Unmappable, Wire,
};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::limits;
use crate::target::Target;

/// The client of one `MailChimp` account.
pub struct MailChimp {
    http: Http,
    api_key: SecretString,
    /// As many persons at once as there may be requests, so that who has begun is soon done.
    pace: Pace,
    /// Audience id by list code.
    lists: BTreeMap<String, String>,
    /// What is known of the lists' settings, by list code.
    settings: Mutex<BTreeMap<String, Settings>>,
    /// The walk over all members that is under way.
    walk: tokio::sync::Mutex<Option<Walk>>,
    place: Place,
    alarms: Alarms,
}

impl MailChimp {
    /// A client of these lists (audience id by list code). Connects to nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] when the CA can't be used.
    pub fn new(
        settings: &HttpSettings,
        api_key: SecretString,
        lists: BTreeMap<String, String>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            http: Http::new(settings)?,
            api_key,
            pace: Pace::new(settings.concurrency, settings.timeout),
            lists,
            settings: Mutex::default(),
            walk: tokio::sync::Mutex::default(),
            place: Place::new(),
            alarms: Alarms::default(),
        })
    }

    /// Sends a request. `Ok(None)` means that nothing was sent: `send_before` has passed, the server wants to be left alone,
    /// or the account is another one by now. A key that is refused is refused for good: there is no login (contract,
    /// section 1).
    async fn call(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        let Some(slot) = self.http.slot(send_before).await else { return Ok(None) };
        let is_elsewhere = intent == Intent::Write && self.place.is_another();
        if is_elsewhere || !self.http.ready(&slot).await {
            return Ok(None);
        }
        let request = build(&self.http).basic("ems-sync", &self.api_key);
        let answer = self.http.send(&slot, intent, request).await?;
        if answer::is_throttled(&answer) {
            self.http.be_quiet_for(answer.retry_after().unwrap_or(limits::LEARNT_PAUSE_MIN));
        }
        if !answer.is_success() && !answer::is_not_found(&answer) {
            self.alarms.raise(&answer::failure(&answer, intent));
        }
        Ok(Some(answer))
    }

    /// Reads something without a lease.
    async fn read(
        &self,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Failure> {
        let no_lease = SendBefore::from(Instant::now() + limits::LEASE_MIN);
        self.call(Intent::Read, &no_lease, build).await?.ok_or_else(|| self.not_sent())
    }

    /// Why a request without a lease was not sent.
    fn not_sent(&self) -> Failure {
        if self.http.is_quiet() {
            let text = "The server asked for a pause a moment ago";
            return Failure::new(FailureClass::Throttled, text).unsent();
        }
        Failure::new(FailureClass::Transient, "No slot in time").unsent()
    }

    /// What follows the key's last dash.
    fn data_centre(&self) -> &str {
        self.api_key.expose_secret().rsplit_once('-').map_or("", |(_, data_centre)| data_centre)
    }
}

impl Remote for MailChimp {
    fn target(&self) -> Target {
        Target::MailChimp
    }

    fn request_timeout(&self) -> Duration {
        self.http.timeout()
    }

    fn wire(
        &self,
        entity: EntityRef,
        fields: &Fields,
        _parents: &RemoteIds,
    ) -> Result<Wire, Unmappable> {
        wire::to_wire(entity, fields, &self.lists)
    }

    fn has_match_keys(&self, entity_type: EntityType) -> bool {
        entity_type == EntityType::Person
    }

    /// People have archived them in every list: they are kept in mind, and are members of none.
    fn nothing(&self) -> Option<ContentHash> {
        Some(wire::wire_of(std::iter::empty()).hash)
    }

    fn is_as_wanted(&self, wanted: &Wire, held: &Wire) -> bool {
        wire::is_as_wanted(wanted, held)
    }

    /// Members who are archived are kept in mind, and are not in the lists.
    fn is_part_of(&self, there: &str, known: &str) -> bool {
        single::is_part_of(there, known)
    }

    fn differing_fields(&self, wanted: &Wire, held: &Wire) -> Vec<String> {
        wire::differing_fields(wanted, held)
    }

    fn wants_older_first(&self, _entity_type: EntityType) -> bool {
        false
    }

    async fn push(&self, batch: Vec<Push>, results: Results) {
        let rows = batch.into_iter().map(|push| vec![push]);
        self.pace.push_rows(rows, &results, |push| self.push_one(push)).await;
    }

    async fn list(&self, entity_type: EntityType, from: Option<&str>) -> Result<Page, Failure> {
        if entity_type != EntityType::Person {
            return Ok(Page { records: Vec::new(), next: None });
        }
        self.walk_on(from).await
    }

    /// Of what is changed there only consent comes back.
    fn streams(&self) -> &'static [Stream] {
        &[Stream::Consents]
    }

    async fn pull(&self, stream: Stream, from: &PullFrom) -> Result<Pulled, Failure> {
        match stream {
            Stream::Consents => self.pull_consents(from).await,
            Stream::Races | Stream::Registrations | Stream::Contacts | Stream::Conversations => {
                Ok(Pulled::default())
            }
        }
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    async fn account(&self) -> Result<Account, Failure> {
        let account = self.ask_account().await?;
        self.place.seen(account);
        if !self.place.is_another() {
            self.check_lists().await?;
        }
        Ok(account)
    }

    fn stay_with(&self, account: Account) {
        self.place.stay_with(account);
    }

    async fn changed(&self) {
        self.place.changed().await;
    }

    async fn probe(&self) -> Result<(), Failure> {
        let answer = self.read(|http| http.request(Method::Get, "/ping")).await?;
        answer::json(&answer, Intent::Read).map(|_| ())
    }
}

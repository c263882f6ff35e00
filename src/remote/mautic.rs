//! Mautic, marketing automation (its contract: `tests/remotes/contracts/mautic.md`).
//!
//! A person with an e-mail address is a contact, found by the custom field `ems_person_id` or by the address, which is one
//! contact's at most. `POST /contacts/new` makes or meets a contact, `PATCH` writes all of our fields exactly; never `PUT`,
//! which makes duplicates, never `frequencyRules`, which empties segments. Consent has calls of its own after that.
//!
//! Nothing at Mautic is unique by constraint: an edit whose address another contact has takes that one in and deletes it.
//! So every write is preceded by a look-up of the address, one call for up to fifty persons.

mod answer;
mod auth;
mod batch;
mod call;
mod consent;
mod contact;
mod country;
mod normal;
mod pull;
mod single;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use self::auth::Login;
use self::batch::RowEnd;
use self::contact::Contact;
use self::single::Progress;
use super::http::{Http, Intent, Method};
use super::inbound::{PullFrom, Pulled, Stream};
use super::place::Place;
use super::{
    Account, Alarms, Failure, FailureClass, Fields, HttpSettings, Page, Push, Remote, RemoteIds,
    Results, SendBefore, TlsError, Unmappable, Wire,
};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::limits;
use crate::target::Target;

pub use auth::Credentials;

/// Raised when an account's digest is made of something else; the target is then held until it is rebound.
const ACCOUNT_VERSION: u32 = 1;

/// The client of one Mautic.
pub struct Mautic {
    http: Http,
    login: Login,
    place: Place,
    alarms: Alarms,
    /// The address of a contact that was there when it was last written: what finds it finds others too.
    witness: Mutex<Option<String>>,
}

impl Mautic {
    /// A client with these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] when the CA can't be used.
    pub fn new(settings: &HttpSettings, credentials: Credentials) -> Result<Self, TlsError> {
        Ok(Self {
            http: Http::new(settings)?,
            login: Login::new(credentials),
            place: Place::new(),
            alarms: Alarms::default(),
            witness: Mutex::default(),
        })
    }

    fn witness(&self) -> MutexGuard<'_, Option<String>> {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mautic does not say who it is: its address is a part of the account.
    fn own_account(&self) -> Account {
        let login = json!({
            "address": self.http.base_url(), "login": self.login.credentials.name(),
        });
        Account { login: ContentHash::of(Target::Mautic, ACCOUNT_VERSION, &login), instance: None }
    }

    /// A page of all contacts by keyset, since offsets over changing data skip rows (contract, section 7); where the next one
    /// begins; Mautic's clock.
    async fn contacts_after(
        &self,
        after: i64,
    ) -> Result<(Vec<Contact>, Option<i64>, Option<Timestamp>), Failure> {
        let (after_text, limit) = (after.to_string(), limits::MAUTIC_PAGE_ROWS.to_string());
        let request = |http: &Http| {
            http.request(Method::Get, "/api/contacts").query(&[
                ("where[0][col]", "id"),
                ("where[0][expr]", "gt"),
                ("where[0][val]", &after_text),
                ("orderBy", "id"),
                ("orderByDir", "asc"),
                ("limit", &limit),
            ])
        };
        let answer = self.call(Intent::Read, &no_lease(), request).await?;
        let answer = answer.ok_or_else(|| self.not_sent())?;
        let (contacts, next) = answer::page(&answer, after)?;
        Ok((contacts, next, answer.date()))
    }

    /// Our fields that it has not.
    async fn missing_fields(&self) -> Result<Vec<&'static str>, Failure> {
        let request = |http: &Http| http.request(Method::Get, "/api/contacts/list/fields");
        let answer = self.authorised(Intent::Read, &no_lease(), true, request).await?;
        answer::missing_fields(&answer.ok_or_else(|| self.not_sent())?)
    }
}

/// What to do about fields that Mautic has not.
fn missing(aliases: &[&str]) -> String {
    format!(
        "Mautic has no contact field {}: create it (Settings, Custom Fields; contact, text, published, that alias)",
        aliases.join(", ")
    )
}

/// Until when a request may be sent that is no push.
fn no_lease() -> SendBefore {
    SendBefore::from(Instant::now() + limits::LEASE_MIN)
}

impl Remote for Mautic {
    fn target(&self) -> Target {
        Target::Mautic
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
        wire::to_wire(entity, fields)
    }

    fn has_match_keys(&self, entity_type: EntityType) -> bool {
        entity_type == EntityType::Person
    }

    fn is_as_wanted(&self, wanted: &Wire, held: &Wire) -> bool {
        wire::is_as_wanted(wanted, held)
    }

    fn differing_fields(&self, wanted: &Wire, held: &Wire) -> Vec<String> {
        wire::differing_fields(wanted, held)
    }

    fn wants_older_first(&self, _entity_type: EntityType) -> bool {
        false
    }

    /// Look-ups and edits together, everything else in single calls, all at once.
    async fn push(&self, batch: Vec<Push>, results: Results) {
        let (together, singles) = batch::split(batch);
        let mut batches: FuturesUnordered<_> =
            together.into_iter().map(|pushes| self.push_together(pushes)).collect();
        let mut single_calls: FuturesUnordered<_> =
            singles.into_iter().map(|push| self.push_single(push, Progress::None)).collect();
        loop {
            tokio::select! {
                Some((entity, result)) = single_calls.next() => results.put(entity, result),
                Some(rows) = batches.next() => for row in rows {
                    match row {
                        RowEnd::Settled(entity, result) => results.put(entity, result),
                        RowEnd::GoesOn(push, progress) => {
                            single_calls.push(self.push_single(push, progress));
                        }
                    }
                },
                else => return,
            }
        }
    }

    async fn list(&self, entity_type: EntityType, from: Option<&str>) -> Result<Page, Failure> {
        if entity_type != EntityType::Person {
            return Ok(Page { records: Vec::new(), next: None });
        }
        let after: i64 = from.and_then(|from| from.parse().ok()).unwrap_or(0);
        let (contacts, next, _) = self.contacts_after(after).await?;
        let records = contacts.into_iter().map(Contact::into_record).collect();
        Ok(Page { records, next: next.map(|next| next.to_string()) })
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

    /// Also looks whether the fields that we write are there: a value for one that is not is lost without a word
    /// (section 2a).
    async fn account(&self) -> Result<Account, Failure> {
        let aliases = self.missing_fields().await?;
        if !aliases.is_empty() {
            return Err(Failure::new(FailureClass::Configuration, missing(&aliases)));
        }
        let account = self.own_account();
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
        self.missing_fields().await.map(drop)
    }
}

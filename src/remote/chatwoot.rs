//! Chatwoot, the support desk (its contract: `tests/remotes/contracts/chatwoot.md`). Persons are its contacts.
//!
//! A contact is a person's if its identifier is `ems-person-<id>`, or its custom attribute `ems_person_id` says so. There is no
//! idempotency key and no version of a contact; only identifier, e-mail address and (by validation) phone number are unique. So
//! every create looks first, every update reads first and sends what differs, and a key that is taken is looked up, never
//! guessed from the server's words. What agents made is adopted only beyond doubt; contacts are never deleted or merged. Which contacts
//! we made, and have let go since, their custom attribute `ems_origin` tells: of these the address may go to whoever has it next.

mod adopt;
mod answer;
mod contact;
mod conversation;
mod list;
mod look_up;
mod origin;
mod pull;
mod setup;
mod single;
mod unlink;
mod walk;
mod wire;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;

use self::answer::Names;
use super::http::{Answer, Http, Intent, Method, Request};
use super::inbound::{PullFrom, Pulled, Snapshot, Stream};
use super::pace::Pace;
use super::place::Place;
use super::{
    Account, Action, Alarms, Failure, FailureClass, Fields, HttpSettings, Page, Push, Remote,
    RemoteIds, Results, SendBefore, TlsError, Unmappable, Wire,
};
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::random;
use crate::target::Target;

/// In this form: proxies drop headers with underscores, and Rack takes one for the other (contract, section 1).
const TOKEN_HEADER: &str = "api-access-token";

/// Makes answers shorter.
const WITHOUT_INBOXES: (&str, &str) = ("include_contact_inboxes", "false");

/// The client of one account of a Chatwoot.
pub struct Chatwoot {
    http: Http,
    token: SecretString,
    account_id: u64,
    /// As many contacts at once as there may be requests, so that who has begun is soon done.
    pace: Pace,
    place: Place,
    alarms: Alarms,
}

impl Chatwoot {
    /// A client with these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] when the CA can't be used.
    pub fn new(
        settings: &HttpSettings,
        token: SecretString,
        account_id: u64,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            // Some versions refuse whoever accepts an encoding (contract, section 1).
            http: Http::without_compression(settings)?,
            token,
            account_id,
            pace: Pace::new(settings.concurrency, settings.timeout),
            place: Place::new(),
            alarms: Alarms::default(),
        })
    }

    /// A path within the account.
    fn path(&self, rest: &str) -> String {
        format!("/api/v1/accounts/{}{rest}", self.account_id)
    }

    /// A path within a contact.
    fn contact_path(&self, id: i64, rest: &str) -> String {
        self.path(&format!("/contacts/{id}{rest}"))
    }

    /// Asks for the contact with an id.
    fn contact_request(&self, http: &Http, id: i64) -> Request {
        http.request(Method::Get, &self.contact_path(id, "")).query(&[WITHOUT_INBOXES])
    }

    /// Asks for a page of all contacts, in the order in which they were made.
    fn contacts_request(&self, http: &Http, page: usize) -> Request {
        let page = page.to_string();
        let query = [("page", &*page), ("sort", "created_at"), WITHOUT_INBOXES];
        http.request(Method::Get, &self.path("/contacts")).query(&query)
    }

    /// Sends a request about contacts. `Ok(None)` means that nothing was sent: `send_before` has passed, the server wants to
    /// be left alone, or the ids belong to another account.
    async fn call(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        if self.place.is_another() {
            return Ok(None);
        }
        let answer = self.request(intent, send_before, build).await?;
        if let Some(answer) = answer.as_ref().filter(|answer| !answer.is_success()) {
            self.alarms.raise(&answer::failure(answer, intent, Names::Contact));
        }
        Ok(answer)
    }

    /// Sends a request. There is no login, so a refusal is final; a pause that is asked for is an error at once.
    async fn request(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        let Some(slot) = self.http.slot(send_before).await else { return Ok(None) };
        if !self.http.ready(&slot).await {
            return Ok(None);
        }
        let request = build(&self.http).secret_header(TOKEN_HEADER, &self.token);
        let answer = self.http.send(&slot, intent, request).await?;
        if answer.status != 429 {
            return Ok(Some(answer));
        }
        let server = answer.date().unwrap_or_else(Timestamp::now);
        let pause = answer.retry_after().unwrap_or_else(|| answer::pause(server, random::unit()));
        self.http.be_quiet_for(pause);
        let failure = Failure::new(FailureClass::Throttled, "429: too many requests in a minute");
        let failure = failure.with_retry_after(Some(pause));
        self.alarms.raise(&failure);
        Err(failure)
    }

    /// Why a request without a lease was not sent.
    fn not_sent(&self) -> Failure {
        if self.http.is_quiet() {
            let text = "The server asked for a pause a moment ago";
            return Failure::new(FailureClass::Throttled, text).unsent();
        }
        Failure::new(FailureClass::Transient, "No slot in time, or another account").unsent()
    }
}

/// For requests of nobody's lease.
fn no_lease() -> SendBefore {
    SendBefore::from(Instant::now() + limits::LEASE_MIN)
}

/// The pushes of a batch, in rows of one after the other: only a validation keeps phone numbers apart, and two creates at once
/// would both pass it (contract, section 2).
fn in_rows(batch: Vec<Push>) -> Vec<Vec<Push>> {
    let mut rows: Vec<Vec<Push>> = Vec::new();
    let mut row_of: HashMap<String, usize> = HashMap::new();
    for push in batch {
        let wire = match &push.action {
            Action::Create { wire, .. } | Action::Update { wire, .. } => Some(wire),
            Action::Delete { .. } | Action::DeleteByKey => None,
        };
        let phone = wire.and_then(|wire| wire.body.get(wire::PHONE)?.as_str());
        let row = phone.map(|phone| *row_of.entry(phone.to_owned()).or_insert(rows.len()));
        match row.and_then(|row| rows.get_mut(row)) {
            Some(row) => row.push(push),
            None => rows.push(vec![push]),
        }
    }
    rows
}

impl Remote for Chatwoot {
    fn target(&self) -> Target {
        Target::Chatwoot
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

    /// One contact per e-mail address.
    fn has_match_keys(&self, entity_type: EntityType) -> bool {
        entity_type == EntityType::Person
    }

    fn wants_older_first(&self, _entity_type: EntityType) -> bool {
        false
    }

    /// A contact keeps its history (contract, section 3).
    fn leaves_behind(&self) -> Option<&'static [&'static str]> {
        Some(&[wire::EMAIL])
    }

    async fn push(&self, batch: Vec<Push>, results: Results) {
        self.pace.push_rows(in_rows(batch), &results, |push| self.push_single(push)).await;
    }

    async fn list(&self, entity_type: EntityType, from: Option<&str>) -> Result<Page, Failure> {
        if entity_type != EntityType::Person {
            return Ok(Page { records: Vec::new(), next: None });
        }
        self.list_contacts(from).await
    }

    fn streams(&self) -> &'static [Stream] {
        &[Stream::Contacts, Stream::Conversations]
    }

    async fn pull(&self, stream: Stream, from: &PullFrom) -> Result<Pulled, Failure> {
        self.pull_page(stream, from).await
    }

    async fn read(&self, entity_type: EntityType, remote_id: &str) -> Result<Snapshot, Failure> {
        if entity_type != EntityType::Person {
            let text = "Only contacts are read one by one";
            return Err(Failure::new(FailureClass::OurFault, text).unsent());
        }
        self.read_contact(remote_id).await
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    async fn account(&self) -> Result<Account, Failure> {
        let account = self.set_up().await?;
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
        self.look_for_administrator().await
    }
}

//! TagServer, the organisation's own timing system (its contract: `tests/remotes/contracts/tagserver.md`).
//!
//! Eight resources, each found by its `externalId`, which is the EMS id and unique per resource. There is no
//! idempotency key, and PATCH can't clear a field: creates are POSTs, updates are PUTs of the whole body. Where
//! the server has the bulk endpoint, rows of a resource go in one call; where it has not, that is remembered.
//!
//! A first create is not preceded by a look-up: the server refuses a second record with the same `externalId`
//! (500 "Failure during data access" in stock JHipster), and the refusal is resolved by looking it up and
//! adopting it. A create that may have been sent before is looked up first (obligation 5).

mod answer;
mod auth;
mod bulk;
mod identity;
mod single;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use secrecy::SecretString;
use tokio::time::Instant;

use self::auth::{Login, Token};
use self::bulk::{RowEnd, Unsettled};
use self::identity::Identity;
use self::wire::Resource;
use super::http::{Answer, Http, Intent, Request, Slot, after_sending};
use super::{
    Account, Action, Alarms, Failure, FailureClass, Fields, HttpSettings, Look, Page, Push,
    PushResult, Remote, RemoteIds, RemoteRecord, Results, SendBefore, TlsError, Unmappable, Wire,
};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::limits;
use crate::target::Target;

/// Raised when an account's digests are made of something else; the target is then held until it is rebound.
const ACCOUNT_VERSION: u32 = 1;

/// The client of one `TagServer`.
pub struct TagServer {
    http: Http,
    login: Login,
    identity: Identity,
    /// Cleared for good when the server answers that it has no bulk endpoint.
    has_bulk: AtomicBool,
    alarms: Alarms,
}

impl TagServer {
    /// A client with these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] when the CA can't be used.
    pub fn new(
        settings: &HttpSettings,
        username: String,
        password: SecretString,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            http: Http::new(settings)?,
            login: Login::new(username, password),
            identity: Identity::new(),
            has_bulk: AtomicBool::new(true),
            alarms: Alarms::default(),
        })
    }

    /// Never uses the bulk endpoint: to measure what it is worth.
    #[must_use]
    pub fn without_bulk(self) -> Self {
        self.has_bulk.store(false, Ordering::Relaxed);
        self
    }

    /// A single call, from the beginning or where a bulk call has left it.
    async fn single(&self, push: Push, how: Unsettled) -> (EntityRef, PushResult) {
        match how {
            Unsettled::ByItself => self.push_single(push, false).await,
            Unsettled::Refused => self.push_single(push, true).await,
            Unsettled::Violates(refusal) => {
                let entity = push.entity;
                (entity, self.after_violation(push, refusal).await)
            }
        }
    }

    /// Sends an authorised request: one new login after a 401, then the refusal is final (contract, "Login").
    /// `Ok(None)` means that nothing was sent: `send_before` has passed, the server wants to be left alone, or it is another
    /// one by now.
    async fn call(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        let result = self.authorised(intent, send_before, true, build).await;
        match &result {
            Err(failure) => self.alarms.raise(failure),
            Ok(Some(answer)) if !answer.is_success() => {
                self.alarms.raise(&answer::failure(answer, intent));
            }
            Ok(_) => {}
        }
        result
    }

    /// `to_ours`: nothing is sent to a server that is another one.
    async fn authorised(
        &self,
        intent: Intent,
        send_before: &SendBefore,
        to_ours: bool,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Option<Answer>, Failure> {
        let mut asked = Instant::now();
        let Some(slot) = self.http.slot(send_before).await else { return Ok(None) };
        for is_last in [false, true] {
            if !self.http.ready(&slot).await {
                return Ok(None);
            }
            let token = self.login.token(&self.http, &slot, asked, !to_ours).await;
            let unsent = |f: Failure| if is_last { f } else { f.unsent() };
            let token = token.map_err(unsent)?;
            let is_the_same = if to_ours {
                self.is_the_same(&slot, &token, asked, is_last).await.map_err(unsent)?
            } else {
                Some(true)
            };
            match is_the_same {
                Some(true) => {}
                Some(false) => return Ok(None),
                None => {
                    self.login.forget(&token).await;
                    asked = Instant::now();
                    continue;
                }
            }
            if !self.http.ready(&slot).await {
                return Ok(None);
            }
            let request = build(&self.http).bearer(token.text());
            let sent = self.http.send(&slot, intent, request).await;
            if sent.as_ref().map_or(true, |answer| matches!(answer.status, 502..=504)) {
                self.identity.doubt();
            }
            let answer = sent?;
            if answer.status != 401 {
                return Ok(Some(answer));
            }
            self.login.forget(&token).await;
            if is_last {
                break;
            }
            asked = Instant::now();
        }
        Err(Failure::new(FailureClass::Authentication, "401 also after a new login"))
    }

    /// Why a request without a lease was not sent.
    fn not_sent(&self) -> Failure {
        if self.http.is_quiet() {
            let text = "The server asked for a pause a moment ago";
            return Failure::new(FailureClass::Throttled, text).unsent();
        }
        Failure::new(FailureClass::Transient, "No slot in time").unsent()
    }

    /// Whether the server is still the one whose ids we know; asked once after each login and each lost connection.
    /// `None`: the token was refused.
    async fn is_the_same(
        &self,
        slot: &Slot,
        token: &Arc<Token>,
        asked: Instant,
        is_last: bool,
    ) -> Result<Option<bool>, Failure> {
        if self.identity.is_proven(token) {
            return Ok(Some(true));
        }
        let _one_at_a_time = self.identity.asking.lock().await;
        if self.identity.is_proven(token) || self.identity.is_another() {
            return Ok(Some(!self.identity.is_another()));
        }
        if let Some(failure) = self.identity.failure_since(asked) {
            return Err(failure);
        }
        let answer = match self.ask_who(slot, token).await {
            Ok(answer) if answer.status == 401 && !is_last => return Ok(None),
            Ok(answer) => answer::instance(&answer),
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(instance) => {
                let account = self.account_at(instance.as_deref());
                Ok(Some(self.identity.asked(token, account)))
            }
            Err(failure) => {
                self.identity.failed(&failure);
                Err(failure)
            }
        }
    }

    /// Asks the server who it is, with a new login if it wants one.
    async fn ask_account(&self) -> Result<Account, Failure> {
        let mut asked = Instant::now();
        let until = SendBefore::from(asked + limits::LEASE_MIN);
        let Some(slot) = self.http.slot(&until).await else { return Err(self.not_sent()) };
        for is_last in [false, true] {
            if !self.http.ready(&slot).await {
                return Err(self.not_sent());
            }
            let token = self.login.token(&self.http, &slot, asked, true).await?;
            let answer = self.ask_who(&slot, &token).await?;
            if answer.status == 401 && !is_last {
                self.login.forget(&token).await;
                asked = Instant::now();
                continue;
            }
            let instance = answer::instance(&answer)?;
            let account = self.account_at(instance.as_deref());
            self.identity.asked(&token, account);
            return Ok(account);
        }
        Err(Failure::new(FailureClass::Authentication, "401 also after a new login"))
    }

    async fn ask_who(&self, slot: &Slot, token: &Arc<Token>) -> Result<Answer, Failure> {
        let request = self.http.request(super::http::Method::Get, "/management/info");
        self.http.send(slot, Intent::Read, request.bearer(token.text())).await
    }

    /// The account of a server that says it is this instance. Where it does not say so, its address is a part of it.
    fn account_at(&self, instance: Option<&str>) -> Account {
        let print = |value| ContentHash::of(Target::TagServer, ACCOUNT_VERSION, &value);
        let username = self.login.username();
        let login = match instance {
            Some(_) => serde_json::json!({ "username": username }),
            None => serde_json::json!({ "username": username, "address": self.http.base_url() }),
        };
        Account {
            login: print(login),
            instance: instance.map(|instance| print(serde_json::json!({ "instance": instance }))),
        }
    }

    /// Looks for the record that carries this EMS id. A server that ignores the filter answers with other rows,
    /// so every row is checked, and more than one row of ours is an error of the remote.
    async fn find(
        &self,
        resource: &'static Resource,
        entity: EntityRef,
        send_before: &SendBefore,
    ) -> Result<Option<Option<RemoteRecord>>, Failure> {
        let external_id = entity.id.to_string();
        let request = |http: &Http| {
            http.request(super::http::Method::Get, resource.path)
                .query(&[("externalId.equals", &external_id), ("size", "2")])
        };
        let Some(answer) = self.call(Intent::Read, send_before, request).await? else {
            return Ok(None);
        };
        if !answer.is_success() {
            return Err(answer::failure(&answer, Intent::Read));
        }
        let rows = answer::rows(resource, &answer)?;
        let filter_was_ignored = rows.iter().any(|row| row.entity != Some(entity));
        let mut ours = rows.into_iter().filter(|row| row.entity == Some(entity));
        match (ours.next(), ours.next(), filter_was_ignored) {
            (Some(row), None, _) => Ok(Some(Some(row))),
            (None, _, false) => Ok(Some(None)),
            (None, _, true) => Err(Failure::new(
                FailureClass::OurFault,
                "The server ignored the filter `externalId.equals`: absence can't be told",
            )),
            (Some(_), Some(_), _) => Err(Failure::new(
                FailureClass::OurFault,
                "Several records carry the same externalId",
            )),
        }
    }
}

impl Remote for TagServer {
    fn target(&self) -> Target {
        Target::TagServer
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
        wire::to_wire(entity, fields, parents)
    }

    /// A tag that is replaced gets its end first, then the new one is created (contract, "How it behaves in the
    /// field").
    fn wants_older_first(&self, entity_type: EntityType) -> bool {
        entity_type == EntityType::Tag
    }

    /// Rows in bulk where the server has it, everything else in single calls, all at once. Rows that a bulk call did not
    /// settle go on as single calls.
    async fn push(&self, batch: Vec<Push>, results: Results) {
        let (rows, singles) = if self.has_bulk.load(Ordering::Relaxed) {
            bulk::split(batch, self.identity.reads_first())
        } else {
            (Vec::new(), batch)
        };
        let mut bulk_calls: FuturesUnordered<_> =
            rows.into_iter().map(|rows| self.push_rows(rows)).collect();
        let mut single_calls: FuturesUnordered<_> =
            singles.into_iter().map(|push| self.single(push, Unsettled::ByItself)).collect();
        loop {
            tokio::select! {
                Some((entity, result)) = single_calls.next() => results.put(entity, result),
                Some(of_rows) = bulk_calls.next() => for row in of_rows {
                    match row {
                        RowEnd::Settled(entity, result) => results.put(entity, result),
                        RowEnd::GoesOn(push, how) => single_calls.push(self.single(push, how)),
                    }
                },
                else => return,
            }
        }
    }

    async fn list(&self, entity_type: EntityType, from: Option<&str>) -> Result<Page, Failure> {
        let Some(resource) = wire::resource(entity_type) else {
            return Ok(Page { records: Vec::new(), next: None });
        };
        let size = limits::TAGSERVER_PAGE_ROWS.to_string();
        let from = from.unwrap_or("0").to_owned();
        let request = |http: &Http| {
            http.request(super::http::Method::Get, resource.path).query(&[
                ("id.greaterThan", &from),
                ("sort", "id,asc"),
                ("page", "0"),
                ("size", &size),
            ])
        };
        let no_lease = SendBefore::from(Instant::now() + limits::LEASE_MIN);
        let Some(answer) = self.call(Intent::Read, &no_lease, request).await? else {
            return Err(self.not_sent());
        };
        if !answer.is_success() {
            return Err(answer::failure(&answer, Intent::Read));
        }
        answer::page(resource, &answer, &from)
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    async fn account(&self) -> Result<Account, Failure> {
        let account = self.ask_account().await;
        if account.is_err() {
            self.identity.doubt();
        }
        account
    }

    fn stay_with(&self, account: Account) {
        self.identity.stay_with(account);
    }

    async fn changed(&self) {
        self.identity.changed().await;
    }

    async fn probe(&self) -> Result<(), Failure> {
        let request = |http: &Http| http.request(super::http::Method::Get, "/api/authenticate");
        let no_lease = SendBefore::from(Instant::now() + limits::LEASE_MIN);
        // Whoever answers: whether it is the one that we know is looked at when the target is open again.
        match self.authorised(Intent::Read, &no_lease, false, request).await? {
            Some(answer) if answer.status == 204 => Ok(()),
            Some(answer) => Err(answer::failure(&answer, Intent::Read)),
            None => Err(self.not_sent()),
        }
    }
}

/// The failure of a write's success that does not say what it must: it may have been applied.
fn unreadable(what: &str) -> Failure {
    Failure::new(after_sending(Intent::Write), what)
}

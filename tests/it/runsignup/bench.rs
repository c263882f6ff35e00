//! A client, a simulator with two races, and short words for what is pushed and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::runsignup::{Credentials, KeyVersion, RunSignup};
use ems_sync::remote::{
    Action, Failure, Fields, HttpSettings, Look, Push, PushResult, Remote as _, RemoteIds, Results,
    SendBefore, Wire,
};
use ems_sync_remotes::runsignup::{
    Registration, Resource, RunSignup as Sim, RunSignupOptions, User,
};
use ems_sync_remotes::{Fault, Operation, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Nothing here takes this long unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The race with the question `EMS ID`, its events, and its question.
pub(super) const RACE: i64 = 7;
pub(super) const TEN: i64 = 71;
pub(super) const TWENTY: i64 = 72;
pub(super) const QUESTION: i64 = 7885;
/// The race without one, and its event.
pub(super) const OTHER_RACE: i64 = 8;
pub(super) const OTHER: i64 = 81;

pub(super) struct Bench {
    pub(super) sim: Arc<Simulator<Sim>>,
    pub(super) settings: HttpSettings,
    pub(super) client: RunSignup,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut HttpSettings)) -> Self {
        let sim = Sim::start(RunSignupOptions::default()).await.unwrap();
        plant_races(&sim);
        let mut settings = settings(&sim);
        change(&mut settings);
        let client = client(&settings, credentials(), false);
        Self { sim: Arc::new(sim), settings, client }
    }

    /// One whose client has asked for races and questions, so that its operations are those of the registrations.
    pub(super) async fn warm() -> Self {
        let bench = Self::new().await;
        for (id, event) in [(901, TEN), (902, OTHER)] {
            let result = bench.one(bench.create(id, event)).await;
            bench.one(delete(id, remote_id(&result))).await;
        }
        bench
    }

    /// The same simulator and a client that remembers nothing.
    pub(super) fn fresh(&self) -> Self {
        let client = client(&self.settings, credentials(), false);
        Self { sim: Arc::clone(&self.sim), settings: self.settings.clone(), client }
    }

    /// The same simulator and a client that writes races, too.
    pub(super) fn pushing_races(&self) -> Self {
        let client = client(&self.settings, credentials(), true);
        Self { sim: Arc::clone(&self.sim), settings: self.settings.clone(), client }
    }

    /// What is wanted of participant `id` in an event; `changes` are laid over the usual person.
    pub(super) fn wire(&self, id: i64, event: i64, changes: Value) -> Wire {
        let mut fields = json!({
            "race_id": event, "person_id": 1000 + id, "number": id.to_string(), "first_name": "Zoë",
            "last_name": format!("Runner {id}"), "email": format!("zoe{id}@ems.example"),
            "phone": "+18568501510", "date_of_birth": "1986-01-06", "gender": "FEMALE",
            "address_line": "1 Main St & Co", "city": "Trenton", "province": "NJ", "postal_code": "08057",
            "country": "US"});
        for (column, value) in changes.as_object().unwrap() {
            fields[column] = value.clone();
        }
        let Value::Object(fields) = fields else { panic!("an object") };
        let race = EntityRef::new(EntityType::Race, event);
        let parents = RemoteIds::from([(race, event.to_string())]);
        self.client.wire(participant(id), &Fields::new(fields), &parents).unwrap()
    }

    pub(super) fn create(&self, id: i64, event: i64) -> Push {
        self.create_of(id, event, json!({}))
    }

    pub(super) fn create_of(&self, id: i64, event: i64, changes: Value) -> Push {
        let wire = self.wire(id, event, changes);
        push(participant(id), Action::Create { wire, look: Look::IfRefused })
    }

    /// A create after one that may have been applied.
    pub(super) fn again(
        &self,
        id: i64,
        event: i64,
        changes: Value,
        absence_is_proof: bool,
    ) -> Push {
        let wire = self.wire(id, event, changes);
        push(participant(id), Action::Create { wire, look: Look::First { absence_is_proof } })
    }

    pub(super) fn update(&self, id: i64, remote_id: i64, event: i64, changes: Value) -> Push {
        let wire = self.wire(id, event, changes);
        push(participant(id), Action::Update { remote_id: remote_id.to_string(), wire })
    }

    /// Registers participant `id` through the client; the registration's id.
    pub(super) async fn registered(&self, id: i64, event: i64) -> i64 {
        let result = self.one(self.create(id, event)).await;
        assert_eq!(word(&result), "held");
        remote_id(&result)
    }

    /// Somebody registers and pays at RunSignup, with the same names and day of birth as participant `id`.
    pub(super) fn paid(&self, id: i64, event: i64, changes: Value) -> i64 {
        let mut user = json!({"first_name": "Zoë", "last_name": format!("Runner {id}"), "dob": "1986-01-06",
            "email": format!("zoe{id}@ems.example"), "gender": "F", "phone": "856-850-1510",
            "address": {"street": "1 Main St & Co", "city": "Trenton", "state": "NJ", "zipcode": "08057",
                        "country_code": "US"}, "has_account": true});
        for (name, value) in changes.as_object().unwrap() {
            user[name] = value.clone();
        }
        self.sim.register(event, json!({"user": user, "bib_num": id})).unwrap()
    }

    pub(super) async fn one(&self, push: Push) -> PushResult {
        let id = push.entity.id;
        let mut results = self.many(vec![push]).await;
        results.remove(&id).unwrap()
    }

    /// Every push is answered exactly once (obligation 1).
    pub(super) async fn many(&self, batch: Vec<Push>) -> BTreeMap<i64, PushResult> {
        let count = batch.len();
        let (sender, mut receiver) = Results::channel();
        tokio::time::timeout(PATIENCE, self.client.push(batch, sender)).await.expect("ends");
        let mut results = Vec::new();
        receiver.recv_many(&mut results, usize::MAX).await;
        assert_eq!(results.len(), count, "a result per push");
        let results: BTreeMap<i64, PushResult> =
            results.into_iter().map(|(entity, result)| (entity.id, result)).collect();
        assert_eq!(results.len(), count, "each entity once");
        results
    }

    /// Those that stand, with their users.
    pub(super) fn standing(&self) -> Vec<(Registration, User)> {
        let registrations = self.sim.registrations().into_iter().filter(|row| row.active);
        registrations.map(|row| (row.clone(), self.sim.user(row.user_id).unwrap())).collect()
    }

    pub(super) fn registration(&self, id: i64) -> (Registration, User) {
        let row = self.sim.registration(id).unwrap();
        let user = self.sim.user(row.user_id).unwrap();
        (row, user)
    }

    /// The operations since `since` requests.
    pub(super) fn operations_since(&self, since: usize) -> Vec<Operation> {
        self.sim.journal().iter().skip(since).map(|entry| entry.operation).collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.sim.journal().len()
    }

    pub(super) fn writes(&self) -> usize {
        self.sim.journal().iter().filter(|entry| entry.operation.is_write()).count()
    }

    pub(super) fn assert_no_violation(&self) {
        assert_eq!(self.sim.violations(), []);
    }
}

pub(super) fn plant_races(sim: &Simulator<Sim>) {
    let races = [
        json!({"id": RACE, "name": "Comrades", "timezone": "Africa/Johannesburg",
               "questions": {QUESTION.to_string(): "EMS ID"}}),
        json!({"id": OTHER_RACE, "name": "Other", "timezone": "America/New_York"}),
    ];
    for race in races {
        sim.plant(Resource::Race, race).unwrap();
    }
    for (id, race, name) in
        [(TEN, RACE, "10 km"), (TWENTY, RACE, "20 km"), (OTHER, OTHER_RACE, "5 km")]
    {
        let event = json!({"id": id, "race_id": race, "race_event_days_id": 12, "name": name});
        sim.plant(Resource::Event, event).unwrap();
    }
}

pub(super) fn settings(sim: &Simulator<Sim>) -> HttpSettings {
    HttpSettings {
        base_url: format!("{}/rest", sim.base_url()),
        ca_pem: None,
        allow_http: true,
        concurrency: 16,
        requests_per_second: None,
        budget: None,
        timeout: PATIENCE,
    }
}

pub(super) fn credentials() -> Credentials {
    Credentials {
        key: SecretString::from("ems-sync-key"),
        secret: SecretString::from("ems-sync-secret"),
        version: KeyVersion::V2,
        caller: None,
    }
}

pub(super) fn client(
    settings: &HttpSettings,
    credentials: Credentials,
    push_races: bool,
) -> RunSignup {
    rustls::crypto::ring::default_provider().install_default().ok();
    RunSignup::new(settings, credentials, push_races).unwrap()
}

pub(super) const fn participant(id: i64) -> EntityRef {
    EntityRef::new(EntityType::EventParticipant, id)
}

/// A lease that outlasts every test.
pub(super) fn in_time() -> SendBefore {
    SendBefore::from(Instant::now() + PATIENCE)
}

pub(super) fn push(entity: EntityRef, action: Action) -> Push {
    Push {
        entity,
        action,
        besides: Look::IfRefused,
        former: None,
        by_itself: false,
        send_before: in_time(),
        expected: None,
    }
}

pub(super) fn delete(id: i64, remote_id: i64) -> Push {
    push(participant(id), Action::Delete { remote_id: remote_id.to_string() })
}

pub(super) fn delete_by_key(id: i64) -> Push {
    push(participant(id), Action::DeleteByKey)
}

/// How a push ended, in one word: `held`, `adopted`, `gone`, `unsettled`, `not_sent`, or the class of its failure.
pub(super) fn word(result: &PushResult) -> &'static str {
    match result {
        PushResult::Held { written: true, .. } => "held",
        PushResult::Held { written: false, .. } => "adopted",
        PushResult::Differs(_) => "differs",
        PushResult::Gone => "gone",
        PushResult::Unsettled => "unsettled",
        PushResult::NotSent => "not_sent",
        PushResult::Failed(failure) => failure.class.name(),
    }
}

pub(super) fn remote_id(result: &PushResult) -> i64 {
    let PushResult::Held { remote_id, .. } = result else { panic!("not held: {result:?}") };
    remote_id.parse().unwrap()
}

pub(super) fn remote_hash(result: &PushResult) -> ems_sync::hash::ContentHash {
    let PushResult::Held { remote_hash, .. } = result else { panic!("not held: {result:?}") };
    *remote_hash
}

pub(super) fn failure(result: PushResult) -> Failure {
    let PushResult::Failed(failure) = result else { panic!("not failed: {result:?}") };
    failure
}

/// 200 with this body, not applied.
pub(super) fn answers(body: Value) -> Fault {
    Fault::Status { code: 200, headers: Vec::new(), body: Some(body), applied: false }
}

/// An error of one row.
pub(super) fn row_error(code: i64) -> Fault {
    answers(json!({"error": {"error_code": 11, "error_msg": "Invalid submission"},
                   "error_details": [{"error_code": code, "error_msg": "Zoë"}]}))
}

/// An empty list of the event.
pub(super) fn nobody(event: i64) -> Fault {
    answers(json!([{"event": {"event_id": event, "participants": []}}]))
}

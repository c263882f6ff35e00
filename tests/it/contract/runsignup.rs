//! The kit of RunSignup: participants as registrations for one event of a race that has the question `EMS ID`.

use std::ops::RangeInclusive;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::runsignup::{Credentials, KeyVersion, RunSignup};
use ems_sync::remote::{HttpSettings, RemoteIds};
use ems_sync_remotes::runsignup::{
    Registration, Resource, RunSignup as Sim, RunSignupOptions, api_error, throttled,
};
use ems_sync_remotes::{Fault, Reimage, Remote as _, Simulator, Upheaval};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::kit::{Content, Kit};

const RACE: i64 = 7;
const EVENT: i64 = 71;
const QUESTION: i64 = 7885;

pub(super) struct RunSignupKit {
    sim: Simulator<Sim>,
    key: &'static str,
}

impl RunSignupKit {
    async fn with_key(key: &'static str) -> Self {
        let options = RunSignupOptions { api_key: key.to_owned(), ..RunSignupOptions::default() };
        let sim = Sim::start(options).await.unwrap();
        let race = json!({"id": RACE, "name": "Comrades", "timezone": "Africa/Johannesburg",
                          "questions": {QUESTION.to_string(): "EMS ID"}});
        sim.plant(Resource::Race, race).unwrap();
        let event =
            json!({"id": EVENT, "race_id": RACE, "race_event_days_id": 12, "name": "10 km"});
        sim.plant(Resource::Event, event).unwrap();
        Self { sim, key }
    }

    fn registration(&self, id: i64) -> Option<Registration> {
        let mut found = self.sim.registrations_of(&id.to_string());
        found.retain(|registration| registration.active);
        assert!(found.len() <= 1, "two registrations of one participant");
        found.pop()
    }
}

impl Kit for RunSignupKit {
    type Sim = Sim;
    type Client = RunSignup;

    const ENTITY: EntityType = EntityType::EventParticipant;
    const LOGS_IN: bool = false;
    const CARRIES_KEYS: bool = false;

    async fn start() -> Self {
        Self::with_key("ems-sync-key").await
    }

    async fn start_elsewhere() -> Self {
        Self::with_key("another-key").await
    }

    fn sim(&self) -> &Simulator<Sim> {
        &self.sim
    }

    fn base_url(&self) -> String {
        format!("{}/rest", self.sim.base_url())
    }

    fn concurrency(&self) -> usize {
        2
    }

    fn client(&self, http: &HttpSettings) -> RunSignup {
        let options = RunSignupOptions::default();
        let secret = SecretString::from(options.api_secret);
        let credentials = Credentials {
            key: SecretString::from(self.key),
            secret,
            version: KeyVersion::V2,
            caller: None,
        };
        RunSignup::new(http, credentials, false).unwrap()
    }

    fn parents(&self) -> RemoteIds {
        RemoteIds::from([(EntityRef::new(EntityType::Race, 3), EVENT.to_string())])
    }

    fn projection(&self, id: i64, content: Content) -> Value {
        let (first_name, number) = match content {
            Content::A => (format!("Thandiwe{id}"), json!(format!("{:05}", id + 10_000))),
            Content::B => (format!(" Nomvula{id} "), json!((id + 20_000).to_string())),
            Content::Cleared => (format!("Thandiwe{id}"), Value::Null),
        };
        let optional = |text: &str| (content != Content::Cleared).then(|| text.to_owned());
        json!({ "race_id": 3, "person_id": 1_000 + id, "number": number, "first_name": first_name,
                "last_name": "Ndlovu", "email": format!("Runner{id}@Club.ORG"),
                "phone": optional("+18568501510"), "date_of_birth": "1987-06-05", "gender": "FEMALE",
                "address_line": optional("1 Longmarket & Church"), "city": optional("Trenton"),
                "province": optional("NJ"), "postal_code": optional("08057"), "country": optional("US") })
    }

    /// Registrations share no key: names, e-mail addresses and even bibs may be the same.
    fn colliding(&self, _id: i64, _other: i64) -> Option<Value> {
        None
    }

    fn held(&self, id: i64) -> Option<Value> {
        let registration = self.registration(id)?;
        let user = self.sim.user(registration.user_id)?;
        let phone = user.phone.map(|phone| format!("+1{}", phone.replace('-', "")));
        Some(json!({
            "event_id": registration.event_id.to_string(), "active": true,
            "bib_num": registration.bib_num.map(|bib| bib.to_string()), "first_name": user.first_name,
            "last_name": user.last_name, "email": user.email.map(|email| email.to_lowercase()), "phone": phone,
            "dob": user.dob.map(|dob| dob.to_string()), "gender": user.gender, "street": user.address.street,
            "city": user.address.city, "state": user.address.state, "zipcode": user.address.zipcode,
            "country_code": user.address.country_code,
        }))
    }

    /// Whose it is stands in the question's response.
    fn visible(body: &Value) -> Value {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").remove("ems");
        body
    }

    fn records(&self) -> usize {
        self.sim.registrations().iter().filter(|registration| registration.active).count()
    }

    fn remove(&self, id: i64) {
        let registration = self.registration(id).expect("it has a registration");
        assert!(self.sim.remove(Resource::Registration, registration.id));
    }

    fn swap(&self, _one: i64, _other: i64) -> bool {
        assert_eq!(self.sim.registrations().len(), 2, "those two");
        self.sim.remote().upheave(Upheaval::Reimage(Reimage::Shuffled), None);
        true
    }

    /// In HTTP 200 (contract, section 2).
    fn refusal() -> Fault {
        api_error(6)
    }

    fn throttle() -> (Fault, Option<RangeInclusive<Duration>>) {
        (throttled(), None)
    }

    fn empty_success() -> Value {
        json!({"participants": []})
    }
}

super::contract!(RunSignupKit);

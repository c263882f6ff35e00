//! The kit of Chatwoot: persons as contacts. A delete takes our marks off a contact, which then is nobody's of ours.

use std::ops::RangeInclusive;
use std::time::Duration;

use ems_sync::entity::EntityType;
use ems_sync::remote::HttpSettings;
use ems_sync::remote::chatwoot::Chatwoot;
use ems_sync_remotes::chatwoot::{Chatwoot as Sim, ChatwootOptions, Resource, Row};
use ems_sync_remotes::{Fault, Reimage, Remote as _, Simulator, Upheaval};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::kit::{Content, Kit};

pub(super) struct ChatwootKit(Simulator<Sim>);

impl ChatwootKit {
    fn row(&self, id: i64) -> Option<Row> {
        self.0.contact(&id.to_string())
    }
}

impl Kit for ChatwootKit {
    type Sim = Sim;
    type Client = Chatwoot;

    const ENTITY: EntityType = EntityType::Person;
    const LOGS_IN: bool = false;

    async fn start() -> Self {
        Self(Sim::start(ChatwootOptions::default()).await.unwrap())
    }

    /// Nothing tells installations apart but their address.
    async fn start_elsewhere() -> Self {
        Self::start().await
    }

    fn sim(&self) -> &Simulator<Sim> {
        &self.0
    }

    fn client(&self, http: &HttpSettings) -> Chatwoot {
        let options = ChatwootOptions::default();
        let account = u64::try_from(options.account_id).unwrap();
        Chatwoot::new(http, SecretString::from(options.token), account).unwrap()
    }

    fn projection(&self, id: i64, content: Content) -> Value {
        let first_name = match content {
            Content::A | Content::Cleared => format!("Thandiwe{id}"),
            Content::B => format!(" Nomvula{id} "),
        };
        let optional = |text: String| (content != Content::Cleared).then_some(text);
        json!({ "first_name": first_name, "last_name": "Ndlovu", "email": format!(" Runner{id}@Example.ORG"),
                "phone": optional(format!("+2782{id:07}")), "city": optional("Pietermaritzburg".to_owned()),
                "country": optional("ZA".to_owned()), "language": optional("en-ZA".to_owned()) })
    }

    fn colliding(&self, id: i64, other: i64) -> Option<Value> {
        let mut row = self.projection(id, Content::B);
        row["email"] = self.projection(other, Content::A)["email"].clone();
        Some(row)
    }

    fn held(&self, id: i64) -> Option<Value> {
        let contact = self.row(id)?.body;
        let additional = &contact["additional_attributes"];
        Some(json!({
            "name": contact["name"], "email": contact["email"], "phone_number": contact["phone_number"],
            "identifier": contact["identifier"], "ems_person_id": contact["custom_attributes"]["ems_person_id"],
            "city": additional["city"], "country": additional["country"],
            "country_code": additional["country_code"],
        }))
    }

    fn records(&self) -> usize {
        self.0.rows(Resource::Contact).iter().filter(|row| row.external_id.is_some()).count()
    }

    fn remove(&self, id: i64) {
        let row = self.row(id).expect("it has a contact");
        assert!(self.0.remove(Resource::Contact, row.id));
    }

    fn swap(&self, _one: i64, _other: i64) -> bool {
        assert_eq!(self.0.contact_count(), 2, "those two");
        self.0.remote().upheave(Upheaval::Reimage(Reimage::Shuffled), None);
        true
    }

    /// A pause that the next minute ends (contract, section 9).
    fn throttle() -> (Fault, Option<RangeInclusive<Duration>>) {
        let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        let body = Some(json!("Retry later\n"));
        let fault = Fault::Status { code: 429, headers, body, applied: false };
        (fault, Some(Duration::ZERO..=Duration::from_secs(120)))
    }
}

super::contract!(ChatwootKit);

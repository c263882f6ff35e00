//! The kit of TagServer, with persons.

use ems_sync::entity::EntityType;
use ems_sync::remote::HttpSettings;
use ems_sync::remote::tagserver::TagServer;
use ems_sync_remotes::Simulator;
use ems_sync_remotes::tagserver::{Resource, Row, TagServer as Sim, TagServerOptions};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::kit::{Content, Kit};

pub(super) struct TagServerKit {
    sim: Simulator<Sim>,
    username: &'static str,
}

const PASSWORD: &str = "ems-sync-password";

impl TagServerKit {
    async fn with_login(username: &'static str) -> Self {
        let options = TagServerOptions {
            username: username.to_owned(),
            password: PASSWORD.to_owned(),
            ..TagServerOptions::default()
        };
        Self { sim: Sim::start(options).await.unwrap(), username }
    }

    fn row(&self, id: i64) -> Option<Row> {
        self.sim.row(Resource::Person, &id.to_string())
    }
}

impl Kit for TagServerKit {
    type Sim = Sim;
    type Client = TagServer;

    const ENTITY: EntityType = EntityType::Person;
    const LOGS_IN: bool = true;
    const NOTHING_IS_EMPTY_LIST: bool = true;

    async fn start() -> Self {
        Self::with_login("ems-sync").await
    }

    async fn start_elsewhere() -> Self {
        Self::with_login("somebody-else").await
    }

    fn sim(&self) -> &Simulator<Sim> {
        &self.sim
    }

    fn client(&self, http: &HttpSettings) -> TagServer {
        TagServer::new(http, self.username.to_owned(), SecretString::from(PASSWORD)).unwrap()
    }

    fn projection(&self, id: i64, content: Content) -> Value {
        let first_name = match content {
            Content::A | Content::Cleared => format!("Thandiwe{id}"),
            Content::B => format!("  Nomvula{id} "),
        };
        let optional = |text: &str| (content != Content::Cleared).then(|| text.to_owned());
        json!({ "first_name": first_name, "last_name": "Ndlovu-Étienne",
                "date_of_birth": optional("1987-06-05"), "gender": optional("FEMALE") })
    }

    /// Nothing but our id is unique there.
    fn colliding(&self, _id: i64, _other: i64) -> Option<Value> {
        None
    }

    fn held(&self, id: i64) -> Option<Value> {
        self.row(id).map(|row| without_id(row.body))
    }

    fn records(&self) -> usize {
        self.sim.row_count(Resource::Person)
    }

    fn remove(&self, id: i64) {
        let row = self.row(id).expect("it has a record");
        assert!(self.sim.remove(Resource::Person, row.id));
    }

    fn swap(&self, one: i64, other: i64) -> bool {
        let [one, other] = [one, other].map(|id| self.row(id).expect("it has a record"));
        self.sim.remove(Resource::Person, one.id);
        self.sim.remove(Resource::Person, other.id);
        for (id, row) in [(one.id, other.body), (other.id, one.body)] {
            let mut row = row;
            row["id"] = json!(id);
            self.sim.plant(Resource::Person, row).unwrap();
        }
        true
    }
}

fn without_id(mut body: Value) -> Value {
    body.as_object_mut().expect("a row is an object").remove("id");
    body
}

super::contract!(TagServerKit);

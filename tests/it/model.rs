//! The rules that stand in SQL (owe, claim, finish and their like), against a model of themselves and against each
//! other at the same moment.

mod driver;
mod guard;
mod observed;
mod outcome;
mod races;
pub(crate) mod rules;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::store::Store;
use secrecy::SecretString;
use tokio_postgres::Client;

use crate::support::database::{self, Services};
use crate::support::random::Random;
use driver::{Driver, EVENTS, Seen};
use observed::Looks;

/// Three types, parents first.
const TYPES: [EntityType; 3] = [EntityType::Organisation, EntityType::Event, EntityType::Race];

/// A database whose projections are plain tables of ids, so that the driver alone decides what is in scope.
struct Bench {
    url: SecretString,
    ems: Client,
    store: Store,
    looks: Looks,
}

impl Bench {
    async fn new() -> Self {
        let url = database::create(&Services::get()).await;
        let ems = database::connect(&url).await;
        ems.batch_execute("set synchronous_commit = off").await.unwrap();
        for entity_type in TYPES {
            let sql = format!(
                "drop view sync.tagserver_{entity_type} cascade;
                 create table sync.tagserver_{entity_type} (id bigint primary key, parents text[] not null default '{{}}')"
            );
            ems.batch_execute(&sql).await.unwrap();
        }
        let looks = Looks::prepare(&ems).await;
        // Nothing here is lost in a crash, so nothing waits for the disk.
        let url = SecretString::from(format!("{url}?options=-c%20synchronous_commit%3Doff"));
        let store = Store::new(&url, "model").unwrap();
        Self { url, ems, store, looks }
    }

    /// Another process's connections.
    fn another_store(&self) -> Store {
        Store::new(&self.url, "model").unwrap()
    }

    /// The EMS has these entities.
    async fn bring(&self, entities: &[EntityRef]) {
        for entity in entities {
            self.bring_under(*entity, &[]).await;
        }
    }

    /// The EMS has this entity, and these are its parents now.
    async fn bring_under(&self, EntityRef { entity_type, id }: EntityRef, parents: &[EntityRef]) {
        let parents: Vec<String> = parents.iter().map(EntityRef::to_string).collect();
        let sql = format!(
            "insert into sync.tagserver_{entity_type} values ($1, $2)
             on conflict (id) do update set parents = excluded.parents"
        );
        self.ems.execute(&sql, &[&id, &parents]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_do_to_the_records_what_the_design_says() {
    let mut random = Random::seeded("random_operations_do_to_the_records_what_the_design_says");
    let bench = Bench::new().await;
    let mut seen = Seen::default();
    // Some of it is rare: rounds go on until all has come to pass.
    for round in 0..300 {
        if round >= 60 && EVENTS.iter().all(|what| seen.times(what) > 0) {
            break;
        }
        let mut driver = Driver::new(&bench, random.fork()).await;
        for _ in 0..60 {
            driver.step().await;
        }
        seen.append(&driver.seen);
    }
    // A comparison proves only what came to pass.
    eprintln!("{seen:?}");
    for what in EVENTS {
        assert!(seen.times(what) > 0, "{what} never came to pass: {seen:?}");
    }
}

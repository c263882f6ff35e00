//! A scripted remote: records in the order of their ids, in pages, and what happens while they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ems_sync::broker::{Broker, Publisher, Queue};
use ems_sync::config::Guard;
use ems_sync::deliver::breaker::Breaker;
use ems_sync::deliver::guard::Limits;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::hash::ContentHash;
use ems_sync::inbound::pull::{Extent, PullError, Puller, Swept};
use ems_sync::ops::metrics::Metrics;
use ems_sync::ops::progress::Progress;
use ems_sync::remote::inbound::{ConsentSeen, PullFrom, Pulled, Shape, Snapshot, Stream};
use ems_sync::remote::{
    Account, Alarms, Failure, Fields, Page, Push, Remote, RemoteIds, Results, Unmappable, Wire,
};
use ems_sync::target::Target;
use ems_sync::target_watch;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::rig::Rig;

const TARGET: Target = Target::Chatwoot;

type Event = Box<dyn FnOnce(&mut World) + Send>;

/// What the remote holds, and what is to happen.
pub(super) struct World {
    /// What each record holds, and when it was changed, by the remote's clock.
    pub(super) records: BTreeMap<i64, (String, Option<Timestamp>)>,
    /// Those that people took out, which lists show as such.
    pub(super) removed: BTreeSet<i64>,
    /// Those that are there and that lists do not show.
    pub(super) hidden: BTreeSet<i64>,
    /// Those whose content can't be read.
    pub(super) odd: BTreeSet<i64>,
    pub(super) consents: Vec<ConsentSeen>,
    pub(super) page_rows: usize,
    pub(super) shows_all: bool,
    /// By how much the remote's clock is ahead.
    pub(super) ahead: SignedDuration,
    /// What happens before the page with this number is shown (the first is 1), over all walks.
    pub(super) before: BTreeMap<usize, Event>,
    /// How the page with this number fails.
    pub(super) fails: BTreeMap<usize, Failure>,
    /// What was asked for.
    pub(super) asked: Vec<PullFrom>,
    /// What was read by itself.
    pub(super) read: Vec<i64>,
    pub(super) reads_fail: Option<Failure>,
}

impl World {
    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = i64>) {
        self.records.extend(ids.into_iter().map(|id| (id, (format!("v1 of {id}"), None))));
    }
}

#[derive(Clone)]
pub(super) struct Double {
    world: Arc<Mutex<World>>,
    alarms: Alarms,
}

impl Double {
    /// Shows `records` records, ten to a page.
    pub(super) fn with(records: i64) -> Self {
        let mut world = World {
            records: BTreeMap::new(),
            removed: BTreeSet::new(),
            hidden: BTreeSet::new(),
            odd: BTreeSet::new(),
            consents: Vec::new(),
            page_rows: 10,
            shows_all: true,
            ahead: SignedDuration::ZERO,
            before: BTreeMap::new(),
            fails: BTreeMap::new(),
            asked: Vec::new(),
            read: Vec::new(),
            reads_fail: None,
        };
        world.add(1..=records);
        Self { world: Arc::new(Mutex::new(world)), alarms: Alarms::default() }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

pub(super) fn wire(content: &str) -> Wire {
    Wire::new(TARGET, 1, json!({ "name": content }))
}

fn snapshot(id: i64, shape: Shape, modified_on: Option<Timestamp>) -> Snapshot {
    Snapshot {
        entity_type: EntityType::Person,
        remote_id: id.to_string(),
        entity: None,
        shape,
        modified_on,
        parents: Vec::new(),
    }
}

fn stands(content: &str) -> Shape {
    Shape::Stands { wire: wire(content), extra: serde_json::Map::new() }
}

impl Remote for Double {
    fn target(&self) -> Target {
        TARGET
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn wire(
        &self,
        _entity: EntityRef,
        _fields: &Fields,
        _parents: &RemoteIds,
    ) -> Result<Wire, Unmappable> {
        Ok(wire(""))
    }

    fn wants_older_first(&self, _entity_type: EntityType) -> bool {
        false
    }

    async fn push(&self, _batch: Vec<Push>, _results: Results) {}

    async fn list(&self, _entity_type: EntityType, _from: Option<&str>) -> Result<Page, Failure> {
        Ok(Page { records: Vec::new(), next: None })
    }

    fn streams(&self) -> &'static [Stream] {
        &[Stream::Contacts]
    }

    async fn pull(&self, _stream: Stream, from: &PullFrom) -> Result<Pulled, Failure> {
        let mut world = self.world();
        world.asked.push(from.clone());
        let number = world.asked.len();
        if let Some(event) = world.before.remove(&number) {
            event(&mut world);
        }
        if let Some(failure) = world.fails.remove(&number) {
            return Err(failure);
        }
        let after = from.position.as_ref().map_or(0, |at| at["after"].as_i64().unwrap());
        let rows: Vec<_> = world
            .records
            .range(after + 1..)
            .filter(|(id, _)| !world.hidden.contains(id))
            .take(world.page_rows)
            .collect();
        let is_last = rows.len() < world.page_rows;
        let last = rows.last().map_or(after, |(id, _)| **id);
        Ok(Pulled {
            snapshots: rows
                .iter()
                .map(|(id, (content, modified_on))| {
                    let shape = if world.removed.contains(id) {
                        Shape::Removed { reason: "refund".to_owned(), successor: None }
                    } else if world.odd.contains(id) {
                        Shape::Unreadable { why: "odd" }
                    } else {
                        stands(content)
                    };
                    snapshot(**id, shape, *modified_on)
                })
                .collect(),
            consents: world.consents.clone(),
            position: (!is_last).then(|| json!({ "after": last })),
            cursor: is_last.then(|| json!({ "walk": number })),
            shows_all: is_last && world.shows_all,
            server_time: Some(whole_seconds(Timestamp::now() + world.ahead)),
        })
    }

    async fn read(&self, _entity_type: EntityType, remote_id: &str) -> Result<Snapshot, Failure> {
        let mut world = self.world();
        let id = remote_id.parse().unwrap();
        if let Some(failure) = &world.reads_fail {
            return Err(failure.clone());
        }
        world.read.push(id);
        Ok(match world.records.get(&id) {
            Some((content, modified_on)) => snapshot(id, stands(content), *modified_on),
            None => snapshot(id, Shape::Gone, None),
        })
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    async fn account(&self) -> Result<Account, Failure> {
        Ok(Account { login: ContentHash::of(TARGET, 1, &json!("us")), instance: None })
    }

    fn stay_with(&self, _account: Account) {}

    async fn changed(&self) {
        std::future::pending().await
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// As a header has it.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap()
}

/// A puller of the scripted remote.
pub(super) struct Bench {
    pub(super) rig: Rig,
    pub(super) double: Double,
}

impl Bench {
    pub(super) async fn with(records: i64) -> Self {
        Self { rig: Rig::new().await, double: Double::with(records) }
    }

    /// The commands know the target, too; nobody is there.
    pub(super) fn enabled(&mut self) {
        for (key, value) in [
            ("ENABLED", "true"),
            ("BASE_URL", "http://127.0.0.1:1"),
            ("ALLOW_HTTP", "true"),
            ("API_TOKEN", "token"),
            ("ACCOUNT_ID", "1"),
        ] {
            self.rig.set(&format!("TARGETS__CHATWOOT__{key}"), value);
        }
    }

    pub(super) async fn puller(&self) -> Puller<Double> {
        let config = self.rig.config();
        let stop = CancellationToken::new();
        let store = self.rig.store.clone();
        let (watch, _watcher) = target_watch::start(store.clone(), stop.clone()).await.unwrap();
        let broker = Broker::new(config.broker.url.clone(), config.broker.prefix.clone());
        let breaker =
            Breaker::new(store.clone(), TARGET, watch.clone(), config.breaker, "test".to_owned());
        let guard = Guard { max_deletes: 20, max_delete_share: 0.02 };
        Puller {
            store,
            publisher: Arc::new(Publisher::new(broker, "test")),
            remote: Arc::new(self.double.clone()),
            breaker: Arc::new(breaker),
            watch,
            guard: Limits::new(guard, Duration::from_secs(600)),
            owner: Uuid::new_v4(),
            metrics: Arc::new(Metrics::new().unwrap()),
            beat: Progress::default().part("test"),
            stop,
        }
    }

    /// One usual sweep.
    pub(super) async fn sweep(&self) -> (Swept, Result<(), PullError>) {
        self.puller().await.sweep(Extent::USUAL, None).await
    }

    /// One usual sweep that comes to its end.
    pub(super) async fn swept(&self) -> Swept {
        let (swept, result) = self.sweep().await;
        result.unwrap();
        swept
    }

    /// What waits in the inbox, by shape.
    pub(super) async fn inbox(&self, shape: &str) -> Vec<i64> {
        let sql = "select remote_id from sync.inbox where target = 'chatwoot' and shape = $1";
        let rows = self.rig.ems.query(sql, &[&shape]).await.unwrap();
        let mut ids: Vec<i64> =
            rows.iter().map(|row| row.get::<_, &str>(0).parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    /// The walk's row, as a text.
    pub(super) async fn cursor(&self, columns: &str) -> String {
        let sql = format!(
            "select concat_ws('|', {columns}) from sync.cursor where target = 'chatwoot' and stream = 'contacts'"
        );
        self.rig.ems.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Sync records of these persons, which hold what the remote shows at first.
    pub(super) async fn mapped(&self, ids: std::ops::RangeInclusive<i64>) {
        for id in ids {
            let hash = wire(&format!("v1 of {id}")).hash.to_bytes();
            let sql = "insert into sync.record (target, entity_type, entity_id, remote_id, data_hash, remote_hash, state,
                                                entity_synced_on)
                       values ('chatwoot', 'person', $1, $1::bigint::text, $2, $2, 'synced', now() - interval '1 day')";
            self.rig.ems.execute(sql, &[&id, &hash]).await.unwrap();
        }
    }

    pub(super) async fn queued(&self) -> u32 {
        let config = self.rig.config();
        let broker = Broker::new(config.broker.url.clone(), config.broker.prefix.clone());
        Publisher::new(broker, "look").queue_length(Queue::inbound(TARGET)).await.unwrap()
    }
}

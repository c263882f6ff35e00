//! An EMS that never rests: creates, updates, deletes, re-creations under the old id, moves between parents, bulk
//! updates, no-op touches, rollbacks, and transactions that stay open while others commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::database;
use crate::support::random::Random;
use crate::support::rig::Rig;

/// As many persons as there may be.
const PEOPLE_MAX: i64 = 150;
/// As much as may be owed: kills, not a backlog, are what this is about.
const OWED_MAX: i64 = 100;

pub(crate) struct Workload {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    transactions: Arc<AtomicUsize>,
}

impl Workload {
    /// Two connections: one that is busy, one that holds transactions open on persons of its own.
    pub(crate) async fn begin(rig: &Rig, random: &mut Random) -> Self {
        let stop = CancellationToken::new();
        let transactions = Arc::new(AtomicUsize::new(0));
        let (busy, holding) = (connect(rig).await, connect(rig).await);
        let tasks = vec![
            tokio::spawn(work(busy, random.fork(), stop.clone(), Arc::clone(&transactions))),
            tokio::spawn(hold(holding, random.fork(), stop.clone(), Arc::clone(&transactions))),
        ];
        Self { stop, tasks, transactions }
    }

    /// Ends with a committed transaction. How many there were.
    pub(crate) async fn end(self) -> usize {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.transactions.load(Ordering::Relaxed)
    }
}

async fn connect(rig: &Rig) -> Client {
    let client = database::connect(&rig.url).await;
    client
        .batch_execute(
            "create temp table kept_tag (like ems.tag);
             create temp table kept_person (like ems.person)",
        )
        .await
        .unwrap();
    client
}

async fn work(
    ems: Client,
    mut random: Random,
    stop: CancellationToken,
    transactions: Arc<AtomicUsize>,
) {
    let mut n = 0;
    while !stop.is_cancelled() {
        if is_behind(&ems).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        n += 1;
        for transaction in next(&ems, &mut random, n).await {
            ems.batch_execute(&transaction)
                .await
                .unwrap_or_else(|e| panic!("{transaction}: {e:?}"));
            transactions.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(random.below(40) as u64)).await;
        }
    }
}

/// Whether more is owed than the processes can be expected to have done by now.
async fn is_behind(ems: &Client) -> bool {
    let sql = "select (select count(*) from sync.outbox)
                    + (select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity')";
    ems.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > OWED_MAX
}

/// A person that is not held by the other connection.
fn anybody(random: &mut Random) -> String {
    let salt = random.below(1_000_000);
    format!(
        "(select id from ems.person where last_name not like 'Held%' order by hashint8(id + {salt}) limit 1)"
    )
}

fn any(table: &str, random: &mut Random) -> String {
    let salt = random.below(1_000_000);
    format!(
        "(select t.id from ems.{table} t join ems.person p on p.id = t.person_id
          where p.last_name not like 'Held%' order by hashint8(t.id + {salt}) limit 1)"
    )
}

/// What happens next, as transactions.
async fn next(ems: &Client, random: &mut Random, n: usize) -> Vec<String> {
    let people: i64 = ems.query_one("select count(*) from ems.person", &[]).await.unwrap().get(0);
    let dice = random.below(100);
    match dice {
        0..25 if people < PEOPLE_MAX => vec![create(random, n)],
        0..50 => vec![update(random, n)],
        50..70 => vec![delete(random)],
        70..78 => recreate(random),
        78..88 => vec![moves(random)],
        88..92 => vec![bulk(random, n)],
        92..95 => {
            let person = anybody(random);
            vec![format!(
                "begin; update ems.person set last_name = 'never-committed' where last_name not like 'Held%';
                 delete from ems.tag where person_id = {person}; rollback"
            )]
        }
        95..97 => vec!["update ems.person set first_name = first_name where last_name not like 'Held%'".to_owned()],
        _ => vec![
            format!(
                "begin;
                 insert into ems.race (event_id, name, distance_meters) select min(id), 'Extra {n}', 1000 from ems.event;
                 insert into ems.start_group (race_id, name, seq) select max(id), 'Extra', 1 from ems.race;
                 commit"
            ),
            "delete from ems.race where id = (select min(id) from ems.race where name like 'Extra%')"
                .to_owned(),
        ],
    }
}

fn create(random: &mut Random, n: usize) -> String {
    let group = random.below(6);
    format!(
        "begin;
         insert into ems.person (first_name, last_name) values ('New', 'Runner {n}');
         insert into ems.event_participant (event_id, person_id, number, status)
             select (select min(id) from ems.event), max(id), 'N{n}', 'REGISTERED' from ems.person where last_name = 'Runner {n}';
         insert into ems.start_group_participant (start_group_id, event_participant_id, seq)
             select (select id from ems.start_group order by id limit 1 offset {group}), max(id), {n} from ems.event_participant
             where number = 'N{n}';
         insert into ems.tag (person_id, number) select max(id), 'N{n}' from ems.person where last_name = 'Runner {n}';
         commit"
    )
}

fn update(random: &mut Random, n: usize) -> String {
    let person = anybody(random);
    match random.below(4) {
        0 => format!("update ems.person set last_name = 'Renamed {n}' where id = {person}"),
        1 => format!(
            "update ems.event_participant set status = case status when 'CONFIRMED' then 'WITHDRAWN' else 'CONFIRMED' end
             where person_id = {person}"
        ),
        // There and back again in one moment.
        2 => format!(
            "create temp table was on commit drop as select id, gender from ems.person where id = {person};
             update ems.person p set gender = 'UNKNOWN' from was where p.id = was.id;
             update ems.person p set gender = was.gender from was where p.id = was.id"
        ),
        _ => format!("update ems.tag set valid_to = now() where id = {}", any("tag", random)),
    }
}

fn delete(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("delete from ems.tag where id = {}", any("tag", random)),
        1 => {
            format!(
                "delete from ems.event_participant where id = {}",
                any("event_participant", random)
            )
        }
        _ => format!("delete from ems.person where id = {}", anybody(random)),
    }
}

/// Deleted, and inserted under the same id a moment later.
fn recreate(random: &mut Random) -> Vec<String> {
    let (kept, table, id) = if random.percent(70) {
        ("kept_tag", "tag", any("tag", random))
    } else {
        ("kept_person", "person", anybody(random))
    };
    vec![
        format!(
            "begin; truncate {kept};
             insert into {kept} select * from ems.{table} where id = {id};
             delete from ems.{table} t using {kept} k where t.id = k.id; commit"
        ),
        // The person of a tag may be gone by then: then the tag is too.
        if kept == "kept_tag" {
            "insert into ems.tag select k.* from kept_tag k join ems.person p on p.id = k.person_id"
                .to_owned()
        } else {
            "insert into ems.person select * from kept_person".to_owned()
        },
    ]
}

/// To another parent.
fn moves(random: &mut Random) -> String {
    let other = random.below(6);
    match random.below(4) {
        0 | 1 => format!(
            "update ems.tag set person_id = {} where id = {}",
            anybody(random),
            any("tag", random)
        ),
        2 => format!(
            "update ems.start_group_participant set start_group_id =
                 (select id from ems.start_group where name not like 'Extra%' order by id limit 1 offset {other})
             where id = (select id from ems.start_group_participant order by hashint8(id + {other}) limit 1)"
        ),
        _ => format!(
            "update ems.race set event_id = (select id from ems.event order by id limit 1 offset {})
             where name like '% km' and id = (select id from ems.race order by id limit 1 offset {other})",
            other % 2
        ),
    }
}

fn bulk(random: &mut Random, n: usize) -> String {
    let part = random.below(6);
    format!(
        "update ems.person set last_name = 'Bulk {n}' where id % 6 = {part} and last_name not like 'Held%'"
    )
}

/// Transactions that stay open for a while, and then are committed or not.
async fn hold(
    ems: Client,
    mut random: Random,
    stop: CancellationToken,
    transactions: Arc<AtomicUsize>,
) {
    let mut n = 0;
    while !stop.is_cancelled() {
        n += 1;
        // The oldest go, so that there are never many.
        let delete = if random.percent(50) {
            "delete from ems.person where id in
                 (select id from ems.person where last_name like 'Held%' order by id desc offset 10);"
        } else {
            ""
        };
        let held = format!(
            "begin;
             update ems.person set first_name = 'Round {n}' where last_name like 'Held%' and id % 2 = {n} % 2;
             {delete}
             insert into ems.person (first_name, last_name) values ('H', 'Held {n}');
             insert into ems.tag (person_id, number) select max(id), 'H{n}' from ems.person where last_name = 'Held {n}'"
        );
        ems.batch_execute(&held).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50 + random.below(700) as u64)).await;
        let end = if random.percent(70) { "commit" } else { "rollback" };
        ems.batch_execute(end).await.unwrap();
        transactions.fetch_add(1, Ordering::Relaxed);
    }
}

//! The explanation of everything: each entity at each target is in exactly one situation of a closed list, whatever has failed, and
//! it is told quickly among a million records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::ops::explain::{self, Named, Situation};
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::TagServerOptions;
use ems_sync_remotes::{Fault, Rule};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::five::world::Five;
use crate::support::binary::{free_port, get};
use crate::support::campaign::{scaled, until_calm};
use crate::support::random::Random;
use crate::support::rig::{PATIENCE, Rig, Running};

const TOKEN: &str = "token-of-the-operators";
/// Persons whom TagServer refuses, and one whose answers are errors.
const REFUSED: i64 = 900_001;
const FAILING: i64 = 900_002;
const STATES: [&str; 13] = [
    "synced",
    "pending",
    "waiting",
    "leased",
    "retrying",
    "parked",
    "throttled",
    "breaker_open",
    "held",
    "rejected",
    "skipped",
    "dead_letter",
    "disabled",
];

/// The endpoints of a rig, and nothing that moves anything.
async fn served(rig: &mut Rig) -> (Running, u16) {
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    rig.set("OPS__TOKEN", TOKEN);
    let running = rig.start(&[Role::Ops]);
    let listens = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while get(port, "/livez", None).await.is_none() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.expect("listens");
    (running, port)
}

/// The explanation of an entity, and how long it took.
async fn explained(port: u16, entity: EntityRef) -> (Value, Duration) {
    let path = format!("/api/v1/explain/{}/{}", entity.entity_type, entity.id);
    let began = Instant::now();
    let (status, answer) = get(port, &path, Some(TOKEN)).await.expect("an answer");
    let took = began.elapsed();
    assert_eq!(status, 200, "{entity:?}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (serde_json::from_str(body).unwrap(), took)
}

/// Every entity that the EMS has or a record names.
async fn everything(rig: &Rig) -> Vec<EntityRef> {
    let tables: Vec<_> = EntityType::ALL
        .iter()
        .map(|of| format!("select '{of}' as entity_type, id from ems.{of}"))
        .collect();
    let sql = format!(
        "{} union select entity_type, entity_id from sync.record order by 1, 2",
        tables.join(" union all ")
    );
    let rows = rig.ems.query(&sql, &[]).await.unwrap();
    rows.iter().map(|r| EntityRef::new(r.get::<_, &str>(0).parse().unwrap(), r.get(1))).collect()
}

/// What all of them are told, by target and situation, each looked at.
async fn survey(rig: &Rig, port: u16) -> BTreeMap<(String, String), i64> {
    let entities = everything(rig).await;
    let types: BTreeSet<_> = entities.iter().map(|entity| entity.entity_type).collect();
    assert!(types.len() >= 8, "{types:?}");
    let mut counts = BTreeMap::new();
    let all = entities.len();
    let mut documents = stream::iter(entities)
        .map(|entity| async move { (entity, explained(port, entity).await) })
        .buffer_unordered(4);
    let mut times = Vec::new();
    while let Some((entity, (document, took))) = documents.next().await {
        let rows = document["targets"].as_array().unwrap();
        let targets: Vec<_> = rows.iter().map(|row| row["target"].as_str().unwrap()).collect();
        assert_eq!(targets, Target::ALL.map(Target::name), "one row of each target: {document}");
        for row in rows {
            let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{name}: {row}"));
            assert_eq!(
                (&row["entity"], &row["id"]),
                (&json!(entity.entity_type), &json!(entity.id))
            );
            assert!(STATES.contains(&text("state")), "{row}");
            assert!(Situation::NAMES.contains(&text("situation")), "{row}");
            assert!(text("next").ends_with('.') && !text("says").is_empty(), "{row}");
            assert!(!row.to_string().contains("unknown"), "{row}");
            let key = (text("target").to_owned(), text("situation").to_owned());
            *counts.entry(key).or_insert(0) += 1;
        }
        times.push(took);
    }
    times.sort_unstable();
    eprintln!(
        "{all} entities; half within {:?}, 95 % within {:?}",
        times[all / 2],
        times[all * 95 / 100]
    );
    for ((target, situation), n) in &counts {
        eprintln!("{target:10} {situation:13} {n}");
    }
    counts
}

/// How many records are left in a state, as the surveys tell it where nothing keeps a target back.
async fn in_records(rig: &Rig, condition: &str) -> BTreeMap<String, i64> {
    let sql = format!("select target, count(*) from sync.record where {condition} group by 1");
    let rows = rig.ems.query(&sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn of(counts: &BTreeMap<(String, String), i64>, situation: &str) -> BTreeMap<String, i64> {
    let of = counts.iter().filter(|((_, name), _)| name == situation);
    of.map(|((target, _), n)| (target.clone(), *n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pair_is_in_exactly_one_situation_of_the_list_whatever_has_failed() {
    let people = scaled(66, 10_000) as i64;
    let mut five = Five::new(people, TagServerOptions::default()).await;
    five.rig.set("GUARD__MAX_DELETES", "5");
    five.rig.set("GUARD__MAX_DELETE_SHARE", "0");
    let running = five.rig.start_all();
    five.settled().await;

    // Refused and failing persons, with registrations that wait for them; a burst of deletes; a conflict.
    for (id, code) in [(REFUSED, 400), (FAILING, 503)] {
        let body = Some(json!({"message": "error.validation"}));
        let fault = Fault::Status { code, headers: Vec::new(), body, applied: false };
        five.rig.sim.faults().push(Rule::new(fault).external_id(id).writes().unlimited());
        five.rig
            .exec(&format!(
                "insert into ems.person (id, first_name, last_name) values ({id}, 'Not', 'There');
                 insert into ems.event_participant (event_id, person_id, number) select min(id), {id}, 'X{id}' from ems.event"
            ))
            .await;
    }
    five.rig
        .exec(&format!(
            "delete from ems.person where id > {people} - 12 and id <= {people};
             insert into sync.conflict (target, entity_type, entity_id, remote_id, reason)
                 values ('chatwoot', 'person', 1, 'c1', 'unpushed')"
        ))
        .await;
    until_calm(&five.rig).await;
    running.stop().await;
    let (running, port) = served(&mut five.rig).await;
    let rig = &five.rig;
    let first = survey(rig, port).await;
    // What stands in the records is what is told, where nothing keeps a target back.
    for (situation, condition) in [
        ("held", "state = 'held'"),
        ("waiting", "state = 'waiting'"),
        ("rejected", "state = 'rejected'"),
        ("dead_letter", "state = 'dead_letter'"),
        ("shared_email", "state = 'skipped' and state_reason = 'shared_email'"),
    ] {
        let expected = in_records(rig, condition).await;
        assert_eq!(of(&first, situation), expected, "{situation}");
        assert!(!expected.is_empty(), "{situation}");
    }
    let consents = "state = 'synced' and target in ('mautic', 'mailchimp') and consents = '{}' and remote_id is not null";
    assert_eq!(of(&first, "consent"), in_records(rig, consents).await);
    assert_eq!(of(&first, "pending"), BTreeMap::new(), "all is calm");
    // The command line says the same.
    for entity in everything(rig).await.into_iter().step_by(97) {
        let id = entity.id.to_string();
        let (code, said) = rig.run(&["explain", entity.entity_type.name(), &id, "--json"]).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, said), (0, explained(port, entity).await.0));
    }

    // Every other reason: a relay that has not come yet, records at work, tried again and put aside, and targets that are kept back.
    rig.exec(
        "update ems.person set last_name = last_name || '!' where id = 2;
         with one as (select row_number() over (order by entity_id) as n, entity_type, entity_id from sync.record
                      where target = 'tagserver' and entity_type = 'tag' and state = 'synced' order by 1 limit 3)
         update sync.record r set
             owed_gen = r.owed_gen + 1, state = (array['leased', 'retrying', 'parked'])[one.n], due_on = now() + interval '1 hour',
             lease_owner = case when one.n = 1 then gen_random_uuid() end,
             lease_until = case when one.n = 1 then now() + interval '1 hour' end
         from one where r.target = 'tagserver' and r.entity_type = one.entity_type and r.entity_id = one.entity_id;
         update sync.target set breaker = 'open', breaker_until = now() + interval '1 hour' where target = 'mailchimp';
         update sync.target set throttled_until = now() + interval '1 hour' where target = 'runsignup';
         update sync.target set paused_on = now() where target = 'chatwoot';
         update sync.record set owed_gen = owed_gen + 1, state = 'pending', due_on = now() where entity_id % 5 = 1 and entity_type in ('person', 'event_participant')
             and target in ('mailchimp', 'runsignup', 'chatwoot') and state = 'synced'",
    )
    .await;
    assert_eq!(rig.run(&["target", "disable", "mautic", "--reason", "moving"]).await.0, 0);
    let second = survey(rig, port).await;
    for (target, situation) in [
        ("tagserver", "pending"),
        ("tagserver", "leased"),
        ("tagserver", "retrying"),
        ("tagserver", "parked"),
        ("mautic", "disabled"),
        ("mailchimp", "breaker_open"),
        ("runsignup", "throttled"),
        ("chatwoot", "parked"),
    ] {
        let key = (target.to_owned(), situation.to_owned());
        assert!(second.contains_key(&key), "{target} {situation}");
    }
    let seen: BTreeSet<_> =
        first.keys().chain(second.keys()).map(|(_, situation)| situation.as_str()).collect();
    assert_eq!(seen, Situation::NAMES.into(), "all of the list");
    running.stop().await;
}

/// Among a million records of 200,000 persons at five targets in all states, with attempts, dead letters, conflicts and an audit trail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "some minutes, and it measures: run by itself on a quiet machine"]
async fn an_explanation_is_quick_among_a_million_records() {
    let mut rig = Rig::new().await;
    for sql in [
        "insert into ems.organisation (name) values ('Club');
         insert into ems.event (organisation_id, name, start_date_time, timezone) select id, 'Event', now(), 'UTC' from ems.organisation",
        "insert into ems.person (first_name, last_name, email, phone)
             select 'P', n::text, 'p' || n || '@ems.example', '+2782' || lpad(n::text, 7, '0') from generate_series(1, 200000) n",
        "insert into ems.event_participant (event_id, person_id, number)
             select e.id, p.id, lpad(p.id::text, 6, '0') from ems.event e, ems.person p",
        "truncate sync.outbox",
        "insert into sync.record (target, entity_type, entity_id, remote_id, data_hash, remote_hash, match_key, wanted_key, entity_modified_on,
                                  entity_synced_on, owed_gen, done_gen, owed_on, state, state_reason, waiting_on, due_on, gone, parents)
             select t.target, 'person', p.id, case when p.id % 50 <> 1 then t.target || '-' || p.id end, h.hash, h.hash,
                    case when p.id % 50 <> 4 then h.hash end, sha256((p.id - p.id % 50)::text::bytea),
                    p.modified_on, now(), 1, case when p.id % 50 in (0, 1, 2, 3, 5) then 0 else 1 end, now() - interval '1 hour',
                    coalesce((array['waiting', 'dead_letter', 'rejected', 'skipped', 'pending'])[p.id % 50], case when p.id % 50 = 0 then 'held' else 'synced' end),
                    coalesce((array['waiting_for_parent', 'transient', 'rejected', 'shared_email'])[p.id % 50], case when p.id % 50 = 0 then 'guard' end),
                    case when p.id % 50 = 1 then 'person:' || p.id - 1 end,
                    case when p.id % 50 in (0, 2, 3) then 'infinity' else now() end, p.id % 50 = 0, '{}'
             from ems.person p, sync.target t, lateral (select sha256(p.id::text::bytea) as hash) h",
        "insert into sync.attempt (target, entity_type, entity_id, decision, outcome, class, attempt, duration_ms, fence, attempted_on)
             select r.target, 'person', r.entity_id, 'update', 'failed', 'transient', n, 20, 1, now() - n * interval '1 day'
             from sync.record r, generate_series(0, 2) n where r.entity_id % 10 < 4",
        "insert into sync.dead_letter (target, entity_type, entity_id, reason)
             select target, 'person', entity_id, 'transient' from sync.record where state = 'dead_letter'",
        "insert into sync.conflict (target, entity_type, entity_id, remote_id, reason)
             select 'chatwoot', 'person', n, 'c' || n, 'unpushed' from generate_series(1, 5000) n",
        "insert into sync.inbox (target, entity_type, remote_id, entity_id, shape, requested_on)
             select 'chatwoot', 'person', 'chatwoot-' || n * 7, n * 7, 'stands', now() from generate_series(1, 5000) n",
        "insert into sync.operator_event (happened_on, target, event, number, by)
             select now() - n * interval '1 minute', 'mautic', 'dead_letter_replayed', n, 'console' from generate_series(1, 200000) n;
         insert into sync.target_event (happened_on, target, version, event, by)
             select now() - n * interval '1 minute', 'mautic', n, 'open', 'breaker' from generate_series(1, 100000) n",
        "analyze",
    ] {
        let began = Instant::now();
        rig.exec(sql).await;
        eprintln!("{:?} for {}", began.elapsed(), sql.split_whitespace().take(4).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(rig.count("select count(*) from sync.record").await, 1_000_000);
    let (running, port) = served(&mut rig).await;
    let mut random = Random::seeded("explain::million");
    let mut ids = || random.below(200_000) as i64 + 1;
    let mut all = BTreeMap::new();
    let mut note =
        |what: &'static str, took: Duration| all.entry(what).or_insert_with(Vec::new).push(took);
    for _ in 0..400 {
        let id = ids();
        note("by id, over HTTP", explained(port, EntityRef::new(EntityType::Person, id)).await.1);
    }
    for _ in 0..100 {
        let id = ids();
        for (what, named) in [
            ("by e-mail", Named::Email(format!("P{id}@ems.example"))),
            ("by bib", Named::Bib(format!("{id:06}"))),
            (
                "by remote id",
                Named::Remote(Target::Mautic, format!("mautic-{}", id - id % 50 + 10)),
            ),
        ] {
            let began = Instant::now();
            let found = explain::find(&rig.store, &named).await.unwrap();
            assert_eq!(found.entities.len(), 1, "{named:?}");
            let explained =
                explain::explain(&rig.store, &[Target::Mautic], found.entities[0]).await.unwrap();
            assert!(explained.is_some());
            note(what, began.elapsed());
        }
        let began = Instant::now();
        assert_eq!(rig.store.audit(None, 200).await.unwrap().len(), 200);
        note("the log", began.elapsed());
    }
    let mut slowest = Duration::ZERO;
    for (what, mut times) in all {
        times.sort_unstable();
        let (half, most) = (times[times.len() / 2], times[times.len() * 95 / 100]);
        eprintln!(
            "{what}: half within {half:?}, 95 % within {most:?}, the longest {:?}",
            times[times.len() - 1]
        );
        slowest = slowest.max(most);
    }
    for path in
        ["/api/v1/status", "/api/v1/holds/mautic", "/api/v1/dead-letters?target=mautic", "/metrics"]
    {
        let began = Instant::now();
        let (status, _) = get(port, path, Some(TOKEN)).await.unwrap();
        eprintln!("{path}: {status} in {:?}", began.elapsed());
        assert_eq!(status, 200, "{path}");
    }
    running.stop().await;
    let query = |name: &str| {
        let file = format!("{}/sql/queries/{name}.sql", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).unwrap()
    };
    let look_up = |table: &str, condition: &str| {
        format!("select t.id from ems.{table} t where {condition} order by t.id limit 20")
    };
    // Without need of a scan there is none, however short a table is.
    rig.exec("set enable_seqscan = off").await;
    for (sql, parameters) in [
        (query("record"), "'mautic', 'person', 51"),
        (query("attempts"), "'mautic', 'person', 51, 5"),
        (query("inbound_of"), "'chatwoot', 'person', 7"),
        (query("lookup_remote"), "'mautic', 'mautic-10', '{person,race}'"),
        (query("audit"), "null, 200"),
        (look_up("person", "lower(t.email) = lower(trim($1))"), "'a'"),
        (look_up("event_participant", "t.number = trim($1)"), "'a'"),
    ] {
        rig.exec(&format!("deallocate all; prepare looked_up as {sql}")).await;
        let explain = format!("explain (costs off) execute looked_up ({parameters})");
        let plan = rig.ems.simple_query(&explain).await.unwrap();
        let lines = plan.iter().filter_map(|line| match line {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let lines: Vec<_> = lines.collect();
        eprintln!("{}", lines.join("\n"));
        // The others have a few rows, and no index but their key.
        let large = ["_record", "attempt", "event", "person", "participant", "conflict"];
        let is_scan = |line: &&str| {
            line.contains("Seq Scan") && large.iter().any(|table| line.contains(table))
        };
        let scans: Vec<_> = lines.iter().copied().filter(|line| is_scan(line)).collect();
        assert!(scans.is_empty(), "{scans:?} in {lines:#?}");
    }
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
}

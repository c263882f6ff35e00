//! All of ems-sync against RunSignup: registrations converge whatever answers are lost, and people's acts there are kept.

use std::collections::BTreeMap;

use ems_sync_remotes::runsignup::{RaceWrites, Resource, RunSignup as Sim, RunSignupOptions};
use ems_sync_remotes::{Fault, Rule, Simulator};
use serde_json::{Value, json};

use super::bench::QUESTION;
use crate::support::ems;
use crate::support::readings::runsignup;
use crate::support::rig::Rig;

/// What a pull, or a person, has told: which event is which race of the EMS's first event.
pub(super) const MAPPED: &str =
    "insert into sync.record (target, entity_type, entity_id, remote_id)
    select 'runsignup', 'race', r.id, (70 + row_number() over (order by r.id))::text
    from ems.race r where r.event_id = (select min(id) from ems.event)";

/// One race with three events, which the three races of the EMS's first event are mapped to by hand.
pub(super) const RACE: i64 = 7;
const EVENTS: [i64; 3] = [71, 72, 73];

pub(super) struct World {
    pub(super) rig: Rig,
    pub(super) sim: Simulator<Sim>,
}

impl World {
    pub(super) async fn new(people: i64) -> Self {
        let sim = Sim::start(RunSignupOptions::default()).await.unwrap();
        let race = json!({"id": RACE, "name": "Comrades", "timezone": "Africa/Johannesburg",
                          "questions": {QUESTION.to_string(): "EMS ID"}});
        sim.plant(Resource::Race, race).unwrap();
        for id in EVENTS {
            let event = json!({"id": id, "race_id": RACE, "race_event_days_id": 12});
            sim.plant(Resource::Event, event).unwrap();
        }
        let mut rig = Rig::new().await;
        rig.set("TARGETS__TAGSERVER__ENABLED", "false");
        for (key, value) in [
            ("ENABLED", "true"),
            ("BASE_URL", &format!("{}/rest", sim.base_url())),
            ("ALLOW_HTTP", "true"),
            ("API_KEY", "ems-sync-key"),
            ("API_SECRET", "ems-sync-secret"),
            ("TIMEOUT", "10s"),
            ("SETTLE", "1s"),
        ] {
            rig.set(&format!("TARGETS__RUNSIGNUP__{key}"), value);
        }
        ems::populate(&rig.ems, people).await;
        Self { rig, sim }
    }

    async fn assert_the_same(&self) {
        let ems = &self.rig.ems;
        assert!(!runsignup::wanted(ems).await.is_empty());
        assert_eq!(runsignup::differences(ems, &self.sim, QUESTION).await, [""; 0]);
        assert_eq!(self.sim.violations(), []);
        assert_eq!(self.sim.overlaps(), []);
    }

    fn held(&self) -> BTreeMap<String, Value> {
        let held = runsignup::held(&self.sim, QUESTION);
        held.into_iter().map(|(id, mut rows)| (id, rows.remove(0))).collect()
    }

    async fn verified(&self) -> Value {
        let (code, out) = self.rig.run(&["verify", "--target", "runsignup", "--json"]).await;
        let document: Value = serde_json::from_str(&out).unwrap();
        assert!(code == 0 || code == 1, "{out}");
        document
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_converge_though_answers_are_lost() {
    let world = World::new(150).await;
    world.rig.exec(MAPPED).await;
    let lost = Rule::new(Fault::CommitThenDrop).writes().probability(0.1).unlimited();
    let rule = world.sim.faults().push(lost);
    let running = world.rig.start_all();
    world.rig.settled().await;
    world.assert_the_same().await;
    for round in 1..=2 {
        ems::change(&world.rig.ems, round).await;
        world
            .rig
            .exec(
                "update ems.event_participant ep set race_id = (select min(id) from ems.race where event_id = ep.event_id)
                 where id % 6 = 0;
                 update ems.person set city = 'Durban', gender = null where id % 5 = 0;
                 update ems.event_participant set status = 'WITHDRAWN' where id % 17 = 0;
                 -- The same people under other ids.
                 begin;
                 create temporary table anew on commit drop as
                     select event_id, person_id, race_id, number from ems.event_participant where id % 19 = 0;
                 delete from ems.event_participant where id % 19 = 0;
                 insert into ems.event_participant (event_id, person_id, race_id, number) select * from anew;
                 commit",
            )
            .await;
        world.rig.settled().await;
        world.assert_the_same().await;
    }
    world.sim.faults().remove(rule);
    let struck = world.sim.journal().iter().filter(|entry| !entry.faults.is_empty()).count();
    assert!(struck > 20, "{struck} answers were lost");
    let verified = world.verified().await;
    let counts = ["missing", "different", "orphaned", "waiting"].map(|name| verified[name].clone());
    assert_eq!(counts, [json!(0), json!(0), json!(0), json!(0)], "{verified}");
    // Each person that is registered has the id of a user of hers.
    let strangers = world
        .rig
        .count(
            "select count(*) from ems.event_participant ep
             join sync.record r on r.target = 'runsignup' and r.entity_type = 'event_participant' and r.entity_id = ep.id
             left join sync.record p on p.target = 'runsignup' and p.entity_type = 'person' and p.entity_id = ep.person_id
             where r.remote_id is not null and p.remote_id is null",
        )
        .await;
    assert_eq!(strangers, 0);
    running.stop().await;
}

/// The README's statement, as it stands there: registrations that were out of scope arrive by the sweep after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_that_is_mapped_by_hand_gets_the_registrations_that_were_there_before() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("**Races of RunSignup**").unwrap();
    let (_, block) = section.split_once("```sql\n").unwrap();
    let (statement, _) = block.split_once("```").unwrap();
    let world = World::new(20).await;
    let rig = &world.rig;
    let running = rig.start_all();
    rig.settled().await;
    let out = "select count(*) from sync.record where target = 'runsignup' and state_reason = 'out_of_scope'
               and entity_type = 'event_participant'";
    assert!(rig.count(out).await > 0);
    // As a rebind, or a process that died, leaves them.
    rig.exec("update sync.record set in_doubt = true where state_reason = 'out_of_scope' and entity_id % 2 = 0").await;
    let (code, said) = rig.run(&["explain", "event_participant", "1"]).await;
    assert!(code == 0 && said.contains("Races of RunSignup"), "{said}");
    let races =
        "select id from ems.race where event_id = (select min(id) from ems.event) order by id";
    for (race, event) in rig.ems.query(races, &[]).await.unwrap().iter().zip(EVENTS) {
        let race: i64 = race.get(0);
        let mapped = statement.replace("'race', 7, '4711'", &format!("'race', {race}, '{event}'"));
        assert_ne!(mapped, statement, "the README's example is another one");
        rig.exec(&mapped).await;
    }
    let verified = world.verified().await;
    let wanted = runsignup::wanted(&rig.ems).await.len();
    assert_eq!(verified["missing"], json!(wanted), "whoever looks is told: {verified}");
    assert_eq!(rig.run(&["sweep", "outbound", "--target", "runsignup"]).await.0, 0);
    rig.settled().await;
    world.assert_the_same().await;
    assert_eq!(world.verified().await["missing"], json!(0));
    running.stop().await;
}

/// With `push_races` nothing needs to be mapped: events are made with their races, which are then renamed and joined by others.
#[tokio::test(flavor = "multi_thread")]
async fn events_and_races_are_made_where_they_are_pushed() {
    let mut world = World::new(20).await;
    world.rig.set("TARGETS__RUNSIGNUP__PUSH_RACES", "true");
    world.sim.configure(|settings| settings.race_writes = RaceWrites::Open);
    let lost = Rule::new(Fault::CommitThenDrop).writes().probability(0.1).unlimited();
    world.sim.faults().push(lost);
    let running = world.rig.start_all();
    world.rig.settled().await;
    let race = "insert into ems.race (event_id, name, distance_meters)
                select min(id), '60 km', 60000 from ems.event;
                update ems.race set name = name || ' A' where id % 2 = 0;
                update ems.event set name = name || ' A', city = 'Durban'";
    world.rig.exec(race).await;
    world.rig.settled().await;
    let wanted = "select e.name || '/' || r.name from ems.race r join ems.event e on e.id = r.event_id order by 1";
    let wanted = world.rig.ems.query(wanted, &[]).await.unwrap();
    let wanted: Vec<String> = wanted.iter().map(|row| row.get(0)).collect();
    let event = |row: &Value| {
        let race = world.sim.race(row["race_id"].as_i64().unwrap()).unwrap();
        (race.id != RACE).then(|| format!("{}/{}", race.name, row["name"].as_str().unwrap()))
    };
    let mut held: Vec<String> = world.sim.rows(Resource::Event).iter().filter_map(event).collect();
    held.sort();
    assert_eq!(held, wanted, "each once");
    let standing = world.sim.registrations().iter().filter(|row| row.active).count();
    assert_eq!(standing, 20);
    let verified = world.verified().await;
    let counts = ["missing", "different", "orphaned", "waiting"].map(|name| verified[name].clone());
    assert_eq!(counts, [json!(0), json!(0), json!(0), json!(0)], "{verified}");
    assert_eq!(world.sim.violations(), []);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_did_there_is_kept_and_listed() {
    let world = World::new(6).await;
    world.rig.exec(MAPPED).await;
    // Runner 3 has paid there, before the EMS knew of it.
    let bib = world.rig.ems.query_one(
        "select first_name, last_name, date_of_birth::text, email,
                (select r.remote_id::bigint from sync.record r where r.target = 'runsignup' and r.entity_type = 'race'
                 and r.entity_id = ep.race_id)
         from ems.event_participant ep join ems.person p on p.id = ep.person_id where ep.id = 3", &[]);
    let row = bib.await.unwrap();
    let user = json!({"first_name": row.get::<_, String>(0), "last_name": row.get::<_, String>(1),
                      "dob": row.get::<_, String>(2), "email": row.get::<_, Option<String>>(3), "has_account": true});
    let paid = world.sim.register(row.get(4), json!({"user": user})).unwrap();
    let running = world.rig.start_all();
    world.rig.settled().await;
    world.assert_the_same().await;
    assert_eq!(world.sim.registration(paid).unwrap().responses[&QUESTION], "3", "adopted");
    // She withdraws in the EMS: that is a task for a person. Another one, whom we imported, is removed.
    world
        .rig
        .exec("update ems.event_participant set status = 'WITHDRAWN' where id in (3, 4)")
        .await;
    world.rig.settled().await;
    assert!(world.sim.registration(paid).unwrap().active);
    assert!(!world.held().contains_key("4"));
    let (_, listed) =
        world.rig.run(&["dead-letters", "list", "--target", "runsignup", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        (listed[0]["id"].clone(), listed[0]["reason"].clone()),
        (json!(3), json!("rejected"))
    );
    assert!(listed.to_string().contains("refund"), "{listed}");
    // An event of the EMS that nobody has mapped is out of scope, and so are its registrations.
    world
        .rig
        .exec(
            "insert into ems.event_participant (event_id, person_id, race_id)
             select r.event_id, 1, r.id from ems.race r order by r.id desc limit 1",
        )
        .await;
    world.rig.settled().await;
    let reason = "select count(*) from sync.record where target = 'runsignup' and entity_type = 'event_participant'
                  and state = 'skipped' and state_reason = 'out_of_scope'";
    assert_eq!(world.rig.count(reason).await, 1);
    // What she changes afterwards is pushed; what is removed there stays so.
    world.rig.exec("update ems.person set last_name = 'Renamed' where id in (1, 2)").await;
    world.rig.settled().await;
    assert_eq!(world.held()["1"][3], "Renamed");
    assert_eq!(world.sim.violations(), []);
    running.stop().await;
}

/// RunSignup is in charge of the address, and holds no bib with letters: neither is an error or a loop, and `verify` lists both (contract,
/// sections 5 and 7a).
#[tokio::test(flavor = "multi_thread")]
async fn what_runsignup_ignores_is_listed_and_no_sweep_writes_it_again() {
    let world = World::new(6).await;
    world.rig.exec(MAPPED).await;
    let running = world.rig.start_all();
    world.rig.settled().await;
    world
        .rig
        .exec(
            "update ems.person set email = 'elsewhere@ems.example'
             where id = (select person_id from ems.event_participant where id = 2);
             update ems.event_participant set number = 'A12' where id = 4",
        )
        .await;
    world.rig.settled().await;
    let ignored = [
        json!([2, "different", "ignored", ["email"]]),
        json!([4, "different", "ignored", ["bib_num"]]),
    ];
    let listed = async || {
        let verified = world.verified().await;
        assert_eq!((&verified["different"], &verified["ignored"]), (&json!(2), &json!(2)));
        let rows = verified["rows"].as_array().unwrap().iter();
        let of = |row: &Value| json!([row["id"], row["finding"], row["reason"], row["fields"]]);
        let mut rows: Vec<Value> = rows.map(of).collect();
        rows.sort_by_key(|row| row[0].as_i64());
        rows
    };
    assert_eq!(listed().await, ignored);
    let applied = || world.sim.counters().writes_applied();
    let written = applied();
    let repair = ["verify", "--target", "runsignup", "--repair"];
    let resync = ["resync", "--target", "runsignup"];
    for sweep in [&["sweep", "outbound"][..], &repair, &resync] {
        let (code, text) = world.rig.run(sweep).await;
        assert_eq!(code, 0, "nobody is needed: {text}");
        world.rig.settled().await;
        assert_eq!(listed().await, ignored, "{sweep:?}");
    }
    assert_eq!(applied(), written, "what is ignored is not said again");
    assert_eq!(world.rig.count("select count(*) from sync.dead_letter").await, 0);
    assert_eq!(world.sim.violations(), []);
    running.stop().await;
}

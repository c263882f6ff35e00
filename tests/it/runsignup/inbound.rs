//! All of ems-sync, the other way round: what people do at RunSignup arrives in the EMS, once, and causes no write there.

use ems_sync::process::Role;
use ems_sync_remotes::runsignup::{Action, Resource};
use serde_json::{Value, json};

use super::engine::{MAPPED, World};

/// A race there that the EMS has never heard of, with two events.
pub(super) const SKY: i64 = 9;
pub(super) const LONG: i64 = 91;
pub(super) const SHORT: i64 = 92;

pub(super) const OF_SKY: &str = "from ems.event_participant ep join ems.event e on e.id = ep.event_id and e.name = 'Sky Run'
                      join ems.person p on p.id = ep.person_id left join ems.race r on r.id = ep.race_id";

pub(super) async fn world() -> World {
    let mut world = World::new(3).await;
    world.rig.set("TARGETS__RUNSIGNUP__ORGANISATION_ID", "1");
    let race = json!({"id": SKY, "name": "Sky Run", "timezone": "America/Denver",
                      "address": {"city": "Denver", "state": "CO", "country_code": "US"}});
    world.sim.plant(Resource::Race, race).unwrap();
    for (id, name) in [(LONG, "Marathon"), (SHORT, "5K")] {
        let event = json!({"id": id, "race_id": SKY, "race_event_days_id": 20, "name": name});
        world.sim.plant(Resource::Event, event).unwrap();
    }
    world
}

/// A person there; two of the same number are the same.
pub(super) fn user(n: i64) -> Value {
    json!({"user": {"first_name": "Zoë", "last_name": format!("Skye {n}"), "dob": "1986-01-06", "gender": "F",
           "email": format!("skye{}@there.example", n / 2), "phone": "856-850-1510"}, "bib_num": n})
}

impl World {
    /// Everything that was told there is decided here, and what followed from it is pushed.
    pub(super) async fn taken_in(&self) {
        let (code, out) =
            self.rig.run(&["sweep", "inbound", "--target", "runsignup", "--json"]).await;
        assert_eq!(code, 0, "{out}");
        let left =
            "select count(*) from sync.inbox where target = 'runsignup' and (state = 'pending' or entity_type = 'event_participant'
             and state_reason = 'waiting_for_removal')";
        self.rig.until(left, "decided").await;
        self.rig.settled().await;
    }

    pub(super) async fn text(&self, query: &str) -> String {
        let rows = self.rig.ems.query(query, &[]).await.unwrap();
        let rows: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
        rows.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn writes(&self) -> usize {
        self.sim.journal().iter().filter(|entry| entry.operation.is_write()).count()
    }

    /// What waits for a person, or for something else.
    pub(super) async fn open(&self) -> String {
        let inbox = self.text("select concat_ws('/', entity_type, remote_id, state, state_reason, last_error) from sync.inbox where state <> 'done'");
        let conflicts = self.text("select concat_ws('/', entity_type, remote_id, reason, fields) from sync.conflict where closed_on is null");
        format!("{} {}", inbox.await, conflicts.await).trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_there_arrives_once_and_comes_not_back() {
    let world = world().await;
    let mut there: Vec<i64> = Vec::new();
    for n in 0..30 {
        there.push(world.sim.register(if n % 3 == 0 { SHORT } else { LONG }, user(n)).unwrap());
    }
    // One of them is known here, by another address.
    world
        .rig
        .exec("insert into ems.person (first_name, last_name, date_of_birth, email) values ('zoë', 'SKYE 7', '1986-01-06', 'known@ems.example')")
        .await;
    let people = world.rig.count("select count(*) from ems.person").await;
    let running = world.rig.start_all();
    let arrived = format!("select 30 - count(*) {OF_SKY}");
    world.taken_in().await;
    world.rig.until(&arrived, "arrived").await;
    world.taken_in().await;
    assert_eq!(world.rig.count("select count(*) from ems.person").await, people + 29);
    let event = "select concat_ws('/', city, province, timezone, status, start_date_time at time zone timezone) from ems.event where name = 'Sky Run'";
    assert_eq!(world.text(event).await, "Denver/CO/America/Denver/PUBLISHED/2099-06-01 09:00:00");
    let races = "select r.name || '/' || r.distance_meters || '/' || r.fee || r.currency from ems.race r join ems.event e on e.id = r.event_id
                 where e.name = 'Sky Run' order by 1";
    assert_eq!(world.text(races).await, "5K/5000/55.00USD Marathon/42195/55.00USD");
    let known = format!(
        "select p.email || '/' || p.phone || '/' || ep.number {OF_SKY} where p.last_name = 'SKYE 7'"
    );
    assert_eq!(world.text(&known).await, "known@ems.example/+18568501510/7");

    // Edited, moved, taken out, each by people there.
    let written = world.writes();
    let edit = json!({"id": there[1], "bib_num": 777, "user": {"last_name": "Married", "address": {"city": "Boulder"}}});
    world.sim.plant(Resource::Registration, edit).unwrap();
    let moved = world.sim.act(there[2], Action::Transfer { event_id: SHORT }).unwrap().id;
    world.sim.act(there[4], Action::Remove).unwrap();
    world.taken_in().await;
    let edited = format!(
        "select p.last_name || '/' || p.city || '/' || ep.number {OF_SKY} where ep.number = '777'"
    );
    assert_eq!(world.text(&edited).await, "Married/Boulder/777");
    let place = format!("select r.name || '/' || ep.status {OF_SKY} where p.last_name = 'Skye 2'");
    assert_eq!(
        world.text(&place).await,
        "5K/REGISTERED",
        "one participant, moved: {}",
        world.open().await
    );
    let id = "select remote_id from sync.record where target = 'runsignup' and entity_type = 'event_participant' and entity_id =
              (select ep.id from ems.event_participant ep join ems.person p on p.id = ep.person_id where p.last_name = 'Skye 2')";
    assert_eq!(world.text(id).await, moved.to_string());
    let out = format!("select ep.status {OF_SKY} where p.last_name = 'Skye 4'");
    assert_eq!(world.text(&out).await, "WITHDRAWN");

    // Back again, and once more the same for who looks again.
    world.sim.act(there[4], Action::Reactivate).unwrap();
    world.taken_in().await;
    assert_eq!(world.text(&out).await, "REGISTERED");
    let before =
        world.text("select modified_on::text from ems.event_participant order by id").await;
    world.taken_in().await;
    assert_eq!(
        world.text("select modified_on::text from ems.event_participant order by id").await,
        before
    );
    assert_eq!(world.writes(), written, "nothing comes back");
    assert_eq!(world.rig.count(&arrived).await, 0);
    assert_eq!(world.sim.violations(), []);
    running.stop().await;
}

/// Who was registered here before their race was opened there gets there, too, once the pull has found which race it is.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_registered_before_the_race_was_opened_there_gets_there() {
    const EARLY: i64 = 7;
    let world = world().await;
    let rig = &world.rig;
    rig.exec(&format!(
        "insert into ems.event (organisation_id, name, start_date_time, timezone)
             values (1, 'Sky Run', '2099-06-01T15:00:00Z', 'America/Denver');
         insert into ems.race (event_id, name, distance_meters) select id, 'Marathon', 42195 from ems.event where name = 'Sky Run';
         insert into ems.person (first_name, last_name, date_of_birth, gender, email)
             select 'Early', 'Bird ' || n, date '1990-01-01' + n, 'FEMALE', 'bird' || n || '@ems.example' from generate_series(1, {EARLY}) n;
         insert into ems.event_participant (event_id, person_id, race_id, number)
             select r.event_id, p.id, r.id, 'B' || p.id from ems.race r join ems.event e on e.id = r.event_id and e.name = 'Sky Run',
                    ems.person p where p.first_name = 'Early'"
    ))
    .await;
    // Nobody looks there yet.
    let running = rig.start(&[Role::Relay, Role::Consume]);
    rig.settled().await;
    let of_early = format!(
        "select count(*) from sync.record s where s.target = 'runsignup' and s.entity_type = 'event_participant'
         and s.entity_id in (select ep.id {OF_SKY} where p.first_name = 'Early')"
    );
    let out = format!("{of_early} and s.state_reason = 'out_of_scope'");
    assert_eq!(rig.count(&out).await, EARLY);
    let registrations = world.sim.rows(Resource::Registration).len();
    world.taken_in().await;
    // It waits for its event, in the inbox.
    let found = format!(
        "select 1 - count(*) from sync.record where target = 'runsignup' and entity_type = 'race' and remote_id = '{LONG}'"
    );
    rig.until(&found, "the race is found").await;
    assert_eq!(rig.count(&out).await, EARLY, "nobody has looked yet");
    assert_eq!(rig.run(&["sweep", "outbound", "--target", "runsignup"]).await.0, 0);
    rig.until(&format!("select {EARLY} - ({of_early} and s.remote_id is not null)"), "there").await;
    rig.settled().await;
    assert_eq!(world.sim.rows(Resource::Registration).len(), registrations + EARLY as usize);
    assert_eq!(world.sim.violations(), []);
    running.stop().await;
}

/// By fields: what people edit there leaves the race alone that the EMS has changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn by_fields_an_edit_there_does_not_undo_a_race_that_was_changed_here() {
    let mut world = world().await;
    world.rig.set("TARGETS__RUNSIGNUP__MERGE", "fields");
    let there = world.sim.register(LONG, user(1)).unwrap();
    let running = world.rig.start_all();
    world.taken_in().await;
    let arrived = format!(
        "select 2 - count(*) from ems.race where name = '5K' or exists (select {OF_SKY}) and name = 'Marathon'"
    );
    world.rig.until(&arrived, "arrived").await;
    world.rig.settled().await;
    running.stop().await;
    world
        .rig
        .exec("update ems.event_participant ep set race_id = r.id from ems.race r where r.event_id = ep.event_id and r.name = '5K'
               and ep.person_id = (select id from ems.person where last_name = 'Skye 1')")
        .await;
    world.sim.plant(Resource::Registration, json!({"id": there, "bib_num": 777})).unwrap();
    let running = world.rig.start_all();
    world.taken_in().await;
    let both = format!("select r.name || '/' || ep.number {OF_SKY}");
    assert_eq!(world.text(&both).await, "5K/777", "{}", world.open().await);
    assert_eq!(world.rig.count("select count(*) from sync.conflict").await, 0);
    running.stop().await;
}

/// Who has paid there before the EMS knew of the participant is adopted: what they entered is kept before it is written over, and what
/// the EMS leaves blank is taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_entered_in_a_registration_that_a_create_adopts_is_kept() {
    let mut world = World::new(4).await;
    world.rig.set("SWEEP__INBOUND_EVERY", "1h");
    world.rig.exec(MAPPED).await;
    world
        .rig
        .exec("update ems.person set phone = '+18568501510', city = null, email = 'p' || id || '@ems.example' where id <= 2")
        .await;
    let row = "select first_name, last_name, date_of_birth::text,
                      (select r.remote_id::bigint from sync.record r where r.target = 'runsignup' and r.entity_type = 'race'
                       and r.entity_id = ep.race_id)
               from ems.event_participant ep join ems.person p on p.id = ep.person_id where ep.id <= 2 order by ep.id";
    let mut paid = Vec::new();
    for row in world.rig.ems.query(row, &[]).await.unwrap() {
        let user = json!({"first_name": row.get::<_, String>(0), "last_name": row.get::<_, String>(1), "dob": row.get::<_, String>(2),
                          "email": "own@there.example", "phone": "212-555-0100", "has_account": true, "address": {"city": "Trenton"}});
        paid.push(
            world
                .sim
                .register(row.get(3), json!({"user": user, "bib_num": 900 + paid.len()}))
                .unwrap(),
        );
    }
    // All that there is to be taken of this one is the address.
    world
        .rig
        .exec("update ems.person set phone = null, city = null, email = null where id = 3")
        .await;
    let third = "select p.first_name, p.last_name, p.date_of_birth::text, r.remote_id::bigint
                 from ems.event_participant ep join ems.person p on p.id = ep.person_id
                 join sync.record r on r.target = 'runsignup' and r.entity_type = 'race' and r.entity_id = ep.race_id where p.id = 3";
    let third = world.rig.ems.query_one(third, &[]).await.unwrap();
    let user = json!({"first_name": third.get::<_, String>(0), "last_name": third.get::<_, String>(1), "dob": third.get::<_, String>(2),
                      "email": "third@there.example"});
    world.sim.register(third.get(3), json!({"user": user})).unwrap();
    let running = world.rig.start_all();
    world.rig.settled().await;
    assert_eq!(
        world.text("select email from ems.person where id = 3").await,
        "third@there.example"
    );
    let lost = "select string_agg(concat_ws(':', remote_id, f ->> 'field', f ->> 'remote_value'), ' ' order by remote_id::bigint, f ->> 'field')
                from sync.conflict, jsonb_array_elements(fields) f where f ->> 'field' = 'phone' and closed_on is null";
    let expected = format!("{}:phone:+12125550100 {}:phone:+12125550100", paid[0], paid[1]);
    assert_eq!(world.text(lost).await, expected, "{}", world.open().await);
    assert_eq!(
        world.text("select city from ems.person where id <= 2 order by id").await,
        "Trenton Trenton"
    );
    for id in paid {
        let row = world.sim.registration(id).unwrap();
        let user = world.sim.user(row.user_id).unwrap();
        assert_eq!((row.active, user.phone.as_deref()), (true, Some("856-850-1510")));
        assert_eq!(user.address.city.as_deref(), Some("Trenton"));
    }
    assert_eq!(world.sim.registrations().iter().filter(|row| row.active).count(), 4);
    let written = world.writes();
    world.taken_in().await;
    assert_eq!(world.writes(), written);
    assert_eq!(world.sim.violations(), []);
    running.stop().await;
}

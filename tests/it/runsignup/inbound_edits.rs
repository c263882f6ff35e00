//! Edits of people at RunSignup of what the EMS has written there, or owns: what they changed arrives, and nothing else does.

use ems_sync_remotes::runsignup::{Action, Resource};
use serde_json::{Value, json};

use super::engine::{MAPPED, World};
use super::inbound::{SKY, world};

const THE_PERSON: &str =
    "from ems.person p where p.id = (select person_id from ems.event_participant where id = $ID)";

/// A participant of the EMS who was pushed, with a registration there.
struct Pushed {
    world: World,
    id: i64,
    registration: i64,
}

impl Pushed {
    async fn new() -> Self {
        let world = World::new(5).await;
        world
            .rig
            .exec(
                "update ems.person set first_name = 'Zoë', last_name = 'No ' || id, email = 'first@ems.example', phone = '+18568501510',
                        date_of_birth = '1986-01-06', gender = 'FEMALE', province = 'Gauteng', country = 'ZA', city = 'Durban';
                 update ems.event_participant set number = 'A' || id",
            )
            .await;
        world.rig.exec(MAPPED).await;
        Self { world, id: 0, registration: 0 }
    }

    /// Once it is pushed.
    async fn there(mut self) -> Self {
        self.world.rig.settled().await;
        let query = "select min(entity_id) from sync.record where target = 'runsignup' and entity_type = 'event_participant'
                     and remote_id is not null";
        self.id = self.world.rig.count(query).await;
        self.registration = self.remote_id().await.parse().unwrap();
        self
    }

    async fn remote_id(&self) -> String {
        let id = self.id;
        self.world
            .text(&format!("select remote_id from sync.record where target = 'runsignup' and entity_type = 'event_participant' and entity_id = {id}"))
            .await
    }

    async fn person(&self, columns: &str) -> String {
        let query = format!("select concat_ws('/', {columns}) {THE_PERSON}");
        self.world.text(&query.replace("$ID", &self.id.to_string())).await
    }

    async fn change(&self, change: &str) {
        let of = "where id = (select person_id from ems.event_participant where id = $ID)";
        let of = of.replace("$ID", &self.id.to_string());
        self.world.rig.exec(&format!("update ems.person set {change} {of}")).await;
        self.world.rig.settled().await;
    }

    /// What has lost of registrations, or waits for a person. That races which were mapped by hand differ is no matter.
    async fn open(&self) -> String {
        let conflicts = "select fields::text from sync.conflict where entity_type = 'event_participant' and closed_on is null";
        let inbox = "select state_reason from sync.inbox where entity_type = 'event_participant' and state <> 'done'";
        self.world.text(conflicts).await + &self.world.text(inbox).await
    }

    fn edit(&self, changes: Value) {
        let mut row = changes;
        row["id"] = json!(self.registration);
        // Surely after what the EMS changed before: the times of both sides are compared by the second.
        row["last_modified"] = json!(jiff::Timestamp::now().as_second() + 5);
        self.world.sim.plant(Resource::Registration, row).unwrap();
    }
}

/// RunSignup ignores another address in silence: that it still has the old one is no edit of anybody's (G5).
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_ignored_is_not_taken_back_with_another_edit() {
    let pushed = Pushed::new().await;
    let running = pushed.world.rig.start_all();
    let pushed = pushed.there().await;
    pushed.change("email = 'second@ems.example'").await;
    pushed.edit(json!({"user": {"phone": "856-850-1599"}}));
    pushed.world.taken_in().await;
    let open = pushed.open().await;
    assert_eq!(pushed.person("email, phone").await, "second@ems.example/+18568501599", "{open}");
    assert_eq!(pushed.open().await, "", "nothing has lost");
    // And what people there do change is taken.
    pushed.edit(json!({"user": {"email": "third@there.example"}}));
    pushed.world.taken_in().await;
    assert_eq!(pushed.person("email").await, "third@there.example");
    running.stop().await;
}

/// A lettered bib and a foreign state were left out there when it was made.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_edit_after_a_create_changes_what_was_edited_only() {
    let pushed = Pushed::new().await;
    let running = pushed.world.rig.start_all();
    let pushed = pushed.there().await;
    let all = "p.first_name, p.last_name, p.email, p.phone, p.date_of_birth, p.gender, p.address_line, p.province, p.postal_code, p.country,
               (select number from ems.event_participant where id = $ID)";
    let before = pushed.person(all).await;
    assert!(
        before.contains("/Gauteng/") && before.ends_with(&format!("/A{}", pushed.id)),
        "{before}"
    );
    pushed.edit(json!({"user": {"address": {"city": "Boulder"}}}));
    pushed.world.taken_in().await;
    assert_eq!(pushed.person("city").await, "Boulder");
    assert_eq!(pushed.person(all).await, before);
    assert_eq!(pushed.open().await, "");
    running.stop().await;
}

/// People there took somebody out and bring them back. What the EMS gave up meanwhile is none of their edits; what they changed is.
#[tokio::test(flavor = "multi_thread")]
async fn who_stands_again_there_does_not_bring_back_what_the_ems_gave_up() {
    let pushed = Pushed::new().await;
    pushed.world.rig.exec("update ems.event_participant set number = 40 + id").await;
    let running = pushed.world.rig.start_all();
    let pushed = pushed.there().await;
    let (id, world) = (pushed.id, &pushed.world);
    let participant = |columns: &str| {
        format!("select concat_ws('/', {columns}) from ems.event_participant where id = {id}")
    };
    world.sim.act(pushed.registration, Action::Remove).unwrap();
    world.taken_in().await;
    assert_eq!(world.text(&participant("status")).await, "WITHDRAWN");
    let cleared = format!("update ems.event_participant set number = null where id = {id}");
    world.rig.exec(&cleared).await;
    pushed.change("city = null, phone = null").await;
    world.sim.act(pushed.registration, Action::Reactivate).unwrap();
    pushed.edit(json!({"user": {"phone": "856-850-1599"}}));
    world.taken_in().await;
    assert_eq!(world.text(&participant("status, number")).await, "REGISTERED");
    assert_eq!(pushed.person("city, phone").await, "+18568501599", "{}", pushed.open().await);
    assert_eq!(pushed.remote_id().await, pushed.registration.to_string());
    assert_eq!(pushed.open().await, "", "nothing has lost");
    running.stop().await;
}

/// Taken out there, then deleted here: that it stands again there makes nobody new of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_out_there_and_deleted_here_stays_deleted() {
    let pushed = Pushed::new().await;
    let running = pushed.world.rig.start_all();
    let pushed = pushed.there().await;
    let (id, world) = (pushed.id, &pushed.world);
    world.sim.act(pushed.registration, Action::Remove).unwrap();
    world.taken_in().await;
    let count = "select count(*) from ems.event_participant";
    let before = world.rig.count(count).await;
    world.rig.exec(&format!("delete from ems.event_participant where id = {id}")).await;
    world.rig.settled().await;
    world.sim.act(pushed.registration, Action::Reactivate).unwrap();
    world.taken_in().await;
    assert_eq!(world.rig.count(count).await, before - 1);
    let told = "select concat_ws(' ', reason, entity_id) from sync.conflict where entity_type = 'event_participant' and closed_on is null";
    assert_eq!(world.text(told).await, format!("tombstone {id}"));
    running.stop().await;
}

/// The same of one that is moved to another event there after that, and so has another id: it carries the id of who was deleted, and
/// that this is the same one shows in the day of birth.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_here_and_is_transferred_there_stays_deleted() {
    for is_namesake in [true, false] {
        let pushed = Pushed::new().await;
        let running = pushed.world.rig.start_all();
        let pushed = pushed.there().await;
        let (id, world) = (pushed.id, &pushed.world);
        world.sim.act(pushed.registration, Action::Remove).unwrap();
        world.taken_in().await;
        let count = "select count(*) from ems.event_participant";
        let before = world.rig.count(count).await;
        world.rig.exec(&format!("delete from ems.event_participant where id = {id}")).await;
        world.rig.settled().await;
        world.sim.act(pushed.registration, Action::Reactivate).unwrap();
        let event_id = world.sim.registration(pushed.registration).unwrap().event_id;
        let event_id = if event_id == 72 { 73 } else { 72 };
        world.sim.act(pushed.registration, Action::Transfer { event_id }).unwrap();
        if !is_namesake {
            // Somebody else of the family, who has taken over the number.
            let moved = world.sim.registrations_of(&id.to_string());
            let moved = moved.iter().find(|row| row.active).unwrap();
            let user = json!({"id": moved.user_id, "first_name": "Ada", "dob": "1971-02-03",
                              "email": "else@ems.example", "phone": null});
            world.sim.plant(Resource::User, user).unwrap();
        }
        world.taken_in().await;
        assert_eq!(
            world.rig.count(count).await,
            before - i64::from(is_namesake),
            "{is_namesake} {}",
            pushed.open().await
        );
        let told = format!(
            "select count(*) from sync.conflict where reason = 'tombstone' and entity_id = {id} and closed_on is null"
        );
        let is_told = world.rig.count(&told).await > 0;
        assert!(is_told || !is_namesake, "{}", pushed.open().await);
        running.stop().await;
    }
}

/// Whoever adopts a conflict gets what it shows, the race and the start too, and nothing besides: an old conflict registers nobody again
/// who was withdrawn since.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_adopted_is_all_that_the_conflict_shows_and_nothing_besides() {
    let pushed = Pushed::new().await;
    let running = pushed.world.rig.start_all();
    let pushed = pushed.there().await;
    let (id, world) = (pushed.id, &pushed.world);
    // No walk decides about any of it meanwhile.
    world.taken_in().await;
    let adopted = async |entity: &str, id: i64, field: Value| {
        let conflict = format!(
            "with made as (insert into sync.conflict (target, entity_type, entity_id, remote_id, reason, fields)
             select target, entity_type, entity_id, coalesce(remote_id, former_remote_id), 'unpushed', '[{field}]' from sync.record
             where target = 'runsignup' and entity_type = '{entity}' and entity_id = {id}
             returning conflict_id) select conflict_id::text from made"
        );
        let number = world.text(&conflict).await;
        let (code, text) = world.rig.run(&["conflicts", "adopt", &number, "--anyway"]).await;
        assert_eq!(code, 0, "{text}");
        world.rig.settled().await;
    };
    let there = world.sim.registration(pushed.registration).unwrap().event_id;
    let other = if there == 72 { 73 } else { 72 };
    let field = json!({"field": "event_id", "ems_value": there.to_string(), "remote_value": other.to_string()});
    adopted("event_participant", id, field).await;
    let race = format!(
        "select remote_id from sync.record r join ems.event_participant ep on ep.race_id = r.entity_id
         where r.target = 'runsignup' and r.entity_type = 'race' and ep.id = {id}"
    );
    assert_eq!(world.text(&race).await, other.to_string());

    world
        .rig
        .exec(&format!("update ems.event_participant set status = 'WITHDRAWN' where id = {id}"))
        .await;
    world.rig.settled().await;
    let field = json!({"field": "phone", "ems_value": null, "remote_value": "+18568501599"});
    adopted("event_participant", id, field).await;
    assert_eq!(pushed.person("phone").await, "+18568501599");
    let status = format!("select status from ems.event_participant where id = {id}");
    assert_eq!(world.text(&status).await, "WITHDRAWN");

    let of_race = format!("select race_id from ems.event_participant where id = {id}");
    let race = world.rig.count(&of_race).await;
    let field =
        json!({"field": "start_time", "ems_value": null, "remote_value": "2056-11-26T06:45"});
    adopted("race", race, field).await;
    let start = format!(
        "select (r.start_time at time zone e.timezone)::text from ems.race r join ems.event e on e.id = r.event_id where r.id = {race}"
    );
    assert_eq!(world.text(&start).await, "2056-11-26 06:45:00");
    running.stop().await;
}

/// A disqualified participant has started, and stays what it is: the EMS keeps whose registration that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_the_ems_does_not_take_leaves_the_registration_known() {
    let pushed = Pushed::new().await;
    let running = pushed.world.rig.start_all();
    let pushed = pushed.there().await;
    let (id, rig) = (pushed.id, &pushed.world.rig);
    let disqualified =
        format!("update ems.event_participant set status = 'DISQUALIFIED' where id = {id}");
    rig.exec(&disqualified).await;
    rig.settled().await;
    pushed.world.sim.act(pushed.registration, Action::Remove).unwrap();
    for _ in 0..2 {
        pushed.world.taken_in().await;
        assert_eq!(pushed.remote_id().await, pushed.registration.to_string());
        let status = format!("select status from ems.event_participant where id = {id}");
        assert_eq!(pushed.world.text(&status).await, "DISQUALIFIED");
    }
    // The next change here is no endless talk about it.
    pushed.change("city = 'Pretoria'").await;
    assert_eq!(pushed.remote_id().await, pushed.registration.to_string());
    assert_eq!(pushed.open().await, "");
    running.stop().await;
}

/// Without `push_races` nobody writes an event's name there: an edit here meets the next one there, and then it is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_renamed_here_is_not_in_conflict_for_ever() {
    let world = world().await;
    let running = world.rig.start_all();
    world.taken_in().await;
    let named = "select concat_ws('/', name, city) from ems.event where id = (
        select entity_id from sync.record where target = 'runsignup' and entity_type = 'event' and remote_id like '%\"race_id\":9}')";
    assert_eq!(world.text(named).await, "Sky Run/Denver");
    world.rig.exec("update ems.event set name = 'Sky Ultra' where name = 'Sky Run'").await;
    world.rig.settled().await;
    let edit = |row: Value| world.sim.plant(Resource::Race, row).unwrap();
    edit(json!({"id": SKY, "name": "Sky Trail"}));
    world.taken_in().await;
    assert_eq!(world.text(named).await, "Sky Ultra/Denver", "the EMS wins");
    let lost = "select f ->> 'remote_value' from sync.conflict, jsonb_array_elements(fields) f where closed_on is null";
    assert_eq!(world.text(lost).await, "Sky Trail");
    edit(json!({"id": SKY, "address": {"city": "Boulder"}}));
    world.taken_in().await;
    assert_eq!(world.text(named).await, "Sky Ultra/Boulder", "what changed there since");
    edit(json!({"id": SKY, "name": "Sky Run II"}));
    world.taken_in().await;
    assert_eq!(world.text(named).await, "Sky Run II/Boulder");
    assert_eq!(world.rig.count("select count(*) from sync.conflict").await, 1);
    running.stop().await;
}

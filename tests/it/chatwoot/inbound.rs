//! All of ems-sync, the other way round: what agents do at Chatwoot arrives in the EMS, once, and causes no write there.

use ems_sync_remotes::chatwoot::{Author, Resource};
use serde_json::json;

use super::rig::Rig;
use crate::support::ems;
use crate::support::rig::PATIENCE;

impl Rig {
    /// Everything that is there is looked at, decided here, and what followed from it is pushed.
    pub(super) async fn taken_in(&self) {
        let (code, out) = self.run(&["sweep", "inbound", "--target", "chatwoot", "--json"]).await;
        assert_eq!(code, 0, "{out}");
        self.until("select count(*) from sync.inbox where state in ('pending', 'waiting')").await;
        self.settled().await;
    }

    pub(super) async fn text(&self, query: &str) -> String {
        let rows = self.ems.query(query, &[]).await.unwrap();
        let rows: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
        rows.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn writes(&self) -> u64 {
        self.sim.counters().writes_to("contacts").applied()
    }

    pub(super) fn contact_of(&self, person: i64) -> i64 {
        self.sim.contact(&person.to_string()).expect("it has a contact").id
    }

    pub(super) fn edit(&self, person: i64, mut row: serde_json::Value) {
        row["id"] = json!(self.contact_of(person));
        self.sim.plant(Resource::Contact, row).unwrap();
    }
}

const STAMPS: &str = "select string_agg(modified_on::text, ' ' order by id) from ems.person
    union all select string_agg(modified_on::text, ' ' order by id) from ems.conversation
    union all select string_agg(modified_on::text, ' ' order by id) from ems.contact_preference";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_do_arrives_once_and_comes_not_back() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 40).await;
    rig.exec(
        "delete from ems.contact_preference;
         update ems.person set first_name = 'Runner', last_name = 'No ' || id, email = 'runner' || id || '@ems.example',
                phone = null, city = 'Durban', country = 'ZA'",
    )
    .await;
    let ids = rig.ems.query("select id from ems.person order by id limit 8", &[]).await.unwrap();
    let ids: Vec<i64> = ids.iter().map(|row| row.get(0)).collect();
    let running = rig.start();
    rig.settled().await;
    let (stamps, writes) = (rig.text(STAMPS).await, rig.writes());
    rig.taken_in().await;
    assert_eq!(
        (rig.text(STAMPS).await, rig.writes()),
        (stamps, writes),
        "our own writes are no news"
    );

    rig.edit(ids[0], json!({"name": format!("Runner Married {}", ids[0])}));
    rig.edit(ids[1], json!({"phone_number": "+27821234567"}));
    rig.edit(ids[2], json!({"additional_attributes": {"city": "Windhoek", "country": "Namibia", "country_code": "NA"}}));
    rig.sim.block(rig.contact_of(ids[3]), true).unwrap();
    rig.sim.remove(Resource::Contact, rig.contact_of(ids[4]));
    let known = json!({"contact_id": rig.contact_of(ids[5]), "labels": ["bib"], "assignee_id": 5});
    let talk = rig.sim.plant(Resource::Conversation, known).unwrap();
    rig.sim.message(talk.id, Author::Contact, "canary").unwrap();
    let new = json!({"name": "Sipho van Wyk", "email": "sipho@there.example"});
    let sipho = rig.sim.plant(Resource::Contact, new).unwrap().id;
    rig.sim
        .plant(Resource::Contact, json!({"name": "Anonymous", "email": "anon@there.example"}))
        .unwrap();
    rig.sim
        .plant(Resource::Conversation, json!({"contact_id": sipho, "status": "resolved"}))
        .unwrap();
    rig.taken_in().await;

    let person = async |id: i64| {
        rig.text(&format!("select concat_ws('/', first_name, last_name, phone, city, country) from ems.person where id = {id}")).await
    };
    assert_eq!(person(ids[0]).await, format!("Runner/Married {}/Durban/ZA", ids[0]));
    assert_eq!(person(ids[1]).await, format!("Runner/No {}/+27821234567/Durban/ZA", ids[1]));
    assert_eq!(person(ids[2]).await, format!("Runner/No {}/Windhoek/NA", ids[2]));
    assert_eq!(
        person(ids[4]).await,
        format!("Runner/No {}/Durban/ZA", ids[4]),
        "a contact that goes takes nobody along"
    );
    let preferences = "select concat_ws('/', channel, opted_in, reason) from ems.contact_preference order by channel";
    assert_eq!(
        rig.text(preferences).await,
        "EMAIL/f/chatwoot: blocked PHONE/f/chatwoot: blocked SMS/f/chatwoot: blocked"
    );
    let made = "select concat_ws('/', first_name, last_name) from ems.person where email like '%there.example'";
    assert_eq!(rig.text(made).await, "Sipho/van Wyk", "and nobody without a last name");
    let talks = "select concat_ws('/', p.email, c.status, c.inbox, c.labels, c.assignee) from ems.conversation c
                 left join ems.person p on p.id = c.person_id order by c.status";
    let runner = format!("runner{}@ems.example", ids[5]);
    assert_eq!(
        rig.text(talks).await,
        format!("{runner}/open/1/{{bib}}/agent 5 sipho@there.example/resolved/1/{{}}")
    );
    let canary =
        "select concat((select count(*) from ems.conversation c where c::text like '%canary%'),
                                (select count(*) from sync.inbox i where i::text like '%canary%'))";
    assert_eq!(rig.text(canary).await, "00", "no message is kept anywhere");

    // Of all that only the new person was written there: that it is known by now.
    assert_eq!(rig.writes(), writes + 1);
    assert!(rig.sim.row_by_id(Resource::Contact, sipho).unwrap().external_id.is_some());
    let stamps = rig.text(STAMPS).await;
    rig.taken_in().await;
    assert_eq!(
        (rig.text(STAMPS).await, rig.writes()),
        (stamps.clone(), writes + 1),
        "once more, nothing"
    );
    let since = std::time::Instant::now();
    let gone = format!(
        "select coalesce(remote_id, 'none') from sync.record where target = 'chatwoot' and entity_type = 'person' and entity_id = {}",
        ids[4]
    );
    // Whether a walk has shown everything can't be told within the second in which something was made.
    while rig.text(&gone).await != "none" {
        assert!(since.elapsed() < PATIENCE);
        rig.taken_in().await;
    }
    assert_eq!((rig.text(STAMPS).await, rig.writes()), (stamps, writes + 1), "nor then");
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

/// The edit of an agent is met by the push of another one that the EMS has made: the EMS wins, and what lost is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_a_push_meets_is_kept_before_it_is_written_over() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 5).await;
    let id: i64 = rig.count("select min(id) from ems.person where email is not null").await;
    let running = rig.start();
    rig.settled().await;
    rig.edit(id, json!({"name": "Agents Choice"}));
    rig.exec(&format!(
        "update ems.person set city = 'Pretoria', first_name = 'EMS' where id = {id}"
    ))
    .await;
    rig.settled().await;
    rig.until("select 1 - count(*) from sync.conflict where closed_on is null").await;
    rig.settled().await;
    let contact = rig.sim.contact(&id.to_string()).unwrap().body;
    assert!(contact["name"].as_str().unwrap().starts_with("EMS "), "{contact}");
    assert_eq!(contact["additional_attributes"]["city"], "Pretoria");
    let lost = "select string_agg(f ->> 'remote_value', ' ') from sync.conflict, jsonb_array_elements(fields) f where f ->> 'field' = 'name'";
    assert_eq!(rig.text(lost).await, "Agents Choice");
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

/// A number that another contact has is left out of the person's: that it is not there is no edit of anybody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_left_out_is_not_emptied_with_another_edit() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 3).await;
    let id: i64 = rig.count("select min(id) from ems.person").await;
    rig.sim
        .plant(Resource::Contact, json!({"name": "Anonymous", "phone_number": "+27821234567"}))
        .unwrap();
    rig.exec(&format!(
        "update ems.person set first_name = 'Runner', last_name = 'No ' || id, email = 'runner' || id || '@ems.example', phone = null;
         update ems.person set phone = '+27821234567' where id = {id}"
    ))
    .await;
    let running = rig.start();
    rig.settled().await;
    assert_eq!(rig.sim.contact(&id.to_string()).unwrap().body["phone_number"], json!(null));
    rig.edit(id, json!({"name": format!("Runner Married {id}")}));
    rig.taken_in().await;
    let person = format!("select concat_ws('/', last_name, phone) from ems.person where id = {id}");
    assert_eq!(rig.text(&person).await, format!("Married {id}/+27821234567"));
    assert_eq!(rig.count("select count(*) from sync.conflict").await, 0);
    running.stop().await;
}

/// Agents have made contacts before the EMS knew of the persons: what they wrote there is kept before it is written over, and what the
/// EMS leaves blank is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_wrote_to_a_contact_that_a_create_adopts_is_kept() {
    let rig = Rig::new().await;
    let ids = [1, 2].map(|n| {
        let contact = json!({"name": format!("Agents{n}"), "email": format!("runner{n}@ems.example"),
            "phone_number": format!("+2782123456{n}"), "additional_attributes": {"city": "Umlazi"}});
        rig.sim.plant(Resource::Contact, contact).unwrap().id
    });
    let running = rig.start();
    rig.taken_in().await;
    let nobody = "select count(*) from sync.inbox where state = 'done' and state_reason = 'not_ours' and body is null";
    assert_eq!(rig.count(nobody).await, 2, "without a last name nobody becomes a person");
    rig.exec(
        "insert into ems.person (first_name, last_name, email, phone)
         select 'EMS', 'Runner' || n, 'runner' || n || '@ems.example', case n when 1 then '+27829999999' end from generate_series(1, 2) n",
    )
    .await;
    rig.settled().await;
    let lost = "select string_agg(concat_ws(':', remote_id, f ->> 'field', f ->> 'remote_value'), ' ' order by remote_id::bigint, f ->> 'field')
                from sync.conflict, jsonb_array_elements(fields) f where closed_on is null";
    let [one, two] = ids;
    let expected = format!("{one}:name:Agents1 {one}:phone_number:+27821234561 {two}:name:Agents2");
    assert_eq!(rig.text(lost).await, expected);
    let held = "select string_agg(concat_ws('/', last_name, phone, city), ' ' order by last_name) from ems.person";
    assert_eq!(rig.text(held).await, "Runner1/+27829999999/Umlazi Runner2/+27821234562/Umlazi");
    for (n, id) in (1..).zip(ids) {
        let contact = rig.sim.row_by_id(Resource::Contact, id).unwrap().body;
        assert_eq!(contact["name"], format!("EMS Runner{n}"));
        assert_eq!(contact["additional_attributes"]["city"], "Umlazi");
        assert!(contact["identifier"].as_str().unwrap().starts_with("ems-person-"));
    }
    assert_eq!((rig.sim.contact_count(), rig.writes()), (2, 2), "each is written once");
    rig.taken_in().await;
    assert_eq!(rig.writes(), 2);
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

/// What we made for somebody, and let go, makes nobody new, whatever is still known of it here; until people there give it another address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_was_let_go_makes_nobody_new() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into ems.person (id, first_name, last_name, email) overriding system value values
         (10, 'Sipho', 'Nkosi', 'sipho@ems.example')",
    )
    .await;
    let running = rig.start();
    rig.settled().await;
    let contact = rig.contact_of(10);
    rig.exec("delete from ems.person where id = 10").await;
    rig.settled().await;
    rig.exec("delete from sync.record where target = 'chatwoot' and entity_id = 10").await;
    let persons = "select count(*)::text from ems.person";
    rig.taken_in().await;
    assert_eq!(rig.text(persons).await, "0");
    let row = json!({"id": contact, "email": "thandi@ems.example", "name": "Thandi Nkosi"});
    rig.sim.plant(Resource::Contact, row).unwrap();
    rig.taken_in().await;
    assert_eq!(rig.text("select email from ems.person").await, "thandi@ems.example");
    running.stop().await;
}

/// Whose address is another one's leaves their contact behind, and so does who has neither address nor number. What stands in it is no news,
/// and it is nobody's until people enter something there; also where its person has another contact by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_was_left_behind_is_taken_up_only_with_what_people_enter_there() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into ems.person (id, first_name, last_name, email) overriding system value values
         (10, 'Lindiwe', 'Nkosi', 'family@ems.example'), (20, 'Sipho', 'Nkosi', 'sipho@ems.example'),
         (30, 'Thandi', 'Moyo', 'thandi@ems.example')",
    )
    .await;
    let running = rig.start();
    rig.settled().await;
    let (of_sipho, of_thandi) = (rig.contact_of(20), rig.contact_of(30));
    for change in [
        "update ems.person set email = 'family@ems.example' where id = 20",
        "update ems.person set email = null where id in (20, 30)",
        "update ems.person set email = 'moyo@ems.example' where id = 30",
    ] {
        rig.exec(change).await;
        rig.settled().await;
    }
    let now_thandis = rig.contact_of(30);
    assert_ne!(now_thandis, of_thandi);
    let (writes, persons) = (
        rig.writes(),
        "select concat_ws('/', id, email) from ems.person where id > 10 order by id",
    );
    rig.taken_in().await;
    let known = "select concat(entity_id, ':', remote_id, ':', former_remote_id) from sync.record
                 where target = 'chatwoot' and entity_type = 'person' and entity_id > 10 order by entity_id";
    assert_eq!(rig.text(known).await, format!("20::{of_sipho} 30:{now_thandis}:{of_thandi}"));
    let undecided = "select count(*)::text from sync.inbox where state <> 'done'";
    assert_eq!(rig.text(undecided).await, "0", "nothing waits for anything");
    assert_eq!(rig.text(persons).await, "20 30/moyo@ems.example");
    assert_eq!(rig.writes(), writes);

    let entered = json!({"id": of_sipho, "email": "nkosi@there.example"});
    rig.sim.plant(Resource::Contact, entered).unwrap();
    rig.taken_in().await;
    assert_eq!(rig.text(persons).await, "20/nkosi@there.example 30/moyo@ems.example");
    assert_eq!(rig.contact_of(20), of_sipho);

    // The mark vouches for the address only: of a number a person will be asked, unless the other contact goes.
    let entered = json!({"id": of_thandi, "phone_number": "+27821234567"});
    rig.sim.plant(Resource::Contact, entered).unwrap();
    let (code, out) = rig.run(&["sweep", "inbound", "--target", "chatwoot", "--json"]).await;
    assert_eq!(code, 0, "{out}");
    let waits = "select 1 - count(*) from sync.inbox where state_reason = 'waiting_for_removal'";
    rig.until(&format!("{waits} and remote_id = '{of_thandi}'")).await;
    assert_eq!(rig.text(persons).await, "20/nkosi@there.example 30/moyo@ems.example");
    running.stop().await;
}

/// Agents merge somebody's contact into that of a person whom the EMS has deleted: it carries their id from then on, and is theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_was_merged_into_a_deleted_persons_is_theirs_still() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into ems.person (id, first_name, last_name, email) overriding system value values
         (10, 'Sipho', 'Nkosi', 'sipho@ems.example'), (20, 'Sipho', 'Double', 'double@ems.example')",
    )
    .await;
    let running = rig.start();
    rig.settled().await;
    let (theirs, doubles) = (rig.contact_of(10), rig.contact_of(20));
    rig.exec("delete from ems.person where id = 20").await;
    rig.settled().await;
    rig.taken_in().await;
    merged_it_is_theirs(&rig, doubles, theirs).await;
    let person = "select concat_ws(' ', id, first_name, last_name, email) from ems.person";
    assert_eq!(rig.text(person).await, "10 Sipho Nkosi sipho@ems.example");
    running.stop().await;
}

/// The same where that one is in the EMS still, and has left the contact behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_that_was_merged_into_one_that_was_left_behind_is_theirs_still() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into ems.person (id, first_name, last_name, email, phone) overriding system value values
         (5, 'Lindiwe', 'Double', 'family@ems.example', null), (10, 'Sipho', 'Nkosi', 'sipho@ems.example', '+27821234567'),
         (20, 'Sipho', 'Double', 'double@ems.example', null)",
    )
    .await;
    let running = rig.start();
    rig.settled().await;
    let (theirs, doubles) = (rig.contact_of(10), rig.contact_of(20));
    for change in ["email = 'family@ems.example'", "email = null"] {
        rig.exec(&format!("update ems.person set {change} where id = 20")).await;
        rig.settled().await;
    }
    rig.taken_in().await;
    merged_it_is_theirs(&rig, doubles, theirs).await;
    let persons = "select concat_ws(' ', id, last_name, email, phone) from ems.person where id > 5 order by id";
    assert_eq!(rig.text(persons).await, "10 Nkosi sipho@ems.example +27821234567 20 Double");
    running.stop().await;
}

/// Agents merge person 10's contact into that of another one who has left theirs behind.
async fn merged_it_is_theirs(rig: &Rig, doubles: i64, theirs: i64) {
    let contacts = rig.sim.contact_count();
    assert_eq!(rig.sim.row_by_id(Resource::Contact, doubles).unwrap().external_id, None);
    rig.sim.merge(doubles, theirs).unwrap();
    // A webhook names the one that is left, and nobody walks: that the other one is gone is asked for.
    rig.exec(&format!("select sync.hint('chatwoot', 'contacts', 'person', '{doubles}', 1000)"))
        .await;
    let is_theirs = "select 1 - count(*) from sync.record where target = 'chatwoot' and entity_id = 10 and remote_id";
    rig.until(&format!("{is_theirs} = '{doubles}'")).await;
    rig.taken_in().await;
    assert_eq!(rig.sim.contact("10").map(|row| row.id), Some(doubles));
    assert_eq!(rig.sim.contact_count(), contacts - 1);
    let row = rig.sim.row_by_id(Resource::Contact, doubles).unwrap().body;
    assert_eq!((&row["name"], &row["email"]), (&json!("Sipho Nkosi"), &json!("sipho@ems.example")));
}

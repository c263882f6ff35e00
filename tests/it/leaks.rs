//! Nothing leaks (G9): words that stand in sensitive columns and in credentials are looked for wherever something
//! leaves the EMS. What TagServer may see (names, dates of birth) may stand in its own bodies and nowhere else.

use std::time::Duration;

use ems_sync::broker::Queue;
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::{Resource, TagServerOptions};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use lapin::options::BasicGetOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::support::binary::{self, free_port, get};
use crate::support::parity::assert_in_sync;
use crate::support::process::signal;
use crate::support::rig::{PATIENCE, Rig};

/// Columns that no remote of these tests may see: table, column.
const SENSITIVE: [(&str, &str); 24] = [
    ("person", "title"),
    ("person", "email"),
    ("person", "phone"),
    ("person", "language"),
    ("person", "address_line"),
    ("person", "city"),
    ("person", "province"),
    ("person", "postal_code"),
    ("person", "identity_number"),
    ("person", "emergency_contact_name"),
    ("person", "emergency_contact_number"),
    ("person", "medical_conditions"),
    ("person", "medical_allergies"),
    ("organisation", "email"),
    ("organisation", "phone"),
    ("organisation", "website"),
    ("event_participant", "team"),
    ("event_participant", "shirt_size"),
    ("contact_preference", "reason"),
    ("list_membership", "list_code"),
    ("list_membership", "labels"),
    ("conversation", "subject"),
    ("conversation", "assignee"),
    ("conversation", "inbox"),
];
/// What TagServer sees of a person, and nobody else.
const NAMES: [&str; 3] = ["Canaryfirst", "Canarylast", "1907-03-17"];
const PASSWORD: &str = "canarypassword7f3a";
const TOKEN: &str = "canarytoken5b1c";

/// A word that stands in that column only; letters and digits, as an error code might be.
fn canary(table: &str, column: &str) -> String {
    format!("canary{}{}", table.replace('_', ""), column.replace('_', ""))
}

fn forbidden_everywhere() -> Vec<String> {
    let columns = SENSITIVE.iter().map(|(table, column)| canary(table, column));
    columns.chain([PASSWORD.to_owned(), TOKEN.to_owned()]).collect()
}

fn forbidden_outside_bodies() -> Vec<String> {
    forbidden_everywhere().into_iter().chain(NAMES.map(str::to_owned)).collect()
}

/// Fails with where a canary was found, and around it.
fn assert_clean(place: &str, text: &str, canaries: &[String]) {
    let lower = text.to_lowercase();
    for canary in canaries {
        if let Some(at) = lower.find(&canary.to_lowercase()) {
            let around: String = lower.chars().skip(at.saturating_sub(200)).take(400).collect();
            panic!("{canary} leaked to {place}: … {around} …");
        }
    }
}

async fn rig() -> Rig {
    let options = TagServerOptions { password: PASSWORD.to_owned(), ..TagServerOptions::default() };
    let mut rig = Rig::with(options).await;
    rig.set("OPS__TOKEN", TOKEN);
    rig
}

/// A population that has a canary in every sensitive column.
async fn populate(rig: &Rig, people: i64) {
    let word = |table, column| canary(table, column);
    rig.exec(&format!(
        "insert into ems.organisation (name, email, phone, website)
             values ('Club', '{o_email}@ems.example', '{o_phone}', 'https://{o_website}.example');
         insert into ems.event (organisation_id, name, start_date_time, timezone)
             select id, 'Event', '2056-11-26T04:30:00Z', 'Africa/Johannesburg' from ems.organisation;
         insert into ems.race (event_id, name, distance_meters) select id, '10 km', 10000 from ems.event;
         insert into ems.person (title, first_name, last_name, email, phone, date_of_birth, gender, language,
             address_line, city, province, postal_code, country, identity_type, identity_number, identity_country,
             emergency_contact_name, emergency_contact_number, medical_conditions, medical_allergies)
         select '{title}', '{first}' || n, '{last}' || n, '{email}' || n || '@ems.example', '{phone}' || n, '{born}',
             'UNKNOWN', '{language}', '{address_line}', '{city}', '{province}', '{postal_code}', 'ZA', 'PASSPORT',
             '{identity_number}' || n, 'ZA', '{emergency_name}', '{emergency_number}', '{conditions}', '{allergies}'
         from generate_series(1, {people}) n;
         insert into ems.event_participant (event_id, person_id, race_id, number, team, shirt_size)
             select e.id, p.id, r.id, p.id::text, '{team}', '{shirt}' from ems.event e, ems.race r, ems.person p;
         insert into ems.contact_preference (person_id, channel, opted_in, reason)
             select id, 'EMAIL', true, '{reason}' from ems.person;
         insert into ems.list_membership (person_id, list_code, status, labels)
             select id, '{list}', 'SUBSCRIBED', array['{labels}'] from ems.person;
         insert into ems.conversation (person_id, source, external_id, subject, assignee, inbox)
             select id, 'chatwoot', id::text, '{subject}', '{assignee}', '{inbox}' from ems.person;
         insert into ems.tag (person_id, number) select id, 'T' || id from ems.person",
        o_email = word("organisation", "email"),
        o_phone = word("organisation", "phone"),
        o_website = word("organisation", "website"),
        title = word("person", "title"),
        first = NAMES[0],
        last = NAMES[1],
        born = NAMES[2],
        email = word("person", "email"),
        phone = word("person", "phone"),
        language = word("person", "language"),
        address_line = word("person", "address_line"),
        city = word("person", "city"),
        province = word("person", "province"),
        postal_code = word("person", "postal_code"),
        identity_number = word("person", "identity_number"),
        emergency_name = word("person", "emergency_contact_name"),
        emergency_number = word("person", "emergency_contact_number"),
        conditions = word("person", "medical_conditions"),
        allergies = word("person", "medical_allergies"),
        team = word("event_participant", "team"),
        shirt = word("event_participant", "shirt_size"),
        reason = word("contact_preference", "reason"),
        list = word("list_membership", "list_code"),
        labels = word("list_membership", "labels"),
        subject = word("conversation", "subject"),
        assignee = word("conversation", "assignee"),
        inbox = word("conversation", "inbox"),
    ))
    .await;
    for (table, column) in SENSITIVE {
        let word = canary(table, column);
        let sql = format!("select count(*) from ems.{table} where {column}::text like '%{word}%'");
        assert!(rig.count(&sql).await > 0, "there is no canary in {table}.{column}");
    }
}

/// Answers that quote a person's data in every place where a server might.
fn echoes() -> Vec<Fault> {
    let name = NAMES[0];
    let echo = |code, body: Value| Fault::Status {
        code,
        headers: Vec::new(),
        body: Some(body),
        applied: false,
    };
    vec![
        echo(
            400,
            json!({"type": name, "title": name, "status": 400, "detail": format!("{name} is not valid"),
                   "path": format!("/api/people?name={name}"), "message": "error.validation", "params": name,
                   "fieldErrors": [{"objectName": name, "field": "lastName", "message": NAMES[1]},
                                   {"objectName": "person", "field": name, "message": "Size"}]}),
        ),
        echo(400, json!({"message": name, "title": name, "detail": NAMES[1]})),
        echo(409, json!({"title": "Conflict", "detail": name, "message": name})),
        echo(
            500,
            json!({"title": name, "detail": format!("duplicate key ({name})"), "message": name}),
        ),
        echo(500, json!(format!("<html><body>{name} {}</body></html>", NAMES[1]))),
        echo(404, json!({"detail": format!("no {name}")})),
        Fault::Garbage { what: Garbage::TruncatedJson, applied: true },
        Fault::Garbage { what: Garbage::StrangersRecord, applied: true },
        Fault::CommitThenDrop,
    ]
}

/// Every row of every table of schema `sync`, as text.
async fn everything_that_is_kept(rig: &Rig) -> String {
    let tables = rig
        .ems
        .query(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'sync' and c.relkind = 'r'",
            &[],
        )
        .await
        .unwrap();
    let mut text = String::new();
    for table in &tables {
        let table: &str = table.get(0);
        let sql = format!("select coalesce(string_agg(t::text, e'\\n'), '') from {table} t");
        text.push_str(rig.ems.query_one(&sql, &[]).await.unwrap().get(0));
    }
    text
}

async fn channel(rig: &Rig) -> (Connection, Channel) {
    let connection =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Takes everything out of the queues of TagServer with such names: bodies, properties and headers, one text per message.
async fn messages(rig: &Rig, channel: &Channel, named: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let names = Queue::of(Target::TagServer).into_iter().map(|queue| queue.name(&rig.prefix));
    for name in names.filter(|name| name.contains(named)) {
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(name.clone().into(), options).await.unwrap() {
            let body = String::from_utf8(message.delivery.data.clone()).unwrap();
            messages.push(format!("{name}: {body} {:?}", message.delivery.properties));
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_word_of_a_sensitive_column_leaves_by_logs_records_metrics_documents_or_bodies() {
    let mut rig = rig().await;
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    for (n, fault) in (0_u32..).zip(echoes()) {
        let rule = Rule::new(fault).probability(0.2).times(25);
        rig.sim.faults().push(if n % 2 == 0 {
            rule.writes()
        } else {
            rule.resource(Resource::Person)
        });
    }
    let portal = Rule::new(Fault::garbage(Garbage::Html)).operation(Operation::Login);
    rig.sim.faults().push(portal);
    populate(&rig, 60).await;
    let trace = ["--log-level", "trace", "--log-format", "json", "run"];
    let mut worker = binary::of(&rig, &trace).spawn().unwrap();
    let output = tokio::spawn({
        let (mut stdout, mut stderr) =
            (worker.stdout.take().unwrap(), worker.stderr.take().unwrap());
        async move {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let reads = tokio::join!(
                tokio::io::copy(&mut stdout, &mut out),
                tokio::io::copy(&mut stderr, &mut err)
            );
            assert!(reads.0.is_ok() && reads.1.is_ok());
            (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
        }
    });
    rig.exec(
        "update ems.person set email = 'new' || email, medical_conditions = medical_conditions || '!';
         update ems.person set last_name = last_name || 'x' where id % 3 = 0;
         delete from ems.person where id % 10 = 1",
    )
    .await;
    let several =
        "select greatest(0, 4 - count(distinct class)) from sync.attempt where error is not null";
    rig.until(several, "in trouble of several kinds").await;

    // Asked for while there is something to tell: failures of several kinds are in it.
    assert_clean(
        "sync.* in trouble",
        &everything_that_is_kept(&rig).await,
        &forbidden_outside_bodies(),
    );
    let mut told = String::new();
    for (path, token) in [
        ("/livez", None),
        ("/readyz", None),
        ("/metrics", None),
        ("/api/v1/status", Some(TOKEN)),
        ("/api/v1/status", Some("wrong")),
        ("/api/v1/explain/person/2", Some(TOKEN)),
        ("/api/v1/explain/person/canaryfirst", Some(TOKEN)),
    ] {
        told.push_str(&get(port, path, token).await.expect("listens").1);
    }
    assert!(
        told.contains("ems_sync_deliveries_total") && told.contains("\"last_error\""),
        "{told}"
    );
    let email = format!("{}2@ems.example", canary("person", "email"));
    for arguments in [
        vec!["status", "--json"],
        vec!["status"],
        vec!["explain", "person", "2", "--json"],
        vec!["explain", "person", "2"],
        vec!["explain", "--email", &email, "--json"],
        vec!["explain", "--email", &format!("no{email}")],
        vec!["explain", "--bib", "2", "--json"],
        vec!["check-config", "--json"],
        vec!["sweep", "outbound", "--json"],
        vec!["target", "pause", "tagserver", "--json"],
        vec!["target", "resume", "tagserver", "--json"],
    ] {
        let mut command = binary::of(&rig, &arguments);
        command.args(["--log-level", "trace"]);
        let ended = binary::ended(command).await;
        told.push_str(&ended.stdout);
        told.push_str(&ended.stderr);
    }
    assert_clean("endpoints and commands", &told, &forbidden_outside_bodies());

    // With the faults gone everything arrives, the corrected and the rejected.
    rig.sim.faults().clear();
    rig.exec("update ems.person set last_name = last_name || 'y'; update ems.tag set number = number || '1';
              update ems.event_participant set status = 'CONFIRMED'; update ems.race set name = '11 km';
              update ems.event set name = 'Other'; update ems.organisation set name = 'Other'").await;
    rig.until("select count(*) from sync.outbox", "owed").await;
    rig.until("select count(*) from sync.record where owed_gen > done_gen", "home").await;
    assert_in_sync(&rig).await;

    signal(&worker, "TERM").await;
    let end = tokio::time::timeout(PATIENCE, worker.wait()).await.expect("stops").unwrap();
    assert_eq!(end.code(), Some(0));
    let (stdout, stderr) = output.await.unwrap();
    assert!(stderr.contains("\"Attempt failed\"") && stderr.lines().count() > 20, "{stderr}");
    assert_clean("standard output", &stdout, &forbidden_outside_bodies());
    assert_clean("logs", &stderr, &forbidden_outside_bodies());
    assert_clean("logs", &stderr, &["Bearer ".to_owned(), "eyJ".to_owned()]);
    assert_clean("sync.*", &everything_that_is_kept(&rig).await, &forbidden_outside_bodies());

    let bodies: Vec<Value> =
        Resource::ALL.iter().flat_map(|r| rig.sim.rows(*r)).map(|row| row.body).collect();
    let bodies = serde_json::to_string(&bodies).unwrap();
    assert_clean("TagServer", &bodies, &forbidden_everywhere());
    assert!(NAMES.iter().all(|name| bodies.contains(name)), "TagServer has what it may have");
    let unknown = rig.sim.counters().violations_of("unknown_field").len();
    assert_eq!(unknown, 0, "a field that TagServer does not know would not stand in its rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_name_entities_by_type_and_id_and_nothing_else() {
    let rig = rig().await;
    let relay = rig.start(&[Role::Relay]);
    populate(&rig, 40).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    relay.stop().await;
    let (_connection, channel) = channel(&rig).await;
    let found = messages(&rig, &channel, "").await;
    assert!(found.len() >= 160, "{}", found.len());
    assert_clean("messages", &found.join("\n"), &forbidden_outside_bodies());

    // The delay queues, while attempts fail with an echo of the person: of four, who don't open the breaker.
    let running = rig.start(&[Role::Relay, Role::Consume]);
    rig.settled().await;
    let echo = echoes().swap_remove(3);
    rig.sim.faults().push(Rule::new(echo).resource(Resource::Person).writes().unlimited());
    rig.exec("update ems.person set date_of_birth = '1990-01-01' where id in (select id from ems.person order by id limit 4)").await;
    let delayed = async {
        let mut delayed = Vec::new();
        while delayed.len() < 5 {
            delayed.extend(messages(&rig, &channel, ".retry.").await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        delayed
    };
    let delayed = tokio::time::timeout(PATIENCE, delayed).await.expect("some fail");
    assert_clean("delayed messages", &delayed.join("\n"), &forbidden_outside_bodies());
    running.stop().await;
}

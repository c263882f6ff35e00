//! G9 the other way round: what people entered at RunSignup and Chatwoot, and what an error text of a walk quotes, stands in the EMS, in
//! the inbox and in conflicts, and in no message, log, metric, error or document that was not asked for it.

use std::time::Duration;

use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::chatwoot::{Author, Resource as Desk};
use ems_sync_remotes::mailchimp::Act;
use ems_sync_remotes::runsignup::{Action, Resource};
use ems_sync_remotes::{Fault, Faults, Operation, Rule};
use serde_json::json;
use tokio::time::Instant;

use super::bed::{Bed, EVENT, NEWS, Secrets};
use super::canaries::{assert_clean, messages};
use crate::support::binary::{self, free_port, get};
use crate::support::process::signal;
use crate::support::rig::PATIENCE;

/// What people entered there, each a word that stands nowhere else.
const WORDS: [&str; 13] = [
    "Canaryfirst",
    "Canarylast",
    "Canarydenied",
    "Canaryodd",
    "canarymail",
    "85655501",
    "856-555-01",
    "1907-03-17",
    "Canarystreet",
    "Canarycity",
    "canarylabel",
    "canarymessage",
    "canaryquoted",
];

/// Somebody there, with words that nothing else has.
fn somebody(n: i64) -> serde_json::Value {
    json!({"first_name": format!("Canaryfirst{n}"), "last_name": format!("Canarylast{n}"), "dob": "1907-03-17", "gender": "F",
           "email": format!("canarymail{n}@there.org"), "phone": format!("856-555-01{n:02}"),
           "address": {"street": format!("{n} Canarystreet"), "city": "Canarycity"}})
}

/// The EMS refuses some of it, and its refusals quote values.
const REFUSES: &str = "
    alter table ems.person add constraint nobody_odd check (last_name not like '%odd%');
    create function public.denies() returns trigger language plpgsql as $$
    begin
        if new.last_name like '%denied%' then
            raise insufficient_privilege using message = format('%s may not', new.email), detail = new.last_name;
        end if;
        return new;
    end $$;
    create trigger denies before insert or update on ems.person for each row execute function public.denies();";

/// Answers to reads that quote what they are about.
fn quote(faults: &Faults, secret: &str) {
    let said = format!("canaryquoted Canaryfirst1 {secret}");
    let body = json!({"message": said, "error": {"error_code": 5, "error_msg": said}, "detail": said, "title": said, "errors": [said],
                      "error_details": [{"error_code": 517, "detailed_desc": said}]});
    for code in [500, 422, 200] {
        let fault =
            Fault::Status { code, headers: Vec::new(), body: Some(body.clone()), applied: false };
        faults.push(Rule::new(fault).operation(Operation::List).times(2));
    }
}

/// What people do at the remotes.
fn acts(bed: &Bed) {
    for n in 1..=6 {
        let paid = json!({"user": somebody(n), "bib_num": 800 + n});
        let id = bed.runsignup.register(EVENT, paid).unwrap();
        if n == 1 {
            bed.runsignup.act(id, Action::Remove);
        }
        let name = match n {
            2 => format!("Canaryfirst{n} Canaryodd"),
            3 => format!("Canaryfirst{n} Canarydenied"),
            _ => format!("Canaryfirst{n} Canarylast{n}"),
        };
        let contact = json!({"name": name, "email": format!("canarymail{n}@desk.org"), "additional_attributes": {"city": "Canarycity"}});
        let contact = bed.chatwoot.plant(Desk::Contact, contact).unwrap().id;
        let talk = json!({"contact_id": contact, "labels": ["canarylabel"]});
        let talk = bed.chatwoot.plant(Desk::Conversation, talk).unwrap().id;
        bed.chatwoot.message(talk, Author::Contact, "canarymessage").unwrap();
    }
    // An edit that the EMS's own meets.
    let known = bed.chatwoot.contact("1").unwrap().id;
    let edit =
        json!({"id": known, "name": "Canaryfirst0 Canarylast0", "phone_number": "+18565550199"});
    bed.chatwoot.plant(Desk::Contact, edit).unwrap();
    let edit = json!({"id": bed.runsignup.registrations_of("2")[0].id, "user": {"last_name": "Canarylast0"}});
    bed.runsignup.plant(Resource::Registration, edit).unwrap();
    bed.mailchimp.act(NEWS, "runner3@club.org", &Act::Unsubscribe).unwrap();
}

/// Every row of every table of schema `sync`, but for those that hold contents.
async fn everything_else_that_is_kept(bed: &Bed) -> String {
    let tables = "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = 'sync' and c.relkind = 'r' and c.relname not in ('inbox', 'conflict')";
    let mut text = String::new();
    for table in bed.rig.ems.query(tables, &[]).await.unwrap() {
        let table: &str = table.get(0);
        let sql = format!("select coalesce(string_agg(t::text, e'\\n'), '') from {table} t");
        text.push_str(bed.rig.ems.query_one(&sql, &[]).await.unwrap().get(0));
    }
    text
}

/// Waits until there is one of each kind of trouble.
async fn until_in_trouble(bed: &Bed) {
    let kinds = "select count(distinct reason) from sync.conflict where reason in ('refused', 'ambiguous', 'unpushed')";
    let put_off = "select count(*) from sync.inbox where state in ('pending', 'waiting') and last_error is not null";
    let began = Instant::now();
    while bed.rig.count(kinds).await < 3 || bed.rig.count(put_off).await == 0 {
        if began.elapsed() > PATIENCE {
            let rows = "select concat_ws(' ', target, entity_type, state, state_reason, last_error) from sync.inbox
                        union all select concat_ws(' ', 'conflict', reason, target) from sync.conflict";
            let rows = bed.rig.ems.query(rows, &[]).await.unwrap();
            let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            panic!("no trouble: {rows:#?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run with the campaign"]
async fn what_people_entered_at_remotes_stands_where_it_is_decided_and_nowhere_else() {
    let mut bed = Bed::with(&Target::ALL, None).await;
    let port = free_port().await;
    bed.rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    bed.rig.set("OPS__TOKEN", Secrets::OPS);
    bed.rig.set("SWEEP__INBOUND_EVERY", "1h");
    let hook = json!({"url": format!("http://127.0.0.1:{port}/hooks/chatwoot"), "secret": Secrets::WEBHOOK,
                      "subscriptions": ["contact_created", "contact_updated", "conversation_created"]});
    bed.chatwoot.configure(|settings| settings.allow_private_network = true);
    bed.chatwoot.plant(Desk::Webhook, hook).unwrap();
    let words: Vec<&str> = WORDS.into_iter().chain(Secrets::ALL).collect();

    let running = bed.rig.start_all();
    bed.populate(4).await;
    // Who registers there may be either of two: people say which.
    bed.rig
        .exec(
            "insert into ems.person (first_name, last_name, date_of_birth)
             select 'Canaryfirst5', 'Canarylast5', '1907-03-17' from generate_series(1, 2)",
        )
        .await;
    bed.rig.settled().await;
    running.stop().await;

    // Messages, while nobody takes them.
    bed.rig.exec(REFUSES).await;
    acts(&bed);
    bed.rig.exec("update ems.person set city = 'Pretoria' where id <= 2").await;
    let relay = bed.rig.start(&[Role::Relay]);
    let (code, out) = bed.rig.run(&["sweep", "inbound", "--json"]).await;
    assert_eq!(code, 0, "{out}");
    relay.stop().await;
    let told = messages(&bed).await;
    let inbound = told.iter().filter(|message| message.contains(".inbound: ")).count();
    assert!(inbound >= 20, "{inbound} of {}", told.len());
    assert_clean("messages", &told.join("\n"), &words);
    assert_clean("documents", &out, &words);

    let trace = ["--log-level", "trace", "--log-format", "json", "run"];
    let mut worker = binary::of(&bed.rig, &trace).spawn().unwrap();
    let (mut stdout, mut stderr) = (worker.stdout.take().unwrap(), worker.stderr.take().unwrap());
    let output = tokio::spawn(async move {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let both = tokio::join!(
            tokio::io::copy(&mut stdout, &mut out),
            tokio::io::copy(&mut stderr, &mut err)
        );
        assert!(both.0.is_ok() && both.1.is_ok());
        [out, err].map(|bytes| String::from_utf8(bytes).unwrap())
    });
    until_in_trouble(&bed).await;
    // Hints with whole contacts in them, and walks whose errors quote.
    let hints = bed.chatwoot.deliver().await;
    assert!(!hints.is_empty());
    quote(bed.runsignup.faults(), Secrets::RUNSIGNUP);
    quote(bed.chatwoot.faults(), Secrets::CHATWOOT);
    quote(bed.mailchimp.faults(), Secrets::MAILCHIMP);
    quote(bed.mautic.faults(), Secrets::MAUTIC);
    let mut told = String::new();
    for arguments in [
        vec!["sweep", "inbound", "--json"],
        vec!["sweep", "inbound"],
        vec!["status", "--json"],
        vec!["status"],
        vec!["explain", "person", "1", "--json"],
        vec!["explain", "event_participant", "2"],
    ] {
        let mut command = binary::of(&bed.rig, &arguments);
        command.args(["--log-level", "trace"]);
        let ended = binary::ended(command).await;
        told.push_str(&ended.stdout);
        told.push_str(&ended.stderr);
    }
    for path in ["/metrics", "/readyz", "/api/v1/status", "/api/v1/explain/person/1"] {
        told.push_str(&get(port, path, Some(Secrets::OPS)).await.expect("listens").1);
    }
    told.push_str(&get(port, "/api/v1/conflicts", Some("wrong")).await.expect("listens").1);
    assert!(told.contains("ems_sync_inbound") && told.contains("ambiguous"), "{told}");
    assert_clean("endpoints and documents", &told, &words);
    let struck = [bed.runsignup.journal(), bed.chatwoot.journal()]
        .map(|journal| journal.iter().filter(|entry| !entry.faults.is_empty()).count());
    assert!(struck.iter().all(|struck| *struck > 0), "{struck:?}");
    assert_clean("sync.*", &everything_else_that_is_kept(&bed).await, &words);

    signal(&worker, "TERM").await;
    let end = tokio::time::timeout(PATIENCE, worker.wait()).await.expect("stops").unwrap();
    assert_eq!(end.code(), Some(0));
    let [stdout, stderr] = output.await.unwrap();
    assert!(stderr.contains("could not be decided"), "{stderr}");
    assert_clean("standard output", &stdout, &words);
    assert_clean("logs", &stderr, &words);
    let left = messages(&bed).await;
    assert_clean("left messages", &left.join("\n"), &words);
    // It is there, for those who are to decide: and only those who ask are shown it.
    let kept = "select count(*) from sync.conflict where fields::text like '%Canarylast0%'";
    assert!(bed.rig.count(kept).await > 0);
    let number =
        "select min(conflict_id) from sync.conflict where fields::text like '%Canarylast0%'";
    let number = bed.rig.count(number).await.to_string();
    let mut show = binary::of(&bed.rig, &["conflicts", "show", &number]);
    show.args(["--log-level", "trace"]);
    let shown = binary::ended(show).await;
    assert!(shown.stdout.contains("Canarylast0"), "{shown:?}");
    assert_clean("logs of a command", &shown.stderr, &words);
}

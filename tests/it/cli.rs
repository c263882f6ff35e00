//! The command line and the endpoints, by the real binary (`docs/design.md` section 8).

use std::collections::BTreeSet;
use std::time::Duration;

use ems_sync_remotes::tagserver::Resource;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::support::binary::{self, Ended, bare, ended, free_port, get};
use crate::support::database::{Services, connect, sql_files};
use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::process::signal;
use crate::support::rig::{PATIENCE, Rig};

const CANARY: &str = "canarysecret4d9e";

async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    ended(binary::of(rig, arguments)).await
}

/// The keys of a JSON object.
fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"))
        .keys()
        .map(String::as_str)
        .collect()
}

fn has_keys(value: &Value, wanted: &[&str]) {
    let keys = keys(value);
    let missing: Vec<_> = wanted.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing in {value}");
}

/// Everything of one target in a document.
fn row<'a>(document: &'a Value, target: &str) -> &'a Value {
    let rows = document["targets"].as_array().unwrap();
    rows.iter().find(|row| row["target"] == target).unwrap_or_else(|| panic!("no {target}"))
}

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

fn is_rfc_3339(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_are_0_fine_1_failed_2_usage_and_64_configuration() {
    for usage in [
        &[][..],
        &["nonsense"],
        &["status", "--nonsense"],
        &["explain", "person"],
        &["explain", "person", "x"],
        &["target", "pause"],
        &["target", "pause", "nowhere"],
        &["run", "--roles", "juggler"],
        &["status", "--log-format", "yaml"],
        &["status", "--log-level", "=="],
    ] {
        let ended = ended(bare(usage)).await;
        assert_eq!(ended.code, Some(2), "{usage:?} {ended:?}");
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{usage:?} {ended:?}");
    }
    for help in [&["--help"][..], &["--version"], &["sweep", "--help"]] {
        let ended = ended(bare(help)).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{help:?}");
        assert!(!ended.stdout.is_empty());
    }
    for command in
        [&["status"][..], &["migrate"], &["run"], &["sweep", "outbound"], &["check-config"]]
    {
        let ended = ended(bare(command)).await;
        assert_eq!(ended.code, Some(64), "{command:?} without any configuration: {ended:?}");
        assert!(ended.stderr.contains("database.url"), "{ended:?}");
    }

    let mut rig = Rig::new().await;
    assert_eq!(run(&rig, &["check-config"]).await.code, Some(0));
    assert_eq!(run(&rig, &["status"]).await.code, Some(0));
    assert_eq!(run(&rig, &["status", "--check"]).await.code, Some(0));
    for list in
        [&["dead-letters", "show", "--number", "999999"][..], &["conflicts", "show", "999999"]]
    {
        let unknown = run(&rig, list).await;
        assert_eq!(unknown.code, Some(1), "{unknown:?}");
        assert!(unknown.stderr.contains("999999") && unknown.stdout.is_empty(), "{unknown:?}");
    }
    let unknown = run(&rig, &["dead-letters", "show", "--number", "999999", "--json"]).await;
    assert_eq!((unknown.code, unknown.json()), (Some(1), json!([])), "a program reads a list");
    assert!(unknown.stderr.contains("999999"), "{unknown:?}");
    let unknown = run(&rig, &["explain", "person", "999999"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert_eq!(run(&rig, &["sweep", "outbound", "--target", "mautic"]).await.code, Some(1));
    assert_eq!(run(&rig, &["target", "disable", "tagserver"]).await.code, Some(0));
    let checked = run(&rig, &["status", "--check"]).await;
    assert_eq!(checked.code, Some(1), "a disabled target needs a person: {checked:?}");
    assert_eq!(run(&rig, &["status"]).await.code, Some(0), "unless it is asked to check");

    rig.set("NONSENSE__KEY", "1");
    assert_eq!(run(&rig, &["status"]).await.code, Some(64), "an unknown key");
    rig.settings.remove("EMS_SYNC__NONSENSE__KEY");
    let port = free_port().await;
    rig.set("DATABASE__URL", &format!("postgres://ems:{CANARY}@127.0.0.1:{port}/ems"));
    for command in
        [&["status"][..], &["sweep", "outbound"], &["explain", "person", "1"], &["migrate"]]
    {
        let ended = run(&rig, command).await;
        assert_eq!(ended.code, Some(1), "{command:?} without a database: {ended:?}");
        assert!(!ended.stderr.contains(CANARY) && !ended.stderr.is_empty(), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_tells_every_problem_at_once_and_no_secret() {
    let mut rig = Rig::new().await;
    rig.set("DATABASE__URL", &format!("mysql://ems:{CANARY}@localhost/ems"));
    rig.set("BROKER__URL", &format!("https://ems:{CANARY}@localhost"));
    rig.set("RETRY__MAX_RETRIES", "many");
    rig.set("RETRY__BASE_DELAY", "a while");
    rig.set("SWEEP__OUTBOUND_EVERY", "5");
    rig.set("OPS__LISTEN", "everywhere");
    rig.set("CAPTURE__WAKE", "alarm");
    rig.set("TARGETS__TAGSERVER__BASE_URL", &format!("ftp://{CANARY}@localhost"));
    rig.settings.remove("EMS_SYNC__TARGETS__TAGSERVER__PASSWORD");
    rig.set("TARGETS__TAGSERVER__PASSWORD_FILE", "/nowhere/password");
    rig.set("TARGETS__TAGSERVER__CONCURRENCY", "-1");
    rig.set("TARGETS__TAGSERVER__PASSWRD", CANARY);
    rig.set("TARGETS__TAGSREVER__ENABLED", "true");
    for arguments in [&["check-config"][..], &["check-config", "--json"]] {
        let ended = run(&rig, arguments).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        let told = format!("{}{}", ended.stdout, ended.stderr);
        for key in [
            "database.url",
            "broker.url",
            "retry.max_retries",
            "retry.base_delay",
            "sweep.outbound_every",
            "ops.listen",
            "capture.wake",
            "targets.tagserver.base_url",
            "targets.tagserver.password",
            "/nowhere/password",
            "targets.tagserver.concurrency",
            "targets.tagserver.passwrd",
            "targets.tagsrever",
        ] {
            assert!(told.to_lowercase().contains(key), "{key} is not told: {told}");
        }
        assert!(!told.contains(CANARY), "{told}");
    }
    let json = run(&rig, &["check-config", "--json"]).await.json();
    assert_eq!(json["valid"], false);
    assert!(json["problems"].as_array().unwrap().len() >= 12, "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_to_a_remote_is_a_problem_unless_it_is_allowed() {
    let mut rig = Rig::new().await;
    rig.settings.remove("EMS_SYNC__TARGETS__TAGSERVER__ALLOW_HTTP");
    let ended = run(&rig, &["check-config"]).await;
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("allow_http"), "{ended:?}");
    rig.set("TARGETS__TAGSERVER__ALLOW_HTTP", "true");
    assert_eq!(run(&rig, &["check-config"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_may_come_from_a_file() {
    let mut rig = Rig::new().await;
    let folder = std::env::temp_dir().join(format!("ems-sync-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("password");
    std::fs::write(&file, "ems-sync-password\n").unwrap();
    rig.settings.remove("EMS_SYNC__TARGETS__TAGSERVER__PASSWORD");
    rig.set("TARGETS__TAGSERVER__PASSWORD_FILE", file.to_str().unwrap());
    ems::populate(&rig.ems, 5).await;
    let running = rig.start_all();
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A new database with the reference EMS in it, and without schema `sync`.
async fn unmigrated(rig: &mut Rig) {
    let services = Services::get();
    let admin = connect(&services.database_url).await;
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    admin.batch_execute(&format!("create database {name}")).await.unwrap();
    let (server, _) = services.database_url.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}");
    rig.ems = connect(&url).await;
    for (_, sql) in sql_files("sql/ems") {
        rig.ems.batch_execute(&sql).await.unwrap();
    }
    rig.set("DATABASE__URL", &url);
    rig.url = url;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_may_run_again_and_in_four_processes_at_once() {
    let mut rig = Rig::new().await;
    unmigrated(&mut rig).await;
    let before = run(&rig, &["status"]).await;
    assert_eq!(before.code, Some(1));
    assert!(before.stderr.contains("ems-sync migrate"), "it says what to do: {before:?}");
    rig.exec("insert into ems.organisation (name) values ('There before')").await;

    let four = (0..4).map(|_| run(&rig, &["migrate"]));
    for ended in futures_util::future::join_all(four).await {
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let migrations = "select count(*) from sync.migration";
    let applied = rig.count(migrations).await;
    let again = run(&rig, &["migrate"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(rig.count(migrations).await, applied);

    // It works: what was there before and what comes now arrives.
    let running = rig.start_all();
    rig.exec("insert into ems.organisation (name) values ('New')").await;
    assert_eq!(run(&rig, &["sweep", "outbound"]).await.code, Some(0));
    rig.until("select 2 - count(*) from sync.record where state = 'synced'", "pushed").await;
    assert_eq!(rig.sim.row_count(Resource::Organisation), 2);
    // Also while it runs, and under load.
    ems::populate(&rig.ems, 100).await;
    assert_eq!(run(&rig, &["migrate"]).await.code, Some(0));
    ems::change(&rig.ems, 1).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_document_has_the_form_of_the_design() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 10).await;
    let running = rig.start_all();
    rig.settled().await;
    let ended = run(&rig, &["status", "--json"]).await;
    assert_eq!(ended.stdout.lines().count(), 1, "one document: {ended:?}");
    let document = ended.json();
    let targets: Vec<_> =
        document["targets"].as_array().unwrap().iter().map(|row| row["target"].clone()).collect();
    assert_eq!(
        json!(targets),
        json!(["tagserver", "mautic", "mailchimp", "runsignup", "chatwoot"])
    );
    for row in document["targets"].as_array().unwrap() {
        has_keys(
            row,
            &[
                "target",
                "state",
                "reason",
                "breaker",
                "queues",
                "dead_letters",
                "oldest_unsynced_seconds",
                "last_sweep",
            ],
        );
        assert!(STATES.contains(&row["state"].as_str().unwrap()), "{row}");
        let snake_case = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(row["reason"].as_str().unwrap().chars().all(snake_case), "{row}");
        assert!(
            ["closed", "open", "half_open", "disabled"].contains(&row["breaker"].as_str().unwrap()),
            "{row}"
        );
        has_keys(&row["queues"], &["outbound", "inbound", "retry", "dead"]);
        has_keys(&row["last_sweep"], &["outbound", "inbound"]);
        assert!(row["dead_letters"].is_u64(), "{row}");
    }
    let tagserver = row(&document, "tagserver");
    assert_eq!((&tagserver["state"], &tagserver["breaker"]), (&json!("synced"), &json!("closed")));
    assert!(tagserver["queues"]["outbound"].is_u64() && tagserver["queues"]["inbound"].is_null());
    let oldest = tagserver["oldest_unsynced_seconds"].as_f64().unwrap_or_default();
    assert!(oldest < f64::EPSILON, "{tagserver}");
    assert_eq!(row(&document, "mautic")["state"], "disabled");
    running.stop().await;

    // What is owed has an age, and a sweep has a time.
    rig.exec("update ems.person set last_name = 'Owed'").await;
    let document = run(&rig, &["status", "--json"]).await.json();
    let tagserver = row(&document, "tagserver");
    assert_eq!(tagserver["state"], "pending", "{tagserver}");
    assert!(tagserver["oldest_unsynced_seconds"].as_f64().is_some_and(|age| age >= 0.0));
    assert_eq!(run(&rig, &["sweep", "outbound"]).await.code, Some(0));
    let document = run(&rig, &["status", "--json"]).await.json();
    assert!(is_rfc_3339(&row(&document, "tagserver")["last_sweep"]["outbound"]), "{document}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_is_explained_by_id_email_bib_and_remote_id() {
    let rig = Rig::new().await;
    let running = rig.start_all();
    rig.exec(
        "insert into ems.person (first_name, last_name, email) values ('Thandi', 'Nkosi', 'Thandi@EMS.example');
         insert into ems.organisation (name) values ('Club');
         insert into ems.event (organisation_id, name, start_date_time, timezone)
             select id, 'Event', now(), 'UTC' from ems.organisation;
         insert into ems.event_participant (event_id, person_id, number)
             select e.id, p.id, '0042' from ems.event e, ems.person p",
    )
    .await;
    rig.until("select 4 - count(*) from sync.record where state = 'synced'", "pushed").await;
    let id = rig.count("select id from ems.person").await;
    let participant = rig.count("select id from ems.event_participant").await;
    let remote_id = rig.sim.row(Resource::Person, &id.to_string()).unwrap().id.to_string();
    let by_id = run(&rig, &["explain", "person", &id.to_string(), "--json"]).await.json();
    let of_five = by_id["targets"].as_array().unwrap();
    assert_eq!(of_five.len(), 5, "one row per target: {by_id}");
    for row in of_five {
        has_keys(
            row,
            &[
                "target",
                "entity",
                "id",
                "state",
                "reason",
                "attempts",
                "next",
                "last_push",
                "last_change",
            ],
        );
        assert_eq!((&row["entity"], &row["id"]), (&json!("person"), &json!(id)));
        assert!(STATES.contains(&row["state"].as_str().unwrap()), "{row}");
    }
    let tagserver = row(&by_id, "tagserver");
    assert_eq!(
        (&tagserver["state"], &tagserver["remote_id"]),
        (&json!("synced"), &json!(remote_id))
    );
    assert!(is_rfc_3339(&tagserver["last_push"]), "{tagserver}");
    assert_eq!(tagserver["attempts"].as_array().unwrap().len(), 1, "{tagserver}");

    let email = run(&rig, &["explain", "--email", "thandi@ems.example", "--json"]).await.json();
    assert!(email["targets"].as_array().unwrap().iter().any(|row| row == tagserver), "{email}");
    let remote =
        run(&rig, &["explain", "--remote", "tagserver", &remote_id, "--json"]).await.json();
    assert_eq!(remote, by_id);
    let bib = run(&rig, &["explain", "--bib", "0042", "--json"]).await.json();
    let is_the_registration =
        |row: &Value| row["entity"] == "event_participant" && row["id"] == json!(participant);
    assert!(bib["targets"].as_array().unwrap().iter().all(is_the_registration), "{bib}");
    assert_eq!(bib["targets"].as_array().unwrap().len(), 5, "{bib}");
    running.stop().await;
}

/// Who waits is told of what does not come by itself, and that one of how it is tried now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_what_is_rejected_is_told_so() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into sync.record (target, entity_type, entity_id, owed_gen, state, state_reason, waiting_on, due_on) values
             ('tagserver', 'person', 1, 1, 'rejected', 'rejected', null, 'infinity'),
             ('tagserver', 'tag', 1, 1, 'waiting', 'waiting_for_parent', 'person:1', 'infinity');
         insert into sync.dead_letter (target, entity_type, entity_id, reason) values ('tagserver', 'person', 1, 'rejected')",
    )
    .await;
    let waits = run(&rig, &["explain", "tag", "1", "--json"]).await.json();
    let next = row(&waits, "tagserver")["next"].as_str().unwrap();
    assert!(next.contains("That is rejected, until it changes in the EMS."), "{next}");
    let number = rig.count("select dead_letter_id from sync.dead_letter").await;
    let rejected = run(&rig, &["explain", "person", "1", "--json"]).await.json();
    let next = row(&rejected, "tagserver")["next"].as_str().unwrap();
    assert!(next.contains(&format!("`ems-sync dead-letters replay --number {number}`")), "{next}");
}

/// The same number is worn at one event after the other, and a family has one address: the newest come first, and it is said that
/// there are more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_with_one_bib_or_address_the_newest_are_explained_and_more_is_said() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into ems.organisation (name) values ('Club');
         insert into ems.person (first_name, last_name, email)
             select 'P', n::text, 'family@ems.example' from generate_series(1, 22) n;
         insert into ems.event (organisation_id, name, start_date_time, timezone)
             select o.id, 'Event ' || n, now(), 'UTC' from ems.organisation o, generate_series(1, 21) n;
         insert into ems.event_participant (event_id, person_id, number)
             select e.id, (select min(id) from ems.person), '77' from ems.event e order by e.id",
    )
    .await;
    let newest = rig.count("select max(id) from ems.event_participant").await;
    let bib = run(&rig, &["explain", "--bib", "77", "--json"]).await.json();
    let rows = bib["targets"].as_array().unwrap();
    assert_eq!((rows.len(), &bib["more"]), (20 * 5, &json!(true)), "{bib}");
    assert_eq!(rows[0]["id"], json!(newest), "the newest first");
    let events = bib["events"].as_array().unwrap();
    assert_eq!(events.len(), 20, "{bib}");
    let event = events.iter().find(|event| event["id"] == json!(newest)).unwrap();
    assert_eq!(event["name"], "Event 21");
    let text = run(&rig, &["explain", "--bib", "77"]).await.stdout;
    let first = format!("event_participant {newest} of event {}, Event 21", event["event"]);
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("There are more"), "{text}");

    let email = run(&rig, &["explain", "--email", "family@ems.example", "--json"]).await.json();
    assert_eq!((&email["more"], email["targets"].as_array().unwrap().len()), (&json!(true), 100));
    assert_eq!(email["events"], json!(null), "of a bib only");
    rig.exec("delete from ems.person where last_name in ('21', '22')").await;
    let email = run(&rig, &["explain", "--email", "family@ems.example", "--json"]).await.json();
    assert_eq!((&email["more"], email["targets"].as_array().unwrap().len()), (&json!(false), 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_to_a_target_stand_in_its_state_and_are_harmless_to_repeat() {
    let rig = Rig::new().await;
    let state = async || {
        let document = run(&rig, &["status", "--json"]).await.json();
        let row = row(&document, "tagserver");
        (row["state"].clone(), row["breaker"].clone())
    };
    for (order, expected) in [
        ("pause", "pending"),
        ("pause", "pending"),
        ("resume", "synced"),
        ("disable", "disabled"),
        ("disable", "disabled"),
        ("enable", "synced"),
        ("enable", "synced"),
    ] {
        let ended =
            run(&rig, &["target", order, "tagserver", "--json", "--reason", "race day"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let document = ended.json();
        assert_eq!((&document["target"], &document["order"]), (&json!("tagserver"), &json!(order)));
        let (shown, breaker) = state().await;
        if order != "pause" {
            assert_eq!(shown, expected, "{order}");
        }
        assert_eq!(breaker == "disabled", order == "disable", "{order}");
    }
}

/// On a terminal long work says how far it is; elsewhere standard error stays as it is, and the document is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_work_shows_how_far_it_is_on_a_terminal_and_nowhere_else() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 10).await;
    let running = rig.start_all();
    rig.settled().await;
    for (line, step) in [
        ("verify --target tagserver", "tagserver: reading person"),
        ("resync --target tagserver", "tagserver: owing person"),
        ("sweep outbound", "tagserver: comparing person"),
        ("dead-letters replay --target tagserver", "putting back"),
    ] {
        // `script` gives the command a terminal; both outputs go there.
        let command =
            format!("stty cols 100 rows 30; exec {} {line}", env!("CARGO_BIN_EXE_ems-sync"));
        let mut script = tokio::process::Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).stdin(std::process::Stdio::null());
        script.kill_on_drop(true).env("TERM", "xterm").envs(&rig.settings);
        let shown = ended(script).await;
        assert_eq!(shown.code, Some(0), "{line}: {shown:?}");
        assert!(shown.stdout.contains(step), "{line}: {shown:?}");
        let plain = run(&rig, &line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(plain.code, Some(0), "{line}: {plain:?}");
        assert!(!plain.stderr.contains(step) && !plain.stdout.contains(step), "{line}: {plain:?}");
    }
    running.stop().await;
}

/// A broker that takes connections and says nothing keeps nobody from seeing the rest again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_status_goes_on_without_a_broker_and_says_so() {
    let mut rig = Rig::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.set("BROKER__URL", &format!("amqp://x:y@{}", silent.local_addr().unwrap()));
    let began = tokio::time::Instant::now();
    let mut watch = binary::of(&rig, &["status", "--watch", "--json"]).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(watch.stdout.take().unwrap()));
    for _ in 0..3 {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a document");
        let document: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
        assert_eq!(row(&document, "tagserver")["queues"]["reason"], "broker_unreachable");
        let needs = document["needs_person"].as_array().unwrap();
        assert!(needs.iter().any(|needs| needs["reason"] == "broker_unreachable"), "{document}");
    }
    // As patient as a status that is asked for once, it would have taken more than a minute.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    watch.kill().await.unwrap();
}

/// A watched status comes again and again, one document per line, until it is ended; then its code says nothing of persons.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_status_follows_what_happens_and_a_check_says_whether_a_person_is_needed() {
    let rig = Rig::new().await;
    // Its queues are made once, by whoever comes first, and that takes a while on a slow disk.
    assert_eq!(run(&rig, &["migrate"]).await.code, Some(0));
    let mut watch = binary::of(&rig, &["status", "--watch", "--json"]).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(watch.stdout.take().unwrap()));
    let mut until = async |reason: Option<&str>| {
        let seen = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("a document");
                let document: Value = serde_json::from_str(&line).unwrap();
                let needs = document["needs_person"].as_array().unwrap();
                let is_there = |needs: &Value| Some(needs["reason"].as_str().unwrap()) == reason;
                if needs.is_empty() && reason.is_none() || needs.iter().any(is_there) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("never {reason:?}"));
    };
    until(None).await;
    // What needs a person, how it comes and how it goes.
    for (reason, comes, goes) in [
        (
            "disabled",
            "update sync.target set disabled_on = now(), disabled_reason = 'moving' where target = 'tagserver'",
            "update sync.target set disabled_on = null, disabled_reason = null where target = 'tagserver'",
        ),
        (
            "breaker_open",
            "update sync.target set breaker = 'open' where target = 'tagserver'",
            "update sync.target set breaker = 'closed' where target = 'tagserver'",
        ),
        (
            "dead_letters",
            "insert into sync.dead_letter (target, entity_type, entity_id, reason) values ('tagserver', 'tag', 1, 'transient')",
            "delete from sync.dead_letter",
        ),
        (
            "held",
            "insert into sync.record (target, entity_type, entity_id, owed_gen, state, state_reason, gone)
             values ('tagserver', 'tag', 1, 1, 'held', 'guard', true)",
            "delete from sync.record",
        ),
        (
            "conflicts",
            "insert into sync.conflict (target, entity_type, entity_id, remote_id, reason) values ('tagserver', 'person', 1, 'c', 'unpushed')",
            "delete from sync.conflict",
        ),
        (
            "not_moving",
            "insert into sync.record (target, entity_type, entity_id, owed_gen, state, owed_on, due_on)
             select 'tagserver', 'tag', 1, 1, 'pending', long_ago, long_ago
             from (select clock_timestamp() - interval '1 hour') as t (long_ago)",
            // Something else needed no write.
            "insert into sync.record (target, entity_type, entity_id, state, due_on, settled_on)
             values ('tagserver', 'tag', 2, 'synced', 'infinity', now())",
        ),
        (
            "sweep_silent",
            "insert into sync.duty (duty, target, started_on, first_begun_on)
             values ('sweep_outbound', 'tagserver', now(), now() - interval '1 day')",
            "update sync.duty set owner = gen_random_uuid(), lease_until = now() + interval '1 hour'",
        ),
    ] {
        assert_eq!(run(&rig, &["status", "--check"]).await.code, Some(0), "before {reason}");
        rig.exec(comes).await;
        until(Some(reason)).await;
        let checked = run(&rig, &["status", "--check"]).await;
        assert_eq!(checked.code, Some(1), "{reason}: {checked:?}");
        assert!(checked.stdout.contains(reason), "{checked:?}");
        rig.exec(goes).await;
        until(None).await;
    }
    // A table that is not captured any more, until the triggers are attached again.
    rig.exec("alter table ems.tag disable trigger user").await;
    until(Some("changes_not_captured")).await;
    assert_eq!(run(&rig, &["status", "--check"]).await.code, Some(1));
    assert_eq!(run(&rig, &["migrate"]).await.code, Some(0));
    until(None).await;
    signal(&watch, "INT").await;
    let code = tokio::time::timeout(PATIENCE, watch.wait()).await.expect("ends").unwrap().code();
    assert_eq!(code, Some(0));
}

/// `ems-sync status | head -0`: the reader has gone before anything is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_is_no_panic() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 10).await;
    let running = rig.start_all();
    rig.settled().await;
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--watch", "--json"],
        &["explain", "person", "1"],
        &["check-config"],
        &["sweep", "outbound"],
        &["migrate"],
        &["target", "resume", "tagserver"],
        &["--help"],
    ] {
        let mut child = binary::of(&rig, arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        let reading = child.stderr.as_mut().unwrap().read_to_string(&mut stderr);
        tokio::time::timeout(PATIENCE, reading).await.expect("ends").unwrap();
        let code = child.wait().await.unwrap().code();
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
        assert!(matches!(code, Some(0 | 1)), "{arguments:?}: {code:?} {stderr}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoints_tell_life_readiness_and_metrics() {
    let mut rig = Rig::new().await;
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    rig.set("OPS__TOKEN", CANARY);
    ems::populate(&rig.ems, 10).await;
    let mut worker = binary::of(&rig, &["run"]).spawn().unwrap();
    let ready = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while !matches!(get(port, "/readyz", None).await, Some((200, _))) {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("becomes ready");
    rig.settled().await;
    assert_eq!(get(port, "/livez", None).await.unwrap().0, 200);
    let (status, metrics) = get(port, "/metrics", None).await.unwrap();
    assert_eq!(status, 200);
    for name in [
        "outbox_rows",
        "outbox_oldest_seconds",
        "queue_messages",
        "deliveries_total",
        "push_seconds",
        "freshness_seconds",
        "oldest_unsynced_seconds",
        "breaker_state",
        "dead_letters",
    ] {
        assert!(metrics.contains(&format!("\nems_sync_{name}")), "{name} is missing:\n{metrics}");
    }
    let pushed = metrics.lines().any(|line| {
        line.starts_with("ems_sync_deliveries_total")
            && [
                "target=\"tagserver\"",
                "entity=\"person\"",
                "decision=\"create\"",
                "outcome=\"pushed\"",
            ]
            .iter()
            .all(|label| line.contains(label))
    });
    assert!(pushed, "{metrics}");
    let strays: Vec<_> = metrics
        .lines()
        .skip_while(|line| !line.is_empty())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter(|line| !line.starts_with("ems_sync_") && !line.starts_with("target_info"))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");

    // The API shows the documents of the command line to whoever has the token.
    assert_eq!(get(port, "/api/v1/status", None).await.unwrap().0, 401);
    assert_eq!(get(port, "/api/v1/status", Some("wrong")).await.unwrap().0, 401);
    let (status, answer) = get(port, "/api/v1/status", Some(CANARY)).await.unwrap();
    assert_eq!(status, 200);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let document: Value = serde_json::from_str(body).unwrap();
    let told = run(&rig, &["status", "--json"]).await.json();
    assert_eq!(keys(row(&document, "tagserver")), keys(row(&told, "tagserver")));
    assert_eq!(get(port, "/nowhere", Some(CANARY)).await.unwrap().0, 404);

    signal(&worker, "TERM").await;
    let end = tokio::time::timeout(PATIENCE, worker.wait()).await.expect("stops").unwrap();
    assert_eq!(end.code(), Some(0));
    assert!(get(port, "/livez", None).await.is_none(), "nobody listens any more");
}

/// Without a token there is no API; without the ops role there are no endpoints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_asked_for_is_not_open() {
    let mut rig = Rig::new().await;
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    let worker = binary::of(&rig, &["run", "--roles", "ops"]).spawn().unwrap();
    let listens = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while get(port, "/livez", None).await.is_none() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.expect("listens");
    for token in [None, Some(""), Some("anything")] {
        assert_eq!(get(port, "/api/v1/status", token).await.unwrap().0, 404);
    }
    // The port is taken: a second process says so and ends.
    let second = run(&rig, &["run", "--roles", "ops"]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("ops.listen"), "{second:?}");
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn global_flags_stand_before_and_after_the_subcommand() {
    let rig = Rig::new().await;
    let folder = std::env::temp_dir().join(format!("ems-sync-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("ems-sync.toml");
    let text = format!(
        "[database]\nurl = \"{}\"\n[broker]\nurl = \"{}\"\n",
        rig.url, rig.services.amqp_url
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        ["--config", file, "check-config", "--json"],
        ["check-config", "--config", file, "--json"],
        ["check-config", "--json", "--config", file],
    ] {
        let ended = ended(bare(&arguments)).await;
        assert_eq!(ended.code, Some(0), "{arguments:?} {ended:?}");
        assert_eq!(ended.json()["valid"], true);
    }
    let mut command = bare(&["check-config", "--json"]);
    command.env("EMS_SYNC_CONFIG", file);
    assert_eq!(ended(command).await.code, Some(0));
    // Logs are JSON, on standard error, wherever the flag stands.
    for arguments in [
        ["--log-format", "json", "--config", "/nowhere.toml", "status"],
        ["status", "--log-format", "json", "--config", "/nowhere.toml"],
    ] {
        let ended = ended(bare(&arguments)).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stdout.is_empty());
        for line in ended.stderr.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

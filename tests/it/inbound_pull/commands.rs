//! The commands, by the real binary: `sweep inbound` against the simulated Chatwoot, killed at every point of a page, and
//! `conflicts`.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot, ChatwootOptions, Resource};
use serde_json::{Value, json};

use crate::support::binary::{self, Ended, ended};
use crate::support::rig::Rig;

/// A Chatwoot with this many contacts.
async fn with_contacts(contacts: i64) -> (Rig, Simulator<Chatwoot>) {
    let mut rig = Rig::new().await;
    let mut options = ChatwootOptions::default();
    options.settings.safelisted = true;
    let token = options.token.clone();
    let sim = Chatwoot::start(options).await.unwrap();
    for n in 1..=contacts {
        // Made long before the walk: one that is made while it begins may be one more than there were.
        let row = json!({"name": format!("Runner {n}"), "email": format!("runner{n}@ems.example"),
                         "created_at": 1_700_000_000 + n});
        sim.plant(Resource::Contact, row).unwrap();
    }
    rig.set("TARGETS__TAGSERVER__ENABLED", "false");
    rig.set("TARGETS__CHATWOOT__ENABLED", "true");
    rig.set("TARGETS__CHATWOOT__BASE_URL", &sim.base_url());
    rig.set("TARGETS__CHATWOOT__ALLOW_HTTP", "true");
    rig.set("TARGETS__CHATWOOT__API_TOKEN", &token);
    rig.set("TARGETS__CHATWOOT__ACCOUNT_ID", "1");
    rig.set("TARGETS__CHATWOOT__TIMEOUT", "5s");
    (rig, sim)
}

async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    ended(binary::of(rig, arguments)).await
}

fn stream<'a>(document: &'a Value, name: &str) -> &'a Value {
    let streams = document["targets"][0]["streams"].as_array().unwrap();
    streams.iter().find(|one| one["stream"] == name).unwrap_or_else(|| panic!("{document}"))
}

const PERSONS: &str =
    "select count(*) from sync.inbox where entity_type = 'person' and state = 'pending'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_on_demand_reads_everything_and_says_what_it_found() {
    let (rig, _sim) = with_contacts(40).await;
    let swept = run(&rig, &["sweep", "inbound", "--json"]).await;
    assert_eq!(swept.code, Some(0), "{swept:?}");
    let document = swept.json();
    let contacts = stream(&document, "contacts");
    assert_eq!(
        (&contacts["taken_in"], &contacts["missing"]),
        (&json!(40), &json!(0)),
        "{document}"
    );
    assert_eq!(document["targets"][0]["target"], "chatwoot");
    assert_eq!(rig.count(PERSONS).await, 40);
    let status = run(&rig, &["status", "--json"]).await.json();
    let rows = status["targets"].as_array().unwrap();
    let row = rows.iter().find(|row| row["target"] == "chatwoot").unwrap();
    assert!(row["last_sweep"]["inbound"].is_string(), "{row}");
    assert_eq!(row["inbound"]["pending"], 40);
    assert_eq!(row["queues"]["inbound"], 40);
    let text = run(&rig, &["sweep", "inbound", "--target", "chatwoot"]).await;
    assert!(text.stdout.contains("contacts"), "{text:?}");
    assert_eq!(run(&rig, &["sweep", "inbound", "--accept-missing"]).await.code, Some(2));
    assert_eq!(run(&rig, &["sweep", "inbound", "--target", "mautic"]).await.code, Some(1));
    let audited =
        "select count(*) from sync.audit where event = 'missing_accepted' and target = 'chatwoot'";
    assert_eq!(rig.count(audited).await, 0);
    let accepting = ["sweep", "inbound", "--target", "chatwoot", "--accept-missing"];
    assert_eq!(run(&rig, &accepting).await.code, Some(0));
    assert_eq!(rig.count(audited).await, 1);
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_between_page_and_cursor_changes_nothing() {
    for (point, pages_stored) in
        [("pull.read", [0, 1]), ("pull.taken_in", [0, 1]), ("pull.stored", [1, 2])]
    {
        for (passes, pages) in [(0, pages_stored[0]), (1, pages_stored[1])] {
            let (rig, _sim) = with_contacts(40).await;
            let mut command = binary::of(&rig, &["sweep", "inbound", "--json"]);
            let first = if passes > 0 { format!("{passes}*off->") } else { String::new() };
            command.env("FAILPOINTS", format!("{point}={first}return"));
            let died = ended(command).await;
            assert_eq!(died.code, None, "{point}: {died:?}");
            assert!(died.stderr.contains(point), "{died:?}");
            let seen = rig.count("select count(*) from sync.walk_seen").await;
            assert_eq!(seen, pages * 15, "{point}: a page is stored whole or not at all");
            assert_eq!(rig.count(PERSONS).await, seen, "{point}");
            let position =
                rig.count("select count(*) from sync.cursor where position is not null").await;
            assert_eq!(
                position,
                i64::from(pages > 0),
                "{point}: the position is that of what is stored"
            );
            assert_eq!(
                rig.count("select count(*) from sync.cursor where full_on is not null").await,
                0
            );

            // Its leases run out, and the next one comes to the end.
            rig.exec("update sync.cursor set walker_until = now(); update sync.duty set lease_until = now()").await;
            let swept = run(&rig, &["sweep", "inbound", "--json"]).await;
            assert_eq!(swept.code, Some(0), "{swept:?}");
            assert_eq!(rig.count(PERSONS).await, 40, "{point}");
        }
    }
}

/// A conflict in which the EMS has won, and one of which nobody knows whose it is.
const CONFLICTS: &str = r#"
    insert into ems.person (id, first_name, last_name, email) values (5, 'Thandi', 'Nkosi', 't@ems.example');
    insert into sync.conflict (target, entity_type, entity_id, remote_id, reason, fields) values
        ('chatwoot', 'person', 5, '42', 'ems_newer',
         '[{"field": "name", "ems_value": "Thandi Nkosi", "remote_value": "canary-conflict"}]');
    insert into sync.conflict (target, entity_type, remote_id, reason, candidates)
        values ('chatwoot', 'person', '43', 'ambiguous', '{5,6}')"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_listed_shown_and_decided() {
    let (rig, _sim) = with_contacts(0).await;
    assert_eq!(run(&rig, &["conflicts", "list", "--json"]).await.json(), json!([]));
    rig.exec(CONFLICTS).await;
    let list = run(&rig, &["conflicts", "list", "--json"]).await.json();
    let numbers: Vec<_> = list.as_array().unwrap().iter().map(|row| &row["conflict"]).collect();
    assert_eq!(numbers, [2, 1]);
    let first = &list[1];
    assert_eq!(
        json!([first["target"], first["entity"], first["id"], first["state"], first["reason"]]),
        json!(["chatwoot", "person", 5, "held", "ems_newer"])
    );
    assert_eq!(
        first["fields"],
        json!([{"field": "name", "ems_value": "Thandi Nkosi", "remote_value": "canary-conflict"}])
    );
    let shown = run(&rig, &["conflicts", "show", "1"]).await;
    assert!(
        shown.stdout.contains("canary-conflict") && !shown.stderr.contains("canary"),
        "{shown:?}"
    );
    assert_eq!(run(&rig, &["conflicts", "show", "9"]).await.code, Some(1));
    assert_eq!(run(&rig, &["status", "--check"]).await.code, Some(1), "conflicts need a person");

    let undecided = run(&rig, &["conflicts", "adopt", "2", "--json"]).await;
    assert_eq!((undecided.code, &undecided.json()["reason"]), (Some(1), &json!("no_candidate")));
    let dismissed = run(&rig, &["conflicts", "dismiss", "1", "--json"]).await;
    assert_eq!((dismissed.code, &dismissed.json()["outcome"]), (Some(0), &json!("dismissed")));
    let again = run(&rig, &["conflicts", "dismiss", "1", "--json"]).await;
    assert_eq!((again.code, &again.json()["reason"]), (Some(1), &json!("not_open")));
    let left = run(&rig, &["conflicts", "list", "--target", "chatwoot", "--json"]).await.json();
    assert_eq!(left.as_array().unwrap().len(), 1);
    let all = run(&rig, &["conflicts", "list", "--closed", "--json"]).await.json();
    assert_eq!((&all[1]["outcome"], &all[1]["state"]), (&json!("dismissed"), &json!("synced")));
    assert_eq!(run(&rig, &["conflicts", "adopt"]).await.code, Some(2));
}

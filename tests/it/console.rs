//! The console: what it shows can do nothing, what it does is written down or not done, and who may only read sees no button.

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::process::Role;
use ems_sync_remotes::{Fault, Rule};
use serde_json::json;

use crate::support::binary::{free_port, get};
use crate::support::browser::{Browser, Page};
use crate::support::parity::assert_in_sync;
use crate::support::rig::{PATIENCE, Rig, Running};

mod slow;

pub(crate) const TOKEN: &str = "token-of-the-operators";
const READ_TOKEN: &str = "token-of-the-readers";
/// What a remote, or whoever writes to its fields, may say.
const CANARY: &str = r#"</td><script>alert("c4n4ry")</script>"><img src=x onerror='alert(1)'>"#;

/// A system whose console is open, but not served yet.
pub(crate) async fn with_console() -> (Rig, u16) {
    let mut rig = Rig::new().await;
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    rig.set("OPS__TOKEN", TOKEN);
    rig.set("OPS__READ_TOKEN", READ_TOKEN);
    (rig, port)
}

/// Serves the console and nothing else: whatever stands, stands still.
pub(crate) async fn served(rig: &Rig, port: u16) -> Running {
    let running = rig.start(&[Role::Ops]);
    let listens = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        while get(port, "/livez", None).await.is_none() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.expect("listens");
    running
}

/// Persons whom the remote refuses, until each has a dead letter; the ids of the letters.
pub(crate) async fn dead_letters(rig: &Rig, n: i64) -> Vec<i64> {
    let fault = Fault::Status {
        code: 400,
        headers: Vec::new(),
        body: Some(json!({"message": "error.validation"})),
        applied: false,
    };
    rig.sim.faults().push(Rule::new(fault).writes().unlimited());
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select 'Dead', 'Letter ' || n from generate_series(1, {n}) n"
    ))
    .await;
    let opened = format!("select {n} - count(*) from sync.dead_letter where closed_on is null");
    rig.until(&opened, "opened").await;
    rig.sim.faults().clear();
    let rows = rig.ems.query("select dead_letter_id from sync.dead_letter order by 1", &[]);
    rows.await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// An open conflict at a target that is not turned on: nobody but the test decides about it.
async fn conflict(rig: &Rig, entity_id: i64) -> i64 {
    rig.count(&format!(
        "with one as (insert into sync.conflict (target, entity_type, entity_id, remote_id, reason, fields)
             values ('chatwoot', 'person', {entity_id}, 'c{entity_id}', 'unpushed',
                     '[{{\"field\": \"city\", \"ems_value\": \"Soweto\", \"remote_value\": \"Umlazi\"}}]')
             returning conflict_id)
         select conflict_id from one"
    ))
    .await
}

/// The page with the form, where it is sent to, and its fields.
type Action<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// As text what would be markup, and nothing that a browser could run.
fn assert_inert(page: &Page, shows: bool) {
    let body = &page.body;
    assert_eq!(page.status, 200, "{page:?}");
    for markup in ["<script", "<img"] {
        assert!(!body.contains(markup), "{markup}: {body}");
    }
    assert!(!shows || body.contains("&lt;script&gt;alert(&quot;c4n4ry&quot;)"), "{body}");
    let policy = page.headers.lines().find(|line| line.starts_with("content-security-policy: "));
    let policy = policy.expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_remote_says_is_shown_and_runs_nothing() {
    let (rig, port) = with_console().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    let letters = dead_letters(&rig, 1).await;
    running.stop().await;
    let person = rig.count("select max(id) from ems.person").await;
    let number = conflict(&rig, person).await;
    let said = CANARY.replace('\'', "''");
    rig.exec(&format!(
        "update sync.dead_letter set error = '{said}';
         update sync.record set last_error = '{said}', remote_id = '{said}';
         update sync.attempt set error = '{said}';
         update sync.target set disabled_on = now(), disabled_reason = '{said}' where target = 'tagserver';
         insert into sync.target_event (target, version, event, reason, by) values ('tagserver', 9, 'disable', '{said}', '{said}');
         update sync.conflict set remote_id = '{said}', fields =
             jsonb_build_array(jsonb_build_object('field', '{said}', 'ems_value', '{said}', 'remote_value', jsonb_build_object('a', '{said}')))"
    ))
    .await;
    let running = served(&rig, port).await;
    let mut browser = Browser::logged_in(port, TOKEN, CANARY).await;
    for (path, shows) in [
        ("/".to_owned(), true),
        ("/dead-letters".to_owned(), true),
        (format!("/dead-letters/{}", letters[0]), true),
        (format!("/dead-letters?error={}", "%3Cscript%3E%22%3E%3Cimg%20src%3Dx%3E"), true),
        (format!("/explain/person/{person}"), true),
        ("/conflicts".to_owned(), true),
        (format!("/conflicts/{number}"), true),
        ("/holds".to_owned(), true),
        ("/audit".to_owned(), true),
    ] {
        // The name of whoever looks stands on each page.
        assert_inert(&browser.get(&path).await, shows);
    }
    let found = browser.submit("/", "/search", &[("what", CANARY)]).await;
    assert_inert(&found, true);
    // Nor does it get into a header, or into the login form.
    let refused = Browser::new(port).get("/dead-letters?%22%3E%3Cscript%3E=1").await;
    assert_eq!(refused.status, 401);
    assert!(!refused.body.contains("<script"), "{refused:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_click_puts_a_dead_letter_back_or_discards_it_and_who_did_it_is_written_down() {
    let (rig, port) = with_console().await;
    let running = rig.start(&[Role::Relay, Role::Consume, Role::Ops]);
    let letters = dead_letters(&rig, 3).await;
    let mut browser = Browser::logged_in(port, TOKEN, "Thandi").await;
    let last = letters[2].to_string();
    let page =
        browser.submit("/dead-letters", "/dead-letters/discard", &[("numbers", &last)]).await;
    assert!(page.body.contains("1 dead letter was discarded."), "{page:?}");
    assert!(!page.body.contains(&format!("/dead-letters/{last}\"")), "{page:?}");
    assert!(!browser.get("/dead-letters").await.body.contains("was discarded"), "it is said once");

    let both = format!("{},{}", letters[0], letters[1]);
    let page = browser.submit("/dead-letters", "/dead-letters/replay", &[("numbers", &both)]).await;
    assert!(page.body.contains("2 dead letters were put back."), "{page:?}");
    rig.until("select count(*) from sync.dead_letter where closed_on is null", "home").await;
    let again = format!("/dead-letters/{}", letters[0]);
    assert!(browser.get(&again).await.body.contains("resolved"));
    let written = "select count(*) from sync.operator_event e where by = 'console, Thandi' and database_role = session_user
                   and exists (select from sync.dead_letter d where d.dead_letter_id = e.number and d.entity_id = e.entity_id)";
    assert_eq!(rig.count(written).await, 3);
    let replayed = format!("{written} and event = 'dead_letter_replayed'");
    assert_eq!(rig.count(&replayed).await, 2);
    let page = browser.get("/audit").await;
    assert!(
        page.body.contains("dead letter replayed") && page.body.contains("console, Thandi"),
        "{page:?}"
    );

    // What was discarded comes with its next change.
    rig.exec("update ems.person set last_name = last_name || '!'").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_is_found_and_explained_and_what_was_typed_is_in_no_address() {
    let (rig, port) = with_console().await;
    let running = rig.start(&[Role::Relay, Role::Consume, Role::Ops]);
    rig.exec("insert into ems.person (first_name, last_name, email) values ('Thandi', 'Nkosi', 'thandi@ems.example')").await;
    rig.settled().await;
    let id = rig.count("select id from ems.person").await;
    let mut browser = Browser::logged_in(port, READ_TOKEN, "").await;
    for what in ["thandi@ems.example", &format!("person {id}")] {
        let page = browser.submit("/", "/search", &[("what", what)]).await;
        assert!(page.body.contains(&format!("person {id}")), "{what}: {page:?}");
        assert!(page.body.contains("synced") && page.body.contains("not enabled"), "{page:?}");
        assert!(
            !page.body.contains("ems.example") && !page.headers.contains("ems.example"),
            "{page:?}"
        );
    }
    let page = browser.submit("/", "/search", &[("what", "nobody@ems.example")]).await;
    assert!(page.body.contains("Nothing is known by that."), "{page:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_sees_everything_and_no_button() {
    let (rig, port) = with_console().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    let letters = dead_letters(&rig, 1).await;
    running.stop().await;
    let number = conflict(&rig, 1).await;
    rig.exec("update sync.record set state = 'held', state_reason = 'guard', gone = true, due_on = 'infinity'").await;
    let running = served(&rig, port).await;
    let mut reader = Browser::logged_in(port, READ_TOKEN, "Sipho").await;
    let mut operator = Browser::logged_in(port, TOKEN, "Thandi").await;
    let pages = [
        ("/".to_owned(), "/targets/tagserver/orders"),
        ("/dead-letters".to_owned(), "/dead-letters/replay"),
        (format!("/dead-letters/{}", letters[0]), "/dead-letters/discard"),
        ("/holds".to_owned(), "/holds/tagserver/decision"),
        (format!("/conflicts/{number}"), "/conflicts/"),
    ];
    for (path, action) in pages {
        let action = format!("action=\"{action}");
        let (read, operated) = (reader.get(&path).await, operator.get(&path).await);
        assert_eq!((read.status, operated.status), (200, 200), "{path}");
        assert!(operated.body.contains(&action), "{path}: {operated:?}");
        assert!(
            !read.body.contains(&action) && read.body.contains("read-only"),
            "{path}: {read:?}"
        );
    }
    let left = reader.submit("/", "/logout", &[]).await;
    assert!(left.body.contains("Token"), "{left:?}");
    assert_eq!(reader.get("/").await.status, 401);
    running.stop().await;
}

/// Every table of the audit trail refuses: nothing is done. It takes them again: the same is done, with one line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_without_its_line_of_the_audit_trail_is_not_done() {
    let (rig, port) = with_console().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    let letters = dead_letters(&rig, 2).await;
    rig.exec("insert into ems.person (first_name, last_name) select 'Held', n::text from generate_series(1, 3) n").await;
    rig.until("select 3 - count(*) from sync.record where state = 'synced'", "pushed").await;
    running.stop().await;
    rig.exec(
        "update sync.record set state = 'held', state_reason = 'guard', gone = true, due_on = 'infinity', owed_gen = owed_gen + 1
         where state = 'synced'",
    )
    .await;
    let (adopted, dismissed) = (conflict(&rig, 1).await, conflict(&rig, 2).await);
    let running = served(&rig, port).await;
    let mut browser = Browser::logged_in(port, TOKEN, "Thandi").await;
    let (first, second) = (letters[0].to_string(), letters[1].to_string());
    let adopt = format!("/conflicts/{adopted}/adopt");
    let dismiss = format!("/conflicts/{dismissed}/dismiss");
    let on_adopted = format!("/conflicts/{adopted}");
    let on_dismissed = format!("/conflicts/{dismissed}");
    let orders = "/targets/tagserver/orders";
    let decision = "/holds/tagserver/decision";
    let rejection = [("order", "reject")];
    let approval = [("order", "approve_kept"), ("sure", "yes")];
    let actions: [Action<'_>; 8] = [
        ("/", orders, &[("order", "pause")]),
        ("/dead-letters", "/dead-letters/replay", &[("numbers", &first)]),
        ("/dead-letters", "/dead-letters/discard", &[("numbers", &second)]),
        (&on_adopted, &adopt, &[("anyway", "yes")]),
        (&on_dismissed, &dismiss, &[]),
        ("/holds", decision, &rejection),
        ("/holds", decision, &approval),
        ("/", orders, &[("order", "resume")]),
    ];
    let stands = "select string_agg(t::text, ' | ' order by t::text) from (
        select concat_ws(' ', 'record', entity_id, state, state_reason, owed_gen, delete_verdict) as t from sync.record
        union all select concat_ws(' ', 'letter', dead_letter_id, replayed_on, closed_on) from sync.dead_letter
        union all select concat_ws(' ', 'conflict', conflict_id, closed_on) from sync.conflict
        union all select concat_ws(' ', 'person', id, city) from ems.person
        union all select concat_ws(' ', 'target', target, version, paused_on) from sync.target) t";
    let tables = ["operator_event", "guard_decision", "target_event"];
    for (page, path, fields) in actions {
        let before: String = rig.ems.query_one(stands, &[]).await.unwrap().get(0);
        for table in tables {
            rig.exec(&format!(
                "alter table sync.{table} add constraint no check (false) not valid"
            ))
            .await;
        }
        let refused = browser.submit(page, path, fields).await;
        assert_eq!(refused.status, 503, "{path} {fields:?}: {refused:?}");
        let after: String = rig.ems.query_one(stands, &[]).await.unwrap().get(0);
        assert_eq!(after, before, "{path} {fields:?}");
        for table in tables {
            rig.exec(&format!("alter table sync.{table} drop constraint no")).await;
        }
        let lines = "select count(*) from sync.audit where by = 'console, Thandi'";
        let lines_before = rig.count(lines).await;
        let done = browser.submit(page, path, fields).await;
        assert_eq!(done.status, 200, "{path} {fields:?}: {done:?}");
        let after: String = rig.ems.query_one(stands, &[]).await.unwrap().get(0);
        assert_ne!(after, before, "{path} {fields:?}: {done:?}");
        assert_eq!(rig.count(lines).await, lines_before + 1, "{path} {fields:?}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_shown_with_what_it_loses_and_decided_as_it_was_seen() {
    let (rig, port) = with_console().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    rig.exec(
        "insert into ems.person (first_name, last_name, date_of_birth)
             select 'Held', n::text, '1987-06-05' from generate_series(1, 4) n",
    )
    .await;
    rig.settled().await;
    running.stop().await;
    rig.exec(
        "update ems.person set date_of_birth = null where id = (select min(id) from ems.person);
         delete from ems.person where id = (select max(id) from ems.person);
         delete from sync.outbox;
         update sync.record r set owed_gen = owed_gen + 1, owed_on = now(), state = 'held', state_reason = 'guard', due_on = 'infinity',
             gone = not exists (select from ems.person p where p.id = r.entity_id),
             lessens = exists (select from ems.person p where p.id = r.entity_id)
         where entity_id in ((select min(entity_id) from sync.record), (select max(entity_id) from sync.record))",
    )
    .await;
    let running = served(&rig, port).await;
    let mut browser = Browser::logged_in(port, TOKEN, "Thandi").await;
    let page = browser.get("/holds").await;
    assert!(page.body.contains("to be deleted at tagserver"), "{page:?}");
    assert!(page.body.contains("to lose consents or fields at tagserver"), "{page:?}");
    assert!(page.body.contains("date of birth") && page.body.contains("Approve 2"), "{page:?}");
    assert!(!page.body.contains("1987"), "names of fields, no values: {page:?}");
    let listed = rig.run(&["target", "approve", "tagserver", "--dry-run", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed.1).unwrap();
    assert_eq!(listed["undecided"], 2, "{listed}");
    assert_eq!(listed["seen"].as_str(), page.hidden("seen"), "{listed}");
    let loses: Vec<_> =
        listed["rows"].as_array().unwrap().iter().map(|row| &row["loses"]).collect();
    assert!(loses.contains(&&json!(["date_of_birth"])), "{listed}");

    let decision = "/holds/tagserver/decision";
    let held = "select count(*) from sync.record where state = 'held' and state_reason = 'guard'";
    let unsure = [("order", "approve"), ("sure", "no")];
    let answer = browser.submit("/holds", decision, &unsure).await;
    assert!(answer.body.contains("it was not looked at"), "{answer:?}");
    assert_eq!(rig.count(held).await, 2);
    let sure = [("order", "approve"), ("sure", "yes")];
    // As many, and one is another one: not what the page showed.
    let hold = async |which: i64, more: i64| {
        rig.exec(&format!(
            "update sync.record set state = 'synced', state_reason = null, gone = false, owed_gen = done_gen where not lessens;
             update sync.record set state = 'held', state_reason = 'guard', gone = true, owed_gen = done_gen + {more}
             where not lessens and entity_id = (select entity_id from sync.record where not lessens order by 1 offset {which} limit 1)"
        ))
        .await;
        assert_eq!(rig.count(held).await, 2);
    };
    for ((which, more), order) in
        [((1, 1), "approve"), ((1, 2), "reject"), ((0, 1), "approve_kept")]
    {
        hold(which, more).await;
        let fields = [("order", order), ("sure", "yes")];
        let answer = browser.submit_as_seen(&page, decision, &fields).await;
        assert!(
            answer.body.contains("something that was looked at has changed at `tagserver`"),
            "{answer:?}"
        );
        assert!(answer.body.contains("Approve 2"), "the new hold is shown: {answer:?}");
        assert_eq!(rig.count(held).await, 2, "{order}");
        assert_eq!(rig.count("select count(*) from sync.guard_decision").await, 0, "{order}");
    }
    let answer = browser.submit("/holds", decision, &sure).await;
    assert!(answer.body.contains("1 delete is sent"), "{answer:?}");
    assert!(answer.body.contains("1 record that loses consents or fields is pushed"), "{answer:?}");
    assert_eq!(rig.count(held).await, 0);
    let entity =
        EntityRef::new(EntityType::Person, rig.count("select min(id) from ems.person").await);
    assert_eq!(rig.state_of(entity).await.as_deref(), Some("pending"));
    running.stop().await;
}

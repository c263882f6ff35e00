//! What takes long: actions run to their end and leave a trace if they come to nothing, and questions keep nobody else out.

use std::time::Duration;

use super::{TOKEN, served, with_console};
use crate::support::binary::get;
use crate::support::browser::{Browser, Page};
use crate::support::rig::{PATIENCE, Rig};

const DECISION: &str = "/holds/tagserver/decision";

/// Whoever reads the persons' projection waits from now on, until it is opened.
async fn close(rig: &Rig) {
    rig.exec(
        "create table ems.opened (opened_on timestamptz not null);
         create function ems.wait_until_opened() returns boolean language plpgsql volatile as $body$
         begin
             while not exists (select from ems.opened o where o.opened_on <= clock_timestamp()) loop
                 perform pg_sleep(0.02);
             end loop;
             return true;
         end $body$;
         create or replace view sync.tagserver_person as
         select p.id, p.modified_on, '{}'::text[] as parents, p.first_name, p.last_name, p.date_of_birth, p.gender
         from ems.person p
         where ems.wait_until_opened()",
    )
    .await;
}

/// Opens it, so many seconds from now.
async fn open(rig: &Rig, in_seconds: u32) {
    rig.exec(&format!(
        "insert into ems.opened select clock_timestamp() + interval '{in_seconds} s'"
    ))
    .await;
}

/// Waits until so many sessions wait there.
async fn until_waiting(rig: &Rig, n: i64) {
    rig.until(
        &format!(
            "select greatest(0, {n} - count(*)) from pg_stat_activity
             where datname = current_database() and application_name like 'ems-sync%' and wait_event = 'PgSleep'"
        ),
        "waiting",
    )
    .await;
}

/// A person whose date of birth the guard holds back, and whoever reads them waits.
async fn held_and_closed(rig: &Rig) {
    rig.exec(
        "insert into ems.person (first_name, last_name) values ('Held', 'Back');
         delete from sync.outbox;
         insert into sync.record (target, entity_type, entity_id, owed_gen, owed_on, last_owed_on, cause, lane, state, state_reason,
                                  due_on, remote_id, holds, lessens)
         select 'tagserver', 'person', p.id, 1, now(), now(), 'change', 'live', 'held', 'guard', 'infinity', '1', '{date_of_birth}', true
         from ems.person p",
    )
    .await;
}

async fn submitted(browser: &mut Browser, page: &Page, order: &str) -> Page {
    browser.submit_as_seen(page, DECISION, &[("order", order), ("sure", "yes")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_goes_on_and_is_refused_then_is_in_the_audit_trail() {
    let (rig, port) = with_console().await;
    held_and_closed(&rig).await;
    let running = served(&rig, port).await;
    let mut browser = Browser::logged_in(port, TOKEN, "Thandi").await;
    let page = browser.get("/holds").await;
    // By the time that it is decided, they lose more.
    rig.exec("update sync.record set holds = '{date_of_birth,gender}'").await;
    close(&rig).await;
    let answer = submitted(&mut browser, &page, "approve").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    open(&rig, 0).await;
    let noted = "select 1 - count(*) from sync.operator_event";
    rig.until(noted, "noted").await;
    let noted = "select count(*) from sync.audit
                 where event = 'action_refused' and target = 'tagserver' and by = 'console, Thandi'
                   and detail = 'holds decision: what was looked at has changed'";
    assert_eq!(rig.count(noted).await, 1);
    assert_eq!(rig.count("select count(*) from sync.guard_decision").await, 0);
    let log = browser.get("/audit").await;
    assert!(log.body.contains("action refused") && log.body.contains("has changed"), "{log:?}");

    // One that is answered in time says so itself.
    let answer = submitted(&mut browser, &page, "reject").await;
    assert!(
        answer.body.contains("something that was looked at has changed at `tagserver`"),
        "{answer:?}"
    );
    assert_eq!(rig.count("select count(*) from sync.operator_event").await, 1);
    running.stop().await;
}

/// The stop comes while it is under way, and it takes longer than open requests are waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_is_under_way_at_a_stop_is_done_before_the_process_ends() {
    let (rig, port) = with_console().await;
    held_and_closed(&rig).await;
    let running = served(&rig, port).await;
    let mut browser = Browser::logged_in(port, TOKEN, "Thandi").await;
    let page = browser.get("/holds").await;
    close(&rig).await;
    let answer = submitted(&mut browser, &page, "approve").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    until_waiting(&rig, 1).await;
    open(&rig, 10).await;
    running.stop().await;
    let decided = "select count(*) from sync.guard_decision where decision = 'approved'";
    assert_eq!(rig.count(decided).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_hang_leave_connections_and_are_told_to_come_later() {
    const ASKED: usize = 12;
    let (rig, port) = with_console().await;
    held_and_closed(&rig).await;
    let running = served(&rig, port).await;
    let person = rig.count("select min(id) from ems.person").await;
    close(&rig).await;
    let (tell, mut told) = tokio::sync::mpsc::channel(ASKED);
    for _ in 0..ASKED {
        let tell = tell.clone();
        tokio::spawn(async move {
            let path = format!("/api/v1/explain/person/{person}");
            let answer = get(port, &path, Some(TOKEN)).await.expect("an answer");
            tell.send(answer).await.ok();
        });
    }
    drop(tell);
    until_waiting(&rig, 1).await;
    let mut later = 0;
    // Two are answered in no other way than by what they wait for.
    while later < ASKED - 2 {
        let answer = tokio::time::timeout(PATIENCE, told.recv()).await.expect("answered");
        let (status, text) = answer.expect("one is told to come later");
        assert_eq!(status, 503, "{text}");
        assert!(
            text.to_lowercase().contains("retry-after: 5") && text.contains("too many"),
            "{text}"
        );
        later += 1;
        let (status, text) = get(port, "/readyz", None).await.expect("an answer");
        assert_eq!(status, 200, "{text}");
    }
    open(&rig, 0).await;
    let answers = async {
        while let Some((status, text)) = told.recv().await {
            assert!(status == 200 || status == 503, "{text}");
        }
    };
    tokio::time::timeout(PATIENCE + Duration::from_secs(5), answers).await.expect("all end");
    let (status, text) =
        get(port, &format!("/api/v1/explain/person/{person}"), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 200, "{text}");
    running.stop().await;
}

//! Bound to one place (F107, F108, F111): a copy, a restored backup, a wrong account and a remote that was set up anew are
//! held before the first write, and a rebind brings them home without a duplicate.

use ems_sync::broker::Broker;
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::{Resource, TagServer, TagServerOptions};
use ems_sync_remotes::{Offline, Reimage};
use secrecy::SecretString;

use crate::support::database::connect;
use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::{PATIENCE, Rig};

const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];

fn broker(rig: &Rig) -> Broker {
    Broker::new(SecretString::from(rig.services.amqp_url.clone()), rig.prefix.clone())
}

/// The epoch that the broker keeps.
async fn kept(rig: &Rig) -> Option<i64> {
    let lock = broker(rig).epoch().await.unwrap();
    let kept = lock.kept();
    lock.keep(None).await.unwrap();
    kept
}

async fn until_held(rig: &Rig) {
    let held =
        "select 1 - count(*) from sync.binding where target = 'tagserver' and held_on is not null";
    rig.until(held, "held").await;
}

async fn held_parts(rig: &Rig) -> Vec<String> {
    let sql = "select coalesce(held_parts, '{}') from sync.binding where target = 'tagserver'";
    rig.ems.query_one(sql, &[]).await.unwrap().get(0)
}

async fn rebind(rig: &Rig) {
    let (code, out) = rig.run(&["target", "rebind", "tagserver", "--reason", "test"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(held_parts(rig).await.is_empty());
}

/// A system in sync, with nothing running.
async fn in_sync(people: i64) -> Rig {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, people).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
    rig
}

/// Ends every connection to the rig's database, ours too; `then` runs as the administrator; and connects again.
async fn without_connections(rig: &mut Rig, then: &[String]) {
    let admin = connect(&rig.services.database_url).await;
    let name = rig.url.rsplit_once('/').unwrap().1.to_owned();
    let end = format!(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'"
    );
    admin.batch_execute(&end).await.unwrap();
    for statement in then {
        admin.batch_execute(&statement.replace("{db}", &name)).await.unwrap();
    }
    rig.ems = connect(&rig.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_contact_binds_and_the_epoch_is_kept_at_the_broker() {
    let rig = Rig::new().await;
    let unbound = "select count(*) from sync.binding where database is not null";
    assert_eq!(rig.count(unbound).await, 0, "a migration binds nothing");
    assert_eq!(kept(&rig).await, None);
    let running = rig.start(&CONSUMING);
    rig.until("select 1 - count(*) from sync.binding where database is not null", "bound").await;
    rig.until("select 1 - epoch from sync.epoch", "raised").await;
    running.stop().await;
    let epoch = rig.count("select epoch from sync.epoch").await;
    assert_eq!(kept(&rig).await, Some(epoch));
    // Each start raises it.
    let running = rig.start(&CONSUMING);
    rig.until(&format!("select {epoch} + 1 - epoch from sync.epoch"), "raised again").await;
    running.stop().await;
    assert_eq!(kept(&rig).await, Some(epoch + 1));
    let events = "select count(*) from sync.binding_event where event = 'bound' and done_by = 'first contact'";
    assert_eq!(rig.count(events).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_keeps_one_epoch_and_never_an_older_one() {
    let rig = Rig::new().await;
    for epoch in [5, 3, 9] {
        broker(&rig).epoch().await.unwrap().keep(Some(epoch)).await.unwrap();
    }
    assert_eq!(kept(&rig).await, Some(9));
    // A process that dies while it looks takes nothing along, and whoever comes meanwhile waits.
    let dying = broker(&rig).epoch().await.unwrap();
    let other = broker(&rig);
    let waiting = tokio::spawn(async move { other.epoch().await.unwrap().kept() });
    assert_eq!(dying.kept(), Some(9));
    drop(dying);
    assert_eq!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap(), Some(9));
}

/// The worst of F107: every id that we know belongs to another row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_was_set_up_anew_while_we_run_is_held_before_any_write() {
    for how in [Reimage::Shuffled, Reimage::Empty] {
        let rig = Rig::new().await;
        let running = rig.start(&CONSUMING);
        ems::populate(&rig.ems, 24).await;
        rig.settled().await;
        let rows = rig.sim.row_count(Resource::Person);
        let written = rig.writes_applied();
        rig.sim.reimage(how);
        rig.exec(
            "update ems.person set last_name = last_name || '!';
             delete from ems.start_group_participant where id % 4 = 0",
        )
        .await;
        until_held(&rig).await;
        assert_eq!(held_parts(&rig).await, ["instance"]);
        assert_eq!(rig.writes_applied(), written, "nothing was written to the new one");
        let (code, out) = rig.run(&["status", "--check", "--json"]).await;
        assert_eq!(code, 1);
        let status: serde_json::Value = serde_json::from_str(&out).unwrap();
        let row = &status["targets"][0];
        assert_eq!((&row["state"], &row["reason"]), (&"held".into(), &"binding".into()), "{row}");
        let (_, out) = rig.run(&["explain", "person", "1", "--json"]).await;
        assert!(out.contains("target rebind tagserver"), "{out}");

        rebind(&rig).await;
        rig.settled().await;
        assert_in_sync(&rig).await;
        assert_eq!(rig.sim.row_count(Resource::Person), rows, "no duplicate");
        assert_eq!(rig.sim.violations(), []);
        // Doing it again is safe, and writes nothing.
        let writes = rig.writes();
        rebind(&rig).await;
        rig.settled().await;
        assert_in_sync(&rig).await;
        assert_eq!(rig.writes(), writes);
        let events = "select count(*) from sync.binding_event where event = 'rebound' and done_by like 'command line%'";
        assert_eq!(rig.count(events).await, 2);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_database_writes_nothing() {
    let mut rig = in_sync(20).await;
    let writes = rig.writes();
    without_connections(&mut rig, &["create database {db}_copy template {db}".to_owned()]).await;
    let (original, copy) = (rig.url.clone(), format!("{}_copy", rig.url));
    rig.set("DATABASE__URL", &copy);
    rig.ems = connect(&copy).await;
    rig.exec(
        "update ems.person set last_name = 'Copy';
         delete from ems.tag;
         insert into ems.person (first_name, last_name) values ('Only', 'Here')",
    )
    .await;
    let running = rig.start_all();
    until_held(&rig).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    assert_eq!(held_parts(&rig).await, ["database"]);
    running.stop().await;
    assert_eq!(rig.writes(), writes, "not one mutating request");

    // The original goes on as if nothing had been.
    rig.set("DATABASE__URL", &original);
    rig.ems = connect(&original).await;
    let running = rig.start(&CONSUMING);
    rig.exec("update ems.person set last_name = 'Original'").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_held_and_comes_home_by_rebind_and_repair() {
    let mut rig = in_sync(20).await;
    without_connections(&mut rig, &["create database {db}_backup template {db}".to_owned()]).await;
    // Life goes on after the backup.
    let running = rig.start(&CONSUMING);
    rig.exec(
        "insert into ems.person (first_name, last_name) values ('After', 'Backup');
         update ems.person set last_name = 'Later' where id % 2 = 0;
         delete from ems.start_group_participant where id % 4 = 0",
    )
    .await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;

    let swap = [
        "alter database {db} rename to {db}_lost".to_owned(),
        "alter database {db}_backup rename to {db}".to_owned(),
    ];
    without_connections(&mut rig, &swap).await;
    let writes = rig.writes();
    let running = rig.start_all();
    until_held(&rig).await;
    assert_eq!(held_parts(&rig).await, ["database", "epoch"]);
    let people = rig.count("select count(*) from ems.person").await as usize;
    assert_eq!(rig.sim.row_count(Resource::Person), people + 1);
    assert_eq!(rig.writes(), writes);

    let doubted = "select count(*) from sync.record where in_doubt";
    let before = rig.count(doubted).await;
    let (code, said) = rig.run(&["target", "rebind", "tagserver", "--dry-run"]).await;
    assert!(code == 1 && said.contains("orphaned"), "the row that is there besides: {said}");
    assert_eq!(rig.count(doubted).await, before, "nothing is changed");
    assert_eq!(held_parts(&rig).await, ["database", "epoch"]);
    rebind(&rig).await;
    rig.settled().await;
    assert_eq!(rig.sim.row_count(Resource::Person), people + 1, "nothing is deleted by a rebind");
    assert_eq!(rig.run(&["verify", "--target", "tagserver", "--repair"]).await.0, 1);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.run(&["verify", "--target", "tagserver"]).await.0, 0);
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

/// In the same database: only the epoch can tell, and it tells of every target that is bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_went_back_in_time_is_held_by_its_epoch() {
    let rig = in_sync(5).await;
    rig.exec(
        "update sync.epoch set epoch = epoch - 1;
         update sync.binding b set database = o.database, login = o.login, bound_on = o.bound_on
         from sync.binding o where o.target = 'tagserver' and b.target = 'mautic'",
    )
    .await;
    let writes = rig.writes();
    let ahead = kept(&rig).await;
    let running = rig.start(&CONSUMING);
    rig.exec("update ems.person set last_name = 'New'").await;
    until_held(&rig).await;
    assert_eq!(held_parts(&rig).await, ["epoch"]);
    let all = "select 2 - count(*) from sync.binding where held_on is not null";
    assert_eq!(rig.count(all).await, 0, "mautic too");
    assert_eq!(rig.writes(), writes);
    assert_eq!(kept(&rig).await, ahead, "the proof is still there");
    rebind(&rig).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert!(kept(&rig).await > ahead);
    running.stop().await;
}

/// F111, with a server that says who it is and with one that does not: its address tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_account_is_held_before_the_first_write_and_in_every_process() {
    for says_who in [true, false] {
        let mut rig = Rig::new().await;
        rig.sim.configure(|settings| settings.publish_instance = says_who);
        let running = rig.start(&CONSUMING);
        ems::populate(&rig.ems, 5).await;
        rig.settled().await;
        let other = TagServer::start(TagServerOptions::default()).await.unwrap();
        other.configure(|settings| settings.publish_instance = says_who);
        rig.set("TARGETS__TAGSERVER__BASE_URL", &other.base_url());
        let wrong = rig.start(&CONSUMING);
        until_held(&rig).await;
        let expected = if says_who { "instance" } else { "login" };
        assert_eq!(held_parts(&rig).await, [expected]);
        assert!(!other.journal().iter().any(|entry| entry.operation.is_write()));
        wrong.stop().await;
        let states = rig.store.target_states().await.unwrap();
        let state = states.iter().find(|state| state.target == Target::TagServer).unwrap();
        assert!(!state.is_open_for_business());
        running.stop().await;
    }
}

/// What can't be known neither binds nor holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_can_not_be_reached_is_bound_when_it_comes_back() {
    let rig = Rig::new().await;
    rig.sim.go_offline(Offline::Refuse).await.unwrap();
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 5).await;
    rig.until(
        "select count(*) from sync.target where target = 'tagserver' and breaker = 'closed'",
        "open",
    )
    .await;
    let touched =
        "select count(*) from sync.binding where database is not null or held_on is not null";
    assert_eq!(rig.count(touched).await, 0);
    rig.sim.go_online().await.unwrap();
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count("select count(*) from sync.binding where bound_on is not null").await, 1);
    running.stop().await;
}

/// F66: deleted by hand at the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vanished_at_the_target_is_created_again_once() {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 10).await;
    rig.settled().await;
    let tags = rig.sim.rows(Resource::Tag);
    for tag in tags.iter().take(3) {
        assert!(rig.sim.remove(Resource::Tag, tag.id));
    }
    rig.exec("update ems.tag set bib_number = 'B' || id").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.sim.row_count(Resource::Tag), tags.len());
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

/// The id that we know belongs to a row of staff by now, at a server that can't say that it is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_not_ours_is_neither_overwritten_nor_deleted() {
    let rig = Rig::new().await;
    rig.sim.configure(|settings| settings.publish_instance = false);
    let running = rig.start(&CONSUMING);
    rig.exec("insert into ems.person (first_name, last_name) select 'P', 'N' || n from generate_series(1, 6) n")
        .await;
    rig.settled().await;
    let rows = rig.sim.rows(Resource::Person);
    for row in &rows {
        assert!(rig.sim.remove(Resource::Person, row.id));
        let staff = serde_json::json!({"id": row.id, "firstName": "Staff", "lastName": "Made"});
        rig.sim.plant(Resource::Person, staff).unwrap();
    }
    rig.exec("update ems.person set last_name = 'New'; delete from ems.person where id % 2 = 0")
        .await;
    rig.settled().await;
    let rows_now = rig.sim.rows(Resource::Person);
    let staff = rows_now.iter().filter(|row| row.body["firstName"] == "Staff").count();
    assert_eq!(staff, rows.len(), "{rows_now:?}");
    let ours = rows_now.iter().filter(|row| row.external_id.is_some()).count();
    assert_eq!(ours as i64, rig.count("select count(*) from ems.person").await);
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

/// F94 and F95: the id at the target outlives the row, and who comes in its place gets a record of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_that_is_deleted_and_entered_again_has_one_record() {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 20).await;
    rig.settled().await;
    // The cascades take everything of theirs along. One comes back under a new id, one under the old one.
    rig.exec(
        "create table again as select * from ems.person where id in (3, 4);
         delete from ems.person where id in (3, 4);
         insert into ems.person (first_name, last_name, email) select first_name, last_name, email from again where id = 3;
         insert into ems.person (id, first_name, last_name, email) overriding system value
             select id, first_name, last_name, email from again where id = 4;
         drop table again",
    )
    .await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    rig.exec("delete from ems.person where id = 4").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    let tombstone = "select count(*) from sync.record where entity_type = 'person' and entity_id = 3 and tombstoned_on is not null and remote_id is null";
    assert_eq!(rig.count(tombstone).await, 1);
    assert_eq!(rig.sim.violations(), []);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tombstones_are_kept_for_ninety_days_and_as_long_as_something_is_open() {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    rig.exec("insert into ems.person (first_name, last_name) select 'P', 'N' || n from generate_series(1, 9) n")
        .await;
    rig.settled().await;
    rig.exec("delete from ems.person where id <= 8").await;
    rig.settled().await;
    running.stop().await;
    assert_eq!(
        rig.count("select count(*) from sync.record where tombstoned_on is not null").await,
        8
    );
    rig.exec(
        "update sync.record set tombstoned_on = clock_timestamp() - interval '91 days' where entity_id <= 7;
         update sync.record set tombstoned_on = clock_timestamp() - interval '89 days' where entity_id = 8;
         update sync.record set owed_gen = owed_gen + 1, due_on = 'infinity' where entity_id = 2;
         update sync.record set remote_id = '1', owed_gen = owed_gen + 1, due_on = 'infinity' where entity_id = 3;
         update sync.record set intent_on = clock_timestamp(), owed_gen = owed_gen + 1, due_on = 'infinity' where entity_id = 4;
         update sync.record set read_back_on = 'infinity' where entity_id = 5",
    )
    .await;
    assert_eq!(rig.store.purge_tombstones(Target::TagServer).await.unwrap(), 3);
    let left: Vec<i64> = rig
        .ems
        .query("select entity_id from sync.record order by 1", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(left, [2, 3, 4, 5, 8, 9]);
    // The sweeper does it by itself.
    rig.exec("update sync.record set read_back_on = null where entity_id = 5").await;
    let running = rig.start(&[Role::Sweep]);
    rig.until("select count(*) from sync.record where entity_id = 5", "purged").await;
    running.stop().await;
}

/// Who left MailChimp is known by the member that they had; what was given up may have to be taken away yet. What people took out before
/// the EMS hid it has no tombstone, and goes as late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_that_tells_something_yet_is_kept() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into sync.record (target, entity_type, entity_id, former_remote_id, gave_up_key, tombstoned_on, state, owed_gen, done_gen)
         select t.name, 'person', n, case when n > 1 then n::text end, case when n = 3 then '\\x01'::bytea end,
                clock_timestamp() - interval '91 days', 'synced', 1, 1
         from unnest('{mailchimp,chatwoot}'::text[]) as t (name), generate_series(1, 3) n;
         insert into sync.record (target, entity_type, entity_id, former_remote_id, gone, last_owed_on, state, owed_gen, done_gen)
         select t.name, 'person', n, n::text, n < 6, clock_timestamp() - case n when 4 then 91 else 89 end * interval '1 day', 'skipped', 1, 1
         from unnest('{mailchimp,chatwoot}'::text[]) as t (name), generate_series(4, 6) n",
    )
    .await;
    for (target, purged) in [(Target::MailChimp, 1), (Target::Chatwoot, 3)] {
        assert_eq!(rig.store.purge_tombstones(target).await.unwrap(), purged, "{target}");
    }
}

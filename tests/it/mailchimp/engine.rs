//! The whole system: a real EMS, real queues and the simulated MailChimp. What the lists hold afterwards is compared with
//! the EMS by reading both anew.

use std::collections::BTreeMap;

use ems_sync::config::Config;
use ems_sync::process::Role;
use ems_sync_remotes::mailchimp::{Act, MailChimp as Sim, Status};
use ems_sync_remotes::{Fault, Rule, Simulator};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::bench::{CLUB, NEWS, options};
use crate::support::database::{self, Services};
use crate::support::readings::mailchimp;
use crate::support::rig::PATIENCE;

struct System {
    sim: Simulator<Sim>,
    ems: Client,
    settings: BTreeMap<String, String>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl System {
    async fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let services = Services::get();
        let url = database::create(&services).await;
        let sim = Sim::start(options()).await.unwrap();
        let settings: BTreeMap<String, String> = [
            ("DATABASE__URL", url.clone()),
            ("BROKER__URL", services.amqp_url),
            ("BROKER__PREFIX", format!("t-{}", uuid::Uuid::new_v4().simple())),
            ("OPS__LISTEN", "127.0.0.1:0".to_owned()),
            ("SWEEP__OUTBOUND_EVERY", "1h".to_owned()),
            ("RETRY__BASE_DELAY", "100ms".to_owned()),
            ("GUARD__MAX_DELETES", "1000000".to_owned()),
            ("TARGETS__MAILCHIMP__ENABLED", "true".to_owned()),
            ("TARGETS__MAILCHIMP__BASE_URL", format!("{}/3.0", sim.base_url())),
            ("TARGETS__MAILCHIMP__ALLOW_HTTP", "true".to_owned()),
            ("TARGETS__MAILCHIMP__API_KEY", sim.api_key().to_owned()),
            ("TARGETS__MAILCHIMP__LISTS__NEWS", NEWS.to_owned()),
            ("TARGETS__MAILCHIMP__LISTS__CLUB", CLUB.to_owned()),
            ("TARGETS__MAILCHIMP__TIMEOUT", "5s".to_owned()),
            ("TARGETS__MAILCHIMP__SETTLE", "100ms".to_owned()),
        ]
        .map(|(key, value)| (format!("EMS_SYNC__{key}"), value))
        .into();
        let config = Config::load(None, &settings).unwrap_or_else(|error| panic!("{error}"));
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            let roles = [Role::Relay, Role::Consume, Role::Sweep];
            ems_sync::process::run(config, &roles, token).await
        });
        let ems = database::connect(&url).await;
        Self { sim, ems, settings, stop, task }
    }

    async fn exec(&self, sql: &str) {
        self.ems.batch_execute(sql).await.unwrap();
    }

    /// Waits until nothing is owed that can still be pushed. Level-triggered.
    async fn settled(&self) {
        let sql = "select (select count(*) from sync.outbox)
                        + (select count(*) from sync.record where owed_gen > done_gen and due_on < now() + interval '2 minutes')";
        let wait = async {
            while self.ems.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let sql = "select concat_ws(' ', count(*), state, state_reason, max(last_error)) from sync.record
                       where owed_gen > done_gen group by state, state_reason";
            let owed = self.ems.query(sql, &[]).await.unwrap();
            let owed: Vec<String> = owed.iter().map(|row| row.get(0)).collect();
            panic!("not settled in time: {owed:#?}");
        }
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ems-sync"));
        command.args(arguments).envs(&self.settings).kill_on_drop(true);
        command.stdout(std::process::Stdio::piped());
        let output = tokio::time::timeout(PATIENCE, command.spawn().unwrap().wait_with_output());
        let output = output.await.expect("ends").unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("stops").unwrap().unwrap();
    }

    /// Compares every list with the EMS; what the client thinks of either plays no part.
    async fn assert_lists_are_the_ems(&self) {
        let lists = [("news", NEWS), ("club", CLUB)];
        assert_eq!(mailchimp::differences(&self.ems, &self.sim, lists).await, [""; 0]);
        assert_eq!(self.sim.violations(), []);
    }

    async fn populate(&self, people: i64) {
        self.exec(&format!(
            "begin;
             insert into ems.person (first_name, last_name, email, language)
                 select (array['Thandi', 'Zoë', 'Søren', '美咲'])[1 + n % 4], 'Runner ' || n,
                        case when n % 10 = 9 then null when n % 5 = 0 then 'Family' || n / 10 || '@club.org'
                             else 'p' || n || '@Club.org' end, (array['en-ZA', 'af', null])[1 + n % 3]
                 from generate_series(1, {people}) n;
             insert into ems.list_membership (person_id, list_code, status, labels)
                 select id, 'news', (array['SUBSCRIBED', 'SUBSCRIBED', 'UNSUBSCRIBED', 'PENDING'])[1 + id % 4],
                        (array['{{Trail,VIP}}', '{{}}', '{{Zoë}}'])[1 + id % 3]::text[]
                 from ems.person where id % 6 <> 5;
             insert into ems.list_membership (person_id, list_code, status) select id, 'club', 'SUBSCRIBED' from ems.person where id % 2 = 0;
             insert into ems.list_membership (person_id, list_code, status) select id, 'elsewhere', 'SUBSCRIBED' from ems.person where id % 3 = 0;
             insert into ems.contact_preference (person_id, channel, opted_in) select id, 'EMAIL', id % 22 <> 0 from ems.person
                 where id % 11 = 0 and id % 5 <> 0;
             commit;"
        ))
        .await;
    }

    async fn change(&self, round: i64) {
        self.exec(&format!(
            "update ems.person set last_name = last_name || '-{round}' where id % 7 = {round};
             update ems.list_membership set labels = '{{Round {round},trail}}' where id % 8 = {round};
             update ems.list_membership set status = 'UNSUBSCRIBED' where person_id % 9 = {round} and person_id % 5 <> 0;
             update ems.list_membership set status = 'SUBSCRIBED' where person_id % 9 = {round} - 1 and person_id % 5 <> 0;
             update ems.contact_preference set opted_in = not opted_in where person_id % 3 = {round};
             update ems.person set email = 'moved{round}-' || id || '@club.org' where id % 13 = {round} and id % 5 <> 0;
             update ems.person set email = null where id % 17 = {round} and id % 5 <> 0;
             delete from ems.list_membership where person_id % 19 = {round} and list_code = 'news';
             delete from ems.person where id % 23 = {round};"
        ))
        .await;
    }
}

#[tokio::test]
async fn hundreds_of_persons_and_their_changes_converge() {
    let system = System::start().await;
    system.populate(300).await;
    system.settled().await;
    system.assert_lists_are_the_ems().await;
    for round in 1..=3 {
        system.change(round).await;
        system.settled().await;
        system.assert_lists_are_the_ems().await;
    }
    let writes = system.sim.counters().writes_applied();
    let (code, _) = system.run(&["sweep", "outbound", "--target", "mailchimp"]).await;
    system.settled().await;
    assert_eq!(
        (code, system.sim.counters().writes_applied()),
        (0, writes),
        "nothing is left to write"
    );
    let (code, out) = system.run(&["verify", "--target", "mailchimp", "--json"]).await;
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0, "{document:#}");
    assert!(document["matched"].as_i64().unwrap() > 100, "{document:#}");
    system.end().await;
}

#[tokio::test]
async fn lost_answers_leave_nobody_twice_and_nobody_out() {
    let system = System::start().await;
    // Of a person's four writes or so: most must come home at once, or the breaker is what is looked at.
    let lost = Rule::new(Fault::CommitThenDrop).resource("members").writes().probability(0.08);
    let rule = system.sim.faults().push(lost.unlimited());
    system.populate(150).await;
    let some = || system.sim.rows(NEWS).len() > 60;
    tokio::time::timeout(PATIENCE, system.sim.wait_for(some)).await.unwrap();
    system.change(1).await;
    system.change(2).await;
    system.settled().await;
    system.sim.faults().remove(rule);
    system.settled().await;
    system.run(&["sweep", "outbound", "--target", "mailchimp"]).await;
    system.settled().await;
    system.assert_lists_are_the_ems().await;
    system.end().await;
}

/// G5's exception: whoever leaves there stays out, whatever the EMS says later, and that is no error.
#[tokio::test]
async fn who_leaves_there_stays_out_and_nothing_is_red() {
    let system = System::start().await;
    system.exec("insert into ems.person (first_name, last_name, email) values ('Thandi', 'Nkosi', 'thandi@club.org');
                 insert into ems.list_membership (person_id, list_code, status) select id, 'news', 'SUBSCRIBED' from ems.person").await;
    system.settled().await;
    // The sweep after the start is over: that they leave is met by the push.
    system.run(&["sweep", "inbound", "--target", "mailchimp"]).await;
    system.sim.act(NEWS, "thandi@club.org", &Act::Unsubscribe).unwrap();
    system.exec("update ems.person set first_name = 'Zoë'; update ems.list_membership set labels = '{VIP}'").await;
    system.settled().await;
    let member = system.sim.member(NEWS, "thandi@club.org").unwrap();
    assert_eq!(member.status, Status::Unsubscribed);
    assert_eq!(member.body["merge_fields"]["FNAME"], "Zoë");
    let (code, out) = system.run(&["verify", "--target", "mailchimp", "--json"]).await;
    assert_eq!(code, 0, "{out}");
    assert_eq!(system.sim.violations(), []);
    system.end().await;
}

/// Consent that was taken back there is the EMS's own, and stays so; a later opt-in in the EMS stands, until they leave once more.
#[tokio::test]
async fn who_leaves_there_is_out_in_the_ems_and_a_second_time_too() {
    let system = System::start().await;
    system
        .exec(
            "insert into ems.person (id, first_name, last_name, email)
             select n, 'P', n::text, 'p' || n || '@club.org' from generate_series(1, 5) n;
             insert into ems.list_membership (person_id, list_code, status)
             select id, code, 'SUBSCRIBED' from ems.person, unnest('{news,club}'::text[]) code",
        )
        .await;
    system.settled().await;
    // The sweep after the start is over, and the next one far: what is taken from now on is taken on demand.
    system.run(&["sweep", "inbound", "--target", "mailchimp"]).await;
    let address = |n: i64| format!("p{n}@club.org");
    for (n, act) in [(1, Act::Unsubscribe), (2, Act::Complain), (3, Act::Clean), (4, Act::Archive)]
    {
        system.sim.act(NEWS, &address(n), &act).unwrap();
    }
    let taken = async || {
        let (code, out) =
            system.run(&["sweep", "inbound", "--target", "mailchimp", "--json"]).await;
        assert_eq!(code, 0, "{out}");
        let document: Value = serde_json::from_str(&out).unwrap();
        document["targets"][0]["streams"][0]["consents_taken"].as_i64().unwrap()
    };
    let out = async || {
        let sql = "select coalesce(string_agg(person_id || ' ' || list_code, ', ' order by person_id, list_code), '') from ems.list_membership
                   where status = 'UNSUBSCRIBED'";
        system.ems.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    let sql_out = "1 news, 2 news, 3 news, 4 news";
    assert_eq!(taken().await, 4);
    assert_eq!(out().await, sql_out);
    // No sync reverts it, on either side.
    system.settled().await;
    system.run(&["sweep", "outbound", "--target", "mailchimp"]).await;
    system.settled().await;
    assert_eq!((taken().await, out().await.as_str()), (0, sql_out));
    let status = |n: i64| system.sim.member(NEWS, &address(n)).unwrap().status;
    assert_eq!(
        [1, 2, 3, 4, 5].map(status),
        [
            Status::Unsubscribed,
            Status::Unsubscribed,
            Status::Cleaned,
            Status::Archived,
            Status::Subscribed
        ]
    );
    // Who is in another list still is no difference by that.
    system.settled().await;
    let (code, document) = system.run(&["verify", "--target", "mailchimp", "--json"]).await;
    assert_eq!(code, 0, "{document}");
    // An opt-in in the EMS later than that: the same old restriction does not revert it.
    system.exec("update ems.list_membership set status = 'SUBSCRIBED' where person_id = 1").await;
    system.settled().await;
    assert_eq!(taken().await, 0);
    assert_eq!(out().await, "2 news, 3 news, 4 news");
    // They subscribe there as well, and leave once more.
    system.sim.act(NEWS, &address(1), &Act::Subscribe).unwrap();
    assert_eq!(taken().await, 0);
    assert_eq!(out().await, "2 news, 3 news, 4 news", "nobody is given a consent");
    system.sim.act(NEWS, &address(1), &Act::Unsubscribe).unwrap();
    assert_eq!(taken().await, 1);
    assert_eq!(out().await, sql_out);
    system.settled().await;
    assert_eq!(system.sim.violations(), []);
    system.end().await;
}

/// Who left by themselves and whose membership ended then is archived by us. That is no decision of people: a newer opt-in in the EMS
/// stands, and is not mailed all the same.
#[tokio::test]
async fn an_archival_of_ours_of_who_had_left_reverts_no_newer_opt_in() {
    let system = System::start().await;
    let join = "insert into ems.list_membership (person_id, list_code, status) values (1, 'news', 'SUBSCRIBED')";
    system.exec("insert into ems.person (id, first_name, last_name, email) values (1, 'Thandi', 'Nkosi', 'thandi@club.org')").await;
    system.exec(join).await;
    system.settled().await;
    let swept = async || system.run(&["sweep", "inbound", "--target", "mailchimp"]).await.0;
    assert_eq!(swept().await, 0);
    let status = async || {
        let sql = "select status from ems.list_membership";
        system.ems.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    system.sim.act(NEWS, "thandi@club.org", &Act::Unsubscribe).unwrap();
    assert_eq!((swept().await, status().await.as_str()), (0, "UNSUBSCRIBED"));
    system.settled().await;
    system.exec("delete from ems.list_membership").await;
    system.settled().await;
    assert_eq!(system.sim.member(NEWS, "thandi@club.org").unwrap().status, Status::Archived);
    system.exec(join).await;
    system.settled().await;
    assert_eq!((swept().await, status().await.as_str()), (0, "SUBSCRIBED"));
    system.settled().await;
    assert_eq!(system.sim.member(NEWS, "thandi@club.org").unwrap().status, Status::Archived);
    assert_eq!(system.sim.violations(), []);
    system.end().await;
}

/// Who has no address for a while has no record there: that they left before, or leave meanwhile, is not forgotten, nor is it where the
/// person was deleted and put back.
#[tokio::test]
async fn who_left_stays_out_under_the_address_that_they_have_after_a_while_without_any() {
    let system = System::start().await;
    system
        .exec(
            "insert into ems.person (id, first_name, last_name, email)
             select n, 'P', n::text, 'p' || n || '@club.org' from generate_series(1, 5) n;
             insert into ems.list_membership (person_id, list_code, status) select id, 'news', 'SUBSCRIBED' from ems.person",
        )
        .await;
    system.settled().await;
    // The sweep after the start is over: nothing of what people do there is taken in from now on.
    system.run(&["sweep", "inbound", "--target", "mailchimp"]).await;
    let leaves = |n: i64| {
        system.sim.act(NEWS, &format!("p{n}@club.org"), &Act::Unsubscribe).unwrap();
    };
    leaves(1);
    leaves(5);
    // The last one shares an address for a while before they have none.
    system.exec("update ems.person set email = 'p3@club.org' where id = 5").await;
    system.settled().await;
    system.exec("update ems.person set email = null where id <= 3 or id = 5").await;
    system.exec("delete from ems.person where id = 4").await;
    system.settled().await;
    system.sim.configure(|settings| settings.clock_offset_seconds = 3_600);
    leaves(2);
    leaves(4);
    system
        .exec(
            "update ems.person set email = 'new' || id || '@club.org' where id <= 3 or id = 5;
             insert into ems.person (id, first_name, last_name, email) values (4, 'P', '4', 'new4@club.org');
             insert into ems.list_membership (person_id, list_code, status) values (4, 'news', 'SUBSCRIBED')",
        )
        .await;
    system.settled().await;
    let status =
        |n: i64| system.sim.member(NEWS, &format!("new{n}@club.org")).map(|member| member.status);
    let expected = [None, None, Some(Status::Subscribed), None, None];
    assert_eq!([1, 2, 3, 4, 5].map(status), expected);
    assert_eq!(system.sim.violations(), []);
    system.end().await;
}

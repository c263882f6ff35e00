//! One EMS, its queues, five simulators, and ems-sync with all five targets enabled.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot, ChatwootOptions};
use ems_sync_remotes::mailchimp::{ListOptions, MailChimp, MailChimpOptions};
use ems_sync_remotes::mautic::{Mautic, MauticOptions};
use ems_sync_remotes::runsignup::{RaceWrites, Resource, RunSignup, RunSignupOptions};
use ems_sync_remotes::tagserver::TagServerOptions;
use serde_json::{Value, json};

use crate::support::ems;
use crate::support::parity;
use crate::support::readings::{chatwoot, mailchimp, mautic, runsignup};
use crate::support::rig::{PATIENCE, Rig};

/// The question of RunSignup's races that takes our id.
pub(crate) const QUESTION: i64 = 7885;
/// The audiences of the EMS's list codes.
pub(crate) const LISTS: [(&str, &str); 2] = [("news", "a1b2c3d4e5"), ("club", "f6a7b8c9d0")];
/// What RunSignup can't hold of a South African, or is itself in charge of: listed as different, and no error.
const KEPT_BY_RUNSIGNUP: [&str; 2] = ["email", "phone"];

/// The same of each simulator, with the name of its target.
macro_rules! each {
    ($five:expr, $sim:ident => $of:expr) => {{
        let five = &$five;
        [
            ("tagserver", {
                let $sim = &five.rig.sim;
                $of
            }),
            ("mautic", {
                let $sim = &five.mautic;
                $of
            }),
            ("mailchimp", {
                let $sim = &five.mailchimp;
                $of
            }),
            ("runsignup", {
                let $sim = &five.runsignup;
                $of
            }),
            ("chatwoot", {
                let $sim = &five.chatwoot;
                $of
            }),
        ]
    }};
}
pub(crate) use each;

pub(crate) struct Five {
    /// With the simulated `TagServer`.
    pub(crate) rig: Rig,
    pub(crate) mautic: Simulator<Mautic>,
    pub(crate) mailchimp: Simulator<MailChimp>,
    pub(crate) runsignup: Simulator<RunSignup>,
    pub(crate) chatwoot: Simulator<Chatwoot>,
}

impl Five {
    /// An EMS with so many people, whose events are mapped to races that have our question. Nothing runs yet.
    pub(crate) async fn new(people: i64, tagserver: TagServerOptions) -> Self {
        let club = ListOptions { double_optin: true, ..ListOptions::named(LISTS[1].1) };
        let lists = vec![ListOptions::named(LISTS[0].1), club];
        let mailchimp = MailChimpOptions { lists, ..MailChimpOptions::default() };
        let mut chatwoot = ChatwootOptions::default();
        // What the limits do has a test of its own.
        chatwoot.settings.safelisted = true;
        let mut five = Self {
            rig: Rig::with(tagserver).await,
            mautic: Mautic::start(MauticOptions::default()).await.unwrap(),
            mailchimp: MailChimp::start(mailchimp).await.unwrap(),
            runsignup: RunSignup::start(RunSignupOptions::default()).await.unwrap(),
            chatwoot: Chatwoot::start(chatwoot).await.unwrap(),
        };
        five.enable();
        five.populate(people).await;
        five
    }

    fn enable(&mut self) {
        let mautic = MauticOptions::default();
        let urls = [
            ("MAUTIC", self.mautic.base_url()),
            ("MAILCHIMP", format!("{}/3.0", self.mailchimp.base_url())),
            ("RUNSIGNUP", format!("{}/rest", self.runsignup.base_url())),
            ("CHATWOOT", self.chatwoot.base_url()),
        ];
        for (target, url) in urls {
            for (key, value) in [
                ("ENABLED", "true"),
                ("BASE_URL", &url),
                ("ALLOW_HTTP", "true"),
                ("TIMEOUT", "10s"),
                ("SETTLE", "1s"),
            ] {
                self.rig.set(&format!("TARGETS__{target}__{key}"), value);
            }
        }
        let api_key = self.mailchimp.api_key().to_owned();
        for (key, value) in [
            ("TAGSERVER__TIMEOUT", "10s"),
            ("MAUTIC__CLIENT_ID", &mautic.client_id),
            ("MAUTIC__CLIENT_SECRET", &mautic.client_secret),
            ("MAILCHIMP__API_KEY", &api_key),
            ("MAILCHIMP__LISTS__NEWS", LISTS[0].1),
            ("MAILCHIMP__LISTS__CLUB", LISTS[1].1),
            ("RUNSIGNUP__API_KEY", "ems-sync-key"),
            ("RUNSIGNUP__API_SECRET", "ems-sync-secret"),
            ("RUNSIGNUP__PUSH_RACES", "true"),
            ("CHATWOOT__API_TOKEN", &ChatwootOptions::default().token),
            ("CHATWOOT__ACCOUNT_ID", "1"),
        ] {
            self.rig.set(&format!("TARGETS__{key}"), value);
        }
    }

    async fn populate(&self, people: i64) {
        let ems = &self.rig.ems;
        // Which addresses somebody ever had: RunSignup keeps the one of the time.
        self.rig
            .exec(
                "create table public.former_email (person_id bigint, email text);
                 create function public.note_email() returns trigger language plpgsql as $$
                 begin insert into public.former_email values (new.id, new.email); return null; end $$;
                 create trigger note_email after insert or update of email on ems.person
                     for each row execute function public.note_email();",
            )
            .await;
        ems::populate(ems, people).await;
        self.rig
            .exec(
                "update ems.event set start_date_time = '2099-11-29T04:30:00Z';
                 update ems.race set start_time = '2099-11-29T05:00:00Z'::timestamptz + id * interval '1 minute';
                 update ems.person set city = (array['Durban', 'Cape Town', 'Paarl'])[1 + id % 3], country = (array['ZA', 'GB', null])[1 + id % 3],
                     language = (array['en-ZA', 'af', null])[1 + id % 3],
                     phone = case when id % 4 > 0 then '+2782' || lpad((1000 + id)::text, 7, '0') end,
                     email = case when id % 9 = 0 then null when id % 10 = 0 then 'Family' || id / 30 || '@Club.org'
                             else 'p' || id || '@Club.org' end;
                 insert into ems.list_membership (person_id, list_code, status, labels)
                     select id, 'news', case when id % 8 = 3 and email not like 'Family%' then 'UNSUBSCRIBED' else 'SUBSCRIBED' end,
                            (array['{Trail,VIP}', '{}', '{Zoë}'])[1 + id % 3]::text[] from ems.person where id % 6 <> 5;
                 insert into ems.list_membership (person_id, list_code, status)
                     select id, 'club', 'SUBSCRIBED' from ems.person where id % 2 = 0;
                 insert into ems.contact_preference (person_id, channel, opted_in)
                     select id, c.channel, id % 22 <> 0 from ems.person, (values ('EMAIL'), ('SMS')) c (channel)
                     where id % 11 = 0 and email not like 'Family%';",
            )
            .await;
        self.runsignup.configure(|settings| settings.race_writes = RaceWrites::Open);
        self.map_races().await;
    }

    /// Each event and race of the EMS has its counterpart at RunSignup, as after a pull.
    async fn map_races(&self) {
        let sql = "select event_id, id from ems.race order by id";
        for row in self.rig.ems.query(sql, &[]).await.unwrap() {
            let (event, race): (i64, i64) = (row.get(0), row.get(1));
            let (there, day) = (700 + event, 12 + event);
            if self.runsignup.race(there).is_none() {
                let questions = json!({ QUESTION.to_string(): "EMS ID" });
                let row = json!({"id": there, "name": "To be named", "timezone": "Africa/Johannesburg", "questions": questions});
                self.runsignup.plant(Resource::Race, row).unwrap();
                self.map(
                    "event",
                    event,
                    &format!(r#"{{"race_event_days_id":{day},"race_id":{there}}}"#),
                )
                .await;
            }
            let row = json!({"id": 7000 + race, "race_id": there, "race_event_days_id": day,
                             "start_time": "2099-11-29T07:00:00"});
            self.runsignup.plant(Resource::Event, row).unwrap();
            self.map("race", race, &(7000 + race).to_string()).await;
        }
    }

    async fn map(&self, entity_type: &str, id: i64, remote_id: &str) {
        let sql = "insert into sync.record (target, entity_type, entity_id, remote_id) values ('runsignup', $1, $2, $3)";
        self.rig.ems.execute(sql, &[&entity_type, &id, &remote_id]).await.unwrap();
    }

    /// Waits until nothing is owed any more. Hangs only if nothing is finished for a long time.
    pub(crate) async fn settled(&self) {
        let sql = "select (select count(*) from sync.outbox)
                        + (select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity'),
                          (select coalesce(sum(done_gen), 0)::bigint from sync.record)";
        let (mut done, mut moved) = (-1, tokio::time::Instant::now());
        loop {
            let row = self.rig.ems.query_one(sql, &[]).await.unwrap();
            let (left, now_done): (i64, i64) = (row.get(0), row.get(1));
            if left == 0 {
                return;
            }
            if now_done != done {
                (done, moved) = (now_done, tokio::time::Instant::now());
            }
            assert!(moved.elapsed() < PATIENCE, "Nothing moves: {:#?}", self.states().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What is owed and what has failed, for a message.
    pub(crate) async fn states(&self) -> Vec<String> {
        let sql = "select concat_ws(' ', target, entity_type, count(*), 'owed', state, state_reason, min(entity_id), max(last_error))
                   from sync.record where owed_gen > done_gen group by target, entity_type, state, state_reason
                   union all
                   select concat_ws(' ', 'dead letters', target, entity_type, count(*), min(entity_id), max(error))
                   from sync.dead_letter where closed_on is null group by target, entity_type
                   union all
                   select concat_ws(' ', target, 'breaker', breaker, breaker_until, disabled_on) from sync.target where breaker <> 'closed'";
        let rows = self.rig.ems.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Each simulator holds what the EMS says, by an independent reading, and was never spoken to as it must not be.
    pub(crate) async fn assert_same(&self, when: &str) {
        let ems = &self.rig.ems;
        let former = self.former_emails().await;
        let differences = [
            ("tagserver", parity::differences(&self.rig).await),
            ("mautic", mautic::differences(ems, &self.mautic).await),
            ("mailchimp", mailchimp::differences(ems, &self.mailchimp, LISTS).await),
            (
                "runsignup",
                runsignup::differences_since(ems, &self.runsignup, QUESTION, &former).await,
            ),
            ("runsignup", runsignup::race_differences(ems, &self.runsignup).await),
            ("chatwoot", chatwoot::differences(ems, &self.chatwoot).await),
        ];
        // What is looked at again after a lost answer becomes owed by itself, and is at work at once.
        let is_read_back =
            |state: &String| state.contains("owed leased") || state.contains("owed pending");
        let mut wrong: Vec<_> =
            self.states().await.into_iter().filter(|state| !is_read_back(state)).collect();
        for (target, differences) in differences {
            let n = differences.len();
            let shown = differences.into_iter().take(5);
            wrong.extend(shown.map(|what| format!("{target} (1 of {n} differences): {what}")));
        }
        for (target, violations) in each!(self, sim => sim.violations()) {
            wrong.extend(violations.iter().map(|what| format!("{target}: {what:?}")));
        }
        for (target, overlaps) in each!(self, sim => sim.overlaps()) {
            wrong.extend(overlaps.iter().map(|what| format!("{target}: {what:?}")));
        }
        assert!(wrong.is_empty(), "{when}: {wrong:#?} {:#?}", self.history(&wrong).await);
    }

    /// What is known of the entities whose ids stand in these texts, for a message: their records and the last attempts.
    async fn history(&self, wrong: &[String]) -> Vec<String> {
        let numbers = wrong.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_digit()));
        let ids: Vec<i64> = numbers.filter_map(|number| number.parse().ok()).collect();
        let sql = "(select concat_ws(' ', target, entity_type, entity_id, 'is', state, state_reason, remote_id, owed_gen, done_gen,
                           last_error) from sync.record where entity_id = any($1) and entity_type = 'person')
                   union all
                   (select concat_ws(' ', 'person', id, email, phone, modified_on) from ems.person where id = any($1))
                   union all
                   (select a::text from sync.attempt a where entity_id = any($1) and entity_type = 'person'
                    and target = any(array(select split_part(w, ' ', 1) from unnest($2::text[]) w)) order by attempted_on desc limit 40)";
        let rows = self.rig.ems.query(sql, &[&ids, &wrong]).await;
        rows.map_or_else(
            |error| vec![format!("{error:?}")],
            |rows| rows.iter().map(|row| row.get(0)).collect(),
        )
    }

    /// The addresses that the person of each participant ever had.
    pub(crate) async fn former_emails(&self) -> BTreeMap<String, Vec<Value>> {
        let sql =
            "select ep.id::text, jsonb_agg(distinct lower(f.email)) from ems.event_participant ep
                   join public.former_email f on f.person_id = ep.person_id group by ep.id";
        let rows = self.rig.ems.query(sql, &[]).await.unwrap();
        let emails = |emails: Value| emails.as_array().unwrap().clone();
        rows.iter().map(|row| (row.get(0), emails(row.get(1)))).collect()
    }

    /// `verify` finds nothing in any target.
    pub(crate) async fn assert_verified(&self) {
        for (target, ()) in each!(self, _sim => ()) {
            let (_, out) = self.rig.run(&["verify", "--target", target, "--json"]).await;
            let document: Value = serde_json::from_str(&out).unwrap();
            let is_fault = |row: &&Value| {
                let mut fields = row["fields"].as_array().unwrap().iter();
                let is_kept = fields.all(|name| KEPT_BY_RUNSIGNUP.iter().any(|kept| name == kept));
                !(target == "runsignup" && row["finding"] == "different" && is_kept)
            };
            let faults: Vec<&Value> =
                document["rows"].as_array().unwrap().iter().filter(is_fault).take(10).collect();
            assert!(faults.is_empty(), "{target}: {faults:#?}");
            assert!(document["matched"].as_i64() > Some(0), "{target}: {document}");
            let counts = ["matched", "missing", "different", "orphaned", "waiting", "foreign"];
            let counts = counts.map(|name| format!("{} {name}", document[name]));
            eprintln!("verify {target}: {}", counts.join(", "));
        }
    }

    /// What comes back says nothing new: all of it was written by us. The EMS stays as it is.
    pub(crate) async fn assert_a_pull_changes_nothing(&self) {
        let last = "select last_value from sync.outbox_id_seq";
        let captured = self.rig.count(last).await;
        let mapped = "select count(*) from sync.record where remote_id is not null";
        let known = self.rig.count(mapped).await;
        let writes = each!(self, sim => sim.counters().writes_applied());
        let (code, out) = self.rig.run(&["sweep", "inbound"]).await;
        assert_eq!(code, 0, "{out}");
        // What would be an entity's second record waits for ten minutes.
        let decided = "select count(*) from sync.inbox where state = 'pending'";
        self.rig.until(decided, "decided").await;
        self.settled().await;
        let made = "select coalesce(string_agg(id || ' ' || last_name, ', '), '') from (
            select id, last_name from ems.person order by id desc limit 20) p";
        let made = self.rig.ems.query_one(made, &[]).await.unwrap().get::<_, String>(0);
        assert_eq!(self.rig.count(last).await, captured, "the EMS was changed; the newest: {made}");
        assert_eq!(self.rig.count(mapped).await, known, "nobody gets or loses a record");
        assert_eq!(each!(self, sim => sim.counters().writes_applied()), writes);
        let waiting = "select count(*) from sync.inbox where state <> 'done'";
        let other = format!("{waiting} and state_reason is distinct from 'waiting_for_removal'");
        assert_eq!(self.rig.count(&other).await, 0, "what was pulled is decided");
        eprintln!("{} records wait for the removal of another one", self.rig.count(waiting).await);
    }

    /// A full sweep of all targets leaves them as they are.
    pub(crate) async fn assert_a_sweep_writes_nothing(&self) {
        let writes = each!(self, sim => sim.counters().writes_applied());
        let (code, out) = self.rig.run(&["sweep", "outbound"]).await;
        assert_eq!(code, 0, "{out}");
        self.settled().await;
        assert_eq!(each!(self, sim => sim.counters().writes_applied()), writes);
        eprintln!("writes: {writes:?}");
    }
}

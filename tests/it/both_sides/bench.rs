//! Five remotes behind one EMS that remembers every version that it ever had.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync_remotes::Entry;
use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::tagserver::TagServerOptions;
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::there::stands;
use crate::five::world::{Five, LISTS, QUESTION, each};
use crate::support::parity;
use crate::support::readings::{chatwoot, mailchimp, mautic, runsignup};

/// What Chatwoot signs its webhooks with.
const SECRET: &str = "whsec_both_sides";

/// Every version of every row, whether it was ems-sync that wrote it, and for which remote: by the functions that were under way.
const HISTORY: &str = "
    create table public.history (
        n bigint generated always as identity primary key, tab text, id bigint, op text, by_us boolean, taken_from text, row jsonb);
    create function public.note() returns trigger language plpgsql as $$
    declare
        functions text;
    begin
        get diagnostics functions = pg_context;
        insert into public.history (tab, id, op, by_us, taken_from, row)
        select tg_table_name, r.id, tg_op, current_setting('application_name') like 'ems-sync%',
               substring(functions from 'sync[.](runsignup|chatwoot)_'), to_jsonb(r)
        from (select (case when tg_op = 'DELETE' then old else new end).*) r;
        return null;
    end $$;";

pub(super) struct Both {
    pub(super) five: Five,
}

impl Both {
    /// So many persons, each with an address, a number and a city of her own, so that what a merge of two contacts fills in is nobody's old
    /// value; most of them run. Nothing runs yet.
    pub(super) async fn new(people: i64) -> Self {
        let mut five = Five::new(0, TagServerOptions::default()).await;
        // Pulls happen all the time.
        five.rig.set("SWEEP__INBOUND_EVERY", "1s");
        five.rig
            .exec(&format!(
                "insert into ems.person (first_name, last_name, email, phone, city, country, date_of_birth, gender)
                     select 'First' || n, 'Last' || n, 'p' || n || '@club.org', '+2781' || lpad(n::text, 7, '0'),
                            'Home ' || translate(n::text, '0123456789', 'abcdefghij'), 'ZA',
                            date '1970-01-01' + n::int, (array['FEMALE', 'MALE'])[1 + n % 2]
                     from generate_series(1, {people}) n;
                 insert into ems.event_participant (event_id, person_id, race_id, number, registered_on)
                     select 1, p.id, (select min(r.id) + p.id % 3 from ems.race r where r.event_id = 1), p.id::text, now()
                     from ems.person p where p.id % 10 <> 0;
                 insert into ems.list_membership (person_id, list_code, status)
                     select id, 'news', 'SUBSCRIBED' from ems.person where id % 2 = 0;
                 {HISTORY}"
            ))
            .await;
        for table in
            ["person", "event_participant", "event", "race", "conversation", "contact_preference"]
        {
            five.rig
                .exec(&format!(
                    "insert into public.history (tab, id, op, by_us, row) select '{table}', t.id, 'INSERT', false, to_jsonb(t) from ems.{table} t;
                     create trigger note after insert or update or delete on ems.{table} for each row execute function public.note()"
                ))
                .await;
        }
        Self { five }
    }

    /// Chatwoot tells of what happens there, at this port.
    pub(super) fn with_webhook(&mut self, port: u16) {
        self.five.rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
        self.five.rig.set("TARGETS__CHATWOOT__WEBHOOK_SECRET", SECRET);
        let hook = json!({"url": format!("http://127.0.0.1:{port}/hooks/chatwoot"), "secret": SECRET,
                          "subscriptions": ["contact_created", "contact_updated", "conversation_created", "conversation_updated"]});
        self.five.chatwoot.configure(|settings| settings.allow_private_network = true);
        self.five.chatwoot.plant(Resource::Webhook, hook).unwrap();
    }

    pub(super) async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.five.rig.ems.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }

    /// Writes to the EMS so far, by anybody.
    pub(super) async fn versions(&self) -> i64 {
        self.five.rig.count("select count(*) from public.history").await
    }

    /// Mutating requests that were taken so far.
    pub(super) fn writes(&self) -> [(&'static str, usize); 5] {
        let is_write = |entry: &Entry| entry.operation.is_write() && entry.applied;
        each!(self.five, sim => sim.journal().iter().filter(|entry| is_write(entry)).count())
    }

    /// Both sides hold the same, by an independent reading, and nobody was spoken to as must not be.
    pub(super) async fn assert_agrees(&self) {
        let (five, ems) = (&self.five, &self.five.rig.ems);
        let mut wrong: Vec<String> = self.open().await;
        let lists = mailchimp::differences(ems, &five.mailchimp, LISTS).await;
        for (target, differences) in [
            ("tagserver", parity::differences(&five.rig).await),
            ("mautic", mautic::differences(ems, &five.mautic).await),
            ("mailchimp", lists),
            ("runsignup", self.runsignup_differences().await),
            ("runsignup", runsignup::race_differences(ems, &five.runsignup).await),
            ("chatwoot", self.chatwoot_differences().await),
        ] {
            let n = differences.len();
            wrong.extend(
                differences.into_iter().take(8).map(|what| format!("{target} (1 of {n}): {what}")),
            );
        }
        for (target, violations) in each!(five, sim => sim.violations()) {
            wrong.extend(violations.iter().take(5).map(|what| format!("{target}: {what:?}")));
        }
        for (target, overlaps) in each!(five, sim => sim.overlaps()) {
            wrong.extend(overlaps.iter().take(5).map(|what| format!("{target}: {what:?}")));
        }
        assert!(wrong.is_empty(), "{wrong:#?} {:#?}", self.accounts(&wrong).await);
    }

    /// What is known of the participants and persons that are named, for a message.
    async fn accounts(&self, wrong: &[String]) -> Vec<String> {
        let mut accounts = Vec::new();
        for what in wrong.iter().take(4) {
            let (target, rest) = what.split_once(' ').unwrap_or((what, ""));
            let Some((_, rest)) = rest.split_once("): ") else { continue };
            let Some((kind, rest)) = rest.split_once(' ') else { continue };
            let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
            let Some(id) = numbers.find(|part| !part.is_empty()) else { continue };
            let entity_type = if kind == "participant" { "event_participant" } else { kind };
            accounts.push(format!("--- {what}"));
            let of = format!(
                "target = '{target}' and entity_type = '{entity_type}' and entity_id = {id}"
            );
            for sql in [
                format!("select concat('record ', to_jsonb(r) - 'parents' - 'holds') from sync.record r where {of}"),
                format!("select concat('agreed ', a::text) from sync.agreed a where {of}"),
                format!("select concat('inbox ', to_jsonb(i)) from sync.inbox i where target = '{target}' and entity_type = '{entity_type}'
                         and remote_id = (select remote_id from sync.record where {of})"),
                format!("select concat('conflict ', to_jsonb(c)) from sync.conflict c where {of} order by conflict_id"),
                format!("select concat('attempt ', a::text) from sync.attempt a where {of} order by attempted_on desc limit 15"),
                format!("select concat('version ', h.n, h.by_us, h.row) from public.history h
                         where tab = '{entity_type}' and id = {id} or tab = 'person' and id = (
                             select person_id from ems.event_participant where id = {id}) order by n desc limit 12"),
            ] {
                accounts.extend(self.texts(&sql).await);
            }
        }
        accounts
    }

    /// The registrations that stand. Who came from there carries no EMS id: its record says who it is. What stands there of a
    /// participant who is deleted here is nobody's any more if people there revived it, and of one who has another is a second one: a
    /// person has been told.
    async fn runsignup_differences(&self) -> Vec<String> {
        let (ems, sim) = (&self.five.rig.ems, &self.five.runsignup);
        let records = "select remote_id::bigint, entity_id::text from sync.record
                       where target = 'runsignup' and entity_type = 'event_participant' and remote_id is not null";
        let records = ems.query(records, &[]).await.unwrap();
        let known: BTreeMap<i64, String> =
            records.iter().map(|row| (row.get(0), row.get(1))).collect();
        let told = self.told("runsignup", "event_participant").await;
        let held = runsignup::held_as(sim, QUESTION, |row| {
            (!told.contains(&row.id.to_string()))
                .then(|| known.get(&row.id).cloned().unwrap_or_default())
        });
        let mut former = self.five.former_emails().await;
        // An address that lost here stays there all the same.
        let lost = "select entity_id::text, lower(f ->> 'remote_value') from sync.conflict c, jsonb_array_elements(c.fields) f
                    where target = 'runsignup' and f ->> 'field' = 'email' and entity_id is not null";
        for row in ems.query(lost, &[]).await.unwrap() {
            former.entry(row.get(0)).or_default().push(json!(row.get::<_, Option<String>>(1)));
        }
        runsignup::compare(runsignup::wanted(ems).await, held, runsignup::but_for_email(&former))
    }

    /// The contacts. One that agents removed or merged away is made anew with the person's next change only.
    async fn chatwoot_differences(&self) -> Vec<String> {
        let gone = "select 'person ' || entity_id || ' has 0 contacts' from sync.record
                    where target = 'chatwoot' and remote_id is null and state_reason = 'gone_there'";
        let gone: BTreeSet<String> = self.texts(gone).await.into_iter().collect();
        let differences = chatwoot::differences(&self.five.rig.ems, &self.five.chatwoot).await;
        differences.into_iter().filter(|what| !gone.contains(what)).collect()
    }

    /// Remote records of which a person has been told: the EMS has deleted theirs, or it has another one.
    pub(super) async fn told(&self, target: &str, entity_type: &str) -> BTreeSet<String> {
        let sql = format!(
            "select remote_id from sync.conflict where target = '{target}' and entity_type = '{entity_type}'
             and reason in ('tombstone', 'ambiguous') and closed_on is null"
        );
        self.texts(&sql).await.into_iter().collect()
    }

    /// Nobody is there twice: what people registered or entered at a remote has become one person at most, and a participant has one
    /// registration that stands (by the readings).
    async fn doubled(&self) -> Vec<String> {
        let sql = "select concat_ws(' ', row ->> 'last_name', count(distinct id)) from public.history
                   where tab = 'person' and op = 'INSERT' and by_us
                   group by row ->> 'first_name', row ->> 'last_name' having count(distinct id) > 1";
        self.texts(sql).await
    }

    /// How many different contents the EMS ever had for a target, but for those that it took from there: the most that a target has to be
    /// told. A person who came from Chatwoot is told to it once: the contact gets our id.
    pub(super) async fn projections(&self) -> BTreeMap<&'static str, i64> {
        let persons = "select id, n, row - 'modified_on' - 'created_on' as row, op, taken_from from public.history where tab = 'person'";
        let chatwoot = format!(
            "select count(*) from (select op, taken_from, row, lag(row) over (partition by id order by n) as was from (
                 select id, n, op, taken_from, jsonb_build_array(op = 'DELETE', row -> 'first_name', row -> 'last_name', row -> 'email', row -> 'phone', row -> 'city',
                                             row -> 'country') as row from ({persons}) p) v) w
             where row is distinct from was and (taken_from is distinct from 'chatwoot' or op = 'INSERT')"
        );
        // Each version of a participant, and each version of its person for each participant that she ever had.
        let runsignup = format!(
            "select (select count(*) from public.history where tab in ('event_participant', 'race', 'event')
                     and taken_from is distinct from 'runsignup')
                  + (select count(*) from (select id, taken_from, row, lag(row) over (partition by id order by n) as was from ({persons}) p) v
                     join (select distinct id, row ->> 'person_id' as person from public.history where tab = 'event_participant') e
                          on e.person = v.id::text
                     where v.row is distinct from v.was and v.taken_from is distinct from 'runsignup')"
        );
        BTreeMap::from([
            ("chatwoot", self.five.rig.count(&chatwoot).await),
            ("runsignup", self.five.rig.count(&runsignup).await),
        ])
    }

    /// No target was written to more often than there were contents to tell it, and conflicts after which the EMS was said again.
    /// Besides: a person who is deleted (or adopted) may take a second request, to take a mark off.
    pub(super) async fn assert_few_writes(&self) {
        let projections = self.projections().await;
        for (target, writes) in self.writes() {
            let Some(projections) = projections.get(target) else { continue };
            let sql = format!("select count(*) from sync.conflict where target = '{target}'");
            let conflicts = self.five.rig.count(&sql).await;
            let taken =
                format!("select count(*) from public.history where taken_from = '{target}'");
            let taken = self.five.rig.count(&taken).await;
            assert!(taken > 0, "{target}: who wrote is not known");
            eprintln!(
                "{target}: {writes} writes, {projections} contents, {conflicts} conflicts, {taken} versions taken from there"
            );
            assert!(writes as i64 <= projections + conflicts, "{target} is told too much");
        }
    }

    /// The EMS never went back, by us, to a value that it had given up.
    async fn flipped_back(&self) -> Vec<String> {
        let sql = "with v as (
                       select h.n, h.tab, h.id, h.by_us, f.key, f.value, lag(f.value) over w as was, lag(h.op) over w as op
                       from public.history h, jsonb_each_text(h.row) f
                       where f.key in ('first_name', 'last_name', 'email', 'phone', 'city', 'number') and h.op <> 'DELETE'
                       window w as (partition by h.tab, h.id, f.key order by h.n))
                   select concat_ws(' ', v.tab, v.id, v.key, v.value, 'was', v.was, 'after', (
                       select string_agg(concat_ws(' ', o.n, case when o.by_us then 'by us' end, coalesce(o.value, 'null')), ', ' order by o.n)
                       from v o where (o.tab, o.id, o.key) = (v.tab, v.id, v.key))) from v
                   where v.by_us and v.value is distinct from v.was and v.value is not null
                     and exists (select from v o where (o.tab, o.id, o.key, o.value) = (v.tab, v.id, v.key, v.value) and o.n < v.n)";
        self.texts(sql).await
    }

    /// All that must hold at the end, of what people did.
    pub(super) async fn assert_nothing_vanished(&self, ledger: &Ledger) {
        let mut wrong = self.vanished(ledger).await;
        wrong.extend(
            self.flipped_back().await.into_iter().map(|what| format!("flips back: {what}")),
        );
        wrong.extend(self.doubled().await.into_iter().map(|what| format!("doubled: {what}")));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// What people typed that can't be found again. Two things excuse it: a push that was between its read and its write (which is
    /// stated as not covered), and a delete in the EMS, which takes the remote record along as it is.
    async fn vanished(&self, ledger: &Ledger) -> Vec<String> {
        let missing = ledger.lost(&self.kept().await, |place| stands(self, place));
        let sql = "select bool_or(a.decision in ('create', 'update')
                                  and $3::text::timestamptz between a.attempted_on - (a.duration_ms + 1000) * interval '1 ms' and a.attempted_on),
                          bool_or(a.decision like 'delete%' and a.attempted_on > $3::text::timestamptz),
                          string_agg(distinct concat_ws(' ', r.entity_type, r.entity_id, r.state, r.remote_id, r.former_remote_id), ', '),
                          string_agg(concat_ws(' ', a.attempted_on::time, a.decision, a.outcome, a.duration_ms), ', ' order by a.attempted_on)
                   from sync.record r left join sync.attempt a using (target, entity_type, entity_id)
                   where r.target = $1 and r.entity_type in ('person', 'event_participant', 'race') and $2 in (r.remote_id, r.former_remote_id)";
        let (mut vanished, mut met, mut deleted) = (Vec::new(), 0, 0);
        for (place, typed) in missing {
            let row = self
                .five
                .rig
                .ems
                .query_one(sql, &[&place.0, &place.1.to_string(), &typed.on.to_string()])
                .await
                .unwrap();
            let [between, went] = [0, 1].map(|n| row.get::<_, Option<bool>>(n).unwrap_or(false));
            if between {
                met += 1;
            } else if went {
                deleted += 1;
            } else {
                let [record, attempts] =
                    [2, 3].map(|n| row.get::<_, Option<String>>(n).unwrap_or_default());
                let now = stands(self, place);
                vanished.push(format!(
                    "vanished: {place:?} {typed:?}; now {now:?}; {record}; {attempts}"
                ));
            }
        }
        // What excuses is to stay an exception.
        if met + deleted > ledger.edits / 20 + 2 {
            vanished.push(format!("{met} met a push, {deleted} went along, of {}", ledger.edits));
        }
        eprintln!(
            "not found: {met} typed between a push's read and its write, {deleted} deleted with their entity, {} vanished",
            vanished.len()
        );
        vanished
    }

    /// Everything that the EMS ever had, and everything that lost.
    async fn kept(&self) -> Kept {
        let history = "select f.value from public.history h, jsonb_each_text(h.row) f where f.value is not null
                       union select concat_ws(' ', row ->> 'first_name', row ->> 'last_name') from public.history where tab = 'person'";
        let lost =
            "select f ->> 'remote_value' from sync.conflict c, jsonb_array_elements(c.fields) f";
        let set = |texts: Vec<String>| texts.into_iter().map(|text| text.to_lowercase()).collect();
        Kept { had: set(self.texts(history).await), lost: set(self.texts(lost).await) }
    }
}

/// Where a value may be found again.
pub(super) struct Kept {
    pub(super) had: BTreeSet<String>,
    pub(super) lost: BTreeSet<String>,
}

/// A field of a JSON object that is text.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|n| n.to_string()))
}

/// A number in letters: no city has a digit.
pub(super) fn letters(n: i64) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

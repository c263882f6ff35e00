//! Random changes over all entity types, one statement each. What is outside of what five remotes can be told in common is left
//! out: nobody takes a former address of somebody else, and who shares one says nothing of consent.

use crate::support::random::Random;

/// Random changes, each with a number of its own.
pub(super) struct Changes {
    random: Random,
    n: i64,
    people: i64,
}

const ALONE: &str = "coalesce(p.email, '') not ilike 'family%'";

impl Changes {
    /// Of an EMS with so many people.
    pub(super) const fn new(random: Random, people: i64) -> Self {
        Self { random, n: 0, people }
    }

    fn number(&mut self, below: i64) -> i64 {
        self.random.below(usize::try_from(below).unwrap()) as i64
    }

    /// Some row of a table, as a subquery for its id.
    fn some(&mut self, table: &str, ids: i64) -> String {
        let from = self.number(ids);
        format!("(select id from ems.{table} where id >= {from} order by id limit 1)")
    }

    fn someone(&mut self) -> String {
        self.some("person", self.people)
    }

    /// One of an event's races.
    fn race_of(&mut self, event: &str) -> String {
        let turn = self.number(7);
        format!(
            "(select r.id from ems.race r where r.event_id = {event} order by (r.id + {turn}) % 7 limit 1)"
        )
    }

    /// The next one.
    pub(super) fn next(&mut self) -> String {
        self.n += 1;
        match self.number(100) {
            0..48 => self.person(),
            48..68 => self.consent(),
            68..84 => self.participant(),
            84..92 => self.start(),
            92..97 => self.tag(),
            _ => self.race(),
        }
    }

    fn person(&mut self) -> String {
        let n = self.n;
        let who = self.someone();
        let set = match self.number(24) {
            0..5 => return self.new_person(),
            5 => return format!("delete from ems.person where id = {who}"),
            6 => {
                let family = self.number(8);
                return format!(
                    "update ems.person p set email = 'Family{family}@Club.org' where id = {who}
                     and exists (select from ems.person o where o.email = 'Family{family}@Club.org' and o.id <> p.id)
                     and not exists (select from ems.contact_preference c where c.person_id = p.id)
                     and not exists (select from ems.list_membership m where m.person_id = p.id and m.status <> 'SUBSCRIBED')"
                );
            }
            7..9 => format!("email = 'moved{n}@Club.org'"),
            9 => "email = null".to_owned(),
            10 => "phone = null, city = null".to_owned(),
            11 => "title = null, language = null, postal_code = null".to_owned(),
            12 => "gender = null, country = null".to_owned(),
            13 => format!("phone = '+2782' || lpad('{}', 7, '0')", 1 + self.number(9)),
            14 => format!("phone = '+2783' || lpad('{n}', 7, '0')"),
            15 => format!(
                "title = 'Dr', language = 'af', postal_code = '{}'",
                1000 + self.number(9000)
            ),
            16 => "country = 'ZA', gender = 'FEMALE', date_of_birth = date_of_birth + 1".to_owned(),
            17 => {
                let city = self.random.pick(&["Durban", "Paarl", "Knysna", "Gqeberha"]);
                format!("city = '{city}', medical_conditions = 'canary {n}'")
            }
            18 => {
                format!("first_name = '{}'", self.random.pick(&["Thandi", "Ngũgĩ", "Zoë", "美咲"]))
            }
            19 => "first_name = first_name".to_owned(),
            _ => format!("last_name = 'Runner ' || id || '-{n}'"),
        };
        format!("update ems.person set {set} where id = {who}")
    }

    fn new_person(&mut self) -> String {
        let n = self.n;
        self.people += 1;
        let event = 1 + self.number(2);
        let race = self.race_of(&event.to_string());
        let [news, club, email, runs] = [50, 30, 70, 60].map(|share| self.random.percent(share));
        let status = *self.random.pick(&["SUBSCRIBED", "SUBSCRIBED", "PENDING", "UNSUBSCRIBED"]);
        format!(
            "with p as (insert into ems.person (first_name, last_name, email, date_of_birth, gender)
                        values ('Late', 'Entry {n}', 'late{n}@Club.org', date '1950-01-01' + {n}, 'MALE') returning id),
                  news as (insert into ems.list_membership (person_id, list_code, status)
                           select id, 'news', '{status}' from p where {news}),
                  club as (insert into ems.list_membership (person_id, list_code, status)
                           select id, 'club', 'SUBSCRIBED' from p where {club}),
                  wish as (insert into ems.contact_preference (person_id, channel, opted_in)
                           select id, 'EMAIL', {email} from p where {news} <> {club})
             insert into ems.event_participant (event_id, person_id, race_id, number)
             select {event}, id, {race}, '{}' from p where {runs}",
            100_000 + n
        )
    }

    /// Consent and memberships.
    fn consent(&mut self) -> String {
        let who = self.someone();
        let list = *self.random.pick(&["news", "news", "club", "elsewhere"]);
        let channel = *self.random.pick(&["EMAIL", "EMAIL", "SMS", "POST"]);
        match self.number(20) {
            0..7 => format!(
                "insert into ems.contact_preference (person_id, channel, opted_in)
                 select p.id, '{channel}', {} from ems.person p where p.id = {who} and {ALONE}
                 on conflict (person_id, channel) do update set opted_in = excluded.opted_in",
                self.random.percent(60)
            ),
            7 => format!(
                "delete from ems.contact_preference c where c.person_id = {who} and c.opted_in
                 and not exists (select from ems.list_membership m where m.person_id = c.person_id)"
            ),
            8..14 => format!(
                "insert into ems.list_membership (person_id, list_code, status)
                 select p.id, '{list}', '{}' from ems.person p where p.id = {who} and {ALONE}
                 on conflict (person_id, list_code) do update set status = excluded.status",
                self.random.pick(&["SUBSCRIBED", "SUBSCRIBED", "UNSUBSCRIBED", "PENDING"])
            ),
            14..18 => format!(
                "update ems.list_membership set labels = '{{{}}}' where person_id = {who} and list_code = '{list}'",
                self.random.pick(&["Trail", "VIP,trail", "", "Zoë,Round"])
            ),
            _ => format!(
                "delete from ems.list_membership where person_id = {who} and list_code = '{list}'"
            ),
        }
    }

    fn participant(&mut self) -> String {
        let n = self.n;
        let which = self.some("event_participant", self.people);
        let set = match self.number(16) {
            0..4 => {
                let (who, event) = (self.someone(), 1 + self.number(2));
                let race = self.race_of(&event.to_string());
                return format!(
                    "insert into ems.event_participant (event_id, person_id, race_id, number)
                     select {event}, p.id, {race}, '{}' from ems.person p where p.id = {who} on conflict do nothing",
                    100_000 + n
                );
            }
            4..6 => return format!("delete from ems.event_participant where id = {which}"),
            6..9 => format!("number = '{}'", 100_000 + n),
            9 => "number = null".to_owned(),
            10..13 => format!("race_id = {}", self.race_of("ep.event_id")),
            13 => "status = 'WITHDRAWN'".to_owned(),
            14 => "status = 'CONFIRMED', paid = true".to_owned(),
            _ => "status = 'REGISTERED', team = 'canary'".to_owned(),
        };
        format!("update ems.event_participant ep set {set} where id = {which}")
    }

    /// Start groups, and who is in them.
    fn start(&mut self) -> String {
        let n = self.n;
        let group = self.some("start_group", 12);
        match self.number(10) {
            0..4 => {
                let which = self.some("event_participant", self.people);
                format!(
                    "insert into ems.start_group_participant (start_group_id, event_participant_id, seq)
                     select {group}, ep.id, {n} from ems.event_participant ep where ep.id = {which} on conflict do nothing"
                )
            }
            4..6 => format!(
                "update ems.start_group_participant set seq = {n} where id = {}",
                self.some("start_group_participant", self.people / 2)
            ),
            6 => format!(
                "delete from ems.start_group_participant where id = {}",
                self.some("start_group_participant", self.people / 2)
            ),
            7 => format!(
                "insert into ems.start_group (race_id, name, seq) values ({}, 'Group {n}', {n})",
                self.race_of("1")
            ),
            8 if self.random.percent(20) => {
                format!("delete from ems.start_group where id = {group}")
            }
            _ => format!(
                "update ems.start_group set name = 'Wave {n}', start_time = null where id = {group}"
            ),
        }
    }

    fn tag(&mut self) -> String {
        let n = self.n;
        let (tag, who) = (self.some("tag", self.people / 2), self.someone());
        match self.number(6) {
            0 | 1 => format!(
                "insert into ems.tag (person_id, number, uuid, valid_from)
                 select p.id, 'N-{n}', gen_random_uuid(), now() from ems.person p where p.id = {who}"
            ),
            2 => format!("update ems.tag set valid_to = now(), bib_number = null where id = {tag}"),
            3 => format!("update ems.tag set person_id = coalesce({who}, person_id) where id = {tag}"),
            4 => format!("update ems.tag set barcode = 'B{n}' where id = {tag}"),
            _ => format!("delete from ems.tag where id = {tag}"),
        }
    }

    /// What people enter. RunSignup can delete none of it.
    fn race(&mut self) -> String {
        let n = self.n;
        let (event, race) = (1 + self.number(2), self.some("race", 6));
        match self.number(10) {
            0..3 => format!("update ems.race set name = 'Race {n}' where id = {race}"),
            3 => format!(
                "update ems.race set start_time = start_time + interval '1 minute', fee = {n} where id = {race}"
            ),
            4 => format!("update ems.race set status = 'READY' where id = {race}"),
            5 => format!(
                "update ems.event set name = 'Event {n}', venue = 'canary' where id = {event}"
            ),
            6 => format!(
                "update ems.event set city = 'City {n}', end_date_time = null where id = {event}"
            ),
            7 => format!("update ems.organisation set name = 'Club {n}' where id = {event}"),
            8 => format!("insert into ems.organisation (name) values ('Club {n}')"),
            _ => format!(
                "insert into ems.race (event_id, name, distance_meters, start_time)
                 values ({event}, 'Race {n}', {n}, '2099-11-29T06:00:00Z')"
            ),
        }
    }
}

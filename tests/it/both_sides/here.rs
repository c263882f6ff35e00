//! What people do in the EMS, one statement each. What they type is never typed again, so that it can be told from what comes from the
//! remotes. Who registered at RunSignup is not taken out here: that is a task for a person, and has tests of its own.

use super::bench::letters;
use crate::support::random::Random;

/// Not one who registered there.
const OURS: &str = "not exists (select from public.history h where h.tab = 'event_participant' and h.by_us and h.op = 'INSERT' and
                    (h.row ->> 'person_id')::bigint = ";

pub(super) struct Here {
    random: Random,
    n: i64,
}

impl Here {
    pub(super) const fn new(random: Random) -> Self {
        Self { random, n: 0 }
    }

    fn some(&mut self, table: &str, condition: &str) -> String {
        let turn = self.random.below(1_000_000);
        format!(
            "(select t.id from ems.{table} t where {condition} order by (t.id * 7919 + {turn}) % 1009, t.id limit 1)"
        )
    }

    /// The next one.
    pub(super) fn next(&mut self) -> String {
        self.n += 1;
        match self.random.below(100) {
            0..60 => self.person(),
            60..68 => self.new_person(),
            68..90 => self.participant(),
            90..93 => self.race(),
            93..96 => {
                let who = self.some("person", &format!("{OURS} t.id)"));
                format!("delete from ems.person where id = {who}")
            }
            // Somebody was deleted by mistake, and is entered again under the same number.
            _ => "insert into ems.person
                  select (jsonb_populate_record(null::ems.person, h.row)).* from public.history h
                  where h.tab = 'person' and h.op = 'DELETE' and not exists (select from ems.person p where p.id = h.id)
                  order by h.n desc limit 1".to_owned(),
        }
    }

    fn person(&mut self) -> String {
        let n = self.n;
        let set = match self.random.below(16) {
            0..4 => format!("last_name = 'E{n}'"),
            4..6 => format!("first_name = 'Ems{n}'"),
            6..8 => format!("city = 'Ecity {}'", letters(n)),
            8..10 => format!("phone = '+2783' || lpad('{n}', 7, '0')"),
            10..12 => format!("email = 'e{n}@Club.org'"),
            12 => "gender = case gender when 'MALE' then 'FEMALE' else 'MALE' end".to_owned(),
            13 => format!("date_of_birth = date '1960-01-01' + {n}"),
            14 => format!("first_name = 'Both{n}', last_name = 'Eb{n}', city = null"),
            _ => "phone = null".to_owned(),
        };
        let who = self.some("person", "true");
        format!("update ems.person set {set} where id = {who}")
    }

    fn new_person(&mut self) -> String {
        let n = self.n;
        let turn = self.random.below(3);
        let runs = self.random.percent(70);
        format!(
            "with p as (insert into ems.person (first_name, last_name, email, date_of_birth, gender)
                        values ('Late{n}', 'Entry{n}', 'late{n}@club.org', date '1980-01-01' + {n}, 'MALE') returning id)
             insert into ems.event_participant (event_id, person_id, race_id, number)
             select 1, id, (select min(r.id) + {turn} from ems.race r where r.event_id = 1), '{}' from p where {runs}",
            100_000 + n
        )
    }

    fn participant(&mut self) -> String {
        let n = self.n;
        let (which, ours) = (
            self.some("event_participant", "true"),
            self.some("event_participant", &format!("{OURS} t.person_id)")),
        );
        let turn = self.random.below(3);
        let set = match self.random.below(12) {
            0..4 => format!("number = '{}'", 200_000 + n),
            4..6 => format!("race_id = (select min(r.id) + {turn} from ems.race r where r.event_id = ep.event_id)"),
            6 => return format!("update ems.event_participant set status = 'WITHDRAWN' where id = {ours}"),
            7 => return format!("delete from ems.event_participant where id = {ours}"),
            8 => "status = case status when 'REGISTERED' then 'CONFIRMED' else status end, shirt_size = 'M'".to_owned(),
            9 => "number = null".to_owned(),
            _ => {
                let who = self.some("person", "true");
                return format!(
                    "insert into ems.event_participant (event_id, person_id, race_id, number)
                     select 2, {who}, (select min(r.id) + {turn} from ems.race r where r.event_id = 2), '{}' on conflict do nothing",
                    300_000 + n
                );
            }
        };
        format!("update ems.event_participant ep set {set} where id = {which}")
    }

    fn race(&mut self) -> String {
        let n = self.n;
        let race = self.some("race", "true");
        match self.random.below(3) {
            0 => format!("update ems.event set name = 'Eevent {n}' where id = 1"),
            1 => format!(
                "update ems.race set start_time = start_time + interval '1 minute' where id = {race}"
            ),
            _ => format!("update ems.race set name = 'Erace {n}' where id = {race}"),
        }
    }
}

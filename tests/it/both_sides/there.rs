//! What people do at RunSignup and at Chatwoot. What they type is never typed again.

use ems_sync_remotes::chatwoot::{Author, Resource as Desk};
use ems_sync_remotes::runsignup::{Action, Registration, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::bench::{Both, letters, text};
use super::ledger::{Ledger, Place};
use crate::support::random::Random;

pub(super) const RUNSIGNUP: &str = "runsignup";
pub(super) const CHATWOOT: &str = "chatwoot";

pub(super) struct There {
    random: Random,
    n: i64,
    pub(super) ledger: Ledger,
    /// Registrations that people took out.
    taken_out: Vec<i64>,
    talks: Vec<i64>,
}

impl There {
    pub(super) fn new(random: Random) -> Self {
        Self { random, n: 0, ledger: Ledger::default(), taken_out: Vec::new(), talks: Vec::new() }
    }

    fn counts(&mut self) {
        self.n += 1;
        self.ledger.edits += 1;
    }

    /// Another edit of a registration, or a new one.
    pub(super) fn next_registration(&mut self, both: &Both) {
        self.counts();
        if self.random.percent(10) { self.register(both) } else { self.edit_registration(both) }
    }

    /// Another edit of a contact.
    pub(super) fn next_contact(&mut self, both: &Both) {
        self.counts();
        self.edit_contact(both);
    }

    /// The next one.
    pub(super) fn next(&mut self, both: &Both) {
        self.counts();
        match self.random.below(100) {
            0..32 => self.edit_registration(both),
            32..38 => self.register(both),
            38..50 => self.act_on_registration(both),
            50..52 => self.rename(both),
            52..78 => self.edit_contact(both),
            78..83 => self.new_contact(both),
            83..91 => self.talk(both),
            91..94 => self.block(both),
            94..97 => self.merge(both),
            _ => self.remove_contact(both),
        }
    }

    fn registration(&mut self, both: &Both) -> Option<Registration> {
        let standing: Vec<_> =
            both.five.runsignup.registrations().into_iter().filter(|row| row.active).collect();
        (!standing.is_empty()).then(|| self.random.pick(&standing).clone())
    }

    /// A field of a registration is edited, by the runner or by the race's director.
    fn edit_registration(&mut self, both: &Both) {
        let Some(row) = self.registration(both) else { return };
        let n = self.n;
        let (field, value) = match self.random.below(10) {
            0..3 => ("last_name", format!("R{n}")),
            3 => ("first_name", format!("Rsu{n}")),
            4 => ("email", format!("r{n}@There.org")),
            5 => ("city", format!("Rcity {}", letters(n))),
            6 => ("phone", format!("+1856{:07}", 2_000_000 + n)),
            _ => ("bib_num", (500_000 + n).to_string()),
        };
        self.ledger.wrote(
            (RUNSIGNUP, row.id, field),
            &value,
            stands(both, (RUNSIGNUP, row.id, field)).as_deref(),
        );
        let edit = match field {
            "bib_num" => json!({"bib_num": value.parse::<i64>().unwrap()}),
            "city" => json!({"user": {"address": {"city": value}}}),
            "phone" => {
                json!({"user": {"phone": format!("{}-{}-{}", &value[2..5], &value[5..8], &value[8..])}})
            }
            _ => json!({"user": {field: value}}),
        };
        self.touch(both, row.id, edit);
    }

    fn touch(&self, both: &Both, id: i64, mut edit: Value) {
        edit["id"] = json!(id);
        edit["last_modified"] = json!(Timestamp::now().as_second());
        both.five.runsignup.plant(Resource::Registration, edit).unwrap();
    }

    /// Somebody registers and pays.
    fn register(&mut self, both: &Both) {
        let n = self.n;
        let race = 7001 + self.random.below(6) as i64;
        let (first, last, email) =
            (format!("New{n}"), format!("Runner{n}"), format!("n{n}@there.org"));
        let born = jiff::civil::date(1990, 1, 1).saturating_add(jiff::Span::new().days(n));
        let user = json!({"first_name": first, "last_name": last, "dob": born.to_string(), "gender": "F", "email": email});
        let id = both
            .five
            .runsignup
            .register(race, json!({"user": user, "bib_num": 700_000 + n}))
            .unwrap();
        for (field, value) in [
            ("last_name", last),
            ("first_name", first),
            ("email", email),
            ("bib_num", (700_000 + n).to_string()),
        ] {
            self.ledger.wrote((RUNSIGNUP, id, field), &value, None);
        }
    }

    fn act_on_registration(&mut self, both: &Both) {
        let sim = &both.five.runsignup;
        if self.random.percent(25) && !self.taken_out.is_empty() {
            let which = self.random.below(self.taken_out.len());
            let id = self.taken_out.swap_remove(which);
            sim.act(id, Action::Reactivate);
            return;
        }
        let Some(row) = self.registration(both) else { return };
        match self.random.below(5) {
            0 => {
                if sim.act(row.id, Action::Remove).is_some() {
                    self.taken_out.push(row.id);
                }
            }
            1 => {
                sim.act(row.id, Action::Defer);
            }
            _ => {
                // Within its race there, to another event.
                let base = if row.event_id < 7004 { 7001 } else { 7004 };
                let event_id = base + self.random.below(3) as i64;
                if event_id != row.event_id
                    && let Some(new) = sim.act(row.id, Action::Transfer { event_id })
                {
                    self.ledger.moved(RUNSIGNUP, row.id, new.id);
                }
            }
        }
    }

    fn rename(&mut self, both: &Both) {
        let (n, sim) = (self.n, &both.five.runsignup);
        let event = 7001 + self.random.below(6) as i64;
        let place = (RUNSIGNUP, event, "name");
        let name = format!("Rrace {n}");
        self.ledger.wrote(place, &name, stands(both, place).as_deref());
        sim.plant(Resource::Event, json!({"id": event, "name": name})).unwrap();
    }

    fn contact(&mut self, both: &Both) -> Option<i64> {
        let ids: Vec<i64> =
            both.five.chatwoot.rows(Desk::Contact).into_iter().map(|row| row.id).collect();
        (!ids.is_empty()).then(|| *self.random.pick(&ids))
    }

    /// An agent edits a contact.
    fn edit_contact(&mut self, both: &Both) {
        let Some(id) = self.contact(both) else { return };
        let n = self.n;
        let (field, value) = match self.random.below(8) {
            0..4 => ("name", format!("Desk{n} Agent{n}")),
            4 | 5 => ("email", format!("c{n}@desk.org")),
            6 => ("phone_number", format!("+2784{n:07}")),
            _ => ("city", format!("Ccity {}", letters(n))),
        };
        let place = (CHATWOOT, id, field);
        self.ledger.wrote(place, &value, stands(both, place).as_deref());
        let mut edit = match field {
            "city" => json!({"additional_attributes": {"city": value}}),
            _ => json!({field: value}),
        };
        edit["id"] = json!(id);
        both.five.chatwoot.plant(Desk::Contact, edit).unwrap();
    }

    fn new_contact(&mut self, both: &Both) {
        let n = self.n;
        // Without a last name nobody becomes a person.
        let name =
            if self.random.percent(70) { format!("Caller{n} Cold{n}") } else { format!("Nick{n}") };
        let email = format!("call{n}@desk.org");
        let id = both
            .five
            .chatwoot
            .plant(Desk::Contact, json!({"name": name, "email": email}))
            .unwrap()
            .id;
        self.ledger.wrote((CHATWOOT, id, "name"), &name, None);
        self.ledger.wrote((CHATWOOT, id, "email"), &email, None);
    }

    fn talk(&mut self, both: &Both) {
        let sim = &both.five.chatwoot;
        if self.random.percent(40) && !self.talks.is_empty() {
            let talk = *self.random.pick(&self.talks);
            let status = *self.random.pick(&["open", "resolved", "pending"]);
            sim.plant(Desk::Conversation, json!({"id": talk, "status": status})).ok();
            sim.message(talk, Author::Contact, "canary").ok();
            return;
        }
        let Some(id) = self.contact(both) else { return };
        self.talks.push(
            sim.plant(Desk::Conversation, json!({"contact_id": id, "labels": ["bib"]})).unwrap().id,
        );
    }

    fn block(&mut self, both: &Both) {
        let Some(id) = self.contact(both) else { return };
        let blocks = self.random.percent(60);
        both.five.chatwoot.block(id, blocks).unwrap();
    }

    /// One contact goes into another one: what it held goes with it.
    fn merge(&mut self, both: &Both) {
        let (Some(base), Some(mergee)) = (self.contact(both), self.contact(both)) else { return };
        if base == mergee {
            return;
        }
        self.goes(both, mergee);
        both.five.chatwoot.merge(base, mergee).unwrap();
    }

    fn remove_contact(&mut self, both: &Both) {
        let Some(id) = self.contact(both) else { return };
        self.goes(both, id);
        both.five.chatwoot.remove(Desk::Contact, id);
    }

    fn goes(&mut self, both: &Both, id: i64) {
        for field in self.ledger.fields(CHATWOOT, id) {
            let place = (CHATWOOT, id, field);
            self.ledger.left(place, stands(both, place).as_deref());
        }
    }
}

/// What stands in a field there now.
pub(super) fn stands(both: &Both, (remote, id, field): Place) -> Option<String> {
    if remote == CHATWOOT {
        let body = both.five.chatwoot.row_by_id(Desk::Contact, id)?.body;
        return match field {
            "city" => text(&body["additional_attributes"]["city"]),
            _ => text(&body[field]),
        };
    }
    let sim = &both.five.runsignup;
    if field == "name" {
        return sim.event(id).map(|event| event.name);
    }
    let row = sim.registration(id)?;
    let user = sim.user(row.user_id)?;
    match field {
        "bib_num" => row.bib_num.map(|bib| bib.to_string()),
        "last_name" => Some(user.last_name),
        "first_name" => Some(user.first_name),
        "email" => user.email,
        "phone" => user.phone.map(|phone| format!("+1{}", phone.replace('-', ""))),
        _ => user.address.city,
    }
}

//! What people do at a remote behind our back: they edit and remove our records, leave some that the EMS does not know, and
//! have records of their own.

use std::collections::BTreeMap;

use ems_sync::target::Target;
use ems_sync_remotes::chatwoot::Resource as Contact;
use ems_sync_remotes::mailchimp::Act;
use ems_sync_remotes::runsignup::Resource as Race;
use ems_sync_remotes::tagserver::Resource as Row;
use serde_json::{Value, json};

use super::bed::{Bed, CLUB, EVENT, NEWS, QUESTION};
use crate::support::random::Random;

/// The type that is meddled with.
pub(super) const fn entity_of(target: Target) -> &'static str {
    match target {
        Target::RunSignup => "event_participant",
        Target::TagServer | Target::Mautic | Target::MailChimp | Target::Chatwoot => "person",
    }
}

impl Bed {
    fn mautic_id(&self, id: i64) -> i64 {
        self.mautic.contact_of(&id.to_string()).unwrap().id
    }

    fn tagserver_id(&self, id: i64) -> i64 {
        self.rig.sim.row(Row::Person, &id.to_string()).unwrap().id
    }

    fn chatwoot_id(&self, id: i64) -> i64 {
        self.chatwoot.contact(&id.to_string()).unwrap().id
    }

    /// The registration of a participant, and its user.
    fn registration(&self, id: i64) -> (i64, i64) {
        let mut found = self.runsignup.registrations_of(&id.to_string());
        found.retain(|row| row.active);
        (found[0].id, found[0].user_id)
    }

    /// Somebody edits our record of this entity; the names of the fields that differ from then on.
    pub(super) fn edit(&self, target: Target, id: i64, random: &mut Random) -> Vec<String> {
        let word = format!("Meddled{}", random.below(1_000_000));
        let names: &[&str] = match target {
            Target::TagServer => {
                let field = *random.pick(&["firstName", "lastName"]);
                let row = json!({"id": self.tagserver_id(id), field: word});
                self.rig.sim.plant(Row::Person, row).unwrap();
                &[field]
            }
            Target::Mautic => {
                let (field, value) = random
                    .pick(&[
                        ("lastname", json!(word)),
                        ("city", json!(word)),
                        ("mobile", Value::Null),
                        ("ems_person_id", Value::Null),
                        ("email", json!(format!("{word}@club.org").to_lowercase())),
                    ])
                    .clone();
                self.mautic.plant(json!({"id": self.mautic_id(id), field: value})).unwrap();
                &[field]
            }
            Target::MailChimp => {
                let (code, list) = *random.pick(&[("news", NEWS), ("club", CLUB)]);
                let who = format!("runner{id}@club.org");
                let row = match random.below(3) {
                    0 => json!({"email_address": who, "merge_fields": {"LNAME": word}}),
                    1 => json!({"email_address": who, "merge_fields": {"FNAME": null}}),
                    _ => json!({"email_address": who, "language": "fr"}),
                };
                self.mailchimp.plant(list, &row).unwrap();
                &[code]
            }
            Target::RunSignup => {
                let (registration, user) = self.registration(id);
                match random.below(3) {
                    0 => {
                        let row = json!({"id": user, "last_name": word});
                        self.runsignup.plant(Race::User, row).unwrap();
                        &["last_name"]
                    }
                    1 => {
                        let row = json!({"id": user, "first_name": word});
                        self.runsignup.plant(Race::User, row).unwrap();
                        &["first_name"]
                    }
                    _ => {
                        let row = json!({"id": registration, "bib_num": 50_000 + id});
                        self.runsignup.plant(Race::Registration, row).unwrap();
                        &["bib_num"]
                    }
                }
            }
            Target::Chatwoot => {
                let contact = self.chatwoot_id(id);
                let (row, names): (Value, &[&str]) = match random.below(5) {
                    0 => (json!({"name": word}), &["name"]),
                    1 => (json!({"phone_number": null}), &["phone_number"]),
                    2 => (json!({"email": format!("{word}@club.org").to_lowercase()}), &["email"]),
                    3 => (json!({"additional_attributes": {"city": word}}), &["city"]),
                    _ => (
                        json!({"identifier": null, "custom_attributes": null}),
                        &["ems_person_id", "identifier"],
                    ),
                };
                let mut row = row;
                row["id"] = json!(contact);
                self.chatwoot.plant(Contact::Contact, row).unwrap();
                names
            }
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Somebody removes our record of this entity; whose record it was. A person with tags and registrations can't be
    /// removed at TagServer: a tag is. At MailChimp, where it means that they want no more mail, people are archived.
    pub(super) fn delete(&self, target: Target, id: i64) -> &'static str {
        match target {
            Target::TagServer => {
                let tag = self.rig.sim.row(Row::Tag, &id.to_string()).unwrap();
                assert!(self.rig.sim.remove(Row::Tag, tag.id));
                return "tag";
            }
            Target::Mautic => assert!(self.mautic.remove(self.mautic_id(id))),
            Target::MailChimp => {
                for list in [NEWS, CLUB] {
                    let who = format!("runner{id}@club.org");
                    self.mailchimp.act(list, &who, &Act::Archive).unwrap();
                }
            }
            Target::RunSignup => {
                assert!(self.runsignup.remove(Race::Registration, self.registration(id).0));
            }
            Target::Chatwoot => {
                assert!(self.chatwoot.remove(Contact::Contact, self.chatwoot_id(id)));
            }
        }
        entity_of(target)
    }

    /// A record that says it is ours, of nobody in the EMS; without an id it is somebody else's.
    pub(super) fn plant(&self, target: Target, name: &str, ems_id: Option<i64>) {
        let email = format!("{name}@elsewhere.org");
        let key = ems_id.map(|id| id.to_string());
        match target {
            Target::TagServer => {
                let row = json!({"externalId": key, "firstName": name, "lastName": "Else"});
                self.rig.sim.plant(Row::Person, row).unwrap();
            }
            Target::Mautic => {
                let row = json!({"firstname": name, "email": email, "ems_person_id": key});
                self.mautic.plant(row).unwrap();
            }
            Target::MailChimp => {
                let row =
                    json!({"email_address": email, "merge_fields": {"FNAME": name, "EMSID": key}});
                self.mailchimp.plant(NEWS, &row).unwrap();
            }
            Target::RunSignup => {
                let user = json!({"first_name": name, "last_name": "Else", "dob": "1970-01-01", "gender": "F", "email": email});
                let responses =
                    key.map_or_else(|| json!({}), |key| json!({QUESTION.to_string(): key}));
                let row =
                    json!({"user": user, "imported": ems_id.is_some(), "responses": responses});
                self.runsignup.register(EVENT, row).unwrap();
            }
            Target::Chatwoot => {
                let mut row = json!({"name": name, "email": email});
                if let Some(key) = key {
                    row["identifier"] = json!(format!("ems-person-{key}"));
                    row["custom_attributes"] = json!({"ems_person_id": key});
                }
                self.chatwoot.plant(Contact::Contact, row).unwrap();
            }
        }
    }

    /// Every record, by the remote's id.
    pub(super) fn rows(&self, target: Target) -> BTreeMap<String, String> {
        match target {
            Target::TagServer => Row::ALL
                .iter()
                .flat_map(|resource| {
                    let rows = self.rig.sim.rows(*resource);
                    rows.into_iter()
                        .map(move |row| (format!("{resource:?} {}", row.id), row.body.to_string()))
                })
                .collect(),
            Target::Mautic => {
                let contacts = self.mautic.contacts().into_iter();
                contacts.map(|contact| (contact.id.to_string(), format!("{contact:?}"))).collect()
            }
            Target::MailChimp => [NEWS, CLUB]
                .iter()
                .flat_map(|list| self.mailchimp.rows(list))
                .map(|row| (format!("{} {}", row.list_id, row.id), format!("{row:?}")))
                .collect(),
            Target::RunSignup => {
                let rows = self.runsignup.registrations().into_iter();
                let shown = |user: i64| self.runsignup.user(user);
                rows.map(|row| (row.id.to_string(), format!("{row:?} {:?}", shown(row.user_id))))
                    .collect()
            }
            Target::Chatwoot => {
                let rows = self.chatwoot.rows(Contact::Contact).into_iter();
                rows.map(|row| (row.id.to_string(), row.body.to_string())).collect()
            }
        }
    }
}

//! The kit of Mautic: persons as contacts, with what forbids e-mail and SMS.

use ems_sync::entity::EntityType;
use ems_sync::remote::HttpSettings;
use ems_sync::remote::Wire;
use ems_sync::remote::mautic::{Credentials, Mautic};
use ems_sync_remotes::mautic::{Contact, Mautic as Sim, MauticOptions};
use ems_sync_remotes::{Reimage, Remote as _, Simulator, Upheaval};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::kit::{Content, Kit};

pub(super) struct MauticKit(Simulator<Sim>);

impl MauticKit {
    fn contact(&self, id: i64) -> Option<Contact> {
        self.0.contact_of(&id.to_string())
    }
}

impl Kit for MauticKit {
    type Sim = Sim;
    type Client = Mautic;

    const ENTITY: EntityType = EntityType::Person;
    const LOGS_IN: bool = true;

    async fn start() -> Self {
        Self(Sim::start(MauticOptions::default()).await.unwrap())
    }

    /// Nothing tells installations apart but their address.
    async fn start_elsewhere() -> Self {
        Self::start().await
    }

    fn sim(&self) -> &Simulator<Sim> {
        &self.0
    }

    fn client(&self, http: &HttpSettings) -> Mautic {
        let options = MauticOptions::default();
        let secret = SecretString::from(options.client_secret);
        Mautic::new(http, Credentials::Client { id: options.client_id, secret }).unwrap()
    }

    fn projection(&self, id: i64, content: Content) -> Value {
        let first_name = match content {
            Content::A | Content::Cleared => format!("Thandiwe{id}"),
            Content::B => format!(" Nomvula{id} "),
        };
        let optional = |text: String| (content != Content::Cleared).then_some(text);
        json!({ "title": optional("Professor".to_owned()), "first_name": first_name, "last_name": "Ndlovu",
                "email": format!(" Runner{id}@Example.ORG"), "phone": optional(format!("+2782{id:07}")),
                "city": optional("Pietermaritzburg".to_owned()), "postal_code": optional("03201".to_owned()),
                "country": optional("ZA".to_owned()), "language": optional("en-ZA".to_owned()),
                "email_opted_in": false, "email_preference_on": "2026-01-02T03:04:05Z",
                "sms_opted_in": null, "sms_preference_on": null })
    }

    fn colliding(&self, id: i64, other: i64) -> Option<Value> {
        let mut row = self.projection(id, Content::B);
        row["email"] = self.projection(other, Content::A)["email"].clone();
        Some(row)
    }

    fn held(&self, id: i64) -> Option<Value> {
        let contact = self.contact(id)?;
        let statement = |channel: &str| {
            let is_forbidden = contact.do_not_contact.iter().any(|entry| entry.channel == channel);
            if is_forbidden { "opted_out" } else { "no_statement" }
        };
        let mut body = json!({ "dnc_email": statement("email"), "dnc_sms": statement("sms") });
        for alias in [
            "ems_person_id",
            "title",
            "firstname",
            "lastname",
            "email",
            "mobile",
            "city",
            "zipcode",
            "country",
            "preferred_locale",
        ] {
            body[alias] = contact.values.get(alias).cloned().unwrap_or_default();
        }
        Some(body)
    }

    /// Since when somebody has opted in or out is not shown.
    fn visible(body: &Value) -> Value {
        let mut body = body.clone();
        let fields = body.as_object_mut().expect("an object");
        fields.retain(|name, _| !name.ends_with("_opted_in_on") && name != Wire::ASIDE);
        body
    }

    fn records(&self) -> usize {
        self.0.contacts().iter().filter(|contact| contact.ems_person_id().is_some()).count()
    }

    fn remove(&self, id: i64) {
        let contact = self.contact(id).expect("it has a contact");
        assert!(self.0.remove(contact.id));
    }

    fn swap(&self, _one: i64, _other: i64) -> bool {
        assert_eq!(self.0.contact_count(), 2, "those two");
        self.0.remote().upheave(Upheaval::Reimage(Reimage::Shuffled), None);
        true
    }
}

super::contract!(MauticKit);

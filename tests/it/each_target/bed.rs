//! An EMS and ems-sync in front of all five simulated remotes, of which a test turns on those that it is about.

use std::path::PathBuf;

use ems_sync::target::Target;
use ems_sync_remotes::chatwoot::{Chatwoot, ChatwootOptions};
use ems_sync_remotes::mailchimp::{ListOptions, MailChimp, MailChimpOptions};
use ems_sync_remotes::mautic::{Mautic, MauticOptions};
use ems_sync_remotes::runsignup::{Resource, RunSignup, RunSignupOptions};
use ems_sync_remotes::tagserver::TagServerOptions;
use ems_sync_remotes::{Certificate, Counters, Entry, ServerOptions, Simulator, Violation};
use serde_json::{Value, json};

use crate::support::rig::Rig;

/// The audiences of list codes `news` and `club`.
pub(super) const NEWS: &str = "a1b2c3d4e5";
pub(super) const CLUB: &str = "f6a7b8c9d0";

/// The race at RunSignup that the EMS's event is mapped to, its event, and its question for our id.
const RACE: i64 = 7;
pub(super) const EVENT: i64 = 71;
pub(super) const QUESTION: i64 = 7885;

/// The same of the simulator of a target, whichever it is.
macro_rules! of_sim {
    ($bed:expr, $target:expr, $sim:ident => $of:expr) => {
        match $target {
            ems_sync::target::Target::TagServer => {
                let $sim = &$bed.rig.sim;
                $of
            }
            ems_sync::target::Target::Mautic => {
                let $sim = &$bed.mautic;
                $of
            }
            ems_sync::target::Target::MailChimp => {
                let $sim = &$bed.mailchimp;
                $of
            }
            ems_sync::target::Target::RunSignup => {
                let $sim = &$bed.runsignup;
                $of
            }
            ems_sync::target::Target::Chatwoot => {
                let $sim = &$bed.chatwoot;
                $of
            }
        }
    };
}
pub(super) use of_sim;

pub(super) struct Bed {
    pub(super) rig: Rig,
    pub(super) mautic: Simulator<Mautic>,
    pub(super) mailchimp: Simulator<MailChimp>,
    pub(super) runsignup: Simulator<RunSignup>,
    pub(super) chatwoot: Simulator<Chatwoot>,
    /// Authorities' certificates, removed at the end.
    ca_files: Vec<PathBuf>,
}

/// Every secret of the configuration, each a word that stands nowhere else.
pub(super) struct Secrets;

impl Secrets {
    pub(super) const TAGSERVER: &str = "canarytagserverpassword7f3a";
    pub(super) const MAUTIC: &str = "canarymauticsecret1b9d";
    pub(super) const MAILCHIMP: &str = "5ca11ab1e0ddba11f005ba11c0ffee42-us21";
    pub(super) const RUNSIGNUP_KEY: &str = "canaryrunsignupkey2c8e";
    pub(super) const RUNSIGNUP: &str = "canaryrunsignupsecret3d7f";
    pub(super) const CALLER_ID: &str = "canarycallerid4e6a";
    pub(super) const CALLER: &str = "canarycallersecret5f5b";
    pub(super) const CHATWOOT: &str = "canarychatwoottoken6a4c";
    pub(super) const WEBHOOK: &str = "canarywebhooksecret7b3d";
    pub(super) const WEBHOOK_BEFORE: &str = "canarywebhookprevious8c2e";
    pub(super) const OPS: &str = "canaryopstoken9d1f";

    pub(super) const ALL: [&str; 11] = [
        Self::TAGSERVER,
        Self::MAUTIC,
        Self::MAILCHIMP,
        Self::RUNSIGNUP_KEY,
        Self::RUNSIGNUP,
        Self::CALLER_ID,
        Self::CALLER,
        Self::CHATWOOT,
        Self::WEBHOOK,
        Self::WEBHOOK_BEFORE,
        Self::OPS,
    ];
}

impl Bed {
    /// Plain HTTP, only this target turned on.
    pub(super) async fn of(target: Target) -> Self {
        Self::with(&[target], None).await
    }

    pub(super) async fn with(enabled: &[Target], tls: Option<Certificate>) -> Self {
        let server = || ServerOptions { tls, ..ServerOptions::default() };
        let rig = Rig::with(TagServerOptions {
            server: server(),
            password: Secrets::TAGSERVER.to_owned(),
            ..TagServerOptions::default()
        })
        .await;
        let mautic = MauticOptions {
            server: server(),
            client_secret: Secrets::MAUTIC.to_owned(),
            ..MauticOptions::default()
        };
        let client_id = mautic.client_id.clone();
        let mautic = Mautic::start(mautic).await.unwrap();
        let mailchimp = MailChimp::start(MailChimpOptions {
            server: server(),
            api_key: Secrets::MAILCHIMP.to_owned(),
            lists: vec![ListOptions::named(NEWS), ListOptions::named(CLUB)],
            ..MailChimpOptions::default()
        })
        .await
        .unwrap();
        let runsignup = RunSignup::start(RunSignupOptions {
            server: server(),
            api_key: Secrets::RUNSIGNUP_KEY.to_owned(),
            api_secret: Secrets::RUNSIGNUP.to_owned(),
            caller_registration: Secrets::CALLER_ID.to_owned(),
            caller_registration_secret: Secrets::CALLER.to_owned(),
            ..RunSignupOptions::default()
        })
        .await
        .unwrap();
        let race = json!({"id": RACE, "name": "Comrades", "timezone": "Africa/Johannesburg",
                          "questions": {QUESTION.to_string(): "EMS ID"}});
        runsignup.plant(Resource::Race, race).unwrap();
        let event = json!({"id": EVENT, "race_id": RACE, "race_event_days_id": 12});
        runsignup.plant(Resource::Event, event).unwrap();
        let mut chatwoot = ChatwootOptions {
            server: server(),
            token: Secrets::CHATWOOT.to_owned(),
            ..ChatwootOptions::default()
        };
        // What the limits do has a test of its own.
        chatwoot.settings.safelisted = true;
        let chatwoot = Chatwoot::start(chatwoot).await.unwrap();

        let mut bed = Self { rig, mautic, mailchimp, runsignup, chatwoot, ca_files: Vec::new() };
        for target in Target::ALL {
            let (root, ca_pem) = bed.address(target);
            let rest = match target {
                Target::MailChimp => "/3.0",
                Target::RunSignup => "/rest",
                Target::TagServer | Target::Mautic | Target::Chatwoot => "",
            };
            let is_on = enabled.contains(&target);
            bed.set(target, "ENABLED", &is_on.to_string());
            bed.set(target, "BASE_URL", &format!("{root}{rest}"));
            bed.set(target, "ALLOW_HTTP", &tls.is_none().to_string());
            bed.set(target, "TIMEOUT", "10s");
            bed.set(target, "SETTLE", "500ms");
            if let Some(pem) = ca_pem {
                let file = std::env::temp_dir().join(format!("ca-{}.pem", uuid::Uuid::new_v4()));
                std::fs::write(&file, pem).unwrap();
                bed.set(target, "CA_FILE", file.to_str().unwrap());
                bed.ca_files.push(file);
            }
        }
        for (target, key, value) in [
            (Target::Mautic, "CLIENT_ID", client_id.as_str()),
            (Target::Mautic, "CLIENT_SECRET", Secrets::MAUTIC),
            (Target::MailChimp, "API_KEY", Secrets::MAILCHIMP),
            (Target::MailChimp, "LISTS__NEWS", NEWS),
            (Target::MailChimp, "LISTS__CLUB", CLUB),
            (Target::RunSignup, "API_KEY", Secrets::RUNSIGNUP_KEY),
            (Target::RunSignup, "API_SECRET", Secrets::RUNSIGNUP),
            (Target::RunSignup, "CALLER_ID", Secrets::CALLER_ID),
            (Target::RunSignup, "CALLER_SECRET", Secrets::CALLER),
            (Target::Chatwoot, "API_TOKEN", Secrets::CHATWOOT),
            (Target::Chatwoot, "ACCOUNT_ID", "1"),
            (Target::Chatwoot, "WEBHOOK_SECRET", Secrets::WEBHOOK),
            (Target::Chatwoot, "WEBHOOK_SECRET_PREVIOUS", Secrets::WEBHOOK_BEFORE),
        ] {
            bed.set(target, key, value);
        }
        bed
    }

    /// A setting of a target.
    pub(super) fn set(&mut self, target: Target, key: &str, value: &str) {
        self.rig.set(&format!("TARGETS__{}__{key}", target.name().to_uppercase()), value);
    }

    /// Where a remote serves, and the authority that it is believed by.
    pub(super) fn address(&self, target: Target) -> (String, Option<String>) {
        of_sim!(self, target, sim => (sim.base_url(), sim.ca_pem().map(str::to_owned)))
    }

    pub(super) fn journal(&self, target: Target) -> Vec<Entry> {
        of_sim!(self, target, sim => sim.journal())
    }

    pub(super) fn counters(&self, target: Target) -> Counters {
        of_sim!(self, target, sim => sim.counters())
    }

    pub(super) fn violations(&self, target: Target) -> Vec<Violation> {
        self.counters(target).violations
    }

    /// `people` persons whom every target wants: with address, number, a registration, both channels and two lists.
    pub(super) async fn populate(&self, people: i64) {
        self.rig.exec(&format!(
            "begin;
             insert into ems.organisation (name) values ('Comrades Club');
             insert into ems.event (organisation_id, name, start_date_time, timezone)
                 select id, 'Comrades', '2056-11-26T04:30:00Z', 'Africa/Johannesburg' from ems.organisation;
             insert into ems.race (event_id, name, distance_meters) select id, '10 km', 10000 from ems.event;
             insert into sync.record (target, entity_type, entity_id, remote_id)
                 select 'runsignup', 'race', id, '{EVENT}' from ems.race;
             insert into ems.person (first_name, last_name, email, phone, date_of_birth, gender, language, address_line, city,
                                     province, postal_code, country)
                 select 'Thandi', 'Runner ' || n, 'runner' || n || '@club.org', '+1856850' || lpad(n::text, 4, '0'),
                        date '1980-01-01' + n::int, 'FEMALE', 'en', n || ' Church Street', 'Trenton', 'NJ', '08057', 'US'
                 from generate_series(1, {people}) n;
             insert into ems.event_participant (event_id, person_id, race_id, number)
                 select r.event_id, p.id, r.id, (10000 + p.id)::text from ems.race r, ems.person p order by p.id;
             insert into ems.contact_preference (person_id, channel, opted_in)
                 select id, c, true from ems.person, unnest(array['EMAIL', 'SMS']) c;
             insert into ems.list_membership (person_id, list_code, status)
                 select id, l, 'SUBSCRIBED' from ems.person, unnest(array['news', 'club']) l;
             insert into ems.tag (person_id, number) select id, 'T' || lpad(id::text, 6, '0') from ems.person;
             commit"
        ))
        .await;
    }

    /// A command that prints one document and ends well.
    pub(super) async fn json(&self, arguments: &[&str]) -> Value {
        let (code, text) = self.rig.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// `verify` of a target: its code and document.
    pub(super) async fn verify(&self, target: Target, repair: bool) -> (i32, Value) {
        let mut arguments = vec!["verify", "--target", target.name(), "--json"];
        if repair {
            arguments.push("--repair");
        }
        let (code, text) = self.rig.run(&arguments).await;
        (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no document: {text}")))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for file in &self.ca_files {
            std::fs::remove_file(file).ok();
        }
    }
}

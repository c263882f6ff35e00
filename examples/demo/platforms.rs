//! The four platforms besides TagServer: how they are started, configured, and asked who is there.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::remote::{Remote, number, text};

/// The audiences at MailChimp of the list codes `news` and `club`.
pub(crate) const NEWS: &str = "a1b2c3d4e5";
pub(crate) const CLUB: &str = "f6a7b8c9d0";
const MAILCHIMP_KEY: &str = "0123456789abcdef0123456789abcdef-us19";

/// At RunSignup: its race (our event), and the one event of it (our race).
const RACE: i64 = 7;
pub(crate) const RUNSIGNUP_EVENT: i64 = 71;

pub(crate) struct Platforms {
    pub(crate) mautic: Remote,
    pub(crate) mailchimp: Remote,
    pub(crate) runsignup: Remote,
    pub(crate) chatwoot: Remote,
}

impl Platforms {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let lists = ["--api-key", MAILCHIMP_KEY, "--list", NEWS, "--list", CLUB];
        let platforms = Self {
            mautic: Remote::start("mautic", &[], folder).await?,
            mailchimp: Remote::start("mailchimp", &lists, folder).await?,
            runsignup: Remote::start("runsignup", &[], folder).await?,
            chatwoot: Remote::start("chatwoot", &[], folder).await?,
        };
        // Nobody can receive mail at `.example`, so MailChimp would refuse these addresses.
        platforms.mailchimp.configure(&json!({ "refuses_fake_addresses": false })).await?;
        // One's own server is exempt from the public limits of requests.
        platforms.chatwoot.configure(&json!({ "safelisted": true })).await?;
        Ok(platforms)
    }

    /// In the order in which `ems-sync` names them.
    pub(crate) const fn all(&self) -> [&Remote; 4] {
        [&self.mautic, &self.mailchimp, &self.runsignup, &self.chatwoot]
    }

    /// What `ems-sync` has to know of each besides its address.
    pub(crate) fn settings(name: &str) -> &'static [(&'static str, &'static str)] {
        match name {
            "mautic" => &[("CLIENT_ID", "1_ems-sync"), ("CLIENT_SECRET", "ems-sync-secret")],
            "mailchimp" => {
                &[("API_KEY", MAILCHIMP_KEY), ("LISTS__NEWS", NEWS), ("LISTS__CLUB", CLUB)]
            }
            "runsignup" => &[("API_KEY", "ems-sync-key"), ("API_SECRET", "ems-sync-secret")],
            "chatwoot" => &[("API_TOKEN", "ems-sync-token"), ("ACCOUNT_ID", "1")],
            _ => &[],
        }
    }

    /// Opens registration for one race at RunSignup, as its director does.
    pub(crate) async fn open_registration(&self, event: &str, race: &str) -> Result<()> {
        let row = json!({"id": RACE, "name": event, "timezone": "Africa/Johannesburg", "questions": {"7885": "EMS ID"}});
        self.runsignup.plant("races", &row).await?;
        let row =
            json!({"id": RUNSIGNUP_EVENT, "race_id": RACE, "race_event_days_id": 12, "name": race});
        self.runsignup.plant("events", &row).await
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        for remote in
            [&mut self.mautic, &mut self.mailchimp, &mut self.runsignup, &mut self.chatwoot]
        {
            remote.stop().await?;
        }
        Ok(())
    }

    /// The contacts at Mautic with this address.
    pub(crate) async fn contacts_at_mautic(&self, email: &str) -> Result<Vec<Value>> {
        with_text(&self.mautic, "contacts", "email", email).await
    }

    /// The contacts at Chatwoot with this address.
    pub(crate) async fn contacts_at_chatwoot(&self, email: &str) -> Result<Vec<Value>> {
        with_text(&self.chatwoot, "contacts", "email", email).await
    }

    /// The members at MailChimp, in any list, with this address.
    pub(crate) async fn members(&self, email: &str) -> Result<Vec<Value>> {
        with_text(&self.mailchimp, "members", "email_address", email).await
    }

    /// The member of the list `news`.
    pub(crate) async fn reader(&self, email: &str) -> Result<Value> {
        let members = self.members(email).await?;
        let reader = members.into_iter().find(|member| text(member, "list_id") == Some(NEWS));
        reader.context("Not in the list at MailChimp")
    }

    /// Members of a list who get its mail.
    pub(crate) async fn subscribed(&self, list: &str) -> Result<u64> {
        let members = self.mailchimp.rows("members").await?;
        let is_one = |row: &&Value| {
            text(row, "list_id") == Some(list) && text(row, "status") == Some("subscribed")
        };
        Ok(u64::try_from(members.iter().filter(is_one).count())?)
    }

    /// Registrations that stand at RunSignup.
    pub(crate) async fn registered(&self) -> Result<u64> {
        let rows = self.runsignup.rows("registrations").await?;
        let is_one = |row: &&Value| {
            number(row, "event_id") == Some(RUNSIGNUP_EVENT)
                && row.get("active").and_then(Value::as_bool) == Some(true)
        };
        Ok(u64::try_from(rows.iter().filter(is_one).count())?)
    }
}

async fn with_text(remote: &Remote, resource: &str, field: &str, is: &str) -> Result<Vec<Value>> {
    let mut rows = remote.rows(resource).await?;
    rows.retain(|row| text(row, field) == Some(is));
    Ok(rows)
}

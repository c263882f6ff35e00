//! How this Chatwoot is set up, and what can be changed while it runs.

use serde::{Deserialize, Serialize};

use crate::ServerOptions;

/// How a simulated Chatwoot starts.
#[derive(Clone, Debug)]
pub struct ChatwootOptions {
    /// Where and how it serves.
    pub server: ServerOptions,
    /// The one account's number.
    pub account_id: i64,
    /// The access token of an administrator.
    pub token: String,
    /// The access token of an agent (contract, section 1).
    pub agent_token: String,
    /// The access token of an agent bot (contract, section 1).
    pub bot_token: String,
    /// The first contact id: far from the EMS ids, so that none is taken for one.
    pub first_id: i64,
    /// What can be changed later.
    pub settings: ChatwootSettings,
}

impl Default for ChatwootOptions {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            account_id: 1,
            token: "ems-sync-token".to_owned(),
            agent_token: "ems-sync-agent-token".to_owned(),
            bot_token: "ems-sync-bot-token".to_owned(),
            first_id: 700_001,
            settings: ChatwootSettings::default(),
        }
    }
}

/// What differs between Chatwoots, and can be changed while one runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches of a server")]
pub struct ChatwootSettings {
    /// Whether a proxy drops headers with underscores, as nginx does (section 1).
    pub drop_underscore_headers: bool,
    /// Whether requests with `Accept-Encoding` are 401 (section 1).
    pub refuse_accept_encoding: bool,
    /// Whether the account is suspended (section 8).
    pub suspended: bool,
    /// Whether the feature flag `crm_v2` hides all but leads from list and filter (section 0.6).
    pub crm_v2: bool,
    /// The language of validation messages (section 8).
    pub locale: Locale,
    /// What a 500 looks like (section 8).
    pub server_error: ServerErrorBody,
    /// What a create with a taken key answers (section 8).
    pub duplicate_create: DuplicateCreate,
    /// Whether each write runs into another one that its validation did not see (section 2).
    pub uniqueness_race: bool,
    /// Requests per clock minute and address (section 9).
    pub requests_per_minute: u32,
    /// Contact searches per clock minute and account (section 9).
    pub searches_per_minute: u32,
    /// `conversations/meta` per clock minute and user (section 9).
    pub conversation_meta_per_minute: u32,
    /// Whether the client's address is exempt from the limits (section 9).
    pub safelisted: bool,
    /// Conversations on a page (section 5).
    pub conversations_per_page: u32,
    /// The inboxes the account has.
    pub inboxes: Vec<i64>,
    /// The inboxes that the agent belongs to (section 1).
    pub agent_inboxes: Vec<i64>,
    /// By how many hours the database's clock is ahead of UTC: days in filters are the database's
    /// (section 3).
    pub database_utc_offset_hours: i8,
    /// How far its clock is ahead of the real time, in seconds.
    pub clock_offset_seconds: i64,
    /// When background jobs run (section 6).
    pub jobs: Jobs,
    /// Whether webhooks may go to loopback and private addresses (section 0.10).
    pub allow_private_network: bool,
    /// Whether webhooks are signed, as from 4.12 on (section 6).
    pub sign_webhooks: bool,
    /// Whether contact webhooks name the account, as from 4.14.2 on (section 11).
    pub account_in_webhooks: bool,
}

impl Default for ChatwootSettings {
    fn default() -> Self {
        Self {
            drop_underscore_headers: true,
            refuse_accept_encoding: false,
            suspended: false,
            crm_v2: false,
            locale: Locale::Portuguese,
            server_error: ServerErrorBody::Html,
            duplicate_create: DuplicateCreate::Unprocessable,
            uniqueness_race: false,
            requests_per_minute: 3000,
            searches_per_minute: 100,
            conversation_meta_per_minute: 30,
            safelisted: false,
            conversations_per_page: 25,
            inboxes: vec![1],
            agent_inboxes: Vec::new(),
            database_utc_offset_hours: 0,
            clock_offset_seconds: 0,
            jobs: Jobs::Held,
            allow_private_network: false,
            sign_webhooks: true,
            account_in_webhooks: true,
        }
    }
}

/// The language of validation messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locale {
    /// English, as the contract quotes it.
    English,
    /// Brazilian Portuguese: nobody may read the words.
    Portuguese,
}

/// The body of a 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerErrorBody {
    /// A page.
    Html,
    /// `{"status":500,"error":"Internal Server Error"}`.
    Json,
}

/// The answer to a create with a taken key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateCreate {
    /// 422, without the other contact's id.
    Unprocessable,
    /// 200 with the other contact, unchanged, as a vendor's build does.
    ExistingContact,
}

/// When background jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jobs {
    /// When they are asked to: `run_jobs`.
    Held,
    /// After each request.
    Immediate,
}

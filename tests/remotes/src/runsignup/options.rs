//! How a simulated RunSignup is set up. The defaults are the less comfortable choice.

use serde::{Deserialize, Serialize};

use crate::ServerOptions;

/// How a RunSignup starts.
#[derive(Clone, Debug)]
pub struct RunSignupOptions {
    /// Where and how it serves.
    pub server: ServerOptions,
    /// The key: `rsu_api_key`, `api_key` or `sp_api_key`.
    pub api_key: String,
    /// The secret: header `X-RSU-API-SECRET`, or `api_secret` in the query.
    pub api_secret: String,
    /// The caller registration: `rsu_api_reg`, which is `<id>.<token>`.
    pub caller_registration: String,
    /// The secret of the caller registration: header `X-RSU-API-REG-SECRET`.
    pub caller_registration_secret: String,
    /// The OAuth client that may refresh tokens.
    pub oauth_client_id: String,
    /// The secret that signs callbacks to partners.
    pub callback_secret: String,
    /// What can be changed later.
    pub settings: RunSignupSettings,
}

impl Default for RunSignupOptions {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            api_key: "ems-sync-key".to_owned(),
            api_secret: "ems-sync-secret".to_owned(),
            caller_registration: "17.ems-sync-caller".to_owned(),
            caller_registration_secret: "ems-sync-caller-secret".to_owned(),
            oauth_client_id: "ems-sync".to_owned(),
            callback_secret: "callback-secret".to_owned(),
            settings: RunSignupSettings::default(),
        }
    }
}

/// What differs between races, accounts and times, and can be changed while it runs.
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with each other"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSignupSettings {
    /// How many calls at once are served (section 3).
    pub max_concurrent_calls: u64,
    /// How many calls a minute are served; as many as come without it.
    pub calls_per_minute: Option<u64>,
    /// How many calls an hour are served; as many as come without it.
    pub calls_per_hour: Option<u64>,
    /// How it says that it is too much.
    pub throttle_answer: ThrottleAnswer,
    /// Whether callers must say who they are (section 1).
    pub caller_registration: CallerRegistration,
    /// Whether the key is good; a revoked one stays so until this is set again.
    pub key_valid: bool,
    /// What an add without `restrict_potential_dup=T` does that looks like a duplicate.
    pub unrestricted_add: UnrestrictedAdd,
    /// What a batch with a bad row does.
    pub batch_errors: BatchErrors,
    /// Whether addresses and phones must look American: two letters of state, `xxx-xxx-xxxx`.
    pub american_addresses: bool,
    /// Whether `removed-participants` shows what `delete-participants` removed.
    pub deleted_rows_are_listed: bool,
    /// Whether a user's change of the profile counts as a change of the registrations.
    pub profile_edit_touches_registrations: bool,
    /// How long a new registration is hidden from reads, in seconds.
    pub add_lag_seconds: u64,
    /// Who may create and edit races.
    pub race_writes: RaceWrites,
    /// How far its clock is ahead of the real time, in seconds.
    pub clock_offset_seconds: i64,
}

impl Default for RunSignupSettings {
    fn default() -> Self {
        Self {
            max_concurrent_calls: 2,
            calls_per_minute: None,
            calls_per_hour: None,
            throttle_answer: ThrottleAnswer::ErrorCode,
            caller_registration: CallerRegistration::Accepted,
            key_valid: true,
            unrestricted_add: UnrestrictedAdd::Duplicates,
            batch_errors: BatchErrors::Atomic,
            american_addresses: true,
            deleted_rows_are_listed: false,
            profile_edit_touches_registrations: false,
            add_lag_seconds: 0,
            race_writes: RaceWrites::Closed,
            clock_offset_seconds: 0,
        }
    }
}

/// The answer to a call too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleAnswer {
    /// HTTP 200 with error code 14.
    ErrorCode,
    /// HTTP 429 with the same body.
    TooManyRequests,
}

/// Whether every call must carry the caller's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerRegistration {
    /// It may be absent; a wrong one fails every call. So it is until the end of 2026.
    Accepted,
    /// It must be there, as from 2027 on.
    Required,
}

/// What an add does that looks like a registration that is there, without `restrict_potential_dup=T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnrestrictedAdd {
    /// It makes a second one.
    Duplicates,
    /// It is refused with code 517 all the same.
    Conflicts,
}

/// What a batch with a bad row does. The answer has only `error_details` either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchErrors {
    /// Nothing.
    Atomic,
    /// The good rows are committed.
    GoodRowsCommitted,
}

/// Who may create and edit races.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaceWrites {
    /// Nobody: error code 7.
    Closed,
    /// Who signs the call (`protected_api_signature`).
    Signed,
    /// Who has a key.
    Open,
}

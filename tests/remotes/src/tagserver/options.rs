//! How this TagServer is set up, and what can be changed while it runs.

use serde::{Deserialize, Serialize};

use crate::ServerOptions;

/// How a simulated TagServer starts.
#[derive(Clone, Debug)]
pub struct TagServerOptions {
    /// Where and how it serves.
    pub server: ServerOptions,
    /// The user who may log in.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The first id of the server's sequence: far from the EMS ids, so that none is taken for one.
    pub first_id: i64,
    /// What can be changed later.
    pub settings: TagServerSettings,
}

impl Default for TagServerOptions {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            username: "ems-sync".to_owned(),
            password: "ems-sync-password".to_owned(),
            first_id: 900_001,
            settings: TagServerSettings::default(),
        }
    }
}

/// What differs between TagServers, and can be changed while one runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagServerSettings {
    /// Whether it has the bulk endpoint.
    pub bulk: Bulk,
    /// How long a token lives, in seconds.
    pub token_life_seconds: u64,
    /// Whether tokens say when they expire.
    pub token_expiry: TokenExpiry,
    /// What deleting an unknown id answers.
    pub delete_unknown: DeleteUnknown,
    /// What a write that names an absent relation answers.
    pub missing_relation: MissingRelation,
    /// How long a new row is hidden from look-ups by `externalId`, in milliseconds.
    pub find_lag_ms: u64,
    /// How far its clock is ahead of the real time, in seconds.
    pub clock_offset_seconds: i64,
    /// Whether `/management/info` names the instance.
    pub publish_instance: bool,
}

impl Default for TagServerSettings {
    fn default() -> Self {
        Self {
            bulk: Bulk::Enabled,
            token_life_seconds: 30 * 60,
            token_expiry: TokenExpiry::Stated,
            delete_unknown: DeleteUnknown::NoContent,
            missing_relation: MissingRelation::BadRequest,
            find_lag_ms: 0,
            clock_offset_seconds: 0,
            publish_instance: true,
        }
    }
}

/// The bulk endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bulk {
    /// It is there.
    Enabled,
    /// It is not: 404.
    NotFound,
    /// It is not: 405.
    MethodNotAllowed,
}

/// The `exp` of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenExpiry {
    /// The token has an `exp`.
    Stated,
    /// It has none; it expires all the same.
    Unstated,
}

/// The answer to deleting an unknown id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteUnknown {
    /// 204.
    NoContent,
    /// 500, as older servers do.
    ServerError,
}

/// The answer to a write that names an absent relation. Both name the relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingRelation {
    /// 400.
    BadRequest,
    /// 500.
    ServerError,
}

//! How this MailChimp account is set up, and what can be changed while it runs.

use serde::{Deserialize, Serialize};

use super::list::ListOptions;
use crate::ServerOptions;

/// How a simulated MailChimp starts.
#[derive(Clone, Debug)]
pub struct MailChimpOptions {
    /// Where and how it serves.
    pub server: ServerOptions,
    /// The account's only API key; what follows the hyphen is the data centre.
    pub api_key: String,
    /// The audiences.
    pub lists: Vec<ListOptions>,
    /// What can be changed later.
    pub settings: MailChimpSettings,
}

impl Default for MailChimpOptions {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            api_key: "0123456789abcdef0123456789abcdef-us19".to_owned(),
            lists: vec![ListOptions::default()],
            settings: MailChimpSettings::default(),
        }
    }
}

/// What differs between accounts and versions, or is not known for sure. The defaults are the
/// most treacherous that are common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own, named in JSON")]
pub struct MailChimpSettings {
    /// How many requests are served at the same moment; for all keys and apps together.
    pub max_connections: usize,
    /// How many of those other apps of the account hold.
    pub foreign_connections: usize,
    /// What is answered beyond that.
    pub throttled_answer: ThrottledAnswer,
    /// Whether the API key has been revoked.
    pub key_revoked: bool,
    /// Whether the account has been deactivated: 403 with JSON.
    pub deactivated: bool,
    /// Whether reserved and test domains are refused.
    pub refuses_fake_addresses: bool,
    /// What PUT with `status_if_new` alone does to an archived member.
    pub archived_upsert: ArchivedUpsert,
    /// Whether an archived member that once opted out is still in a compliance state.
    pub archive_keeps_compliance: bool,
    /// Whether the address of an unsubscribed or cleaned member may be changed.
    pub changes_lapsed_addresses: bool,
    /// What PUT does with `tags`.
    pub put_tags: PutTags,
    /// How new tags are spelt.
    pub tag_case: TagCase,
    /// Whether a change of tags moves `last_changed`.
    pub tags_touch: bool,
    /// Whether a list of members without `status` has the archived ones.
    pub lists_archived: bool,
    /// Whether every problem has its `type`; without, every other one lacks it.
    pub problem_types: bool,
    /// How many times a batch is asked for before it is finished.
    pub batch_polls: u32,
    /// How long the results of a batch can be fetched, in seconds.
    pub batch_url_seconds: u64,
    /// How many batches may be pending.
    pub max_pending_batches: usize,
    /// Whether new webhooks have a signing secret.
    pub signs_webhooks: bool,
    /// How far its clock is ahead of the real time, in seconds.
    pub clock_offset_seconds: i64,
}

impl Default for MailChimpSettings {
    fn default() -> Self {
        Self {
            max_connections: 10,
            foreign_connections: 0,
            throttled_answer: ThrottledAnswer::Alternating,
            key_revoked: false,
            deactivated: false,
            refuses_fake_addresses: true,
            archived_upsert: ArchivedUpsert::Stays,
            archive_keeps_compliance: false,
            changes_lapsed_addresses: false,
            put_tags: PutTags::NewOnly,
            tag_case: TagCase::Lower,
            tags_touch: false,
            lists_archived: false,
            problem_types: false,
            batch_polls: 2,
            batch_url_seconds: 600,
            max_pending_batches: 500,
            signs_webhooks: true,
            clock_offset_seconds: 0,
        }
    }
}

/// The answer to too many requests at the same moment. None has `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottledAnswer {
    /// 429 with a problem.
    Problem,
    /// 429 without JSON.
    BareTooManyRequests,
    /// 403 without JSON.
    BareForbidden,
    /// One after the other.
    Alternating,
}

/// What PUT with `status_if_new` alone does to an archived member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchivedUpsert {
    /// 200, and the member stays archived.
    Stays,
    /// 200, and the member has the status of a new one.
    Restores,
}

/// What PUT does with `tags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PutTags {
    /// New members get them; for others they are ignored in silence.
    NewOnly,
    /// They are added.
    Added,
}

/// How a tag that the list has not had yet is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagCase {
    /// As it was sent. Later spellings are ignored all the same.
    Sent,
    /// In lower case.
    Lower,
}

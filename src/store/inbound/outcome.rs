//! What is written down of a decision about a row of the inbox: the object that `sync.took_in` takes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::entity::EntityType;
use crate::inbound::merge::{Digests, LosingField};

/// What becomes of the inbox row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowOutcome {
    /// `deleted`, `done`, `held`, `rejected`, `waiting` or `pending`.
    pub state: &'static str,
    /// Why, in `snake_case`.
    pub reason: Option<&'static str>,
    /// What went wrong, without anything personal.
    pub error: Option<String>,
    /// When it is looked at again.
    pub due_ms: u64,
    /// It counts as an attempt.
    pub is_attempt: bool,
    /// The entity, as `type:id`, that makes it due.
    pub waits_for: Option<String>,
}

impl RowOutcome {
    /// It is decided.
    #[must_use]
    pub const fn of(state: &'static str, reason: Option<&'static str>) -> Self {
        Self { state, reason, error: None, due_ms: 0, is_attempt: false, waits_for: None }
    }
}

/// What is known of the record from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct RecordOutcome {
    /// Its id at the remote.
    pub remote_id: Option<String>,
    /// What the remote holds.
    pub remote_hash: Option<String>,
    /// The remote's change that this was.
    pub synced_on: Option<Timestamp>,
    /// `removed` or `gone`: there is no record there any more.
    pub ending: Option<&'static str>,
    /// What the EMS shows now, where that is what the remote holds or is to hold.
    pub projection: Option<Shown>,
    /// The version of the EMS after it took something.
    pub taken_on: Option<Timestamp>,
}

/// What a projection shows, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The hash of its content.
    pub data_hash: Option<String>,
    /// Its version.
    pub modified_on: Timestamp,
    /// The entities that it names.
    pub parents: Vec<String>,
    /// Columns that are not blank.
    pub holds: BTreeSet<String>,
    /// Consents.
    pub consents: BTreeSet<String>,
    /// What at most one record may hold.
    pub match_key: Option<String>,
}

/// Digests of both sides; without those of the EMS the old ones stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgreedOutcome {
    /// The EMS.
    pub ems: Option<Digests>,
    /// The remote.
    pub remote: Digests,
}

/// Contents, which are never printed: they may be personal.
#[derive(Clone, PartialEq, Serialize)]
pub struct Contents(pub Value);

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents")
    }
}

/// What lost, or waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConflictOutcome {
    /// [`crate::inbound::decision::Reason`].
    pub reason: &'static str,
    /// The remote's values that lost.
    pub fields: Vec<LosingField>,
    /// Whose it may be.
    pub candidates: Vec<i64>,
    /// What the candidates are.
    pub candidate_type: Option<EntityType>,
    /// What the remote held.
    pub remote_hash: Option<String>,
    /// The version of the EMS.
    pub ems_modified_on: Option<Timestamp>,
    /// When the remote changed it.
    pub remote_modified_on: Option<Timestamp>,
    /// What the EMS shows now: what lost before and stands there by now has not lost.
    pub ems: Option<Contents>,
}

/// What was decided about a row of the inbox, as `sync.took_in` writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Whose it is.
    pub entity_id: Option<i64>,
    /// The inbox row.
    pub row: RowOutcome,
    /// The sync record; `None` leaves it.
    pub record: Option<RecordOutcome>,
    /// What both sides agree on; `None` leaves it.
    pub agreed: Option<AgreedOutcome>,
    /// What lost.
    pub conflict: Option<ConflictOutcome>,
    /// The EMS is pushed again.
    pub reassert: bool,
}

//! Conflicts as people and programs see them. They hold what people wrote: they are shown to whoever asks for them, and nowhere
//! else.

pub mod decide;

use jiff::Timestamp;
use serde::Serialize;

use super::status::state::Shown;
use crate::entity::EntityType;
use crate::inbound::merge::LosingField;
use crate::store::{Conflict, NotTaken};
use crate::target::Target;

/// A conflict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its number.
    pub conflict: i64,
    /// Where it was changed.
    pub target: Target,
    /// What it is in the EMS.
    pub entity: EntityType,
    /// The EMS id; `None` while nobody knows whose it is.
    pub id: Option<i64>,
    /// `held` while a person is to decide, `rejected` where the EMS does not take it, `synced` when it is closed.
    pub state: Shown,
    /// `unpushed`, `ems_newer`, `tombstone`, `ambiguous` or `refused`.
    pub reason: String,
    /// Its id at the target.
    pub remote_id: String,
    /// What lost, with what the EMS has.
    pub fields: Vec<LosingField>,
    /// Whose it may be, where nobody knows.
    pub candidates: Vec<i64>,
    /// What the candidates are.
    pub candidate_entity: Option<EntityType>,
    /// The version of the EMS that won.
    pub ems_modified_on: Option<Timestamp>,
    /// When it was changed at the target.
    pub remote_modified_on: Option<Timestamp>,
    /// When it was seen.
    pub seen_on: Timestamp,
    /// When it was closed.
    pub closed_on: Option<Timestamp>,
    /// By whom.
    pub closed_by: Option<String>,
    /// `adopted`, `dismissed` or `superseded`; `None` while it is open.
    pub outcome: Option<String>,
    /// What a person can do.
    pub advice: Option<String>,
}

impl From<Conflict> for Row {
    fn from(conflict: Conflict) -> Self {
        let is_open = conflict.outcome.is_none();
        let state = match conflict.reason.as_str() {
            _ if !is_open => Shown::Synced,
            "refused" => Shown::Rejected,
            _ => Shown::Held,
        };
        Self {
            advice: is_open.then(|| advice(&conflict)),
            conflict: conflict.number,
            target: conflict.target,
            entity: conflict.entity_type,
            id: conflict.entity_id,
            state,
            reason: conflict.reason,
            remote_id: conflict.remote_id,
            fields: conflict.fields,
            candidates: conflict.candidates,
            candidate_entity: conflict.candidate_type,
            ems_modified_on: conflict.ems_modified_on,
            remote_modified_on: conflict.remote_modified_on,
            seen_on: conflict.seen_on,
            closed_on: conflict.closed_on,
            closed_by: conflict.closed_by,
            outcome: conflict.outcome,
        }
    }
}

/// What came back and is not taken in, of which there is no conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotTakenRow {
    /// Where it was read.
    pub target: Target,
    /// What it is in the EMS.
    pub entity: EntityType,
    /// The EMS id, where it is known.
    pub id: Option<i64>,
    /// Always `rejected`.
    pub state: Shown,
    /// `unreadable` or `refused`.
    pub reason: String,
    /// Its id at the target.
    pub remote_id: String,
    /// What is wrong with it.
    pub error: Option<String>,
    /// When it was read.
    pub seen_on: Timestamp,
}

/// What ends that something is not taken in.
pub const NOT_TAKEN_ADVICE: &str = "Correct it at the target, or what the EMS asks of it: it is read again when it has changed there.";

impl From<NotTaken> for NotTakenRow {
    fn from(row: NotTaken) -> Self {
        Self {
            target: row.target,
            entity: row.entity_type,
            id: row.entity_id,
            state: Shown::Rejected,
            reason: row.reason,
            remote_id: row.remote_id,
            error: row.error,
            seen_on: row.seen_on,
        }
    }
}

fn advice(conflict: &Conflict) -> String {
    let number = conflict.number;
    match conflict.reason.as_str() {
        "ambiguous" => format!(
            "Say whose it is: `ems-sync conflicts adopt {number} --candidate ID`; or `ems-sync conflicts dismiss {number}`."
        ),
        "tombstone" => format!("It is deleted in the EMS: `ems-sync conflicts dismiss {number}`."),
        "refused" => format!(
            "The EMS does not take it: correct it at the target, then `ems-sync conflicts dismiss {number}`."
        ),
        _ => format!(
            "The EMS's values were kept. `ems-sync conflicts adopt {number}` takes the target's, `ems-sync conflicts dismiss {number}` \
             leaves it so."
        ),
    }
}

//! What a decision about a row of the inbox reads: the row with whose it is, and the sync record.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::StoreError;
use super::super::inbox::{InboxRef, inbox_ref};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::inbound::merge::{Agreed, Digests};

/// `sync.inbox.state_reason` of what waits for the removal of its entity's other record.
pub const FOR_REMOVAL: &str = "waiting_for_removal";

/// A row of the inbox that was locked, with whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// Its number.
    pub inbox_id: i64,
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its id at the remote.
    pub remote_id: String,
    /// `stands`, `removed` or `gone`.
    pub shape: Standing,
    /// When it was changed there, by our clock.
    pub modified_on: Option<Timestamp>,
    /// When the request began that showed it.
    pub requested_on: Timestamp,
    /// The EMS entity that it says it is. People may have typed that: it proves nothing.
    pub carried: Option<i64>,
    /// The entity whose create has found it.
    pub wanted_by: Option<i64>,
    /// A person chose whose it is: EMS ids by the names of their types.
    pub chosen: Map<String, Value>,
    /// Whose record it is.
    pub known: Option<i64>,
    /// Whose record it was, of an entity that the EMS has deleted.
    pub forgotten: Option<i64>,
    /// Whose record it was, of an entity that has lost it: people took it out there, or it has another one now.
    pub former: Option<i64>,
    /// What it held as theirs whose record it was, as far as both sides had agreed on that.
    pub former_holds: Vec<Digests>,
    /// Its parents that are known, by type.
    pub parents: Vec<EntityRef>,
    /// A parent without which nothing is applied is not known.
    pub lacks_parent: bool,
    /// For how many seconds the row has been there.
    pub age: f64,
    /// It has waited for the removal of its entity's other record.
    pub waits_for_removal: bool,
}

impl InboxRow {
    /// The entity of its own type that a person chose.
    #[must_use]
    pub fn chosen_itself(&self) -> Option<i64> {
        self.chosen.get(self.entity_type.name()).and_then(Value::as_i64)
    }

    /// The entity that it says it is, where it was the record of another one.
    #[must_use]
    pub fn carries_another(&self) -> Option<EntityRef> {
        let was = self.forgotten.or(self.former);
        let carried = self.carried.filter(|id| was.is_some_and(|was| was != *id));
        carried.map(|id| EntityRef::new(self.entity_type, id))
    }
}

/// How the remote record stood.
#[derive(Clone, PartialEq)]
pub enum Standing {
    /// It stood there with this content.
    Stands {
        /// The content, in the normal form of what we push.
        body: Value,
        /// What else the EMS may take.
        extra: Map<String, Value>,
        /// The hash of the content.
        hash: ContentHash,
    },
    /// People took it out there.
    Removed {
        /// In the remote's word.
        reason: String,
        /// A record in its place that is nobody's yet.
        successor: Option<String>,
    },
    /// There is none.
    Gone,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stands { .. } => "Stands",
            Self::Removed { .. } => "Removed",
            Self::Gone => "Gone",
        })
    }
}

/// A locked sync record, as an inbound decision sees it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a record")]
pub struct InboundRecord {
    /// Its id at the remote.
    pub remote_id: Option<String>,
    /// What was pushed last.
    pub data_hash: Option<ContentHash>,
    /// What the remote said last that it holds.
    pub remote_hash: Option<ContentHash>,
    /// What was sent and not confirmed.
    pub sent: Vec<ContentHash>,
    /// A write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// An EMS change is not pushed yet.
    pub owed: bool,
    /// A push is under way.
    pub pushed_now: bool,
    /// A push has ended since the snapshot's request began, or something newer was decided.
    pub pushed_since: bool,
    /// A create may be under way, or may have made what nobody knows.
    pub intended: bool,
    /// The entity is deleted in the EMS, and the target knows.
    pub tombstoned: bool,
    /// The EMS shows nothing of it to the target.
    pub gone: bool,
    /// The remote's change that was taken last.
    pub remote_synced_on: Option<Timestamp>,
    /// The version that the EMS had after it took something.
    pub taken_modified_on: Option<Timestamp>,
    /// What both sides held when they agreed last.
    pub agreed: Option<Agreed>,
}

fn hash(row: &tokio_postgres::Row, column: &str) -> Result<Option<ContentHash>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(ContentHash::from_bytes))
}

fn object(row: &tokio_postgres::Row, column: &str) -> Result<Map<String, Value>, StoreError> {
    match row.try_get(column)? {
        Some(Value::Object(fields)) => Ok(fields),
        Some(_) => Err(StoreError::Unexpected("an inbox row holds no object")),
        None => Ok(Map::new()),
    }
}

fn digests(row: &tokio_postgres::Row, column: &str) -> Result<Option<Digests>, StoreError> {
    let value: Option<Value> = row.try_get(column)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

pub(super) fn inbox_row(row: &tokio_postgres::Row) -> Result<InboxRow, StoreError> {
    let InboxRef { entity_type, inbox_id } = inbox_ref(row)?;
    let shape: &str = row.try_get("shape")?;
    let has_successor: bool = row.try_get("has_successor")?;
    let shape = match shape {
        "stands" => Standing::Stands {
            body: row.try_get::<_, Option<Value>>("body")?.unwrap_or_default(),
            extra: object(row, "extra")?,
            hash: hash(row, "hash")?.ok_or(StoreError::Unexpected("a snapshot has no hash"))?,
        },
        "removed" => Standing::Removed {
            reason: row.try_get::<_, Option<String>>("reason")?.unwrap_or_default(),
            successor: row.try_get::<_, Option<String>>("successor")?.filter(|_| has_successor),
        },
        "gone" => Standing::Gone,
        // What can't be read is rejected when it is taken in, and never due.
        _ => return Err(StoreError::Unexpected("an inbox row of no shape is due")),
    };
    let chosen = object(row, "chosen")?;
    let parents: Value = row.try_get("known_parents")?;
    let (mut known_parents, mut lacks_parent) = (Vec::new(), false);
    for parent in parents.as_array().into_iter().flatten() {
        let kind = parent["entity_type"].as_str().and_then(|name| name.parse().ok());
        match (kind, parent["id"].as_i64()) {
            (Some(kind), Some(id)) => known_parents.push(EntityRef::new(kind, id)),
            _ => lacks_parent |= parent["required"] == Value::Bool(true),
        }
    }
    Ok(InboxRow {
        inbox_id,
        entity_type,
        remote_id: row.try_get("remote_id")?,
        shape,
        modified_on: row.try_get("modified_on")?,
        requested_on: row.try_get("requested_on")?,
        carried: row.try_get("entity_id")?,
        wanted_by: row.try_get("wanted_by")?,
        chosen,
        known: row.try_get("known_id")?,
        forgotten: row.try_get("forgotten_id")?,
        former: row.try_get("former_id")?,
        former_holds: row
            .try_get::<_, Option<Value>>("former_holds")?
            .and_then(|holds| serde_json::from_value(holds).ok())
            .unwrap_or_default(),
        parents: known_parents,
        lacks_parent,
        age: row.try_get("age")?,
        waits_for_removal: row.try_get::<_, Option<&str>>("state_reason")? == Some(FOR_REMOVAL),
    })
}

pub(super) fn inbound_record(row: &tokio_postgres::Row) -> Result<InboundRecord, StoreError> {
    let sent: Vec<&[u8]> = row.try_get("sent_hashes")?;
    let agreed = match (digests(row, "agreed_ems")?, digests(row, "agreed_remote")?) {
        (Some(ems), Some(remote)) => Some(Agreed { ems, remote }),
        _ => None,
    };
    Ok(InboundRecord {
        remote_id: row.try_get("remote_id")?,
        data_hash: hash(row, "data_hash")?,
        remote_hash: hash(row, "remote_hash")?,
        sent: sent.into_iter().filter_map(ContentHash::from_bytes).collect(),
        in_doubt: row.try_get("in_doubt")?,
        owed: row.try_get("owed")?,
        pushed_now: row.try_get("pushed_now")?,
        pushed_since: row.try_get("pushed_since")?,
        intended: row.try_get("intended")?,
        tombstoned: row.try_get("tombstoned")?,
        gone: row.try_get("gone")?,
        remote_synced_on: row.try_get("remote_synced_on")?,
        taken_modified_on: row.try_get("taken_modified_on")?,
        agreed,
    })
}

//! A change, as the outbox tells of it. Plain values.

use jiff::Timestamp;

use crate::entity::EntityRef;

/// What was done to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It, or a row that belongs to it, was written.
    Written,
    /// It was deleted.
    Deleted,
    /// Its whole table was emptied: which entities, nobody can tell.
    Truncated,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Position, for the floor of one pass only.
    pub position: i64,
    /// The entity, as named in the outbox; `None` when this version does not know its type.
    pub entity: Option<EntityRef>,
    /// What was done.
    pub op: Op,
    /// When.
    pub changed_on: Timestamp,
    /// Trace context of the EMS transaction.
    pub traceparent: Option<String>,
}

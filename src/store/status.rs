//! What `status` and `explain` read.

use jiff::Timestamp;

use super::records::entity;
use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::target::Target;

/// A record, as it is explained.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a record, each a column"
)]
pub struct RecordRow {
    /// The entity.
    pub entity: EntityRef,
    /// Its remote id.
    pub remote_id: Option<String>,
    /// The state that the record was left in; `leased` while a lease runs.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// The last error.
    pub last_error: Option<String>,
    /// The target is behind.
    pub is_owed: bool,
    /// The lease of a consumer runs.
    pub is_leased: bool,
    /// The oldest change that is not pushed.
    pub owed_on: Option<Timestamp>,
    /// When it was last pushed.
    pub entity_synced_on: Option<Timestamp>,
    /// The version that was pushed.
    pub entity_modified_on: Option<Timestamp>,
    /// When it was last pulled.
    pub remote_synced_on: Option<Timestamp>,
    /// When it is due; `None` when not before something changes.
    pub due_on: Option<Timestamp>,
    /// What it waits for.
    pub waiting_on: Option<String>,
    /// The state of that entity's record, and why.
    pub other_state: Option<(String, Option<String>)>,
    /// Its open dead letter.
    pub dead_letter: Option<OpenDeadLetter>,
    /// Attempts of the present cycle.
    pub attempts: i32,
    /// A write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// What was pushed is what the remote says it holds; `None` when one of them is not known.
    pub hashes_agree: Option<bool>,
    /// When it was dead-lettered.
    pub dead_lettered_on: Option<Timestamp>,
    /// The EMS id of who owns the one record that there may be of its e-mail address, where that is somebody else.
    pub owner_id: Option<i64>,
    /// Its record was left to the owner of its e-mail address, who has not taken it over: it may be there yet, with its id.
    pub gave_up: bool,
}

/// The open dead letter of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenDeadLetter {
    /// Its number.
    pub number: i64,
    /// From when a sweep makes another attempt; `None`: not before a change or a replay.
    pub next_try_on: Option<Timestamp>,
}

/// What a projection shows of an entity, as it is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projected {
    /// The version.
    pub version: Timestamp,
    /// The consents that it shows; `None` where it has no such column.
    pub consents: Option<Vec<String>>,
}

/// An attempt of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// When.
    pub attempted_on: Timestamp,
    /// The decision.
    pub decision: String,
    /// How it ended.
    pub outcome: String,
    /// The failure's class.
    pub class: Option<String>,
    /// The failure's text.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: i32,
}

/// How many records of a target are in a state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateCount {
    /// The target.
    pub target: Target,
    /// The state.
    pub state: String,
    /// How many.
    pub records: i64,
    /// How many of them are owed.
    pub owed: i64,
    /// How many of them are gone from the EMS, and stay at the target because a person rejected their deletion.
    pub kept: i64,
    /// Age of the oldest change among them that can still be pushed, in seconds.
    pub oldest_seconds: Option<f64>,
    /// For how long the one that has waited longest could have been pushed, in seconds; negative before that.
    pub due_seconds: Option<f64>,
    /// How long ago anything was settled that is in this state now, with or without a write, in seconds.
    pub settled_seconds: Option<f64>,
}

/// A duty's last run.
#[derive(Debug, Clone, PartialEq)]
pub struct DutyRow {
    /// The duty's name.
    pub duty: String,
    /// The target.
    pub target: String,
    /// When it last came to its end.
    pub finished_on: Option<Timestamp>,
    /// How much it found, ever.
    pub found: i64,
    /// For how long no run has come to its end, in seconds; since it was first begun, where none ever has.
    pub idle_seconds: f64,
    /// Somebody does it now, and the run before it did not fail.
    pub is_under_way: bool,
}

impl Store {
    /// The record of an entity at a target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(
        &self,
        target: Target,
        of: EntityRef,
    ) -> Result<Option<RecordRow>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/record.sql")).await?;
        let row =
            client.query_opt(&query, &[&target.name(), &of.entity_type.name(), &of.id]).await?;
        row.as_ref().map(record_row).transpose()
    }

    /// The last attempts for an entity at a target, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts(
        &self,
        target: Target,
        of: EntityRef,
        rows: i64,
    ) -> Result<Vec<AttemptRow>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/attempts.sql")).await?;
        let rows =
            client.query(&query, &[&target.name(), &of.entity_type.name(), &of.id, &rows]).await?;
        rows.iter()
            .map(|row| {
                Ok(AttemptRow {
                    attempted_on: row.try_get("attempted_on")?,
                    decision: row.try_get("decision")?,
                    outcome: row.try_get("outcome")?,
                    class: row.try_get("class")?,
                    error: row.try_get("error")?,
                    duration_ms: row.try_get("duration_ms")?,
                })
            })
            .collect()
    }

    /// How many records are in which state, per target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn state_counts(&self) -> Result<Vec<StateCount>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/state_counts.sql")).await?;
        client.query(&query, &[]).await?.iter().map(state_count).collect()
    }

    /// The last runs of every duty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn duties(&self) -> Result<Vec<DutyRow>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/duties.sql")).await?;
        let rows = client.query(&query, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(DutyRow {
                    duty: row.try_get("duty")?,
                    target: row.try_get("target")?,
                    finished_on: row.try_get("finished_on")?,
                    found: row.try_get("found")?,
                    idle_seconds: row.try_get("idle_seconds")?,
                    is_under_way: row.try_get("is_under_way")?,
                })
            })
            .collect()
    }

    /// Watched tables whose capture is not sound, each with what is wrong.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn capture_problems(&self) -> Result<Vec<(String, String)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/capture_problems.sql")).await?;
        let rows = client.query(&query, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// How many rows a target's projection of a type has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn projection_rows(
        &self,
        target: Target,
        entity_type: EntityType,
    ) -> Result<i64, StoreError> {
        let client = self.client().await?;
        let sql = include_str!("../../sql/queries/projection_rows.sql");
        let sql = super::projections::with_projection(sql, target, entity_type);
        let query = client.prepare_cached(&sql).await?;
        Ok(client.query_one(&query, &[]).await?.try_get(0)?)
    }

    /// The tables whose changes are captured.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn watched_tables(&self) -> Result<Vec<String>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/watched_tables.sql")).await?;
        client.query(&query, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// How many rows of each entity type wait in the outbox, and the age of the oldest in seconds. Rows of types
    /// that this version does not know are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox_by_type(&self) -> Result<Vec<(EntityType, i64, f64)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/outbox_by_type.sql")).await?;
        let mut types = Vec::new();
        for row in client.query(&query, &[]).await? {
            let entity_type: &str = row.try_get("entity_type")?;
            if let Ok(entity_type) = entity_type.parse() {
                types.push((entity_type, row.try_get("rows")?, row.try_get("oldest_seconds")?));
            }
        }
        Ok(types)
    }

    /// Whether a change of the entity waits in the outbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_in_outbox(&self, of: EntityRef) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/in_outbox.sql")).await?;
        Ok(client.query_one(&query, &[&of.entity_type.name(), &of.id]).await?.try_get(0)?)
    }

    /// How many dead letters of each target are open; targets without one are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_dead_letters(&self) -> Result<Vec<(Target, i64)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/open_dead_letters.sql")).await?;
        let rows = client.query(&query, &[]).await?;
        rows.iter().map(|row| Ok((target(row)?, row.try_get("records")?))).collect()
    }

    /// What the target's projection shows of the entity; `None` when it shows nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn projected(
        &self,
        target: Target,
        of: EntityRef,
    ) -> Result<Option<Projected>, StoreError> {
        let client = self.client().await?;
        let sql = include_str!("../../sql/queries/projection_version.sql");
        let sql = super::projections::with_projection(sql, target, of.entity_type);
        let query = client.prepare_cached(&sql).await?;
        let row = client.query_opt(&query, &[&of.id]).await?;
        let projected = |row: tokio_postgres::Row| {
            let (version, consents) = (row.try_get("modified_on")?, row.try_get("consents")?);
            Ok(Projected { version, consents })
        };
        row.map(projected).transpose()
    }
}

fn record_row(row: &tokio_postgres::Row) -> Result<RecordRow, StoreError> {
    let (other_state, other_reason): (Option<_>, _) =
        (row.try_get("other_state")?, row.try_get("other_reason")?);
    let number: Option<i64> = row.try_get("dead_letter_id")?;
    let next_try_on = row.try_get("next_try_on")?;
    Ok(RecordRow {
        entity: entity(row)?,
        remote_id: row.try_get("remote_id")?,
        state: row.try_get("state")?,
        reason: row.try_get("state_reason")?,
        last_error: row.try_get("last_error")?,
        is_owed: row.try_get("is_owed")?,
        is_leased: row.try_get("is_leased")?,
        owed_on: row.try_get("owed_on")?,
        entity_synced_on: row.try_get("entity_synced_on")?,
        entity_modified_on: row.try_get("entity_modified_on")?,
        remote_synced_on: row.try_get("remote_synced_on")?,
        due_on: row.try_get("due_on")?,
        waiting_on: row.try_get("waiting_on")?,
        other_state: other_state.map(|state| (state, other_reason)),
        dead_letter: number.map(|number| OpenDeadLetter { number, next_try_on }),
        attempts: row.try_get("attempts")?,
        in_doubt: row.try_get("in_doubt")?,
        hashes_agree: row.try_get("hashes_agree")?,
        dead_lettered_on: row.try_get("dead_lettered_on")?,
        owner_id: row.try_get("owner_id")?,
        gave_up: row.try_get("gave_up")?,
    })
}

fn state_count(row: &tokio_postgres::Row) -> Result<StateCount, StoreError> {
    Ok(StateCount {
        target: target(row)?,
        state: row.try_get("state")?,
        records: row.try_get("records")?,
        owed: row.try_get("owed")?,
        kept: row.try_get("kept")?,
        oldest_seconds: row.try_get("oldest_seconds")?,
        due_seconds: row.try_get("due_seconds")?,
        settled_seconds: row.try_get("settled_seconds")?,
    })
}

fn target(row: &tokio_postgres::Row) -> Result<Target, StoreError> {
    let target: &str = row.try_get("target")?;
    target.parse().map_err(|_| StoreError::Unexpected("a record has a target that is not known"))
}

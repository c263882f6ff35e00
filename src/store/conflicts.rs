//! Conflicts: what people changed at a remote and the EMS did not take, or of which nobody knows whose it is.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::inbound::Taken;
use super::inbox::{InboxRef, inbox_ref};
use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::inbound::merge::LosingField;
use crate::target::Target;

/// A conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Its number.
    pub number: i64,
    /// Where it was changed.
    pub target: Target,
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Which; `None` while nobody knows.
    pub entity_id: Option<i64>,
    /// Its id at the remote.
    pub remote_id: String,
    /// [`crate::inbound::decision::Reason`].
    pub reason: String,
    /// The remote's values that lost, with the EMS's.
    pub fields: Vec<LosingField>,
    /// Whose it may be.
    pub candidates: Vec<i64>,
    /// What the candidates are.
    pub candidate_type: Option<EntityType>,
    /// The version of the EMS that won.
    pub ems_modified_on: Option<Timestamp>,
    /// When the remote changed it.
    pub remote_modified_on: Option<Timestamp>,
    /// When it was seen.
    pub seen_on: Timestamp,
    /// When it was closed.
    pub closed_on: Option<Timestamp>,
    /// By whom.
    pub closed_by: Option<String>,
    /// `adopted`, `dismissed` or `superseded`; `None` while it is open.
    pub outcome: Option<String>,
}

/// Which conflicts are meant. `None` means all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Of this target.
    pub target: Option<Target>,
    /// Of entities of this type.
    pub entity: Option<EntityType>,
    /// Of the entity with this EMS id.
    pub id: Option<i64>,
    /// The one with this number.
    pub number: Option<i64>,
    /// The closed ones too.
    pub closed_too: bool,
}

/// How an adoption of a conflict ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// The EMS has the remote's values now; every target hears of it as of any change.
    Taken(EntityRef),
    /// It is known now whose the record is: it is decided when this row of the inbox is (to be published).
    Chosen(InboxRef),
    /// The EMS has changed since the conflict was seen: nothing was written.
    ChangedSince,
    /// None of the candidates: nothing was written.
    NoCandidate,
    /// It is deleted in the EMS, or the EMS takes nothing of it: nothing was written. Why, without any value.
    Refused(String),
    /// There is no such conflict, or it is closed.
    NotOpen,
}

impl Store {
    /// Conflicts, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conflicts(
        &self,
        filter: ConflictFilter,
        rows: i64,
    ) -> Result<Vec<Conflict>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/conflicts.sql")).await?;
        let target = filter.target.map(Target::name);
        let entity_type = filter.entity.map(EntityType::name);
        let closed_too = filter.closed_too || filter.number.is_some();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&target, &entity_type, &filter.id, &filter.number, &closed_too, &rows];
        client.query(&query, &parameters).await?.iter().map(conflict).collect()
    }

    /// One conflict, open or closed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conflict(&self, number: i64) -> Result<Option<Conflict>, StoreError> {
        let filter = ConflictFilter { number: Some(number), ..ConflictFilter::default() };
        Ok(self.conflicts(filter, 1).await?.pop())
    }

    /// The EMS stays as it is. Whether the conflict was open.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dismiss_conflict(&self, number: i64, by: &str) -> Result<bool, StoreError> {
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let sql = include_str!("../../sql/queries/conflict_lock.sql");
            let lock = transaction.prepare_cached(sql).await?;
            let rows = transaction.query(&lock, &[&number]).await?;
            let Some(row) = rows.first() else { return Ok(false) };
            let target: &str = row.try_get("target")?;
            let entity_type: &str = row.try_get("entity_type")?;
            let remote_id: &str = row.try_get("remote_id")?;
            let sql = include_str!("../../sql/queries/conflict_settle.sql");
            let settle = transaction.prepare_cached(sql).await?;
            let reason = "dismissed";
            transaction.execute(&settle, &[&target, &entity_type, &remote_id, &reason]).await?;
            let sql = include_str!("../../sql/queries/conflict_close.sql");
            let close = transaction.prepare_cached(sql).await?;
            transaction.execute(&close, &[&number, &by, &reason]).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The EMS takes the remote's values, or learns whose the record is (`candidate`; not needed where there is one only).
    /// `anyway`: also where the EMS has changed since the conflict was seen.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written.
    pub async fn adopt_conflict(
        &self,
        number: i64,
        by: &str,
        candidate: Option<i64>,
        anyway: bool,
    ) -> Result<Adopted, StoreError> {
        let Some(conflict) = self.conflict(number).await?.filter(|c| c.outcome.is_none()) else {
            return Ok(Adopted::NotOpen);
        };
        super::retrying(|| async {
            if conflict.reason == "ambiguous" {
                let only = conflict.candidates.first().filter(|_| conflict.candidates.len() == 1);
                match candidate.or(only.copied()).filter(|id| conflict.candidates.contains(id)) {
                    Some(id) => self.choose(&conflict, by, Some(id)).await,
                    None => Ok(Adopted::NoCandidate),
                }
            } else if conflict.reason == "refused" && conflict.ems_modified_on.is_none() {
                // Nothing of the EMS was compared with it, or people took it out there: it is decided again.
                let adopted = self.choose(&conflict, by, None).await?;
                if matches!(adopted, Adopted::NotOpen) && conflict.entity_id.is_some() {
                    self.take_over(&conflict, by, anyway).await
                } else {
                    Ok(adopted)
                }
            } else {
                self.take_over(&conflict, by, anyway).await
            }
        })
        .await
    }

    async fn choose(
        &self,
        conflict: &Conflict,
        by: &str,
        candidate: Option<i64>,
    ) -> Result<Adopted, StoreError> {
        let kind = conflict.candidate_type.unwrap_or(conflict.entity_type);
        let chosen = candidate.map(|id| json!({ kind.name(): id }));
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let sql = include_str!("../../sql/queries/conflict_choose.sql");
        let choose = transaction.prepare_cached(sql).await?;
        let (target, entity_type) = (conflict.target.name(), conflict.entity_type.name());
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&target, &entity_type, &conflict.remote_id, &chosen];
        let rows = transaction.query(&choose, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(Adopted::NotOpen) };
        let row = inbox_ref(row)?;
        let sql = include_str!("../../sql/queries/conflict_close.sql");
        let close = transaction.prepare_cached(sql).await?;
        // What was superseded meanwhile is another one, which nobody has looked at.
        if transaction.execute(&close, &[&conflict.number, &by, &"adopted"]).await? == 0 {
            return Ok(Adopted::NotOpen);
        }
        transaction.commit().await?;
        Ok(Adopted::Chosen(row))
    }

    /// Under the same locks as an inbound decision.
    async fn take_over(
        &self,
        conflict: &Conflict,
        by: &str,
        anyway: bool,
    ) -> Result<Adopted, StoreError> {
        let Some(id) = conflict.entity_id.filter(|_| conflict.reason != "tombstone") else {
            return Ok(Adopted::Refused("it is deleted in the EMS".to_owned()));
        };
        let entity = EntityRef::new(conflict.entity_type, id);
        let mut session = self.inbound().await?;
        let inbound = session.begin(conflict.target, false).await?;
        inbound.lock(entity).await?;
        if conflict.target.covers(entity.entity_type) && !anyway {
            let version = inbound.projection(entity).await?.map(|shown| shown.modified_on);
            if version != conflict.ems_modified_on {
                return Ok(Adopted::ChangedSince);
            }
        }
        let losing = conflict.fields.iter();
        let mut fields: Map<String, Value> =
            losing.map(|field| (field.field.clone(), field.remote_value.clone())).collect();
        // Nothing is known but these fields, and they are of when the conflict was seen.
        fields.insert("adopts".to_owned(), json!(true));
        match inbound.apply(entity.entity_type, Some(id), &Value::Object(fields), None).await? {
            Taken::As(_) => {}
            Taken::Nothing => {
                return Ok(Adopted::Refused("the EMS makes nothing of it".to_owned()));
            }
            Taken::Refused(why) => return Ok(Adopted::Refused(why)),
        }
        let transaction = inbound.transaction();
        let sql = include_str!("../../sql/queries/conflict_settle.sql");
        let settle = transaction.prepare_cached(sql).await?;
        let (target, entity_type) = (conflict.target.name(), conflict.entity_type.name());
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&target, &entity_type, &conflict.remote_id, &"adopted"];
        transaction.execute(&settle, &parameters).await?;
        let sql = include_str!("../../sql/queries/conflict_close.sql");
        let close = transaction.prepare_cached(sql).await?;
        if transaction.execute(&close, &[&conflict.number, &by, &"adopted"]).await? == 0 {
            return Ok(Adopted::NotOpen);
        }
        inbound.commit().await?;
        Ok(Adopted::Taken(entity))
    }
}

fn conflict(row: &tokio_postgres::Row) -> Result<Conflict, StoreError> {
    let odd = |_| StoreError::Unexpected("a conflict is of an unknown kind");
    let target: &str = row.try_get("target")?;
    let entity_type: &str = row.try_get("entity_type")?;
    let candidate_type: Option<&str> = row.try_get("candidate_type")?;
    let fields: Value = row.try_get("fields")?;
    Ok(Conflict {
        number: row.try_get("conflict_id")?,
        target: target
            .parse()
            .map_err(|_| StoreError::Unexpected("a conflict is of an unknown target"))?,
        entity_type: entity_type.parse().map_err(odd)?,
        entity_id: row.try_get("entity_id")?,
        remote_id: row.try_get("remote_id")?,
        reason: row.try_get("reason")?,
        fields: serde_json::from_value(fields)
            .map_err(|_| StoreError::Unexpected("a conflict has odd fields"))?,
        candidates: row.try_get("candidates")?,
        candidate_type: candidate_type.map(str::parse).transpose().map_err(odd)?,
        ems_modified_on: row.try_get("ems_modified_on")?,
        remote_modified_on: row.try_get("remote_modified_on")?,
        seen_on: row.try_get("seen_on")?,
        closed_on: row.try_get("closed_on")?,
        closed_by: row.try_get("closed_by")?,
        outcome: row.try_get("outcome")?,
    })
}

//! What the guard holds for a person, read for people. The decisions are in [`super::guard`], `consents` and `removals`.

use jiff::Timestamp;
use serde::Serialize;

use super::{Store, StoreError};
use crate::entity::EntityType;
use crate::limits;
use crate::target::Target;

/// What would happen, were it approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldKind {
    /// The entity is gone: its remote record is deleted, or what stands for a deletion there.
    Delete,
    /// Its remote record loses something: a consent, or the content of a field.
    Lessen,
    /// Its remote record was removed there: the EMS follows.
    Removal,
    /// A consent was taken back there: the EMS follows.
    Consent,
}

impl HeldKind {
    /// The name, as in JSON and in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Lessen => "lessen",
            Self::Removal => "removal",
            Self::Consent => "consent",
        }
    }

    fn from_name(name: &str) -> Result<Self, StoreError> {
        [Self::Delete, Self::Lessen, Self::Removal, Self::Consent]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(StoreError::Unexpected("something of an unknown kind is held"))
    }
}

/// How much is held of one kind and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldCount {
    /// What would happen.
    pub kind: HeldKind,
    /// To entities of this type.
    pub entity: EntityType,
    /// A person has decided that it does not happen; else nobody has decided.
    pub kept: bool,
    /// To how many.
    pub n: i64,
}

/// One thing that is held. Names fields and consents, holds no values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldItem {
    /// What would happen.
    pub kind: HeldKind,
    /// To an entity of this type.
    pub entity: EntityType,
    /// Its EMS id; `None` while nobody knows whose it is.
    pub id: Option<i64>,
    /// Its id at the target.
    pub remote_id: Option<String>,
    /// A person has decided that it does not happen; else nobody has decided.
    pub kept: bool,
    /// Since when it is owed or held.
    pub since: Option<Timestamp>,
    /// What would be lost, by name.
    pub loses: Vec<String>,
}

impl Store {
    /// How much of what the guard holds of a target, the undecided first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held_counts(&self, target: Target) -> Result<Vec<HeldCount>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/held_counts.sql")).await?;
        let rows = client.query(&query, &[&target.name()]).await?;
        rows.iter()
            .map(|row| {
                Ok(HeldCount {
                    kind: HeldKind::from_name(row.try_get("kind")?)?,
                    entity: entity_type(row)?,
                    kept: row.try_get("kept")?,
                    n: row.try_get("n")?,
                })
            })
            .collect()
    }

    /// What the guard holds of one type, and would be deleted or lessened at the target; [`limits::HELD_SHOWN`] at most, the
    /// undecided first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held_records(
        &self,
        target: Target,
        of: EntityType,
    ) -> Result<Vec<HeldItem>, StoreError> {
        let client = self.client().await?;
        let sql = include_str!("../../sql/queries/held_records.sql");
        let sql = super::projections::with_projection(sql, target, of);
        let query = client.prepare_cached(&sql).await?;
        let rows = client.query(&query, &[&target.name(), &of.name(), &limits::HELD_SHOWN]).await?;
        rows.iter()
            .map(|row| {
                let is_gone: bool = row.try_get("gone")?;
                Ok(HeldItem {
                    kind: if is_gone { HeldKind::Delete } else { HeldKind::Lessen },
                    entity: entity_type(row)?,
                    id: Some(row.try_get("entity_id")?),
                    remote_id: row.try_get("remote_id")?,
                    kept: row.try_get("kept")?,
                    since: row.try_get("owed_on")?,
                    loses: row.try_get("loses")?,
                })
            })
            .collect()
    }

    /// What was taken out or taken back at the target and is held; [`limits::HELD_SHOWN`] at most of each kind, the undecided
    /// first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held_inbound(&self, target: Target) -> Result<Vec<HeldItem>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/held_inbound.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &limits::HELD_SHOWN]).await?;
        rows.iter()
            .map(|row| {
                let loses: Option<String> = row.try_get("loses")?;
                Ok(HeldItem {
                    kind: HeldKind::from_name(row.try_get("kind")?)?,
                    entity: entity_type(row)?,
                    id: row.try_get("entity_id")?,
                    remote_id: row.try_get("remote_id")?,
                    kept: row.try_get("kept")?,
                    since: row.try_get("since")?,
                    loses: loses.into_iter().collect(),
                })
            })
            .collect()
    }
}

fn entity_type(row: &tokio_postgres::Row) -> Result<EntityType, StoreError> {
    let name: &str = row.try_get("entity_type")?;
    name.parse().map_err(|_| StoreError::Unexpected("something of an unknown type is held"))
}

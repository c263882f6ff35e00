//! Projections: what one target may see of one entity, read through the views of `sql/projections/`.

use jiff::Timestamp;
use serde_json::Value;

use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::remote::Fields;
use crate::target::Target;

/// One row of a projection.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The entity.
    pub entity: EntityRef,
    /// Its version: the greatest `modified_on` of the rows that it reads.
    pub modified_on: Timestamp,
    /// The entities that it names.
    pub parents: Vec<EntityRef>,
    /// Its fields.
    pub fields: Fields,
    /// The view gave it no version, or parents that are no references: it can't be pushed.
    pub is_odd: bool,
}

/// A statement with the name of a projection put in: names of a closed set, never data.
pub(super) fn with_projection(sql: &str, target: Target, entity_type: EntityType) -> String {
    sql.replace("{projection}", &format!("sync.{target}_{entity_type}"))
}

impl Store {
    /// Reads the projections of entities of one type; those that have no row are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn projections(
        &self,
        target: Target,
        entity_type: EntityType,
        ids: &[i64],
    ) -> Result<Vec<Projection>, StoreError> {
        let sql = include_str!("../../sql/queries/projections.sql");
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = client.query(&query, &[&ids]).await?;
        rows.iter().map(|row| projection(entity_type, row)).collect()
    }

    /// Reads the projections of a type in the order of their ids, from after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn projections_after(
        &self,
        target: Target,
        entity_type: EntityType,
        after: i64,
        rows: i64,
    ) -> Result<Vec<Projection>, StoreError> {
        let sql = include_str!("../../sql/queries/projections_after.sql");
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = client.query(&query, &[&after, &rows]).await?;
        rows.iter().map(|row| projection(entity_type, row)).collect()
    }
}

pub(super) fn projection(
    entity_type: EntityType,
    row: &tokio_postgres::Row,
) -> Result<Projection, StoreError> {
    // One odd row of an own view must not stop the others.
    let named: Option<Vec<Option<&str>>> = row.try_get("parents")?;
    let parents: Option<Vec<EntityRef>> =
        named.unwrap_or_default().into_iter().map(|parent| parent?.parse().ok()).collect();
    let modified_on: Option<Timestamp> = row.try_get("modified_on")?;
    let fields: Value = row.try_get("fields")?;
    let Value::Object(fields) = fields else {
        return Err(StoreError::Unexpected("a projection row is no object"));
    };
    Ok(Projection {
        entity: EntityRef::new(entity_type, row.try_get("id")?),
        is_odd: modified_on.is_none() || parents.is_none(),
        modified_on: modified_on.unwrap_or_default(),
        parents: parents.unwrap_or_default(),
        fields: Fields::new(fields),
    })
}

//! How an operator's words find entities.

use super::records::entity;
use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::target::Target;

impl Store {
    /// Entities that a person may mean by an e-mail address.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entities_by_email(&self, email: &str) -> Result<Vec<EntityRef>, StoreError> {
        self.look_up(include_str!("../../sql/queries/lookup_email.sql"), email).await
    }

    /// Entities that a person may mean by a bib number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entities_by_bib(&self, bib: &str) -> Result<Vec<EntityRef>, StoreError> {
        self.look_up(include_str!("../../sql/queries/lookup_bib.sql"), bib).await
    }

    /// Entities whose record at a target has this remote id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entities_by_remote_id(
        &self,
        target: Target,
        remote_id: &str,
    ) -> Result<Vec<EntityRef>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/lookup_remote.sql")).await?;
        let types: Vec<&str> = EntityType::ALL.iter().map(|of| of.name()).collect();
        let rows = client.query(&query, &[&target.name(), &remote_id, &types]).await?;
        rows.iter().map(entity).collect()
    }

    /// The events of entities of one type, as far as they belong to one, each with its name where the EMS shows one: `(of, event, name)`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_of(
        &self,
        entity_type: EntityType,
        ids: &[i64],
    ) -> Result<Vec<(i64, i64, Option<String>)>, StoreError> {
        // The target that knows events.
        let target = Target::TagServer;
        if !target.covers(entity_type) || ids.is_empty() {
            return Ok(Vec::new());
        }
        let client = self.client().await?;
        let sql = include_str!("../../sql/queries/events_of.sql");
        let sql = super::projections::with_projection(sql, target, entity_type);
        let query = client.prepare_cached(&sql).await?;
        let rows = client.query(&query, &[&ids]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("event_id")?, row.try_get("name")?)))
            .collect()
    }

    async fn look_up(&self, sql: &str, value: &str) -> Result<Vec<EntityRef>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(sql).await?;
        client.query(&query, &[&value]).await?.iter().map(entity).collect()
    }
}

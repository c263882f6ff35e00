//! Match keys, and entities that exist at a target only within others (`sql/functions/match_keys.sql`).

use std::collections::HashMap;

use uuid::Uuid;

use super::{Store, StoreError};
use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::target::Target;

use super::records::entity;

/// Who else has the match key that an entity wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MatchKey {
    /// The lowest id among those that want it; perhaps the entity itself.
    pub owner: Option<EntityRef>,
    /// Another one whose record holds it at the target, or may hold it.
    pub holder: Option<EntityRef>,
    /// That one waits for this entity to give up the key that it wants.
    pub holder_waits_for_us: bool,
    /// The entity's own record holds another key than it wants.
    pub holds_another: bool,
    /// If the entity is the owner: the others that want it or gave it up, and surely have no record.
    pub given_up_by: Vec<EntityRef>,
    /// The entity gave a record up, which nobody may have taken over, and nobody wants its key any more.
    pub left_behind: bool,
}

/// What came of writing a batch's keys down.
#[derive(Debug, Default)]
pub struct MatchKeys {
    /// By entity; none for those that want no key.
    pub found: HashMap<EntityRef, MatchKey>,
    /// Others that are owed because a key came free.
    pub due: Vec<EntityRef>,
}

/// Names, ids and keys of entities, as columns.
fn columns(entities: impl Iterator<Item = EntityRef>) -> (Vec<&'static str>, Vec<i64>) {
    entities.map(|entity| (entity.entity_type.name(), entity.id)).unzip()
}

impl Store {
    /// Writes down which keys leased entities want, and tells who else has them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn match_keys(
        &self,
        target: Target,
        owner: Uuid,
        wanted: &[(EntityRef, Option<ContentHash>)],
    ) -> Result<MatchKeys, StoreError> {
        if wanted.is_empty() {
            return Ok(MatchKeys::default());
        }
        let (types, ids) = columns(wanted.iter().map(|(entity, _)| *entity));
        let keys: Vec<Option<String>> =
            wanted.iter().map(|(_, key)| key.map(ContentHash::to_hex)).collect();
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/match_keys.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &owner, &types, &ids, &keys]).await?;
        let mut found = MatchKeys::default();
        for row in rows {
            let of = entity(&row)?;
            let other = |column| -> Result<Option<EntityRef>, StoreError> {
                let id: Option<i64> = row.try_get(column)?;
                Ok(id.map(|id| EntityRef::new(of.entity_type, id)))
            };
            match row.try_get("kind")? {
                "owed" => found.due.push(of),
                "holds_another" => found.found.entry(of).or_default().holds_another = true,
                "left_behind" => found.found.entry(of).or_default().left_behind = true,
                "given_up" => {
                    found.found.entry(of).or_default().given_up_by.extend(other("holder_id")?);
                }
                _ => {
                    let key = found.found.entry(of).or_default();
                    key.owner = other("owner_id")?;
                    key.holder = other("holder_id")?;
                    key.holder_waits_for_us = row.try_get("holder_waits")?;
                }
            }
        }
        Ok(found)
    }

    /// Writes the remote ids of entities that exist at the target only within others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn carry(
        &self,
        target: Target,
        carried: &[(EntityRef, String)],
    ) -> Result<(), StoreError> {
        if carried.is_empty() {
            return Ok(());
        }
        let (types, ids) = columns(carried.iter().map(|(entity, _)| *entity));
        let remote_ids: Vec<&str> = carried.iter().map(|(_, id)| id.as_str()).collect();
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/carry.sql")).await?;
        client.execute(&query, &[&target.name(), &types, &ids, &remote_ids]).await?;
        Ok(())
    }

    /// Owes the records that carry these entities at the target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn owe_carriers(
        &self,
        target: Target,
        carried: &[EntityRef],
    ) -> Result<Vec<EntityRef>, StoreError> {
        if carried.is_empty() {
            return Ok(Vec::new());
        }
        let (types, ids) = columns(carried.iter().copied());
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/owe_carriers.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &types, &ids]).await?;
        rows.iter().map(entity).collect()
    }
}

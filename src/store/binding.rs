//! What each target is bound to, and the epoch of this database.

use std::time::Duration;

use serde_json::json;

use super::projections::with_projection;
use super::{Store, StoreError};
use crate::deliver::binding::{Bound, Part};
use crate::entity::EntityType;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::Account;
use crate::target::Target;

/// Raised when the digests below are made of something else; every target is then held until it is rebound.
const BINDING_VERSION: u32 = 1;

/// What is known of a target's binding on this side.
#[derive(Debug, Clone, PartialEq)]
pub struct BindingFacts {
    /// What it was bound to; `None` before the first contact.
    pub bound: Option<Bound>,
    /// It is held because its place differs.
    pub is_held: bool,
    /// This database.
    pub database: ContentHash,
    /// The role may ask for the system identifier: a copy of the whole cluster is told from the original by it.
    pub knows_system: bool,
    /// How far this database has come.
    pub epoch: i64,
}

impl Store {
    /// The binding of a target and this database's identity and epoch, at one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn binding(&self, target: Target) -> Result<BindingFacts, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/binding.sql")).await?;
        let row = client.query_one(&query, &[&target.name()]).await?;
        let hash = |column| -> Result<Option<ContentHash>, StoreError> {
            let bytes: Option<&[u8]> = row.try_get(column)?;
            Ok(bytes.and_then(ContentHash::from_bytes))
        };
        let system: Option<&str> = row.try_get("system_identifier")?;
        let oid: &str = row.try_get("database_oid")?;
        let name: &str = row.try_get("database_name")?;
        let place = json!({ "system": system, "oid": oid, "name": name });
        let instance = hash("instance")?;
        let bound = hash("database")?.zip(hash("login")?);
        Ok(BindingFacts {
            bound: bound
                .map(|(database, login)| Bound { database, account: Account { login, instance } }),
            is_held: row.try_get("held")?,
            database: ContentHash::of(target, BINDING_VERSION, &place),
            knows_system: system.is_some(),
            epoch: row.try_get("epoch")?,
        })
    }

    /// Binds a target that is not bound yet; `false` when another process was first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind(&self, target: Target, to: &Bound, by: &str) -> Result<bool, StoreError> {
        let sql = include_str!("../../sql/queries/binding_bind.sql");
        Ok(self.write_binding(sql, target, to, by).await? == 1)
    }

    /// A person binds a target anew, to what is there now; a hold ends with it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rebind(&self, target: Target, to: &Bound, by: &str) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/queries/binding_rebind.sql");
        self.write_binding(sql, target, to, by).await.map(|_| ())
    }

    async fn write_binding(
        &self,
        sql: &str,
        target: Target,
        to: &Bound,
        by: &str,
    ) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(sql).await?;
        let instance = to.account.instance.map(ContentHash::to_bytes);
        let (database, login) = (to.database.to_bytes(), to.account.login.to_bytes());
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&target.name(), &database.as_slice(), &login.as_slice(), &instance, &by];
        client.execute(&query, &row).await
    }

    /// Holds a target whose place differs; every bound target when this database went back in time. Returns those that
    /// were not held before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_binding(
        &self,
        target: Target,
        parts: &[Part],
    ) -> Result<Vec<Target>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/binding_hold.sql")).await?;
        let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        let everybody = parts.contains(&Part::Epoch);
        let rows = client.query(&query, &[&target.name(), &names, &everybody]).await?;
        rows.iter()
            .map(|row| {
                let target: &str = row.try_get(0)?;
                target.parse().map_err(|_| {
                    StoreError::Unexpected("sync.binding has a target that is not known")
                })
            })
            .collect()
    }

    /// Raises the epoch unless it was raised within `not_within`, and above `at_least` in any case. Flushed to disk
    /// when it returns: only then may the broker keep it. Returns the epoch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn raise_epoch(
        &self,
        not_within: Duration,
        at_least: i64,
    ) -> Result<i64, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute("set local synchronous_commit = on").await?;
        let raise =
            transaction.prepare_cached(include_str!("../../sql/queries/epoch_raise.sql")).await?;
        transaction.execute(&raise, &[&not_within.as_secs_f64(), &at_least]).await?;
        let read = transaction.prepare_cached(include_str!("../../sql/queries/epoch.sql")).await?;
        let epoch = transaction.query_one(&read, &[]).await?.try_get(0)?;
        transaction.commit().await?;
        Ok(epoch)
    }

    /// Owes every record of a target and type, in doubt and without trust in its remote id, a chunk at a time. Returns
    /// how many.
    ///
    /// # Errors
    /// [`StoreError`]; what was doubted until then is owed, and doing it again does no harm.
    pub async fn doubt_all(
        &self,
        target: Target,
        entity_type: EntityType,
        keeps_ids: bool,
    ) -> Result<i64, StoreError> {
        let sql = include_str!("../../sql/queries/binding_doubt.sql");
        let sql = with_projection(sql, target, entity_type);
        let (mut all, mut after) = (0, i64::MIN);
        loop {
            let (doubted, last) = super::retrying(|| async {
                let client = self.client().await?;
                let query = client.prepare_cached(&sql).await?;
                let chunk = &limits::SWEEP_CHUNK_ROWS;
                let row = client
                    .query_one(
                        &query,
                        &[&target.name(), &entity_type.name(), &after, chunk, &keeps_ids],
                    )
                    .await?;
                let found: (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
                Ok(found)
            })
            .await?;
            all += doubted;
            match last {
                Some(last) => after = last,
                None => return Ok(all),
            }
        }
    }

    /// Drops what is left of entities that went long ago, a batch at a time. Returns how many records went.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge_tombstones(&self, target: Target) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/tombstones_purge.sql")).await?;
        let (days, rows) =
            (f64::from(limits::TOMBSTONES_KEPT_DAYS), limits::TOMBSTONES_PURGED_AT_ONCE);
        let keeps_former = target.heeds_former_ids();
        client.execute(&query, &[&target.name(), &days, &rows, &keeps_former]).await
    }
}

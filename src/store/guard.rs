//! The guard's numbers, and what people decided about deletes. The rule is [`crate::deliver::guard`].

use std::collections::HashMap;

use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::held::HoldDecision;
use super::records::entity;
use super::session::Transaction;
use super::{Store, StoreError};
use crate::deliver::guard::{self, Counts, Limits};
use crate::entity::EntityRef;
use crate::target::Target;

/// What a delete may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteVerdict {
    /// It may be sent.
    Send,
    /// It is one of too many: a person must decide.
    Held,
    /// A person wants the remote record to stay.
    Rejected,
}

/// What became of a batch's deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// What each may do; without those whose record is not there any more.
    pub verdicts: HashMap<EntityRef, DeleteVerdict>,
    /// What was at stake, when these are the first of a burst to be held: an alert is due, once.
    pub tripped: Option<Counts>,
}

/// A delete, or an update that takes something away, as the guard weighs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// The entity.
    pub entity: EntityRef,
    /// The generation that its claim saw.
    pub owed_gen: i64,
    /// The entity is gone; else something is taken away from its record.
    pub is_gone: bool,
    /// What is taken away, by name ([`Holds::lost_in`](crate::deliver::record::Holds::lost_in)).
    pub loses: Vec<String>,
}

/// A record about which a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedHold {
    /// The entity.
    pub entity: EntityRef,
    /// It is gone, and its remote record was held to be deleted; else the record loses something.
    pub is_gone: bool,
}

impl Store {
    /// Lets deletes through or holds them, in one transaction: what one process is allowed no other is.
    ///
    /// # Errors
    /// [`StoreError`]; then none may be sent.
    pub async fn guard_deletes(
        &self,
        target: Target,
        deletes: &[Weighed],
        limits: Limits,
    ) -> Result<Guarded, StoreError> {
        let types: Vec<&str> = deletes.iter().map(|d| d.entity.entity_type.name()).collect();
        let ids: Vec<i64> = deletes.iter().map(|d| d.entity.id).collect();
        let gens: Vec<i64> = deletes.iter().map(|d| d.owed_gen).collect();
        let gone: Vec<bool> = deletes.iter().map(|d| d.is_gone).collect();
        let loses: Vec<Value> = deletes.iter().map(|d| d.loses.clone().into()).collect();
        let window = limits.window.as_secs_f64();
        let enough = i64::try_from(limits.max_deletes).unwrap_or(i64::MAX);
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let weigh = transaction
                .prepare_cached(include_str!("../../sql/queries/guard_weigh.sql"))
                .await?;
            let settle = transaction
                .prepare_cached(include_str!("../../sql/queries/guard_settle.sql"))
                .await?;
            let name = target.name();
            let weighed: [&(dyn ToSql + Sync); 8] =
                [&name, &types, &ids, &gens, &gone, &window, &enough, &loses];
            let row = transaction.query_one(&weigh, &weighed).await?;
            let counts = Counts {
                tripped: row.try_get("tripped")?,
                let_through: count(&row, "let_through")?,
                waiting: count(&row, "waiting")?,
                records: count(&row, "records")?,
            };
            let is_open = count(&row, "open")? > 0;
            let allows = is_open.then(|| guard::allows(counts, limits));
            let waiting: i64 = row.try_get("waiting")?;
            let settled: [&(dyn ToSql + Sync); 7] =
                [&name, &types, &ids, &allows, &waiting, &gone, &loses];
            let rows = transaction.query(&settle, &settled).await?;
            let verdicts = rows.iter().map(verdict).collect::<Result<_, _>>()?;
            transaction.commit().await?;
            Ok(Guarded {
                verdicts,
                tripped: (allows == Some(false) && !counts.tripped).then_some(counts),
            })
        })
        .await
    }
}

/// A person lets the deletes through that are held, or leaves the remote records as they are; which records those were. What was
/// decided already is not decided again.
pub(super) async fn decide(
    transaction: &Transaction<'_>,
    decision: &HoldDecision<'_>,
) -> Result<Vec<DecidedHold>, StoreError> {
    let HoldDecision { target, approves, kept, by, seen } = decision;
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/guard_decide.sql")).await?;
    let rows = transaction.query(&query, &[&target.name(), approves, kept, by, seen]).await?;
    rows.iter()
        .map(|row| Ok(DecidedHold { entity: entity(row)?, is_gone: row.try_get("gone")? }))
        .collect()
}

fn count(row: &tokio_postgres::Row, column: &str) -> Result<u64, StoreError> {
    let count: i64 = row.try_get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn verdict(row: &tokio_postgres::Row) -> Result<(EntityRef, DeleteVerdict), StoreError> {
    let verdict = match row.try_get("verdict")? {
        "delete" => DeleteVerdict::Send,
        "rejected" => DeleteVerdict::Rejected,
        _ => DeleteVerdict::Held,
    };
    Ok((entity(row)?, verdict))
}

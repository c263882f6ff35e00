//! Removals at remotes: they are decided about like any other change, or they are too many at once and kept for a person.

use super::held::HoldDecision;
use super::session::Transaction;
use super::{InboxRef, StoreError};
use crate::deliver::guard::{self, Counts, Limits};
use crate::target::Target;

/// What was taken in, without what is kept for a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemovalsWeighed {
    /// What is to be decided.
    pub taken: Vec<InboxRef>,
    /// Removals that are kept for a person, with whatever is held besides.
    pub held: u64,
    /// What was at stake, when these are the first of a burst to be held: an alert is due, once.
    pub tripped: Option<Counts>,
}

/// A person has the removals decided about that are held, or leaves the EMS as it is. How many it concerned.
pub(super) async fn decide(
    transaction: &Transaction<'_>,
    decision: &HoldDecision<'_>,
) -> Result<u64, StoreError> {
    let HoldDecision { target, approves, kept, by, seen } = decision;
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/removals_decide.sql")).await?;
    let row = transaction.query_one(&query, &[&target.name(), approves, kept, by, seen]).await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}

/// Keeps the removals among what was taken in for a person, if they are too many at once.
pub(super) async fn weigh(
    transaction: &Transaction<'_>,
    target: Target,
    taken: Vec<InboxRef>,
    limits: Limits,
) -> Result<RemovalsWeighed, StoreError> {
    if taken.is_empty() {
        return Ok(RemovalsWeighed::default());
    }
    let ids: Vec<_> = taken.iter().map(|row| row.inbox_id).collect();
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/removals_weigh.sql")).await?;
    let window = limits.window.as_secs_f64();
    let enough = i64::try_from(limits.max_deletes).unwrap_or(i64::MAX);
    let row = transaction.query_one(&query, &[&target.name(), &ids, &window, &enough]).await?;
    let count = |column| -> Result<u64, StoreError> {
        Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
    };
    let counts = Counts {
        tripped: row.try_get("tripped")?,
        let_through: count("let_through")?,
        waiting: count("waiting")?,
        records: count("records")?,
    };
    if counts.waiting == 0 {
        return Ok(RemovalsWeighed { taken, ..RemovalsWeighed::default() });
    }
    let open: Vec<i64> = row.try_get("open")?;
    let allows = guard::allows(counts, limits);
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/removals_settle.sql")).await?;
    transaction.execute(&query, &[&target.name(), &open, &allows]).await?;
    if allows {
        return Ok(RemovalsWeighed { taken, ..RemovalsWeighed::default() });
    }
    Ok(RemovalsWeighed {
        taken: taken.into_iter().filter(|row| !open.contains(&row.inbox_id)).collect(),
        held: counts.waiting,
        tripped: (!counts.tripped).then_some(counts),
    })
}

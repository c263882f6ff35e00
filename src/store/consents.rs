//! Consents that were seen at remotes: the EMS takes them, or they are too many at once and kept for a person.

use serde_json::Value;

use super::StoreError;
use super::held::HoldDecision;
use super::session::Transaction;
use crate::deliver::guard::{self, Counts, Limits};
use crate::remote::inbound::ConsentSeen;
use crate::target::Target;

/// What became of consents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsentsTaken {
    /// Rows of the EMS that they changed.
    pub changed: u64,
    /// Those that are kept for a person, with whatever is held besides.
    pub held: u64,
    /// What was at stake, when these are the first of a burst to be held: an alert is due, once.
    pub tripped: Option<Counts>,
    /// Those that the EMS refused.
    pub refused: Vec<ConsentRefused>,
}

/// A consent that the EMS refused. Its message is not kept: it may quote a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRefused {
    /// The EMS id of the person.
    pub person: i64,
    /// Why, by SQLSTATE.
    pub sqlstate: String,
}

/// What a person decided about consents that were held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsentsDecided {
    /// How many it concerned.
    pub decided: u64,
    /// Rows of the EMS that changed.
    pub changed: u64,
    /// Those that the EMS refused.
    pub refused: Vec<ConsentRefused>,
}

/// A person has the EMS take what is held, or leaves the EMS as it is.
pub(super) async fn decide(
    transaction: &Transaction<'_>,
    decision: &HoldDecision<'_>,
) -> Result<ConsentsDecided, StoreError> {
    let HoldDecision { target, approves, kept, by, seen } = decision;
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/consents_decide.sql")).await?;
    let row = transaction.query_one(&query, &[&target.name(), approves, kept, by, seen]).await?;
    Ok(ConsentsDecided {
        decided: count(&row, "decided")?,
        changed: count(&row, "changed")?,
        refused: refused(&row)?,
    })
}

/// Has the EMS take the consents of a page, unless they are too many at once.
pub(super) async fn take(
    transaction: &Transaction<'_>,
    target: Target,
    consents: &[ConsentSeen],
    limits: Limits,
) -> Result<ConsentsTaken, StoreError> {
    if consents.is_empty() {
        return Ok(ConsentsTaken::default());
    }
    let rows = serde_json::to_value(consents)
        .map_err(|_| StoreError::Unexpected("a consent can't be written as JSON"))?;
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/consents_weigh.sql")).await?;
    let window = limits.window.as_secs_f64();
    let enough = i64::try_from(limits.max_deletes).unwrap_or(i64::MAX);
    let row = transaction.query_one(&query, &[&target.name(), &rows, &window, &enough]).await?;
    let counts = Counts {
        tripped: row.try_get("tripped")?,
        let_through: count(&row, "let_through")?,
        waiting: count(&row, "waiting")?,
        records: count(&row, "records")?,
    };
    if counts.waiting == 0 {
        return Ok(ConsentsTaken::default());
    }
    let given: Value = row.try_get("given")?;
    let allows = guard::allows(counts, limits);
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/consents_take.sql")).await?;
    let row = transaction.query_one(&query, &[&target.name(), &given, &allows]).await?;
    Ok(ConsentsTaken {
        changed: count(&row, "changed")?,
        held: if allows { 0 } else { counts.waiting },
        tripped: (!allows && !counts.tripped).then_some(counts),
        refused: refused(&row)?,
    })
}

fn refused(row: &tokio_postgres::Row) -> Result<Vec<ConsentRefused>, StoreError> {
    let odd = || StoreError::Unexpected("a refused consent has no person");
    let refused: Value = row.try_get("refused")?;
    let one = |one: &Value| {
        Some(ConsentRefused {
            person: one.get("person")?.as_i64()?,
            sqlstate: one.get("sqlstate")?.as_str()?.to_owned(),
        })
    };
    refused.as_array().into_iter().flatten().map(|each| one(each).ok_or_else(odd)).collect()
}

fn count(row: &tokio_postgres::Row, column: &str) -> Result<u64, StoreError> {
    let count: i64 = row.try_get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

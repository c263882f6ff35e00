//! Shares of a target's request budget.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};
use crate::deliver::budget::{Answer, Ask, Terms};
use crate::limits;
use crate::target::Target;

impl Store {
    /// Asks for process `owner` about its share of the target's budget. `None`: a later question was answered already.
    ///
    /// # Errors
    /// [`StoreError`]; the question may then be answered nevertheless.
    pub async fn ask_budget(
        &self,
        target: Target,
        owner: Uuid,
        terms: &Terms,
        ask: &Ask,
    ) -> Result<Option<Answer>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/budget_ask.sql")).await?;
        let rate = terms.rate.map_or(1.0, |rate| f64::from(rate.get()));
        let row = client
            .query_opt(
                &query,
                &[
                    &target.name(),
                    &owner,
                    &ask.number,
                    &int(terms.limit),
                    &terms.lease.as_secs_f64(),
                    &int(ask.has),
                    &int(ask.wants),
                    &int(ask.tokens),
                    &rate,
                    &limits::BUDGET_TURN.as_secs_f64(),
                    &limits::BUDGET_WISH.as_secs_f64(),
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let wait: f64 = row.try_get("wait_seconds")?;
        Ok(Some(Answer {
            kept: row.try_get("kept")?,
            slots: count(row.try_get("slots")?)?,
            keep: count(row.try_get("keep")?)?,
            wait: Duration::try_from_secs_f64(wait)
                .map_err(|_| StoreError::Unexpected("a token's moment in the past"))?,
        }))
    }
}

/// Bounded by [`limits::CONCURRENCY_MAX`] and a block of tokens, so it fits.
fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn count(n: i32) -> Result<usize, StoreError> {
    usize::try_from(n).map_err(|_| StoreError::Unexpected("a negative number of slots"))
}

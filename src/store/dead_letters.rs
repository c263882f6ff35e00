//! Dead letters in Postgres, which is their account; the queue only holds tokens of them.

use jiff::Timestamp;

use super::records::entity;
use super::{Store, StoreError};
use crate::deliver::dead_letter::{Open, ToTidy};
use crate::delivery::Cause;
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::target::Target;

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its number.
    pub number: i64,
    /// The target that could not be brought up to date.
    pub target: Target,
    /// On what; `None` for a message that could not be decoded.
    pub entity: Option<EntityRef>,
    /// The failure class, `unmappable` or `undecodable`.
    pub reason: String,
    /// The last error, without anything personal.
    pub error: Option<String>,
    /// Why it was owed.
    pub cause: Cause,
    /// The change that is not pushed.
    pub changed_on: Option<Timestamp>,
    /// Trace context of its EMS transaction.
    pub traceparent: Option<String>,
    /// Attempts of all its cycles.
    pub attempts: i32,
    /// Failed cycles, or messages of the same content.
    pub cycles: i32,
    /// When the first attempt of its first cycle had failed.
    pub first_failed_on: Timestamp,
    /// When its last cycle had failed.
    pub last_failed_on: Timestamp,
    /// From when a sweep makes another attempt.
    pub next_try_on: Option<Timestamp>,
    /// When a person put it back.
    pub replayed_on: Option<Timestamp>,
    /// Who.
    pub replayed_by: Option<String>,
    /// When it was resolved or discarded.
    pub closed_on: Option<Timestamp>,
    /// By whom.
    pub closed_by: Option<String>,
    /// `resolved` or `discarded`; `None` while it is open.
    pub outcome: Option<String>,
    /// SHA-256 of a message that could not be decoded.
    pub message_digest: Option<Vec<u8>>,
    /// Its size.
    pub message_bytes: Option<i32>,
    /// The broker has confirmed its token.
    pub has_token: bool,
    /// The state of the entity's record now, where it was asked for.
    pub record_state: Option<String>,
}

/// Which dead letters are meant. `None` means all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Of this target.
    pub target: Option<Target>,
    /// Of entities of this type.
    pub entity: Option<EntityType>,
    /// Of the entity with this EMS id.
    pub id: Option<i64>,
    /// The one with this number.
    pub number: Option<i64>,
    /// With this reason.
    pub reason: Option<String>,
    /// With this text in the error, whatever its case.
    pub error: Option<String>,
    /// That failed last longer ago than this.
    pub older_than: Option<std::time::Duration>,
    /// The closed ones too.
    pub closed_too: bool,
    /// Only those that can be put back and were not yet: not of messages that could not be decoded.
    pub to_replay: bool,
}

/// How many open dead letters can be put back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayable {
    /// They can.
    pub yet: usize,
    /// They were, and have not failed since.
    pub put_back: usize,
    /// They can't: they are of messages that could not be decoded.
    pub never: usize,
}

/// A message that could not be decoded: what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddMessage {
    /// SHA-256 of its body.
    pub digest: [u8; 32],
    /// Size of its body.
    pub bytes: usize,
}

/// An entity that was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// The number of its dead letter.
    pub number: i64,
    /// The target.
    pub target: Target,
    /// The entity.
    pub entity: EntityRef,
}

impl Store {
    /// The open dead letters of these entities whose tokens are not published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters_without_token(
        &self,
        target: Target,
        entities: &[EntityRef],
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let types: Vec<&str> = entities.iter().map(|e| e.entity_type.name()).collect();
        let ids: Vec<i64> = entities.iter().map(|e| e.id).collect();
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/dead_letters_of.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &types, &ids]).await?;
        rows.iter().map(dead_letter).collect()
    }

    /// The dead letters with these numbers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters_by_number(
        &self,
        numbers: &[i64],
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let client = self.client().await?;
        let query = client
            .prepare_cached(include_str!("../../sql/queries/dead_letters_by_number.sql"))
            .await?;
        client.query(&query, &[&numbers]).await?.iter().map(dead_letter).collect()
    }

    /// The broker holds the tokens of these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens_published(&self, numbers: &[i64]) -> Result<(), StoreError> {
        if numbers.is_empty() {
            return Ok(());
        }
        super::retrying(|| async {
            let client = self.client().await?;
            let query = client
                .prepare_cached(include_str!("../../sql/queries/dead_letter_tokens_published.sql"))
                .await?;
            client.execute(&query, &[&numbers]).await?;
            Ok(())
        })
        .await
    }

    /// No token of what was closed before `closed_before` is in the queue any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens_removed(
        &self,
        target: Target,
        closed_before: Timestamp,
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query = client
            .prepare_cached(include_str!("../../sql/queries/dead_letter_tokens_removed.sql"))
            .await?;
        client.execute(&query, &[&target.name(), &closed_before]).await?;
        Ok(())
    }

    /// The open dead letters of a target, as far as their tokens matter.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_tokens(&self, target: Target) -> Result<Vec<Open>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/dead_letters_open.sql")).await?;
        let grace = limits::TOKEN_GRACE.as_secs_f64();
        let most = i64::try_from(limits::OPEN_DEAD_LETTERS_MAX).unwrap_or(i64::MAX);
        let rows = client.query(&query, &[&target.name(), &grace, &most]).await?;
        rows.iter()
            .map(|row| {
                Ok(Open {
                    number: row.try_get("dead_letter_id")?,
                    is_expected: row.try_get("is_expected")?,
                    is_marked: row.try_get("is_marked")?,
                })
            })
            .collect()
    }

    /// What the queue of dead letters should hold.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens_to_tidy(&self, target: Target) -> Result<ToTidy, StoreError> {
        let client = self.client().await?;
        let query = client
            .prepare_cached(include_str!("../../sql/queries/dead_letters_to_tidy.sql"))
            .await?;
        let grace = limits::TOKEN_GRACE.as_secs_f64();
        let row = client.query_one(&query, &[&target.name(), &grace]).await?;
        let open: i64 = row.try_get("open")?;
        Ok(ToTidy { open: open.try_into().unwrap_or(0), is_dirty: row.try_get("is_dirty")? })
    }

    /// Opens dead letters for messages that could not be decoded, one for each content.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn undecodable(
        &self,
        target: Target,
        messages: &[OddMessage],
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let digests: Vec<&[u8]> = messages.iter().map(|m| m.digest.as_slice()).collect();
        let bytes: Vec<i32> =
            messages.iter().map(|m| m.bytes.try_into().unwrap_or(i32::MAX)).collect();
        let client = self.client().await?;
        let query = client
            .prepare_cached(include_str!("../../sql/queries/dead_letters_undecodable.sql"))
            .await?;
        let rows = client.query(&query, &[&target.name(), &digests, &bytes]).await?;
        rows.iter().map(dead_letter).collect()
    }

    /// At most `most` dead letters that match, the oldest first, from after number `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters(
        &self,
        filter: &Filter,
        after: i64,
        most: i64,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let client = self.client().await?;
        let which = if filter.closed_too { "true" } else { "d.closed_on is null" };
        let query =
            include_str!("../../sql/queries/dead_letters_list.sql").replace("{which}", which);
        // Prepared for this once, so that it is planned for what is asked.
        let rows = client
            .query(
                &query,
                &[
                    &filter.target.map(Target::name),
                    &filter.entity.map(EntityType::name),
                    &filter.id,
                    &filter.number,
                    &filter.reason,
                    &filter.error,
                    &filter.older_than.map(|age| age.as_secs_f64()),
                    &most,
                    &after,
                    &filter.to_replay,
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let record_state = row.try_get("record_state")?;
                Ok(DeadLetter { record_state, ..dead_letter(row)? })
            })
            .collect()
    }

    /// How many of the open dead letters that match there are of each kind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_dead_letters(&self, filter: &Filter) -> Result<Replayable, StoreError> {
        let client = self.client().await?;
        let row = client
            .query_one(
                include_str!("../../sql/queries/dead_letters_count.sql"),
                &[
                    &filter.target.map(Target::name),
                    &filter.entity.map(EntityType::name),
                    &filter.id,
                    &filter.number,
                    &filter.reason,
                    &filter.error,
                    &filter.older_than.map(|age| age.as_secs_f64()),
                ],
            )
            .await?;
        let count = |name| -> Result<usize, StoreError> {
            let count: i64 = row.try_get(name)?;
            Ok(count.try_into().unwrap_or(0))
        };
        Ok(Replayable {
            yet: count("to_replay")?,
            put_back: count("put_back")?,
            never: count("never")?,
        })
    }

    /// Puts these dead letters back: each entity is owed a new cycle. Those that were put back already are left alone.
    ///
    /// # Errors
    /// [`StoreError`]; then none was.
    pub async fn replay(&self, numbers: &[i64], by: &str) -> Result<Vec<Replayed>, StoreError> {
        super::retrying(|| async {
            let client = self.client().await?;
            let query = client
                .prepare_cached(include_str!("../../sql/queries/dead_letters_replay.sql"))
                .await?;
            let rows = client.query(&query, &[&numbers, &by]).await?;
            rows.iter()
                .map(|row| {
                    Ok(Replayed {
                        number: row.try_get("dead_letter_id")?,
                        target: target(row)?,
                        entity: entity(row)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Discards these dead letters: their entities are left alone until they change. Returns the numbers.
    ///
    /// # Errors
    /// [`StoreError`]; then none was.
    pub async fn discard(&self, numbers: &[i64], by: &str) -> Result<Vec<i64>, StoreError> {
        super::retrying(|| async {
            let client = self.client().await?;
            let query = client
                .prepare_cached(include_str!("../../sql/queries/dead_letters_discard.sql"))
                .await?;
            let rows = client.query(&query, &[&numbers, &by]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    /// Forgets what was closed long ago; how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge_dead_letters(&self) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/dead_letters_purge.sql")).await?;
        client.execute(&query, &[&limits::DEAD_LETTERS_KEPT_DAYS]).await
    }
}

fn target(row: &tokio_postgres::Row) -> Result<Target, StoreError> {
    let target: &str = row.try_get("target")?;
    target
        .parse()
        .map_err(|_| StoreError::Unexpected("a dead letter has a target that is not known"))
}

fn dead_letter(row: &tokio_postgres::Row) -> Result<DeadLetter, StoreError> {
    let has_entity = row.try_get::<_, Option<&str>>("entity_type")?.is_some();
    let cause: &str = row.try_get("cause")?;
    Ok(DeadLetter {
        number: row.try_get("dead_letter_id")?,
        target: target(row)?,
        entity: has_entity.then(|| entity(row)).transpose()?,
        reason: row.try_get("reason")?,
        error: row.try_get("error")?,
        cause: Cause::from_name(cause),
        changed_on: row.try_get("changed_on")?,
        traceparent: row.try_get("traceparent")?,
        attempts: row.try_get("attempts")?,
        cycles: row.try_get("cycles")?,
        first_failed_on: row.try_get("first_failed_on")?,
        last_failed_on: row.try_get("last_failed_on")?,
        next_try_on: row.try_get("next_try_on")?,
        replayed_on: row.try_get("replayed_on")?,
        replayed_by: row.try_get("replayed_by")?,
        closed_on: row.try_get("closed_on")?,
        closed_by: row.try_get("closed_by")?,
        outcome: row.try_get("outcome")?,
        message_digest: row.try_get("message_digest")?,
        message_bytes: row.try_get("message_bytes")?,
        has_token: row.try_get::<_, Option<Timestamp>>("token_on")?.is_some(),
        record_state: None,
    })
}

//! The walks through what remotes hold: who walks, where a walk stands, and what a page brought.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::session::Transaction;
use super::{
    ConsentsTaken, InboxRef, RemovalsWeighed, Store, StoreError, consents, inbox, removals,
};
use crate::deliver::guard;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::inbound::{ConsentSeen, PullFrom, Snapshot, Stream};
use crate::target::Target;

/// A walk that is ours.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkBegun {
    /// Where it goes on, or begins.
    pub from: PullFrom,
    /// By how many milliseconds the remote's clock is ahead of the database's, as far as that is known.
    pub clock_ahead_ms: Option<i64>,
}

/// A page that was read.
#[derive(Debug)]
pub struct PageToStore<'a> {
    /// Of which target.
    pub target: Target,
    /// Of which stream.
    pub stream: Stream,
    /// Who walks.
    pub walker: Uuid,
    /// When its request began, by the database's clock.
    pub requested_on: Timestamp,
    /// [`crate::remote::Remote::nothing`].
    pub nothing: Option<ContentHash>,
    /// Its records, with times of the database's clock.
    pub snapshots: &'a [Snapshot],
    /// Its consents, with times of the database's clock.
    pub consents: &'a [ConsentSeen],
    /// How many of them may take something away in the EMS without a person.
    pub guard: guard::Limits,
    /// Where the walk goes on; `None` at its end.
    pub position: Option<&'a Value>,
    /// As in [`WalkBegun`], with what this page told.
    pub clock_ahead_ms: Option<i64>,
    /// With the last page.
    pub end: Option<WalkEnd<'a>>,
}

/// The end of a walk.
#[derive(Debug, Clone, Copy)]
pub struct WalkEnd<'a> {
    /// Where the next one begins.
    pub cursor: Option<&'a Value>,
    /// It has shown everything that there is.
    pub shows_all: bool,
    /// How much may be missing; `None` when a person accepts whatever it is.
    pub guard: Option<guard::Limits>,
}

/// What a page brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredPage {
    /// What is to be decided.
    pub taken: Vec<InboxRef>,
    /// Removals that are kept for a person, with whatever is held besides.
    pub held: u64,
    /// What was at stake, when these are the first of a burst to be held: an alert is due, once.
    pub tripped: Option<guard::Counts>,
    /// What became of its consents.
    pub consents: ConsentsTaken,
    /// At the end of a walk that has shown everything.
    pub missing: Option<Missing>,
}

/// What a walk over everything has not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// How many records.
    pub missing: u64,
    /// How many there may be.
    pub allowed: u64,
}

impl Missing {
    /// It is more than there may be: the walk is believed less than the records.
    #[must_use]
    pub const fn is_held(self) -> bool {
        self.missing > self.allowed
    }
}

/// What is to be done before the usual turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalksDue {
    /// Streams to walk, because of a hint or a walk that ended early.
    pub streams: Vec<Stream>,
    /// Records are to be read by themselves.
    pub reads: bool,
    /// The sweep's usual turn has come.
    pub sweep: bool,
}

impl Store {
    /// Begins a walk, or goes on with the one under way; `None` while another process walks. `anew`: a new walk over
    /// everything.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_walk(
        &self,
        target: Target,
        stream: Stream,
        walker: Uuid,
        anew: bool,
    ) -> Result<Option<WalkBegun>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/walk_begin.sql")).await?;
        let [full_every, kept, lease] =
            [limits::FULL_WALK_EVERY, limits::WALK_POSITION_KEPT, limits::WALK_LEASE]
                .map(|duration| duration.as_secs_f64());
        let types: Vec<_> = stream.entity_types().iter().map(|of| of.name()).collect();
        let (target, stream) = (target.name(), stream.name());
        let row = client
            .query_opt(
                &query,
                &[&target, &stream, &walker, &anew, &full_every, &kept, &lease, &types],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let from = PullFrom {
            cursor: row.try_get("cursor_was")?,
            position: row.try_get("position_is")?,
            full: row.try_get("is_full")?,
        };
        Ok(Some(WalkBegun { from, clock_ahead_ms: row.try_get("ahead_ms")? }))
    }

    /// Says that the walk goes on; `false` when another process has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_walk(
        &self,
        target: Target,
        stream: Stream,
        walker: Uuid,
    ) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/walk_keep.sql")).await?;
        let lease = limits::WALK_LEASE.as_secs_f64();
        let kept =
            client.execute(&query, &[&target.name(), &stream.name(), &walker, &lease]).await?;
        Ok(kept == 1)
    }

    /// Stores a page and moves the walk past it, in one transaction; `None` when another process has the walk: then
    /// nothing of the page is stored.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it is stored.
    pub async fn store_page(
        &self,
        page: &PageToStore<'_>,
    ) -> Result<Option<StoredPage>, StoreError> {
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            if !move_walk(&transaction, page).await? {
                return Ok(None);
            }
            let PageToStore { target, requested_on, nothing, snapshots, .. } = page;
            let taken =
                inbox::take_in(&transaction, *target, *requested_on, *nothing, snapshots).await?;
            let RemovalsWeighed { taken, held, tripped } =
                removals::weigh(&transaction, *target, taken, page.guard).await?;
            let consents = consents::take(&transaction, *target, page.consents, page.guard).await?;
            let missing = match page.end {
                Some(end) => end_walk(&transaction, page, end).await?,
                None => None,
            };
            crate::failpoint!("pull.taken_in");
            transaction.commit().await?;
            Ok(Some(StoredPage { taken, held, tripped, consents, missing }))
        })
        .await
    }

    /// Leaves a walk where it stands, to be gone on with later; with `begin_anew` its position is given up. `error` says
    /// what ended it, if it was a failure.
    ///
    /// # Errors
    /// [`StoreError`]; the walk's lease runs out then.
    pub async fn leave_walk(
        &self,
        target: Target,
        stream: Stream,
        walker: Uuid,
        error: Option<&str>,
        begin_anew: bool,
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/walk_leave.sql")).await?;
        let [min, max] =
            [limits::WALK_AGAIN_MIN, limits::WALK_AGAIN_MAX].map(|pause| pause.as_secs_f64());
        let (target, stream) = (target.name(), stream.name());
        client
            .execute(&query, &[&target, &stream, &walker, &error, &begin_anew, &min, &max])
            .await?;
        Ok(())
    }

    /// What is to be done at a target now; `every` is the interval of its sweep. One short statement.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn walks_due(&self, target: Target, every: Duration) -> Result<WalksDue, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/walks_due.sql")).await?;
        let [every, hinted] = [every, limits::HINTED_WALK_EVERY].map(|pause| pause.as_secs_f64());
        let row = client.query_one(&query, &[&target.name(), &every, &hinted]).await?;
        let names: Vec<&str> = row.try_get("streams")?;
        Ok(WalksDue {
            streams: names.into_iter().filter_map(Stream::from_name).collect(),
            reads: row.try_get("reads")?,
            sweep: row.try_get("sweep")?,
        })
    }
}

async fn move_walk(
    transaction: &Transaction<'_>,
    page: &PageToStore<'_>,
) -> Result<bool, StoreError> {
    let types: Vec<_> = page.snapshots.iter().map(|s| s.entity_type.name()).collect();
    let ids: Vec<_> = page.snapshots.iter().map(|s| s.remote_id.as_str()).collect();
    let query = transaction.prepare_cached(include_str!("../../sql/queries/walk_move.sql")).await?;
    let (target, stream) = (page.target.name(), page.stream.name());
    let lease = limits::WALK_LEASE.as_secs_f64();
    let (walker, position, ahead) = (page.walker, page.position, page.clock_ahead_ms);
    let row = transaction
        .query_one(&query, &[&target, &stream, &walker, &position, &ahead, &types, &ids, &lease])
        .await?;
    Ok(row.try_get(0)?)
}

async fn end_walk(
    transaction: &Transaction<'_>,
    page: &PageToStore<'_>,
    end: WalkEnd<'_>,
) -> Result<Option<Missing>, StoreError> {
    let (target, stream) = (page.target.name(), page.stream.name());
    let types: Vec<_> = page.stream.entity_types().iter().map(|of| of.name()).collect();
    let missing = if end.shows_all && !types.is_empty() {
        let query =
            transaction.prepare_cached(include_str!("../../sql/queries/walk_missing.sql")).await?;
        let row = transaction.query_one(&query, &[&target, &stream, &types]).await?;
        let count = |column| -> Result<u64, StoreError> {
            Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
        };
        let records = count("records")?;
        let allowed = end.guard.map_or(u64::MAX, |limits| guard::allowance(records, limits));
        Some(Missing { missing: count("missing")?, allowed })
    } else {
        None
    };
    let held = missing.filter(|missing| missing.is_held()).map(|m| {
        format!("{} records were not shown, more than the {} that may be", m.missing, m.allowed)
    });
    let query = transaction.prepare_cached(include_str!("../../sql/queries/walk_end.sql")).await?;
    let (walker, cursor, shows_all) = (page.walker, end.cursor, end.shows_all);
    transaction
        .query(&query, &[&target, &stream, &walker, &cursor, &shows_all, &types, &held])
        .await?;
    Ok(missing)
}

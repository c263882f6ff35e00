//! What the guard holds for a person, and a person's decision about exactly that: deletes and what records would lose ([`super::guard`]),
//! consents that were taken back at a target, and removals there.

use jiff::Timestamp;
use serde::Serialize;

use super::session::Transaction;
use super::{ConsentsDecided, DecidedHold, Store, StoreError, consents, guard, removals};
use crate::entity::EntityType;
use crate::limits;
use crate::target::Target;

/// What would happen, were it approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldKind {
    /// The entity is gone: its remote record is deleted, or what stands for a deletion there.
    Delete,
    /// Its remote record loses something: a consent, or the content of a field.
    Lessen,
    /// Its remote record was removed there: the EMS follows.
    Removal,
    /// A consent was taken back there: the EMS follows.
    Consent,
}

impl HeldKind {
    /// The name, as in JSON and in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Lessen => "lessen",
            Self::Removal => "removal",
            Self::Consent => "consent",
        }
    }

    fn from_name(name: &str) -> Result<Self, StoreError> {
        [Self::Delete, Self::Lessen, Self::Removal, Self::Consent]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(StoreError::Unexpected("something of an unknown kind is held"))
    }
}

/// How much is held of one kind and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldCount {
    /// What would happen.
    pub kind: HeldKind,
    /// To entities of this type.
    pub entity: EntityType,
    /// A person has decided that it does not happen; else nobody has decided.
    pub kept: bool,
    /// To how many.
    pub n: i64,
}

/// One thing that is held. Names fields and consents, holds no values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldItem {
    /// What would happen.
    pub kind: HeldKind,
    /// To an entity of this type.
    pub entity: EntityType,
    /// Its EMS id; `None` while nobody knows whose it is.
    pub id: Option<i64>,
    /// Its id at the target.
    pub remote_id: Option<String>,
    /// A person has decided that it does not happen; else nobody has decided.
    pub kept: bool,
    /// Since when it is owed or held.
    pub since: Option<Timestamp>,
    /// What would be lost, by name.
    pub loses: Vec<String>,
}

/// What is held of a target, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldNow {
    /// How much that nobody has decided about.
    pub undecided: i64,
    /// How much of which kind and type, the undecided first.
    pub counts: Vec<HeldCount>,
    /// What it is; of each kind and type at most [`limits::HELD_SHOWN`], the undecided first.
    pub rows: Vec<HeldItem>,
    /// A word for all of it, also for what is not among the rows: whoever decides says with it what they saw. It tells when the last
    /// of it joined, and has a digest: of each record its entity, whether it is gone, and the names of what it would lose; an edit
    /// that changes none of that leaves it as it is.
    pub seen: String,
}

/// What a person decides about what is held.
#[derive(Debug, Clone, Copy)]
pub struct HoldDecision<'a> {
    /// About what is held of this target.
    pub target: Target,
    /// It happens; else it does not.
    pub approves: bool,
    /// An approval takes in what was rejected earlier.
    pub kept: bool,
    /// Who.
    pub by: &'a str,
    /// What they saw ([`HeldNow::seen`]): what joined later stays held, and if what they saw has changed nothing is decided. `None`:
    /// they take it as it is. What was rejected earlier matters to `kept` only.
    pub seen: Option<&'a str>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldDecided {
    /// About these records.
    pub records: Vec<DecidedHold>,
    /// About so many removals at the target.
    pub removals: u64,
    /// About consents that were taken back there.
    pub consents: ConsentsDecided,
    /// So much is held yet that nobody has decided about: it joined after they looked.
    pub undecided: i64,
}

/// What `sql/functions/guard.sql` raises where what is held is not what was seen.
const NOT_AS_SEEN: &str = "ES001";

impl Store {
    /// What the guard holds of a target for a person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held(&self, target: Target) -> Result<HeldNow, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let isolation = "set transaction isolation level repeatable read, read only";
        transaction.batch_execute(isolation).await?;
        let counts = counts(&transaction, target).await?;
        let is_held = |kinds: [HeldKind; 2]| counts.iter().any(|c| kinds.contains(&c.kind));
        let mut rows = Vec::new();
        if is_held([HeldKind::Delete, HeldKind::Lessen]) {
            let query = include_str!("../../sql/queries/held_records.sql");
            rows.extend(items(&transaction, query, target).await?);
            rows.sort_by_key(|row| row.entity);
        }
        if is_held([HeldKind::Removal, HeldKind::Consent]) {
            let query = include_str!("../../sql/queries/held_inbound.sql");
            rows.extend(items(&transaction, query, target).await?);
        }
        rows.sort_by_key(|row| row.kept);
        let query =
            transaction.prepare_cached(include_str!("../../sql/queries/held_seen.sql")).await?;
        let seen = transaction.query_one(&query, &[&target.name()]).await?.try_get("seen")?;
        transaction.commit().await?;
        Ok(HeldNow { undecided: undecided(&counts), counts, rows, seen })
    }

    /// A person decides about what is held, each kind with its line of the audit trail, all in one transaction. What was decided
    /// already is not decided again. `None`: what they saw is held no more, or has changed, and nothing was decided.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was decided.
    pub async fn decide_held(
        &self,
        decision: &HoldDecision<'_>,
    ) -> Result<Option<HeldDecided>, StoreError> {
        let decided = super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            // The records last: consumers wait for the guard's row, and what is written to the EMS may wait for the EMS.
            let removals = removals::decide(&transaction, decision).await?;
            let consents = consents::decide(&transaction, decision).await?;
            let records = guard::decide(&transaction, decision).await?;
            let undecided = undecided(&counts(&transaction, decision.target).await?);
            transaction.commit().await?;
            Ok(HeldDecided { records, removals, consents, undecided })
        });
        match decided.await {
            Err(StoreError::Database { code, .. }) if code == NOT_AS_SEEN => Ok(None),
            decided => decided.map(Some),
        }
    }
}

/// How much of it nobody has decided about.
fn undecided(counts: &[HeldCount]) -> i64 {
    counts.iter().filter(|count| !count.kept).map(|count| count.n).sum()
}

async fn counts(
    transaction: &Transaction<'_>,
    target: Target,
) -> Result<Vec<HeldCount>, StoreError> {
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/held_counts.sql")).await?;
    let rows = transaction.query(&query, &[&target.name()]).await?;
    rows.iter()
        .map(|row| {
            Ok(HeldCount {
                kind: HeldKind::from_name(row.try_get("kind")?)?,
                entity: entity_type(row)?,
                kept: row.try_get("kept")?,
                n: row.try_get("n")?,
            })
        })
        .collect()
}

/// What is held, as one of the queries lists it.
async fn items(
    transaction: &Transaction<'_>,
    query: &str,
    target: Target,
) -> Result<Vec<HeldItem>, StoreError> {
    let query = transaction.prepare_cached(query).await?;
    let rows = transaction.query(&query, &[&target.name(), &limits::HELD_SHOWN]).await?;
    rows.iter()
        .map(|row| {
            Ok(HeldItem {
                kind: HeldKind::from_name(row.try_get("kind")?)?,
                entity: entity_type(row)?,
                id: row.try_get("entity_id")?,
                remote_id: row.try_get("remote_id")?,
                kept: row.try_get("kept")?,
                since: row.try_get("since")?,
                loses: row.try_get("loses")?,
            })
        })
        .collect()
}

fn entity_type(row: &tokio_postgres::Row) -> Result<EntityType, StoreError> {
    let name: &str = row.try_get("entity_type")?;
    name.parse().map_err(|_| StoreError::Unexpected("something of an unknown type is held"))
}

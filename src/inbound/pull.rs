//! What is read from a remote: walks through its streams, and records that are read by themselves.
//!
//! A page is stored in one transaction with where the walk stands ([`walk`]): whoever dies in between has changed nothing. The
//! cursor moves only at a walk's end. What a full walk has not shown is not gone: it is read by itself ([`asked`]), and only
//! the remote's own word about it counts; if too much is missing, the walk is not believed. A failure is never an empty list:
//! it ends the walk, which is gone on with later.
//!
//! Consumers are told by messages that name rows of the inbox. They are told of what stands in Postgres: a message that
//! can't be published is published later, by the scan for what is due.

pub mod asked;
pub mod clock;
pub mod schedule;
pub mod walk;

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{BrokerError, Publisher, Queue};
use crate::deliver::binding::{self, Finding, KeptEpoch, Part, Present};
use crate::deliver::breaker::Breaker;
use crate::deliver::guard::{self, Counts};
use crate::error_chain::chain;
use crate::inbound::apply::message;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::ops::progress::Beat;
use crate::remote::inbound::Stream;
use crate::remote::{Account, Failure, FailureClass, Remote};
use crate::store::{ConsentsTaken, DutyLease, InboxRef, Missing, Store, StoreError};
use crate::target_watch::TargetWatch;

/// Why reading ended early. What was stored until then stays.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The remote.
    #[error(transparent)]
    Remote(#[from] Failure),
    /// Another process walks this stream, or sweeps this target.
    #[error("Another process has taken this over")]
    TakenOver,
    /// The target is paused, disabled or can't be reached, or this process stops.
    #[error("The target is closed for business: see `ems-sync status`")]
    Closed,
    /// What is there is not what the target was bound to.
    #[error("The target is not where it was bound: {}", binding::words(.0))]
    Elsewhere(Vec<Part>),
}

impl PullError {
    /// Whether nothing else can be read either.
    const fn ends_everything(&self) -> bool {
        match self {
            Self::Store(_) | Self::Closed | Self::Elsewhere(_) => true,
            Self::Remote(failure) => failure.class.closes_target(),
            Self::TakenOver => false,
        }
    }
}

/// How a walk went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Walked {
    /// The stream.
    pub stream: Stream,
    /// Pages that were read.
    pub pages: u64,
    /// Records that they showed.
    pub seen: u64,
    /// Those of them that are to be decided about.
    pub taken_in: u64,
    /// Removals that are too many at once, and are kept for a person.
    pub removals_held: u64,
    /// Consents that were shown.
    pub consents: u64,
    /// Those of them that changed something in the EMS.
    pub consents_taken: u64,
    /// Those that are too many at once, and are kept for a person.
    pub consents_held: u64,
    /// Those that the EMS refused.
    pub consents_refused: u64,
    /// Records that a walk over everything did not show; `None` where it was not one.
    pub missing: Option<u64>,
    /// They are too many to be looked at without a person.
    pub held: bool,
}

/// How a sweep went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Swept {
    /// The walks.
    pub streams: Vec<Walked>,
    /// Records that were read by themselves.
    pub read: u64,
    /// Those of them that are to be decided about.
    pub read_taken_in: u64,
}

impl Swept {
    /// How much is to be decided about.
    #[must_use]
    pub fn taken_in(&self) -> u64 {
        self.read_taken_in
            + self.streams.iter().map(|walked| walked.taken_in + walked.consents_taken).sum::<u64>()
    }
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Walks begin anew and go over everything.
    pub anew: bool,
    /// A person accepts what is missing, however much it is.
    pub accept_missing: bool,
}

impl Extent {
    /// What has changed, and everything once a day.
    pub const USUAL: Self = Self { anew: false, accept_missing: false };
}

/// The puller of one target.
pub struct Puller<R> {
    /// The database.
    pub store: Store,
    /// A publisher.
    pub publisher: Arc<Publisher>,
    /// The target's client.
    pub remote: Arc<R>,
    /// Is told when the target asks for a pause.
    pub breaker: Arc<Breaker>,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// How much may be missing from a walk over everything.
    pub guard: guard::Limits,
    /// Who walks.
    pub owner: Uuid,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where it shows that it makes progress.
    pub beat: Beat,
    /// Ends a walk at its next page, or while a page is waited for.
    pub stop: CancellationToken,
}

impl<R: Remote> Puller<R> {
    /// Reads what there is to read in all streams, then what is to be read by itself. A stream that fails does not keep the
    /// others from being read, unless the target serves nobody. What was read, and the first [`PullError`].
    pub async fn sweep(
        &self,
        extent: Extent,
        duty: Option<&DutyLease>,
    ) -> (Swept, Result<(), PullError>) {
        let account = match self.remote.account().await {
            Ok(account) => account,
            Err(failure) => {
                let error = self.met(failure).await;
                self.note_failure(&error).await;
                return (Swept::default(), Err(error));
            }
        };
        if let Err(error) = self.is_at_home(Some(account)).await {
            return (Swept::default(), Err(error));
        }
        self.remote.stay_with(account);
        self.read_streams(self.remote.streams(), extent, duty).await
    }

    /// The same for some streams.
    async fn read_streams(
        &self,
        streams: &[Stream],
        extent: Extent,
        duty: Option<&DutyLease>,
    ) -> (Swept, Result<(), PullError>) {
        let mut swept = Swept::default();
        let mut result = Ok(());
        for stream in streams {
            match self.walk(*stream, extent, duty).await {
                Ok(walked) => swept.streams.push(walked),
                Err(error) => {
                    let is_final = error.ends_everything();
                    result = result.and(Err(error));
                    if is_final {
                        return (swept, result);
                    }
                }
            }
        }
        match self.read_asked(extent).await {
            Ok((read, taken)) => (swept.read, swept.read_taken_in) = (read, taken),
            Err(error) => result = result.and(Err(error)),
        }
        (swept, result)
    }

    /// This is the database and, as far as it is given, the account that the target was bound to; or it was never bound.
    async fn is_at_home(&self, account: Option<Account>) -> Result<(), PullError> {
        let facts = self.store.binding(self.remote.target()).await?;
        // The broker's epoch is compared by the consumers, which hold the target where it differs.
        let (database, epoch) = (facts.database, facts.epoch);
        let present = Present { database, account, epoch, kept_epoch: KeptEpoch::Unknown };
        match binding::compare(facts.bound.as_ref(), &present) {
            Finding::Differs(parts) => Err(PullError::Elsewhere(parts)),
            _ if facts.is_held => Err(PullError::Closed),
            Finding::Bind(_) | Finding::Same | Finding::Unknown => Ok(()),
        }
    }

    fn is_open(&self) -> bool {
        !self.stop.is_cancelled() && self.watch.is_open(self.remote.target())
    }

    /// Says what is to be said of a failure: a pause that was asked for holds for all processes.
    async fn met(&self, failure: Failure) -> PullError {
        if failure.class == FailureClass::Throttled {
            self.breaker.met(&failure).await;
        }
        failure.into()
    }

    /// Tells the consumers of rows of the inbox. What can't be told now is told by the scan for what is due.
    async fn tell(&self, taken: &[InboxRef]) {
        if let Err(error) = self.publish(taken).await {
            tracing::debug!(target.name = %self.remote.target(), error = %chain(&error), "What was taken in is published later");
        }
    }

    async fn publish(&self, taken: &[InboxRef]) -> Result<(), BrokerError> {
        let target = self.remote.target();
        let queue = Queue::inbound(target);
        if taken.is_empty() || self.publisher.queue_length(queue).await? >= limits::QUEUE_FULL {
            return Ok(());
        }
        let messages: Vec<_> = taken.iter().map(|row| message(target, *row)).collect();
        self.publisher.publish(&messages).await
    }

    fn note_consents(&self, consents: &ConsentsTaken) {
        let target = self.remote.target();
        if let Some(counts) = consents.tripped {
            tracing::error!(
                target.name = %target, waiting = counts.waiting, let_through = counts.let_through, consents = counts.records,
                advice = format!("`ems-sync target approve {target}` has the EMS take them; `ems-sync target reject {target}` leaves the EMS as it is."),
                "Too many consents were taken back at once: they are held"
            );
        }
        for refused in &consents.refused {
            tracing::warn!(
                target.name = %target, person = refused.person, sqlstate = refused.sqlstate,
                "The EMS refuses a consent that was taken back"
            );
        }
    }

    fn note_removals(&self, tripped: Option<Counts>) {
        let Some(counts) = tripped else { return };
        let target = self.remote.target();
        tracing::error!(
            target.name = %target, waiting = counts.waiting, let_through = counts.let_through, records = counts.records,
            advice = format!("`ems-sync target approve {target}` has the EMS take them; `ems-sync target reject {target}` leaves the EMS as it is."),
            "Too many records were taken out at once: they are held"
        );
    }

    fn note_missing(&self, stream: Stream, missing: Missing) {
        let target = self.remote.target();
        if missing.is_held() {
            tracing::error!(
                target.name = %target, stream = stream.name(),
                missing = missing.missing, allowed = missing.allowed,
                advice = format!("See whether the records are there. If they are gone, `ems-sync sweep inbound --target {target} --accept-missing`."),
                "A walk over everything has not shown more records than may be missing: none of them is looked at"
            );
        } else if missing.missing > 0 {
            tracing::info!(
                target.name = %target, stream = stream.name(), missing = missing.missing,
                "A walk over everything has not shown some records: each is read by itself"
            );
        }
    }
}

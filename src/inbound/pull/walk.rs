//! One walk through a stream, page by page.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Extent, PullError, Puller, Walked, clock};
use crate::limits;
use crate::remote::inbound::{ConsentSeen, ConsentState, PullFrom, Pulled, Snapshot, Stream};
use crate::remote::{Failure, FailureClass, Remote};
use crate::store::{DutyLease, PageToStore, StoredPage, WalkBegun, WalkEnd};

/// A page, and what its answer told.
struct Page {
    pulled: Pulled,
    requested_on: Timestamp,
    clock_ahead_ms: Option<i64>,
}

impl<R: Remote> Puller<R> {
    /// Walks through a stream, from where the last walk stands or ended to its end.
    ///
    /// # Errors
    /// [`PullError`]; pages until then are stored, and the walk is gone on with later.
    pub async fn walk(
        &self,
        stream: Stream,
        extent: Extent,
        duty: Option<&DutyLease>,
    ) -> Result<Walked, PullError> {
        let target = self.remote.target();
        let begun = self.store.begin_walk(target, stream, self.owner, extent.anew).await?;
        let begun = begun.ok_or(PullError::TakenOver)?;
        let mut walked = Walked {
            stream,
            pages: 0,
            seen: 0,
            taken_in: 0,
            consents: 0,
            consents_taken: 0,
            removals_held: 0,
            consents_held: 0,
            consents_refused: 0,
            missing: None,
            held: false,
        };
        let result = self.go(begun, extent, duty, &mut walked).await;
        if let Err(error) = &result {
            self.leave(stream, error).await;
        }
        result.map(|()| walked)
    }

    async fn go(
        &self,
        begun: WalkBegun,
        extent: Extent,
        duty: Option<&DutyLease>,
        walked: &mut Walked,
    ) -> Result<(), PullError> {
        let WalkBegun { mut from, mut clock_ahead_ms } = begun;
        let step = format!("{}: reading {}", self.remote.target(), walked.stream.name());
        self.beat.begin(&step, None);
        for _ in 0..limits::WALK_PAGES_MAX {
            if !self.is_open() {
                return Err(PullError::Closed);
            }
            let page = self.read_page(walked.stream, &from, clock_ahead_ms).await?;
            clock_ahead_ms = page.clock_ahead_ms;
            crate::failpoint!("pull.read");
            let stored = self.store_page(walked.stream, extent, &page).await?;
            crate::failpoint!("pull.stored");
            self.count(walked, &page.pulled, &stored);
            self.beat.add(page.pulled.snapshots.len() + page.pulled.consents.len());
            self.tell(&stored.taken).await;
            if let Some(duty) = duty
                && !self.store.keep_duty(duty).await?
            {
                return Err(PullError::TakenOver);
            }
            if page.pulled.position.is_none() {
                return Ok(());
            }
            if page.pulled.position == from.position {
                return Err(endless().into());
            }
            from.position = page.pulled.position;
        }
        Err(endless().into())
    }

    /// Reads a page. Meanwhile the walk is kept ours: a page waits for its turn among the target's other requests.
    async fn read_page(
        &self,
        stream: Stream,
        from: &PullFrom,
        clock_ahead_ms: Option<i64>,
    ) -> Result<Page, PullError> {
        let target = self.remote.target();
        let requested_on = self.store.now().await?;
        let began = Instant::now();
        let pulling = self.remote.pull(stream, from);
        tokio::pin!(pulling);
        let pulled = loop {
            self.beat.beat();
            tokio::select! {
                pulled = &mut pulling => break pulled,
                () = self.stop.cancelled() => return Err(PullError::Closed),
                () = tokio::time::sleep(limits::WALK_KEPT_EVERY) => {
                    if !self.store.keep_walk(target, stream, self.owner).await? {
                        return Err(PullError::TakenOver);
                    }
                }
            }
        };
        let took = began.elapsed();
        let pulled = match pulled {
            Ok(pulled) => pulled,
            Err(failure) => return Err(self.met(failure).await),
        };
        let precision = self.remote.clock_precision();
        let measured = clock::measured(requested_on, took, pulled.server_time);
        let clock_ahead_ms = clock::smoothed(clock_ahead_ms, measured, precision);
        let pulled = corrected(pulled, clock_ahead_ms, precision);
        Ok(Page { pulled, requested_on, clock_ahead_ms })
    }

    async fn store_page(
        &self,
        stream: Stream,
        extent: Extent,
        page: &Page,
    ) -> Result<StoredPage, PullError> {
        let Page { pulled, requested_on, clock_ahead_ms } = page;
        let end = WalkEnd {
            cursor: pulled.cursor.as_ref(),
            shows_all: pulled.shows_all,
            guard: (!extent.accept_missing).then_some(self.guard),
        };
        let page = PageToStore {
            target: self.remote.target(),
            stream,
            walker: self.owner,
            requested_on: *requested_on,
            nothing: self.remote.nothing(),
            snapshots: &pulled.snapshots,
            consents: &pulled.consents,
            guard: self.guard,
            position: pulled.position.as_ref(),
            clock_ahead_ms: *clock_ahead_ms,
            end: pulled.position.is_none().then_some(end),
        };
        self.store.store_page(&page).await?.ok_or(PullError::TakenOver)
    }

    fn count(&self, walked: &mut Walked, pulled: &Pulled, stored: &StoredPage) {
        let (seen, taken) = (count(pulled.snapshots.len()), count(stored.taken.len()));
        let restricts = |seen: &&ConsentSeen| seen.state != ConsentState::Lifted;
        walked.pages += 1;
        walked.seen += seen;
        walked.taken_in += taken;
        walked.consents += count(pulled.consents.iter().filter(restricts).count());
        walked.consents_taken += stored.consents.changed;
        walked.consents_held += stored.consents.held;
        walked.consents_refused += count(stored.consents.refused.len());
        self.note_consents(&stored.consents);
        walked.removals_held += stored.held;
        self.note_removals(stored.tripped);
        // A consent is taken in where it changes the EMS; what it waits for, or refuses, has counts of its own.
        let consents = count(pulled.consents.len());
        let (seen, taken) = (seen + consents, taken + stored.consents.changed);
        self.metrics.pulled(self.remote.target(), walked.stream, seen, taken);
        if let Some(missing) = stored.missing {
            walked.missing = Some(missing.missing);
            walked.held = missing.is_held();
            self.note_missing(walked.stream, missing);
        }
    }

    /// Leaves every walk where it stands, because of a failure that concerns them all.
    pub(super) async fn note_failure(&self, error: &PullError) {
        for stream in self.remote.streams() {
            let target = self.remote.target();
            let begun = self.store.begin_walk(target, *stream, self.owner, false).await;
            if matches!(begun, Ok(Some(_))) {
                self.leave(*stream, error).await;
            }
        }
    }

    /// Leaves the walk where it stands. A position that the remote does not take is given up with it.
    async fn leave(&self, stream: Stream, error: &PullError) {
        let target = self.remote.target();
        let (text, begin_anew) = match error {
            PullError::Remote(failure) => (Some(failure.to_string()), refuses_position(failure)),
            PullError::Store(_) | PullError::Closed | PullError::Elsewhere(_) => (None, false),
            // It is another's.
            PullError::TakenOver => return,
        };
        let left = self.store.leave_walk(target, stream, self.owner, text.as_deref(), begin_anew);
        if let Err(error) = left.await {
            tracing::debug!(target.name = %target, stream = stream.name(), error = %error, "The walk is left to its lease");
        }
    }
}

/// The failure is not of the moment: what is asked for is refused, so asking for the same again helps nobody.
const fn refuses_position(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => true,
        FailureClass::Transient
        | FailureClass::Ambiguous
        | FailureClass::Throttled
        | FailureClass::Postponed
        | FailureClass::Authentication
        | FailureClass::Configuration => false,
    }
}

fn endless() -> Failure {
    Failure::new(FailureClass::OurFault, "The walk does not come to an end")
}

/// The same with times of the database's clock.
fn corrected(mut pulled: Pulled, ahead_ms: Option<i64>, precision: Duration) -> Pulled {
    let correct = |on: Timestamp| clock::corrected(on, ahead_ms, precision);
    for Snapshot { modified_on, .. } in &mut pulled.snapshots {
        *modified_on = modified_on.map(correct);
    }
    // What was said within a second may have been said at its end: of two words of one moment the one that restricts counts.
    let at_its_end = |on: Timestamp| {
        let end = on.checked_add(precision).and_then(|on| on.checked_sub(Duration::from_micros(1)));
        end.unwrap_or(on)
    };
    for ConsentSeen { said_on, at_latest, .. } in &mut pulled.consents {
        *said_on = said_on.map(|on| at_its_end(correct(on)));
        *at_latest = at_latest.map(|on| at_its_end(correct(on)));
    }
    pulled
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

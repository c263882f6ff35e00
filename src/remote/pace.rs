//! How pushes go out where each is several calls: a few at once, whichever batches they are of, each to its end.
//!
//! A push that runs out of time after its first write is in doubt, which looks as if the target failed. So no more are under way
//! than the target's calls can carry, who came first goes first, and none is begun that would not end in time if it took as
//! long as the longest of late: it is [`PushResult::NotSent`], which blames nobody.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::{Push, PushResult, Results, SendBefore};
use crate::limits;

/// The places of a client for pushes, shared by all of its batches.
pub(super) struct Pace {
    places: Semaphore,
    /// How long the longest push took. It fades, so that one that hung once does not count for ever.
    longest: Mutex<Duration>,
    /// However long the longest took, with this much time a push is begun: nothing would be begun any more, were it more than
    /// a lease gives.
    enough: Duration,
}

impl Pace {
    /// `at_once` pushes may be under way, and at least one, with requests that take no longer than `request_timeout`.
    pub(super) fn new(at_once: usize, request_timeout: Duration) -> Self {
        let places = Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        let sending = limits::lease(request_timeout).saturating_sub(request_timeout);
        Self { places, longest: Mutex::default(), enough: sending / 2 }
    }

    /// Pushes rows beside each other, in each of them one push after the other, and hands over each result when it is there.
    pub(super) async fn push_rows<F>(
        &self,
        rows: impl IntoIterator<Item = Vec<Push>>,
        results: &Results,
        push_one: impl Fn(Push) -> F,
    ) where
        F: Future<Output = PushResult>,
    {
        let push_one = &push_one;
        let row = |row: Vec<Push>| async move {
            for push in row {
                let entity = push.entity;
                let result = match self.place(&push.send_before).await {
                    Some(_place) => self.timed(push_one(push)).await,
                    None => PushResult::NotSent,
                };
                results.put(entity, result);
            }
        };
        let rows: FuturesUnordered<_> = rows.into_iter().map(row).collect();
        rows.for_each(|()| std::future::ready(())).await;
    }

    /// Waits for a place. `None` where a push would not end in time any more.
    async fn place(&self, send_before: &SendBefore) -> Option<SemaphorePermit<'_>> {
        let place = tokio::select! {
            biased;
            () = send_before.passes() => None,
            place = self.places.acquire() => place.ok(),
        };
        place.filter(|_| !send_before.passes_within(self.longest().min(self.enough)))
    }

    async fn timed(&self, push: impl Future<Output = PushResult>) -> PushResult {
        let began = Instant::now();
        let result = push.await;
        // How long it waited to be sent says nothing.
        if result == PushResult::NotSent {
            return result;
        }
        let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = began.elapsed().max(*longest / 8 * 7);
        result
    }

    fn longest(&self) -> Duration {
        *self.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::entity::{EntityRef, EntityType};
    use crate::remote::{Action, Look, SendBefore};

    fn person(id: i64) -> EntityRef {
        EntityRef { entity_type: EntityType::Person, id }
    }

    fn pushes(ids: std::ops::Range<i64>, send_before: &SendBefore) -> Vec<Push> {
        let push = |id| Push {
            entity: person(id),
            action: Action::DeleteByKey,
            besides: Look::IfRefused,
            former: None,
            by_itself: false,
            send_before: send_before.clone(),
            expected: None,
        };
        ids.map(push).collect()
    }

    fn alone(pushes: Vec<Push>) -> Vec<Vec<Push>> {
        pushes.into_iter().map(|push| vec![push]).collect()
    }

    const fn a_second(_id: i64) -> Duration {
        Duration::from_secs(1)
    }

    /// A client of which each push takes as long as `takes` says.
    struct Client<T> {
        pace: Pace,
        at_once: usize,
        takes: T,
        under_way: AtomicUsize,
    }

    fn client<T: Fn(i64) -> Duration>(at_once: usize, takes: T) -> Client<T> {
        Client {
            pace: Pace::new(at_once, Duration::from_secs(20)),
            at_once,
            takes,
            under_way: AtomicUsize::new(0),
        }
    }

    /// Pushes rows; the ids that were begun, and those that were not sent.
    async fn outcome<T: Fn(i64) -> Duration>(
        client: &Client<T>,
        rows: Vec<Vec<Push>>,
    ) -> (Vec<i64>, Vec<i64>) {
        let (results, mut arrived) = Results::channel();
        let push_one = |push: Push| async move {
            let others = client.under_way.fetch_add(1, Ordering::SeqCst);
            assert!(others < client.at_once, "too many at once");
            tokio::time::sleep((client.takes)(push.entity.id)).await;
            client.under_way.fetch_sub(1, Ordering::SeqCst);
            assert!(!push.send_before.has_passed(), "cut off: {}", push.entity.id);
            PushResult::Gone
        };
        client.pace.push_rows(rows, &results, push_one).await;
        drop(results);
        let (mut begun, mut not_sent) = (Vec::new(), Vec::new());
        while let Some((entity, result)) = arrived.recv().await {
            let was_sent = result != PushResult::NotSent;
            if was_sent { &mut begun } else { &mut not_sent }.push(entity.id);
        }
        (begun, not_sent)
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_that_would_not_end_in_time_is_not_begun() {
        let until = SendBefore::from(Instant::now() + Duration::from_millis(3_500));
        let rows = alone(pushes(0..10, &until));
        let (begun, not_sent) = outcome(&client(2, a_second), rows).await;
        // Three times two come to their end within three and a half seconds.
        assert_eq!((begun, not_sent), ((0..6).collect(), (6..10).collect()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_counts_and_not_the_last() {
        let until = SendBefore::from(Instant::now() + Duration::from_secs(7));
        let takes = |id| Duration::from_secs(if id == 0 { 3 } else { 1 });
        let (begun, not_sent) = outcome(&client(1, takes), alone(pushes(0..4, &until))).await;
        assert_eq!((begun, not_sent), (vec![0, 1, 2], vec![3]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_pushes_of_a_row_go_one_after_the_other_and_every_one_is_answered() {
        let until = SendBefore::from(Instant::now() + Duration::from_secs(60));
        let rows = vec![pushes(0..3, &until), pushes(3..4, &until), Vec::new()];
        let (begun, not_sent) = outcome(&client(2, a_second), rows).await;
        assert_eq!((begun, not_sent), (vec![0, 3, 1, 2], Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_once_the_target_is_closed() {
        let stop = CancellationToken::new();
        stop.cancel();
        let until = SendBefore::new(Instant::now() + Duration::from_secs(60), stop);
        let rows = alone(pushes(0..3, &until));
        let (begun, not_sent) = outcome(&client(2, a_second), rows).await;
        assert_eq!((begun, not_sent), (Vec::new(), (0..3).collect()));
    }

    /// Batches that come while others are under way share their places, and know how long a push takes.
    #[tokio::test(start_paused = true)]
    async fn of_several_batches_the_first_to_come_goes_first_and_none_is_cut_off() {
        let client = client(2, a_second);
        let until = SendBefore::from(Instant::now() + Duration::from_millis(4_500));
        let batch = |ids| outcome(&client, alone(pushes(ids, &until)));
        let (one, two, three) = tokio::join!(batch(0..4), batch(4..7), batch(7..20));
        assert_eq!(one, ((0..4).collect(), Vec::new()));
        assert_eq!(two, ((4..7).collect(), Vec::new()));
        assert_eq!(three, (vec![7], (8..20).collect()));
    }

    /// A lease of 80 s with a deadline of 20 s lets it send for 60 s.
    #[tokio::test(start_paused = true)]
    async fn one_that_took_longer_than_a_lease_gives_stops_nobody_after_it() {
        let client = client(1, |id| Duration::from_secs(if id == 0 { 79 } else { 1 }));
        let batch = async |ids: std::ops::Range<i64>, time| {
            let until = SendBefore::from(Instant::now() + Duration::from_secs(time));
            outcome(&client, alone(pushes(ids, &until))).await
        };
        assert_eq!(batch(0..1, 80).await.0, [0]);
        assert_eq!(batch(1..2, 30).await, (Vec::new(), vec![1]));
        assert_eq!(batch(2..5, 60).await, ((2..5).collect(), Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hung_is_forgotten_in_time() {
        let client = client(1, |id| Duration::from_secs(if id == 0 { 20 } else { 1 }));
        let later = |time| SendBefore::from(Instant::now() + Duration::from_secs(time));
        let begun = async |ids: std::ops::Range<i64>, time| {
            outcome(&client, alone(pushes(ids, &later(time)))).await.0.len()
        };
        assert_eq!(begun(0..1, 60).await, 1);
        assert_eq!(begun(1..2, 10).await, 0, "it might hang, too");
        assert_eq!(begun(2..10, 60).await, 8);
        assert_eq!(begun(10..11, 10).await, 1);
    }
}

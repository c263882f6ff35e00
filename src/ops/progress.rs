//! Progress, not liveness: every long-running part beats, and `/readyz` is red when one has fallen silent. One whose work fails
//! again and again is as good as silent, however often it tries. Long work that a person has begun says besides how far it is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// The parts of this process that must make progress.
#[derive(Clone)]
pub struct Progress {
    began: Instant,
    parts: Arc<Mutex<Vec<Part>>>,
}

#[derive(Clone)]
struct Part {
    name: String,
    pulse: Arc<Mutex<Pulse>>,
}

/// What a part has shown, as the time since its process began.
#[derive(Debug, Clone, Copy, Default)]
struct Pulse {
    /// When it last did something, or looked and found nothing to do.
    beat: Duration,
    /// The failures of its work, where the last piece of it failed.
    failing: Option<Failing>,
}

/// Work that has failed and has not come to its end since.
#[derive(Debug, Clone, Copy)]
struct Failing {
    /// When it first failed.
    since: Duration,
    /// How often it has.
    times: u32,
    /// When it last failed, or was under way again.
    last: Duration,
}

impl Pulse {
    fn failed(&mut self, now: Duration) {
        let before = self.failing_at(now).unwrap_or(Failing { since: now, times: 0, last: now });
        self.failing = Some(Failing { times: before.times.saturating_add(1), last: now, ..before });
        self.beat = now;
    }

    /// It is at work; that it has failed before is not forgotten, however long this try takes.
    fn works(&mut self, now: Duration) {
        self.failing = self.failing_at(now).map(|failing| Failing { last: now, ..failing });
        self.beat = now;
    }

    /// The failures that are not over: after a while without one, somebody else has done the work.
    fn failing_at(&self, now: Duration) -> Option<Failing> {
        self.failing.filter(|f| now.saturating_sub(f.last) < limits::FAILURES_FORGOTTEN_AFTER)
    }

    /// For how long it has come to nothing. After one failure the next try shows whether it does, however long that takes.
    fn silence(&self, now: Duration) -> Duration {
        let again_and_again = self.failing_at(now).filter(|failing| failing.times > 1);
        let since = again_and_again.map_or(self.beat, |f| f.since.min(self.beat));
        now.saturating_sub(since)
    }
}

/// How far long work is, for a person who watches it.
pub trait Meter: Send + Sync {
    /// A step begins, of so many of something where that is known.
    fn begin(&self, step: &str, all: Option<u64>);
    /// So many more of them are done.
    fn add(&self, done: u64);
}

/// One part's side: it beats while it makes progress or has a good reason to wait, and says how its work ended.
#[derive(Clone)]
pub struct Beat {
    began: Instant,
    pulse: Arc<Mutex<Pulse>>,
    meter: Option<Arc<dyn Meter>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { began: Instant::now(), parts: Arc::default() }
    }
}

impl Progress {
    /// A new part with that name; it has just beaten.
    #[must_use]
    pub fn part(&self, name: impl Into<String>) -> Beat {
        let beat = Beat { began: self.began, pulse: Arc::default(), meter: None };
        beat.beat();
        let part = Part { name: name.into(), pulse: Arc::clone(&beat.pulse) };
        if let Ok(mut parts) = self.parts.lock() {
            parts.push(part);
        }
        beat
    }

    /// The parts that have been silent, or have only failed, for too long, and for how long.
    #[must_use]
    pub fn silent(&self) -> Vec<(String, Duration)> {
        let is_too_long = |(_, silence): &(String, Duration)| *silence > limits::READY_SILENCE_MAX;
        self.silences().into_iter().filter(is_too_long).collect()
    }

    /// Every part, and for how long it has been silent, or has only failed.
    #[must_use]
    pub fn silences(&self) -> Vec<(String, Duration)> {
        let now = self.began.elapsed();
        let parts = self.parts.lock().map(|parts| parts.clone()).unwrap_or_default();
        let silence = |part: Part| {
            let pulse = part.pulse.lock().map(|pulse| *pulse).unwrap_or_default();
            (part.name, pulse.silence(now))
        };
        parts.into_iter().map(silence).collect()
    }
}

impl Default for Beat {
    /// One that nobody looks at.
    fn default() -> Self {
        Self { began: Instant::now(), pulse: Arc::default(), meter: None }
    }
}

impl Beat {
    /// The same, and a person watches how far it is.
    #[must_use]
    pub fn watched_by(self, meter: Arc<dyn Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Whether a person watches: what is only counted for them need not be counted otherwise.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.meter.is_some()
    }

    /// A step begins, of so many of something where that is known.
    pub fn begin(&self, step: &str, all: Option<i64>) {
        self.beat();
        if let Some(meter) = &self.meter {
            meter.begin(step, all.and_then(|all| u64::try_from(all).ok()));
        }
    }

    /// So many more of the step are done.
    pub fn add(&self, done: usize) {
        self.beat();
        if let Some(meter) = &self.meter {
            meter.add(u64::try_from(done).unwrap_or(u64::MAX));
        }
    }

    /// It is at work and gets on with it.
    pub fn beat(&self) {
        self.show(Pulse::works);
    }

    /// It looked and has nothing to do now, or must not do it.
    pub fn waits(&self) {
        self.show(|pulse, now| pulse.beat = now);
    }

    /// A piece of its work came to its end.
    pub fn well(&self) {
        self.show(|pulse, now| *pulse = Pulse { beat: now, failing: None });
    }

    /// A piece of its work failed. What ends by itself once a remote, the database or the broker answers again is no failure of
    /// the part where the next try may be long in coming.
    pub fn failed(&self) {
        self.show(Pulse::failed);
    }

    fn show(&self, what: impl FnOnce(&mut Pulse, Duration)) {
        if let Ok(mut pulse) = self.pulse.lock() {
            what(&mut pulse, self.began.elapsed());
        }
    }

    /// Awaits something that may rightly take long, and beats meanwhile.
    pub async fn while_waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        loop {
            self.waits();
            tokio::select! {
                result = &mut wait => return result,
                () = tokio::time::sleep(limits::READY_SILENCE_MAX / 4) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_falls_silent_is_named_and_recovers_with_a_beat() {
        let progress = Progress::default();
        let (relay, _sweep) = (progress.part("relay"), progress.part("sweep"));
        assert!(progress.silent().is_empty());
        tokio::time::advance(limits::READY_SILENCE_MAX + Duration::from_secs(1)).await;
        relay.beat();
        let silent: Vec<_> = progress.silent().into_iter().map(|(name, _)| name).collect();
        assert_eq!(silent, ["sweep"]);
    }

    async fn seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_again_and_again_is_named_within_two_minutes_however_often_it_beats() {
        let progress = Progress::default();
        let beat = progress.part("sweep");
        for _ in 0..12 {
            beat.waits();
            beat.beat();
            beat.failed();
            seconds(10).await;
        }
        let silent = progress.silent();
        assert_eq!(silent, [("sweep".to_owned(), Duration::from_secs(120))]);
        beat.waits();
        assert!(!progress.silent().is_empty(), "a look that finds nothing to do heals nothing");
        beat.well();
        assert!(progress.silent().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_try_after_one_failure_may_take_long_and_the_one_after_two_is_not_believed() {
        let progress = Progress::default();
        let beat = progress.part("sweep");
        beat.failed();
        for _ in 0..10 {
            seconds(30).await;
            beat.beat();
            assert!(progress.silent().is_empty(), "it may yet succeed");
        }
        beat.failed();
        assert_eq!(progress.silent(), [("sweep".to_owned(), Duration::from_secs(300))]);
        for _ in 0..10 {
            seconds(30).await;
            beat.add(1);
            assert_eq!(progress.silent().len(), 1);
        }
        beat.well();
        beat.failed();
        seconds(59).await;
        assert!(progress.silent().is_empty(), "counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_turns_at_failing_with_others_is_named_too() {
        let progress = Progress::default();
        let beat = progress.part("sweep");
        for _ in 0..2 {
            beat.failed();
            // As long as two others have it, each once.
            seconds(3 * limits::DUTY_AGAIN_AFTER.as_secs()).await;
            beat.waits();
        }
        assert_eq!(progress.silent().len(), 1);
        seconds(limits::FAILURES_FORGOTTEN_AFTER.as_secs()).await;
        beat.waits();
        assert!(progress.silent().is_empty(), "somebody has done it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_makes_nothing_red_and_what_others_have_done_is_forgotten() {
        let progress = Progress::default();
        let beat = progress.part("sweep");
        beat.failed();
        for _ in 0..30 {
            seconds(10).await;
            beat.waits();
            assert!(progress.silent().is_empty());
        }
        beat.failed();
        assert!(progress.silent().is_empty(), "counted from the last failure");
    }

    #[tokio::test(start_paused = true)]
    async fn who_rightly_waits_is_not_silent() {
        let progress = Progress::default();
        let beat = progress.part("consumer");
        beat.while_waiting(tokio::time::sleep(limits::READY_SILENCE_MAX * 10)).await;
        assert!(progress.silent().is_empty());
    }
}

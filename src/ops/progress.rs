//! Progress, not liveness: every long-running part beats, and `/readyz` is red when one has fallen silent. Long work that a person
//! has begun says besides how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
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
    beat_millis: Arc<AtomicU64>,
}

/// How far long work is, for a person who watches it.
pub trait Meter: Send + Sync {
    /// A step begins, of so many of something where that is known.
    fn begin(&self, step: &str, all: Option<u64>);
    /// So many more of them are done.
    fn add(&self, done: u64);
}

/// One part's side: it beats while it makes progress or has a good reason to wait.
#[derive(Clone)]
pub struct Beat {
    began: Instant,
    millis: Arc<AtomicU64>,
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
        let beat = Beat { began: self.began, millis: Arc::default(), meter: None };
        beat.beat();
        let part = Part { name: name.into(), beat_millis: Arc::clone(&beat.millis) };
        if let Ok(mut parts) = self.parts.lock() {
            parts.push(part);
        }
        beat
    }

    /// The parts that have been silent for too long, and for how long.
    #[must_use]
    pub fn silent(&self) -> Vec<(String, Duration)> {
        let is_too_long = |(_, silence): &(String, Duration)| *silence > limits::READY_SILENCE_MAX;
        self.silences().into_iter().filter(is_too_long).collect()
    }

    /// Every part, and for how long it has been silent.
    #[must_use]
    pub fn silences(&self) -> Vec<(String, Duration)> {
        let now = self.began.elapsed();
        let parts = self.parts.lock().map(|parts| parts.clone()).unwrap_or_default();
        let silence = |part: Part| {
            let beat = Duration::from_millis(part.beat_millis.load(Ordering::Relaxed));
            (part.name, now.saturating_sub(beat))
        };
        parts.into_iter().map(silence).collect()
    }
}

impl Default for Beat {
    /// One that nobody looks at.
    fn default() -> Self {
        Self { began: Instant::now(), millis: Arc::default(), meter: None }
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

    /// Progress was made.
    pub fn beat(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Awaits something that may rightly take long, and beats meanwhile.
    pub async fn while_waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        loop {
            self.beat();
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

    #[tokio::test(start_paused = true)]
    async fn who_rightly_waits_is_not_silent() {
        let progress = Progress::default();
        let beat = progress.part("consumer");
        beat.while_waiting(tokio::time::sleep(limits::READY_SILENCE_MAX * 10)).await;
        assert!(progress.silent().is_empty());
    }
}

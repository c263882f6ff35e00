//! Too much at once, too much in a while (contract, section 3).

use std::time::{Duration, Instant};

use super::options::RunSignupSettings;
use crate::{Record, Request};

/// The calls of the minute and of the hour.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    minute: Option<Window>,
    hour: Option<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    calls: u64,
}

impl Throttle {
    /// Counts a call; `false` if it is one too many.
    pub(super) fn admits(
        &mut self,
        request: &Request,
        settings: &RunSignupSettings,
        record: &mut Record,
    ) -> bool {
        let concurrency = request.concurrency;
        if concurrency.awaited > settings.max_concurrent_calls {
            record.violation("too_many_concurrent_calls", concurrency.awaited.to_string());
        }
        let minute = count(&mut self.minute, Duration::from_mins(1));
        let hour = count(&mut self.hour, Duration::from_hours(1));
        concurrency.at_work <= settings.max_concurrent_calls
            && settings.calls_per_minute.is_none_or(|limit| minute <= limit)
            && settings.calls_per_hour.is_none_or(|limit| hour <= limit)
    }

    /// Forgets what was called so far.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Counts a call in its window, or begins a new one.
fn count(window: &mut Option<Window>, length: Duration) -> u64 {
    match window {
        Some(window) if window.began.elapsed() < length => {
            window.calls += 1;
            window.calls
        }
        _ => {
            *window = Some(Window { began: Instant::now(), calls: 1 });
            1
        }
    }
}

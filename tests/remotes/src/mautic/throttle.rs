//! Calls per hour for the whole site (section 8). The window opens with a call and ends an hour
//! later; a call too many counts, too.

use jiff::Timestamp;

use super::problem;
use crate::Response;

const HOUR: i64 = 3600;

/// The window at hand.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    calls: u64,
    /// When the window ends, in seconds since the epoch.
    reset: i64,
}

/// What the headers say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    limit: u64,
    remaining: u64,
    reset: i64,
    exceeded: bool,
}

impl Throttle {
    /// Counts a call; `None` where there is no limit.
    pub(super) fn count(&mut self, limit: u64, now: Timestamp) -> Option<Standing> {
        if limit == 0 {
            return None;
        }
        if now.as_second() >= self.reset {
            *self = Self { calls: 0, reset: now.as_second().saturating_add(HOUR) };
        }
        self.calls = self.calls.saturating_add(1);
        Some(Standing {
            limit,
            remaining: limit.saturating_sub(self.calls),
            reset: self.reset,
            exceeded: self.calls > limit,
        })
    }
}

impl Standing {
    /// The refusal, if it was one call too many.
    pub(super) fn refusal(self) -> Option<Response> {
        self.exceeded.then(|| problem::throttled(self.limit))
    }

    /// Adds the headers.
    pub(super) fn on(self, response: Response) -> Response {
        response
            .header("X-RateLimit-Limit", self.limit.to_string())
            .header("X-RateLimit-Remaining", self.remaining.to_string())
            .header("X-RateLimit-Reset", self.reset.to_string())
    }
}

//! What was sent for one push so far, and how it ends when it can't go on (obligation 4).

use std::sync::atomic::{AtomicBool, Ordering};

use super::http::Intent;
use super::{Failure, FailureClass, PushResult};

/// Whether a write was sent for a push.
pub(super) struct Sent(AtomicBool);

impl Sent {
    /// `was_sent`: a write went out before, in a batch.
    pub(super) const fn new(was_sent: bool) -> Self {
        Self(AtomicBool::new(was_sent))
    }

    /// A request was answered.
    pub(super) fn note(&self, intent: Intent) {
        if intent == Intent::Write {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a write was sent.
    pub(super) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// `NotSent` would be a lie after a write, even after one that was refused.
    pub(super) fn too_late(&self) -> PushResult {
        if self.0.load(Ordering::Relaxed) {
            let text = "No time was left to find out what became of a write";
            return PushResult::Failed(Failure::new(FailureClass::Ambiguous, text));
        }
        PushResult::NotSent
    }

    /// A request failed. What was sent before it counts too.
    pub(super) fn failed(&self, failure: Failure) -> PushResult {
        let unsent = failure.unsent && !self.0.load(Ordering::Relaxed);
        PushResult::Failed(Failure { unsent, ..failure })
    }
}

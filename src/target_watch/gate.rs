//! The gate of one target in this process: what is about to be sent is stopped the moment that it closes.
//!
//! The consumer stops taking when a target closes; the gate is for what was taken before: requests that wait for a
//! slot, the rest of a batch, a batch that was claimed a moment ago. It closes by whatever is quickest: this process
//! was told itself, another one has notified, or a batch has read the shared state before it sends.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits;

/// The gate of one target.
#[derive(Debug, Clone)]
pub struct Gate {
    stop: CancellationToken,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// Cancelled when the gate closes; another one when it opens again.
    open: CancellationToken,
    /// The newest version of the shared state that was seen.
    version: i64,
    /// Shut by this process, and not written down yet: only a newer version opens it.
    is_shut: bool,
    /// Another process is about to write down why it is shut: until then only a newer version opens it.
    hushed_until: Option<Instant>,
}

impl Inner {
    fn is_waiting(&self) -> bool {
        self.is_shut || self.hushed_until.is_some_and(|until| Instant::now() < until)
    }
}

impl Gate {
    /// A gate that is closed until the shared state says otherwise, and for ever after `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        let open = stop.child_token();
        open.cancel();
        let inner = Inner { open, version: -1, is_shut: false, hushed_until: None };
        Self { stop, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Cancelled when nothing may be sent any more. To be taken anew for each batch.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.lock().open.clone()
    }

    /// Nothing may be sent now.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().open.is_cancelled()
    }

    /// Closes it before the reason is written down.
    pub fn shut(&self) {
        let mut inner = self.lock();
        inner.is_shut = true;
        inner.open.cancel();
    }

    /// Another process was told to leave the target alone, and is about to write that down. If it dies before, what is
    /// read after [`limits::HUSH`] opens it.
    pub fn hush(&self) {
        let mut inner = self.lock();
        inner.hushed_until = Some(Instant::now() + limits::HUSH);
        inner.open.cancel();
    }

    /// The reason could not be written down, or changes nothing: what was read last counts again.
    pub fn release(&self) {
        self.lock().is_shut = false;
    }

    /// The database is another one, or has gone back in time: versions that were seen say nothing any more.
    pub fn forget(&self) {
        let mut inner = self.lock();
        inner.version = -1;
        inner.is_shut = false;
        inner.hushed_until = None;
    }

    /// Follows the shared state, as it was read. A state that is older than what was seen says nothing.
    pub fn see(&self, version: i64, is_open: bool) {
        let mut inner = self.lock();
        if version < inner.version || (inner.is_waiting() && version == inner.version) {
            return;
        }
        inner.version = version;
        inner.is_shut = false;
        inner.hushed_until = None;
        if !is_open {
            inner.open.cancel();
        } else if inner.open.is_cancelled() {
            inner.open = self.stop.child_token();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_follows_the_newest_state_whatever_the_order_in_which_states_are_read() {
        let gate = Gate::new(CancellationToken::new());
        assert!(gate.is_closed(), "nothing is known yet");
        gate.see(1, true);
        let token = gate.token();
        gate.see(3, false);
        assert!(token.is_cancelled(), "what is under way is told");
        gate.see(2, true);
        assert!(gate.is_closed());
        gate.see(3, true);
        assert!(!gate.is_closed(), "a pause that is over changes no version");
        assert!(token.is_cancelled() && !gate.token().is_cancelled());
    }

    #[test]
    fn what_this_process_was_told_is_undone_only_by_what_was_written_later() {
        let gate = Gate::new(CancellationToken::new());
        gate.see(1, true);
        gate.shut();
        gate.see(1, true);
        assert!(gate.is_closed(), "read before it was written down");
        gate.see(2, true);
        assert!(!gate.is_closed());
        gate.shut();
        gate.release();
        gate.see(2, true);
        assert!(!gate.is_closed(), "it could not be written down");
    }

    #[test]
    fn a_process_that_stops_opens_no_gate() {
        let stop = CancellationToken::new();
        let gate = Gate::new(stop.clone());
        gate.see(1, true);
        let token = gate.token();
        stop.cancel();
        assert!(token.is_cancelled());
        gate.see(2, true);
        assert!(gate.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hush_ends_with_what_is_written_down_or_by_itself() {
        let gate = Gate::new(CancellationToken::new());
        gate.see(1, true);
        let token = gate.token();
        gate.hush();
        assert!(token.is_cancelled() && gate.is_closed());
        gate.see(1, true);
        assert!(gate.is_closed(), "read before it was written down");
        gate.see(2, false);
        gate.see(3, true);
        assert!(!gate.is_closed());
        gate.hush();
        tokio::time::advance(limits::HUSH).await;
        gate.see(3, true);
        assert!(!gate.is_closed(), "whoever said so is gone");
    }
}

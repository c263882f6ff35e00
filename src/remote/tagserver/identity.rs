//! Which server the ids that we know belong to (contract, "How it behaves in the field").
//!
//! A server that was set up anew gives our ids to other rows. It says so by another `build.instance`; once it was asked,
//! nothing is sent before it has been asked again: after every new login, every lost connection, and every few seconds, since
//! it may be exchanged while nothing is sent, and its signing secret may outlive its data. A server that does not say who it
//! is gets no replace without a look at the row.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::limits;
use crate::remote::login::Token;
use crate::remote::{Account, Failure};

/// What is known of the server's identity.
pub(super) struct Identity {
    state: Mutex<State>,
    /// Held while it is asked, so that there is one question at a time.
    pub(super) asking: tokio::sync::Mutex<()>,
    is_another: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// The account to stay with; `None` before anybody said so.
    ours: Option<Account>,
    /// It was seen to be the same with this token, then, and no connection was lost since.
    proven: Option<(Arc<Token>, Instant)>,
    /// The last question that failed.
    failed: Option<(Instant, Failure)>,
}

impl Identity {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            asking: tokio::sync::Mutex::const_new(()),
            is_another: watch::Sender::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing needs to be asked before a request with this token.
    pub(super) fn is_proven(&self, token: &Arc<Token>) -> bool {
        let state = self.state();
        let is_fresh = |(proven, at): &(Arc<Token>, Instant)| {
            Arc::ptr_eq(proven, token) && at.elapsed() < limits::IDENTITY_PROVEN_FOR
        };
        state.ours.is_none() || state.proven.as_ref().is_some_and(is_fresh)
    }

    /// The server is another one than the one to stay with.
    pub(super) fn is_another(&self) -> bool {
        *self.is_another.borrow()
    }

    /// Ids prove nothing by themselves: a row is read before it is replaced.
    pub(super) fn reads_first(&self) -> bool {
        self.state().ours.is_some_and(|ours| ours.instance.is_none())
    }

    /// From now on the ids belong to this account.
    pub(super) fn stay_with(&self, account: Account) {
        let mut state = self.state();
        if state.ours != Some(account) {
            *state = State { ours: Some(account), proven: None, failed: None };
        }
        drop(state);
        self.is_another.send_replace(false);
    }

    /// The server told who it is; whether it is the one to stay with.
    pub(super) fn asked(&self, token: &Arc<Token>, account: Account) -> bool {
        let mut state = self.state();
        let is_same = state.ours.is_none_or(|ours| ours == account);
        state.proven = is_same.then(|| (Arc::clone(token), Instant::now()));
        drop(state);
        self.is_another.send_replace(!is_same);
        is_same
    }

    /// A question failed after `asked`: that is the answer for everybody who waited.
    pub(super) fn failure_since(&self, asked: Instant) -> Option<Failure> {
        let state = self.state();
        let failed = state.failed.as_ref().filter(|(at, _)| *at >= asked);
        failed.map(|(_, failure)| failure.clone())
    }

    /// A question failed.
    pub(super) fn failed(&self, failure: &Failure) {
        self.state().failed = Some((Instant::now(), failure.clone()));
    }

    /// A connection was lost: whoever answers next may be another one.
    pub(super) fn doubt(&self) {
        self.state().proven = None;
    }

    /// Returns when the server is another one.
    pub(super) async fn changed(&self) {
        let mut is_another = self.is_another.subscribe();
        if is_another.wait_for(|is_another| *is_another).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

//! Which account the ids that we know belong to, for remotes that can't become another one under the same credentials.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::Account;

/// The account to stay with, and whether another one was seen (obligation 11).
pub(super) struct Place {
    ours: Mutex<Option<Account>>,
    is_another: watch::Sender<bool>,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { ours: Mutex::default(), is_another: watch::Sender::new(false) }
    }

    /// From now on the ids belong to this account.
    pub(super) fn stay_with(&self, account: Account) {
        *self.ours.lock().unwrap_or_else(PoisonError::into_inner) = Some(account);
        self.is_another.send_replace(false);
    }

    /// The remote said that we are this account there.
    pub(super) fn seen(&self, account: Account) {
        let ours = *self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_another.send_replace(ours.is_some_and(|ours| ours != account));
    }

    /// Nothing may be written: the remote is another account than the one to stay with.
    pub(super) fn is_another(&self) -> bool {
        *self.is_another.borrow()
    }

    /// Returns when another account was seen.
    pub(super) async fn changed(&self) {
        let mut is_another = self.is_another.subscribe();
        if is_another.wait_for(|is_another| *is_another).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

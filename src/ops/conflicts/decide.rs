//! A person's decision about a conflict: the same for the command line and the console. It is in the audit trail of the same
//! transaction.

use serde::Serialize;

use crate::broker::Publisher;
use crate::error_chain::chain;
use crate::inbound::apply::message;
use crate::store::{Adopted, Store, StoreError};

/// How a decision ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The conflict's number.
    pub conflict: i64,
    /// `adopted`, `dismissed`, or `unchanged`: then `reason` says why.
    pub outcome: &'static str,
    /// Why nothing was changed, in `snake_case`.
    pub reason: Option<&'static str>,
    /// More about it, in words.
    pub detail: Option<String>,
}

impl Decided {
    const fn done(conflict: i64, outcome: &'static str) -> Self {
        Self { conflict, outcome, reason: None, detail: None }
    }

    const fn unchanged(conflict: i64, reason: &'static str, detail: Option<String>) -> Self {
        Self { conflict, outcome: "unchanged", reason: Some(reason), detail }
    }
}

/// Which conflict is adopted, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adoption {
    /// The conflict's number.
    pub number: i64,
    /// Whose it is, where nobody knows.
    pub candidate: Option<i64>,
    /// Also where the EMS has changed since the conflict was seen.
    pub anyway: bool,
}

/// The EMS takes the remote's values, or learns whose the record is.
///
/// # Errors
/// [`StoreError`]; then nothing was written.
pub async fn adopt(
    store: &Store,
    publisher: &Publisher,
    adoption: Adoption,
    by: &str,
) -> Result<Decided, StoreError> {
    let Adoption { number, candidate, anyway } = adoption;
    let conflict = store.conflict(number).await?;
    let adopted = store.adopt_conflict(number, by, candidate, anyway).await?;
    Ok(match adopted {
        Adopted::Taken(_) => Decided::done(number, "adopted"),
        Adopted::Chosen(row) => {
            if let Some(target) = conflict.map(|conflict| conflict.target)
                && let Err(error) = publisher.publish(&[message(target, row)]).await
            {
                tracing::info!(
                    error = chain(&error),
                    "It is decided by the next scan for what is due"
                );
            }
            Decided::done(number, "adopted")
        }
        Adopted::ChangedSince => Decided::unchanged(
            number,
            "ems_changed_since",
            Some(
                "The EMS has changed since the conflict was seen; --anyway adopts all the same"
                    .to_owned(),
            ),
        ),
        Adopted::NoCandidate => Decided::unchanged(
            number,
            "no_candidate",
            Some("Say with --candidate which of the candidates it is".to_owned()),
        ),
        Adopted::Refused(why) => Decided::unchanged(number, "refused", Some(why)),
        Adopted::NotOpen => Decided::unchanged(number, "not_open", None),
    })
}

/// The EMS stays as it is.
///
/// # Errors
/// [`StoreError`]; then nothing was written.
pub async fn dismiss(store: &Store, number: i64, by: &str) -> Result<Decided, StoreError> {
    let is_done = store.dismiss_conflict(number, by).await?;
    Ok(if is_done {
        Decided::done(number, "dismissed")
    } else {
        Decided::unchanged(number, "not_open", None)
    })
}

//! A target is bound to one place: this database and one remote account (`docs/design.md` section 6, "Bound to one
//! place"). Pure: what was bound at the first contact is compared with what is there now.
//!
//! A restored backup, a copy of production with production's credentials, a remote that was set up anew and a wrong
//! account all look like ordinary work to everything else, and each would do harm on a large scale.

use crate::hash::ContentHash;
use crate::remote::Account;

/// What may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The database: its cluster, its oid or its name.
    Database,
    /// Our login at the remote.
    Login,
    /// What the remote says it is.
    Instance,
    /// The broker has seen a later life of this database.
    Epoch,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Database, Self::Login, Self::Instance, Self::Epoch];

    /// The name in the table, in logs and in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Login => "login",
            Self::Instance => "instance",
            Self::Epoch => "epoch",
        }
    }

    /// The part of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// What it means when it differs, in words for an operator.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Database => {
                "this is not the database that the target was bound to (a copy, a restore, a rename)"
            }
            Self::Login => "the target's account is not the one that was bound",
            Self::Instance => "the target was set up anew, or is another one",
            Self::Epoch => "this database went back in time (a restored backup)",
        }
    }
}

/// What a target was bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The database.
    pub database: ContentHash,
    /// The remote account.
    pub account: Account,
}

/// The epoch that the broker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptEpoch {
    /// The broker can't say now.
    Unknown,
    /// It keeps none: it is new, or lost its disk. That is no mismatch: what is owed stands in Postgres.
    None,
    /// It keeps this one.
    Is(i64),
}

/// What is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// The database.
    pub database: ContentHash,
    /// The remote account; `None` when the remote can't say now.
    pub account: Option<Account>,
    /// The database's epoch, read after the broker's.
    pub epoch: i64,
    /// The broker's.
    pub kept_epoch: KeptEpoch,
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The first contact: bind to this.
    Bind(Bound),
    /// It is the place that was bound.
    Same,
    /// These parts differ: nothing may be sent until a person has looked.
    Differs(Vec<Part>),
    /// Something can't be known now, and what is known agrees: neither bind nor hold.
    Unknown,
}

/// Compares. A difference that is known counts, whatever else is not known.
#[must_use]
pub fn compare(bound: Option<&Bound>, present: &Present) -> Finding {
    let mut parts = bound.map(|bound| different(bound, present)).unwrap_or_default();
    if matches!(present.kept_epoch, KeptEpoch::Is(kept) if kept > present.epoch) {
        parts.push(Part::Epoch);
    }
    if !parts.is_empty() {
        return Finding::Differs(parts);
    }
    match (present.account, present.kept_epoch, bound) {
        (None, _, _) | (_, KeptEpoch::Unknown, _) => Finding::Unknown,
        (Some(_), KeptEpoch::None | KeptEpoch::Is(_), Some(_)) => Finding::Same,
        (Some(account), KeptEpoch::None | KeptEpoch::Is(_), None) => {
            Finding::Bind(Bound { database: present.database, account })
        }
    }
}

fn different(bound: &Bound, present: &Present) -> Vec<Part> {
    let mut parts = Vec::new();
    if bound.database != present.database {
        parts.push(Part::Database);
    }
    if let Some(account) = present.account {
        if bound.account.login != account.login {
            parts.push(Part::Login);
        }
        if bound.account.instance != account.instance {
            parts.push(Part::Instance);
        }
    }
    parts
}

/// The parts in words.
#[must_use]
pub fn words(parts: &[Part]) -> String {
    parts.iter().map(|part| part.meaning()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::Target;

    fn print(n: u32) -> ContentHash {
        ContentHash::of(Target::TagServer, 1, &json!(n))
    }

    fn account(login: u32, instance: Option<u32>) -> Account {
        Account { login: print(login), instance: instance.map(print) }
    }

    /// Every binding against every place, judged part by part: 7 × 2 × 7 × 5 cases.
    #[test]
    fn every_combination_binds_goes_holds_or_waits_as_it_must() {
        let accounts =
            [(1, None), (1, Some(1)), (1, Some(2)), (2, None), (2, Some(1)), (2, Some(2))]
                .map(|(login, instance)| account(login, instance));
        let bindings = std::iter::once(None)
            .chain(accounts.map(|account| Some(Bound { database: print(1), account })));
        let mut cases = 0;
        for bound in bindings {
            for database in [1, 2].map(print) {
                for account in std::iter::once(None).chain(accounts.map(Some)) {
                    for (kept_epoch, is_ahead, is_known) in [
                        (KeptEpoch::Unknown, false, false),
                        (KeptEpoch::None, false, true),
                        (KeptEpoch::Is(6), false, true),
                        (KeptEpoch::Is(7), false, true),
                        (KeptEpoch::Is(8), true, true),
                    ] {
                        cases += 1;
                        let present = Present { database, account, epoch: 7, kept_epoch };
                        let finding = compare(bound.as_ref(), &present);
                        let differs = |part| match part {
                            Part::Database => bound.is_some_and(|b| b.database != database),
                            Part::Login => bound
                                .zip(account)
                                .is_some_and(|(b, now)| b.account.login != now.login),
                            Part::Instance => bound
                                .zip(account)
                                .is_some_and(|(b, now)| b.account.instance != now.instance),
                            Part::Epoch => is_ahead,
                        };
                        let parts: Vec<_> =
                            Part::ALL.into_iter().filter(|part| differs(*part)).collect();
                        let expected = if !parts.is_empty() {
                            Finding::Differs(parts)
                        } else if account.is_none() || !is_known {
                            Finding::Unknown
                        } else if bound.is_some() {
                            Finding::Same
                        } else {
                            Finding::Bind(Bound { database, account: account.unwrap() })
                        };
                        assert_eq!(finding, expected, "{bound:?} {present:?}");
                    }
                }
            }
        }
        assert_eq!(cases, 7 * 2 * 7 * 5);
    }

    #[test]
    fn a_broker_that_lost_its_disk_is_no_mismatch() {
        let bound = Bound { database: print(1), account: account(1, Some(1)) };
        let present = Present {
            database: bound.database,
            account: Some(bound.account),
            epoch: 7,
            kept_epoch: KeptEpoch::None,
        };
        assert_eq!(compare(Some(&bound), &present), Finding::Same);
        assert_eq!(compare(None, &present), Finding::Bind(bound));
    }

    #[test]
    fn parts_have_names_of_their_own_and_are_read_back_by_them() {
        for part in Part::ALL {
            assert_eq!(Part::from_name(part.name()), Some(part));
        }
        assert_eq!(Part::from_name("else"), None);
        assert!(words(&Part::ALL).matches("; ").count() == 3);
    }
}

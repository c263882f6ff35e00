//! The checker: what a run did to the remote, in Jepsen's words. It knows the EMS with its history, the sync records,
//! and what the simulator holds and has seen, and maps the one to the other by a second implementation
//! ([`super::parity`]), so that a mistake in the first can't hide.
//!
//! A run goes: [`Checker::begin`], load and faults, faults stop, drain, [`Checker::check`], [`Checker::silence`].
//! `checker.rs` beside this folder plants every kind of defect and has it named.

mod rules;
mod snapshot;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

pub(crate) use self::rules::judge;
pub(crate) use self::snapshot::Snapshot;
use super::rig::Rig;

/// What may be wrong at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The remote has not what the EMS has, and nothing that is owed accounts for it.
    Lost,
    /// Two remote rows of one entity, two records with one remote row, or two writes of one entity at once.
    Doubled,
    /// A remote row without an entity, a delete that the EMS did not ask for, a breach of the contract.
    Unexpected,
    /// The remote holds what the EMS had earlier.
    Stale,
    /// A record that is in no nameable state, or that says what is not so.
    Unaccounted,
    /// More writes of one entity than its versions and its accidents explain.
    Excessive,
    /// Writes although nothing has changed.
    Restless,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Lost,
        Self::Doubled,
        Self::Unexpected,
        Self::Stale,
        Self::Unaccounted,
        Self::Excessive,
        Self::Restless,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Unexpected => "unexpected",
            Self::Stale => "stale",
            Self::Unaccounted => "unaccounted",
            Self::Excessive => "excessive",
            Self::Restless => "restless",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    /// The entity (or what else), and what is wrong with it.
    pub(crate) text: String,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// Entities that the EMS has and entities that the remote had.
    pub(crate) entities: usize,
    /// Entities that are owed, so that a difference is none yet.
    pub(crate) owed: usize,
    /// Rows that were written at the remote.
    pub(crate) writes: usize,
    /// Versions of entities in the EMS.
    pub(crate) versions: usize,
    /// Leases that were taken over.
    pub(crate) taken_over: usize,
    /// Writes whose answer never came to anybody.
    pub(crate) ambiguous: usize,
}

impl Report {
    pub(crate) fn add(&mut self, kind: Kind, text: impl Into<String>) {
        self.findings.push(Finding { kind, text: text.into() });
    }

    pub(crate) fn of(&self, kind: Kind) -> Vec<&str> {
        let findings = self.findings.iter().filter(|finding| finding.kind == kind);
        findings.map(|finding| finding.text.as_str()).collect()
    }

    /// The kinds that were found.
    pub(crate) fn kinds(&self) -> BTreeSet<Kind> {
        self.findings.iter().map(|finding| finding.kind).collect()
    }

    /// Nothing is wrong and nothing is owed, or this fails with what is.
    pub(crate) fn assert_clean(&self) {
        let shown: Vec<_> = self.findings.iter().take(20).collect();
        assert!(self.findings.is_empty() && self.owed == 0, "{self}: {shown:#?}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in Kind::ALL {
            write!(f, "{} {}, ", kind.name(), self.of(kind).len())?;
        }
        write!(
            f,
            "owed {}; {} entities, {} versions, {} rows written, {} leases taken over, {} answers lost",
            self.owed, self.entities, self.versions, self.writes, self.taken_over, self.ambiguous
        )
    }
}

/// Watches one rig from the beginning of a run.
#[derive(Debug)]
pub(crate) struct Checker;

impl Checker {
    /// Begins to keep the EMS's history, which no part of ems-sync reads.
    pub(crate) async fn begin(rig: &Rig) -> Self {
        rig.exec(include_str!("checker/history.sql")).await;
        Self
    }

    /// Looks at everything, after the drain. `alive` are the owners of leases that are still at work.
    pub(crate) async fn check(&self, rig: &Rig, alive: &BTreeSet<String>) -> Report {
        judge(&Snapshot::take(rig, alive).await)
    }

    /// Two more full sweeps: nothing is found, nothing is written. Somebody must be consuming.
    pub(crate) async fn silence(&self, rig: &Rig, report: &mut Report) {
        for sweep in 1..=2 {
            let before = rig.writes();
            let (code, found) = rig.run(&["sweep", "outbound", "--json"]).await;
            assert_eq!(code, 0, "{found}");
            rig.settled().await;
            let found: Value = serde_json::from_str(&found).unwrap();
            if found["targets"][0]["total"] != 0 {
                report.add(Kind::Restless, format!("sweep {sweep} found {found}"));
            }
            let wrote = rig.writes() - before;
            if wrote > 0 {
                report.add(Kind::Restless, format!("sweep {sweep} caused {wrote} writes"));
            }
        }
    }
}

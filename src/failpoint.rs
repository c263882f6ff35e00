//! Named points at which a test kills the process, compiled only with feature `failpoints`.
//!
//! The environment variable `FAILPOINTS` says where and when, in the language of the crate `fail`:
//! `FAILPOINTS="update.sending=3*off->return"` lets the point pass three times; the fourth time the process kills
//! itself with SIGKILL, as the kernel would: no destructor runs, nothing is flushed, no connection is closed in order.
//! The name is written to standard error first, so that a test knows where it died.

/// The points, in the order in which a delivery meets them. A test goes through all of them.
pub const ALL: &[&str] = &[
    // What changed: in the transaction, committed, published.
    "relay.claimed",
    "relay.owed",
    "relay.published",
    // What was owed and in no queue.
    "republish.read_back",
    "republish.found",
    "republish.published",
    // A batch.
    "claim.committed",
    "decided",
    "create.sending",
    "update.sending",
    "delete.sending",
    // The answer is here, and nothing is written down.
    "create.answered",
    "update.answered",
    "delete.answered",
    "finish.committed",
    "dead_letter.committed",
    "dead_letter.published",
    "retry.published",
    "follow_up.published",
    "acked",
    // What came back: written and not committed, committed, told, acked.
    "inbound.applied",
    "inbound.committed",
    "inbound.published",
    "inbound.acked",
    // What was missed.
    "sweep.owed",
    "sweep.published",
    "sweep.compared",
    "sweep.next_cycle",
    // A page of a walk: read, its records and the walk's position in one transaction, committed.
    "pull.read",
    "pull.taken_in",
    "pull.stored",
];

/// Dies here if a test asks for it (and the condition holds).
#[macro_export]
macro_rules! failpoint {
    ($name:expr) => {
        fail::fail_point!($name, |_| $crate::failpoint::die($name))
    };
    ($name:expr, $condition:expr) => {
        fail::fail_point!($name, $condition, |_| $crate::failpoint::die($name))
    };
}

/// Reads `FAILPOINTS`. Without the feature it does nothing.
pub fn set_up() {
    #[cfg(feature = "failpoints")]
    {
        // Kept for the life of the process: dropping the scenario would clear it.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// Ends the process as `kill -9` does.
#[cfg(feature = "failpoints")]
pub fn die(name: &str) -> ! {
    use std::io::Write as _;
    let pid = std::process::id().to_string();
    writeln!(std::io::stderr(), "failpoint {name}: killed").ok();
    std::process::Command::new("kill").args(["-9", &pid]).status().ok();
    // Not reached: the signal can't be caught. If there is no `kill`, this ends the process as rudely.
    std::process::abort()
}

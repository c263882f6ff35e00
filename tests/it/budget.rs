//! `targets.<t>.concurrency` and `.requests_per_second` hold over all processes: the rule in Postgres, the clients of one
//! process, and whole processes against the simulator.

mod clients;
mod processes;
mod rule;

use std::time::Duration;

use ems_sync_remotes::Entry;

/// The most requests that were under way at once, as the remote saw it.
fn most_at_once(journal: &[Entry]) -> usize {
    let mut moments: Vec<(u64, i64)> = journal
        .iter()
        .flat_map(|entry| [(entry.started_us, 1), (entry.ended_us.unwrap_or(u64::MAX), -1)])
        .collect();
    // At the same microsecond the end counts first.
    moments.sort_unstable();
    let (mut now, mut most) = (0_i64, 0_i64);
    for (_, change) in moments {
        now += change;
        most = most.max(now);
    }
    usize::try_from(most).unwrap()
}

/// In no stretch of time did more requests arrive than `rate` allows for it and `slack`, and one.
fn assert_rate(journal: &[Entry], rate: f64, slack: Duration) {
    let mut moments: Vec<u64> = journal.iter().map(|entry| entry.started_us).collect();
    moments.sort_unstable();
    for (first, from) in moments.iter().enumerate() {
        for (more, to) in moments[first..].iter().enumerate() {
            let stretch = Duration::from_micros(to - from);
            let allowed = rate * (stretch + slack).as_secs_f64() + 1.0;
            let sent = more + 1;
            assert!(
                sent as f64 <= allowed,
                "{sent} requests in {stretch:?}; {allowed} are allowed"
            );
        }
    }
}

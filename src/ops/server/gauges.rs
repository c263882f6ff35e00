//! The gauges that a scrape refreshes from what was read of Postgres and the broker.

use std::collections::HashMap;

use crate::config::Sweep;
use crate::ops::metrics::Metrics;
use crate::ops::progress::Progress;
use crate::ops::status::state::{Obstacle, breaker};
use crate::ops::status::{self, LastSweep, Queues, Reading};
use crate::store::InboundCounts;
use crate::target::Target;

/// The states that stand in records; a state that no record is in any more is 0, not stale.
const RECORD_STATES: [&str; 10] = [
    "synced",
    "pending",
    "waiting",
    "leased",
    "retrying",
    "parked",
    "held",
    "rejected",
    "skipped",
    "dead_letter",
];

/// How long each part of this process has shown no progress.
pub(super) fn tell_of_this_process(metrics: &Metrics, progress: &Progress) {
    for (part, silence) in progress.silences() {
        metrics.silence(part, silence);
    }
}

/// Refreshes every gauge of what all processes share. Unknown queue lengths keep their last value.
pub(super) fn refresh(
    metrics: &Metrics,
    reading: &Reading,
    lengths: Option<&HashMap<Target, Queues>>,
    enabled: &[Target],
    sweep: Sweep,
) {
    let outbox = reading.outbox_backlog();
    metrics.outbox(count(outbox.rows), outbox.oldest_seconds.unwrap_or(0.0));
    metrics.capture_problems(reading.capture_problems());
    for state in reading.targets() {
        let target = state.target;
        let is_enabled = enabled.contains(&target);
        let counts = reading.counts(target, is_enabled, sweep);
        let breaker = level(breaker(is_enabled, state));
        let oldest = counts.oldest_seconds.unwrap_or(0.0);
        metrics.target(target, breaker, oldest, count(counts.dead_letters));
        metrics.throttled(target, state.throttled_until.is_some());
        metrics.held(target, is_enabled && !state.held_parts.is_empty());
        for name in RECORD_STATES {
            let (records, owed) = counts.by_state.get(name).copied().unwrap_or_default();
            metrics.records(target, name, count(records), count(owed));
        }
        let stands = Obstacle::of(is_enabled, state);
        for obstacle in Obstacle::ALL {
            metrics.obstacle(target, obstacle.reason(), stands == Some(obstacle));
        }
        for (reason, needs) in status::reasons(state, &counts) {
            metrics.needs_person(target, reason, is_enabled && needs);
        }
        inbound(metrics, target, &counts.inbound);
        if is_enabled {
            swept(metrics, target, reading.last_sweep(target));
        }
    }
    for (target, queues) in lengths.into_iter().flatten() {
        for (name, length) in queues.by_name() {
            if let Some(length) = length {
                metrics.queue(*target, name, length);
            }
        }
    }
}

fn inbound(metrics: &Metrics, target: Target, counts: &InboundCounts) {
    for (state, rows) in [
        ("pending", counts.pending),
        ("waiting", counts.waiting),
        ("held", counts.held),
        ("rejected", counts.rejected),
    ] {
        metrics.inbox(target, state, count(rows));
    }
    metrics.open_conflicts(target, count(counts.conflicts));
}

/// A target that nothing comes back from has no inbound sweep, and so no time of its last one.
fn swept(metrics: &Metrics, target: Target, last: LastSweep) {
    metrics.swept(target, "outbound", last.outbound);
    if last.inbound.is_some() {
        metrics.swept(target, "inbound", last.inbound);
    }
}

/// 0 closed, 1 half open, 2 open, 3 disabled.
fn level(breaker: &str) -> u64 {
    match breaker {
        "closed" => 0,
        "half_open" => 1,
        "open" => 2,
        _ => 3,
    }
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::tests::{reading, sweep};

    #[test]
    fn a_scrape_shows_the_fixed_metrics_with_what_was_read() {
        let metrics = Metrics::new().unwrap();
        let queues =
            Queues { outbound: Some(3), retry: Some(1), dead: Some(2), ..Queues::default() };
        let lengths = HashMap::from([(Target::TagServer, queues)]);
        refresh(&metrics, &reading(), Some(&lengths), &[Target::TagServer], sweep());
        let text = metrics.text().unwrap();
        for line in [
            "ems_sync_outbox_rows 3",
            "ems_sync_outbox_oldest_seconds 99",
            r#"ems_sync_queue_messages{queue="outbound",target="tagserver"} 3"#,
            r#"ems_sync_queue_messages{queue="retry",target="tagserver"} 1"#,
            r#"ems_sync_queue_messages{queue="dead",target="tagserver"} 2"#,
            r#"ems_sync_oldest_unsynced_seconds{target="tagserver"} 7.5"#,
            r#"ems_sync_breaker_state{target="tagserver"} 0"#,
            r#"ems_sync_breaker_state{target="mautic"} 3"#,
            r#"ems_sync_throttled{target="tagserver"} 0"#,
            r#"ems_sync_dead_letters{target="tagserver"} 1"#,
            r#"ems_sync_records{state="waiting",target="tagserver"} 4"#,
            r#"ems_sync_records{state="held",target="tagserver"} 0"#,
            r#"ems_sync_owed_records{state="waiting",target="tagserver"} 4"#,
            r#"ems_sync_obstacle{reason="binding",target="tagserver"} 0"#,
            r#"ems_sync_obstacle{reason="not_enabled",target="tagserver"} 0"#,
            r#"ems_sync_obstacle{reason="not_enabled",target="mautic"} 1"#,
            r#"ems_sync_needs_person{reason="dead_letters",target="tagserver"} 1"#,
            r#"ems_sync_needs_person{reason="held",target="tagserver"} 0"#,
            r#"ems_sync_needs_person{reason="sweep_silent",target="tagserver"} 0"#,
            r#"ems_sync_inbox_rows{state="pending",target="tagserver"} 2"#,
            r#"ems_sync_open_conflicts{target="tagserver"} 0"#,
            r#"ems_sync_sweep_finished_timestamp_seconds{direction="outbound",target="tagserver"} 0"#,
            "ems_sync_capture_problems 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}

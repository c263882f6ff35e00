//! The gauges that a scrape refreshes from what was read of Postgres and the broker.

use std::collections::HashMap;

use crate::ops::metrics::Metrics;
use crate::ops::status::state::breaker;
use crate::ops::status::{Queues, Reading};
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

/// Refreshes every gauge. Unknown queue lengths keep their last value.
pub(super) fn refresh(
    metrics: &Metrics,
    reading: &Reading,
    lengths: Option<&HashMap<Target, Queues>>,
    enabled: &[Target],
) {
    let outbox = reading.outbox_backlog();
    metrics.outbox(count(outbox.rows), outbox.oldest_seconds.unwrap_or(0.0));
    for state in reading.targets() {
        let target = state.target;
        let is_enabled = enabled.contains(&target);
        let counts = reading.counts(target, is_enabled);
        let breaker = level(breaker(is_enabled, state));
        let oldest = counts.oldest_seconds.unwrap_or(0.0);
        metrics.target(target, breaker, oldest, count(counts.dead_letters));
        metrics.throttled(target, state.throttled_until.is_some());
        metrics.held(target, is_enabled && !state.held_parts.is_empty());
        for name in RECORD_STATES {
            let records = counts.by_state.get(name).map_or(0, |counts| counts.0);
            metrics.records(target, name.to_owned(), count(records));
        }
    }
    for (target, queues) in lengths.into_iter().flatten() {
        for (name, length) in [
            ("outbound", queues.outbound),
            ("inbound", queues.inbound),
            ("retry", queues.retry),
            ("dead", queues.dead),
        ] {
            if let Some(length) = length {
                metrics.queue(*target, name, length);
            }
        }
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
    use crate::ops::status::tests::reading;

    #[test]
    fn a_scrape_shows_the_fixed_metrics_with_what_was_read() {
        let metrics = Metrics::new().unwrap();
        let queues =
            Queues { outbound: Some(3), retry: Some(1), dead: Some(2), ..Queues::default() };
        let lengths = HashMap::from([(Target::TagServer, queues)]);
        refresh(&metrics, &reading(), Some(&lengths), &[Target::TagServer]);
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
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}

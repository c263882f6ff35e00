//! One change at a time on an idle system: from the commit's return to the remote having applied it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::Bench;
use crate::cpu::Used;
use crate::people;
use crate::report::{Report, rounded};
use crate::stats::Values;
use crate::system::System;

/// Changes of one way of waking before it is the other's turn.
const BLOCK: u32 = 25;
/// How long idle CPU is measured.
const IDLE: Duration = Duration::from_secs(3);
/// Pauses between changes: long enough for everything to come to rest …
const SHORT: Duration = Duration::from_millis(20);
/// … and long enough for what is remembered for a moment (the length of a queue) to be forgotten.
const LONG: Duration = Duration::from_millis(600);
/// Persons to choose from.
const PEOPLE: u32 = 1_000;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut notify = System::new(&bench.services, true).await?;
    let mut poll = System::new(&bench.services, true).await?;
    notify.set("CAPTURE__WAKE", "notify");
    poll.set("CAPTURE__WAKE", "poll");
    for system in [&notify, &poll] {
        people::make(&system.ems, PEOPLE).await?;
    }
    notify.start_and_warm_up().await?;
    let idle_notify = idle(bench, &notify).await?;
    poll.start_and_warm_up().await?;
    let idle_both = idle(bench, &poll).await?;
    let idle_poll =
        Used { postgres: idle_both.postgres.saturating_sub(idle_notify.postgres), ..idle_both };

    let (mut notified, mut polled) = (Values::default(), Values::default());
    let mut rested = Values::default();
    one_by_one(&notify, 20, SHORT, &mut Values::default()).await?;
    one_by_one(&poll, 20, SHORT, &mut Values::default()).await?;
    let mut left = bench.args.changes;
    while left > 0 {
        let block = left.min(BLOCK);
        one_by_one(&notify, block, SHORT, &mut notified).await?;
        one_by_one(&poll, block, SHORT, &mut polled).await?;
        left -= block;
    }
    one_by_one(&notify, bench.args.changes.div_ceil(10), LONG, &mut rested).await?;
    notify.stop().await?;
    poll.stop().await?;

    let forms = [
        ("notify", "notify", &notified, idle_notify),
        ("poll", "poll", &polled, idle_poll),
        ("notify_rested", "notify, 0.6 s apart", &rested, idle_notify),
    ];
    let rows: Vec<Vec<String>> = forms
        .iter()
        .map(|(_, name, values, idle)| {
            let quantiles = [500, 900, 990, 1000].map(|q| format!("{:.2}", values.quantile(q)));
            let idle = [idle.postgres, idle.worker].map(|used| format!("{:.1} %", share(used)));
            [(*name).to_owned()].into_iter().chain(quantiles).chain(idle).collect()
        })
        .collect();
    report.table(
        &format!(
            "Commit to remote, one change at a time, ms ({} changes each)",
            bench.args.changes
        ),
        &["capture.wake", "median", "p90", "p99", "max", "idle CPU Postgres", "ems-sync"],
        &rows,
    )?;
    let mut figures = serde_json::Map::new();
    for (key, _, values, idle) in forms {
        let value = json!({
            "p50": rounded(values.median()), "p90": rounded(values.quantile(900)),
            "p99": rounded(values.quantile(990)), "max": rounded(values.max()),
            "idle_postgres_percent": rounded(share(idle.postgres)),
            "idle_worker_percent": rounded(share(idle.worker)),
        });
        figures.insert(key.to_owned(), value);
    }
    report.record("latency_ms", figures.into());
    Ok(())
}

/// Percent of one core.
fn share(used: Duration) -> f64 {
    used.as_secs_f64() / IDLE.as_secs_f64() * 100.0
}

async fn idle(bench: &Bench, system: &System) -> anyhow::Result<Used> {
    sleep(Duration::from_millis(500)).await;
    let before = system.used(&bench.meter)?;
    sleep(IDLE).await;
    Ok(system.used(&bench.meter)? - before)
}

async fn one_by_one(
    system: &System,
    changes: u32,
    pause: Duration,
    values: &mut Values,
) -> anyhow::Result<()> {
    let sql = "update ems.person set last_name = $2 where id = $1";
    let update = system.ems.prepare(sql).await?;
    let mut last = system.remote.last_request().await?;
    for number in 0..changes {
        // Out of step with a poll.
        let jitter = u64::from(number * 7 % 11);
        sleep(pause + Duration::from_millis(jitter)).await;
        let id = i64::from(1 + number * 37 % PEOPLE);
        let name = format!("Change {number} of {:?}", Instant::now());
        system.ems.execute(&update, &[&id, &name]).await?;
        let committed = Timestamp::now();
        let (sequence, applied) = system.remote.next_applied(last).await?;
        last = sequence;
        values.push(applied.duration_since(committed).as_secs_f64() * 1e3);
    }
    system.settled().await
}

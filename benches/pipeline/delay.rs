//! A remote that takes its time, without bulk: how much of what its concurrency allows is used.

use serde_json::json;

use crate::Bench;
use crate::backlog::rate;
use crate::people;
use crate::report::{Report, rounded};
use crate::system::System;

/// Concurrency, and how many persons are pushed: some seconds each.
const RUNS: [(u32, u32); 2] = [(10, 800), (50, 3_000)];

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut system = System::new(&bench.services, false).await?;
    let people = RUNS.iter().map(|run| run.1).max().unwrap_or(0);
    people::make(&system.ems, people).await?;
    let mut rows = Vec::new();
    let mut figures = serde_json::Map::new();
    for (concurrency, people) in RUNS {
        system.set("TARGETS__TAGSERVER__CONCURRENCY", &concurrency.to_string());
        system.start_and_warm_up().await?;
        system.remote.set_delay(bench.args.delay_ms).await?;
        let written = system.remote.people_written().await?;
        let last = system.remote.last_request().await?;
        people::rename(&system.ems, people, &format!("Concurrency {concurrency}")).await?;
        system.remote.until_people_written(written + u64::from(people)).await?;
        let (began, ended) = system.remote.span(last).await?;
        system.settled().await?;
        system.remote.set_delay(0).await?;
        system.stop_worker().await?;
        let rate = rate(people, began, ended);
        let share = rate * f64::from(bench.args.delay_ms) / 1e3 / f64::from(concurrency);
        rows.push(vec![concurrency.to_string(), format!("{rate:.0}"), format!("{share:.2}")]);
        let figure = json!({ "rate": rounded(rate), "share": rounded(share) });
        figures.insert(concurrency.to_string(), figure);
    }
    system.stop().await?;
    report.table(
        &format!("A remote that takes {} ms, single calls", bench.args.delay_ms),
        &["concurrency", "pushes/s", "of concurrency/latency"],
        &rows,
    )?;
    report.record("delay", figures.into());
    Ok(())
}

//! Many persons owed at once: pushes per second and CPU per push, in bulk, one by one and unchanged, each beside the
//! straight-line program in the same round.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::Bench;
use crate::broker::Broker;
use crate::cpu::{Used, per};
use crate::people;
use crate::report::{Report, rounded};
use crate::stats::Values;
use crate::straight_line::StraightLine;
use crate::system::System;

/// One way of pushing, over the rounds.
#[derive(Default)]
struct Form {
    /// In the JSON.
    key: &'static str,
    name: String,
    rate: Values,
    /// Microseconds per push: Postgres, broker, worker, remote, together.
    cpu: [Values; 5],
}

impl Form {
    fn new(key: &'static str, name: &str) -> Self {
        Self { key, name: name.to_owned(), ..Self::default() }
    }

    fn add(&mut self, rate: f64, used: Used, operations: f64) {
        self.rate.push(rate);
        let parts = [used.postgres, used.broker, used.worker, used.remote, used.pipeline()];
        for (values, part) in self.cpu.iter_mut().zip(parts) {
            values.push(per(part, operations));
        }
    }
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut bulk = System::new(&bench.services, true).await?;
    let mut single = System::new(&bench.services, false).await?;
    let people = f64::from(bench.args.people);
    let mut of_bulk = Once::new(["first_bulk", "resumed_bulk", "consumer_bulk"], "bulk");
    let mut of_single =
        Once::new(["first_single", "resumed_single", "consumer_single"], "single calls");
    for (once, system) in [(&mut of_bulk, &mut bulk), (&mut of_single, &mut single)] {
        let (rate, used) = first_load(bench, system).await?;
        once.first.add(rate, used, people);
    }
    let (mut forms, unchanged_requests) = rounds(bench, &bulk, &single).await?;
    let broker = Broker::connect(bench.services.amqp_url()).await?;
    for (once, system) in [(&mut of_bulk, &mut bulk), (&mut of_single, &mut single)] {
        let (rate, used) = after_a_pause(bench, system).await?;
        once.resumed.add(rate, used, people);
        let (rate, used) = consumer_alone(bench, system, &broker).await?;
        once.alone.add(rate, used, people);
    }
    let per_row = repeated(&mut single).await?;
    bulk.stop().await?;
    single.stop().await?;

    forms.extend([of_bulk.resumed, of_single.resumed, of_bulk.alone, of_single.alone]);
    forms.extend([of_bulk.first, of_single.first]);
    print(bench, report, &forms)?;
    report.note(&format!(
        "  Requests for unchanged persons: {unchanged_requests}. 500 rows changed 20 times each: {per_row:.2} requests per row."
    ))?;
    report.record("unchanged_requests", json!(unchanged_requests));
    report.record("repeated_requests_per_row", rounded(per_row));
    Ok(())
}

/// What is measured once per system.
struct Once {
    first: Form,
    resumed: Form,
    alone: Form,
}

impl Once {
    fn new([first, resumed, alone]: [&'static str; 3], how: &str) -> Self {
        Self {
            first: Form::new(first, &format!("first load, {how}")),
            resumed: Form::new(resumed, &format!("after a pause, {how}")),
            alone: Form::new(alone, &format!("consumer alone, {how}")),
        }
    }
}

/// The interleaved rounds, the straight line first; and the requests that unchanged persons caused.
async fn rounds(bench: &Bench, bulk: &System, single: &System) -> anyhow::Result<(Vec<Form>, u64)> {
    let people = f64::from(bench.args.people);
    let straight_line = StraightLine::new(bench, bulk).await?;
    let mut straight = Form::new("straight_line", "straight line, one at a time");
    let mut whole =
        [Form::new("bulk", "ems-sync, bulk"), Form::new("single", "ems-sync, single calls")];
    let mut skipped = Form::new("unchanged", "ems-sync, unchanged (hash)");
    let mut unchanged_requests = 0;
    for round in 0..bench.args.rounds {
        let (rate, used) = straight_line.run(bench, bulk, bench.args.straight).await?;
        straight.add(rate, used, f64::from(bench.args.straight));
        for (form, system) in whole.iter_mut().zip([bulk, single]) {
            let (rate, used) = burst(bench, system, &format!("Round {round}")).await?;
            form.add(rate, used, people);
        }
        let requests = bulk.remote.last_request().await?;
        let (rate, used) = unchanged(bench, bulk, &format!("r{round}")).await?;
        unchanged_requests += bulk.remote.last_request().await? - requests;
        skipped.add(rate, used, people);
    }
    straight_line.stop().await?;
    let [of_bulk, of_single] = whole;
    Ok((vec![straight, of_bulk, of_single, skipped], unchanged_requests))
}

fn print(bench: &Bench, report: &mut Report, forms: &[Form]) -> anyhow::Result<()> {
    let none = Values::default();
    let base = forms.first().map_or(&none, |form| &form.rate);
    let rows: Vec<Vec<String>> = forms
        .iter()
        .map(|form| {
            let ratio = form.rate.over(&base.beside(&form.rate)).spread(1);
            let cpu = form.cpu.iter().map(|values| format!("{:.0}", values.median()));
            [form.name.clone(), form.rate.spread(0), ratio].into_iter().chain(cpu).collect()
        })
        .collect();
    report.table(
        &format!(
            "{} persons owed at once: pushes/s, CPU in µs per push (median of {} rounds)",
            bench.args.people, bench.args.rounds
        ),
        &["", "pushes/s", "x straight line", "Postgres", "RabbitMQ", "worker", "remote", "all"],
        &rows,
    )?;
    let figures: serde_json::Map<_, _> = forms
        .iter()
        .map(|form| {
            let [postgres, broker, worker, remote, all] =
                form.cpu.each_ref().map(|values| rounded(values.median()));
            let value = json!({
                "rate": rounded(form.rate.median()), "ratio": rounded(form.rate.over(&base.beside(&form.rate)).median()),
                "cpu_us": { "postgres": postgres, "broker": broker, "worker": worker, "remote": remote, "all": all },
            });
            (form.key.to_owned(), value)
        })
        .collect();
    report.record("backlog", figures.into());
    Ok(())
}

/// A new system: everybody is created, with tables that Postgres has no statistics of. From the first request to the
/// last; its CPU includes the start.
async fn first_load(bench: &Bench, system: &mut System) -> anyhow::Result<(f64, Used)> {
    people::make(&system.ems, bench.args.people).await?;
    system.start("relay,consume")?;
    let before = system.used(&bench.meter)?;
    system.remote.until_people_written(u64::from(bench.args.people)).await?;
    let (began, ended) = system.remote.span(0).await?;
    system.settled().await?;
    let used = system.used(&bench.meter)? - before;
    system.analyze().await?;
    Ok((rate(bench.args.people, began, ended), used))
}

/// All persons change in one transaction, while ems-sync waits: from the commit's return to the last push.
async fn burst(bench: &Bench, system: &System, label: &str) -> anyhow::Result<(f64, Used)> {
    let written = system.remote.people_written().await?;
    let last = system.remote.last_request().await?;
    people::rename(&system.ems, bench.args.people, label).await?;
    let (committed, before) = (Timestamp::now(), system.used(&bench.meter)?);
    system.remote.until_people_written(written + u64::from(bench.args.people)).await?;
    system.settled().await?;
    let used = system.used(&bench.meter)? - before;
    let (_, ended) = system.remote.span(last).await?;
    Ok((rate(bench.args.people, committed, ended), used))
}

/// All persons change where TagServer does not look: until nothing is owed.
async fn unchanged(bench: &Bench, system: &System, label: &str) -> anyhow::Result<(f64, Used)> {
    people::readdress(&system.ems, label).await?;
    let (committed, before) = (Timestamp::now(), system.used(&bench.meter)?);
    system.settled().await?;
    let used = system.used(&bench.meter)? - before;
    Ok((rate(bench.args.people, committed, Timestamp::now()), used))
}

/// The target is paused while all persons change; then it is resumed: from its first request to its last.
async fn after_a_pause(bench: &Bench, system: &System) -> anyhow::Result<(f64, Used)> {
    let last = system.remote.last_request().await?;
    let written = system.remote.people_written().await?;
    system.order("pause").await?;
    // Every process has seen it after this.
    sleep(Duration::from_secs(1)).await;
    people::rename(&system.ems, bench.args.people, "After a pause").await?;
    system.until_none("exists (select from sync.outbox)").await?;
    let before = system.used(&bench.meter)?;
    system.order("resume").await?;
    system.remote.until_people_written(written + u64::from(bench.args.people)).await?;
    system.settled().await?;
    let used = system.used(&bench.meter)? - before;
    let (began, ended) = system.remote.span(last).await?;
    Ok((rate(bench.args.people, began, ended), used))
}

/// The relay fills the queue and stops; then the consumer starts: from its first request to its last. Its CPU
/// includes its start.
async fn consumer_alone(
    bench: &Bench,
    system: &mut System,
    broker: &Broker,
) -> anyhow::Result<(f64, Used)> {
    system.stop_worker().await?;
    let last = system.remote.last_request().await?;
    let written = system.remote.people_written().await?;
    system.start("relay")?;
    people::rename(&system.ems, bench.args.people, "Consumer alone").await?;
    let queue = format!("{}.tagserver.outbound", system.prefix);
    while broker.length(&queue).await? < bench.args.people {
        sleep(Duration::from_millis(50)).await;
    }
    system.stop_worker().await?;
    system.start("consume")?;
    let before = system.used(&bench.meter)?;
    system.remote.until_people_written(written + u64::from(bench.args.people)).await?;
    system.settled().await?;
    let used = system.used(&bench.meter)? - before;
    // The first request is the login.
    let (began, ended) = system.remote.span(last).await?;
    Ok((rate(bench.args.people, began, ended), used))
}

/// The same 500 rows change 20 times while ems-sync is away: requests per row once it is back.
async fn repeated(system: &mut System) -> anyhow::Result<f64> {
    const ROWS: u32 = 500;
    system.stop_worker().await?;
    let before = system.remote.people_written().await?;
    for round in 0..20 {
        people::rename(&system.ems, ROWS, &format!("Again {round}")).await?;
    }
    system.start("relay,consume")?;
    system.settled().await?;
    let written = u32::try_from(system.remote.people_written().await? - before)?;
    Ok(f64::from(written) / f64::from(ROWS))
}

pub(crate) fn rate(people: u32, began: Timestamp, ended: Timestamp) -> f64 {
    f64::from(people) / ended.duration_since(began).as_secs_f64()
}

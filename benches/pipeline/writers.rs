//! What the EMS itself pays: many single-row writers, and one large UPDATE, with and without capture.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::Bench;
use crate::cpu::per;
use crate::people;
use crate::report::{Report, rounded};
use crate::stats::Values;
use crate::system::{System, Template, connect};

/// The form that is to be avoided: a notification in every transaction.
const NOTIFY_PER_COMMIT: &str = "
    create table ems.bench_outbox (id bigserial primary key, entity_id bigint not null, op text not null,
                                   changed_on timestamptz not null default clock_timestamp());
    create function ems.bench_notify() returns trigger language plpgsql as $$
    begin
        insert into ems.bench_outbox (entity_id, op) select id, 'update' from new_rows;
        notify bench_outbox;
        return null;
    end $$;
    create trigger bench_notify after update on ems.person referencing new table as new_rows
        for each statement execute function ems.bench_notify();";

/// A system that has run for long has a record of everybody.
const KNOWN: &str = "
    insert into sync.record (target, entity_type, entity_id, state, due_on)
        select 'tagserver', 'person', id, 'synced', 'infinity' from ems.person;
";

/// A database that is written to, and its writers.
struct Written {
    /// In the JSON.
    key: &'static str,
    name: &'static str,
    clients: Vec<Arc<Client>>,
    rate: Values,
    /// Microseconds of CPU of Postgres per transaction.
    cpu: Values,
}

impl Written {
    async fn new(
        (key, name): (&'static str, &'static str),
        url: &str,
        writers: u32,
    ) -> anyhow::Result<Self> {
        let clients = try_join_all((0..writers).map(|_| connect(url))).await?;
        let clients = clients.into_iter().map(Arc::new).collect();
        Ok(Self { key, name, clients, rate: Values::default(), cpu: Values::default() })
    }

    /// One round.
    async fn write(&mut self, bench: &Bench) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let (before, began) = (bench.meter.read(&[], &[])?, Instant::now());
        let tasks: Vec<_> = (1..)
            .zip(&self.clients)
            .map(|(seed, client)| {
                let (client, stop) = (Arc::clone(client), stop.clone());
                tokio::spawn(write(client, seed, bench.args.rows, stop))
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(bench.args.seconds)).await;
        stop.cancel();
        let mut commits = 0;
        for task in tasks {
            commits += task.await??;
        }
        let took = began.elapsed();
        let used = bench.meter.read(&[], &[])? - before;
        self.rate.push(f64::from(commits) / took.as_secs_f64());
        self.cpu.push(per(used.postgres, f64::from(commits)));
        Ok(())
    }
}

/// One writer: single-row updates of random rows, each a transaction of its own.
async fn write(
    client: Arc<Client>,
    seed: u64,
    rows: u32,
    stop: CancellationToken,
) -> anyhow::Result<u32> {
    let sql = "update ems.person set last_name = $2 where id = $1";
    let update = client.prepare(sql).await?;
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut commits = 0;
    while !stop.is_cancelled() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let id = i64::try_from((random >> 33) % u64::from(rows))? + 1;
        client.execute(&update, &[&id, &format!("Written {random}")]).await?;
        commits += 1;
    }
    Ok(commits)
}

/// A database with a full table of persons.
async fn populated(bench: &Bench, template: Template) -> anyhow::Result<(String, Client)> {
    let url = bench.services.database(template).await?;
    let ems = connect(&url).await?;
    people::make(&ems, bench.args.rows).await?;
    Ok((url, ems))
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let writers = bench.args.writers;
    let (plain_url, _plain) = populated(bench, Template::Ems).await?;
    let (asleep_url, asleep) = populated(bench, Template::Sync).await?;
    let (notify_url, notify) = populated(bench, Template::Ems).await?;
    notify.batch_execute(NOTIFY_PER_COMMIT).await?;
    let (_listener, _) = listen(&notify_url, "listen bench_outbox").await?;
    let mut live = System::new(&bench.services, true).await?;
    people::make(&live.ems, bench.args.rows).await?;
    for ems in [&asleep, &live.ems] {
        ems.batch_execute("truncate sync.outbox").await?;
    }
    live.ems.batch_execute(KNOWN).await?;
    live.start_and_warm_up().await?;
    let mut forms = [
        Written::new(("modified_on", "modified_on only"), &plain_url, writers).await?,
        Written::new(("capture", "capture, ems-sync not running"), &asleep_url, writers).await?,
        Written::new(("capture_running", "capture, ems-sync running"), &live.url, writers).await?,
        Written::new(("notify", "NOTIFY in every commit"), &notify_url, writers).await?,
    ];
    let mut catch_up = Values::default();
    for round in 0..bench.args.rounds {
        for turn in 0..forms.len() {
            // Everybody is first, last and in between.
            let index = (turn + usize::try_from(round)?) % forms.len();
            let Some(form) = forms.get_mut(index) else { continue };
            form.write(bench).await?;
            // What runs on after the writers would be in the next one's way.
            let began = Instant::now();
            live.settled().await?;
            if began.elapsed() > Duration::from_millis(50) {
                catch_up.push(began.elapsed().as_secs_f64());
            }
            asleep.batch_execute("truncate sync.outbox").await?;
            notify.batch_execute("truncate ems.bench_outbox").await?;
        }
    }
    live.stop().await?;
    print_writers(bench, report, &forms)?;
    report.note(&format!(
        "  ems-sync caught up with the writers in {} s after they stopped.",
        catch_up.spread(1)
    ))
}

fn print_writers(bench: &Bench, report: &mut Report, forms: &[Written]) -> anyhow::Result<()> {
    let none = Values::default();
    let (base, base_cpu) = forms.first().map_or((&none, &none), |form| (&form.rate, &form.cpu));
    let rows: Vec<Vec<String>> = forms
        .iter()
        .map(|form| {
            vec![
                form.name.to_owned(),
                form.rate.spread(0),
                form.rate.over(base).spread(2),
                format!("{:.0}", form.cpu.median()),
                form.cpu.over(base_cpu).spread(2),
            ]
        })
        .collect();
    report.table(
        &format!(
            "{} writers of single rows, {} rounds of {} s",
            bench.args.writers, bench.args.rounds, bench.args.seconds
        ),
        &["", "commits/s", "ratio", "Postgres CPU µs/commit", "ratio"],
        &rows,
    )?;
    let figures: serde_json::Map<_, _> = forms
        .iter()
        .map(|form| {
            let value = json!({
                "rate": rounded(form.rate.median()), "ratio": rounded(form.rate.over(base).median()),
                "postgres_us": rounded(form.cpu.median()), "cpu_ratio": rounded(form.cpu.over(base_cpu).median()),
            });
            (form.key.to_owned(), value)
        })
        .collect();
    report.record("writers", figures.into());
    Ok(())
}

pub(crate) async fn measure_bulk(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (_, plain) = populated(bench, Template::Ems).await?;
    let (url, captured) = populated(bench, Template::Sync).await?;
    // A relay that sleeps: triggers have to notify.
    let (_listener, notified) =
        listen(&url, "listen ems_sync_outbox; select pg_advisory_lock(4541779, 1)").await?;
    let (mut without, mut with) = (Values::default(), Values::default());
    let mut notifications = 0;
    let mut notified = notified;
    for round in 0..=bench.args.rounds {
        let label = format!("Round {round}");
        let mut pair = [(&plain, &mut without), (&captured, &mut with)];
        if round % 2 == 1 {
            pair.reverse();
        }
        for (ems, values) in pair {
            let began = Instant::now();
            people::rename(ems, bench.args.rows, &label).await?;
            // The first round fills caches and plans.
            if round > 0 {
                values.push(began.elapsed().as_secs_f64());
            }
            ems.batch_execute("vacuum ems.person").await?;
        }
        captured.batch_execute("truncate sync.outbox").await?;
        while let Ok(Some(())) =
            tokio::time::timeout(Duration::from_millis(50), notified.recv()).await
        {
            notifications += 1;
        }
    }
    let ratio = with.over(&without);
    let row =
        |name: &str, values: &Values, ratio: String| vec![name.to_owned(), values.spread(2), ratio];
    report.table(
        &format!("One UPDATE of {} rows, seconds", bench.args.rows),
        &["", "seconds", "ratio"],
        &[
            row("modified_on only", &without, "1.00".to_owned()),
            row("capture", &with, ratio.spread(2)),
        ],
    )?;
    let updates = bench.args.rounds + 1;
    report.note(&format!("  {notifications} notifications in {updates} updates."))?;
    let figures = json!({
        "plain_s": rounded(without.median()), "capture_s": rounded(with.median()),
        "ratio": rounded(ratio.median()), "notifications": notifications, "updates": updates,
    });
    report.record("bulk", figures);
    Ok(())
}

/// A connection that listens, and the notifications that it gets.
async fn listen(
    url: &str,
    sql: &str,
) -> anyhow::Result<(Client, tokio::sync::mpsc::UnboundedReceiver<()>)> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) =
            std::future::poll_fn(|context| connection.poll_message(context)).await
        {
            if matches!(message, AsyncMessage::Notification(_)) {
                // Nobody may be counting.
                sender.send(()).ok();
            }
        }
    });
    client.batch_execute(sql).await?;
    Ok((client, receiver))
}

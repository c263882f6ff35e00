//! The baseline: the program that one would write first. One delivery at a time, with honest work: read the row and
//! its record, canonical JSON, SHA-256, POST, write the record, ack. No leases, no retries, no relay.

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lapin::options::BasicAckOptions;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_postgres::Statement;

use crate::Bench;
use crate::broker::Broker;
use crate::cpu::Used;
use crate::remote::RemoteProcess;
use crate::system::System;

/// The program, ready to run.
pub(crate) struct StraightLine {
    broker: Broker,
    queue: String,
    remote: RemoteProcess,
    http: reqwest::Client,
    read: Statement,
    write: Statement,
}

const READ: &str = "select p.first_name, p.last_name, p.date_of_birth::text, p.gender, r.data_hash
     from sync.tagserver_person p left join bench.record r on r.entity_id = p.id where p.id = $1";
const WRITE: &str = "insert into bench.record (entity_id, remote_id, data_hash) values ($1, $2, $3)
     on conflict (entity_id) do update set remote_id = excluded.remote_id, data_hash = excluded.data_hash,
         synced_on = clock_timestamp()";

impl StraightLine {
    /// Reads the persons of `system`, and writes to a remote of its own.
    pub(crate) async fn new(bench: &Bench, system: &System) -> anyhow::Result<Self> {
        system
            .ems
            .batch_execute(
                "create schema bench;
                 create table bench.record (entity_id bigint primary key, remote_id text not null,
                     data_hash bytea not null, synced_on timestamptz not null default clock_timestamp())",
            )
            .await?;
        let broker = Broker::connect(bench.services.amqp_url()).await?;
        let queue = format!("{}.straight-line", system.prefix);
        broker.declare(&queue).await?;
        Ok(Self {
            broker,
            queue,
            remote: RemoteProcess::start(false).await?,
            http: reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?,
            read: system.ems.prepare(READ).await?,
            write: system.ems.prepare(WRITE).await?,
        })
    }

    /// One round: pushes per second, and the CPU that they took; this process is the worker.
    pub(crate) async fn run(
        &self,
        bench: &Bench,
        system: &System,
        deliveries: u32,
    ) -> anyhow::Result<(f64, Used)> {
        self.remote.wipe().await?;
        system.ems.batch_execute("truncate bench.record").await?;
        self.broker.fill(&self.queue, deliveries).await?;
        let token = self.log_in().await?;
        let mut consumer = self.broker.consume(&self.queue).await?;
        let remotes: Vec<u32> = self.remote.pid().into_iter().collect();
        let (before, began) = (bench.meter.read(&[], &remotes)?, Instant::now());
        for _ in 0..deliveries {
            let message = consumer.next().await.context("The consumer ended")??;
            let id: i64 = std::str::from_utf8(&message.data)?.parse()?;
            self.push(system, &token, id).await?;
            message.ack(BasicAckOptions { multiple: false }).await?;
        }
        let took = began.elapsed();
        let mut used = bench.meter.read(&[], &remotes)? - before;
        used.worker = used.bench;
        Ok((f64::from(deliveries) / took.as_secs_f64(), used))
    }

    async fn push(&self, system: &System, token: &str, id: i64) -> anyhow::Result<()> {
        let row = system.ems.query_one(&self.read, &[&id]).await?;
        let text = |column: usize| row.try_get::<_, Option<&str>>(column);
        let body = json!({
            "externalId": id.to_string(), "firstName": text(0)?, "lastName": text(1)?,
            "dateOfBirth": text(2)?, "gender": text(3)?,
        });
        let hash = Sha256::digest(serde_json_canonicalizer::to_vec(&body)?).to_vec();
        if row.try_get::<_, Option<&[u8]>>(4)? == Some(hash.as_slice()) {
            return Ok(());
        }
        let url = format!("{}/api/people", self.remote.base_url());
        let answer = self.http.post(url).bearer_auth(token).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let remote_id = answer.get("id").and_then(Value::as_i64).context("No id")?.to_string();
        system.ems.execute(&self.write, &[&id, &remote_id, &hash]).await?;
        Ok(())
    }

    async fn log_in(&self) -> anyhow::Result<String> {
        let url = format!("{}/api/authenticate", self.remote.base_url());
        let body = json!({ "username": "ems-sync", "password": "ems-sync-password" });
        let answer: Value =
            self.http.post(url).json(&body).send().await?.error_for_status()?.json().await?;
        Ok(answer.get("id_token").and_then(Value::as_str).context("No token")?.to_owned())
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.broker.delete(&self.queue).await?;
        self.remote.stop().await
    }
}

//! A simulated remote as a process, and its control API: what it holds, what it was asked, how it fails.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ems_sync_remotes::{Counters, Effect, Entry, Operation, Progress, Rule, Violation};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::{self, Process};

pub(crate) struct Remote {
    name: &'static str,
    process: Process,
    ready: Ready,
    http: reqwest::Client,
}

/// A text of a JSON object.
pub(crate) fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row.get(field)?.as_str()
}

/// A whole number of a JSON object.
pub(crate) fn number(row: &Value, field: &str) -> Option<i64> {
    row.get(field)?.as_i64()
}

/// What it prints when it is ready.
#[derive(Deserialize)]
struct Ready {
    base_url: String,
    control_url: String,
    ca_file: PathBuf,
}

#[derive(Deserialize)]
struct Info {
    progress: Progress,
}

#[derive(Deserialize)]
struct Journal {
    entries: Vec<Entry>,
}

/// The writes since some moment.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) requests: u64,
    pub(crate) bulk: u64,
    /// Committed rows.
    pub(crate) rows: u64,
    /// When the last of them was answered.
    pub(crate) last: Option<Timestamp>,
}

impl Remote {
    /// Starts it with HTTPS, under a certificate of a private authority that it writes into this folder.
    pub(crate) async fn start(name: &'static str, options: &[&str], folder: &Path) -> Result<Self> {
        let program = process::program("ems-sync-remotes")?;
        let ca_file = folder.join(format!("{name}-ca.pem"));
        let ca_file = ca_file.to_str().context("The path of the CA file is not UTF-8")?;
        let mut arguments = vec![name, "--tls", "--ca-file", ca_file, "--stop-on-eof"];
        arguments.extend(options);
        let mut command = process::command(&program, &arguments, &Vec::new());
        let mut process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let output = process.child().stdout.take().context("The simulator has no output")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(Duration::from_secs(10), lines.next_line()).await??;
        let line =
            line.with_context(|| format!("The simulated {name} ended instead of starting"))?;
        let ready = serde_json::from_str(&line).context("The simulator says something else")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { name, process, ready, http })
    }

    /// As `ems-sync` calls it.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.process.stop().await.map(drop)
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.ready.base_url
    }

    pub(crate) fn control_url(&self) -> &str {
        &self.ready.control_url
    }

    pub(crate) fn ca_file(&self) -> &Path {
        &self.ready.ca_file
    }

    /// How far the journal has come; what comes after it is new.
    pub(crate) async fn mark(&self) -> Result<u64> {
        Ok(self.progress().await?.started)
    }

    /// The first thing that `find` finds in the journal after `mark`. Waits for it without a deadline.
    pub(crate) async fn until<T>(
        &self,
        mark: u64,
        find: impl Fn(&[Entry]) -> Option<T>,
    ) -> Result<T> {
        loop {
            // Read before the entries: whatever is over later ends the wait below.
            let finished = self.progress().await?.finished;
            if let Some(found) = find(&self.journal(mark).await?) {
                return Ok(found);
            }
            self.moves_on(finished, Duration::from_secs(1)).await?;
        }
    }

    /// Waits until more than `finished` requests are over, or this long.
    pub(crate) async fn moves_on(&self, finished: u64, at_most: Duration) -> Result<()> {
        let wait_ms = at_most.as_millis();
        self.get::<Journal>(&format!("journal?since={finished}&limit=0&wait_ms={wait_ms}")).await?;
        Ok(())
    }

    pub(crate) async fn writes_since(&self, mark: u64) -> Result<Writes> {
        let mut writes = Writes::default();
        for entry in self.journal(mark).await?.iter().filter(|entry| entry.operation.is_write()) {
            writes.requests += 1;
            writes.bulk += u64::from(entry.operation == Operation::Bulk);
            let rows = entry.rows.iter().filter(|row| row.effect != Effect::Refused).count();
            writes.rows += u64::try_from(rows)?;
            if rows > 0 {
                writes.last = writes.last.max(entry.ended_at);
            }
        }
        Ok(writes)
    }

    /// How many committed row writes since `mark` were of a row that had been written since then already.
    pub(crate) async fn repeated_since(&self, mark: u64) -> Result<u64> {
        let entries = self.journal(mark).await?;
        let mut seen = HashSet::new();
        let mut repeated = 0;
        for entry in &entries {
            for row in entry.rows.iter().filter(|row| row.effect != Effect::Refused) {
                repeated += u64::from(!seen.insert((&entry.resource, &row.external_id)));
            }
        }
        Ok(repeated)
    }

    pub(crate) async fn progress(&self) -> Result<Progress> {
        Ok(self.get::<Info>("info").await?.progress)
    }

    pub(crate) async fn journal(&self, since: u64) -> Result<Vec<Entry>> {
        Ok(self.get::<Journal>(&format!("journal?since={since}&limit=1000000")).await?.entries)
    }

    pub(crate) async fn counters(&self) -> Result<Counters> {
        self.get("counters").await
    }

    pub(crate) async fn violations(&self) -> Result<Vec<Violation>> {
        self.get("violations").await
    }

    /// All rows of a resource.
    pub(crate) async fn rows(&self, resource: &str) -> Result<Vec<Value>> {
        self.get(&format!("rows/{resource}")).await
    }

    /// Makes or changes a row behind the worker's back, as people there do.
    pub(crate) async fn plant(&self, resource: &str, row: &Value) -> Result<()> {
        self.post(&format!("rows/{resource}"), row).await
    }

    /// Somebody there does something.
    pub(crate) async fn act(&self, act: &Value) -> Result<()> {
        self.post("acts", act).await
    }

    /// Away: connections are refused; or back.
    pub(crate) async fn set_offline(&self, offline: bool) -> Result<()> {
        self.post("offline", &json!({ "offline": offline, "mode": "refuse" })).await
    }

    pub(crate) async fn set_latency(&self, milliseconds: u64) -> Result<()> {
        self.configure(&json!({ "latency_ms": milliseconds })).await
    }

    pub(crate) async fn configure(&self, settings: &Value) -> Result<()> {
        self.post("settings", settings).await
    }

    pub(crate) async fn script(&self, rules: &[Rule]) -> Result<()> {
        self.post("faults", &serde_json::to_value(rules)?).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("{}/_sim/{path}", self.ready.control_url);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}/_sim/{path}", self.ready.control_url);
        let answer = self.http.post(url).json(body).send().await?;
        anyhow::ensure!(
            answer.status().is_success(),
            "The simulated {} refuses: {}",
            self.name,
            answer.text().await?
        );
        Ok(())
    }
}

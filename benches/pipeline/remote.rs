//! A simulated `TagServer` in a process of its own: this very program, started once more.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use ems_sync_remotes::tagserver::{Bulk, TagServer, TagServerOptions};
use ems_sync_remotes::{Counters, Entry, Progress};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The first argument of the child.
const SIMULATE: &str = "simulate-tagserver";
const NO_BULK: &str = "--no-bulk";
/// Requests that the journal keeps: enough for every question here.
const JOURNAL_ENTRIES: usize = 20_000;
/// The path segment of persons.
const PEOPLE: &str = "people";

/// How the child is to serve, if this process is one.
pub(crate) fn simulator_options(
    mut arguments: impl Iterator<Item = String>,
) -> Option<TagServerOptions> {
    (arguments.next()? == SIMULATE).then(|| {
        let mut options = TagServerOptions::default();
        options.server.journal_limit = Some(JOURNAL_ENTRIES);
        if arguments.any(|argument| argument == NO_BULK) {
            options.settings.bulk = Bulk::NotFound;
        }
        options
    })
}

/// The child: says where it is, and serves until its standard input ends.
pub(crate) async fn simulate(options: TagServerOptions) -> anyhow::Result<()> {
    let simulator = TagServer::start(options).await?;
    let ready = json!({ "base_url": simulator.base_url(), "control_url": simulator.control_url() });
    writeln!(std::io::stdout().lock(), "{ready}")?;
    let end_of_input = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(end_of_input).await??;
    simulator.shutdown().await;
    Ok(())
}

/// Where a child is.
#[derive(Debug, Deserialize)]
struct Ready {
    base_url: String,
    control_url: String,
}

/// A running simulator. Dropping it ends it.
pub(crate) struct RemoteProcess {
    child: Child,
    ready: Ready,
    http: reqwest::Client,
}

impl RemoteProcess {
    pub(crate) async fn start(has_bulk: bool) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SIMULATE).args((!has_bulk).then_some(NO_BULK));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("The simulator can't be started")?;
        let output = child.stdout.take().context("The simulator has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        let ready = serde_json::from_str(&line).context("The simulator did not start")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { child, ready, http })
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.ready.base_url
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}/_sim/{path}", self.ready.control_url);
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let url = format!("{}/_sim/{path}", self.ready.control_url);
        self.http.post(url).json(body).send().await?.error_for_status()?;
        Ok(())
    }

    pub(crate) async fn set_delay(&self, millis: u32) -> anyhow::Result<()> {
        self.post("settings", &json!({ "latency_ms": millis })).await
    }

    pub(crate) async fn wipe(&self) -> anyhow::Result<()> {
        self.post("wipe", &json!({})).await
    }

    pub(crate) async fn counters(&self) -> anyhow::Result<Counters> {
        self.get("counters").await
    }

    /// Persons written so far, in bulk or one by one.
    pub(crate) async fn people_written(&self) -> anyhow::Result<u64> {
        let counters = self.counters().await?;
        Ok(counters.writes.get(PEOPLE).map_or(0, ems_sync_remotes::WriteCounters::applied))
    }

    /// Waits until so many persons have been written since the start.
    pub(crate) async fn until_people_written(&self, people: u64) -> anyhow::Result<()> {
        while self.people_written().await? < people {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The number of the last request.
    pub(crate) async fn last_request(&self) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Info {
            progress: Progress,
        }
        Ok(self.get::<Info>("info").await?.progress.finished)
    }

    async fn journal(&self, query: &str) -> anyhow::Result<Vec<Entry>> {
        #[derive(Deserialize)]
        struct Page {
            entries: Vec<Entry>,
        }
        Ok(self.get::<Page>(&format!("journal?{query}")).await?.entries)
    }

    /// Waits for the next request after one, and says when it was applied.
    pub(crate) async fn next_applied(&self, after: u64) -> anyhow::Result<(u64, Timestamp)> {
        let entries = self.journal(&format!("since={after}&limit=1&wait_ms=10000")).await?;
        let entry = entries.first().context("Nothing reached the remote in 10 s")?;
        Ok((entry.sequence, applied_on(entry)?.context("A request was not applied")?))
    }

    /// When the first request after one arrived, and when the last was applied.
    pub(crate) async fn span(&self, after: u64) -> anyhow::Result<(Timestamp, Timestamp)> {
        let first = self.journal(&format!("since={after}&limit=1")).await?;
        let tail = self.last_request().await?.saturating_sub(1_000).max(after);
        let last = self.journal(&format!("since={tail}")).await?;
        let mut ends = last.iter().map(applied_on).collect::<anyhow::Result<Vec<_>>>()?;
        ends.sort();
        let begin = first.first().context("No request")?.started_at;
        Ok((begin, ends.last().copied().flatten().context("No request was applied")?))
    }

    /// Ends the child and waits for it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        if tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// The journal's clock that never jumps, read as the wall's.
fn applied_on(entry: &Entry) -> anyhow::Result<Option<Timestamp>> {
    let Some(applied_us) = entry.applied_us else { return Ok(None) };
    let after = i64::try_from(applied_us.saturating_sub(entry.started_us))?;
    Ok(Some(entry.started_at.checked_add(SignedDuration::from_micros(after))?))
}
